//! Writes a release into the project's own files, so that whatever a person types later gives the
//! release that is live, and no other service changes: an override beside them would make Compose 1
//! recreate others.

use super::{
    Host, LOOK, RemoteError,
    compose::{Compose, is_old_override},
    engine::is_running,
    error,
    pin::{self, Line},
    project::{Labels, Project, hash_of},
    said::{Edits, Shown, Tried, Was},
    script::{Answer, File},
};

/// What a switch does to the files.
#[derive(Debug)]
pub(super) struct Plan {
    pub edits: Edits,
    pub before: Project,
    pub after: Project,
    /// What Compose reads: another definition where the files do not say what ran before.
    pub used: Project,
    /// True where the files come with the release.
    pub is_composed: bool,
}

impl Plan {
    /// The project as it is.
    pub(super) fn nothing(project: Project) -> Self {
        Self {
            edits: Edits::default(),
            before: project.clone(),
            after: project.clone(),
            used: project,
            is_composed: false,
        }
    }
}

/// A container, and what it was made from.
struct Made {
    /// The service, and what its definition is compared by.
    definition: (String, String),
    runs: bool,
}

impl Host {
    /// Reads files of the project; fails where one cannot be read or changed.
    pub(super) async fn show(&self, project: &Project, run: &str) -> Result<Shown, RemoteError> {
        let shown = self.show_files(&project.name, run, &project.files).await?;
        match &shown.gone[..] {
            [] => Ok(shown),
            [gone, ..] => Err(error::not_ready(&self.name, "gone", gone)),
        }
    }

    pub(super) async fn show_files(
        &self,
        project: &str,
        run: &str,
        paths: &[String],
    ) -> Result<Shown, RemoteError> {
        let mut arguments = vec!["show", project, run];
        arguments.extend(paths.iter().map(String::as_str));
        let answers = self.ask("read the compose files", &arguments, LOOK).await?;
        let shown = Shown::read(answers);
        match &shown.refusal {
            None => Ok(shown),
            Some((why, file)) => Err(error::not_ready(&self.name, why, file)),
        }
    }

    /// How the release gets into the files as they are.
    pub(super) async fn forward(
        &self,
        project: Project,
        shown: &Shown,
        reference: &str,
    ) -> Result<Plan, RemoteError> {
        let mut edits = Edits::default();
        let mut after = project.clone();
        let ours = |file: &&File| is_old_override(&file.path, &file.text);
        if let Some(old) = shown.files.iter().find(ours)
            && self.may_drop(&project, &old.path).await?
        {
            edits.remove(&old.sum, &old.path);
            after.files.retain(|path| *path != old.path);
        }
        let files: Vec<_> = after.files.iter().filter_map(|it| shown.file(it)).collect();
        let texts: Vec<_> = files.iter().map(|file| file.text.as_str()).collect();
        let (at, line) = self.pinned(&after, &texts, reference)?;
        edits.line(files[at], &line);
        Ok(Plan {
            edits,
            before: project,
            used: after.clone(),
            after,
            is_composed: false,
        })
    }

    /// The line of a host's own files that is to name the release.
    fn pinned(
        &self,
        project: &Project,
        texts: &[&str],
        reference: &str,
    ) -> Result<(usize, Line), RemoteError> {
        let names = project.files.join(" and ");
        self.pin(&names, (texts, reference), |why, advice| {
            self.not_ready(why, advice)
        })
    }

    /// That line; where there is none, `refuse` says whose turn it is.
    pub(super) fn pin(
        &self,
        names: &str,
        (texts, reference): (&[&str], &str),
        refuse: impl FnOnce(String, String) -> RemoteError,
    ) -> Result<(usize, Line), RemoteError> {
        let service = &self.service;
        if !pin::is_plain(service) || !pin::is_plain(reference) {
            let why = format!("`{reference}` cannot name the image of `{service}`");
            let advice = "look at compose.service and release.image";
            return Err(self.not_ready(why, advice.into()));
        }
        pin::pin(texts, service, reference).ok_or_else(|| {
            let why = format!("no line of {names} names the image of `{service}` alone");
            let advice = "write the service there as a block with a line `image: …` of its own (and check compose.service)";
            refuse(why, advice.into())
        })
    }

    /// Whether the override that earlier releases wrote can go: not where Compose 1 would recreate
    /// other services for it.
    async fn may_drop(&self, project: &Project, old: &str) -> Result<bool, RemoteError> {
        let compose = self.needed_compose().await?;
        if !compose.is_first_generation() {
            return Ok(true);
        }
        let mut without = project.clone();
        without.files.retain(|path| path != old);
        let made = self.made(&project.name).await?;
        let (with, without) = (
            self.hashes(compose, project).await?,
            self.hashes(compose, &without).await?,
        );
        let definitions = made.iter().map(|made| &made.definition);
        let mut others = definitions.filter(|(service, _)| *service != self.service);
        let holds = |hashes: &[(String, String)], it: &(String, String)| hashes.contains(it);
        Ok(!others.any(|it| holds(&with, it) && !holds(&without, it)))
    }

