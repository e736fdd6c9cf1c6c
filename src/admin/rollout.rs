//! `dockmaster rollout`: looks at an environment or repairs it, under the broker's identity: this
//! process, root's, never opens a key.

use std::{io, path::Path};

use nix::unistd::Uid;

use crate::{broker::attend, config::Config, failure::Failure, sandbox::Host};

/// Says how the environment is; the exit code.
pub fn status(config: &Path, environment: &str) -> Result<i32, Failure> {
    let (config, host) = (load(config)?, Host::here(String::new())?);
    runtime()?.block_on(attend::status_aloud(&host.program, &config, environment))
}

/// Puts right what an interrupted rollout left; the exit code.
pub fn recover(config: &Path, environment: &str) -> Result<i32, Failure> {
    let (config, host) = (load(config)?, Host::here(String::new())?);
    runtime()?.block_on(attend::recover_aloud(&host.program, &config, environment))
}

fn load(config: &Path) -> Result<Config, Failure> {
    if !Uid::effective().is_root() {
        return Err(Failure::system("only root can become the broker's user")
            .hint("try: sudo dockmaster rollout …"));
    }
    Config::load(config).map_err(Failure::system)
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let failed = |error: io::Error| Failure::system(error).during("cannot start");
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)
}
