//! The deploy lane's recipe: a job as processes of this host, in a sandbox, with a broker beside the
//! author's script that alone holds the keys.

mod cleanup;
mod prepare;
mod run;

use super::context::Context;
use crate::{
    balancer,
    config::DeployLane,
    failure::Failure,
    policy::{self, Refusal},
    sandbox::Sandbox,
};

/// One job in one deploy lane.
pub(super) struct Recipe<'a> {
    context: &'a Context<'a>,
    lane: &'a DeployLane,
    sandbox: Sandbox,
}

impl<'a> Recipe<'a> {
    pub(super) fn new(context: &'a Context<'a>, lane: &'a DeployLane) -> Self {
        Self {
            context,
            lane,
            sandbox: Sandbox::new(&context.program, &context.config, &context.job),
        }
    }

    /// The environments that this job may deploy to: at least one, or a refusal.
    fn granted(&self) -> Result<Vec<String>, Failure> {
        let mut granted = Vec::new();
        let mut refused: Option<Refusal> = None;
        for name in &self.lane.environments {
            let environment = self.context.config.environment(name)?;
            // Wrong settings of its balancer are told before anything is made.
            balancer::open(&environment)?;
            match policy::decide(self.lane, &environment, &self.context.job) {
                Ok(_) => granted.push(name.clone()),
                Err(refusal) => refused = refused.or(Some(refusal)),
            }
        }
        match refused {
            Some(refusal) if granted.is_empty() => Err(refusal.into()),
            None if granted.is_empty() => {
                Err(Failure::system("this lane deploys to no environment"))
            }
            _ => Ok(granted),
        }
    }
}
