//! What is owed: the weights that rollouts took away and that nobody has seen back yet.
//!
//! Kept apart from the runs, because a weight that was taken is owed whichever run took it and
//! whichever gives it back. Pure: what was taken and what was seen go in.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::state::{HostName, Member, Weight};

/// One weight that is owed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owed {
    pub member: Member,
    /// What the environment called it.
    pub host: HostName,
    /// What it had, and gets back.
    pub weight: Weight,
    /// The run that took it.
    pub run: String,
}

/// What happens to a debt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// A weight is about to be taken away.
    Taken(Owed),
    /// It was not taken after all: no write was made.
    Kept(Member),
    /// A member was seen with that weight when nothing of ours was under way any more.
    Seen { member: Member, weight: Weight },
}

/// Everything that is owed in an environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Debt(BTreeMap<Member, Owed>);

impl Debt {
    /// What is owed to a member.
    pub fn of(&self, member: &Member) -> Option<&Owed> {
        self.0.get(member)
    }

    /// All that is owed, in the order of members.
    pub fn owed(&self) -> impl Iterator<Item = &Owed> {
        self.0.values()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The debt after one more change.
    ///
    /// The first weight that was taken counts: what is found later may be our own zero. A member
    /// that is seen with weight is owed nothing: it has its own back, or somebody else gave it
    /// another one, which is theirs then.
    #[must_use]
    pub(crate) fn after(&self, change: Change) -> Self {
        let mut debt = self.clone();
        match change {
            Change::Taken(owed) => {
                debt.0.entry(owed.member.clone()).or_insert(owed);
            }
            Change::Kept(member) => {
                debt.0.remove(&member);
            }
            Change::Seen { member, weight } => {
                if weight > Weight::ZERO {
                    debt.0.remove(&member);
                }
            }
        }
        debt
    }
}

impl FromIterator<Owed> for Debt {
    fn from_iter<I: IntoIterator<Item = Owed>>(owed: I) -> Self {
        let owed = owed.into_iter().map(Change::Taken);
        owed.fold(Self::default(), |debt, taken| debt.after(taken))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(server: &str) -> Member {
        Member {
            balancer: "lb-1".into(),
            group: "rsp-1".into(),
            server: server.into(),
            port: 3131,
        }
    }

    fn taken(server: &str, weight: u8) -> Change {
        Change::Taken(Owed {
            member: member(server),
            host: server.into(),
            weight: Weight::new(weight).unwrap(),
            run: "r1".into(),
        })
    }

    fn seen(server: &str, weight: u8) -> Change {
        let weight = Weight::new(weight).unwrap();
        let member = member(server);
        Change::Seen { member, weight }
    }

    #[track_caller]
    fn check(changes: impl IntoIterator<Item = Change>, expect: &[(&str, u8)]) {
        let debt = Debt::default();
        let debt = changes
            .into_iter()
            .fold(debt, |debt, change| debt.after(change));
        let owed: Vec<_> = debt
            .owed()
            .map(|owed| (owed.host.as_str(), owed.weight.value()))
            .collect();
        assert_eq!(owed, expect);
    }

    #[test]
    fn what_was_taken_first_is_owed_until_it_is_seen_back() {
        check([taken("a", 100)], &[("a", 100)]);
        check([taken("a", 100), taken("a", 0)], &[("a", 100)]);
        check([taken("a", 80), seen("a", 0)], &[("a", 80)]);
        check(
            [taken("a", 80), taken("b", 50), seen("a", 80)],
            &[("b", 50)],
        );
        check([taken("a", 80), Change::Kept(member("a"))], &[]);
    }

    #[test]
    fn a_weight_that_somebody_else_gave_is_theirs() {
        check([taken("a", 80), seen("a", 37)], &[]);
    }
}
