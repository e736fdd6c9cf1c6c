//! A rollout from its first look to its last line.
//!
//! Look, plan, pull everywhere; then host by host: drain, switch, admit. Whatever goes wrong, the
//! way out is the same: `settle`, look again, say what is.

use std::{collections::BTreeMap, time::Duration};

use futures_util::future::join_all;

use super::{
    debt::Owed,
    ending::Ending,
    error::StepError,
    health::is_serving,
    journal::{Cause, Direction, Event, Mark, Outcome, Owner, Run},
    narrate,
    owing::Owing,
    plan::{self, Fleet, Planned, Refusal, Wanted},
    port::{Fault, HostName, Journal, Narrator, Ports, Release, Remote, Weight},
    report::Report,
    step::Work,
    verdict::Trouble,
    world::{Awaited, GaveUp, Patience, Settings, Source, World},
};
use crate::{
    failure::{self, Failure, JobCode},
    paint,
};

/// Why a rollout did not begin: nothing was touched.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("cannot read the balancer's weights")]
    Balancer {
        #[source]
        source: Source,
    },
    #[error("cannot look at {host}")]
    Host {
        host: HostName,
        #[source]
        source: Source,
    },
    #[error("{host} cannot pull {reference}")]
    Pull {
        host: HostName,
        reference: String,
        /// What the author of the job has to mend.
        code: Option<JobCode>,
        #[source]
        source: Source,
    },
    #[error("cannot write the journal, so nothing was begun")]
    Journal {
        #[source]
        source: Source,
    },
    #[error("what earlier rollouts owe cannot be read, so nothing was begun")]
    Debts {
        #[source]
        source: Source,
    },
    /// An earlier rollout of the same release is stuck, and trying again changes nothing.
    #[error("an earlier rollout of this very release is {summary}")]
    StillStuck { summary: String },
    #[error("stopped (asked to stop): nothing was touched")]
    Stopped,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Pull {
                code: Some(code), ..
            } => Self::build(code, error),
            Error::Refused(_)
            | Error::Balancer { .. }
            | Error::Host { .. }
            | Error::Pull { code: None, .. }
            | Error::Journal { .. }
            | Error::Stopped => Self::system(error),
            Error::StillStuck { .. } | Error::Debts { .. } => Self::build(JobCode::Stuck, error),
        }
    }
}

/// What is to be rolled out, and where that is written down.
pub(crate) struct Order<J> {
    /// The run's id: letters, digits, `-`, `.`; never used before.
    pub run: String,
    pub release: Release,
    pub owner: Owner,
    pub cause: Cause,
    pub journal: J,
}

/// A run that was left open.
pub struct Earlier<J> {
    pub run: Run,
    pub journal: J,
}

/// Nothing was touched yet by this process, so it may be told to stop.
const RECOVER: Patience = Patience::LOOK.within(Duration::from_mins(1));

/// What a recovery came to.
#[derive(Debug, Default)]
pub(crate) struct Recovered {
    /// One for each run that was open.
    pub reports: Vec<Report>,
    /// What is owed to hosts of no open run, and why still: a line each.
    pub owed: Vec<String>,
}

/// Puts right what earlier runs left open, newest first, then whatever else is owed.
pub(crate) async fn recover<P: Ports>(
    world: &World<P>,
    settings: &Settings,
    earlier: &[Earlier<P::Journal>],
) -> Result<Recovered, Error> {
    let owing = owing(world, settings).await?;
    recover_all(&owing, settings, earlier).await
}

async fn owing<'a, P: Ports>(
    world: &'a World<P>,
    settings: &Settings,
) -> Result<Owing<'a, P>, Error> {
    let owing = Owing::load(world, settings.rollout.propagation).await;
    owing.map_err(|source| Error::Debts { source })
}

async fn recover_all<P: Ports>(
    owing: &Owing<'_, P>,
    settings: &Settings,
    earlier: &[Earlier<P::Journal>],
) -> Result<Recovered, Error> {
    let world = owing.world;
    let mut reports = Vec::new();
    let mut settled: Vec<HostName> = Vec::new();
    for Earlier { run, journal } in earlier {
        if !run.is_begun() {
            reports.push(never_begun(world, run, journal).await);
            continue;
        }
        let title = format!(
            "run {} of {} was cut off: putting things right first",
            run.id,
            narrate::asker(&run.cause, run.owner)
        );
        let mut work = Work {
            world,
            settings,
            journal,
            owing,
            run: named(world, run),
            is_settling: true,
        };
        let section = format!("recover_{}", run.id);
        world.narrator.open_section(&section, &title);
        let failed = Box::pin(work.settle(RECOVER)).await;
        world.narrator.close_section(&section);
        let failed = failed.map_err(unread)?;
        reports.push(Ending::new(&work).report(&mut work, None, failed).await);
        settled.extend(work.run.hosts.iter().cloned());
    }
    let mut recovered = Recovered {
        reports,
        ..Recovered::default()
    };
    let rest: Vec<Owed> = owing.debt().owed().cloned().collect();
    let rest = rest.into_iter().filter(|it| !settled.contains(&it.host));
    let rest: Vec<Owed> = rest.collect();
    if !rest.is_empty() {
        repay(owing, rest, &mut recovered).await?;
    }
    Ok(recovered)
}

