//! The deploy lane's recipe: a job as processes of this host, in a sandbox, with a broker beside the
//! author's script that alone holds the keys.

mod cleanup;
mod prepare;
mod run;

use super::context::Context;
use crate::{
    balancer,
    config::DeployLane,
    failure::{Failure, JobCode},
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
        let mut refused: Vec<Refusal> = Vec::new();
        for name in &self.lane.environments {
            let environment = self.context.config.environment(name)?;
            // Wrong settings of its balancer are told before anything is made.
            balancer::open(&environment)?;
            match policy::decide(self.lane, &environment, &self.context.job) {
                Ok(_) => granted.push(name.clone()),
                Err(refusal) => refused.push(refusal),
            }
        }
        if !granted.is_empty() {
            return Ok(granted);
        }
        // Which environment the author meant is not known yet.
        let why: Vec<_> = refused.iter().map(ToString::to_string).collect();
        if why.is_empty() {
            return Err(Failure::system("this lane deploys to no environment"));
        }
        Err(Failure::build(JobCode::Refused, why.join("; ")))
    }
}
