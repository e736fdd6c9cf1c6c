//! Opens a rollout for a grant: finds the release, takes the lease, puts engine and adapters
//! together, and turns the outcome into a job's code.

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

use super::{
    clock::RealClock,
    image, kept as kept_files,
    output::{JobLines, Output, Recorded},
    precedence::Candidate,
    protocol::Answer,
    report, serve,
};
use crate::lang::{both, word};
use crate::{
    balancer::{self, Balancer},
    config::{Config, Environment},
    failure::{self, Failure, JobCode},
    host,
    policy::Grant,
    rollout::{
        debt::Debt,
        engine::{self, Earlier, Order},
        journal::{Outcome, Owner},
        port::{Cancel, Narrator, Ports, Release, Wish},
        report::Report,
        world::{Noted, Settings, Waited, World},
    },
    store::{
        ComposeFiles, DebtFile, History, Holder, Lease, Ledger, Patience, RunFile, Runs,
        StoreError, Stories, ledger::Wanted,
    },
};

/// The real adapters.
pub(super) struct Live;

impl Ports for Live {
    type Balancer = Balancer;
    type Remote = host::Host;
    type Journal = RunFile;
    type Debts = DebtFile;
    type Clock = RealClock;
    type Narrator = Recorded;
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
        wanted: serve::Wanted<'_>,
        lines: &JobLines,
        wish: watch::Receiver<Wish>,
    ) -> Result<(), Failure> {
        let serve::Wanted { grant, files } = wanted;
        let (config, environment) = (self.config, grant.environment());
        let release = release(config, grant)?;
        let owner = Owner {
            project: grant.project_id(),
            pipeline: grant.pipeline_id(),
            job: grant.job_id(),
        };
        let run = Runs::id(Timestamp::now(), grant.job_id());
        let output = Output::Job(lines.clone());
        let ends = (wish.clone(), Reach::Registry);
        let world = world(config, environment, output, ends)?;
        let patience = Patience {
            wait: environment.rollout.lease_wait,
            clock: &world.clock,
            narrator: &world.narrator,
        };
        let holder = Holder::new(owner, &run);
        let _lease = tokio::select! {
            lease = patience.take(&config.state_dir, &environment.name, &holder) => lease?,
            () = serve::stopped(wish) => {
                return Err(Failure::system(word!("stopped before anything was touched", "在改动任何东西之前停止")));
            }
        };
        let runs = Runs::new(&config.state_dir, &environment.name);
        let history = runs.history()?;
        tell_damaged(&history, &world.narrator);
        check(config, &environment.name, &history)?;
        let ledger = Ledger::new(&config.state_dir);
        let candidate = Candidate {
            grant,
            release: &release,
        };
        let past: Vec<_> = history.past.iter().map(|past| &past.run).collect();
        let cause = candidate.follows(&past, &ledger)?;
        let settings = Settings::new(environment, history.versions);
        let order = Order {
            journal: runs.journal(&run),
            run,
            release,
            files,
            owner,
            cause,
        };
        let kept = ComposeFiles::new(&config.state_dir, &environment.name);
        kept.keep(&order.run, &order.files)?;
        let open = kept_files::with_files(history.open, &kept)?;
        let report = engine::roll_out(&world, &settings, &order, &open).await;
        if let Ok(report) = &report
            && let Some(run) = kept_files::heir(report, &order.release, &history.past)
        {
            kept.keep(run, &order.files)?;
        }
        prune(config, &environment.name);
        // A run that never began has none.
        match report::pages(config, &environment.name, Some(&order.run)) {
            Ok(Some(pages)) => lines.answer(Answer::Report(pages)),
            Ok(None) => {}
            Err(failure) => tracing::warn!(%failure, "there is no report"),
        }
        told(&report?, &world.narrator)
    }
}

/// A rollout that is stuck is not tried again at once unless somebody asks: the rest grows by the
/// first of these with each time that it was found stuck, up to the second.
const REST: SignedDuration = SignedDuration::from_secs(30);
const LONGEST_REST: SignedDuration = SignedDuration::from_mins(10);