/// A run without the hosts that the environment does not name any more: nobody can look at them, and
/// what they are owed is kept. Where it names none of them, the run is as it was.
fn named<P: Ports>(world: &World<P>, run: &Run) -> Run {
    let mut named = run.clone();
    named.hosts.retain(|host| world.remote(host).is_some());
    if named.hosts.is_empty() {
        return run.clone();
    }
    for host in run.hosts.iter().filter(|host| !named.hosts.contains(*host)) {
        world.say(host, "is not in the environment's file any more: left out");
    }
    named
}

/// A run that was cut off before it had written down what it would change has changed nothing.
async fn never_begun<P: Ports>(world: &World<P>, run: &Run, journal: &P::Journal) -> Report {
    let version = &run.release.version;
    let summary = format!(
        "run {} of {version} was never begun: nothing was touched",
        run.id
    );
    let closed = Event::Closed {
        outcome: Outcome::Undone,
        summary: summary.clone(),
    };
    let written = journal.append(&closed).await;
    if let Err(error) = &written {
        let why = failure::chain(error);
        let text = format!("the journal cannot be written, going on without it: {why}");
        world.narrator.say(&text);
    }
    world.narrator.say(&paint::bold(&summary));
    Report {
        run: run.id.clone(),
        version: version.clone(),
        reference: run.release.reference(),
        outcome: Outcome::Undone,
        is_undone: false,
        is_recorded: written.is_ok(),
        summary,
        took: Duration::ZERO,
        hosts: Vec::new(),
    }
}

/// Gives back what is owed to hosts of no open run, where they answer: which release they run is
/// nobody's business here.
async fn repay<P: Ports>(
    owing: &Owing<'_, P>,
    rest: Vec<Owed>,
    recovered: &mut Recovered,
) -> Result<(), Error> {
    let world = owing.world;
    let looks = world.look(RECOVER).await;
    let fleet = looks.fleet().map_err(unread)?;
    if let Some(pool) = &fleet.pool {
        owing.forgive(pool).await;
    }
    for owed in rest.iter().filter(|owed| owing.is_owed(&owed.member)) {
        let host = &owed.host;
        if let Err(why) = repay_one(owing, owed, &fleet).await {
            let text = format!(
                "{host} is owed weight {} at {} since run {}: {why}",
                owed.weight, owed.member, owed.run
            );
            world.narrator.say(&paint::red(&text));
            recovered.owed.push(text);
        }
    }
    Ok(())
}

async fn repay_one<P: Ports>(
    owing: &Owing<'_, P>,
    owed: &Owed,
    fleet: &Fleet,
) -> Result<(), String> {
    let pool = fleet.pool.as_ref();
    let mut own = pool.iter().flat_map(|pool| &pool.own);
    // By the member, not by the name: a host may have been renamed since.
    let host = own.find(|(_, member)| **member == owed.member);
    let Some((host, _)) = host else {
        return repay_stranger(owing, owed, fleet).await;
    };
    match fleet.surveys.get(host) {
        None => return Err("it cannot be looked at".into()),
        Some(survey) if !is_serving(survey) => return Err("nothing healthy runs there".into()),
        Some(_) => {}
    }
    let given = owing.give_back(host, &owed.member, owed.weight);
    given.await.map_err(|error| failure::chain(&error))
}

/// A member that the environment does not name any more is not touched. Nothing is owed to one that
/// somebody put back in, or that left the group.
async fn repay_stranger<P: Ports>(
    owing: &Owing<'_, P>,
    owed: &Owed,
    fleet: &Fleet,
) -> Result<(), String> {
    let pool = fleet.pool.as_ref();
    let seen = pool.and_then(|pool| pool.weights.get(&owed.member).copied());
    let mut members = pool.iter().flat_map(|pool| pool.own.values());
    let is_group_read = members.any(|own| own.shares_group(&owed.member));
    let why = match seen {
        Some(Weight::ZERO) => {
            return Err("the environment does not name that member any more".into());
        }
        None if !is_group_read => {
            return Err("the environment does not name its balancer's group any more".into());
        }
        Some(weight) => format!("somebody gave it weight {weight}"),
        None => "it has left its group".into(),
    };
    let text = format!("is owed nothing any more: {why}");
    owing.world.say(&owed.host, &text);
    owing.strike(&owed.member).await;
    Ok(())
}

