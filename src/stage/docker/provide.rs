//! Images for a job: which are allowed, how they become local, and the helper's own.

use super::super::{Context, bad_reference};
use crate::{
    config::{DockerLane, PullPolicy},
    docker::{
        engine::{Account, Engine, EngineError},
        helper_image::{self, Recipe},
        image::{self, Reference},
    },
    failure::{Failure, JobCode},
    job::Image,
};

/// The reference, if one of the admin's globs covers it.
pub(super) fn allowed(text: &str, globs: &[String], key: &str) -> Result<Reference, Failure> {
    let reference = Reference::parse(text).map_err(bad_reference)?;
    if image::is_allowed(globs, &reference) {
        return Ok(reference);
    }
    let what = format!("the image {} may not be used here", reference.as_str());
    Err(Failure::build(JobCode::Refused, what)
        .hint(format!("allowed ({key}): {}", globs.join(", "))))
}

/// Makes an image local as the pull policy says; its id.
pub(super) async fn provide(
    context: &Context<'_>,
    engine: &Engine,
    reference: &Reference,
    lane: &DockerLane,
    wish: &Image,
) -> Result<String, Failure> {
    let name = reference.as_str();
    let policy = pull_policy(lane.pull_policy, wish);
    let local = engine
        .image_id(name)
        .await
        .map_err(EngineError::into_failure)?;
    match (policy, local) {
        (PullPolicy::Never | PullPolicy::IfNotPresent, Some(id)) => Ok(id),
        (PullPolicy::Never, None) => {
            let what = format!("the image {name} is not on this host, and may not be pulled");
            Err(Failure::build(JobCode::ImageMissing, what))
        }
        (PullPolicy::Always, _) | (PullPolicy::IfNotPresent, None) => {
            pull(context, engine, reference).await
        }
    }
}

/// The job may ask for a stricter policy than the lane's, never for a laxer one.
fn pull_policy(lane: PullPolicy, wish: &Image) -> PullPolicy {
    let asked = wish
        .pull_policy
        .as_ref()
        .and_then(|list| list.first())
        .map(String::as_str);
    match (lane, asked) {
        (PullPolicy::IfNotPresent, Some("always")) => PullPolicy::Always,
        (PullPolicy::IfNotPresent, Some("never")) => PullPolicy::Never,
        (lane, _) => lane,
    }
}

async fn pull(
    context: &Context<'_>,
    engine: &Engine,
    reference: &Reference,
) -> Result<String, Failure> {
    let name = reference.as_str();
    context.log.say(&format!("Pulling {name} …")).await;
    let account = account(context, name);
    engine
        .pull(reference, account, async |line: &str| {
            context.log.say(line).await;
        })
        .await
        .map_err(EngineError::into_failure)?;
    let id = engine
        .image_id(name)
        .await
        .map_err(EngineError::into_failure)?;
    id.ok_or_else(|| Failure::system(format!("the image {name} was pulled, and is not there")))
}

/// What GitLab gave the job for the image's registry.
fn account(context: &Context<'_>, image: &str) -> Option<Account> {
    let host = image.split('/').next()?;
    let credential = context.job.credentials.iter().find(|credential| {
        let url = credential
            .url
            .trim_start_matches("https://")
            .trim_start_matches("http://");
        credential.kind == "registry" && url.trim_end_matches('/') == host
    })?;
    Some(Account {
        username: credential.username.clone(),
        password: credential.password.clone(),
        registry: host.to_owned(),
    })
}

/// The helper image's id: configured, local, pulled, or made on the spot.
pub(super) async fn provide_helper(
    context: &Context<'_>,
    engine: &Engine,
    lane: &DockerLane,
) -> Result<String, Failure> {
    if let Some(text) = &lane.helper_image {
        let reference = Reference::parse(text)
            .map_err(|error| Failure::system(error).during("reading helper-image"))?;
        return provide(context, engine, &reference, lane, &Image::default())
            .await
            .map_err(|failure| {
                Failure::system(failure.to_string()).during("providing the helper image")
            });
    }
    // Set by the runner after the job's own variables, so no author can set it.
    let version = context
        .call
        .job_environ
        .get("CI_RUNNER_VERSION")
        .map(String::as_str);
    let official = helper_image::official(version.unwrap_or_default());
    if let Some(name) = &official
        && let Some(id) = engine
            .image_id(name)
            .await
            .map_err(EngineError::into_failure)?
    {
        return Ok(id);
    }
    let path = context.path.clone();
    let recipe = tokio::task::spawn_blocking(move || Recipe::gather(&path))
        .await
        .map_err(Failure::system)?;
    let recipe = match (recipe, official) {
        (Ok(recipe), _) => recipe,
        (Err(_), Some(name)) => {
            let reference = Reference::parse(&name).map_err(Failure::system)?;
            return pull(context, engine, &reference).await.map_err(|failure| {
                Failure::system(failure.to_string()).during("providing the helper image")
            });
        }
        (Err(error), None) => return Err(Failure::system(error)),
    };
    make_helper(context, engine, recipe).await
}

async fn make_helper(
    context: &Context<'_>,
    engine: &Engine,
    recipe: Recipe,
) -> Result<String, Failure> {
    let tag = recipe.tag().map_err(Failure::system)?;
    if let Some(id) = engine
        .image_id(&tag)
        .await
        .map_err(EngineError::into_failure)?
    {
        return Ok(id);
    }
    context
        .log
        .say("Making the helper image from this host's git and gitlab-runner …")
        .await;
    let archive = tokio::task::spawn_blocking(move || recipe.archive())
        .await
        .map_err(Failure::system)?
        .map_err(Failure::system)?;
    engine
        .import(helper_image::stream(archive), &tag)
        .await
        .map_err(EngineError::into_failure)?;
    let id = engine
        .image_id(&tag)
        .await
        .map_err(EngineError::into_failure)?;
    id.ok_or_else(|| Failure::system(format!("the image {tag} was made, and is not there")))
}