/// Puts right what interrupted rollouts left in one environment.
pub(super) struct Recovery<'a> {
    pub(super) environment: &'a str,
    /// A timer or the end of a job wants it, not a person.
    pub(super) is_unasked: bool,
}

impl Recovery<'_> {
    /// `false` when there was nothing to do.
    pub(super) async fn carry_out(
        &self,
        config: &Config,
        output: Output,
        wish: watch::Receiver<Wish>,
    ) -> Result<bool, Failure> {
        let name = self.environment;
        let environment = config.environment(name)?;
        let runs = Runs::new(&config.state_dir, name);
        // Whoever deploys just now shall not find the lease taken for nothing.
        if self.is_unasked && !needs_recovery(config, name, &runs.history()?)? {
            return Ok(false);
        }
        let holder = Holder::new(Owner::default(), "recover");
        let _lease = Lease::try_take(&config.state_dir, name, &holder)?;
        let history = runs.history()?;
        tell_damaged(&history, &output);
        if history.open.is_empty() && owed(config, name)?.is_empty() {
            unknown(history.unknown.as_ref(), name)?;
            return Ok(false);
        }
        let world = world(config, &environment, output, (wish, Reach::Hosts))?;
        let settings = Settings::new(&environment, history.versions);
        let kept = ComposeFiles::new(&config.state_dir, name);
        let open = kept_files::with_files(history.open, &kept)?;
        let recovered = engine::recover(&world, &settings, &open).await?;
        unknown(history.unknown.as_ref(), name)?;
        let reports = recovered.reports.into_iter();
        let stuck = reports.filter(|report| report.outcome == Outcome::Stuck);
        let stuck = stuck.map(|report| report.summary).chain(recovered.owed);
        match stuck.reduce(|all, next| format!("{all}; {next}")) {
            Some(summary) => Err(Failure::build(JobCode::Stuck, summary)),
            None => Ok(true),
        }
    }
}

/// False where nothing is left to put right, or it was tried a short time ago.
fn needs_recovery(config: &Config, name: &str, history: &History) -> Result<bool, Failure> {
    if history.open.is_empty() {
        return Ok(history.unknown.is_some() || !owed(config, name)?.is_empty());
    }
    let now = Timestamp::now();
    let is_resting = |earlier: &Earlier<RunFile>| {
        let stuck = earlier.journal.stuck();
        // A clock that was set back is no reason to rest for long.
        stuck.is_some_and(|(at, times)| {
            let rested = now.duration_since(at);
            !rested.is_negative() && rested < rest(times)
        })
    };
    Ok(!history.open.iter().all(is_resting))
}

fn rest(times: i32) -> SignedDuration {
    REST.saturating_mul(times).min(LONGEST_REST)
}

/// What is owed in an environment. A file that cannot be read is a person's turn: nobody else knows
/// which weights were taken.
pub(super) fn owed(config: &Config, environment: &str) -> Result<Debt, Failure> {
    DebtFile::new(&config.state_dir, environment)
        .load()
        .map_err(|error| {
            let hint = both!(
                "try: dockmaster rollout status {environment}; when every weight is right, move that file away",
                "请看：dockmaster rollout status {environment}；确认所有权重都正确之后，移走那个文件"
            );
            Failure::build(JobCode::Stuck, error)
                .during(word!("what earlier rollouts owe cannot be read", "无法读取之前的发布还欠哪些权重"))
                .hint(hint)
        })
}

/// Fails where nobody may begin anything: a journal or what is owed cannot be read.
pub(super) fn check(config: &Config, environment: &str, history: &History) -> Result<(), Failure> {
    unknown(history.unknown.as_ref(), environment)?;
    owed(config, environment).map(drop)
}

