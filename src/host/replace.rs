//! Replacing the service's container: by Compose, in an attempt that outlives the connection and is
//! made once.

use std::time::Duration;

use super::{
    Host, LOOK,
    compose::{Compose, quoted},
    error::{self, RemoteError},
    project::hash_of,
    release::Plan,
    said::packed,
    script::Answer,
};
use crate::rollout::journal::BACK;

/// How long Compose may take to replace the container, and another attempt to end before.
pub(super) const SWITCH: Duration = Duration::from_mins(15);
const WHAT: &str = "switch the release";

impl Host {
    /// Makes Compose run `reference`, or tells how that attempt has ended.
    pub(super) async fn switch_release(
        &self,
        attempt: &str,
        reference: &str,
    ) -> Result<(), RemoteError> {
        let compose = self.needed_compose().await?;
        let name = self.known_name().await?;
        let seconds = SWITCH.as_secs().to_string();
        let limit = SWITCH.saturating_mul(2) + LOOK;
        let wait = ["await", name, attempt, &seconds];
        let answers = self.ask(WHAT, &wait, limit).await?;
        if let Some(result) = self.ended(&answers, &compose.to_string()) {
            return result;
        }
        self.mend_leftovers().await?;
        self.mend_files().await?;
        let plan = self.plan(attempt, reference).await?;
        let holds = if plan.is_composed {
            self.has_held_others.get()
        } else {
            compose.forgets_dependencies() && self.others_hold(compose, &plan.before).await?
        };
        let with_dependencies = compose.forgets_dependencies() && holds;
        let line = compose.up(&plan.used, &self.service, with_dependencies);
        let words = || line.iter().map(String::as_str);
        let (command, up) = (line.join(" "), quoted(words()));
        let facts = self.facts().await?;
        let start = [
            "start",
            &plan.after.directory,
            name,
            attempt,
            &seconds,
            &plan.edits.packed(),
            &packed(&facts),
            &packed(&plan.before.memory()),
            &self.key(),
            &up,
            &self.service,
            &compose.config(&plan.used),
            &compose.hashes(&plan.used),
            &packed(&plan.after.memory()),
        ];
        // Until it has ended nobody knows.
        self.is_outdated.set(None);
        let answers = self.ask(WHAT, &start, limit).await?;
        let unknown = || {
            Err(RemoteError::Unfinished {
                host: self.name.clone(),
                command: command.clone(),
                why: "the host did not say how it ended",
            })
        };
        let ended = self.ended(&answers, &command).unwrap_or_else(unknown);
        if ended.is_ok() {
            self.is_outdated.set(plan.is_composed.then_some(false));
            self.set_project(plan.after);
        }
        ended
    }

    /// What becomes of the files: the release's line or its own files, or all as it was before the run where
    /// what ran before is wanted.
    pub(super) async fn plan(&self, attempt: &str, reference: &str) -> Result<Plan, RemoteError> {
        let wanted = self.image_id(reference).await?;
        let run = run_of(attempt);
        let name = self.known_name().await?;
        // Not by the project's files: what was cut off may have left some, and not others.
        let was = self.show_files(name, run, &[]).await?.was;
        match (was, wanted) {
            (Some(was), Some(image)) if was.image == image => {
                self.back(was, &image, reference).await
            }
            _ => self.by_release(attempt, reference).await,
        }
    }

    async fn by_release(&self, attempt: &str, reference: &str) -> Result<Plan, RemoteError> {
        let project = self.project().await?;
        if let Some(composed) = self.composed_of(reference) {
            // The image is that of before, and without a trace of the way there nothing was changed.
            if attempt.ends_with(BACK) {
                return Ok(Plan::nothing(project));
            }
            return self.forward_composed(project, &composed).await;
        }
        let shown = self.show(&project, "-").await?;
        self.forward(project, &shown, reference).await
    }

    /// What an attempt left that was cut off is put back where the container of before still is the service's,
    /// so that a plain `up` does not bring its release out.
    pub(super) async fn mend_files(&self) -> Result<(), RemoteError> {
        let name = self.known_name().await?;
        let what = "look for what was cut off";
        let answers = self.ask(what, &["cut_off", name], LOOK).await?;
        let cut_off = answers.into_iter().find_map(|answer| match answer {
            Answer::CutOff(cut_off) => Some(cut_off),
            _ => None,
        });
        let Some(cut_off) = cut_off else {
            return Ok(());
        };
        let found = self.service_containers().await?;
        let image = found.summary().and_then(|it| it.image_id.as_deref());
        let hash = found.labels().map(hash_of).filter(|it| !it.is_empty());
        if image != Some(cut_off.image.as_str()) || hash.unwrap_or("-") != cut_off.hash {
            return Ok(());
        }
        let arguments = ["mend", name, &cut_off.attempt, &self.key()];
        self.ask("put the compose files back", &arguments, LOOK)
            .await?;
        // Its files may be others now.
        self.is_outdated.set(None);
        self.project.borrow_mut().take();
        Ok(())
    }

    /// What runs before the attempt.
    async fn facts(&self) -> Result<String, RemoteError> {
        let found = self.service_containers().await?;
        let current = found.summary();
        let image = current.and_then(|it| it.image_id.as_deref());
        let hash = current.and_then(|it| it.labels.as_ref()).map(hash_of);
        let hash = hash.filter(|it| !it.is_empty());
        Ok(format!(
            "image {}\nhash {}\n",
            image.unwrap_or("-"),
            hash.unwrap_or("-")
        ))
    }

    /// As `compose`, when there is no going on without it.
    pub(super) async fn needed_compose(&self) -> Result<&Compose, RemoteError> {
        let made_by = self.service_containers().await?.compose_version();
        self.compose(made_by.as_deref())
            .await?
            .ok_or_else(|| RemoteError::NotReady {
                host: self.name.clone(),
                why: "it has neither docker compose nor docker-compose".into(),
                advice: "try: apt install docker-compose".into(),
            })
    }

    /// What became of an attempt; `None` when it was not made yet.
    pub(super) fn ended(
        &self,
        answers: &[Answer],
        command: &str,
    ) -> Option<Result<(), RemoteError>> {
        let unfinished = |why| {
            Err(RemoteError::Unfinished {
                host: self.name.clone(),
                command: command.to_owned(),
                why,
            })
        };
        answers.iter().find_map(|answer| match answer {
            Answer::Ended(0) => Some(Ok(())),
            Answer::Ended(code) => Some(Err(RemoteError::Compose {
                host: self.name.clone(),
                command: command.to_owned(),
                code: *code,
                log: log_lines(answers),
            })),
            Answer::Busy => Some(unfinished("it, or one before it, still runs there")),
            Answer::Died => Some(unfinished("it was killed")),
            Answer::Refuse { why, file } => Some(Err(error::not_ready(&self.name, why, file))),
            _ => None,
        })
    }
}

/// An attempt is called `RUN-NUMBER`, or `RUN-NUMBER-back`.
fn run_of(attempt: &str) -> &str {
    let attempt = attempt.strip_suffix(BACK).unwrap_or(attempt);
    attempt.rsplit_once('-').map_or(attempt, |(run, _)| run)
}

fn log_lines(answers: &[Answer]) -> String {
    let lines: Vec<_> = answers
        .iter()
        .filter_map(|answer| match answer {
            Answer::Log(line) => Some(format!("    {line}")),
            _ => None,
        })
        .collect();
    lines.join("\n")
}
