//! What the API believes: one pool of members, which each product shows in its own words, and a default group that no
//! listener uses. No sockets here; weights reach the real balancer through what `take_due` returns.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::answer::Refusal;
use super::fault::Fault;
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

/// How far the change of a member is, where a product tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Available,
    Adding,
    Configuring,
    Removing,
}

impl State {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Available => "Available",
            Self::Adding => "Adding",
            Self::Configuring => "Configuring",
            Self::Removing => "Removing",
        }
    }
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
    descriptions: BTreeMap<Place, String>,
    /// What is being changed, and until when that can be seen.
    settling: BTreeMap<Place, (State, Instant)>,
    pub(super) calls: Vec<Call>,
    pub(super) timeline: Vec<Change>,
    pub(super) window: Duration,
    /// Calls of one action in a minute, and since when they are counted.
    pub(super) rate: Option<(usize, Timestamp)>,
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
            descriptions: BTreeMap::new(),
            settling: BTreeMap::new(),
            calls: Vec::new(),
            timeline: Vec::new(),
            window: Duration::from_millis(200),
            rate: None,
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

    /// Whether an account has made all the calls of an action that it may make in a minute.
    pub(super) fn is_exhausted(&self, action: &str) -> bool {
        let Some((most, since)) = self.rate else {
            return false;
        };
        let since = since.as_second().max(Timestamp::now().as_second() - 60);
        let calls = self.calls.iter().rev();
        let recent = calls.take_while(|call| call.at.as_second() >= since);
        let counts = |call: &&Call| call.action == action && !call.code.starts_with("Throttling");
        recent.filter(counts).count() >= most
    }

    pub(super) fn is_configuring(&self) -> bool {
        Instant::now() < self.configuring_until
    }

    /// What is under way has been made; what was to be felt then is forgotten.
    pub(super) fn end_window(&mut self) {
        self.configuring_until = Instant::now();
        self.settling.clear();
        self.due.clear();
    }

    /// A second write to the same load balancer is refused while the first is being carried out.
    pub(super) fn begin_write(&mut self, busy: Refusal) -> Result<(), Refusal> {
        if self.is_configuring() {
            return Err(busy);
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

    /// From now until a change is made members are seen to be changed.
    pub(super) fn settle<'a>(
        &mut self,
        places: impl IntoIterator<Item = &'a Place>,
        state: State,
        fault: Option<&Fault>,
    ) {
        let until = match fault {
            Some(Fault::NeverApply) => return,
            Some(Fault::ApplyLate(delay)) => Instant::now() + *delay,
            _ => self.configuring_until,
        };
        let settling = places.into_iter().map(|it| (it.clone(), (state, until)));
        self.settling.extend(settling);
    }

    /// Members as a product shows that tells how far their changes are; who leaves is there until then.
    pub(super) fn seen(&self) -> impl Iterator<Item = (&Member, u32, State)> {
        let now = Instant::now();
        let all = self.members.iter().chain(&self.seconds);
        all.filter_map(move |member| {
            let place = member.place();
            let settling = self.settling.get(&place).filter(|(_, until)| now < *until);
            let state = settling.map_or(State::Available, |(state, _)| *state);
            match self.group.get(&place) {
                Some(weight) => Some((member, *weight, state)),
                None => (state == State::Removing).then_some((member, 0, state)),
            }
        })
    }

    /// A member's description; its name where nobody wrote one.
    pub(super) fn description<'a>(&'a self, member: &'a Member) -> &'a str {
        let written = self.descriptions.get(&member.place());
        // A second port's name has a colon, which no description may have.
        let name = member.name.split(':').next().unwrap_or_default();
        written.map_or(name, String::as_str)
    }

    /// Keeps a description where one came; whether one left out clears it is not documented.
    pub(super) fn describe(&mut self, place: &Place, description: Option<&str>) {
        if let Some(text) = description {
            self.descriptions.insert(place.clone(), text.to_owned());
        }
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
