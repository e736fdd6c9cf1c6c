//! The steps on one host: drain, switch, admit, each journaled before and after.
//!
//! Every step that hurts looks first whether the weights are still what they should be. Nothing here decides what to do
//! after an error: that is `resume`'s.

use std::collections::BTreeMap;

use super::{
    debt::Owed,
    error::{StepError, balancer, drift, unwell},
    health::{Expected, Proof, is_serving},
    journal::{Captured, Direction, Step},
    narrate,
    plan::{Fleet, Floor},
    port::{Container, Fact, Health, Ports, Release, Slot, Survey, Weight},
    work::Work,
};
use crate::lang::{both, word};

impl<P: Ports> Work<'_, P> {
    /// Takes a host out of the balancer and waits until nobody is connected to it.
    pub(super) async fn drain(&mut self, host: &str, way: Direction) -> Result<(), StepError> {
        let Some(original) = self.original(host) else {
            return Ok(());
        };
        let fleet = self.fleet(host).await?;
        let seen = self.weight_in(fleet.pool.as_ref(), host)?;
        let found = self.captured(host).and_then(|captured| captured.found);
        let is_out = way == Direction::Undo || found == Some(Weight::ZERO);
        if seen != original && !(is_out && seen == Weight::ZERO) {
            return Err(drift(host, original, seen));
        }
        if original == Weight::ZERO {
            let text = word!(
                "has weight 0, as an operator left it: deployed to, and left at 0",
                "权重为 0，是运维人员设置的：会更新版本，权重保持 0"
            );
            self.world.say(host, text);
            return Ok(());
        }
        if seen > Weight::ZERO {
            self.keep_floor(&fleet, host)?;
            is_covered(&fleet, host, original)?;
        }
        self.intend(host, Step::Drain, way).await?;
        if seen == Weight::ZERO {
            self.world.say(
                host,
                word!("is out of the balancer already", "已经不在流量中"),
            );
        } else {
            self.take(host).await?;
            self.wait_until_drained(host, Slot::Own, way).await?;
        }
        self.finish(host, Step::Drain, way).await
    }

    /// Takes a host's weight away, owed from before on.
    pub(super) async fn take(&self, host: &str) -> Result<(), StepError> {
        let (Some(member), Some(weight)) = (self.member(host), self.original(host)) else {
            return Ok(());
        };
        let owed = Owed {
            member,
            host: host.into(),
            weight,
            run: self.run.id.clone(),
        };
        self.owing.take(owed, !self.is_settling).await
    }

    /// Asks for the capacity that would be left.
    fn keep_floor(&self, fleet: &Fleet, host: &str) -> Result<(), StepError> {
        fleet.is_explained(host)?;
        let originals: BTreeMap<_, _> = self
            .run
            .captured
            .iter()
            .filter_map(|(name, captured)| Some((name.clone(), captured.weight?)))
            .collect();
        let floor = Floor {
            percent: self.settings.rollout.min_capacity,
            originals: &originals,
            allows_downtime: self.settings.rollout.allow_downtime,
        };
        Ok(floor.allows(fleet, host)?)
    }

    /// Fails where a machine gets requests that a restart would cut: somebody may have given it
    /// weight since it was taken out, or another member of it.
    async fn is_out(&self, host: &str) -> Result<(), StepError> {
        if self.original(host).is_none() {
            return Ok(());
        }
        let pool = self.world.pool(self.patience()).await;
        let pool = pool.map_err(|gave_up| balancer(host, gave_up))?;
        let fleet = Fleet {
            pool: pool.clone(),
            ..Fleet::default()
        };
        fleet.is_explained(host)?;
        match self.weight_in(pool.as_ref(), host)? {
            Weight::ZERO => Ok(()),
            seen => Err(drift(host, Weight::ZERO, seen)),
        }
    }

    /// Makes a host run the release, or what it ran before, and proves that healthy.
    pub(super) async fn switch(&mut self, host: &str, way: Direction) -> Result<(), StepError> {
        self.is_out(host).await?;
        let release = self.run.release.clone();
        let previous = self.captured(host).and_then(|c| c.previous.clone());
        let goal = self.goal(host, way, (&release, previous.as_ref()))?;
        self.intend(host, Step::Switch, way).await?;
        self.world.say(
            host,
            &both!("compose starts {}", "compose 启动 {}", goal.name),
        );
        self.compose(host, Slot::Own, &goal.reference).await?;
        self.world.note(Fact::Switched {
            host: host.into(),
            to: goal.name.clone(),
            way,
        });
        let hold = self.settings.rollout.min_healthy_time;
        self.prove(host, Slot::Own, Proof::new(goal.expected, hold))
            .await?;
        self.finish(host, Step::Switch, way).await
    }

    /// Gives a host its weight back. Its container was proven healthy by the caller.
    pub(super) async fn admit(&mut self, host: &str, way: Direction) -> Result<(), StepError> {
        self.intend(host, Step::Admit, way).await?;
        if let (Some(original), Some(member)) = (self.original(host), self.member(host))
            && original > Weight::ZERO
        {
            self.owing.give_back(host, &member, original).await?;
            self.wait_until_admitted(host, &member).await?;
        }
        self.finish(host, Step::Admit, way).await
    }
}

