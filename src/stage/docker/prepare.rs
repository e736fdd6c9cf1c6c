//! Makes the job's place: images, network, slot, helper, services.

use std::time::Instant;

use super::{
    super::context::Context,
    Scene,
    note::Note,
    provide::{allowed, provide, provide_helper},
    service,
};
use crate::{
    config::DockerLane,
    docker::{
        engine::EngineError,
        name::Names,
        reference::Reference,
        spec::{self, HelperFacts},
    },
    failure::{Failure, JobCode},
    paint,
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
        "Image {} ({short}){with}, ready in {seconds:.1} s",
        job_image.text()
    );
    context.log.say(&paint::bold(&ready)).await;
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
