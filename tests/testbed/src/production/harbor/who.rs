//! Who asks, and what they may do in a project.

use super::Role;
use super::state::{Permission, State};

/// A caller as Harbor sees one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Who {
    /// Sent no credentials.
    Nobody,
    /// Sent wrong ones, and counts as nobody.
    Refused,
    User {
        id: i64,
        name: String,
        is_admin: bool,
    },
    Robot {
        id: i64,
        /// The login name.
        name: String,
    },
}

impl Who {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Nobody | Self::Refused => "-",
            Self::User { name, .. } | Self::Robot { name, .. } => name,
        }
    }

    pub(super) fn is_known(&self) -> bool {
        matches!(self, Self::User { .. } | Self::Robot { .. })
    }

    pub(super) fn is_admin(&self) -> bool {
        matches!(self, Self::User { is_admin: true, .. })
    }
}

impl State {
    /// Whether a caller may do this in a project.
    pub(super) fn may(&self, who: &Who, project: i64, resource: &str, action: &str) -> bool {
        let is_pull = (resource, action) == ("repository", "pull");
        if is_pull
            && self
                .projects
                .iter()
                .any(|it| it.id == project && it.is_public)
        {
            return true;
        }
        match who {
            Who::Nobody | Who::Refused => false,
            Who::User { is_admin: true, .. } => self.projects.iter().any(|it| it.id == project),
            Who::User { id, .. } => {
                let found = self.projects.iter().find(|it| it.id == project);
                match found.and_then(|project| project.members.get(id)) {
                    Some(Role::Admin) => true,
                    Some(Role::Developer) => {
                        matches!(resource, "repository" | "artifact" | "tag" | "project")
                            && action != "delete"
                    }
                    Some(Role::Guest) => matches!(action, "pull" | "read" | "list"),
                    None => false,
                }
            }
            Who::Robot { id, .. } => self.robot_may(*id, project, resource, action),
        }
    }

    fn robot_may(&self, robot: i64, project: i64, resource: &str, action: &str) -> bool {
        let Some(robot) = self.robots.iter().find(|it| it.id == robot) else {
            return false;
        };
        let Some(project) = self.projects.iter().find(|it| it.id == project) else {
            return false;
        };
        let covers = |permission: &&Permission| {
            permission.kind == "project"
                && (permission.namespace == project.name || permission.namespace == "*")
        };
        let all = robot.permissions.iter().filter(covers);
        let access: Vec<_> = all.flat_map(|permission| &permission.access).collect();
        let has = |action: &str, effect: &str| {
            access.iter().any(|it| {
                let is_deny = it.effect == "deny";
                it.resource == resource && it.action == action && is_deny == (effect == "deny")
            })
        };
        // At project level alone, who may push may pull.
        let is_implied = robot.level == "project"
            && (resource, action) == ("repository", "pull")
            && has("push", "");
        (has(action, "") || is_implied) && !has(action, "deny")
    }

    /// All that the caller may do to repositories of a project, in no order.
    pub(super) fn actions(&self, who: &Who, project: i64) -> Vec<&'static str> {
        let all = ["delete", "pull", "push"];
        all.into_iter()
            .filter(|action| self.may(who, project, "repository", action))
            .collect()
    }
}
