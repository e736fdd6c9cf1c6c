//! `cleanup`: removes all that was made for the job. Needs no memory, may be called any number of
//! times, and prints nothing of the job: its output is not masked.

use super::{Context, docker};
use crate::{config::Lane, failure::Failure};

pub(super) async fn cleanup(context: &Context<'_>) -> Result<(), Failure> {
    match &context.lane {
        Lane::Docker(lane) => docker::cleanup(context, lane).await,
        Lane::Deploy(_) => context.native()?.cleanup().await,
    }
}
