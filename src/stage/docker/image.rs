//! The images that a job names: which are allowed, and how they become local.

use super::{
    super::context::Context,
    accounts,
    job::DockerJob,
    scope::{image_names, layers},
};
use crate::{
    config::{DockerLane, PullPolicy},
    docker::{
        auth::{Account, Logins},
        reference::Reference,
        tenant::Tenant,
    },
    failure::{Failure, JobCode},
    gate::{self, HostNames},
    job::Image,
};

/// The variable by which a job brings logins of its own: the text of a `config.json` of Docker's.
const AUTH_CONFIG: &str = "DOCKER_AUTH_CONFIG";

/// The image that the job names, or the lane's own, if the admin allows it.
pub(super) fn of_job(context: &Context<'_>, lane: &DockerLane) -> Result<Reference, Failure> {
    let text = match context.job.image.name.as_str() {
        "" => lane.image.as_deref().unwrap_or_default(),
        name => name,
    };
    if text.is_empty() {
        let what = "the job names no image, and its lane has none of its own";
        return Err(Failure::build(JobCode::Malformed, what)
            .hint("try: add `image: NAME` to the job in .gitlab-ci.yml"));
    }
    allowed(text, &lane.images, "images")
}

/// The reference, if one of the admin's globs covers it.
pub(super) fn allowed(text: &str, globs: &[String], key: &str) -> Result<Reference, Failure> {
    let reference = Reference::parse_or_id(text)?;
    if reference.is_allowed(globs) {
        return Ok(reference);
    }
    let what = format!("the image {} may not be used here", reference.text());
    Err(Failure::build(JobCode::Refused, what)
        .hint(format!("allowed ({key}): {}", globs.join(", "))))
}

/// Whose word it is that an image may be used as this host has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Local {
    /// The lane's own: any image of the host.
    Host,
    /// The job's: what its tenant pulled, and what the operator shares.
    Tenant,
}

