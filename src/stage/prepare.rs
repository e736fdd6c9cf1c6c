//! `prepare`: decides whether the job may run here, and makes the place it runs in.

use super::{Context, docker};
use crate::{config::Lane, failure::Failure};

pub(super) async fn prepare(context: &Context<'_>) -> Result<(), Failure> {
    match &context.lane {
        Lane::Docker(lane) => docker::prepare(context, lane).await,
        Lane::Deploy(_) => context.native()?.prepare(),
    }
}
