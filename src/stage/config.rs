//! `config`: tells the runner who we are and where the job's folders will be. Makes nothing.

use std::io::{self, Write};

use serde::Serialize;

use super::context::Context;
use crate::{config::Lane, failure::Failure, sandbox::Plan};

/// What the runner reads from this stage's standard output.
#[derive(Debug, Serialize)]
struct Answer {
    driver: Driver,
    builds_dir: String,
    cache_dir: String,
    builds_dir_is_shared: bool,
}

#[derive(Debug, Serialize)]
struct Driver {
    name: &'static str,
    version: &'static str,
}

/// Prints one JSON object, and nothing else.
pub(super) fn config(context: &Context<'_>) -> Result<(), Failure> {
    let (builds_dir, cache_dir) = match &context.lane {
        Lane::Docker(lane) => (lane.builds_dir.clone(), lane.cache_dir.clone()),
        Lane::Deploy(_) => {
            let builds = Plan::new(&context.config, &context.job).builds;
            // Never used: caches are other jobs' to write.
            let cache = builds.with_file_name("cache");
            (builds, cache)
        }
    };
    let answer = Answer {
        driver: Driver {
            name: "dockmaster",
            version: env!("CARGO_PKG_VERSION"),
        },
        builds_dir: builds_dir.to_string_lossy().into_owned(),
        cache_dir: cache_dir.to_string_lossy().into_owned(),
        // Every job has a folder or a slot of its own.
        builds_dir_is_shared: false,
    };
    let text = serde_json::to_string(&answer).map_err(Failure::system)?;
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(|error| Failure::system(error).during("answering the runner"))
}
