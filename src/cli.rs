//! What can be typed. Types only: `app` decides what happens.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// A GitLab Runner custom executor: jobs in Docker, and rolling deploys that use production keys no
/// job can read.
#[derive(Debug, Parser)]
#[command(name = "dockmaster", version, max_term_width = 100)]
pub(crate) struct Cli {
    /// The configuration file
    #[arg(long, global = true, default_value = crate::config::DEFAULT_PATH, value_name = "FILE")]
    pub config: PathBuf,

    /// The lane that the runner's configuration names (stages only)
    #[arg(long, value_name = "NAME")]
    pub lane: Option<String>,

    #[command(subcommand)]
    pub verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Stage: answer the runner's questions (called by gitlab-runner)
    Config,
    /// Stage: make what the job needs on this host (called by gitlab-runner)
    Prepare,
    /// Stage: carry out one phase of the job (called by gitlab-runner)
    Run {
        /// The script that the runner wrote
        script: PathBuf,
        /// The name of the phase
        phase: String,
    },
    /// Stage: remove all that was made for the job (called by gitlab-runner)
    Cleanup,
    /// Roll the job's commit out (inside a job of a deploy lane)
    Deploy {
        /// Where to; the lane's only environment when left out
        environment: Option<String>,
    },
    /// Look at or repair rollouts (for an admin)
    Rollout {
        #[command(subcommand)]
        verb: RolloutVerb,
    },
    /// Remove what jobs of a killed runner left behind
    Gc,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RolloutVerb {
    /// Say how an environment is
    Status {
        /// The name of its file in the folder `environments`
        environment: String,
    },
    /// Put right what an interrupted rollout left
    Recover {
        /// The name of its file in the folder `environments`
        environment: String,
    },
}
