//! Finds the compose project on a host: by what runs there, or else by what was remembered, or else
//! by asking Compose.

use bollard::models::ContainerSummary;

use super::{
    Host, LOOK, RemoteError,
    project::{self, Labels, Project, Unclear},
    script::Answer,
};

/// What a folder tells of its project.
#[derive(Debug, Default)]
struct Place {
    /// The folder without links; empty where it is not there.
    real: String,
    /// The files that Compose would look for.
    there: Vec<String>,
    has_own_files: bool,
    /// The name that `.env` gives.
    name: Option<String>,
    remembered: Option<Project>,
}

impl Place {
    fn read(answers: Vec<Answer>) -> Self {
        let mut place = Self::default();
        let mut lines = Vec::new();
        for answer in answers {
            match answer {
                Answer::Real(path) => place.real = path,
                Answer::There(path) => place.there.push(path),
                Answer::OwnFiles => place.has_own_files = true,
                Answer::Name(name) => place.name = Some(project::normal(&name)),
                Answer::Remembered(line) => lines.push(line),
                _ => {}
            }
        }
        place.remembered = Project::remembered(lines.iter().map(String::as_str));
        place
    }
}

impl Host {
    /// Under what the project is remembered on the host.
    pub(super) fn key(&self) -> String {
        let name = format!("{}.{}", self.directory, self.service);
        name.replace('/', "%")
    }

    fn unclear(&self, unclear: &Unclear) -> RemoteError {
        RemoteError::NotReady {
            host: self.name.clone(),
            why: unclear.to_string(),
            advice: unclear.advice().into(),
        }
    }

    async fn place(&self, directory: &str) -> Result<Place, RemoteError> {
        let arguments = ["place", directory, &self.key()];
        let answers = self.ask("look for the compose project", &arguments, LOOK);
        Ok(Place::read(answers.await?))
    }

    /// The project's name; `found` are all containers whose service has the right name.
    pub(super) async fn project_name(
        &self,
        found: &[ContainerSummary],
    ) -> Result<&str, RemoteError> {
        let find = async || self.find_name(found).await;
        Ok(self.project_name.get_or_try_init(find).await?)
    }

    /// The project's name, found once.
    pub(super) async fn known_name(&self) -> Result<&str, RemoteError> {
        if let Some(name) = self.project_name.get() {
            return Ok(name);
        }
        let found = self.list(&self.service_labels()).await?;
        self.project_name(&found).await
    }

    async fn find_name(&self, found: &[ContainerSummary]) -> Result<String, RemoteError> {
        if let Some(name) = &self.configured_project {
            return Ok(name.clone());
        }
        let labels = || found.iter().filter_map(|it| it.labels.as_ref());
        let unclear = |unclear| self.unclear(&unclear);
        if let Some(name) = project::name(labels(), &[&self.directory]).map_err(unclear)? {
            return Ok(name);
        }
        let place = self.place(&self.directory).await?;
        let folders = [self.directory.as_str(), &place.real];
        if let Some(name) = project::name(labels(), &folders).map_err(unclear)? {
            return Ok(name);
        }
        if let Some(project) = place.remembered {
            return Ok(project.name);
        }
        let said = self.said_name().await?.or(place.name);
        Ok(said.unwrap_or_else(|| project::normal(&self.directory)))
    }

    /// What Compose itself calls the project, where it says so.
    async fn said_name(&self) -> Result<Option<String>, RemoteError> {
        let Some(compose) = self.compose(None).await? else {
            return Ok(None);
        };
        if compose.is_first_generation() {
            return Ok(None);
        }
        let arguments = ["name", &self.directory, &compose.name()];
        let answers = self.ask("ask Compose for the project's name", &arguments, LOOK);
        Ok(answers.await?.into_iter().find_map(|answer| match answer {
            Answer::Name(name) => Some(name),
            _ => None,
        }))
    }

