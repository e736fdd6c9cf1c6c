//! What a run has come to: a pure function of what is owed, of the last look, and of what was
//! wanted. Never of how far the journal says it got: a step that ended may not have lasted.

use std::collections::BTreeMap;

use super::{
    debt::Debt,
    health::{Expected, is_serving},
    journal::{Captured, Direction, Outcome, Run},
    plan::Fleet,
    port::{Container, Health, HostName, Survey, Weight},
};
use crate::lang::both;

/// The last look at everything.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) fleet: Fleet,
    /// Why the weights could not be read.
    pub(super) unread: Option<String>,
    /// Why hosts could not be looked at.
    pub(super) unseen: BTreeMap<HostName, String>,
    /// Why hosts whose release has no HEALTHCHECK did not answer from outside.
    pub(super) deaf: BTreeMap<HostName, String>,
    /// True where a probe from outside stands for a HEALTHCHECK that the release lacks.
    pub(super) may_lack_check: bool,
}

/// What was wanted in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aim {
    /// The release everywhere, or what ran before everywhere.
    All(Direction),
    /// No more than an end between two hosts.
    Halt,
}

/// A host that a person has to look at, and why.
pub(super) type Trouble = (HostName, String);

/// What is to be said.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) outcome: Outcome,
    pub(super) troubles: Vec<Trouble>,
    /// Hosts whose weight somebody else moved; the rest of them is in order.
    pub(super) moved: Vec<HostName>,
}

/// What a host that is in order runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Runs {
    New,
    Before,
    /// The release is what it ran before.
    Both,
}

impl Runs {
    fn is_new(self) -> bool {
        self != Self::Before
    }

    fn is_before(self) -> bool {
        self != Self::New
    }
}

/// Judges a run by what is seen.
pub(super) fn judge(run: &Run, debt: &Debt, seen: &Seen, aim: Aim) -> Verdict {
    let mut troubles = Vec::new();
    let mut runs = Vec::new();
    let mut moved = Vec::new();
    for host in &run.hosts {
        match judge_host(run, debt, seen, host) {
            Err(why) => troubles.push((host.clone(), why)),
            Ok(Runs::New) if aim == Aim::All(Direction::Undo) => {
                let why = both!(
                    "{host} still runs {}",
                    "{host} 仍在运行 {}",
                    run.release.version
                );
                troubles.push((host.clone(), why));
            }
            Ok(what) => runs.push(what),
        }
        if is_moved(run, debt, seen, host) {
            moved.push(host.clone());
        }
    }
    Verdict {
        outcome: if troubles.is_empty() && !runs.is_empty() {
            outcome(&runs, moved.is_empty(), aim)
        } else {
            Outcome::Stuck
        },
        troubles,
        moved,
    }
}

/// How it ended, where every host is in order.
fn outcome(runs: &[Runs], is_unmoved: bool, aim: Aim) -> Outcome {
    let is_new = runs.iter().all(|what| what.is_new());
    let is_before = runs.iter().all(|what| what.is_before());
    let is_wanted = aim != Aim::All(Direction::Undo);
    if is_wanted && is_new && is_unmoved {
        Outcome::Done
    } else if aim != Aim::Halt && is_before && is_unmoved {
        Outcome::Undone
    } else {
        Outcome::Stopped
    }
}

fn judge_host(run: &Run, debt: &Debt, seen: &Seen, host: &str) -> Result<Runs, String> {
    let Some(captured) = run.captured.get(host) else {
        return Err(both!(
            "nobody wrote down what {host} was like",
            "没有记录 {host} 原来的状态"
        ));
    };
    judge_weight(captured, debt, seen, host)?;
    if seen.fleet.has_bridge(host) {
        return Err(both!(
            "the second instance of {host} is still there",
            "{host} 的第二实例还在"
        ));
    }
    let Some(survey) = seen.fleet.surveys.get(host) else {
        let why = seen.unseen.get(host).map_or("", String::as_str);
        return Err(both!(
            "{host} cannot be looked at: {why}",
            "无法查看 {host}：{why}"
        ));
    };
    if survey.is_switching {
        return Err(both!(
            "compose is still at work on {host}",
            "compose 仍在 {host} 上执行"
        ));
    }
    if let Some(why) = seen.deaf.get(host) {
        return Err(why.clone());
    }
    let is_new = is_proper(run, survey, seen.may_lack_check);
    match (is_new, is_restored(captured, survey)) {
        (true, true) => Ok(Runs::Both),
        (true, false) => Ok(Runs::New),
        (false, true) => Ok(Runs::Before),
        (false, false) => Err(told(run, captured, survey, host)),
    }
}

