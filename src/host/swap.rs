//! A release's own compose files on their way into the places of those that a host has.

use std::{fmt::Write, rc::Rc};

use super::{
    Host, LOOK, RemoteError,
    composed::{self, Composed},
    error,
    project::{self, Project},
    release::Plan,
    said::{Edits, Shown, packed},
    script::{self, Answer},
    ssh::Script,
};
use crate::rollout::port::Container;

impl Host {
    /// The files that come with that release.
    pub(super) fn composed_of(&self, reference: &str) -> Option<Rc<Composed>> {
        let composed = self.composed.borrow().clone();
        composed.filter(|it| it.reference == reference)
    }

    /// True where the release's image runs, made of other files than the release brings.
    pub(super) async fn is_outdated(&self, container: &Container) -> Result<bool, RemoteError> {
        let composed = self.composed.borrow().clone();
        let composed = composed.filter(|it| container.digests.contains(&it.reference));
        let Some(composed) = composed else {
            return Ok(false);
        };
        if let Some(known) = self.is_outdated.get() {
            return Ok(known);
        }
        let is_outdated = match self.differs(&composed).await {
            // What is wrong is told before any weight moves: by `pull`.
            Err(RemoteError::NotReady { .. } | RemoteError::Composed { .. }) => true,
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
        let wanted: (&[&str], &str) = (&composed.texts(), &composed.reference);
        let (at, line) = self.pin(&composed.names(), wanted, |why, advice| {
            self.not_composed(why, advice)
        })?;
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
        self.check_strange_files(&project, (&places, &shown), composed)?;
        let beside = project.files.first().map_or("-", String::as_str);
        let mut edits = Edits::default();
        for (place, text) in places.iter().zip(&texts) {
            let (now, sum) = (shown.sum(place), composed::sum(text));
            if now != sum {
                edits.place(now, place, (&sum, beside));
            }
        }
        for old in project.files.iter().filter(|it| !places.contains(it)) {
            let is_ours = !project.unnamed.contains(old);
            if is_ours && shown.sum(old) != "-" {
                edits.remove(shown.sum(old), old);
            }
        }
        let after = Project {
            files: places,
            unnamed: Vec::new(),
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

    /// What nothing runs from is not dockmaster's to write over or to remove, unless a release brought it.
    fn check_strange_files(
        &self,
        project: &Project,
        (places, shown): (&[String], &Shown),
        composed: &Composed,
    ) -> Result<(), RemoteError> {
        let is_strange = |it: &&String| {
            let is_named = project.files.contains(it) && !project.unnamed.contains(it);
            !is_named && shown.sum(it) != "-" && !shown.written.contains(it)
        };
        let names = composed.names();
        let why = |it: &String| format!("{it} is there, and what runs is not made of it");
        if let Some(strange) = places.iter().find(is_strange) {
            let advice = format!("move it away: {names} would take its place");
            return Err(self.not_ready(why(strange), advice));
        }
        let mut left = project.unnamed.iter().filter(|it| !places.contains(it));
        // Beside files that are named with -f, nobody reads it.
        let is_read = project::is_plain(&project.directory, places);
        if let Some(left) = left.find(|_| is_read) {
            let advice = format!(
                "move it away, for the next plain `up` would read it beside {names}; or add it to compose.file"
            );
            return Err(self.not_ready(why(left), advice));
        }
        Ok(())
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
