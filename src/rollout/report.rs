//! What is told at the end of a rollout, to people and to machines: each host's weight and release
//! against what they were, and one honest sentence.

use std::time::Duration;

pub(crate) use super::fact::HostReport;
use super::{
    fact::{Fact, noted},
    journal::{Outcome, Run},
    narrate,
    plan::Fleet,
    port::{Container, HostName, Release},
};
use crate::{
    failure::JobCode,
    lang::{both, word},
    paint,
};

impl HostReport {
    /// A row of the table, as `narrate::heads` heads it.
    fn cells(&self, facts: &[Fact]) -> Vec<String> {
        let noted = noted(facts, &self.host);
        let unseen = if noted.is_partial { "?" } else { "-" };
        let (mut drained, mut cut) = (unseen.to_owned(), unseen.to_owned());
        if !noted.drained.is_empty() {
            drained = narrate::duration(noted.drained.iter().sum());
            cut = noted.cut.map_or("?".into(), |cut| cut.to_string());
        }
        let weight = match (self.original, self.weight) {
            (None, _) => "-".into(),
            (Some(original), Some(weight)) => {
                narrate::change(&original.to_string(), &weight.to_string())
            }
            (Some(original), None) => narrate::change(&original.to_string(), "?"),
        };
        let health = self.health.map_or("?", narrate::health);
        vec![
            self.host.clone(),
            narrate::change(&self.ran, &self.runs),
            weight,
            drained,
            match noted.restarted {
                0 if noted.is_partial => unseen.into(),
                times => narrate::times(times),
            },
            health.into(),
            cut,
        ]
    }

    fn is_well(&self) -> bool {
        self.problem.is_none() && self.weight == self.original
    }
}

/// A whole rollout in the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Report {
    pub run: String,
    pub version: String,
    pub reference: String,
    pub outcome: Outcome,
    /// True when the way led back: the release failed.
    pub is_undone: bool,
    /// False when its journal could not take the end: then it is still open there.
    pub is_recorded: bool,
    /// One sentence for people.
    pub summary: String,
    pub took: Duration,
    pub hosts: Vec<HostReport>,
}

impl Report {
    /// What GitLab is told; `None` for what is not the job's failure: it was done, or somebody
    /// wanted it to end.
    pub(crate) fn code(&self) -> Option<JobCode> {
        match self.outcome {
            Outcome::Stopped if self.is_undone => Some(JobCode::Undone),
            Outcome::Done | Outcome::Stopped => None,
            Outcome::Undone => Some(JobCode::Undone),
            Outcome::Stuck => Some(JobCode::Stuck),
        }
    }

    /// The table, a line a host below its heads.
    pub(crate) fn table(&self, facts: &[Fact]) -> Vec<String> {
        let heads = narrate::heads().map(str::to_owned).to_vec();
        let rows = self.hosts.iter().map(|row| row.cells(facts));
        let rows: Vec<_> = std::iter::once(heads).chain(rows).collect();
        let mut lines = narrate::columns(&rows);
        for (line, _) in lines
            .iter_mut()
            .skip(1)
            .zip(&self.hosts)
            .filter(|(_, row)| !row.is_well())
        {
            *line = paint::red(line);
        }
        lines
    }

    /// What people fear for, in half a sentence.
    pub(super) fn weights(&self) -> String {
        let moved = self.hosts.iter().filter(|row| row.weight != row.original);
        let moved: Vec<_> = moved
            .map(|row| (row.weight, &row.host))
            .map(|(weight, host)| match weight {
                Some(weight) => both!("{host} has weight {weight}", "{host} 的权重为 {weight}"),
                None => both!(
                    "the weight of {host} cannot be read",
                    "{host} 的权重无法读取"
                ),
            })
            .collect();
        if self.hosts.iter().all(|row| row.original.is_none()) {
            return word!("there is no balancer", "没有负载均衡").into();
        }
        if moved.is_empty() {
            return word!("every weight is as before", "所有权重都与之前一致").into();
        }
        let moved = moved.join(word!(", ", "，"));
        both!(
            "every weight is as before but {moved}",
            "除此之外所有权重都与之前一致：{moved}"
        )
    }

    /// What a person has to look at; one reason for several hosts is told once.
    pub(super) fn problems(&self) -> Vec<&str> {
        let mut problems = Vec::new();
        for problem in self.hosts.iter().filter_map(|row| row.problem.as_deref()) {
            if !problems.contains(&problem) {
                problems.push(problem);
            }
        }
        problems
    }

    /// The last line of the log.
    pub(crate) fn headline(&self) -> String {
        match self.outcome {
            Outcome::Done => paint::green(&self.summary),
            Outcome::Stopped => paint::bold(&self.summary),
            Outcome::Undone | Outcome::Stuck => paint::red(&self.summary),
        }
    }
}

/// Compares what is seen with what was captured.
pub(super) fn rows(
    run: &Run,
    fleet: &Fleet,
    failed: &[(HostName, String)],
    versions: &[Release],
) -> Vec<HostReport> {
    let mut versions = versions.to_vec();
    versions.push(run.release.clone());
    let row = |host: &HostName| {
        let container = fleet.container(host);
        let name = |container: &Container| narrate::release_of(container, &versions);
        let captured = run.captured.get(host);
        let previous = captured.and_then(|captured| captured.previous.as_ref());
        HostReport {
            host: host.clone(),
            weight: match run.captured.get(host).and_then(|c| c.member.as_ref()) {
                Some(member) => fleet.at(member),
                None => fleet.weight(host),
            },
            original: run.captured.get(host).and_then(|captured| captured.weight),
            ran: previous.map_or_else(|| narrate::nothing().into(), name),
            runs: match (container, fleet.surveys.contains_key(host)) {
                // The same image has the same name, whatever it was started by.
                (Some(container), _) => match previous {
                    Some(previous) if previous.image == container.image => name(previous),
                    _ => name(container),
                },
                (None, true) => narrate::nothing().into(),
                (None, false) => word!("out of reach", "无法访问").into(),
            },
            is_new: fleet.surveys.get(host).is_some_and(|survey| {
                let container = survey.container.as_ref();
                !survey.is_outdated && container.is_some_and(|it| it.runs(&run.release))
            }),
            health: container.map(|container| container.health),
            problem: failed
                .iter()
                .find(|(name, _)| name == host)
                .map(|(_, why)| why.clone()),
        }
    };
    run.hosts.iter().map(row).collect()
}
