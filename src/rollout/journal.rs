//! What a rollout writes down before and after each side effect, and what it means afterwards.
//!
//! `Run::fold` is pure: a journal read twice says the same. Knows no file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::state::{Container, HostName, Member, Release, Survey, Weight};

/// For whom a rollout runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    pub project: i64,
    pub pipeline: i64,
    pub job: i64,
}

/// Why a release is brought out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// A job deploys it.
    #[default]
    Deploy,
    /// Somebody asked to go back to it.
    Rollback {
        /// The account, where it is known.
        by: Option<String>,
    },
}

impl Cause {
    fn is_deploy(&self) -> bool {
        *self == Self::Deploy
    }

    pub fn is_rollback(&self) -> bool {
        !self.is_deploy()
    }
}

/// What an attempt's name ends with on the way back.
pub(crate) const BACK: &str = "-back";

/// An action on one host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Start a second instance beside the running one, and prove it healthy.
    Bridge,
    /// Give the second instance a share, then as much weight as the host has.
    Share,
    /// Take the backend out and wait for its requests.
    Drain,
    /// Make it run another release, and prove that healthy.
    Switch,
    /// Put it back with the weight it had.
    Admit,
    /// Take the second instance out, and remove it.
    Retire,
}

/// Whether a step leads to the new release or back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    Do,
    Undo,
}

/// How a rollout ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Every host runs the release, every weight is what it was.
    Done,
    /// It failed; every host runs what it ran before, every weight is what it was.
    Undone,
    /// It was cut off between hosts: each runs one release or the other, healthy, and every
    /// weight is what it was.
    Stopped,
    /// A host could not be brought back: a person is needed.
    Stuck,
}

/// One record of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    Opened {
        run: String,
        release: Release,
        owner: Owner,
        hosts: Vec<HostName>,
        /// Earlier versions knew no other.
        #[serde(default, skip_serializing_if = "Cause::is_deploy")]
        cause: Cause,
    },
    /// What a host was like before anything was changed.
    Captured {
        host: HostName,
        /// The weight to give back; `None` without a balancer.
        weight: Option<Weight>,
        /// The weight it has now: 0 where an earlier rollout had to leave it out.
        found: Option<Weight>,
        /// Whose weights these are; earlier versions named the host alone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        member: Option<Member>,
        previous: Option<Container>,
        /// True where that is the release's image already, made of other compose files.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        is_outdated: bool,
    },
    Intent {
        host: HostName,
        step: Step,
        direction: Direction,
    },
    Done {
        host: HostName,
        step: Step,
        direction: Direction,
    },
    /// From here on the way leads back.
    Undoing {
        why: String,
    },
    /// An undo failed. The run stays open.
    Stuck {
        why: String,
    },
    Closed {
        outcome: Outcome,
        summary: String,
    },
}

/// How far a host got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    pub step: Step,
    pub direction: Direction,
    /// False between the intent and its end.
    pub is_done: bool,
}

impl Mark {
    /// True when it runs the new release and has its weight back, and nothing else is under way.
    pub fn is_at_an_edge(self) -> bool {
        let is_end = matches!(self.step, Step::Admit | Step::Retire);
        is_end && self.is_done && self.direction == Direction::Do
    }
}

/// One host as the journal knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captured {
    pub weight: Option<Weight>,
    pub found: Option<Weight>,
    pub member: Option<Member>,
    pub previous: Option<Container>,
    /// True where it ran the release's image, made of other compose files: the image does not tell before from after.
    pub is_outdated: bool,
    /// The last step; `None` while untouched.
    pub mark: Option<Mark>,
}

impl Captured {
    /// False where the image stays the same, and the release's files are there instead of those of before.
    pub(crate) fn has_files_of_before(&self, survey: &Survey) -> bool {
        !self.is_outdated || survey.is_outdated
    }
}

/// One rollout as its journal tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    pub id: String,
    pub release: Release,
    pub owner: Owner,
    pub cause: Cause,
    /// In the order in which they are changed.
    pub hosts: Vec<HostName>,
    pub captured: BTreeMap<HostName, Captured>,
    /// Why the way leads back.
    pub undoing: Option<String>,
    /// Why a person is needed.
    pub stuck: Option<String>,
    pub outcome: Option<Outcome>,
    switches: u32,
    /// Where the last of them leads to.
    way: Direction,
}

impl Run {
    /// Reads a journal from its beginning; `None` when it does not begin with `opened`.
    pub fn fold<'a>(events: impl IntoIterator<Item = &'a Event>) -> Option<Self> {
        let mut run: Option<Self> = None;
        for event in events {
            match (&mut run, event) {
                (
                    None,
                    Event::Opened {
                        run: id,
                        release,
                        owner,
                        hosts,
                        cause,
                    },
                ) => {
                    run = Some(Self {
                        id: id.clone(),
                        release: release.clone(),
                        owner: *owner,
                        cause: cause.clone(),
                        hosts: hosts.clone(),
                        captured: BTreeMap::new(),
                        undoing: None,
                        stuck: None,
                        outcome: None,
                        switches: 0,
                        way: Direction::Do,
                    });
                }
                (None, _) => {}
                (Some(run), event) => run.apply(event),
            }
        }
        run
    }

    /// Takes one more event in.
    pub fn apply(&mut self, event: &Event) {
        match event {
            // A run is opened once: `fold` has taken it.
            Event::Opened { .. } => {}
            Event::Captured {
                host,
                weight,
                found,
                member,
                previous,
                is_outdated,
            } => {
                // The first capture counts: a later one would capture our own zero.
                self.captured
                    .entry(host.clone())
                    .or_insert_with(|| Captured {
                        weight: *weight,
                        found: *found,
                        member: member.clone(),
                        previous: previous.clone(),
                        is_outdated: *is_outdated,
                        mark: None,
                    });
            }
            Event::Intent {
                host,
                step,
                direction,
            } => {
                if matches!(step, Step::Switch | Step::Bridge) {
                    self.switches += 1;
                    self.way = *direction;
                }
                self.mark(host, *step, *direction, false);
            }
            Event::Done {
                host,
                step,
                direction,
            } => self.mark(host, *step, *direction, true),
            Event::Undoing { why } => self.undoing = Some(why.clone()),
            Event::Stuck { why } => self.stuck = Some(why.clone()),
            Event::Closed { outcome, .. } => self.outcome = Some(*outcome),
        }
    }

    fn mark(&mut self, host: &str, step: Step, direction: Direction, is_done: bool) {
        if let Some(captured) = self.captured.get_mut(host) {
            captured.mark = Some(Mark {
                step,
                direction,
                is_done,
            });
        }
    }

    /// False when it was cut off before it had written down what it would change: then nothing was.
    pub fn is_begun(&self) -> bool {
        let is_captured = |host| self.captured.contains_key(host);
        !self.hosts.is_empty() && self.hosts.iter().all(is_captured)
    }

    /// True when its release was brought out everywhere. One that was stopped half-way may be taken
    /// back by what ran before.
    pub fn is_proven(&self) -> bool {
        self.outcome == Some(Outcome::Done)
    }

    /// True while something may still have to be put right.
    pub fn is_open(&self) -> bool {
        self.outcome.is_none()
    }

    /// A name for the switch whose intent was journaled last; each intent has one of its own. It says which way
    /// leads back: where the image stays the same, nothing else does.
    pub fn attempt(&self) -> String {
        let way = match self.way {
            Direction::Do => "",
            Direction::Undo => BACK,
        };
        format!("{}-{}{way}", self.id, self.switches)
    }
}