/// Fails where a host has a second instance that does not carry all of its weight: the sum of the
/// weights must not fall for it.
fn is_covered(fleet: &Fleet, host: &str, original: Weight) -> Result<(), StepError> {
    let is_serving = fleet.surveys.get(host).is_none_or(is_serving);
    let is_whole = fleet.bridge_serves(host) >= u32::from(original.value());
    if fleet.has_bridge(host) && is_serving && !is_whole {
        let why = word!(
            "its second instance does not carry its whole weight",
            "它的第二实例没有承担全部权重"
        )
        .into();
        return Err(unwell(host, why));
    }
    Ok(())
}

/// What an instance is to run.
pub(super) struct Goal<'a> {
    pub(super) expected: Expected<'a>,
    /// As Docker names it.
    pub(super) reference: String,
    /// As people do.
    pub(super) name: String,
}

impl<P: Ports> Work<'_, P> {
    /// What a host is to run on its way forward or back.
    pub(super) fn goal<'a>(
        &self,
        host: &str,
        way: Direction,
        (release, previous): (&'a Release, Option<&'a Container>),
    ) -> Result<Goal<'a>, StepError> {
        match (way, previous) {
            (Direction::Do, _) => Ok(Goal {
                expected: Expected::Release(release),
                reference: release.reference(),
                name: release.version.clone(),
            }),
            (Direction::Undo, Some(previous)) => Ok(Goal {
                expected: Expected::Previous(previous),
                reference: back_to(previous, &release.image),
                name: narrate::release_of(previous, &self.settings.versions),
            }),
            (Direction::Undo, None) => {
                let why = word!(
                    "it ran nothing before, so there is nothing to go back to",
                    "它之前什么都没运行，没有可以退回的版本"
                )
                .into();
                Err(unwell(host, why))
            }
        }
    }
}

/// What brings the container of before back even when its tag has moved on.
fn back_to(previous: &Container, image: &str) -> String {
    let is_ours = |digest: &&String| {
        digest
            .strip_prefix(image)
            .is_some_and(|rest| rest.starts_with('@'))
    };
    let ours = previous.digests.iter().find(is_ours);
    ours.or(previous.digests.first())
        .unwrap_or(&previous.image)
        .clone()
}

/// True when a look shows what ran before: answering, or on its way there.
pub(super) fn is_as_before(captured: &Captured, survey: &Survey) -> bool {
    match (&captured.previous, &survey.container) {
        (Some(previous), Some(container)) => {
            Expected::Previous(previous).is_met_by(container)
                && container.is_running
                && container.health != Health::Unhealthy
                && captured.has_files_of_before(survey)
        }
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}
