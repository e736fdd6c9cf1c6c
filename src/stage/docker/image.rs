//! The images that a job names: which are allowed, and how they become local.

use super::{
    super::context::Context,
    accounts,
    job::DockerJob,
    scope::{image_names, layers},
};
use crate::{
    config::{DockerLane, PullPolicy},
    docker::{pull::Account, reference::Reference, tenant::Tenant},
    failure::{Failure, JobCode},
    gate::{self, HostNames},
    job::Image,
};

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
        let policy = pull_policy(self.lane.pull_policy, wish);
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
        let given = self.given_account(image);
        let Some(host) = image.registry().filter(|_| given.is_none()) else {
            return Ok(given);
        };
        let (config, job) = (&self.context.config, &self.context.job);
        let login = accounts::pull_account(config, job, &image.repository).await?;
        Ok(login.map(|login| Account {
            username: login.username,
            password: login.password,
            registry: host.to_owned(),
        }))
    }

    fn given_account(&self, image: &Reference) -> Option<Account> {
        let host = image.registry()?;
        let credential = self
            .context
            .job
            .credentials
            .iter()
            .find(|credential| credential.kind == "registry" && credential.host() == host)?;
        Some(Account {
            username: credential.username.clone(),
            password: credential.password.clone(),
            registry: host.to_owned(),
        })
    }
}

/// The job may ask for a stricter policy than the lane's, never for a laxer one.
fn pull_policy(lane: PullPolicy, wish: &Image) -> PullPolicy {
    let asked = wish.pull_policy.as_ref().and_then(|list| list.first());
    match (lane, asked.map(String::as_str)) {
        (PullPolicy::IfNotPresent, Some("always")) => PullPolicy::Always,
        (PullPolicy::IfNotPresent, Some("never")) => PullPolicy::Never,
        (lane, _) => lane,
    }
}
