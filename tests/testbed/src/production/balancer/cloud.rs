//! What the API believes: one load balancer with one listener, its server group, and a default group that no
//! listener uses. No sockets here; weights reach the real balancer through what `take_due` returns.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::answer::Refusal;
use super::fault::{Fault, configuring};
use super::haproxy::{Member, Place};

/// One call that reached the API, refused ones too.
#[derive(Debug, Clone)]
pub struct Call {
    pub at: Timestamp,
    pub action: String,
    pub parameters: BTreeMap<String, String>,
    /// Empty if it was answered well, else the code.
    pub code: String,
}

/// A weight as it took effect in the real balancer.
#[derive(Debug, Clone)]
pub struct Change {
    pub at: Timestamp,
    pub backend: String,
    pub weight: u32,
}

/// Members of a group.
pub(super) type Weights = BTreeMap<Place, u32>;

/// A member that came into the group with a weight, or left it.
#[derive(Debug)]
pub(super) struct Moved {
    pub(super) name: String,
    pub(super) weight: Option<u32>,
}

/// A weight that is to be felt from a moment on.
#[derive(Debug)]
struct Due {
    at: Instant,
    weights: Weights,
    /// Also only then to be read back.
    is_hidden: bool,
}

#[derive(Debug)]
pub(super) struct Cloud {
    pub(super) members: Vec<Member>,
    /// Second ports of the members' servers that are not in the group.
    pub(super) seconds: Vec<Member>,
    moved: Vec<Moved>,
    pub(super) group_name: String,
    pub(super) group: Weights,
    pub(super) default_group: Weights,
    pub(super) calls: Vec<Call>,
    pub(super) timeline: Vec<Change>,
    pub(super) window: Duration,
    configuring_until: Instant,
    due: Vec<Due>,
    nonces: HashSet<(String, String)>,
    once: BTreeMap<String, VecDeque<Fault>>,
    always: BTreeMap<String, Fault>,
}

impl Cloud {
    pub(super) fn new(members: Vec<Member>, seconds: Vec<Member>) -> Self {
        let weights: Weights = members.iter().map(|member| (member.place(), 100)).collect();
        Self {
            members,
            seconds,
            moved: Vec::new(),
            group_name: "production".into(),
            group: weights.clone(),
            default_group: weights,
            calls: Vec::new(),
            timeline: Vec::new(),
            window: Duration::from_millis(200),
            configuring_until: Instant::now(),
            due: Vec::new(),
            nonces: HashSet::new(),
            once: BTreeMap::new(),
            always: BTreeMap::new(),
        }
    }

    /// True the first time; a nonce is remembered for as long as the testbed lives.
    pub(super) fn use_nonce(&mut self, key_id: &str, nonce: &str) -> bool {
        self.nonces.insert((key_id.to_owned(), nonce.to_owned()))
    }

    pub(super) fn fail_next(&mut self, action: &str, fault: Fault) {
        self.once
            .entry(action.to_owned())
            .or_default()
            .push_back(fault);
    }

    pub(super) fn fail_always(&mut self, action: &str, fault: Fault) {
        self.always.insert(action.to_owned(), fault);
    }

    pub(super) fn heal(&mut self) {
        self.once.clear();
        self.always.clear();
    }

    pub(super) fn next_fault(&mut self, action: &str) -> Option<Fault> {
        let queued = self.once.get_mut(action).and_then(VecDeque::pop_front);
        queued.or_else(|| self.always.get(action).cloned())
    }

    /// A second write to the same load balancer is refused while the first is being carried out.
    pub(super) fn begin_write(&mut self) -> Result<(), Refusal> {
        if Instant::now() < self.configuring_until {
            return Err(configuring());
        }
        self.configuring_until = Instant::now() + self.window;
        Ok(())
    }

    /// Accepts new weights of the server group: read back at once, felt after the window.
    pub(super) fn accept(&mut self, weights: Weights, fault: Option<&Fault>) {
        let (delay, is_hidden) = match fault {
            Some(Fault::NeverApply) => return,
            Some(Fault::ApplyLate(delay)) => (*delay, true),
            _ => (self.window, false),
        };
        if !is_hidden {
            self.group.extend(weights.clone());
        }
        self.due.push(Due {
            at: Instant::now() + delay,
            weights,
            is_hidden,
        });
    }

    /// Weights whose moment has come, in the order they were accepted.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<(Place, u32)> {
        let (due, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.due)
            .into_iter()
            .partition(|due| due.at <= now);
        self.due = later;
        let mut felt = Vec::new();
        for due in due {
            // Who has left meanwhile has no weight any more.
            let mut weights = due.weights;
            weights.retain(|place, _| self.group.contains_key(place));
            if due.is_hidden {
                self.group.extend(weights.clone());
            }
            felt.extend(weights);
        }
        felt
    }

    pub(super) fn name(&self, place: &Place) -> Option<&str> {
        let mut members = self.members.iter();
        let member = members.find(|member| member.place() == *place)?;
        Some(&member.name)
    }

    /// Takes a second port into the group; false when it is none, or there already.
    pub(super) fn join(&mut self, place: &Place, weight: u32) -> bool {
        let at = self.seconds.iter().position(|it| it.place() == *place);
        let Some(at) = at else { return false };
        let member = self.seconds.remove(at);
        let name = member.name.clone();
        self.members.push(member);
        self.group.insert(place.clone(), weight);
        let weight = Some(weight);
        self.moved.push(Moved { name, weight });
        true
    }

    /// Takes a member out of the group; one that is not there is no error.
    pub(super) fn leave(&mut self, place: &Place) {
        let at = self.members.iter().position(|it| it.place() == *place);
        let Some(at) = at else { return };
        let member = self.members.remove(at);
        let name = member.name.clone();
        self.seconds.push(member);
        self.group.remove(place);
        self.moved.push(Moved { name, weight: None });
    }

    /// Who came or left since this was asked last.
    pub(super) fn take_moved(&mut self) -> Vec<Moved> {
        std::mem::take(&mut self.moved)
    }
}
