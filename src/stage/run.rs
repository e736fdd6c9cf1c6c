//! `run`: carries out one phase of the job.

use std::path::Path;

use super::{Context, docker};
use crate::{config::Lane, failure::Failure, job::Phase};

pub(super) async fn run(context: &Context<'_>, script: &Path, phase: Phase) -> Result<(), Failure> {
    match &context.lane {
        Lane::Docker(lane) => docker::run(context, lane, script, phase).await,
        Lane::Deploy(_) => {
            let native = context.native()?;
            native
                .run(phase, script, context.log, &context.cancel)
                .await
        }
    }
}