/// Rolls a release out over the environment.
pub(crate) async fn roll_out<P: Ports>(
    world: &World<P>,
    settings: &Settings,
    order: &Order<P::Journal>,
    earlier: &[Earlier<P::Journal>],
) -> Result<Report, Error> {
    let began = world.now();
    let (version, hosts) = (&order.release.version, world.hosts.len());
    let way = if order.cause.is_rollback() {
        "back to "
    } else {
        ""
    };
    let title = format!(
        "{}: {way}{version} on {}, looking at them first",
        settings.environment,
        narrate::count(hosts, "host")
    );
    world.narrator.say(&paint::bold(&title));
    let owing = owing(world, settings).await?;
    let (mut work, hosts) = match Box::pin(prepare(&owing, settings, order, earlier)).await {
        Ok(opened) => opened,
        Err(NotBegun::Current(summary)) => {
            world.narrator.say(&paint::green(&summary));
            return Ok(untouched(order, Outcome::Done, &summary));
        }
        Err(NotBegun::Failed(Error::Stopped)) => {
            let summary = Error::Stopped.to_string();
            world.narrator.say(&paint::bold(&summary));
            return Ok(untouched(order, Outcome::Stopped, &summary));
        }
        Err(NotBegun::Failed(error)) => return Err(error),
    };
    let mut ending = Ending::new(&work);
    ending.began = began;
    let error = Box::pin(work.change_all(&hosts)).await.err();
    let failed = match &error {
        None => Vec::new(),
        Some(error) => work.turn_back(error).await,
    };
    Ok(ending.report(&mut work, error, failed).await)
}

/// Why no run was opened.
enum NotBegun {
    /// Every host runs the release already.
    Current(String),
    Failed(Error),
}

impl From<Error> for NotBegun {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Everything before the first change: recovers, plans, pulls, and opens the journal.
async fn prepare<'a, P: Ports>(
    owing: &'a Owing<'a, P>,
    settings: &'a Settings,
    order: &'a Order<P::Journal>,
    earlier: &[Earlier<P::Journal>],
) -> Result<(Work<'a, P>, Vec<Planned>), NotBegun> {
    let world = owing.world;
    let stuck = inherit(owing, settings, order, earlier).await?;
    let debt = owing.debt();
    let wanted = Wanted {
        release: &order.release,
        percent: settings.rollout.min_capacity,
        has_probe: settings.has_probe,
        disk: settings.rollout.min_free_disk,
        hosts: world.names(),
        debt: &debt,
    };
    let plan = async || -> Result<_, Error> { Ok(plan::plan(&wanted, &look(world).await?)?) };
    let hosts = plan().await?;
    if hosts.iter().all(|planned| planned.is_current) {
        // Every host and weight is as it should be, so what was stuck is not any more.
        supersede(&order.run, &stuck).await?;
        return Err(NotBegun::Current(format!(
            "{} runs {} on all {} already: nothing to do",
            settings.environment,
            order.release.version,
            narrate::count(hosts.len(), "host")
        )));
    }
    tell(world, settings, order, &hosts);
    pull(world, order, &hosts).await?;
    // Pulling may have taken minutes: what is captured must be what is there now.
    let hosts = plan().await?;
    let work = open(owing, settings, order, &hosts).await?;
    supersede(&order.run, &stuck).await?;
    Ok((work, hosts))
}

/// Recovers first. What stays stuck blocks the same release; another one may be the cure, and
/// takes over what is owed. The runs that are still stuck, or whose end could not be written, are
/// returned.
async fn inherit<'a, P: Ports>(
    owing: &Owing<'_, P>,
    settings: &Settings,
    order: &Order<P::Journal>,
    earlier: &'a [Earlier<P::Journal>],
) -> Result<Vec<&'a Earlier<P::Journal>>, Error> {
    let mut stuck = Vec::new();
    let recovered = recover_all(owing, settings, earlier).await?;
    for (report, earlier) in recovered.reports.into_iter().zip(earlier) {
        let is_stuck = report.outcome == Outcome::Stuck;
        if !is_stuck && report.is_recorded {
            continue;
        }
        let is_same = report.reference == order.release.reference();
        if is_stuck && is_same && !is_first_release(&report, &earlier.run) {
            let summary = report.summary;
            return Err(Error::StillStuck { summary });
        }
        stuck.push(earlier);
    }
    Ok(stuck)
}

