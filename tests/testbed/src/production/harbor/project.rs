//! The API's own paths: ping, who one is, projects, quotas, tags that cannot be moved.

use hyper::Method;
use serde_json::{Value, json};

use super::answer::Answer;
use super::policy::Rule;
use super::robot::is_name;
use super::state::{Project, State, time};
use super::who::Who;
use super::{Asked, Harbor};
use crate::harbor::policy::Quota;

const BASE: &str = "/api/v2.0/";

impl Harbor {
    pub(super) fn api(&self, asked: &Asked, who: &Who) -> Answer {
        let mut state = self.state();
        if let Some((status, after)) = state.settings.throttled.pop() {
            let answer = Answer::error(status, "TOO_MANY_REQUEST", "too many requests");
            return answer.header("Retry-After", after.to_string());
        }
        if asked.path == "/api/version" {
            let kind = "text/plain; charset=utf-8";
            return Answer::text(200, kind, "{\"version\":\"v2.0\"}");
        }
        let Some(path) = asked.path.strip_prefix(BASE) else {
            return not_found(asked);
        };
        let path = path.trim_end_matches('/');
        let (first, rest) = path.split_once('/').unwrap_or((path, ""));
        match first {
            "ping" => ping(asked),
            "systeminfo" => state.system_info(asked, who),
            "users" => state.identity(asked, who, rest),
            "robots" => state.robots_call(asked, who, rest),
            "quotas" => state.quotas(asked, who),
            "configurations" if asked.method == Method::PUT => state.configure(asked, who),
            "projects" if rest.is_empty() => state.projects_call(asked, who),
            "projects" => state.in_project(asked, who, rest),
            _ => not_found(asked),
        }
    }
}

pub(super) fn not_found(asked: &Asked) -> Answer {
    Answer::missing(&format!("path {} was not found", asked.path))
}

fn ping(asked: &Asked) -> Answer {
    if asked.method != Method::GET {
        let text = format!("method {} is not allowed, but [GET] are", asked.method);
        return Answer::error(405, "METHOD_NOT_ALLOWED", &text);
    }
    match asked.header("accept") {
        Some("application/json") => Answer::text(200, "application/json", "\"Pong\"\n"),
        _ => Answer::text(200, "text/plain", "Pong"),
    }
}

impl State {
    /// What Harbor tells of itself; its version only to whom it knows.
    fn system_info(&self, asked: &Asked, who: &Who) -> Answer {
        let mut info = json!({
            "auth_mode": "db_auth", "banner_message": "", "oidc_provider_name": "",
            "primary_auth_mode": false, "self_registration": false,
        });
        if who.is_known() {
            let host = asked.header("host").unwrap_or_default();
            info["harbor_version"] = self.settings.version.as_str().into();
            info["external_url"] = format!("https://{host}").into();
            info["registry_url"] = host.into();
            info["project_creation_restriction"] = "everyone".into();
            info["read_only"] = self.settings.is_read_only.into();
            info["has_ca_root"] = false.into();
            info["registry_storage_provider_name"] = "filesystem".into();
            info["notification_enable"] = true.into();
            info["current_time"] = time(jiff::Timestamp::now()).into();
        }
        Answer::json(&info)
    }

    fn identity(&self, asked: &Asked, who: &Who, rest: &str) -> Answer {
        if !who.is_known() {
            return Answer::forbidden(false);
        }
        match (rest, who) {
            ("current", Who::Robot { .. }) => {
                let text = "get current user not available for security context: robot";
                Answer::error(412, "PRECONDITION", text)
            }
            ("current", _) => Answer::json(&json!({
                "sysadmin_flag": who.is_admin(), "username": who.name(),
            })),
            ("current/permissions", _) => self.permissions(asked, who),
            _ => not_found(asked),
        }
    }

    /// Exactly the caller's rights in a project that is named by its number; none for any other name.
    fn permissions(&self, asked: &Asked, who: &Who) -> Answer {
        let scope = asked.value("scope").unwrap_or_default();
        let number = scope
            .strip_prefix("/project/")
            .and_then(|it| it.parse::<i64>().ok());
        let Some(project) = number else {
            return Answer::json(&json!([]));
        };
        let is_relative = asked.value("relative") == Some("true");
        let place = |resource: &str| {
            let prefix = format!("/project/{project}/");
            let prefix = if is_relative { "" } else { &prefix };
            format!("{prefix}{resource}")
        };
        let all = [
            ("repository", "pull"),
            ("repository", "push"),
            ("repository", "delete"),
            ("artifact", "read"),
            ("robot", "create"),
            ("robot", "read"),
            ("robot", "list"),
            ("robot", "delete"),
        ];
        let own = all
            .into_iter()
            .filter(|(resource, action)| self.may(who, project, resource, action));
        let rows =
            own.map(|(resource, action)| json!({ "action": action, "resource": place(resource) }));
        Answer::json(&Value::Array(rows.collect()))
    }

