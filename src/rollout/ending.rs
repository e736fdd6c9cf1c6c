//! How a rollout ends: the last look, the outcome, and one sentence that says it all.

use std::{collections::BTreeMap, time::Duration};

use super::{
    error::StepError,
    fact::Fact,
    journal::{Direction, Event, Outcome},
    narrate,
    port::{Clock, Health, HostName, Journal, Narrator, Ports, Slot},
    report::{self, Report},
    verdict::{Aim, Seen, Trouble, judge},
    work::Work,
    world::Ticker,
};
use crate::{
    failure,
    lang::{both, word},
};

/// How long a release that has no HEALTHCHECK may need to answer in the end.
const LAST_PROBE: Duration = Duration::from_secs(10);

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

    /// `failed` has better words for what is wrong than a look; it decides nothing.
    pub(super) async fn report<P: Ports>(
        self,
        work: &mut Work<'_, P>,
        error: Option<StepError>,
        failed: Vec<Trouble>,
    ) -> Report {
        work.is_settling = true;
        let seen = Box::pin(work.last_look()).await;
        work.name_members(seen.fleet.pool.as_ref());
        let aim = match (&work.run.undoing, &error) {
            (Some(_), _) => Aim::All(Direction::Undo),
            (None, Some(_)) => Aim::Halt,
            (None, None) => Aim::All(Direction::Do),
        };
        let mut verdict = judge(&work.run, &work.owing.debt(), &seen, aim);
        for (host, why) in &mut verdict.troubles {
            if let Some((_, better)) = failed.iter().find(|(name, _)| name == host) {
                why.clone_from(better);
            }
        }
        let rows = report::rows(
            &work.run,
            &seen.fleet,
            &verdict.troubles,
            &work.settings.versions,
        );
        let took = work.world.now().saturating_sub(self.began);
        let mut report = Report {
            run: work.run.id.clone(),
            version: work.run.release.version.clone(),
            reference: work.run.release.reference(),
            outcome: verdict.outcome,
            is_undone: work.run.undoing.is_some(),
            is_recorded: true,
            summary: String::new(),
            took,
            hosts: rows,
        };
        report.summary = summary(work, &report, error.as_ref(), &verdict.moved);
        let event = match report.outcome {
            Outcome::Stuck => Event::Stuck {
                why: report.summary.clone(),
            },
            outcome @ (Outcome::Done | Outcome::Undone | Outcome::Stopped) => Event::Closed {
                outcome,
                summary: report.summary.clone(),
            },
        };
        // The log is told of it all the same.
        if let Err(error) = work.journal.append(&event).await {
            report.is_recorded = false;
            let why = failure::chain(&error);
            let text = both!(
                "the journal cannot be written, so the end is not in it: {why}",
                "日志文件写不进去，结局没有记入其中：{why}"
            );
            work.world.narrator.say(&text);
        }
        work.run.apply(&event);
        work.world.note(Fact::Ended {
            hosts: report.hosts.clone(),
        });
        for line in report.table(&work.world.facts()) {
            work.world.narrator.say(&line);
        }
        work.world.narrator.say(&report.headline());
        report
    }
}

impl<P: Ports> Work<'_, P> {
    /// Looks at everything once more. A container that is just starting again is waited for: what it
    /// is after that is what counts.
    async fn last_look(&self) -> Seen {
        let world = self.world;
        let began = world.now();
        let deadline = began + self.settings.rollout.healthy_deadline;
        let mut ticker = Ticker::after(began);
        loop {
            let mut seen = world.look(self.patience()).await.seen();
            seen.may_lack_check = self.settings.has_probe;
            let now = world.now();
            let starting = self.starting(&seen);
            if starting.is_empty() || now >= deadline || self.is_hurried() {
                seen.deaf = self.deaf(&seen).await;
                return seen;
            }
            if ticker.is_due(now) {
                let hosts = starting.join(word!(", ", "、"));
                let text = both!(
                    "waits for {hosts}, which is starting",
                    "等待正在启动的 {hosts}"
                );
                world.narrator.say(&text);
            }
            world.clock.sleep(Duration::from_secs(1)).await;
        }
    }

    /// Hosts whose release has no HEALTHCHECK and does not answer from outside, and why.
    async fn deaf(&self, seen: &Seen) -> BTreeMap<HostName, String> {
        let mut deaf = BTreeMap::new();
        if !self.settings.has_probe {
            return deaf;
        }
        for host in &self.run.hosts {
            let Some(container) = seen.fleet.container(host) else {
                continue;
            };
            let is_unchecked = container.is_running && container.health == Health::None;
            if is_unchecked
                && container.runs(&self.run.release)
                && let Err(error) = self
                    .probe(host, (Slot::Own, &container.id), LAST_PROBE)
                    .await
            {
                deaf.insert(host.clone(), failure::chain(&error));
            }
        }
        deaf
    }

    fn starting(&self, seen: &Seen) -> Vec<HostName> {
        let is_starting = |host: &&HostName| {
            let container = seen.fleet.container(host);
            container.is_some_and(|c| c.is_running && c.health == Health::Starting)
        };
        self.run.hosts.iter().filter(is_starting).cloned().collect()
    }
}

/// `moved` are hosts whose weight somebody else moved.
fn summary<P: Ports>(
    work: &Work<'_, P>,
    report: &Report,
    error: Option<&StepError>,
    moved: &[HostName],
) -> String {
    let environment = &work.settings.environment;
    let version = &report.version;
    let all = narrate::hosts(report.hosts.len());
    let weights = report.weights();
    match report.outcome {
        Outcome::Done => {
            let took = narrate::duration(report.took);
            both!(
                "{environment} runs {version} on {all}, {weights} ({took})",
                "{environment} 的 {all}都已运行 {version}，{weights}（{took}）"
            )
        }
        Outcome::Undone => match &work.run.undoing {
            Some(why) => both!(
                "{version} failed and was undone: {why}; {environment} runs what it ran before, {weights}",
                "{version} 发布失败，已撤销：{why}；{environment} 运行的仍是之前的版本，{weights}"
            ),
            None => both!(
                "{environment} runs what it ran before, {weights}",
                "{environment} 运行的仍是之前的版本，{weights}"
            ),
        },
        Outcome::Stopped => {
            let undoing = work.run.undoing.clone();
            let why = error.map(|error| failure::chain(error)).or(undoing);
            let why = why.unwrap_or_else(|| match moved {
                [] => word!("it was cut off", "中途被打断").into(),
                moved => {
                    let moved = moved.join(word!(", ", "、"));
                    both!(
                        "somebody else moved the weight of {moved}",
                        "有人改动了 {moved} 的权重"
                    )
                }
            });
            let new = report.hosts.iter().filter(|row| row.is_new).count();
            let others = if new == report.hosts.len() {
                ""
            } else {
                word!(", the others what they ran before", "，其余运行之前的版本")
            };
            both!(
                "stopped ({why}): {new} of {all} run {version}{others}, {weights}",
                "已停止（{why}）：{all}中有 {new} 台运行 {version}{others}，{weights}"
            )
        }
        Outcome::Stuck => {
            let problems = report.problems().join(word!("; ", "；"));
            let repair = work.settings.repair();
            both!(
                "stuck: {problems}; when that is mended, run: {repair}",
                "卡住：{problems}；处理好之后请运行：{repair}"
            )
        }
    }
}
