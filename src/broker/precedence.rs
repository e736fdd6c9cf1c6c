//! Refuses a release that is older than the newest one that was proven here, unless somebody whom
//! policy lets asks for just that.

use crate::{
    failure::{Failure, JobCode},
    policy::{Grant, ROLLBACK},
    rollout::{
        journal::Run,
        port::Release,
        precedence::{Age, older},
    },
    store::{Ledger, ledger::Record},
};

/// What a release is held against.
pub(super) struct Candidate<'a> {
    pub(super) grant: &'a Grant,
    pub(super) release: &'a Release,
}

impl Candidate<'_> {
    /// `newest` is the run that brought out what was proven last.
    pub(super) fn follows(&self, newest: Option<&Run>, ledger: &Ledger) -> Result<(), Failure> {
        let Some(newest) = newest.filter(|run| self.is_comparable(run)) else {
            return Ok(());
        };
        let records = ledger.all(Some(self.grant.project_id()))?;
        let release = Age {
            pipeline: self.grant.pipeline_id(),
            pushed: first_push(&records, self.grant.commit()),
        };
        let commit = records
            .iter()
            .find(|record| record.digest == newest.release.digest);
        let newest_age = Age {
            pipeline: newest.owner.pipeline,
            pushed: commit.and_then(|record| first_push(&records, &record.commit)),
        };
        match older(release, newest_age) {
            Some(why) if !self.grant.allows_rollback() => {
                let name = &self.grant.environment().name;
                let text = format!(
                    "{} is older than {}, which was brought to {name} by run {}: {why}; that would be a rollback that nobody asked for",
                    self.release.version, newest.release.version, newest.id
                );
                let hint = format!(
                    "to go back on purpose, set the variable {ROLLBACK} to the tag, where environments/{name}.toml says policy.rollbacks = \"by-variable\""
                );
                Err(Failure::build(JobCode::Refused, text).hint(hint))
            }
            _ => Ok(()),
        }
    }

    /// Pipelines are counted by one GitLab, and the very same release is no step back.
    fn is_comparable(&self, newest: &Run) -> bool {
        newest.owner.project == self.grant.project_id()
            && newest.release.reference() != self.release.reference()
    }
}

fn first_push(records: &[Record], commit: &str) -> Option<jiff::Timestamp> {
    let pushes = records
        .iter()
        .filter(|it| it.is_protected && it.commit == commit);
    pushes.map(|record| record.at).min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{DeployLane, Environment},
        policy,
        rollout::journal::{Event, Outcome, Owner},
    };

    fn release(version: &str) -> Release {
        Release {
            image: "h/app".into(),
            digest: format!("sha256:{version}"),
            version: version.into(),
        }
    }

    fn commit(letter: char) -> String {
        letter.to_string().repeat(40)
    }

    fn grant(pipeline: i64, letter: char) -> Grant {
        let text = include_str!("../../runner-config/environments/production.toml");
        let mut environment: Environment = toml::from_str(text).unwrap();
        environment.name = "production".into();
        let lane: DeployLane = toml::from_str(r#"environments = ["production"]"#).unwrap();
        let job = serde_json::from_value(serde_json::json!({
            "id": 1, "job_info": {"project_id": 42, "pipeline_id": pipeline},
            "git_info": {"ref": "v1", "ref_type": "tag", "sha": commit(letter), "protected": true},
        }));
        policy::decide(&lane, &environment, &job.unwrap()).unwrap()
    }

    fn brought_out(version: &str, pipeline: i64) -> Run {
        let opened = Event::Opened {
            run: "r1".into(),
            release: release(version),
            owner: Owner {
                project: 42,
                pipeline,
                job: 1,
            },
            hosts: vec!["app-1".into()],
        };
        let closed = Event::Closed {
            outcome: Outcome::Done,
            summary: String::new(),
        };
        Run::fold([&opened, &closed]).unwrap()
    }

    fn push(ledger: &Ledger, second: i64, letter: char, version: &str) {
        let record = Record {
            project: 42,
            commit: commit(letter),
            reference: version.into(),
            is_protected: true,
            pipeline: 1,
            job: 1,
            image: "h/app".into(),
            tag: version.into(),
            digest: release(version).digest,
            manifest: None,
            scan: None,
            at: jiff::Timestamp::new(second, 0).unwrap(),
        };
        ledger.append(&record).unwrap();
    }

    #[test]
    fn an_older_pipeline_or_commit_does_not_follow_a_newer_one() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::new(folder.path());
        push(&ledger, 10, 'a', "v2");
        push(&ledger, 20, 'b', "v3");
        let newest = brought_out("v3", 77);
        let follows = |pipeline, letter, version| {
            let (grant, release) = (grant(pipeline, letter), release(version));
            let candidate = Candidate {
                grant: &grant,
                release: &release,
            };
            candidate.follows(Some(&newest), &ledger)
        };
        // A retry of the old pipeline; then a new pipeline of the old tag.
        let failure = follows(70, 'a', "v2").unwrap_err();
        assert_eq!(failure.code(), Some(JobCode::Refused));
        let text = failure.to_string();
        assert!(text.contains("v2 is older than v3"), "{text}");
        assert!(follows(80, 'a', "v2").is_err());
        assert!(follows(80, 'c', "v4").is_ok());
        // The very release that runs is no step back.
        assert!(follows(70, 'b', "v3").is_ok());
    }
}