/// The release runs, made of the files that it brings, and its HEALTHCHECK says healthy.
fn is_proper(run: &Run, survey: &Survey, may_lack_check: bool) -> bool {
    let is_healthy = |c: &Container| match c.health {
        Health::Healthy => c.is_running,
        Health::None => c.is_running && may_lack_check,
        Health::Starting | Health::Unhealthy => false,
    };
    let container = survey.container.as_ref();
    !survey.is_outdated && container.is_some_and(|c| c.runs(&run.release) && is_healthy(c))
}

/// True when a host runs what it ran before, and answers if it did then.
fn is_restored(captured: &Captured, survey: &Survey) -> bool {
    match (&captured.previous, &survey.container) {
        (None, None) => true,
        (Some(previous), Some(container)) => {
            let served =
                previous.is_running && matches!(previous.health, Health::Healthy | Health::None);
            Expected::Previous(previous).is_met_by(container)
                && captured.has_files_of_before(survey)
                && (!served || is_serving(survey))
        }
        (None, Some(_)) | (Some(_), None) => false,
    }
}

fn told(run: &Run, captured: &Captured, survey: &Survey, host: &str) -> String {
    let version = &run.release.version;
    let Some(container) = &survey.container else {
        return both!("{host} runs nothing", "{host} 什么都没运行");
    };
    let was = captured.previous.as_ref();
    if container.runs(&run.release) && survey.is_outdated && !captured.is_outdated {
        return both!(
            "{host} runs {version}, made of other compose files than that brings",
            "{host} 运行 {version}，但所用的 compose 文件不是它带来的"
        );
    }
    if container.runs(&run.release) {
        return both!(
            "{host} runs {version} and is not healthy",
            "{host} 运行 {version}，但不健康"
        );
    }
    if was.is_some_and(|was| Expected::Previous(was).is_met_by(container)) {
        return both!("{host} is not healthy any more", "{host} 不再健康");
    }
    both!(
        "{host} runs neither {version} nor what it ran before",
        "{host} 运行的既不是 {version}，也不是之前的版本"
    )
}

/// Fails where a weight that this run had to give back is owed, or cannot be seen.
fn judge_weight(captured: &Captured, debt: &Debt, seen: &Seen, host: &str) -> Result<(), String> {
    let Some(original) = captured.weight else {
        return Ok(());
    };
    if let Some(why) = &seen.unread {
        return Err(both!(
            "nobody knows the weight of {host}: the balancer's weights cannot be read: {why}",
            "无从知道 {host} 的权重：无法读取负载均衡：{why}"
        ));
    }
    let member = captured.member.as_ref();
    let Some(weight) = member.and_then(|member| seen.fleet.at(member)) else {
        return Err(both!(
            "{host} is not behind the balancer any more",
            "{host} 已不在负载均衡后面"
        ));
    };
    if member.is_some_and(|member| debt.of(member).is_some()) {
        return Err(if weight == Weight::ZERO {
            both!(
                "{host} is left at weight 0, and is owed {original}",
                "{host} 的权重停在 0，还欠 {original}"
            )
        } else {
            both!(
                "{host} has weight {weight}, and nobody saw it stay so",
                "{host} 的权重是 {weight}，但没有确认它稳定下来"
            )
        });
    }
    Ok(())
}

/// True when a host has another weight than it had, and nothing is owed there.
fn is_moved(run: &Run, debt: &Debt, seen: &Seen, host: &str) -> bool {
    let Some(captured) = run.captured.get(host) else {
        return false;
    };
    let Some(member) = &captured.member else {
        return false;
    };
    let weight = seen.fleet.at(member);
    debt.of(member).is_none() && weight.is_some() && weight != captured.weight
}
