//! Refuses a release that is older than the newest one that was proven here, unless somebody whom
//! policy lets asks for just that.

use crate::lang::both;
use crate::{
    failure::{Failure, JobCode},
    policy::{Grant, ROLLBACK},
    rollout::{
        journal::{Cause, Run},
        port::Release,
        precedence::{Age, Bar, Older, bars, is_newer, older},
    },
    store::{Ledger, ledger::Record},
};

/// What a release is held against.
pub(super) struct Candidate<'a> {
    pub(super) grant: &'a Grant,
    pub(super) release: &'a Release,
}

impl Candidate<'_> {
    /// `runs` are all that are kept, newest first. A step back that was asked for is a rollback.
    pub(super) fn follows(&self, runs: &[&Run], ledger: &Ledger) -> Result<Cause, Failure> {
        let bars = bars(runs);
        let is_out = |bar: &Bar<'_>| bar.run.release.reference() == self.release.reference();
        // The very release that is out is no step back.
        if bars.first().is_none_or(is_out) {
            return Ok(Cause::Deploy);
        }
        let records = ledger.all(Some(self.grant.project_id()))?;
        let mut bars = bars.iter().filter(|bar| self.is_comparable(bar.run));
        let found = bars.find_map(|bar| Some((bar, self.is_behind(bar, &records)?)));
        match found {
            None => Ok(Cause::Deploy),
            Some(_) if self.grant.allows_rollback() => Ok(Cause::Rollback { by: None }),
            Some((bar, why)) => Err(self.refuse(bar, why)),
        }
    }

    /// Why the release must not follow that one.
    fn is_behind(&self, bar: &Bar<'_>, records: &[Record]) -> Option<Older> {
        let release = Age {
            pipeline: self.grant.pipeline_id(),
            first: first_pipeline(records, self.grant.commit()),
        };
        let pipeline = bar.run.owner.pipeline;
        let other = Age {
            pipeline,
            first: push(records, &bar.run.release.digest, pipeline)
                .and_then(|record| first_pipeline(records, &record.commit)),
        };
        match bar.taken_back {
            None => older(release, other),
            Some(_) => (!is_newer(release, other)).then_some(Older::TakenBack),
        }
    }

    fn refuse(&self, bar: &Bar<'_>, why: Older) -> Failure {
        let name = &self.grant.environment().name;
        let (version, other) = (&self.release.version, &bar.run.release.version);
        let text = match bar.taken_back {
            None => both!(
                "{version} is older than {other}, which was brought to {name} by run {}: {why}; that would be a rollback that nobody asked for",
                "{version} 比 {other} 旧，后者由运行 {} 发布到 {name}：{why}；这会是一次没人要求的回滚",
                bar.run.id
            ),
            Some(rollback) => both!(
                "{version} is not newer than {other}, and run {} took {name} back from {other} to {}",
                "{version} 不比 {other} 新，而运行 {} 已把 {name} 从 {other} 回滚到 {}",
                rollback.id,
                rollback.release.version
            ),
        };
        let hint = both!(
            "to bring it out on purpose, set the variable {ROLLBACK} to {version}, where environments/{name}.toml says policy.rollbacks = \"by-variable\"",
            "确实要发布它时：environments/{name}.toml 里写 policy.rollbacks = \"by-variable\"，并把变量 {ROLLBACK} 设为 {version}"
        );
        let hint = match bar.taken_back {
            None => hint,
            Some(_) => {
                both!(
                    "{hint}, or on this server: dockmaster rollout rollback {name} {other}",
                    "{hint}；或在本服务器上运行：dockmaster rollout rollback {name} {other}"
                )
            }
        };
        Failure::build(JobCode::Refused, text).hint(hint)
    }

    /// Pipelines are counted by one GitLab.
    fn is_comparable(&self, run: &Run) -> bool {
        run.owner.project == self.grant.project_id()
    }
}

/// The push of a digest: several commits may have built the same one, and then the pipeline tells which was brought out.
fn push<'a>(records: &'a [Record], digest: &str, pipeline: i64) -> Option<&'a Record> {
    let pushes = records.iter().filter(|record| record.digest == digest);
    pushes.min_by_key(|record| record.pipeline != pipeline)
}

