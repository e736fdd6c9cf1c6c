//! Robot accounts: who may make which, and the order in which Harbor looks for what is wrong.

use hyper::Method;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::Asked;
use super::answer::Answer;
use super::state::{Access, Permission, Robot, State, secret, time};
use super::who::Who;

/// What a robot may be given in a project.
const PROJECT: &[(&str, &[&str])] = &[
    ("log", &["list"]),
    ("project", &["read", "update", "delete"]),
    (
        "repository",
        &["read", "update", "delete", "list", "pull", "push"],
    ),
    ("artifact", &["read", "create", "list", "delete"]),
    ("scan", &["create", "read", "stop"]),
    ("tag", &["create", "list", "delete"]),
    ("artifact-addition", &["read"]),
    ("immutable-tag", &["create", "delete", "list", "update"]),
    ("quota", &["read"]),
    ("robot", &["create", "read", "list", "delete"]),
];

/// And in the whole system.
const SYSTEM: &[(&str, &[&str])] = &[
    ("project", &["list", "create"]),
    ("catalog", &["read"]),
    ("quota", &["read", "list", "update"]),
    ("robot", &["create", "read", "list", "delete"]),
];

/// A robot as a request wants it.
struct Wanted {
    name: String,
    description: String,
    level: String,
    duration: i64,
    permissions: Vec<Permission>,
}

impl State {
    pub(super) fn robots_call(&mut self, asked: &Asked, who: &Who, rest: &str) -> Answer {
        let id = rest.trim_start_matches('/');
        match (&asked.method, id) {
            (&Method::POST, "") => self
                .create_robot(asked, who)
                .unwrap_or_else(|answer| answer),
            (&Method::GET, "") => self.list_robots(asked, who).unwrap_or_else(|answer| answer),
            (&Method::GET | &Method::DELETE, id) => self.one_robot(asked, who, id),
            (method, _) => Answer::error(
                405,
                "METHOD_NOT_ALLOWED",
                &format!("method {method} is not allowed, but [DELETE,GET] are"),
            ),
        }
    }

    /// First the name, then the duration, the level, the rights; only then who asks, and where.
    fn create_robot(&mut self, asked: &Asked, who: &Who) -> Result<Answer, Answer> {
        let body = asked.json("robot")?;
        if self.settings.is_read_only {
            return Err(Answer::read_only());
        }
        let wanted = Wanted::read(&body)?;
        if !who.is_known() {
            return Err(Answer::forbidden(false));
        }
        let project = self.may_create(who, &wanted)?;
        let id = self.next("robot");
        let stored = match wanted.level.as_str() {
            "project" => format!("{}+{}", wanted.permissions[0].namespace, wanted.name),
            _ => wanted.name.clone(),
        };
        if stored.len() > 255 || wanted.description.len() > 1024 {
            return Err(Answer::error(500, "", ""));
        }
        let mut same = self.robots.iter().filter(|robot| robot.project == project);
        if same.any(|robot| robot.stored == stored) {
            let text = format!("robot account {project}:{stored} already exists");
            return Err(Answer::error(409, "CONFLICT", &text));
        }
        let made = Timestamp::now();
        let creator = match who {
            Who::Robot { id, .. } => ("robot", *id),
            Who::User { id, .. } => ("local", *id),
            Who::Nobody | Who::Refused => ("local", 0),
        };
        let robot = Robot {
            id,
            stored,
            secret: secret(),
            level: wanted.level,
            project,
            description: wanted.description,
            duration: wanted.duration,
            expires_at: match wanted.duration {
                -1 => -1,
                days => made.as_second() + days * 86_400,
            },
            is_disabled: false,
            permissions: wanted.permissions,
            creator,
            made,
        };
        let body = json!({
            "creation_time": time(made), "expires_at": robot.expires_at, "id": id,
            "name": self.login_name(&robot), "secret": robot.secret,
        });
        self.robots.push(robot);
        let mut answer = Answer::json(&body).header("Location", format!("/api/v2.0/robots/{id}"));
        answer.status = 201;
        Ok(answer)
    }

