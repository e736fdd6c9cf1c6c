//! A rollout from its first look to its last line.
//!
//! Look, plan, pull everywhere; then host by host: drain, switch, admit. Whatever goes wrong, the
//! way out is the same: `settle`, look again, say what is.

use std::time::Duration;

use super::{
    ending::Ending,
    error::{StepError, left},
    journal::{Direction, Event, Mark, Outcome},
    narrate,
    plan::Planned,
    port::{Narrator, Ports},
    prepare::{NotBegun, prepare},
    recover::owing,
    report::Report,
    verdict::Trouble,
    work::Work,
    world::{Patience, Settings, World},
};
use crate::lang::{both, word};
use crate::{failure, paint};

pub(crate) use super::{
    order::{Earlier, Error, Order},
    recover::recover,
};

/// Rolls a release out over the environment.
pub(crate) async fn roll_out<P: Ports>(
    world: &World<P>,
    settings: &Settings,
    order: &Order<P::Journal>,
    earlier: &[Earlier<P::Journal>],
) -> Result<Report, Error> {
    let began = world.now();
    let (version, hosts) = (&order.release.version, world.hosts.len());
    let way = if order.cause.is_rollback() {
        word!("back to ", "回滚到 ")
    } else {
        word!("", "发布 ")
    };
    let (environment, hosts) = (&settings.environment, narrate::hosts(hosts));
    let title = both!(
        "{environment}: {way}{version} on {hosts}, looking at them first",
        "{environment}：在 {hosts}上{way}{version}，先查看主机"
    );
    world.narrator.say(&paint::bold(&title));
    let owing = owing(world, settings).await?;
    let (mut work, hosts) = match Box::pin(prepare(&owing, settings, order, earlier)).await {
        Ok(opened) => opened,
        Err(NotBegun::Current(summary)) => {
            world.narrator.say(&paint::green(&summary));
            return Ok(untouched(order, Outcome::Done, &summary));
        }
        Err(NotBegun::Failed(Error::Stopped)) => {
            let summary = Error::Stopped.to_string();
            world.narrator.say(&paint::bold(&summary));
            return Ok(untouched(order, Outcome::Stopped, &summary));
        }
        Err(NotBegun::Failed(error)) => return Err(error),
    };
    let mut ending = Ending::new(&work);
    ending.began = began;
    let error = Box::pin(work.change_all(&hosts)).await.err();
    let failed = match &error {
        None => Vec::new(),
        Some(error) => work.turn_back(error).await,
    };
    Ok(ending.report(&mut work, error, failed).await)
}

fn untouched<J>(order: &Order<J>, outcome: Outcome, summary: &str) -> Report {
    Report {
        run: order.run.clone(),
        version: order.release.version.clone(),
        reference: order.release.reference(),
        outcome,
        is_undone: false,
        is_recorded: true,
        summary: summary.into(),
        took: Duration::ZERO,
        hosts: Vec::new(),
    }
}

impl<P: Ports> Work<'_, P> {
    async fn change_all(&mut self, hosts: &[Planned]) -> Result<(), StepError> {
        let is_changed = |it: &&Planned| !it.is_current || it.has_bridge;
        for planned in hosts.iter().filter(is_changed) {
            self.go_on()?;
            let was = planned.previous.as_ref();
            let was = was.map(|c| narrate::release_of(c, &self.settings.versions));
            let was = was.unwrap_or_else(|| narrate::nothing().into());
            let title = format!("{}: {was} -> {}", planned.host, self.run.release.version);
            let section = format!("rollout_{}", planned.host);
            self.world.narrator.open_section(&section, &title);
            let result = self.change(planned).await;
            self.world.narrator.close_section(&section);
            result?;
        }
        Ok(())
    }

    async fn change(&mut self, planned: &Planned) -> Result<(), StepError> {
        let began = self.world.now();
        let host = planned.host.as_str();
        if planned.is_current {
            return self.tidy_up(host).await;
        }
        self.cover(host, Direction::Do).await?;
        self.go_on()?;
        self.drain(host, Direction::Do).await?;
        self.go_on()?;
        self.switch(host, Direction::Do).await?;
        self.admit(host, Direction::Do).await?;
        self.tidy_up(host).await?;
        let waited = narrate::duration(self.world.now().saturating_sub(began));
        self.world
            .say(host, &both!("done in {waited}", "完成，用时 {waited}"));
        Ok(())
    }

    /// The host is in order; only what served for it meanwhile is still there.
    async fn tidy_up(&mut self, host: &str) -> Result<(), StepError> {
        let retired = self.retire(host, Direction::Do).await;
        retired.map_err(|error| left(host, error))
    }

    /// Goes back, or only to the next step edge when nothing failed.
    async fn turn_back(&mut self, error: &StepError) -> Vec<Trouble> {
        self.is_settling = true;
        let why = failure::chain(error);
        self.world.narrator.say(&paint::red(&why));
        let title = match error {
            StepError::Cancelled
            | StepError::Journal { .. }
            | StepError::Debt { .. }
            | StepError::Left { .. } => {
                word!("putting the host in hand right", "把正在处理的主机恢复好")
            }
            StepError::Balancer { .. }
            | StepError::Unapplied { .. }
            | StepError::Drift { .. }
            | StepError::Floor(_)
            | StepError::Host { .. }
            | StepError::Unwell { .. } => {
                // Journaled first: after a crash the way still leads back. Settling does not fail.
                let _ = self.record(Event::Undoing { why }).await;
                word!("undoing the rollout", "撤销这次发布")
            }
        };
        let mut marks = self.run.captured.values().filter_map(|c| c.mark);
        let is_left = matches!(error, StepError::Left { .. });
        let is_at_an_edge = !is_left && marks.all(Mark::is_at_an_edge);
        if self.run.undoing.is_none() && is_at_an_edge {
            return Vec::new();
        }
        let section = "rollout_settle";
        self.world.narrator.open_section(section, title);
        let failed = Box::pin(self.settle(Patience::SETTLE)).await;
        self.world.narrator.close_section(section);
        failed.unwrap_or_else(|gave_up| {
            let why = failure::chain(&*gave_up.into_source());
            let text = both!(
                "the balancer's weights cannot be read, so nothing was put right: {why}",
                "无法读取负载均衡的权重，因此什么都没能恢复：{why}"
            );
            self.world.narrator.say(&paint::red(&text));
            Vec::new()
        })
    }
}