/// True when nothing ran before on any host that is in trouble: the release is the only cure there.
fn is_first_release(report: &Report, run: &Run) -> bool {
    let mut troubled = report.hosts.iter().filter(|row| row.problem.is_some());
    troubled.all(|row| {
        let captured = run.captured.get(&row.host);
        captured.is_some_and(|captured| captured.previous.is_none())
    })
}

/// Looks at everything; all must answer before anything begins.
async fn look<P: Ports>(world: &World<P>) -> Result<Fleet, Error> {
    let looks = world.look(Patience::LOOK).await;
    let pool = looks.pool.map_err(unread)?;
    let mut surveys = BTreeMap::new();
    for (host, survey) in looks.surveys {
        match survey {
            Ok(survey) => surveys.insert(host, survey),
            Err(GaveUp::Stopped) => return Err(Error::Stopped),
            Err(GaveUp::Failed(source)) => return Err(Error::Host { host, source }),
        };
    }
    Ok(Fleet { pool, surveys })
}

fn unread(gave_up: GaveUp<Source>) -> Error {
    match gave_up {
        GaveUp::Stopped => Error::Stopped,
        GaveUp::Failed(source) => Error::Balancer { source },
    }
}

fn tell<P: Ports>(
    world: &World<P>,
    settings: &Settings,
    order: &Order<P::Journal>,
    hosts: &[Planned],
) {
    let release = &order.release;
    let changed = hosts.iter().filter(|planned| !planned.is_current).count();
    let changed = narrate::count(changed, "host");
    world.narrator.say(&release.reference());
    world
        .narrator
        .say(&format!("{changed} to change, one at a time"));
    for planned in hosts {
        let was = planned.previous.as_ref();
        let was = was.map(|container| narrate::release_of(container, &settings.versions));
        let was = was.as_deref().unwrap_or("nothing");
        let version = &release.version;
        let text = match (planned.is_current, planned.weight, planned.found) {
            (true, _, _) => format!("runs {version} already, healthy: not touched"),
            (false, None, _) => format!("{was} -> {version}, no balancer: down while it changes"),
            (false, Some(weight), Some(found)) if weight != found => {
                format!(
                    "{was} -> {version}, weight {found} since an earlier rollout, then {weight}"
                )
            }
            (false, Some(weight), _) => format!("{was} -> {version}, weight {weight}"),
        };
        world.say(&planned.host, &text);
    }
}

/// Pulls on every host that needs it.
async fn pull<P: Ports>(
    world: &World<P>,
    order: &Order<P::Journal>,
    hosts: &[Planned],
) -> Result<(), Error> {
    let section = "rollout_pull";
    let release = &order.release;
    let title = if order.cause.is_rollback() {
        format!("look for {} on every host", release.version)
    } else {
        format!("pull {} on every host", release.version)
    };
    world.narrator.open_section(section, &title);
    let pulls = hosts.iter().filter(|planned| !planned.is_current);
    let pulls = join_all(pulls.map(|planned| pull_on(world, release, &planned.host)));
    let results = pulls.await;
    world.narrator.close_section(section);
    for error in results.iter().filter_map(|result| result.as_ref().err()) {
        if !matches!(error, Error::Stopped) {
            world.narrator.say(&paint::red(&failure::chain(error)));
        }
    }
    results.into_iter().collect()
}

async fn pull_on<P: Ports>(world: &World<P>, release: &Release, host: &str) -> Result<(), Error> {
    let began = world.now();
    let say = |text: &str| world.say(host, text);
    let Some(remote) = world.remote(host) else {
        return Ok(());
    };
    let pull = async || remote.pull(release, &say).await;
    match world
        .retry(Patience::LOOK, Awaited::of(host, ""), pull)
        .await
    {
        Ok(()) => {}
        Err(GaveUp::Stopped) => return Err(Error::Stopped),
        Err(GaveUp::Failed(error)) => {
            return Err(Error::Pull {
                host: host.into(),
                reference: release.reference(),
                code: error.code(),
                source: error.into(),
            });
        }
    }
    let waited = narrate::duration(world.now().saturating_sub(began));
    world.say(host, &format!("has the image, by digest ({waited})"));
    Ok(())
}

