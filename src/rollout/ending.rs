//! How a rollout ends: the last look, the outcome, and one sentence that says it all.

use std::time::Duration;

use super::{
    health::is_serving,
    journal::{Captured, Event, Mark, Outcome, Run, Step},
    narrate,
    plan::Fleet,
    port::{HostName, Narrator, Ports},
    report::{self, Report},
    resume::Failed,
    step::{StepError, Work},
    world::Source,
};
use crate::failure;

impl<P: Ports> Work<'_, P> {
    /// The hosts that could not be put right because the balancer could not be read.
    pub(super) fn given_up(&self, source: &Source) -> Vec<Failed> {
        let cause = failure::chain(&**source);
        let is_undoing = self.run.undoing.is_some();
        let why = |(host, captured): (&HostName, &Captured)| {
            let state = match captured.mark? {
                Mark::ADMITTED if is_undoing => format!("still runs {}", self.run.release.version),
                Mark::ADMITTED => return None,
                _ => "may be left at weight 0".into(),
            };
            let why = format!("{host} {state}: the balancer's weights cannot be read: {cause}");
            Some((host.clone(), why))
        };
        self.run.captured.iter().filter_map(why).collect()
    }
}

/// The last look and the last line.
pub(super) struct Ending {
    pub(super) began: Duration,
}

impl Ending {
    pub(super) fn new<P: Ports>(work: &Work<'_, P>) -> Self {
        Self {
            began: work.world.now(),
        }
    }

    pub(super) async fn report<P: Ports>(
        self,
        work: &mut Work<'_, P>,
        error: Option<StepError>,
        mut failed: Vec<Failed>,
    ) -> Report {
        work.is_settling = true;
        // What cannot be seen now is told as unknown: everything that matters was seen before.
        let looks = work.world.look(work.patience()).await;
        let fleet = looks.fleet().unwrap_or_default();
        failed.extend(fallen(&work.run, &fleet, &failed));
        let rows = report::rows(&work.run, &fleet, &failed, &work.settings.versions);
        let outcome = outcome(&work.run, &failed, error.as_ref());
        let took = work.world.now().saturating_sub(self.began);
        let mut report = Report {
            run: work.run.id.clone(),
            version: work.run.release.version.clone(),
            reference: work.run.release.reference(),
            outcome,
            summary: String::new(),
            took,
            hosts: rows,
        };
        report.summary = summary(work, &report, error.as_ref());
        let event = match outcome {
            Outcome::Stuck => Event::Stuck {
                why: report.summary.clone(),
            },
            Outcome::Done | Outcome::Undone | Outcome::Stopped => Event::Closed {
                outcome,
                summary: report.summary.clone(),
            },
        };
        // Settling does not fail: a journal left open is only looked at once more.
        let _ = work.record(event).await;
        for (host, line) in report.lines() {
            work.world.say(host, &line);
        }
        work.world.narrator.say(&report.headline());
        report
    }
}

/// The hosts that were put back healthy and that the last look shows otherwise.
fn fallen(run: &Run, fleet: &Fleet, failed: &[Failed]) -> Vec<Failed> {
    let is_back = |captured: &Captured| {
        captured
            .mark
            .is_some_and(|mark| mark.step == Step::Admit && mark.is_done)
    };
    let is_fallen = |host: &&HostName| {
        run.captured.get(*host).is_some_and(is_back)
            && fleet.surveys.get(*host).is_some_and(|s| !is_serving(s))
            && failed.iter().all(|(name, _)| name != *host)
    };
    let why = |host: &HostName| format!("{host} was put back and is not healthy any more");
    let hosts = run.hosts.iter().filter(is_fallen);
    hosts.map(|host| (host.clone(), why(host))).collect()
}

/// Judges by the journal and the last look: a step's end is written only once it was seen.
fn outcome(run: &Run, failed: &[Failed], error: Option<&StepError>) -> Outcome {
    let is_admitted = |captured: &Captured| captured.mark == Some(Mark::ADMITTED);
    let is_new = |captured: &Captured| {
        let ran_before = || {
            captured
                .previous
                .as_ref()
                .is_some_and(|c| c.runs(&run.release))
        };
        is_admitted(captured) || (captured.mark.is_none() && ran_before())
    };
    if !failed.is_empty() {
        Outcome::Stuck
    } else if run.undoing.is_some() {
        Outcome::Undone
    } else if error.is_some() {
        Outcome::Stopped
    } else if run
        .hosts
        .iter()
        .all(|host| run.captured.get(host).is_some_and(is_new))
    {
        Outcome::Done
    } else if run.captured.values().any(is_admitted) {
        Outcome::Stopped
    } else {
        Outcome::Undone
    }
}

fn summary<P: Ports>(work: &Work<'_, P>, report: &Report, error: Option<&StepError>) -> String {
    let environment = &work.settings.environment;
    let version = &report.version;
    let all = narrate::count(report.hosts.len(), "host");
    let weights = report.weights();
    match report.outcome {
        Outcome::Done => {
            let took = narrate::duration(report.took);
            format!("{environment} runs {version} on {all}, {weights} ({took})")
        }
        Outcome::Undone => match &work.run.undoing {
            Some(why) => format!(
                "{version} failed and was undone: {why}; {environment} runs what it ran before, {weights}"
            ),
            None => format!("{environment} runs what it ran before, {weights}"),
        },
        Outcome::Stopped => {
            let why = error.map_or("it was cut off".to_owned(), |t| failure::chain(t));
            let new = report.hosts.iter().filter(|row| row.is_new).count();
            format!(
                "stopped ({why}): {new} of {all} run {version}, the others what they ran before, {weights}"
            )
        }
        Outcome::Stuck => {
            let problems = report.problems().join("; ");
            let repair = work.settings.repair();
            format!("stuck: {problems}; when that is mended, run: {repair}")
        }
    }
}