    fn configure(&mut self, asked: &Asked, who: &Who) -> Answer {
        if !who.is_admin() {
            return Answer::error(403, "FORBIDDEN", who.name());
        }
        let body = match asked.json("configurations") {
            Ok(body) => body,
            Err(answer) => return answer,
        };
        if let Some(is_read_only) = body["read_only"].as_bool() {
            self.settings.is_read_only = is_read_only;
        }
        match body["robot_name_prefix"].as_str().map(str::trim) {
            Some("") => {
                let text = "bad request: robot_name_prefix cannot be empty or contain only spaces";
                return Answer::bad(text);
            }
            Some(prefix) => prefix.clone_into(&mut self.settings.robot_name_prefix),
            None => {}
        }
        Answer::empty(200)
    }

    fn projects_call(&mut self, asked: &Asked, who: &Who) -> Answer {
        match asked.method {
            Method::POST => self
                .create_project(asked, who)
                .unwrap_or_else(|answer| answer),
            Method::HEAD => self.project_exists(asked, who),
            _ => self
                .list_projects(asked, who)
                .unwrap_or_else(|answer| answer),
        }
    }

    /// Tells everybody who is known.
    fn project_exists(&self, asked: &Asked, who: &Who) -> Answer {
        let name = asked.value("project_name").unwrap_or_default();
        match (who.is_known(), self.project_id(name)) {
            (false, _) => Answer::empty(401),
            (true, Some(_)) => Answer::empty(200),
            (true, None) => Answer::empty(404),
        }
    }

    fn create_project(&mut self, asked: &Asked, who: &Who) -> Result<Answer, Answer> {
        let body = asked.json("project")?;
        if !who.is_known() {
            return Err(Answer::forbidden(false));
        }
        if self.settings.is_read_only {
            return Err(Answer::read_only());
        }
        if let Who::Robot { .. } = who {
            let text = "Only system level robot can create project";
            return Err(Answer::error(403, "FORBIDDEN", text));
        }
        let name = body["project_name"].as_str().unwrap_or_default();
        if name.is_empty() {
            let text = "Project name  is illegal in length. (greater than 255 or less than 1)";
            return Err(Answer::bad(text));
        }
        if !is_name(name) {
            let text = "project name is not in lower case or contains illegal characters";
            return Err(Answer::bad(text));
        }
        if self.project_id(name).is_some() {
            self.next("project");
            let text = format!("The project named {name} already exists");
            return Err(Answer::error(409, "CONFLICT", &text));
        }
        let id = self.make_project(name, body["metadata"]["public"] == "true");
        let location = match asked.header("x-resource-name-in-location") {
            Some("true") => name.to_owned(),
            _ => id.to_string(),
        };
        let location = format!("{BASE}projects/{location}");
        Ok(Answer::empty(201).header("Location", location))
    }

    /// A name is part of a name here. Robots see their projects without the right to read one.
    fn list_projects(&self, asked: &Asked, who: &Who) -> Result<Answer, Answer> {
        let words = asked.words()?;
        let exact = words
            .iter()
            .find(|(key, _)| key == "name")
            .map(|(_, it)| it.as_str());
        let fuzzy = asked.value("name");
        let is_named = |project: &&Project| {
            let is_exact = exact.is_none_or(|name| match name.strip_prefix('~') {
                Some(part) => project.name.contains(part),
                None => project.name == name,
            });
            is_exact && fuzzy.is_none_or(|part| project.name.contains(part))
        };
        let is_seen = |project: &&Project| {
            project.is_public || who.is_admin() || !self.rights_in(who, project.id).is_empty()
        };
        let seen = self.projects.iter().filter(is_seen).filter(is_named);
        let rows: Vec<Value> = seen.map(|project| project.row(who)).collect();
        Ok(Answer::page(asked, &rows))
    }