    /// The number of the project; 0 at system level.
    fn may_create(&self, who: &Who, wanted: &Wanted) -> Result<i64, Answer> {
        if wanted.level == "system" {
            let is_able = who.is_admin() || self.has_system(who, "robot", "create");
            if !is_able {
                return Err(Answer::error(403, "FORBIDDEN", who.name()));
            }
            self.is_subset(who, wanted)?;
            return Ok(0);
        }
        let namespace = &wanted.permissions[0].namespace;
        let found = self.project_id(namespace);
        let is_able = found.is_some_and(|id| self.may(who, id, "robot", "create"));
        if !who.is_admin() && !is_able {
            return Err(Answer::forbidden(true));
        }
        self.is_subset(who, wanted)?;
        found.ok_or_else(|| Answer::missing(&format!("project {namespace} not found")))
    }

    /// A robot hands out what it has, to the letter.
    fn is_subset(&self, who: &Who, wanted: &Wanted) -> Result<(), Answer> {
        let Who::Robot { id, name } = who else {
            return Ok(());
        };
        let own = self.robots.iter().find(|robot| robot.id == *id);
        let own = own
            .map(|robot| robot.permissions.as_slice())
            .unwrap_or_default();
        let has = |permission: &Permission, access: &Access| {
            let same = own.iter().filter(|it| {
                it.kind == permission.kind
                    && (it.namespace == permission.namespace || it.namespace == "*")
            });
            same.flat_map(|it| &it.access).any(|it| it == access)
        };
        let is_whole = |it: &Permission| it.access.iter().all(|access| has(it, access));
        if wanted.permissions.iter().all(is_whole) {
            return Ok(());
        }
        let text = format!(
            "permission scope is invalid. It must be equal to or more restrictive than the creator robot's permissions: {name}"
        );
        Err(Answer::error(403, "DENIED", &text))
    }

    fn has_system(&self, who: &Who, resource: &str, action: &str) -> bool {
        let Who::Robot { id, .. } = who else {
            return false;
        };
        let robot = self.robots.iter().find(|robot| robot.id == *id);
        let all = robot.into_iter().flat_map(|robot| &robot.permissions);
        all.filter(|it| it.kind == "system")
            .flat_map(|it| &it.access)
            .any(|it| it.resource == resource && it.action == action)
    }

    /// Robots of the system, or of the project whose number `q` names under the right keys.
    fn list_robots(&self, asked: &Asked, who: &Who) -> Result<Answer, Answer> {
        if !who.is_known() {
            return Err(Answer::forbidden(false));
        }
        let words = asked.words()?;
        let word = |name: &str| {
            let found = words.iter().find(|(key, _)| key == name);
            found.map(|(_, value)| value.as_str())
        };
        let project = match word("Level") {
            None | Some("system") => 0,
            Some("project") => {
                let number = word("ProjectID").ok_or_else(|| {
                    Answer::bad("must with project ID when to query project robots")
                })?;
                let number = number.parse::<i64>().ok().filter(|number| *number > 0);
                number.ok_or_else(|| Answer::bad("ProjectID must be a positive integer"))?
            }
            Some(_) => return Err(Answer::bad("bad request error level input")),
        };
        match project {
            0 if !who.is_admin() && !self.has_system(who, "robot", "list") => {
                return Err(Answer::error(403, "FORBIDDEN", who.name()));
            }
            0 => {}
            id if !who.is_admin() && !self.may(who, id, "robot", "list") => {
                return Err(Answer::forbidden(true));
            }
            _ => {}
        }
        let is_named = |robot: &&Robot| match word("name").or(word("Name")) {
            None => true,
            Some(name) => match name.strip_prefix('~') {
                Some(part) => robot.stored.contains(part),
                None => robot.stored == name,
            },
        };
        // Keys in lower case are unknown, and so is what they ask for.
        let is_odd = word("level").is_some();
        let robots = self
            .robots
            .iter()
            .filter(|it| it.project == project && !is_odd);
        let mut robots: Vec<&Robot> = robots.filter(is_named).collect();
        robots.sort_by(|one, other| one.stored.cmp(&other.stored));
        let rows: Vec<Value> = robots
            .into_iter()
            .map(|robot| robot.row(&self.login_name(robot)))
            .collect();
        Ok(Answer::page(asked, &rows))
    }

