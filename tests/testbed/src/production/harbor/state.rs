//! What this Harbor holds. Numbers are sequences: a create that fails uses one up.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::policy::{Artifact, Images, Quota, Rule};
use super::who::Who;
use super::{Role, Settings};
use crate::machine;

#[derive(Debug)]
pub(crate) struct State {
    pub(super) settings: Settings,
    pub(super) users: Vec<User>,
    pub(super) projects: Vec<Project>,
    pub(super) robots: Vec<Robot>,
    pub(super) images: Images,
    pub(super) calls: Vec<String>,
    sequences: BTreeMap<&'static str, i64>,
}

#[derive(Debug)]
pub(super) struct User {
    id: i64,
    name: String,
    password: String,
    is_admin: bool,
    /// Until then the right password is refused too.
    locked_until: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct Project {
    pub(super) id: i64,
    pub(super) name: String,
    pub(super) is_public: bool,
    pub(super) members: BTreeMap<i64, Role>,
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) quota: Quota,
    pub(super) rules: Vec<Rule>,
    pub(super) made: Timestamp,
}

#[derive(Debug, Clone)]
pub(super) struct Robot {
    pub(super) id: i64,
    /// `project+name`, or the name alone at system level.
    pub(super) stored: String,
    pub(super) secret: String,
    pub(super) level: String,
    pub(super) project: i64,
    pub(super) description: String,
    pub(super) duration: i64,
    pub(super) expires_at: i64,
    pub(super) is_disabled: bool,
    pub(super) permissions: Vec<Permission>,
    pub(super) creator: (&'static str, i64),
    pub(super) made: Timestamp,
}

/// What a robot may do in one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permission {
    pub kind: String,
    pub namespace: String,
    pub access: Vec<Access>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    pub resource: String,
    pub action: String,
    pub effect: String,
}

impl Permission {
    /// In a project: `repository:pull`, `robot:create` and so on.
    pub fn project(namespace: &str, access: &[&str]) -> Self {
        let access = access.iter().filter_map(|text| {
            let (resource, action) = text.split_once(':')?;
            Some(Access {
                resource: resource.to_owned(),
                action: action.to_owned(),
                effect: String::new(),
            })
        });
        Self {
            kind: "project".into(),
            namespace: namespace.into(),
            access: access.collect(),
        }
    }
}

/// A robot as a test looks at it.
#[derive(Debug, Clone)]
pub struct RobotRow {
    pub name: String,
    pub description: String,
    pub expires_at: i64,
    pub permissions: Vec<Permission>,
}

impl State {
    pub(super) fn new(admin_password: &str) -> Self {
        let mut state = Self {
            settings: Settings::default(),
            users: Vec::new(),
            projects: Vec::new(),
            robots: Vec::new(),
            images: Images::default(),
            calls: Vec::new(),
            sequences: BTreeMap::new(),
        };
        let id = state.next("user");
        state.users.push(User {
            id,
            name: "admin".into(),
            password: admin_password.into(),
            is_admin: true,
            locked_until: None,
        });
        state.make_project("library", true);
        state
    }

    /// The next number of a sequence.
    pub(super) fn next(&mut self, sequence: &'static str) -> i64 {
        let number = self.sequences.entry(sequence).or_default();
        *number += 1;
        *number
    }

    pub(super) fn make_project(&mut self, name: &str, is_public: bool) -> i64 {
        let id = self.next("project");
        let quota = Quota {
            id: self.next("quota"),
            hard: -1,
            used: 0,
        };
        let public = is_public.to_string();
        self.projects.push(Project {
            id,
            name: name.to_owned(),
            is_public,
            members: BTreeMap::new(),
            metadata: BTreeMap::from([("public".into(), public)]),
            quota,
            rules: Vec::new(),
            made: Timestamp::now(),
        });
        id
    }

    pub(super) fn make_user(&mut self, name: &str, password: &str, role: Role, projects: &[&str]) {
        let id = self.next("user");
        self.users.push(User {
            id,
            name: name.to_owned(),
            password: password.to_owned(),
            is_admin: false,
            locked_until: None,
        });
        for project in &mut self.projects {
            if projects.contains(&project.name.as_str()) {
                project.members.insert(id, role);
            }
        }
    }

