//! Opens a rollout for a grant: puts the engine and its adapters together.

use tokio::sync::watch;

use super::{
    protocol::Verdict,
    serve::{self, Story},
};
use crate::{config::Config, deploy::port::Wish, failure::Failure, policy::Grant};

/// The real rollouts.
pub(super) struct Rollouts<'a> {
    pub(super) config: &'a Config,
}

impl serve::Rollouts for Rollouts<'_> {
    async fn deploy(
        &self,
        grant: &Grant,
        story: &Story,
        wish: watch::Receiver<Wish>,
    ) -> Result<String, Failure> {
        let _ = (self.config, grant, story, wish);
        Err(Failure::system("rollouts are not there yet"))
    }
}

/// Puts right what an interrupted rollout left.
pub(super) fn recover(
    config: &Config,
    environment: &str,
    is_quiet: bool,
    wish: watch::Receiver<Wish>,
) -> Verdict {
    drop(wish);
    let _ = (config, environment, is_quiet);
    Verdict::done("")
}

/// How the environment is.
pub(super) fn status(config: &Config, environment: &str) -> Verdict {
    let _ = (config, environment);
    Verdict::done("")
}
