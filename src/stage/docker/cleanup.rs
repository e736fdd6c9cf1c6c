//! Removes the job's containers and network, and what it made through its gate. The slot's volumes
//! stay for its next job.

use std::time::Duration;

use tokio::time;

use super::{super::context::Context, job::DockerJob};
use crate::{
    config::DockerLane,
    docker::name::{self, Role},
    failure::Failure,
    store::Slots,
};

/// Retries after a killed driver, and the time between them: the engine may still be creating
/// objects, and does not list them before they exist.
const RETRIES: usize = 4;
const PAUSE: Duration = Duration::from_millis(500);

pub(in crate::stage) async fn cleanup(
    context: &Context<'_>,
    lane: &DockerLane,
) -> Result<(), Failure> {
    let job = DockerJob::open(context, lane).await?;
    // All is tried. Containers go first, because images and networks in use cannot be removed.
    let removed = job.remove_all_to_the_last().await;
    let swept = job.sweep_gate().await;
    let trimmed = job.trim_layers().await;
    // Last: a group that holds something stays.
    let ungrouped = job.remove_group().await;
    removed
        .and(swept)
        .and(job.note_slot())
        .and(trimmed)
        .and(ungrouped)
}

impl DockerJob<'_> {
    /// The slot was used until now.
    fn note_slot(&self) -> Result<(), Failure> {
        let Some(helper) = self.container(Role::Helper) else {
            return Ok(());
        };
        let slots = Slots::new(&self.context.config.state_dir);
        Ok(slots.touch(helper.label(name::SLOT))?)
    }

    async fn remove_all_to_the_last(&self) -> Result<(), Failure> {
        let marker = self.marker();
        let mut removed = self.remove_all().await;
        if !marker.is_set() {
            return removed;
        }
        for _ in 0..RETRIES {
            time::sleep(PAUSE).await;
            let now = Self::open(self.context, self.lane).await?;
            removed = now.remove_all().await;
        }
        removed?;
        marker.remove()
    }
}
