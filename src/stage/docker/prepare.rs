//! Makes what the job runs in: images, network, slot, helper, services.

use std::time::Instant;

use super::{
    super::context::Context,
    image::{self, Local},
    job::DockerJob,
    services::Share,
    user,
};
use crate::{
    config::{DockerLane, Tier},
    docker::{
        fault::EngineError,
        name::Names,
        reference::Reference,
        spec::{self, HelperFacts},
        volume::Slot,
    },
    failure::{Failure, JobCode},
    firewall::{Firewall, State},
    job::Job,
    paint,
};

/// More slots than one host can run jobs: then something else is wrong.
const MOST_SLOTS: usize = 1000;

pub(in crate::stage) async fn prepare(
    context: &Context<'_>,
    lane: &DockerLane,
) -> Result<(), Failure> {
    context.config.admit_host(&context.lane_name, lane)?;
    admit(lane, &context.lane_name, &context.job)?;
    user::admit(lane, &context.job, &context.call)?;
    let reference = image::of_job(context, lane)?;
    let job = context
        .until_cancelled(DockerJob::open(context, lane))
        .await?;
    context.write_note()?;
    let marker = job.marker();
    marker.set()?;
    let prepared = context
        .until_cancelled(Box::pin(job.prepare(&reference)))
        .await;
    // Also after a cancel: cleanup can remove only what exists.
    if job.engine.finish_creations().await {
        return prepared.and(marker.remove());
    }
    prepared
}

/// Whether the lane runs jobs of this ref.
fn admit(lane: &DockerLane, name: &str, job: &Job) -> Result<(), Failure> {
    let tier = Tier::of(job.is_protected());
    let Some(wanted) = lane.refs.filter(|wanted| *wanted != tier) else {
        return Ok(());
    };
    let (wanted, tier, git) = (wanted.text(), tier.text(), &job.git_info.reference);
    let what = format!(
        "the lane {name} runs jobs of {wanted} refs only (refs = \"{wanted}\"), and {git} is {tier}"
    );
    Err(Failure::build(JobCode::Refused, what).hint(format!(
        "try: give the job the `tags:` of a runner for {tier} refs, or change in GitLab whether the ref is protected"
    )))
}

impl DockerJob<'_> {
    async fn prepare(&self, reference: &Reference) -> Result<(), Failure> {
        let began = Instant::now();
        // An attempt that was killed may have left objects with the same names.
        self.remove_all().await?;
        let (job_image, image, group) = tokio::try_join!(
            self.local_image(reference, &self.context.job.image, Local::Tenant),
            self.helper_image(),
            self.make_group(),
        )?;
        let facts = HelperFacts {
            image,
            job_image,
            group,
        };
        // Before anything of the job's runs.
        self.hold_firewall().await?;
        let network = self.names.network();
        let labels = self.names.labels();
        let mtu = self.lane.network_mtu;
        self.engine.create_network(&network, labels, mtu).await?;
        let (helper, slot) = self.take_slot(&facts).await?;
        let share = Share {
            group: &facts.group,
            slot: &slot,
        };
        let start_helper = async { self.engine.start(&helper).await.map_err(lane_s) };
        let ((), services) = tokio::try_join!(start_helper, self.start_services(&share))?;
        let (name, seconds) = (reference.text(), began.elapsed().as_secs_f32());
        let id = short(&facts.job_image);
        let with = match services {
            0 => String::new(),
            1 => ", 1 service".to_owned(),
            n => format!(", {n} services"),
        };
        let ready = format!("Image {name} ({id}){with}, ready in {seconds:.1} s");
        self.say(&paint::bold(&ready)).await;
        Ok(())
    }

    /// Makes the host's firewall around jobs stand, where the lane wants one: rules of the kernel do not
    /// survive a boot, and nothing stays to put them back.
    async fn hold_firewall(&self) -> Result<(), Failure> {
        if !self.lane.network.firewall {
            return Ok(());
        }
        let firewall = Firewall::new(&self.context.config)?;
        if firewall.apply().await? == State::Missing {
            self.say("The firewall around jobs was missing on this host; it stands now.")
                .await;
        }
        Ok(())
    }

    /// Creates the helper in the first slot that no other job holds; its id, and the slot.
    async fn take_slot(&self, facts: &HelperFacts) -> Result<(String, Slot), Failure> {
        let variables = &self.context.call.job_environ;
        for number in 0..MOST_SLOTS {
            let slot = Slot::new(self.lane, &self.names.slot(number), variables)?;
            let helper = spec::helper(&self.names, self.lane, &slot, facts);
            match self.engine.create(helper).await {
                Err(EngineError::NameTaken { .. }) => {}
                created => return Ok((created.map_err(lane_s)?, slot)),
            }
        }
        let first = Names::helper(&self.names.slot(0));
        let what = format!("all {MOST_SLOTS} slots of {first} are taken");
        Err(Failure::system(what))
    }
}

/// All of the helper is the lane's own wish.
fn lane_s(error: EngineError) -> Failure {
    match error {
        EngineError::BadSetting { .. } | EngineError::CannotRun { .. } => Failure::system(error).hint(
            "the lane asks for it: its volumes, `sysctls`, `security-opt`, `cap-drop`, `dns`, `extra-hosts`, `helper-image`",
        ),
        other => other.into(),
    }
}

/// The first twelve digits of an image's id.
fn short(id: &str) -> &str {
    let digits = id.strip_prefix("sha256:").unwrap_or(id);
    digits.get(..12).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_runs_the_jobs_of_its_tier_alone() {
        let check = |lane: &str, is_protected: Option<bool>, words: &str| {
            let lane: DockerLane = toml::from_str(lane).unwrap();
            let job = serde_json::json!({ "id": 1, "git_info": { "ref": "v1", "protected": is_protected } });
            let job: Job = serde_json::from_value(job).unwrap();
            let told = admit(&lane, "build", &job).map_err(|failure| failure.to_string());
            match told {
                Ok(()) => assert_eq!(words, ""),
                Err(told) => assert!(!words.is_empty() && told.contains(words), "{told}"),
            }
        };
        let protected = "refs = 'protected'";
        check("", Some(true), "");
        check("", None, "");
        check(protected, Some(true), "");
        check(
            protected,
            Some(false),
            "the lane build runs jobs of protected refs only (refs = \"protected\"), and v1 is unprotected",
        );
        // What GitLab does not say is not protected.
        check(protected, None, "v1 is unprotected");
        check("refs = 'unprotected'", Some(false), "");
        check("refs = 'unprotected'", Some(true), "tags:");
    }
}
