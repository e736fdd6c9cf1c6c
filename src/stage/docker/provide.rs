//! Images for a job: which are allowed, how they become local, and the helper's own.

use std::{fs::File, path::Path};

use super::super::context::Context;
use crate::{
    config::{DockerLane, PullPolicy},
    docker::{
        engine::{Account, Engine, EngineError},
        helper_image::{self, Recipe},
        reference::Reference,
    },
    failure::{Failure, JobCode},
    job::Image,
};

/// The reference, if one of the admin's globs covers it.
pub(super) fn allowed(text: &str, globs: &[String], key: &str) -> Result<Reference, Failure> {
    let reference =
        Reference::parse_or_id(text).map_err(|error| Failure::build(JobCode::Malformed, error))?;
    if reference.is_allowed(globs) {
        return Ok(reference);
    }
    let what = format!("the image {} may not be used here", reference.text());
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
    let name = &reference.text();
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
    let name = &reference.text();
    context.log.say(&format!("Pulling {name} …")).await;
    let account = account(context, reference);
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
fn account(context: &Context<'_>, image: &Reference) -> Option<Account> {
    let host = image.registry()?;
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

/// The helper image's id: configured, local, from the runner's package, pulled, or made on the spot.
pub(super) async fn provide_helper(
    context: &Context<'_>,
    engine: &Engine,
    lane: &DockerLane,
) -> Result<String, Failure> {
    let blame_host = |failure: Failure| {
        Failure::system(failure.to_string()).during("providing the helper image")
    };
    if let Some(text) = &lane.helper_image {
        let reference = Reference::parse_or_id(text)
            .map_err(|error| Failure::system(error).during("reading helper-image"))?;
        let wish = Image::default();
        return provide(context, engine, &reference, lane, &wish)
            .await
            .map_err(blame_host);
    }
    // Set by the runner after the job's own variables, so no author can set it.
    let version = context
        .call
        .job_environ
        .get("CI_RUNNER_VERSION")
        .map(String::as_str);
    let official = helper_image::official(version.unwrap_or_default());
    let recipe = Recipe::gather(&context.path).map_err(Failure::system);
    let made = recipe
        .as_ref()
        .ok()
        .map(Recipe::tag)
        .transpose()
        .map_err(Failure::system)?;
    for name in official.iter().chain(&made) {
        if let Some(id) = engine
            .image_id(name)
            .await
            .map_err(EngineError::into_failure)?
        {
            return Ok(id);
        }
    }
    if let Some(name) = &official {
        if let Some(archive) = helper_image::packaged(&context.path) {
            return unpack(context, engine, &archive, name).await;
        }
        let reference = Reference::parse(name).map_err(Failure::system)?;
        match (pull(context, engine, &reference).await, &recipe) {
            (Err(failure), Err(_)) => return Err(blame_host(failure)),
            (Err(failure), Ok(_)) => context.log.say(&format!("  {failure}")).await,
            (Ok(id), _) => return Ok(id),
        }
    }
    make_helper(context, engine, recipe?).await
}

/// Takes the image from the archive that the gitlab-runner package brings.
async fn unpack(
    context: &Context<'_>,
    engine: &Engine,
    archive: &Path,
    name: &str,
) -> Result<String, Failure> {
    context
        .log
        .say(&format!(
            "Unpacking the helper image {} …",
            archive.display()
        ))
        .await;
    let file = File::open(archive).map_err(|error| {
        Failure::system(error).during(&format!("opening {}", archive.display()))
    })?;
    import(engine, file, name).await
}

async fn make_helper(
    context: &Context<'_>,
    engine: &Engine,
    recipe: Recipe,
) -> Result<String, Failure> {
    let tag = recipe.tag().map_err(Failure::system)?;
    context
        .log
        .say("Making the helper image from this host's git and gitlab-runner …")
        .await;
    let archive = tokio::task::spawn_blocking(move || recipe.archive())
        .await
        .map_err(Failure::system)?
        .map_err(Failure::system)?;
    import(engine, archive, &tag).await
}

async fn import(engine: &Engine, archive: File, name: &str) -> Result<String, Failure> {
    engine
        .import(helper_image::stream(archive), name)
        .await
        .map_err(EngineError::into_failure)?;
    let id = engine
        .image_id(name)
        .await
        .map_err(EngineError::into_failure)?;
    id.ok_or_else(|| Failure::system(format!("the image {name} was made, and is not there")))
}
