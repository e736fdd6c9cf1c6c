//! A release's own compose files on their way into the places of those that a host has.

use std::fmt::Write;

use super::{
    Host, LOOK, RemoteError,
    composed::{self, Composed},
    error,
    project::Project,
    release::Plan,
    said::{Edits, packed},
    script::{self, Answer},
    ssh::Script,
};
use crate::rollout::port::Container;

impl Host {
    /// The files that come with that release.
    pub(super) fn composed_of(&self, reference: &str) -> Option<&Composed> {
        let composed = self.composed.as_ref();
        composed.filter(|it| it.reference == reference)
    }

    /// True where the release's image runs, made of other files than the release brings.
    pub(super) async fn is_outdated(&self, container: &Container) -> Result<bool, RemoteError> {
        let composed = self.composed.as_ref();
        let composed = composed.filter(|it| container.digests.contains(&it.reference));
        let Some(composed) = composed else {
            return Ok(false);
        };
        if let Some(known) = self.is_outdated.get() {
            return Ok(known);
        }
        let is_outdated = match self.differs(composed).await {
            // What is wrong is told before any weight moves: by `pull`.
            Err(RemoteError::NotReady { .. }) => true,
            differs => differs?,
        };
        self.is_outdated.set(Some(is_outdated));
        Ok(is_outdated)
    }

    async fn differs(&self, composed: &Composed) -> Result<bool, RemoteError> {
        let project = self.project().await?;
        let plan = self.forward_composed(project, composed).await?;
        Ok(!plan.edits.is_empty())
    }

    /// How a release's files get into the places of those that are there.
    pub(super) async fn forward_composed(
        &self,
        project: Project,
        composed: &Composed,
    ) -> Result<Plan, RemoteError> {
        let named = Project {
            files: vec![composed.names()],
            ..Project::default()
        };
        let (at, line) = self.pinned(&named, &composed.texts(), &composed.reference)?;
        let texts = composed.pinned(at, &line);
        self.stage(&texts).await?;
        let places = composed.places(&project);
        let mut all = project.files.clone();
        all.extend(
            places
                .iter()
                .filter(|it| !project.files.contains(it))
                .cloned(),
        );
        let shown = self.show_files(&project.name, "-", &all).await?;
        let is_foreign = |it: &&String| !project.files.contains(it) && shown.sum(it) != "-";
        if let Some(foreign) = places.iter().find(is_foreign) {
            let why = format!("{foreign} is there, and what runs is not made of it");
            let advice = format!("move it away: {} would take its place", composed.names());
            return Err(self.not_ready(why, advice));
        }
        let beside = project.files.first().map_or("-", String::as_str);
        let mut edits = Edits::default();
        for (place, text) in places.iter().zip(&texts) {
            let (now, sum) = (shown.sum(place), composed::sum(text));
            if now != sum {
                edits.place(now, place, (&sum, beside));
            }
        }
        for old in project.files.iter().filter(|it| !places.contains(it)) {
            if shown.sum(old) != "-" {
                edits.remove(shown.sum(old), old);
            }
        }
        let after = Project {
            files: places,
            ..project.clone()
        };
        Ok(Plan {
            edits,
            before: project,
            used: after.clone(),
            after,
            is_composed: true,
        })
    }

    /// Brings the texts to the host, in the script itself: arguments are not long enough for all.
    async fn stage(&self, texts: &[String]) -> Result<(), RemoteError> {
        let mut text = "staged_files() {\n".to_owned();
        for content in texts {
            let _ = writeln!(
                text,
                "staged {} '{}'",
                composed::sum(content),
                packed(content)
            );
        }
        text.push_str("}\n");
        text.push_str(script::TEXT);
        let script = Script {
            what: "bring the release's compose files",
            text: &text,
            arguments: &["stage"],
            limit: LOOK,
        };
        let answers = script::answers(&self.session.script(&script).await?);
        let refused = answers.into_iter().find_map(|answer| match answer {
            Answer::Refuse { why, file } => Some(error::not_ready(&self.name, &why, &file)),
            _ => None,
        });
        refused.map_or(Ok(()), Err)
    }
}