    /// The project as it runs, or as it was known last.
    pub(super) async fn project(&self) -> Result<Project, RemoteError> {
        if let Some(project) = &*self.project.borrow() {
            return Ok(project.clone());
        }
        let found = self.service_containers().await?;
        let made_by = found.compose_version();
        let project = match self.written_labels(&found).await? {
            Some(labels) => self.project_of(&labels, made_by.as_deref()).await?,
            None => self.unmade(None, made_by.as_deref()).await?,
        };
        *self.project.borrow_mut() = Some(project.clone());
        Ok(project)
    }

    /// From now on the project is made of these files.
    pub(super) fn set_project(&self, project: Project) {
        *self.project.borrow_mut() = Some(project);
    }

    async fn project_of(
        &self,
        labels: &Labels,
        made_by: Option<&str>,
    ) -> Result<Project, RemoteError> {
        let unclear = |unclear| self.unclear(&unclear);
        let origin = project::origin(labels).map_err(unclear)?;
        let Some(origin) = origin else {
            return self.unmade(None, made_by).await;
        };
        let all = origin.files.iter().chain(&origin.env_files);
        let is_kept = |places: &Vec<String>| {
            let mut places = places.iter();
            places.any(|path| path.contains("/.cache/dockmaster/"))
        };
        if origin.files.iter().any(is_kept) {
            // A definition that was kept for the way back: its project is remembered.
            return self.unmade(Some(&origin.directory), made_by).await;
        }
        let paths: Vec<&str> = all.flatten().map(String::as_str).collect();
        let there = self.there(&paths).await?;
        let pick = |places: &Vec<Vec<String>>| {
            let picked = places.iter().map(|it| project::one_of(it, &there));
            picked.collect::<Result<Vec<_>, _>>().map_err(unclear)
        };
        let (mut files, env_files) = (pick(&origin.files)?, pick(&origin.env_files)?);
        let mut unnamed = Vec::new();
        if project::is_plain(&origin.directory, &files) {
            let place = self.place(&origin.directory).await?;
            if !place.has_own_files {
                let named = files;
                files = self.plain(&origin.directory, &place, made_by).await?;
                unnamed.extend(files.iter().filter(|it| !named.contains(it)).cloned());
            }
        }
        Ok(Project {
            name: project::project_of(labels).to_owned(),
            directory: origin.directory,
            files,
            env_files,
            unnamed,
        })
    }

    async fn there(&self, paths: &[&str]) -> Result<Vec<String>, RemoteError> {
        let arguments = [&["there"], paths].concat();
        let answers = self.ask("look for the compose files", &arguments, LOOK);
        let there = answers
            .await?
            .into_iter()
            .filter_map(|answer| match answer {
                Answer::There(path) => Some(path),
                _ => None,
            });
        Ok(there.collect())
    }

    async fn plain(
        &self,
        directory: &str,
        place: &Place,
        made_by: Option<&str>,
    ) -> Result<Vec<String>, RemoteError> {
        let compose = self.compose(made_by).await?;
        let is_first = compose.is_some_and(super::compose::Compose::is_first_generation);
        Ok(project::plain(directory, &place.there, is_first))
    }

    /// The project where no container's labels tell.
    async fn unmade(
        &self,
        directory: Option<&str>,
        made_by: Option<&str>,
    ) -> Result<Project, RemoteError> {
        let directory = directory.unwrap_or(&self.directory);
        let place = self.place(&self.directory).await?;
        if let Some(project) = place.remembered {
            return Ok(project);
        }
        if place.has_own_files {
            return Err(super::error::not_ready(
                &self.name,
                "own-files",
                &format!("{directory}/.env"),
            ));
        }
        let files = self.plain(directory, &place, made_by).await?;
        if files.is_empty() && self.composed.borrow().is_none() {
            return Err(super::error::not_ready(&self.name, "no-project", directory));
        }
        Ok(Project {
            name: self.known_name().await?.to_owned(),
            directory: directory.to_owned(),
            unnamed: files.iter().skip(1).cloned().collect(),
            files,
            env_files: Vec::new(),
        })
    }
}
