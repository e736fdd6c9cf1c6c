//! Replacing the service's container: by Compose, in an attempt that outlives the connection and is
//! made once.

use std::time::Duration;

use super::{
    Host, LOOK,
    compose::{self, Compose},
    error::{self, RemoteError},
    script::Answer,
};

/// How long Compose may take to replace the container, and another attempt to end before.
const SWITCH: Duration = Duration::from_mins(15);

impl Host {
    /// Makes Compose run `reference`, or tells how that attempt has ended.
    pub(super) async fn switch_release(
        &self,
        attempt: &str,
        reference: &str,
    ) -> Result<(), RemoteError> {
        let compose = self.needed_compose().await?;
        let line = compose.up(&self.project, &self.service);
        let command = line.join(" ");
        let text = compose::override_text(&self.service, reference);
        let text = text.ok_or_else(|| RemoteError::NotReady {
            host: self.name.clone(),
            why: format!("`{reference}` cannot name the image of `{}`", self.service),
            advice: "look at compose.service and release.image".into(),
        })?;
        let seconds = SWITCH.as_secs().to_string();
        let what = "switch the release";
        let limit = SWITCH.saturating_mul(2) + LOOK;
        let wait = ["await", &self.project, attempt, &seconds];
        let answers = self.ask(what, &wait, limit).await?;
        if let Some(result) = self.ended(&answers, &command) {
            return result;
        }
        self.mend_leftovers().await?;
        let start = [
            "start",
            &self.directory,
            &self.project,
            attempt,
            &seconds,
            &text,
        ];
        let words = line.iter().map(String::as_str);
        let start: Vec<_> = start.into_iter().chain(words).collect();
        let answers = self.ask(what, &start, limit).await?;
        let unknown = || {
            Err(RemoteError::Unfinished {
                host: self.name.clone(),
                command: command.clone(),
                why: "the host did not say how it ended",
            })
        };
        self.ended(&answers, &command).unwrap_or_else(unknown)
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

    /// Finds before any weight moves what would stop a switch.
    pub(super) async fn check_project(&self) -> Result<(), RemoteError> {
        let compose = self.needed_compose().await?;
        if compose.major() == Some(1) {
            self.check_engine_suits_first_generation(compose).await?;
        }
        let arguments = ["check", self.directory.as_str()];
        let answers = self.ask("look at the compose project", &arguments, LOOK);
        self.refusal(&answers.await?).map_or(Ok(()), Err)
    }

    fn refusal(&self, answers: &[Answer]) -> Option<RemoteError> {
        answers.iter().find_map(|answer| match answer {
            Answer::Refuse { why, file } => Some(error::not_ready(&self.name, why, file)),
            _ => None,
        })
    }

    /// What became of an attempt; `None` when it was not made yet.
    fn ended(&self, answers: &[Answer], command: &str) -> Option<Result<(), RemoteError>> {
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
            Answer::Time(_)
            | Answer::FreeKilobytes(_)
            | Answer::Switching
            | Answer::Compose(_)
            | Answer::Free
            | Answer::HealthCheck(_)
            | Answer::Log(_) => None,
        })
    }
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
