//! Opens a rollout for a grant: finds the release, takes the lease, puts engine and adapters
//! together, and turns the outcome into a job's code.

use jiff::Timestamp;
use tokio::sync::watch;

use super::{
    clock::RealClock,
    serve,
    voice::{Story, Voice},
};
use crate::{
    balancer::{self, Balancer},
    config::{Config, Environment},
    failure::{Class, Failure, JobCode},
    host,
    policy::Grant,
    rollout::{
        engine::{self, Order},
        journal::{Outcome, Owner},
        port::{Cancel, Narrator, Ports, Release, Wish},
        report::Report,
        world::{Settings, World},
    },
    store::{Holder, Lease, LeaseError, Ledger, Patience, RunFile, Runs, ledger::Record},
};

/// The real adapters.
pub(super) struct Live;

impl Ports for Live {
    type Balancer = Balancer;
    type Remote = host::Host;
    type Journal = RunFile;
    type Clock = RealClock;
    type Narrator = Voice;
    type Cancel = watch::Receiver<Wish>;
}

impl Cancel for watch::Receiver<Wish> {
    fn wish(&self) -> Wish {
        *self.borrow()
    }

    async fn stopped(&self) {
        serve::stopped(self.clone()).await;
    }
}

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
    ) -> Result<(), Failure> {
        let (config, environment) = (self.config, grant.environment());
        let release = release(config, grant)?;
        let owner = Owner {
            project: grant.project_id(),
            pipeline: grant.pipeline_id(),
            job: grant.job_id(),
        };
        let run = Runs::id(Timestamp::now(), grant.job_id());
        let voice = Voice::Story(story.clone());
        let world = world(config, environment, voice, wish.clone())?;
        let patience = Patience {
            wait: environment.rollout.lease_wait,
            clock: &world.clock,
            narrator: &world.narrator,
        };
        let holder = Holder::new(owner, &run);
        let _lease = tokio::select! {
            lease = patience.take(&config.state_dir, &environment.name, &holder) => {
                lease.map_err(unleased)?
            }
            () = serve::stopped(wish) => {
                return Err(Failure::system("stopped before anything was touched"));
            }
        };
        let runs = Runs::new(&config.state_dir, &environment.name);
        let settings = settings(&runs, environment)?;
        let earlier = runs.open().map_err(Failure::system)?;
        let order = Order {
            journal: runs.journal(&run),
            run,
            release,
            owner,
        };
        let report = engine::roll_out(&world, &settings, &order, &earlier).await;
        // Old journals that cannot be removed are no reason to call a rollout failed.
        if let Err(error) = runs.prune() {
            tracing::warn!(%error, "old journals stay");
        }
        told(&report?, &world.narrator)
    }
}

/// Puts right what interrupted rollouts left. `false` when there was nothing to do.
pub(super) async fn recover(
    config: &Config,
    name: &str,
    voice: Voice,
    wish: watch::Receiver<Wish>,
) -> Result<bool, Failure> {
    let environment = config.environment(name)?;
    let holder = Holder::new(Owner::default(), "recover");
    let _lease = Lease::try_take(&config.state_dir, name, &holder).map_err(unleased)?;
    let runs = Runs::new(&config.state_dir, name);
    let earlier = runs.open().map_err(Failure::system)?;
    if earlier.is_empty() {
        return Ok(false);
    }
    let world = world(config, &environment, voice, wish)?;
    let settings = settings(&runs, &environment)?;
    let reports = engine::recover(&world, &settings, &earlier).await?;
    let stuck = reports
        .into_iter()
        .find(|report| report.outcome == Outcome::Stuck);
    match stuck {
        Some(report) => Err(Failure::build(JobCode::Stuck, report.summary)),
        None => Ok(true),
    }
}

