//! What is told at the end of a rollout, to people and to machines: each host's weight and release
//! against what they were, and one honest sentence.

use std::time::Duration;

use serde::{Serialize, Serializer};

use super::{
    journal::{Outcome, Run},
    narrate,
    plan::Fleet,
    port::{Container, Health, HostName, Release, Weight},
};
use crate::{failure::JobCode, paint};

/// One host in the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct HostReport {
    pub host: HostName,
    /// The weight it has; `None` without a balancer or when it cannot be read.
    pub weight: Option<Weight>,
    /// The weight it had.
    pub original: Option<Weight>,
    /// What it runs.
    pub runs: String,
    /// True when that is the new release.
    pub is_new: bool,
    pub health: Option<Health>,
    /// Why a person has to look at it.
    pub problem: Option<String>,
}

impl HostReport {
    fn line(&self) -> String {
        let weight = match (self.weight, self.original) {
            (Some(weight), Some(original)) if weight == original => {
                format!("weight {weight} as before")
            }
            (Some(weight), Some(original)) => {
                paint::red(&format!("weight {weight}, and it was {original}"))
            }
            (None, Some(original)) => format!("weight unknown, and it was {original}"),
            (_, None) => "no balancer".into(),
        };
        let health = match self.health {
            None => "unknown",
            Some(Health::Starting) => "starting",
            Some(Health::Healthy) => "healthy",
            Some(Health::Unhealthy) => "unhealthy",
            Some(Health::None) => "no health check",
        };
        format!("{weight}, {}, {health}", self.runs)
    }
}

/// A whole rollout in the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Report {
    pub run: String,
    pub version: String,
    pub reference: String,
    pub outcome: Outcome,
    /// True when the way led back: the release failed.
    #[serde(skip)]
    pub is_undone: bool,
    /// False when its journal could not take the end: then it is still open there.
    #[serde(skip)]
    pub is_recorded: bool,
    /// One sentence for people.
    pub summary: String,
    #[serde(serialize_with = "seconds", rename = "seconds")]
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

    /// The table, a line a host.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (&str, String)> {
        let hosts = self.hosts.iter();
        hosts.map(|host| (host.host.as_str(), host.line()))
    }

    /// What people fear for, in half a sentence.
    pub(super) fn weights(&self) -> String {
        let moved = self.hosts.iter().filter(|row| row.weight != row.original);
        let moved: Vec<_> = moved
            .map(|row| match row.weight {
                Some(weight) => format!("{} has weight {weight}", row.host),
                None => format!("the weight of {} cannot be read", row.host),
            })
            .collect();
        if self.hosts.iter().all(|row| row.original.is_none()) {
            return "there is no balancer".into();
        }
        if moved.is_empty() {
            return "every weight is as before".into();
        }
        format!("every weight is as before but {}", moved.join(", "))
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

fn seconds<S: Serializer>(took: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(took.as_secs_f64())
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
        HostReport {
            host: host.clone(),
            weight: match run.captured.get(host).and_then(|c| c.member.as_ref()) {
                Some(member) => fleet.at(member),
                None => fleet.weight(host),
            },
            original: run.captured.get(host).and_then(|captured| captured.weight),
            runs: match (container, fleet.surveys.contains_key(host)) {
                (Some(container), _) => name(container),
                (None, true) => "nothing".into(),
                (None, false) => "out of reach".into(),
            },
            is_new: container.is_some_and(|container| container.runs(&run.release)),
            health: container.map(|container| container.health),
            problem: failed
                .iter()
                .find(|(name, _)| name == host)
                .map(|(_, why)| why.clone()),
        }
    };
    run.hosts.iter().map(row).collect()
}
