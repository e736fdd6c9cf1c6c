//! `dockmaster rollout`: looks at an environment or repairs it, under the broker's identity: this
//! process, root's, never opens a key.

use std::path::Path;

use nix::unistd::Uid;

use crate::{broker::driver, config::Config, failure::Failure};

/// Says how the environment is; the exit code.
pub(crate) async fn status(
    program: &Path,
    config: &Path,
    environment: &str,
) -> Result<i32, Failure> {
    driver::status(program, &load(config)?, environment).await
}

/// Puts right what an interrupted rollout left; the exit code.
pub(crate) async fn recover(
    program: &Path,
    config: &Path,
    environment: &str,
) -> Result<i32, Failure> {
    driver::recover(program, &load(config)?, environment).await
}

fn load(config: &Path) -> Result<Config, Failure> {
    if !Uid::effective().is_root() {
        return Err(Failure::system("only root can become the broker's user")
            .hint("try: sudo dockmaster rollout …"));
    }
    Ok(Config::load(config)?)
}