impl DockerJob<'_> {
    /// Makes an image local as the pull policy says; its id. Everything goes on by the id: a name may
    /// mean another image a moment later.
    pub(super) async fn local_image(
        &self,
        reference: &Reference,
        wish: &Image,
        local: Local,
    ) -> Result<String, Failure> {
        host_platform(&wish.executor_opts.docker.platform)?;
        let policies = pull_policies(self.lane, wish)?;
        let (last, before) = policies.split_last().ok_or_else(|| {
            Failure::system("the lane has no pull policy: name one in `pull-policy`")
        })?;
        for policy in before {
            match self.local_by(*policy, reference, local).await {
                Ok(id) => return Ok(id),
                Err(failure) => {
                    let name = reference.text();
                    let what = format!("{name}, by the policy {}: {failure}", policy.name());
                    self.context.log.warn(&what).await;
                }
            }
        }
        self.local_by(*last, reference, local).await
    }

    async fn local_by(
        &self,
        policy: PullPolicy,
        reference: &Reference,
        local: Local,
    ) -> Result<String, Failure> {
        if policy == PullPolicy::Always {
            return self.pull(reference).await;
        }
        match self.present_image(reference, local).await? {
            Some(id) => Ok(id),
            None if policy == PullPolicy::IfNotPresent => self.pull(reference).await,
            None => {
                let name = reference.text();
                let what = format!("the image {name} is not on this host, and may not be pulled");
                Err(Failure::build(JobCode::ImageMissing, what).hint(
                    "an image that the operator put on the host is open to jobs if shared-images \
                     of the lane covers it",
                ))
            }
        }
    }

    /// The id of an image that may be used without a registry.
    pub(super) async fn present_image(
        &self,
        reference: &Reference,
        local: Local,
    ) -> Result<Option<String>, Failure> {
        let is_shared = local == Local::Host || reference.is_allowed(&self.lane.shared_images);
        let id = reference
            .digest
            .as_ref()
            .filter(|id| **id == reference.repository);
        if let Some(id) = id {
            return self.present_id(id, is_shared).await;
        }
        if let Ok(kept) = self.image_names()?.kept(reference)
            && let Some(id) = self.engine.image_id(&kept).await?
        {
            self.note_copy(&kept)?;
            return Ok(Some(id));
        }
        if is_shared {
            return Ok(self.host_names().id(&reference.exact()).await?);
        }
        Ok(None)
    }

    /// The image of an id, if one of its names says that it may be used.
    async fn present_id(&self, id: &str, is_shared: bool) -> Result<Option<String>, Failure> {
        let Some((id, names)) = self.engine.image(id).await? else {
            return Ok(None);
        };
        let own = self.image_names()?;
        let is_open = |name: &String| {
            let name_of_host = Reference::parse(name);
            let is_shared =
                name_of_host.is_ok_and(|name| name.is_allowed(&self.lane.shared_images));
            own.is_kept(name) || is_shared && !name.starts_with("dockmaster")
        };
        Ok((is_shared || names.iter().any(is_open)).then_some(id))
    }

    /// Pulls what a name means to its registry, with the job's own account, for the job's tenant; the
    /// image's id. No name of the host is moved.
    pub(super) async fn pull(&self, reference: &Reference) -> Result<String, Failure> {
        let name = reference.text();
        self.say(&format!("Pulling {name} …")).await;
        let source = self.source(reference);
        let account = self.account(&source).await?;
        let digest = self.engine.digest(&source, account.clone()).await?;
        let exact = Reference::parse(&format!("{}@{digest}", source.repository))?;
        let lent = self.host_names().keep_for_pull(&exact.exact()).await?;
        let say = async |line: &str| self.say(&format!("  {name}: {line}")).await;
        let pulled = self.engine.pull(&exact, account, say).await;
        let named = match pulled {
            Ok(()) => {
                let kept = self.image_names()?.kept(reference)?;
                self.note_copy(&kept)?;
                lent.also(&kept).await.map_err(Failure::from)
            }
            Err(error) => Err(error.into()),
        };
        lent.give_back().await?;
        named?.ok_or_else(|| Failure::system(format!("the image {name} was removed meanwhile")))
    }

    /// The id of an image that was just made local.
    pub(super) async fn made_image(&self, name: &str) -> Result<String, Failure> {
        let id = self.engine.image_id(name).await?;
        id.ok_or_else(|| Failure::system(format!("the image {name} was removed meanwhile")))
    }

    /// The tenant uses a copy that it keeps: `gc` gives up those that nobody uses.
    fn note_copy(&self, name: &str) -> Result<(), Failure> {
        let dir = layers(&self.context.config, self.lane);
        let tenant = Tenant::of(&self.context.job).key();
        Ok(gate::note_copy(&dir, &tenant, name)?)
    }

    /// The host's names, which nobody moves.
    pub(super) fn host_names(&self) -> HostNames {
        HostNames::new(self.engine.socket(), &self.context.config.state_dir)
    }

    fn image_names(&self) -> Result<gate::Names, Failure> {
        image_names(&self.context.config, &self.context.job)
    }

    /// Where an image is asked for: the registry of its name, or the operator's mirror.
    fn source(&self, image: &Reference) -> Reference {
        match &self.context.config.registry {
            Some(registry) => image.mirrored(&registry.mirrors),
            None => image.clone(),
        }
    }

    /// What GitLab gave the job for the image's registry, or what dockmaster has for its own.
    async fn account(&self, image: &Reference) -> Result<Option<Account>, Failure> {
        let given = self.logins().await?.find(image).cloned();
        let Some(host) = image.registry().filter(|_| given.is_none()) else {
            return Ok(given);
        };
        let (config, job) = (&self.context.config, &self.context.job);
        let login = accounts::pull_account(config, job, &image.repository).await?;
        Ok(login.map(|login| Account {
            username: login.username,
            password: login.password,
            registry: host.to_owned(),
            ..Account::default()
        }))
    }

    /// What the job brings, what the admin's file has for all jobs, and what GitLab gave, in this order.
    async fn logins(&self) -> Result<Logins, Failure> {
        let mut logins = Logins::default();
        if let Some(text) = self.context.call.job_environ.get(AUTH_CONFIG) {
            match Logins::parse(text) {
                Ok(given) => logins = given,
                Err(error) => {
                    let what = format!("the variable {AUTH_CONFIG} is left out: {error}");
                    self.context.log.warn(&what).await;
                }
            }
        }
        if let Some(path) = &self.lane.docker_config {
            let what = || format!("docker-config of the lane, {}", path.display());
            let text = std::fs::read_to_string(path)
                .map_err(|error| Failure::system(error).during(&format!("reading {}", what())))?;
            let read = Logins::parse(&text)
                .map_err(|error| Failure::system(error).during(&format!("reading {}", what())))?;
            logins = logins.or(read);
        }
        let credentials = self.context.job.credentials.iter();
        for credential in credentials.filter(|credential| credential.kind == "registry") {
            logins.add(Account {
                username: credential.username.clone(),
                password: credential.password.clone(),
                registry: credential.host().to_owned(),
                ..Account::default()
            });
        }
        Ok(logins)
    }
}

