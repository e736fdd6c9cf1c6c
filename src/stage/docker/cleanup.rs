//! Removes the job's containers and network, and what it made through its gate. The slot's volumes
//! stay for its next job.

use std::time::Duration;

use tokio::time;

use super::{super::context::Context, Scene, gate, note::Note};
use crate::{config::DockerLane, failure::Failure};

/// How often, and how far apart, it is looked again after a driver that was killed while it had
/// something made: the engine does not tell of what it is still making.
const LOOKS: usize = 4;
const APART: Duration = Duration::from_millis(500);

pub(in crate::stage) async fn cleanup(
    context: &Context<'_>,
    lane: &DockerLane,
) -> Result<(), Failure> {
    let scene = Scene::open(context, lane).await?;
    // Both are tried: containers first, for images and networks that they use cannot go.
    let cleared = clear(context, lane, &scene).await;
    let swept = gate::sweep(context, &scene).await;
    cleared.and(swept)
}

async fn clear(context: &Context<'_>, lane: &DockerLane, scene: &Scene) -> Result<(), Failure> {
    let note = Note::of(context, scene);
    let cleared = scene.clear().await;
    if !note.is_there() {
        return cleared;
    }
    let mut cleared = cleared;
    for _ in 0..LOOKS {
        time::sleep(APART).await;
        cleared = Scene::open(context, lane).await?.clear().await;
    }
    cleared?;
    note.remove()
}
