//! Makes the job's place: images, network, slot, helper, services.

use std::time::Instant;

use bollard::auth::DockerCredentials;

use super::{
    super::{Context, bad_reference},
    Scene,
    note::Note,
    service,
};
use crate::{
    config::{DockerLane, PullPolicy},
    docker::{
        engine::{Engine, EngineError},
        helper_image::{self, Recipe},
        image::{self, Reference},
        name::Names,
        spec::{self, HelperFacts},
    },
    failure::{Failure, JobCode},
    job::Image,
    log::{BOLD, RESET},
};

/// More slots than one host can run jobs: then something else is wrong.
const MOST_SLOTS: usize = 1000;

pub(in crate::stage) async fn prepare(
    context: &Context<'_>,
    lane: &DockerLane,
) -> Result<(), Failure> {
    let job_image = job_image(context, lane)?;
    let scene = context.until_cancelled(Scene::open(context, lane)).await?;
    let note = Note::leave(context, &scene)?;
    let made = context
        .until_cancelled(Box::pin(make(context, lane, &scene, &job_image)))
        .await;
    // Whoever does not wait for it any longer: cleanup has to find what the engine makes.
    if scene.engine.finish().await {
        return made.and(note.remove());
    }
    made
}

async fn make(
    context: &Context<'_>,
    lane: &DockerLane,
    scene: &Scene,
    job_image: &Reference,
) -> Result<(), Failure> {
    let began = Instant::now();
    // An attempt that was killed may have left its things under the same names.
    scene.clear().await?;
    let (image, helper) = tokio::try_join!(
        provide(context, &scene.engine, job_image, lane, &context.job.image),
        provide_helper(context, &scene.engine, lane),
    )?;
    let facts = HelperFacts {
        image: helper,
        job_image: image.clone(),
    };
    let network = scene.names.network();
    scene
        .engine
        .create_network(&network, scene.names.labels())
        .await
        .map_err(EngineError::into_failure)?;
    let helper = take_slot(scene, lane, &facts).await?;
    let services = async { service::start_all(context, lane, scene).await };
    let helper = async {
        scene
            .engine
            .start(&helper)
            .await
            .map_err(EngineError::into_failure)
    };
    let ((), count) = tokio::try_join!(helper, services)?;
    let short = image
        .strip_prefix("sha256:")
        .unwrap_or(&image)
        .get(..12)
        .unwrap_or_default();
    let with = match count {
        0 => String::new(),
        1 => ", 1 service".to_owned(),
        n => format!(", {n} services"),
    };
    let seconds = began.elapsed().as_secs_f32();
    let ready = format!(
        "{BOLD}Image {} ({short}){with}, ready in {seconds:.1} s{RESET}",
        job_image.as_str()
    );
    context.log.say(&ready).await;
    Ok(())
}

/// The image that the job names, or the lane's own, if the admin allows it.
fn job_image(context: &Context<'_>, lane: &DockerLane) -> Result<Reference, Failure> {
    let name = &context.job.image.name;
    let text = if name.is_empty() {
        lane.image.as_deref().unwrap_or_default()
    } else {
        name
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
    let credentials = credentials(context, name);
    engine
        .pull(reference, credentials, async |line: &str| {
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
fn credentials(context: &Context<'_>, image: &str) -> Option<DockerCredentials> {
    let host = image.split('/').next()?;
    let credential = context.job.credentials.iter().find(|credential| {
        let url = credential
            .url
            .trim_start_matches("https://")
            .trim_start_matches("http://");
        credential.kind == "registry" && url.trim_end_matches('/') == host
    })?;
    Some(DockerCredentials {
        username: Some(credential.username.clone()),
        password: Some(credential.password.expose().to_owned()),
        serveraddress: Some(host.to_owned()),
        ..DockerCredentials::default()
    })
}

/// The helper image's id: configured, local, pulled, or made on the spot.
async fn provide_helper(
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

/// Creates the helper in the first slot that no other job holds; its id.
async fn take_slot(
    scene: &Scene,
    lane: &DockerLane,
    facts: &HelperFacts,
) -> Result<String, Failure> {
    for number in 0..MOST_SLOTS {
        let slot = scene.names.slot(number);
        match scene
            .engine
            .create(spec::helper(&scene.names, lane, &slot, facts))
            .await
        {
            Ok(id) => return Ok(id),
            Err(EngineError::NameTaken { .. }) => {}
            Err(error) => return Err(error.into_failure()),
        }
    }
    let what = format!(
        "all {MOST_SLOTS} slots of {} are taken",
        Names::helper(&scene.names.slot(0))
    );
    Err(Failure::system(what))
}
