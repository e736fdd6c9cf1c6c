//! What one run was like, for people and machines afterwards: a value made of its journal and of what
//! it saw and said. Pure.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::rollout::{
    fact::{self, Fact},
    journal::{Cause, Direction, Event, Outcome, Run, Step},
    narrate,
    state::{Health, HostName, Release, Weight},
};

/// Of the JSON.
const FORMAT: u32 = 1;
/// The last lines of a run are said within so many seconds of its last look.
const ENDING: f64 = 2.0;

/// What a review is made of.
pub(crate) struct Source<'a> {
    pub environment: &'a str,
    pub run: &'a Run,
    pub summary: &'a str,
    pub events: &'a [(Timestamp, Event)],
    pub facts: &'a [(Timestamp, Fact)],
    /// So that a digest has a name.
    pub versions: &'a [Release],
}

/// One run. Times are seconds since it began.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Review {
    pub(super) format: u32,
    pub(super) environment: String,
    pub(super) run: String,
    pub(super) version: String,
    pub(super) image: String,
    pub(super) digest: String,
    pub(super) is_rollback: bool,
    pub(super) asked_by: String,
    pub(super) project: i64,
    pub(super) pipeline: i64,
    /// 0 for an operator.
    pub(super) job: i64,
    pub(super) began: Timestamp,
    /// `None` while it is open.
    pub(super) ended: Option<Timestamp>,
    pub(super) seconds: f64,
    pub(super) outcome: Option<Outcome>,
    pub(super) summary: String,
    pub(super) hosts: Vec<HostReview>,
    pub(super) phases: Vec<Phase>,
    pub(super) weights: Vec<Weighed>,
    pub(super) probes: Vec<Probed>,
    pub(super) last_words: Vec<LastWords>,
    pub(super) story: Vec<Said>,
}

/// One host before and after.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct HostReview {
    pub(super) host: HostName,
    pub(super) release_before: String,
    /// `None` where nobody looked in the end.
    pub(super) release_after: Option<String>,
    pub(super) is_new: bool,
    pub(super) weight_before: Option<Weight>,
    pub(super) weight_after: Option<Weight>,
    /// Seconds until nobody was connected; `None` where it was not drained.
    pub(super) drained: Option<f64>,
    /// `None` where they could not be counted.
    pub(super) connections_cut: Option<u64>,
    pub(super) restarted: usize,
    pub(super) health: Option<Health>,
    pub(super) problem: Option<String>,
}

/// A step on one host.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Phase {
    pub(super) host: HostName,
    pub(super) step: Step,
    pub(super) direction: Direction,
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) is_done: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct Weighed {
    pub(super) host: HostName,
    pub(super) at: f64,
    pub(super) weight: Weight,
}

#[derive(Debug, Serialize)]
pub(super) struct Probed {
    pub(super) host: HostName,
    pub(super) at: f64,
    /// Why it did not answer.
    pub(super) trouble: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct LastWords {
    pub(super) host: HostName,
    pub(super) at: f64,
    pub(super) lines: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Said {
    pub(super) at: f64,
    pub(super) host: Option<HostName>,
    pub(super) text: String,
}

/// Makes a review of what is known.
pub(crate) fn review(source: &Source<'_>) -> Review {
    let run = source.run;
    let times = source.events.iter().map(|(at, _)| *at);
    let times = times.chain(source.facts.iter().map(|(at, _)| *at));
    let times: Vec<_> = times.collect();
    let began = times.iter().copied().min().unwrap_or_default();
    let last = times.iter().copied().max().unwrap_or_default();
    let clock = Clock(began);
    let facts = || source.facts.iter().map(|(at, fact)| (clock.at(*at), fact));
    Review {
        format: FORMAT,
        environment: source.environment.into(),
        run: run.id.clone(),
        version: run.release.version.clone(),
        image: run.release.image.clone(),
        digest: run.release.digest.clone(),
        is_rollback: run.cause.is_rollback(),
        asked_by: match &run.cause {
            Cause::Rollback { by: Some(by) } => by.clone(),
            cause => narrate::asker(cause, run.owner),
        },
        project: run.owner.project,
        pipeline: run.owner.pipeline,
        job: run.owner.job,
        began,
        ended: (!run.is_open()).then_some(last),
        seconds: clock.at(last),
        outcome: run.outcome,
        summary: source.summary.into(),
        hosts: hosts(source),
        phases: phases(source.events, &clock, clock.at(last)),
        weights: weights(source, &clock),
        probes: facts()
            .filter_map(|(at, fact)| match fact {
                Fact::Probed { host, trouble } => Some(Probed {
                    host: host.clone(),
                    at,
                    trouble: trouble.clone(),
                }),
                _ => None,
            })
            .collect(),
        last_words: facts()
            .filter_map(|(at, fact)| match fact {
                Fact::LastWords { host, lines } => Some(LastWords {
                    host: host.clone(),
                    at,
                    lines: lines.clone(),
                }),
                _ => None,
            })
            .collect(),
        story: story(facts()),
    }
}

/// What was said, but for what the page shows otherwise: the table and the summary, which follow the
/// last look.
fn story<'a>(facts: impl Iterator<Item = (f64, &'a Fact)>) -> Vec<Said> {
    let mut story = Vec::new();
    let mut ended = f64::NEG_INFINITY;
    for (at, fact) in facts {
        match fact {
            Fact::Ended { .. } => ended = at,
            Fact::Said { host: None, .. } if at - ended < ENDING => {}
            Fact::Said { host, text } => story.push(Said {
                at,
                host: host.clone(),
                text: narrate::plain(text),
            }),
            _ => ended = f64::NEG_INFINITY,
        }
    }
    story
}