/// Old journals that cannot be removed are no reason to call a rollout failed.
pub(super) fn prune(config: &Config, environment: &str) {
    let runs = Runs::new(&config.state_dir, environment);
    let pruned = runs.prune().and_then(|()| {
        let history = runs.history()?;
        let kept = history.past.iter().map(|past| past.run.id.as_str());
        let kept: Vec<_> = kept.collect();
        ComposeFiles::new(&config.state_dir, environment).prune(&kept)?;
        Stories::new(&config.state_dir, environment).prune(&kept)
    });
    if let Err(error) = pruned {
        tracing::warn!(%error, "old journals stay");
    }
}

/// How far a rollout may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Hosts may pull.
    Registry,
    /// What the hosts have is enough.
    Hosts,
}

/// The engine's ports for an environment. Connects to nothing yet.
pub(super) fn world(
    config: &Config,
    environment: &Environment,
    output: Output,
    (cancel, reach): (watch::Receiver<Wish>, Reach),
) -> Result<World<Live>, Failure> {
    let mut hosts = Vec::new();
    let registry = config.registry.as_ref();
    for host in &environment.hosts {
        let remote = match reach {
            Reach::Registry => host::Host::open(environment, host, registry)?,
            Reach::Hosts => host::Host::open(environment, host, None)?.without_registry(),
        };
        hosts.push((host.name.clone(), remote));
    }
    Ok(World {
        balancer: balancer::open(environment)?,
        hosts,
        debts: DebtFile::new(&config.state_dir, &environment.name),
        waited: Waited::default(),
        noted: Noted::default(),
        clock: RealClock::start(),
        narrator: Recorded::new(output, Stories::new(&config.state_dir, &environment.name)),
        cancel,
    })
}

/// Says which journals are left out, and why that is harmless.
pub(super) fn tell_damaged(history: &History, narrator: &impl Narrator) {
    for error in &history.damaged {
        let why = failure::chain(error);
        narrator.say(&both!(
            "{why}; its rollout has ended, so it is left out",
            "{why}；那次发布已经结束，因此略过"
        ));
    }
}

/// A run that may be open and cannot be read: nobody knows which weights it took.
fn unknown(error: Option<&StoreError>, environment: &str) -> Result<(), Failure> {
    let Some(error) = error else { return Ok(()) };
    let hint = both!(
        "try: dockmaster rollout status {environment}; when every weight is right, move that file away",
        "请看：dockmaster rollout status {environment}；确认所有权重都正确之后，移走那个文件"
    );
    let failure = Failure::build(JobCode::Stuck, failure::chain(error));
    Err(failure
        .during(word!(
            "a rollout may be open and its journal cannot be read",
            "可能有未结束的发布，而它的日志无法读取"
        ))
        .hint(hint))
}

/// What the gate saw being pushed for this very commit.
fn release(config: &Config, grant: &Grant) -> Result<Release, Failure> {
    let image = &grant.environment().release.image;
    let pushed = Ledger::new(&config.state_dir).pushed(Wanted {
        project: grant.project_id(),
        commit: grant.commit(),
        image,
        pipeline: grant.pipeline_id(),
        reference: grant.reference(),
    })?;
    let chosen = image::choose(&pushed, &image::Names::of(grant))?;
    let record = chosen.ok_or_else(|| {
        let commit = grant.commit().get(..8).unwrap_or(grant.commit());
        let text = both!(
            "no image {image} was pushed for commit {commit} by a job of project {} on a protected ref",
            "提交 {commit} 没有镜像 {image}：项目 {} 没有任务在受保护的 ref 上推送过它",
            grant.project_id()
        );
        Failure::build(JobCode::Malformed, text)
            .hint(word!(
                "try: push it in an earlier job of this pipeline, through the docker lane",
                "请在这条流水线更早的任务里，经 docker 通道推送它"
            ))
    })?;
    Ok(Release {
        image: record.image.clone(),
        digest: record.digest.clone(),
        // One image may have many tags; people know the release by this name.
        version: grant.version().to_owned(),
    })
}

/// The report's last line is in the log already, but for a rollout that was stopped at once.
pub(super) fn told(report: &Report, narrator: &impl Narrator) -> Result<(), Failure> {
    match (report.outcome, report.code()) {
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
