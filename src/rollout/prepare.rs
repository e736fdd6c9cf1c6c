//! Everything before the first change: recovers, plans, pulls, and opens the journal.

use std::collections::BTreeMap;

use futures_util::future::join_all;

use super::{
    journal::{Event, Outcome, Run},
    narrate,
    order::{Earlier, Error, Order, unread},
    owing::Owing,
    plan::{self, Fleet, Planned, Wanted},
    port::{Fact, Fault, Journal, Member, Narrator, Ports, Release, Remote},
    recover::recover_all,
    report::Report,
    work::Work,
    world::{Awaited, GaveUp, Patience, Settings, World},
};
use crate::lang::{both, word};
use crate::{config, failure, paint};

/// Why no run was opened.
pub(super) enum NotBegun {
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
pub(super) async fn prepare<'a, P: Ports>(
    owing: &'a Owing<'a, P>,
    settings: &'a Settings,
    order: &'a Order<P::Journal>,
    earlier: &[Earlier<P::Journal>],
) -> Result<(Work<'a, P>, Vec<Planned>), NotBegun> {
    let world = owing.world;
    let stuck = inherit(owing, settings, order, earlier).await?;
    world.bring(&order.release, &order.files);
    let debt = owing.debt();
    let wanted = Wanted {
        release: &order.release,
        rollout: &settings.rollout,
        has_probe: settings.has_probe,
        hosts: world.names(),
        debt: &debt,
    };
    let plan = async || -> Result<_, Error> { Ok(plan::plan(&wanted, &look(world).await?)?) };
    let hosts = plan().await?;
    if hosts.iter().all(|it| it.is_current && !it.has_bridge) {
        // Every host and weight is as it should be, so what was stuck is not any more.
        supersede(&order.run, &stuck).await?;
        return Err(NotBegun::Current(both!(
            "{} runs {} on all {} already: nothing to do",
            "{0} 的 {2}都已运行 {1}：无需操作",
            settings.environment,
            order.release.version,
            narrate::hosts(hosts.len())
        )));
    }
    ask_checks(world, settings, &hosts).await?;
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
        // The same image with corrected files is another release.
        let is_same = report.reference == order.release.reference() && earlier.files == order.files;
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

/// Finds before any weight moves that the balancer's own checks cannot be asked, and says where there
/// are none.
async fn ask_checks<P: Ports>(
    world: &World<P>,
    settings: &Settings,
    hosts: &[Planned],
) -> Result<(), Error> {
    let members: Vec<Member> = hosts.iter().filter_map(|it| it.member.clone()).collect();
    if members.is_empty() || settings.rollout.admission_timeout.is_zero() {
        return Ok(());
    }
    match world.health(Patience::LOOK, &members).await {
        Ok(health) if health.is_empty() => {
            let text = word!(
                "the balancer checks nobody's health, so it is not asked whether hosts answer",
                "负载均衡没有开启健康检查，因此不向它询问主机是否应答"
            );
            world.narrator.say(text);
            Ok(())
        }
        Ok(_) => Ok(()),
        Err(GaveUp::Stopped) => Err(Error::Stopped),
        Err(GaveUp::Failed(source)) => Err(Error::Checks { source }),
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
    let changed = narrate::hosts(changed);
    world.narrator.say(&release.reference());
    world.narrator.say(&both!(
        "{changed} to change, one at a time",
        "{changed}需要更新，每次一台"
    ));
    if settings.rollout.order == config::Order::StartFirst {
        let text = word!(
            "start-first: a host serves from its second port while it changes",
            "start-first：主机更新期间由第二个端口提供服务"
        );
        world.narrator.say(text);
    }
    for planned in hosts {
        let was = planned.previous.as_ref();
        let was = was.map(|container| narrate::release_of(container, &settings.versions));
        let was = was.as_deref().unwrap_or(narrate::nothing());
        let version = &release.version;
        let text = match (planned.is_current, planned.weight, planned.found) {
            (true, _, _) => both!(
                "runs {version} already, healthy: not touched",
                "已在运行 {version}，健康：不动它"
            ),
            (false, None, _) => both!(
                "{was} -> {version}, no balancer: down while it changes",
                "{was} -> {version}，没有负载均衡：更新期间会中断服务"
            ),
            (false, Some(weight), Some(found)) if weight != found => {
                both!(
                    "{was} -> {version}, weight {found} since an earlier rollout, then {weight}",
                    "{was} -> {version}，权重自之前的发布起为 {found}，之后恢复为 {weight}"
                )
            }
            (false, Some(weight), _) => both!(
                "{was} -> {version}, weight {weight}",
                "{was} -> {version}，权重 {weight}"
            ),
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
        both!(
            "look for {} on every host",
            "在每台主机上查找 {}",
            release.version
        )
    } else {
        both!(
            "pull {} on every host",
            "在每台主机上拉取 {}",
            release.version
        )
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
    world.say(
        host,
        &both!(
            "has the image, by digest ({waited})",
            "镜像已就位，按摘要核对（{waited}）"
        ),
    );
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
        is_outdated: planned.is_outdated,
    });
    let events: Vec<Event> = std::iter::once(opened).chain(captured).collect();
    for event in &events {
        let written = order.journal.append(event).await;
        written.map_err(|error| Error::Journal {
            source: error.into(),
        })?;
    }
    owing.world.note(Fact::Run {
        run: Some(order.run.clone()),
        is_new: true,
    });
    let Some(run) = Run::fold(&events) else {
        let source = word!(
            "it does not begin with its own opening",
            "它没有以自己的开头开始"
        )
        .into();
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
            summary: both!("taken over by run {run}", "由运行 {run} 接管"),
        };
        let written = journal.append(&closed).await;
        written.map_err(|error| Error::Journal {
            source: error.into(),
        })?;
    }
    Ok(())
}
