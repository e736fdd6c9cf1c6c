//! Finds before any weight moves what would stop a switch, or make it bring up something else than
//! what runs: Compose is asked with exactly what will be used.

use bollard::models::ContainerSummary;

use super::{
    Host, RemoteError,
    engine::{Containers, is_running, name},
    error,
    project::{Project, directory_of, hash_of, project_of},
    said::Tried,
};

impl Host {
    /// Everything about the project that can be known before the release is there.
    pub(super) async fn check_project(
        &self,
        reference: &str,
        say: &dyn Fn(&str),
    ) -> Result<(), RemoteError> {
        self.mend_files().await?;
        let compose = self.needed_compose().await?;
        if compose.is_first_generation() {
            self.check_engine_suits_first_generation(compose).await?;
        }
        let found = self.service_containers().await?;
        self.check_count(found.running())?;
        if found.summary().is_none_or(|it| !is_running(it)) {
            self.check_strangers().await?;
        }
        let project = self.project().await?;
        if let Some(composed) = self.composed_of(reference) {
            return self.check_composed(project, &composed, (&found, say)).await;
        }
        let shown = self.show(&project, "-").await?;
        let plan = self.forward(project.clone(), &shown, reference).await?;
        let mut old = project.clone();
        old.files.retain(|file| plan.after.files.contains(file));
        let compared = Some((&old, &project));
        let tried = self.try_out(&plan.after, &plan.edits, compared).await?;
        self.has_composed_check.set(tried.health_check);
        let is_second = !compose.is_first_generation();
        let count = tried.scale.or(tried.replicas.filter(|_| is_second));
        self.check_count(count.map_or(0, |count| count as usize))?;
        self.judge(&tried, &project, reference)?;
        self.check_values(&tried, &project, &found)
    }

    pub(super) fn not_ready(&self, why: String, advice: String) -> RemoteError {
        RemoteError::NotReady {
            host: self.name.clone(),
            why,
            advice,
        }
    }

    /// One container of a service is drained, switched and proven on a host; several would be judged by
    /// one of them.
    pub(super) fn check_count(&self, count: usize) -> Result<(), RemoteError> {
        if count < 2 {
            return Ok(());
        }
        let why = format!("{count} containers of `{}` run on it", self.service);
        let advice = "dockmaster changes one on a host: set scale (or deploy.replicas) to 1 there and give the weight to more hosts".into();
        Err(self.not_ready(why, advice))
    }

    /// Where nothing of the project runs, whatever answers there instead would be in the way, and is
    /// what the environment's file should have named.
    async fn check_strangers(&self) -> Result<(), RemoteError> {
        let ours = self.known_name().await?;
        let folder = self.directory.trim_end_matches('/');
        let is_in_the_way = |it: &&ContainerSummary| {
            let labels = it.labels.as_ref();
            let is_ours = labels.is_some_and(|labels| project_of(labels) == ours);
            let service = labels.and_then(|labels| labels.get("com.docker.compose.service"));
            let is_here = labels.is_some_and(|labels| directory_of(labels) == folder);
            let is_namesake = is_here && service == Some(&self.service);
            let mut ports = it.ports.iter().flatten();
            let has_port = ports.any(|port| port.public_port == Some(self.public_port));
            is_running(it) && ((!is_ours && is_namesake) || (self.has_balancer && has_port))
        };
        let all = self.list(&[]).await?;
        let Some(stranger) = all.iter().find(is_in_the_way) else {
            return Ok(());
        };
        let project = stranger.labels.as_ref().map(project_of).unwrap_or_default();
        let of = if project.is_empty() {
            String::new()
        } else {
            format!(" of project {project}")
        };
        let why = format!(
            "nothing of project {ours} with service {} runs there, but {}{of} does",
            self.service,
            name(stranger)
        );
        let advice =
            "name in compose.project, compose.service and compose.directory what serves now".into();
        Err(self.not_ready(why, advice))
    }

    fn judge(&self, tried: &Tried, project: &Project, reference: &str) -> Result<(), RemoteError> {
        if let Some((why, file)) = &tried.refusal {
            return Err(error::not_ready(&self.name, why, file));
        }
        let files = project.files.join(" and ");
        let service = &self.service;
        if tried.is_unreadable {
            let why = format!(
                "Compose does not take {files} as dockmaster runs it:\n    {}",
                tried.log.join("\n    ")
            );
            let advice = format!(
                "correct that; a variable that only somebody's shell has belongs into {}/.env",
                project.directory
            );
            return Err(self.not_ready(why, advice));
        }
        if tried.lacks_service {
            let why = format!("{files} has no service `{service}`");
            return Err(self.not_ready(why, "correct compose.service".into()));
        }
        if tried.image != reference || tried.has_other_changes {
            let why = format!("the image of `{service}` in {files} cannot be changed alone");
            let advice = "write it on a line `image: …` of the service's own, and so for services that take it over by an anchor or extends".into();
            return Err(self.not_ready(why, advice));
        }
        Ok(())
    }

    /// What was made with values that nothing sets here would be made without them.
    fn check_values(
        &self,
        tried: &Tried,
        project: &Project,
        found: &Containers,
    ) -> Result<(), RemoteError> {
        let made = found.labels().map(hash_of).unwrap_or_default();
        let is_same = made.is_empty() || tried.hash.as_deref().is_none_or(|hash| hash == made);
        if is_same || tried.unset.is_empty() {
            return Ok(());
        }
        let names = tried.unset.join(", ");
        let why = format!(
            "nothing sets {names} for {}, and what runs was made otherwise",
            project.files.join(" and ")
        );
        let advice = format!(
            "write it into {}/.env (what a person's shell has is not there for dockmaster), or give it a default in the file: ${{NAME:-}}",
            project.directory
        );
        Err(self.not_ready(why, advice))
    }
}