struct Clock(Timestamp);

impl Clock {
    /// Seconds since the run began.
    fn at(&self, at: Timestamp) -> f64 {
        let passed = Duration::try_from(at.duration_since(self.0));
        let milliseconds = passed.unwrap_or_default().as_millis();
        u32::try_from(milliseconds).map_or(f64::from(u32::MAX), f64::from) / 1000.0
    }
}

fn hosts(source: &Source<'_>) -> Vec<HostReview> {
    let run = source.run;
    let facts = || source.facts.iter().map(|(_, fact)| fact);
    let mut ends = source.facts.iter().rev();
    let ended = ends.find_map(|(_, fact)| match fact {
        Fact::Ended { hosts } => Some(hosts.as_slice()),
        _ => None,
    });
    let row = |host: &HostName| {
        let mut ended = ended.into_iter().flatten();
        let end = ended.find(|row| row.host == *host);
        let captured = run.captured.get(host);
        let previous = captured.and_then(|captured| captured.previous.as_ref());
        let noted = fact::noted(facts(), host);
        HostReview {
            host: host.clone(),
            release_before: match (end, previous) {
                (Some(end), _) => end.ran.clone(),
                (None, Some(previous)) => narrate::release_of(previous, source.versions),
                (None, None) => narrate::nothing().into(),
            },
            release_after: end.map(|end| end.runs.clone()),
            is_new: end.is_some_and(|end| end.is_new),
            weight_before: captured.and_then(|captured| captured.weight),
            weight_after: end.and_then(|end| end.weight),
            drained: (!noted.drained.is_empty())
                .then(|| noted.drained.iter().map(Duration::as_secs_f64).sum()),
            connections_cut: noted.cut,
            restarted: noted.restarted,
            health: end.and_then(|end| end.health),
            problem: end.and_then(|end| end.problem.clone()),
        }
    };
    run.hosts.iter().map(row).collect()
}

fn phases(events: &[(Timestamp, Event)], clock: &Clock, last: f64) -> Vec<Phase> {
    let mut phases: Vec<Phase> = Vec::new();
    for (at, event) in events {
        let at = clock.at(*at);
        match event {
            Event::Intent {
                host,
                step,
                direction,
            } => {
                close(&mut phases, host, at, false);
                phases.push(Phase {
                    host: host.clone(),
                    step: *step,
                    direction: *direction,
                    from: at,
                    to: last,
                    is_done: false,
                });
            }
            Event::Done { host, .. } => close(&mut phases, host, at, true),
            _ => {}
        }
    }
    phases
}

/// Ends the last phase of a host, where it has not ended.
fn close(phases: &mut [Phase], host: &str, at: f64, is_done: bool) {
    let mut own = phases.iter_mut().rev().filter(|phase| phase.host == host);
    if let Some(phase) = own.next().filter(|phase| !phase.is_done && phase.to > at) {
        phase.to = at;
        phase.is_done = is_done;
    }
}

/// What was captured, then what was read back, or what the journal says of a run whose facts are lost.
fn weights(source: &Source<'_>, clock: &Clock) -> Vec<Weighed> {
    let captured = &source.run.captured;
    let mut weights: Vec<Weighed> = captured
        .iter()
        .filter_map(|(host, captured)| {
            Some(Weighed {
                host: host.clone(),
                at: 0.0,
                weight: captured.found.or(captured.weight)?,
            })
        })
        .collect();
    let read = source.facts.iter().filter_map(|(at, fact)| match fact {
        Fact::Weighed { host, weight } => Some((*at, host, *weight)),
        _ => None,
    });
    let mut moves: Vec<_> = read.collect();
    if moves.is_empty() {
        let done = source.events.iter().filter_map(|(at, event)| match event {
            Event::Done { host, step, .. } => {
                let original = captured.get(host)?.weight?;
                match step {
                    Step::Drain => Some((*at, host, Weight::ZERO)),
                    Step::Admit => Some((*at, host, original)),
                    Step::Bridge | Step::Share | Step::Switch | Step::Retire => None,
                }
            }
            _ => None,
        });
        moves = done.collect();
    }
    weights.extend(moves.into_iter().map(|(at, host, weight)| Weighed {
        host: host.clone(),
        at: clock.at(at),
        weight,
    }));
    weights
}

/// `12.3 s`.
pub(super) fn told(seconds: f64) -> String {
    narrate::duration(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}
