//! Real parts that tests and the demo share.
//!
//! Folders by subject: `machine` (this one and its engine), `production` (hosts, registry, balancer), `code_server` (GitLab
//! and its runner), `company` (all of it together), `show` (demo, bench, soak), `trial` (how tests are run).
//!
//! This crate knows dockmaster only from outside: its files, its arguments, its environment. It must never
//! depend on the package under test.
//!
//! The GitLab side is a stand-in that plays gitlab-runner 19.4.0 as it was recorded. A job is
//! built, a runner made from the runner's own `config.toml` takes it, and the outcome tells how
//! GitLab would see it and what every driver call was given:
//!
//! ```no_run
//! use testbed::runner::{Runner, Verdict};
//! use testbed::spec::JobBuilder;
//! # fn main() -> anyhow::Result<()> {
//! let runner = Runner::load("etc/gitlab-runner/config.toml".as_ref())?
//!     .register("docker", &["devops_test_docker"])
//!     .register("deploy", &["devops_prod_deploy"]);
//! let job = JobBuilder::new("test")
//!     .tags(["devops_test_docker"])
//!     .image("alpine:latest")
//!     .masked("PASSWORD", "hunter2")
//!     .script(["echo begin", "sleep 30"])
//!     .after_script(["echo $CI_JOB_STATUS"]);
//!
//! let run = runner.start(job.build())?;
//! run.wait_for("begin")?; // a line of the job log, not a sleep
//! run.cancel(); // or run.abort(), run.handle().kill_driver(), run.handle().crash()
//! let outcome = run.wait()?;
//! assert_ne!(outcome.verdict, Verdict::Success);
//! println!("{} {:?}", outcome.text(), outcome.order());
//! # Ok(())
//! # }
//! ```

pub mod code_server;
pub mod company;
pub mod machine;
pub mod production;
pub mod show;
pub mod trial;

pub use code_server::{doomed, gitlab, helper, installation, runner, script, spec};
pub use company::{application, client, workshop};
pub use machine::{background, command, kernel, network, serve};
pub use production::{balancer, docker_client, fleet, harbor, image, infrastructure, registry};
pub use show::{bench, demo, soak};
