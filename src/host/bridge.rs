//! The second instance of the service, for start-first: in a project of ours beside the operator's, at the
//! host's second port. No Compose takes it for its own, a surplus or an orphan.

use bollard::{
    Docker,
    models::ContainerSummary,
    query_parameters::{RemoveContainerOptionsBuilder, StopContainerOptionsBuilder},
};

use super::{
    Host, LOOK, RemoteError,
    compose::Compose,
    engine::{Containers, name},
    error,
    project::{Project, project_of},
    replace::SWITCH,
    said::Edits,
    script::{self, Answer},
    second::Bridge,
    ssh::Script,
};
use crate::docker::fault::optional;

/// What runs on the host for it.
const TEXT: &str = concat!(
    include_str!("attempt.sh"),
    include_str!("files.sh"),
    include_str!("bridge.sh")
);
const WHAT: &str = "look at the second instance";

/// What of the service can be there once only, and what to do.
fn objection(answers: &[Answer], service: &str) -> Option<(String, &'static str)> {
    answers.iter().find_map(|answer| match answer {
        Answer::Single(why) => Some((
            format!("`{service}` cannot run twice beside itself: {why}"),
            "change that in its compose file, or set rollout.order = \"stop-first\"",
        )),
        _ => None,
    })
}

/// Which other services reach it by its name; `None` where there are none.
fn reached_by(answers: &[Answer], service: &str) -> Option<String> {
    let sisters = answers.iter().filter_map(|answer| match answer {
        Answer::Sister(name) => Some(name.as_str()),
        _ => None,
    });
    let sisters: Vec<_> = sisters.collect();
    (!sisters.is_empty()).then(|| {
        format!(
            "{} would reach both instances by the name `{service}`, also one that is not proven yet",
            sisters.join(", ")
        )
    })
}

/// The project beside another: a name that nobody's folder has.
fn beside(project: &str) -> String {
    format!("{project}-dockmaster-b")
}

impl Host {
    /// Of all containers whose service has the right name: the project's own, and the second instance's.
    pub(super) async fn instances(&self) -> Result<(Containers, Containers), RemoteError> {
        let all = self.list(&self.service_labels()).await?;
        let own = self.project_name(&all).await?;
        let second = beside(own);
        let of = |it: &ContainerSummary| it.labels.as_ref().map(project_of).map(str::to_owned);
        let pick = |name: &str| {
            let is_there = |it: &&ContainerSummary| of(it).as_deref() == Some(name);
            Containers(all.iter().filter(is_there).cloned().collect())
        };
        Ok((pick(own), pick(&second)))
    }

    async fn ask_beside(
        &self,
        what: &str,
        arguments: &[&str],
        limit: std::time::Duration,
    ) -> Result<Vec<Answer>, RemoteError> {
        let script = Script {
            what,
            text: TEXT,
            arguments,
            limit,
        };
        Ok(script::answers(&self.session.script(&script).await?))
    }

    /// Finds before any weight moves that no second instance could run beside the first.
    pub(super) async fn check_bridge(
        &self,
        reference: &str,
        say: &dyn Fn(&str),
    ) -> Result<(), RemoteError> {
        let Some(bridge) = self.bridge.as_ref().filter(|it| it.is_wanted) else {
            return Ok(());
        };
        let project = self.project().await?;
        let (edits, used) = match self.composed_of(reference) {
            Some(composed) => {
                let plan = self.forward_composed(project.clone(), &composed).await?;
                let used = plan.edits.tried(&plan.used);
                (plan.edits, used)
            }
            None => (Edits::default(), project.clone()),
        };
        let config = self.needed_compose().await?.config(&used);
        let (target, port) = (self.port.to_string(), bridge.port.to_string());
        let check = [
            "check",
            &project.directory,
            &self.service,
            &target,
            &port,
            &config,
            &project.name,
            &edits.packed(),
        ];
        let answers = self.ask_beside(WHAT, &check, LOOK).await?;
        if let Some(error) = self.refused(&answers) {
            return Err(error);
        }
        if let Some(error) = self.speaks_against(&answers) {
            return Err(error);
        }
        if answers.contains(&Answer::Listens) && self.instances().await?.1.is_empty() {
            let why = format!("something listens on its port {port} already");
            let advice = "choose another compose.bridge-port".into();
            return Err(self.not_ready(why, advice));
        }
        self.judge_sisters(&answers, bridge, say)
    }

    fn refused(&self, answers: &[Answer]) -> Option<RemoteError> {
        answers.iter().find_map(|answer| match answer {
            Answer::Refuse { why, file } => Some(error::not_ready(&self.name, why, file)),
            _ => None,
        })
    }

    /// What a second instance is made of: the files as they are, or as the release's own make them, or as
    /// they were before it on the way back.
    async fn used_beside(
        &self,
        attempt: &str,
        reference: &str,
    ) -> Result<(Edits, Project), RemoteError> {
        if self.composed.borrow().is_none() && !self.brings_files {
            return Ok((Edits::default(), self.project().await?));
        }
        let plan = self.plan(attempt, reference).await?;
        let used = plan.edits.tried(&plan.used);
        Ok((plan.edits, used))
    }

