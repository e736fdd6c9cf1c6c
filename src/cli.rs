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
    /// Say which images were pushed, by which job, for which commit (for an admin)
    Ledger(LedgerArguments),
    /// Remove what jobs of a killed runner left behind
    Gc,
    /// What jobs may reach: the rules of this host around their networks and builds
    Firewall {
        #[command(subcommand)]
        verb: FirewallVerb,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum FirewallVerb {
    /// Print every rule
    Plan,
    /// Make the rules stand; a second time it finds nothing to do
    Apply,
    /// Look whether the rules stand as planned
    Check,
    /// Take every rule away
    Remove,
}

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct LedgerArguments {
    #[command(subcommand)]
    pub verb: Option<LedgerVerb>,

    /// Pushes of this project alone
    #[arg(long, value_name = "ID")]
    pub project: Option<i64>,

    /// Pushes for the commits that begin so
    #[arg(long, value_name = "HASH")]
    pub commit: Option<String>,

    /// Pushes of the images whose repository, tag or digest holds this text
    #[arg(long, value_name = "TEXT")]
    pub image: Option<String>,

    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LedgerVerb {
    /// Find lines that were edited, removed or moved
    Verify {
        /// The file of this project alone
        #[arg(long, value_name = "ID")]
        project: Option<i64>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum RolloutVerb {
    /// Say how an environment is
    Status {
        /// The name of its file in the folder `environments`
        environment: String,
    },
    /// Say what was brought out, newest first: when, what, by whom, how it ended, how long it took
    History {
        /// The name of its file in the folder `environments`
        environment: String,

        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Make a page of a rollout: what was changed, when, and how it went
    Report {
        /// The name of its file in the folder `environments`
        environment: String,

        /// A run, as `history --json` shows it; the newest when left out
        #[arg(long, value_name = "RUN")]
        run: Option<String>,

        /// Where to; the JSON is written beside it
        #[arg(
            short,
            long,
            default_value = "rollout-report.html",
            value_name = "FILE"
        )]
        output: PathBuf,
    },
    /// Go back to a release that was brought out before; needs neither GitLab nor the registry
    Rollback {
        /// The name of its file in the folder `environments`
        environment: String,

        /// A version, or the beginning of a digest, as `history` shows it; the release before the one
        /// that runs when left out
        version: Option<String>,
    },
    /// Put right what an interrupted rollout left
    Recover {
        /// The name of its file in the folder `environments`; every environment's when left out, as the
        /// timer calls it: with nothing to say where all is well or somebody else is at work
        environment: Option<String>,
    },
}