    /// Whoever is known hears whether a number exists.
    fn one_robot(&mut self, asked: &Asked, who: &Who, id: &str) -> Answer {
        let Ok(number) = id.parse::<i64>() else {
            let text = format!("robot_id in path must be of type int64: {id:?}");
            return Answer::unprocessable(&text);
        };
        if !who.is_known() {
            return Answer::forbidden(false);
        }
        if asked.is_write() && self.settings.is_read_only {
            return Answer::read_only();
        }
        let Some(at) = self.robots.iter().position(|robot| robot.id == number) else {
            return Answer::missing(&format!("robot {number} not found"));
        };
        let robot = &self.robots[at];
        let action = if asked.is_write() { "delete" } else { "read" };
        let is_able = match robot.project {
            0 => self.has_system(who, "robot", action),
            project => self.may(who, project, "robot", action),
        };
        if !who.is_admin() && !is_able {
            let text = if robot.project == 0 {
                who.name()
            } else {
                "forbidden"
            };
            return Answer::error(403, "FORBIDDEN", text);
        }
        if !asked.is_write() {
            return Answer::json(&robot.row(&self.login_name(robot)));
        }
        self.robots.remove(at);
        Answer::empty(200)
    }
}

impl Wanted {
    fn read(body: &Value) -> Result<Self, Answer> {
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let name = text("name");
        if !is_name(&name) {
            let text = "robot name is not in lower case or contains illegal characters";
            return Err(Answer::bad(text));
        }
        let duration = match &body["duration"] {
            Value::Null => 0,
            number => number.as_i64().ok_or_else(|| {
                let text = format!("parsing robot body from \"\" failed, because json: cannot unmarshal {number} into Go struct field RobotCreate.duration of type int64");
                Answer::unprocessable(&text)
            })?,
        };
        if duration != -1 && !(1..2_147_483_647).contains(&duration) {
            let text = format!(
                "bad request error duration input: {duration}, duration must be either -1(Never) or a positive integer"
            );
            return Err(Answer::bad(&text));
        }
        let level = text("level");
        if level != "project" && level != "system" {
            let text = format!("bad request error level input: {level}");
            return Err(Answer::bad(&text));
        }
        let permissions = permissions(&level, &body["permissions"])?;
        Ok(Self {
            name,
            description: text("description"),
            level,
            duration,
            permissions,
        })
    }
}

fn permissions(level: &str, value: &Value) -> Result<Vec<Permission>, Answer> {
    let rows = value.as_array().map(Vec::as_slice).unwrap_or_default();
    if rows.is_empty() {
        return Err(Answer::bad("bad request empty permission"));
    }
    if level == "project" && rows.len() > 1 {
        return Err(Answer::bad("bad request permission"));
    }
    rows.iter().map(permission).collect()
}

fn permission(row: &Value) -> Result<Permission, Answer> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let kind = text(&row["kind"]);
    let known = match kind.as_str() {
        "project" => PROJECT,
        "system" => SYSTEM,
        kind => {
            let text = format!("bad request permission level: {kind}");
            return Err(Answer::bad(&text));
        }
    };
    let access = row["access"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    if access.is_empty() {
        return Err(Answer::bad("bad request empty access"));
    }
    let access = access.iter().map(|it| {
        let (resource, action) = (text(&it["resource"]), text(&it["action"]));
        let mut rows = known.iter().filter(|(name, _)| *name == resource);
        if !rows.any(|(_, actions)| actions.contains(&action.as_str())) {
            let text = format!("bad request permission: {resource}:{action}");
            return Err(Answer::bad(&text));
        }
        let effect = text(&it["effect"]);
        Ok(Access {
            resource,
            action,
            effect,
        })
    });
    Ok(Permission {
        kind,
        namespace: text(&row["namespace"]),
        access: access.collect::<Result<_, _>>()?,
    })
}

/// Small letters and digits, with single dots, dashes and underscores between them.
pub(super) fn is_name(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_part = |part: &str| !part.is_empty() && part.bytes().all(is_plain);
    text.split(['.', '-', '_']).all(is_part)
}