    pub(super) fn make_robot(
        &mut self,
        name: &str,
        level: &str,
        permissions: Vec<Permission>,
    ) -> (String, String) {
        let project = permissions.first().map(|it| it.namespace.clone());
        let project = project.filter(|_| level == "project");
        let stored = match &project {
            Some(project) => format!("{project}+{name}"),
            None => name.to_owned(),
        };
        let secret = secret();
        let robot = Robot {
            id: self.next("robot"),
            stored,
            secret: secret.clone(),
            level: level.to_owned(),
            project: project.and_then(|name| self.project_id(&name)).unwrap_or(0),
            description: String::new(),
            duration: -1,
            expires_at: -1,
            is_disabled: false,
            permissions,
            creator: ("local", 1),
            made: Timestamp::now(),
        };
        let login = self.login_name(&robot);
        self.robots.push(robot);
        (login, secret)
    }

    pub(super) fn make_image(&mut self, repository: &str, tag: &str) -> String {
        let hash = Sha256::digest(format!("{repository}:{tag}"));
        let digest = format!("sha256:{}", machine::hexadecimal(&hash));
        let id = self.next("artifact");
        let kind = "application/vnd.docker.distribution.manifest.v2+json";
        let mut artifact = Artifact::new(id, digest.clone(), kind, 0);
        artifact.tags.push(tag.to_owned());
        let all = self.images.repositories.entry(repository.to_owned());
        all.or_default().push(artifact);
        digest
    }

    pub(super) fn set_metadata(&mut self, project: &str, name: &str, value: &str) {
        for project in self.projects.iter_mut().filter(|it| it.name == project) {
            project.metadata.insert(name.to_owned(), value.to_owned());
        }
    }

    pub(super) fn login_name(&self, robot: &Robot) -> String {
        format!("{}{}", self.settings.robot_name_prefix, robot.stored)
    }

    pub(super) fn project_id(&self, name: &str) -> Option<i64> {
        let found = self.projects.iter().find(|project| project.name == name);
        found.map(|project| project.id)
    }

    pub(super) fn robot_rows(&self) -> Vec<RobotRow> {
        let rows = self.robots.iter().map(|robot| RobotRow {
            name: self.login_name(robot),
            description: robot.description.clone(),
            expires_at: robot.expires_at,
            permissions: robot.permissions.clone(),
        });
        rows.collect()
    }

    pub(super) fn log_in(&self, name: &str, password: &str) -> Option<Who> {
        let is_it = |robot: &&Robot| {
            self.login_name(robot) == name && robot.secret == password && robot.is_alive()
        };
        if let Some(robot) = self.robots.iter().find(is_it) {
            let (id, name) = (robot.id, name.to_owned());
            return Some(Who::Robot { id, name });
        }
        let now = Instant::now();
        let user = self.users.iter().find(|user| {
            let is_locked = user.locked_until.is_some_and(|until| until > now);
            user.name == name && user.password == password && !is_locked
        })?;
        Some(Who::User {
            id: user.id,
            name: user.name.clone(),
            is_admin: user.is_admin,
        })
    }

    /// A failed login of a user keeps the right password out for a while, by name; a robot's does not.
    pub(super) fn lock_user(&mut self, name: &str, time: Duration) {
        for user in self.users.iter_mut().filter(|user| user.name == name) {
            let until = Instant::now() + time;
            user.locked_until = Some(user.locked_until.map_or(until, |old| old.max(until)));
        }
    }
}

impl Robot {
    pub(super) fn is_alive(&self) -> bool {
        let is_expired = self.expires_at != -1 && self.expires_at <= Timestamp::now().as_second();
        !self.is_disabled && !is_expired
    }

    pub(super) fn row(&self, login: &str) -> Value {
        let permissions: Vec<Value> = self.permissions.iter().map(Permission::row).collect();
        let mut row = serde_json::json!({
            "creation_time": time(self.made), "creator_ref": self.creator.1,
            "creator_type": self.creator.0, "disable": self.is_disabled, "duration": self.duration,
            "editable": true, "expires_at": self.expires_at, "id": self.id, "level": self.level,
            "name": login, "permissions": permissions, "update_time": time(self.made),
        });
        if !self.description.is_empty() {
            row["description"] = self.description.as_str().into();
        }
        row
    }
}

impl Permission {
    fn row(&self) -> Value {
        let access: Vec<Value> = self.access.iter().map(Access::row).collect();
        serde_json::json!({ "access": access, "kind": self.kind, "namespace": self.namespace })
    }
}

impl Access {
    fn row(&self) -> Value {
        let mut row = serde_json::json!({ "action": self.action, "resource": self.resource });
        if !self.effect.is_empty() {
            row["effect"] = self.effect.as_str().into();
        }
        row
    }
}

/// Thirty-two letters and digits, of each kind one.
pub(super) fn secret() -> String {
    let random = machine::random(15).unwrap_or_default();
    format!("Aa{random}")
}

pub(super) fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}