    fn rights_in(&self, who: &Who, project: i64) -> Vec<&'static str> {
        let mut rights = self.actions(who, project);
        rights.extend(
            ["create", "read", "list", "delete"]
                .into_iter()
                .filter(|action| self.may(who, project, "robot", action)),
        );
        rights
    }

    /// A path of digits is a number unless a header says that it is a name.
    fn in_project(&mut self, asked: &Asked, who: &Who, rest: &str) -> Answer {
        let (name, rest) = rest.split_once('/').unwrap_or((rest, ""));
        let is_name = asked.header("x-is-resource-name") == Some("true");
        let by_id = name.parse::<i64>().ok().filter(|_| !is_name);
        let found = self.projects.iter().find(|project| match by_id {
            Some(id) => project.id == id,
            None => project.name == name,
        });
        let found = found.map(|project| (project.id, project.name.clone()));
        // A list of a project that is not there is empty, for whoever may look.
        let is_hidden = rest.starts_with("repositories/") && who.is_admin();
        let (id, name) = match found {
            Some(found) => found,
            None if is_hidden => (0, name.to_owned()),
            None if who.is_admin() => {
                return Answer::missing(&format!("project {name} not found"));
            }
            None => return Answer::forbidden(who.is_known()),
        };
        match rest.split_once('/').map_or(rest, |(first, _)| first) {
            "" => self.one_project(asked, who, id),
            "repositories" => self.artifacts(asked, who, &name, rest),
            "immutabletagrules" => self.rules(asked, who, id),
            _ => not_found(asked),
        }
    }

    fn one_project(&mut self, asked: &Asked, who: &Who, id: i64) -> Answer {
        let action = if asked.is_write() { "delete" } else { "read" };
        let at = self.projects.iter().position(|project| project.id == id);
        let is_open = at.is_some_and(|at| self.projects[at].is_public && action == "read");
        let Some(at) = at.filter(|_| is_open || self.may(who, id, "project", action)) else {
            return Answer::forbidden(who.is_known());
        };
        if asked.method != Method::DELETE {
            return Answer::json(&self.projects[at].row(who));
        }
        if self.images.has_any(&self.projects[at].name) {
            let text = "precondition failed: the project contains repositories, can not be deleted";
            return Answer::error(412, "PRECONDITION", text);
        }
        let gone = self.projects.remove(at);
        self.robots.retain(|robot| robot.project != id);
        for robot in &mut self.robots {
            robot.permissions.retain(|it| it.namespace != gone.name);
        }
        Answer::empty(200)
    }

    fn quotas(&mut self, asked: &Asked, who: &Who) -> Answer {
        match who {
            Who::Nobody | Who::Refused => return Answer::forbidden(false),
            known if !known.is_admin() => return Answer::error(403, "FORBIDDEN", known.name()),
            _ => {}
        }
        let id = asked
            .value("reference_id")
            .and_then(|it| it.parse::<i64>().ok());
        let projects = self
            .projects
            .iter()
            .filter(|it| id.is_none_or(|id| it.id == id));
        let rows: Vec<Value> = projects.map(Quota::row).collect();
        Answer::page(asked, &rows)
    }

    fn rules(&mut self, asked: &Asked, who: &Who, id: i64) -> Answer {
        let action = if asked.is_write() { "create" } else { "list" };
        if !self.may(who, id, "immutable-tag", action) {
            return Answer::forbidden(who.is_known());
        }
        let number = if asked.is_write() {
            self.next("rule")
        } else {
            0
        };
        let Some(project) = self.projects.iter_mut().find(|it| it.id == id) else {
            return not_found(asked);
        };
        if !asked.is_write() {
            let rows: Vec<Value> = project.rules.iter().map(Rule::row).collect();
            return Answer::page(asked, &rows);
        }
        let body = match asked.json("ImmutableRule") {
            Ok(body) => body,
            Err(answer) => return answer,
        };
        let rule = Rule::read(number, &body);
        if project.rules.iter().any(|known| known.is_same(&rule)) {
            return Answer::error(409, "CONFLICT", "immutable rule already exists");
        }
        project.rules.push(rule);
        let location = format!("{BASE}projects/{}/immutabletagrules/{number}", project.name);
        Answer::empty(201).header("Location", location)
    }
}

impl Project {
    fn row(&self, who: &Who) -> Value {
        let mut row = json!({
            "creation_time": time(self.made), "current_user_role_ids": null,
            "metadata": self.metadata, "name": self.name, "owner_id": 1, "owner_name": "admin",
            "project_id": self.id, "repo_count": 0, "update_time": time(self.made),
        });
        if who.is_admin() {
            row["current_user_role_id"] = 1.into();
            row["current_user_role_ids"] = json!([1]);
        }
        row
    }
}