/// The engine's ports for an environment. Connects to nothing yet.
pub(super) fn world(
    config: &Config,
    environment: &Environment,
    narrator: Voice,
    cancel: watch::Receiver<Wish>,
) -> Result<World<Live>, Failure> {
    let mut hosts = Vec::new();
    for host in &environment.hosts {
        let remote = host::Host::open(environment, host, config.registry.as_ref());
        hosts.push((host.name.clone(), remote?));
    }
    Ok(World {
        balancer: balancer::open(environment)?,
        hosts,
        clock: RealClock::start(),
        narrator,
        cancel,
    })
}

fn settings(runs: &Runs, environment: &Environment) -> Result<Settings, Failure> {
    let versions = runs.versions().map_err(Failure::system)?;
    Ok(Settings::new(environment, versions))
}

/// What the gate saw being pushed for this very commit.
fn release(config: &Config, grant: &Grant) -> Result<Release, Failure> {
    let image = &grant.environment().release.image;
    let ledger = Ledger::new(&config.state_dir);
    let records = ledger.read(grant.project_id()).map_err(Failure::system)?;
    let pushed = choose(records, grant.commit(), image, grant.pipeline_id());
    let record = pushed.ok_or_else(|| {
        let commit = grant.commit().get(..8).unwrap_or(grant.commit());
        let text = format!(
            "no image {image} was pushed for commit {commit} by a job of project {} on a protected ref",
            grant.project_id()
        );
        Failure::build(JobCode::Malformed, text)
            .hint("try: push it in an earlier job of this pipeline, through the docker lane")
    })?;
    Ok(Release {
        image: record.image,
        digest: record.digest,
        version: record.tag,
    })
}

/// The newest push of that commit: of the job's own pipeline if it made one. What an unprotected
/// ref pushed does not count, for anybody may have had it built.
fn choose(records: Vec<Record>, commit: &str, image: &str, pipeline: i64) -> Option<Record> {
    records
        .into_iter()
        .filter(|record| record.is_protected && record.commit == commit && record.image == image)
        // Of equals, the last one wins: the ledger's order is time's.
        .max_by_key(|record| record.pipeline == pipeline)
}

fn unleased(error: LeaseError) -> Failure {
    match error.class() {
        Class::Build => Failure::build(JobCode::Leased, error),
        Class::System => Failure::system(error),
    }
}

/// The report's last line is in the log already, but for a rollout that was stopped at once.
fn told(report: &Report, narrator: &Voice) -> Result<(), Failure> {
    match (report.outcome, report.outcome.code()) {
        (Outcome::Done, _) => Ok(()),
        (_, Some(code)) => Err(Failure::build(code, String::new())),
        (_, None) => {
            if report.hosts.is_empty() {
                narrator.say(&report.headline());
            }
            Err(Failure::system(String::new()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(pipeline: i64, digest: &str, is_protected: bool) -> Record {
        Record {
            project: 42,
            commit: "a".repeat(40),
            reference: "v1".into(),
            is_protected,
            pipeline,
            job: 1,
            image: "h/app".into(),
            tag: "v1".into(),
            digest: digest.into(),
            at: Timestamp::UNIX_EPOCH,
        }
    }

    #[track_caller]
    fn check(records: &[Record], expected: Option<&str>) {
        let chosen = choose(records.to_vec(), &"a".repeat(40), "h/app", 77);
        assert_eq!(chosen.map(|record| record.digest).as_deref(), expected);
    }

    #[test]
    fn the_newest_push_of_the_own_pipeline_is_the_release() {
        check(&[], None);
        check(&[record(76, "a", true)], Some("a"));
        check(&[record(77, "a", true), record(77, "b", true)], Some("b"));
        check(&[record(77, "a", true), record(78, "b", true)], Some("a"));
    }

    #[test]
    fn what_an_unprotected_ref_pushed_is_not_deployed() {
        check(&[record(77, "a", false)], None);
        check(&[record(77, "a", true), record(77, "b", false)], Some("a"));
    }

    #[test]
    fn another_commit_s_image_is_not_deployed() {
        let mut other = record(77, "a", true);
        other.commit = "b".repeat(40);
        let mut image = record(77, "a", true);
        image.image = "h/other".into();
        check(&[other, image], None);
    }
}