    /// Each container of the project.
    async fn made(&self, project: &str) -> Result<Vec<Made>, RemoteError> {
        let labels = [
            format!("com.docker.compose.project={project}"),
            "com.docker.compose.oneoff=False".to_owned(),
        ];
        let all = self.list(&labels).await?;
        let made = |labels: &Labels, runs| {
            let service = labels.get("com.docker.compose.service")?;
            Some(Made {
                definition: (service.clone(), hash_of(labels).to_owned()),
                runs,
            })
        };
        Ok(all
            .iter()
            .filter_map(|it| made(it.labels.as_ref()?, is_running(it)))
            .collect())
    }

    /// True where all other services run as the files say: a call that names one of them as well
    /// changes nothing.
    pub(super) async fn others_hold(
        &self,
        compose: &Compose,
        project: &Project,
    ) -> Result<bool, RemoteError> {
        let hashes = self.hashes(compose, project).await?;
        self.run_as(&hashes, project).await
    }

    /// True where all other services run as these hashes say.
    pub(super) async fn run_as(
        &self,
        hashes: &[(String, String)],
        project: &Project,
    ) -> Result<bool, RemoteError> {
        let made = self.made(&project.name).await?;
        let is_ours = |it: &&(String, String)| it.0 == self.service;
        let mut others = hashes.iter().filter(|it| !is_ours(it));
        let runs = |it: &(String, String)| {
            let mut of = made.iter().filter(|made| made.definition.0 == it.0);
            let first = of.next();
            first.is_some_and(|made| made.runs && made.definition == *it) && of.next().is_none()
        };
        Ok(hashes.iter().any(|it| is_ours(&it)) && others.all(runs))
    }

    async fn hashes(
        &self,
        compose: &Compose,
        project: &Project,
    ) -> Result<Vec<(String, String)>, RemoteError> {
        let arguments = ["hashes", &project.directory, &compose.hashes(project)];
        let answers = self.ask("ask Compose about its files", &arguments, LOOK);
        let hashes = answers
            .await?
            .into_iter()
            .filter_map(|answer| match answer {
                Answer::Hash { service, hash } => Some((service, hash)),
                _ => None,
            });
        Ok(hashes.collect())
    }

    /// How the files become what they were before the run. What somebody else has changed since
    /// stays, and names the release that was live.
    pub(super) async fn back(
        &self,
        was: Was,
        image: &str,
        reference: &str,
    ) -> Result<Plan, RemoteError> {
        let mut paths = was.project.files.clone();
        paths.extend(was.files.iter().map(|(_, _, _, path)| path.clone()));
        paths.extend(was.files.iter().map(|(_, _, kept, _)| kept.clone()));
        let shown = self.show_files(&was.project.name, "-", &paths).await?;
        let mut edits = Edits::default();
        let mut kept_at = Vec::new();
        for (sum, is, kept, path) in &was.files {
            let now = shown.sum(path);
            if now != is || sum == is {
                continue;
            }
            if sum == "-" {
                edits.remove(now, path);
            } else {
                edits.restore(now, path, kept);
                kept_at.push((path, kept));
            }
        }
        let tried = self.try_out(&was.project, &edits, None).await?;
        if self.image_id(&tried.image).await?.as_deref() != Some(image) {
            // Its tag has moved on, or somebody named another release meanwhile.
            let text = |path: &String| {
                let kept = kept_at.iter().find(|(it, _)| *it == path);
                let kept = kept.map_or(path, |(_, kept)| kept);
                shown.file(kept).map_or("", |file| file.text.as_str())
            };
            let texts: Vec<_> = was.project.files.iter().map(text).collect();
            let (at, line) = self.pinned(&was.project, &texts, reference)?;
            let path = &was.project.files[at];
            let way = if line.is_new { "insert" } else { "line" };
            edits.add(shown.sum(path), way, path, line.number, &line.text);
        }
        let mut used = was.project.clone();
        if tried.hash.as_deref() != Some(&was.hash)
            && let Some(definition) = was.definition
        {
            used.files = vec![definition];
        }
        Ok(Plan {
            edits,
            before: was.project.clone(),
            after: was.project,
            used,
            is_composed: false,
        })
    }

    pub(super) async fn image_id(&self, reference: &str) -> Result<Option<String>, RemoteError> {
        if reference.is_empty() {
            return Ok(None);
        }
        Ok(self.image(reference).await?.and_then(|image| image.id))
    }

    /// Asks Compose what it makes of the files, and of the changed ones; `compared` are the files that
    /// may differ from the changed ones in the image alone.
    pub(super) async fn try_out(
        &self,
        project: &Project,
        edits: &Edits,
        compared: Option<(&Project, &Project)>,
    ) -> Result<Tried, RemoteError> {
        let compose = self.needed_compose().await?;
        let tried = edits.tried(project);
        let (old, hashes) = match compared {
            Some((old, now)) => (compose.config(old), compose.hashes(now)),
            None => (":".to_owned(), compose.hashes(&tried)),
        };
        let new = compose.config(&tried);
        let edits = edits.packed();
        let arguments = [
            "try",
            &project.directory,
            &self.service,
            &edits,
            &old,
            &new,
            &hashes,
        ];
        let answers = self.ask("try the compose files", &arguments, LOOK).await?;
        if answers.is_empty() {
            return Err(error::not_ready(&self.name, "silent", &project.directory));
        }
        Ok(Tried::read(answers, &self.service))
    }
}
