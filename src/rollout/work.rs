//! One run at work: its journal, what it captured, and how patient it is. What it does on a host is in
//! the files of the steps.

use super::{
    error::{StepError, balancer},
    journal::{Captured, Direction, Event, Run, Step},
    owing::Owing,
    plan::Fleet,
    port::{Journal, Member, Narrator, Pool, Ports, Slot, Weight, Wish},
    world::{GaveUp, Patience, Settings, World},
};
use crate::failure;
use crate::lang::{both, word};

/// One run at work.
pub(super) struct Work<'a, P: Ports> {
    pub(super) world: &'a World<P>,
    pub(super) settings: &'a Settings,
    pub(super) journal: &'a P::Journal,
    pub(super) owing: &'a Owing<'a, P>,
    pub(super) run: Run,
    /// True once things are only put right: then a wish to stop is no reason to stop, and a full
    /// disk under the journal no reason to leave a host at weight 0.
    pub(super) is_settling: bool,
}

impl<P: Ports> Work<'_, P> {
    /// Writes an event down, then believes it.
    pub(super) async fn record(&mut self, event: Event) -> Result<(), StepError> {
        if let Err(error) = self.journal.append(&event).await {
            if !self.is_settling {
                let source = error.into();
                return Err(StepError::Journal { source });
            }
            let why = failure::chain(&error);
            let text = both!(
                "the journal cannot be written, going on without it: {why}",
                "发布日志写不进去，不记录而继续：{why}"
            );
            self.world.narrator.say(&text);
        }
        self.run.apply(&event);
        Ok(())
    }

    pub(super) async fn intend(
        &mut self,
        host: &str,
        step: Step,
        way: Direction,
    ) -> Result<(), StepError> {
        self.record(Event::Intent {
            host: host.into(),
            step,
            direction: way,
        })
        .await
    }

    pub(super) async fn finish(
        &mut self,
        host: &str,
        step: Step,
        way: Direction,
    ) -> Result<(), StepError> {
        self.record(Event::Done {
            host: host.into(),
            step,
            direction: way,
        })
        .await
    }

    pub(super) fn captured(&self, host: &str) -> Option<&Captured> {
        self.run.captured.get(host)
    }

    /// The weight to give back. `None` without a balancer.
    pub(super) fn original(&self, host: &str) -> Option<Weight> {
        self.captured(host)?.weight
    }

    /// The member that stands for a host. `None` without a balancer.
    pub(super) fn member(&self, host: &str) -> Option<Member> {
        self.captured(host)?.member.clone()
    }

    /// Names the members of a run that an earlier version began: it knew hosts only.
    pub(super) fn name_members(&mut self, pool: Option<&Pool>) {
        for (host, captured) in &mut self.run.captured {
            let own = pool.and_then(|pool| pool.own.get(host).cloned());
            let is_weighed = captured.weight.is_some();
            captured.member = captured.member.take().or(own.filter(|_| is_weighed));
        }
    }

    /// Fails when somebody wants the rollout to end and nothing speaks against it.
    pub(super) fn go_on(&self) -> Result<(), StepError> {
        if self.world.is_stopped() && !self.is_settling {
            return Err(StepError::Cancelled);
        }
        Ok(())
    }

    pub(super) fn patience(&self) -> Patience {
        Patience {
            hears_stop: !self.is_settling,
            ..Patience::LOOK
        }
    }

    pub(super) fn is_hurried(&self) -> bool {
        self.world.wish() == Wish::StopNow
    }
    /// One line about an instance on a host.
    pub(super) fn say(&self, host: &str, slot: Slot, text: &str) {
        match slot {
            Slot::Own => self.world.say(host, text),
            Slot::Bridge => self
                .world
                .say(host, &both!("second instance: {text}", "第二实例：{text}")),
        }
    }

    /// Looks at everything, for what is done on one host.
    pub(super) async fn fleet(&self, host: &str) -> Result<Fleet, StepError> {
        let looks = self.world.look(self.patience()).await;
        looks.fleet().map_err(|gave_up| balancer(host, gave_up))
    }

    pub(super) async fn weight(&self, host: &str) -> Result<Weight, StepError> {
        let pool = self.world.pool(self.patience()).await;
        let pool = pool.map_err(|gave_up| balancer(host, gave_up))?;
        self.weight_in(pool.as_ref(), host)
    }

    pub(super) fn weight_in(&self, pool: Option<&Pool>, host: &str) -> Result<Weight, StepError> {
        let member = self.member(host);
        let weight = pool
            .zip(member)
            .and_then(|(pool, member)| pool.weights.get(&member).copied());
        let missing =
            || GaveUp::Failed(word!("it is not behind the balancer", "它不在负载均衡后面").into());
        weight.ok_or_else(|| balancer(host, missing()))
    }
}