/// The first pipeline that pushed an image of a commit.
fn first_pipeline(records: &[Record], commit: &str) -> Option<i64> {
    let pushes = records
        .iter()
        .filter(|it| it.is_protected && it.commit == commit);
    pushes.map(|record| record.pipeline).min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{DeployLane, Environment},
        policy,
        rollout::{
            journal::{Event, Outcome, Owner},
            port::{Container, Health},
        },
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
            cause: Cause::Deploy,
        };
        let closed = Event::Closed {
            outcome: Outcome::Done,
            summary: String::new(),
        };
        Run::fold([&opened, &closed]).unwrap()
    }

    /// The older the pipeline, the later its push: builds overtake each other.
    fn push(ledger: &Ledger, pipeline: i64, letter: char, version: &str) {
        let record = Record {
            project: 42,
            commit: commit(letter),
            reference: version.into(),
            is_protected: true,
            pipeline,
            job: 1,
            image: "h/app".into(),
            tag: version.into(),
            digest: release(version).digest,
            manifest: None,
            scan: None,
            at: jiff::Timestamp::new(1000 - pipeline, 0).unwrap(),
        };
        ledger.append(&record).unwrap();
    }

    #[test]
    fn an_older_pipeline_or_commit_does_not_follow_a_newer_one() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::new(folder.path());
        push(&ledger, 70, 'a', "v2");
        push(&ledger, 77, 'b', "v3");
        push(&ledger, 78, 'd', "v5");
        push(&ledger, 79, 'b', "v3");
        let newest = brought_out("v3", 77);
        let follows = |pipeline, letter, version| {
            let (grant, release) = (grant(pipeline, letter), release(version));
            let candidate = Candidate {
                grant: &grant,
                release: &release,
            };
            candidate.follows(&[&newest], &ledger)
        };
        // A retry of the old pipeline; then a new pipeline of the old tag.
        let failure = follows(70, 'a', "v2").unwrap_err();
        assert_eq!(failure.code(), Some(JobCode::Refused));
        let text = failure.to_string();
        assert!(text.contains("v2 is older than v3"), "{text}");
        assert!(follows(80, 'a', "v2").is_err());
        assert!(follows(80, 'c', "v4").is_ok());
        // Built before the one that is out, by the later pipeline of the same branch.
        assert!(follows(78, 'd', "v5").is_ok());
        // The very release that runs is no step back.
        assert!(follows(70, 'b', "v3").is_ok());
    }

    #[test]
    fn of_commits_with_one_digest_the_pipeline_says_which_is_out() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::new(folder.path());
        push(&ledger, 70, 'a', "v2");
        push(&ledger, 75, 'c', "v4");
        push(&ledger, 77, 'b', "v2");
        let newest = brought_out("v2", 77);
        let (grant, release) = (grant(80, 'c'), release("v4"));
        let candidate = Candidate {
            grant: &grant,
            release: &release,
        };
        let failure = candidate.follows(&[&newest], &ledger).unwrap_err();
        let text = failure.to_string();
        assert!(text.contains("first built by pipeline 75"), "{text}");
        // Brought out by the other commit, it is older.
        let newest = brought_out("v2", 70);
        assert!(candidate.follows(&[&newest], &ledger).is_ok());
    }

    /// A run of `version` that found `before` on its host.
    fn went_back(version: &str, pipeline: i64, before: &str) -> Run {
        let reference = release(before).reference();
        let captured = Event::Captured {
            host: "app-1".into(),
            weight: None,
            found: None,
            member: None,
            previous: Some(Container {
                id: "c".into(),
                reference: reference.clone(),
                image: before.into(),
                digests: vec![reference],
                is_running: true,
                is_paused: false,
                health: Health::Healthy,
                restarts: 0,
            }),
            is_outdated: false,
        };
        let mut run = brought_out(version, pipeline);
        run.id = format!("back to {version}");
        run.cause = Cause::Rollback {
            by: Some("lin".into()),
        };
        run.apply(&captured);
        run
    }

    #[test]
    fn what_somebody_went_back_from_does_not_come_back_unasked_and_what_is_newer_does() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::new(folder.path());
        for (pipeline, letter, version) in [(70, 'a', "v1"), (75, 'b', "v2"), (77, 'c', "v3")] {
            push(&ledger, pipeline, letter, version);
        }
        push(&ledger, 80, 'd', "v4");
        let (v1, v2, v3) = (
            brought_out("v1", 70),
            brought_out("v2", 75),
            brought_out("v3", 77),
        );
        // From v3 to v2, and from there to v1.
        let first = went_back("v2", 75, "v3");
        let second = went_back("v1", 70, "v2");
        let check =
            |runs: &[&Run], (pipeline, letter, version): (i64, char, &str), expect: &str| {
                let (grant, release) = (grant(pipeline, letter), release(version));
                let candidate = Candidate {
                    grant: &grant,
                    release: &release,
                };
                let followed = candidate.follows(runs, &ledger);
                let text = followed.map_or_else(|failure| failure.to_string(), |_| "passes".into());
                assert!(text.contains(expect), "{version} of {pipeline}: {text}");
            };
        let once = [&first, &v3, &v2, &v1];
        let twice = [&second, &first, &v3, &v2, &v1];
        for runs in [&once[..], &twice] {
            // The pipeline of what was left is retried; its tag gets another pipeline.
            check(runs, (77, 'c', "v3"), "v3 is not newer than v3");
            check(
                runs,
                (80, 'c', "v3"),
                "dockmaster rollout rollback production v3",
            );
            check(runs, (80, 'd', "v4"), "passes");
        }
        check(&twice, (75, 'b', "v2"), "took production back from");
        check(&once, (75, 'b', "v2"), "passes");
        check(&once, (70, 'a', "v1"), "older");
        // Deployed since: what was left is older than that.
        let v4 = brought_out("v4", 80);
        check(&[&v4, &first, &v3], (77, 'c', "v3"), "v3 is older than v4");
        check(&[&v4, &first, &v3], (81, 'e', "v5"), "passes");
        // Brought out again on purpose.
        let forth = went_back("v3", 77, "v2");
        check(&[&forth, &first, &v3], (77, 'c', "v3"), "passes");
    }
}
