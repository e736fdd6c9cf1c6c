//! The images that a job names: which are allowed, and how they become local.

use super::{super::context::Context, job::DockerJob};
use crate::{
    config::{DockerLane, PullPolicy},
    docker::{fault::EngineError, pull::Account, reference::Reference},
    failure::{Failure, JobCode},
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

impl DockerJob<'_> {
    /// Makes an image local as the pull policy says; its id.
    pub(super) async fn local_image(
        &self,
        reference: &Reference,
        wish: &Image,
    ) -> Result<String, Failure> {
        let name = reference.text();
        let local = self.engine.image_id(&name).await?;
        match (pull_policy(self.lane.pull_policy, wish), local) {
            (PullPolicy::Never | PullPolicy::IfNotPresent, Some(id)) => Ok(id),
            (PullPolicy::Never, None) => {
                let what = format!("the image {name} is not on this host, and may not be pulled");
                Err(Failure::build(JobCode::ImageMissing, what))
            }
            (PullPolicy::Always, _) | (PullPolicy::IfNotPresent, None) => {
                self.pull(reference).await?;
                self.made_image(&name).await
            }
        }
    }

    pub(super) async fn pull(&self, reference: &Reference) -> Result<(), EngineError> {
        let name = reference.text();
        self.say(&format!("Pulling {name} …")).await;
        let say = async |line: &str| self.say(&format!("  {name}: {line}")).await;
        self.engine
            .pull(reference, self.account(reference), say)
            .await
    }

    /// The id of an image that was just made local.
    pub(super) async fn made_image(&self, name: &str) -> Result<String, Failure> {
        let id = self.engine.image_id(name).await?;
        id.ok_or_else(|| Failure::system(format!("the image {name} was removed meanwhile")))
    }

    /// What GitLab gave the job for the image's registry.
    fn account(&self, image: &Reference) -> Option<Account> {
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