/// Writes down what is about to be changed, before anything is.
async fn open<'a, P: Ports>(
    owing: &'a Owing<'a, P>,
    settings: &'a Settings,
    order: &'a Order<P::Journal>,
    hosts: &[Planned],
) -> Result<Work<'a, P>, Error> {
    let opened = Event::Opened {
        run: order.run.clone(),
        release: order.release.clone(),
        owner: order.owner,
        hosts: hosts.iter().map(|planned| planned.host.clone()).collect(),
        cause: order.cause.clone(),
    };
    let captured = hosts.iter().map(|planned| Event::Captured {
        host: planned.host.clone(),
        weight: planned.weight,
        found: planned.found,
        member: planned.member.clone(),
        previous: planned.previous.clone(),
    });
    let events: Vec<Event> = std::iter::once(opened).chain(captured).collect();
    for event in &events {
        let written = order.journal.append(event).await;
        written.map_err(|error| Error::Journal {
            source: error.into(),
        })?;
    }
    let Some(run) = Run::fold(&events) else {
        let source = "it does not begin with its own opening".into();
        return Err(Error::Journal { source });
    };
    Ok(Work {
        world: owing.world,
        settings,
        journal: &order.journal,
        owing,
        run,
        is_settling: false,
    })
}

/// Ends the earlier runs that are still stuck: this run's journal holds their hosts now, and what is
/// owed stays owed.
async fn supersede<J: Journal>(run: &str, stuck: &[&Earlier<J>]) -> Result<(), Error> {
    for Earlier { journal, .. } in stuck {
        let closed = Event::Closed {
            outcome: Outcome::Stuck,
            summary: format!("taken over by run {run}"),
        };
        let written = journal.append(&closed).await;
        written.map_err(|error| Error::Journal {
            source: error.into(),
        })?;
    }
    Ok(())
}

fn untouched<J>(order: &Order<J>, outcome: Outcome, summary: &str) -> Report {
    Report {
        run: order.run.clone(),
        version: order.release.version.clone(),
        reference: order.release.reference(),
        outcome,
        is_undone: false,
        is_recorded: true,
        summary: summary.into(),
        took: Duration::ZERO,
        hosts: Vec::new(),
    }
}

impl<P: Ports> Work<'_, P> {
    async fn change_all(&mut self, hosts: &[Planned]) -> Result<(), StepError> {
        for planned in hosts.iter().filter(|planned| !planned.is_current) {
            self.go_on()?;
            let was = planned.previous.as_ref();
            let was = was.map(|c| narrate::release_of(c, &self.settings.versions));
            let was = was.unwrap_or_else(|| "nothing".into());
            let title = format!("{}: {was} -> {}", planned.host, self.run.release.version);
            let section = format!("rollout_{}", planned.host);
            self.world.narrator.open_section(&section, &title);
            let result = self.change(&planned.host).await;
            self.world.narrator.close_section(&section);
            result?;
        }
        Ok(())
    }

    async fn change(&mut self, host: &str) -> Result<(), StepError> {
        let began = self.world.now();
        self.drain(host, Direction::Do).await?;
        self.go_on()?;
        self.switch(host, Direction::Do).await?;
        self.admit(host, Direction::Do).await?;
        let waited = narrate::duration(self.world.now().saturating_sub(began));
        self.world.say(host, &format!("done in {waited}"));
        Ok(())
    }

    /// Goes back, or only to the next step edge when nothing failed.
    async fn turn_back(&mut self, error: &StepError) -> Vec<Trouble> {
        self.is_settling = true;
        let why = failure::chain(error);
        self.world.narrator.say(&paint::red(&why));
        let title = match error {
            StepError::Cancelled | StepError::Journal { .. } | StepError::Debt { .. } => {
                "putting the host in hand right"
            }
            StepError::Balancer { .. }
            | StepError::Unapplied { .. }
            | StepError::Drift { .. }
            | StepError::Floor(_)
            | StepError::Host { .. }
            | StepError::Unwell { .. } => {
                // Journaled first: after a crash the way still leads back. Settling does not fail.
                let _ = self.record(Event::Undoing { why }).await;
                "undoing the rollout"
            }
        };
        let mut marks = self.run.captured.values().filter_map(|c| c.mark);
        let is_at_an_edge = marks.all(|mark| mark == Mark::ADMITTED);
        if self.run.undoing.is_none() && is_at_an_edge {
            return Vec::new();
        }
        let section = "rollout_settle";
        self.world.narrator.open_section(section, title);
        let failed = Box::pin(self.settle(Patience::SETTLE)).await;
        self.world.narrator.close_section(section);
        failed.unwrap_or_else(|gave_up| {
            let why = failure::chain(&*gave_up.into_source());
            let text =
                format!("the balancer's weights cannot be read, so nothing was put right: {why}");
            self.world.narrator.say(&paint::red(&text));
            Vec::new()
        })
    }
}
