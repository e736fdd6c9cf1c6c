//! What earlier runs left: put right newest first, then whatever else is owed.

use std::time::Duration;

use super::{
    debt::Owed,
    ending::Ending,
    health::is_serving,
    journal::{Event, Outcome, Run},
    narrate,
    order::{Earlier, Error, Recovered, unread},
    owing::Owing,
    plan::Fleet,
    port::{Fact, HostName, Journal, Narrator, Ports, Weight},
    report::Report,
    work::Work,
    world::{Patience, Settings, World},
};
use crate::lang::{both, word};
use crate::{failure, paint};

/// Nothing was touched yet by this process, so it may be told to stop.
const RECOVER: Patience = Patience::LOOK.within(Duration::from_mins(1));

/// Puts right what earlier runs left open, newest first, then whatever else is owed.
pub(crate) async fn recover<P: Ports>(
    world: &World<P>,
    settings: &Settings,
    earlier: &[Earlier<P::Journal>],
) -> Result<Recovered, Error> {
    let owing = owing(world, settings).await?;
    recover_all(&owing, settings, earlier).await
}

pub(super) async fn owing<'a, P: Ports>(
    world: &'a World<P>,
    settings: &Settings,
) -> Result<Owing<'a, P>, Error> {
    let owing = Owing::load(world, settings.rollout.propagation).await;
    owing.map_err(|source| Error::Debts { source })
}

pub(super) async fn recover_all<P: Ports>(
    owing: &Owing<'_, P>,
    settings: &Settings,
    earlier: &[Earlier<P::Journal>],
) -> Result<Recovered, Error> {
    let world = owing.world;
    let mut reports = Vec::new();
    let mut settled: Vec<HostName> = Vec::new();
    for Earlier {
        run,
        journal,
        files,
    } in earlier
    {
        world.bring(&run.release, files);
        world.note(Fact::Run {
            run: Some(run.id.clone()),
            is_new: false,
        });
        if !run.is_begun() {
            reports.push(never_begun(world, run, journal).await);
            continue;
        }
        let title = both!(
            "run {} of {} was cut off: putting things right first",
            "{1} 的运行 {0} 中途被打断：先恢复现场",
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
    world.note(Fact::Run {
        run: None,
        is_new: false,
    });
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
        world.say(
            host,
            word!(
                "is not in the environment's file any more: left out",
                "已不在环境文件中：跳过"
            ),
        );
    }
    named
}

/// A run that was cut off before it had written down what it would change has changed nothing.
async fn never_begun<P: Ports>(world: &World<P>, run: &Run, journal: &P::Journal) -> Report {
    let version = &run.release.version;
    let summary = both!(
        "run {} of {version} was never begun: nothing was touched",
        "{version} 的运行 {} 从未真正开始：什么都没有改动",
        run.id
    );
    let closed = Event::Closed {
        outcome: Outcome::Undone,
        summary: summary.clone(),
    };
    let written = journal.append(&closed).await;
    if let Err(error) = &written {
        let why = failure::chain(error);
        let text = both!(
            "the journal cannot be written, going on without it: {why}",
            "发布日志写不进去，不记录而继续：{why}"
        );
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
            let text = both!(
                "{host} is owed weight {} at {} since run {}: {why}",
                "{host} 还欠权重 {}（{}，自运行 {} 起）：{why}",
                owed.weight,
                owed.member,
                owed.run
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
        None => return Err(word!("it cannot be looked at", "无法查看它").into()),
        Some(survey) if !is_serving(survey) => {
            return Err(word!("nothing healthy runs there", "那里没有健康的容器在运行").into());
        }
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
            return Err(word!(
                "the environment does not name that member any more",
                "环境文件已不包含这个后端"
            )
            .into());
        }
        None if !is_group_read => {
            return Err(word!(
                "the environment does not name its balancer's group any more",
                "环境文件已不包含它所在的服务器组"
            )
            .into());
        }
        Some(weight) => both!(
            "somebody gave it weight {weight}",
            "有人把它的权重设成了 {weight}"
        ),
        None => word!("it has left its group", "它已不在服务器组中").into(),
    };
    let text = both!("is owed nothing any more: {why}", "不再欠权重：{why}");
    owing.world.say(&owed.host, &text);
    owing.strike(&owed.member).await;
    Ok(())
}
