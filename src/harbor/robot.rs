//! Robot accounts: made for one job in one project, listed by the beginning of their name, deleted.
//!
//! A robot's name stays taken after it has expired, and its secret is shown once only.

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{client::Harbor, error::HarborError};
use crate::secret::Secret;

/// A robot to make.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wish<'a> {
    pub(crate) project: &'a str,
    /// Small letters, digits, and `-` between them.
    pub(crate) name: &'a str,
    pub(crate) description: &'a str,
    pub(crate) may_push: bool,
}

/// A robot that can log in.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Robot {
    pub(crate) id: i64,
    /// The login name, with the prefix that Harbor's admin chose: never to be built.
    pub(crate) name: String,
    pub(crate) secret: Secret,
}

/// A robot as a list shows it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Listed {
    pub(crate) id: i64,
    name: String,
    /// Unix seconds; -1 is never.
    #[serde(default)]
    expires_at: i64,
}

impl Listed {
    /// The name that it was made with.
    pub(crate) fn own_name(&self) -> &str {
        self.name
            .rsplit_once('+')
            .map_or(self.name.as_str(), |(_, name)| name)
    }

    pub(crate) fn is_expired(&self, now: jiff::Timestamp) -> bool {
        (0..=now.as_second()).contains(&self.expires_at)
    }
}

impl Harbor {
    /// Makes a robot for a day, which is the shortest life there is. One that has the name, left by
    /// a job that was cut off, is deleted first: nobody knows its secret any more.
    pub(crate) async fn make_robot(&self, wish: Wish<'_>) -> Result<Robot, HarborError> {
        match self.try_make(wish).await {
            Err(error) if error.is(409) => {}
            made => return made,
        }
        self.delete_robot_of_name(wish.project, wish.name).await?;
        self.try_make(wish).await
    }

    async fn try_make(&self, wish: Wish<'_>) -> Result<Robot, HarborError> {
        let actions = if wish.may_push {
            &["pull", "push"][..]
        } else {
            &["pull"]
        };
        // No `effect`: the account that makes it may have none either, and then they differ.
        let access: Vec<Value> = actions
            .iter()
            .map(|action| json!({ "resource": "repository", "action": action }))
            .collect();
        let body = json!({
            "name": wish.name,
            "description": wish.description,
            "level": "project",
            "duration": 1,
            "permissions": [{ "kind": "project", "namespace": wish.project, "access": access }],
        });
        let answer = self
            .api
            .send(Method::POST, "robots", &[], Some(&body))
            .await?;
        answer.read()
    }

    /// The robots of a project whose own name begins so. Harbor's filters ignore what they do not
    /// know, so the names are compared here.
    pub(crate) async fn robots(
        &self,
        project: &str,
        beginning: &str,
    ) -> Result<Vec<Listed>, HarborError> {
        let id = self.project_id(project).await?;
        let query = format!("Level=project,ProjectID={id}");
        let all: Vec<Listed> = self.api.list("robots", &[("q", &query)]).await?;
        let is_ours = |robot: &Listed| robot.own_name().starts_with(beginning);
        Ok(all.into_iter().filter(is_ours).collect())
    }

    /// Deletes a robot; one that is gone is as good.
    pub(crate) async fn delete_robot(&self, id: i64) -> Result<(), HarborError> {
        match self.must(Method::DELETE, &format!("robots/{id}")).await {
            Err(error) if error.is(404) => Ok(()),
            deleted => deleted,
        }
    }

    /// Deletes the robot of exactly that name, if there is one.
    pub(crate) async fn delete_robot_of_name(
        &self,
        project: &str,
        name: &str,
    ) -> Result<(), HarborError> {
        for robot in self.robots(project, name).await? {
            if robot.own_name() == name {
                self.delete_robot(robot.id).await?;
            }
        }
        Ok(())
    }
}
