//! Removes the job's containers and network. The slot's volumes stay for its next job.

use super::{super::Context, Scene};
use crate::{config::DockerLane, failure::Failure};

pub(in crate::stage) async fn cleanup(
    context: &Context<'_>,
    lane: &DockerLane,
) -> Result<(), Failure> {
    Scene::open(context, lane).await?.clear().await
}