/// The policies to try, one after the other: the job's own, if the admin allows them, or the lane's.
fn pull_policies(lane: &DockerLane, wish: &Image) -> Result<Vec<PullPolicy>, Failure> {
    let asked = wish.pull_policy.as_deref().unwrap_or_default();
    if asked.is_empty() {
        return Ok(lane.pull_policy.to_vec());
    }
    let allowed = lane.allowed_pull_policies();
    let policies = asked.iter().filter_map(|name| {
        let mut known = allowed.iter();
        known.find(|policy| policy.name() == name).copied()
    });
    let policies: Vec<_> = policies.collect();
    if !policies.is_empty() {
        return Ok(policies);
    }
    let names: Vec<_> = allowed.iter().map(|policy| policy.name()).collect();
    let what = format!(
        "the job's pull_policy ({}) is not allowed here",
        crate::policy::printable(&asked.join(", "))
    );
    let hint = format!("allowed (allowed-pull-policies): {}", names.join(", "));
    Err(Failure::build(JobCode::Refused, what).hint(hint))
}

/// Images run as this host's processor understands them.
fn host_platform(asked: &str) -> Result<(), Failure> {
    let own = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let mut parts = asked.split('/');
    let is_own = parts.next() == Some("linux") && parts.next().is_none_or(|arch| arch == own);
    if asked.is_empty() || is_own {
        return Ok(());
    }
    let asked = crate::policy::printable(asked);
    let what = format!("`docker: platform: {asked}`: this host runs linux/{own} only");
    Err(Failure::build(JobCode::Malformed, what)
        .hint("try: the `tags:` of a runner on such a machine"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(lane: &str, policies: &[&str]) -> Result<Vec<&'static str>, String> {
        let lane: DockerLane = toml::from_str(lane).unwrap();
        let wish = Image {
            pull_policy: Some(policies.iter().map(|&policy| policy.to_owned()).collect()),
            ..Image::default()
        };
        let policies = pull_policies(&lane, &wish).map_err(|failure| failure.to_string())?;
        Ok(policies.iter().map(|policy| policy.name()).collect())
    }

    #[test]
    fn a_job_chooses_among_the_policies_that_are_allowed() {
        let strict = "pull-policy = \"always\"";
        let usual = "pull-policy = \"if-not-present\"";
        let two = "pull-policy = [\"always\", \"if-not-present\"]";
        let open = "allowed-pull-policies = [\"always\", \"if-not-present\", \"never\"]";
        assert_eq!(asked(strict, &[]).unwrap(), ["always"]);
        assert_eq!(asked(two, &[]).unwrap(), ["always", "if-not-present"]);
        assert_eq!(asked(usual, &["always"]).unwrap(), ["always"]);
        assert_eq!(asked(usual, &["never"]).unwrap(), ["never"]);
        assert_eq!(
            asked(open, &["never", "always"]).unwrap(),
            ["never", "always"]
        );
        // Of several wishes those that are not allowed are passed over, as GitLab's own executor does.
        assert_eq!(
            asked(strict, &["if-not-present", "always"]).unwrap(),
            ["always"]
        );
        let refused = asked(strict, &["if-not-present"]).unwrap_err();
        assert!(refused.contains("(if-not-present)"), "{refused}");
        assert!(asked(strict, &["sometimes"]).is_err());
    }

    #[test]
    fn a_platform_that_this_host_does_not_run_is_refused_by_its_name() {
        assert!(host_platform("").is_ok() && host_platform("linux").is_ok());
        let refused = host_platform("linux/s390x").unwrap_err().to_string();
        assert!(refused.contains("linux/s390x"), "{refused}");
        assert!(host_platform("windows/amd64").is_err());
    }
}
