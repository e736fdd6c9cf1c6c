//! Removes the job's containers and network, and what it made through its gate. The slot's volumes
//! stay for its next job.

use super::{super::Context, Scene, gate};
use crate::{config::DockerLane, failure::Failure};

pub(in crate::stage) async fn cleanup(
    context: &Context<'_>,
    lane: &DockerLane,
) -> Result<(), Failure> {
    let scene = Scene::open(context, lane).await?;
    // Both are tried: containers first, for images and networks that they use cannot go.
    let cleared = scene.clear().await;
    let swept = gate::sweep(context, &scene).await;
    cleared.and(swept)
}