    fn speaks_against(&self, answers: &[Answer]) -> Option<RemoteError> {
        let (why, advice) = objection(answers, &self.service)?;
        Some(self.not_ready(why, advice.into()))
    }

    /// Whoever shares a network reaches both instances by the service's name from the moment of its
    /// start, healthy or not: weight 0 keeps nothing of that away.
    fn judge_sisters(
        &self,
        answers: &[Answer],
        bridge: &Bridge,
        say: &dyn Fn(&str),
    ) -> Result<(), RemoteError> {
        match reached_by(answers, &self.service) {
            None => Ok(()),
            Some(why) if bridge.allows_sisters => {
                say(&why);
                Ok(())
            }
            Some(why) => {
                let advice = "where that does no harm, set compose.allow-sisters = true".into();
                Err(self.not_ready(why, advice))
            }
        }
    }

    /// Starts the second instance with that image, or tells how that attempt has ended.
    pub(super) async fn start_beside(
        &self,
        attempt: &str,
        reference: &str,
    ) -> Result<(), RemoteError> {
        let Some(bridge) = &self.bridge else {
            let why = "no second port is named".to_owned();
            return Err(self.not_ready(why, "set compose.bridge-port".into()));
        };
        let compose = self.needed_compose().await?;
        let own = self.known_name().await?;
        let owner = beside(own);
        let seconds = SWITCH.as_secs().to_string();
        let limit = SWITCH.saturating_mul(2) + LOOK;
        let what = "start a second instance";
        let command = format!("{compose} for {owner}");
        let wait = ["await", &owner, attempt, &seconds];
        let answers = self.ask_beside(what, &wait, limit).await?;
        if let Some(result) = self.ended(&answers, &command) {
            return result;
        }
        let (edits, project) = self.used_beside(attempt, reference).await?;
        let (target, port) = (self.port.to_string(), bridge.port.to_string());
        let start = [
            "start",
            &project.directory,
            &self.service,
            &target,
            &port,
            &compose.config(&project),
            &project.name,
            &owner,
            attempt,
            &seconds,
            plain(reference).ok_or_else(|| {
                self.not_ready(format!("`{reference}` is no image"), "look".into())
            })?,
            &compose.program(),
            compose.pull_words(),
            &edits.packed(),
        ];
        let answers = self.ask_beside(what, &start, limit).await?;
        if let Some(error) = self.speaks_against(&answers) {
            return Err(error);
        }
        self.ended(&answers, &command).unwrap_or_else(|| {
            Err(RemoteError::Unfinished {
                host: self.name.clone(),
                command: command.clone(),
                why: "the host did not say how it ended",
            })
        })
    }

    /// Removes the second instance, once no attempt of ours is under way there.
    pub(super) async fn clear_beside(&self) -> Result<(), RemoteError> {
        if self.bridge.is_none() {
            return Ok(());
        }
        let owner = beside(self.known_name().await?);
        let seconds = SWITCH.as_secs().to_string();
        let wait = ["await", &owner, "-", &seconds];
        let answers = self.ask_beside(WHAT, &wait, SWITCH + LOOK).await?;
        if answers.contains(&Answer::Busy) {
            return Err(RemoteError::Unfinished {
                host: self.name.clone(),
                command: format!("compose for {owner}"),
                why: "it still runs there",
            });
        }
        for container in self
            .list(&[format!("com.docker.compose.project={owner}")])
            .await?
        {
            let id = container.id.as_deref().unwrap_or_else(|| name(&container));
            self.remove_gently(id).await?;
        }
        let dropped = self.ask_beside(WHAT, &["drop", &owner], LOOK).await;
        dropped.map(drop)
    }

    /// Lets a container end as it wishes to, then removes it with its nameless volumes.
    async fn remove_gently(&self, id: &str) -> Result<(), RemoteError> {
        let stop = async |docker: &Docker| {
            let options = StopContainerOptionsBuilder::new().build();
            optional(docker.stop_container(id, Some(options)).await)
        };
        self.engine("stop the second instance", stop).await?;
        let remove = async |docker: &Docker| {
            let options = RemoveContainerOptionsBuilder::new()
                .v(true)
                .force(true)
                .build();
            optional(docker.remove_container(id, Some(options)).await)
        };
        let removed = self.engine("remove the second instance", remove).await;
        removed.map(drop)
    }
}

impl Compose {
    /// What keeps an `up` from pulling, where it knows that.
    fn pull_words(&self) -> &'static str {
        if self.knows_pull() {
            "--pull never"
        } else {
            ""
        }
    }
}

/// An image's name that no YAML and no Compose would read as more than text.
fn plain(reference: &str) -> Option<&str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-/:@".contains(c);
    let begins = reference.starts_with(|c: char| c.is_ascii_alphanumeric());
    (begins && reference.chars().all(is_plain)).then_some(reference)
}

#[cfg(test)]
mod tests;
