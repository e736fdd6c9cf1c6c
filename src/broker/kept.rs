//! Which kept compose files belong to what: to open runs, to a release that runs already, and to a release that
//! somebody goes back to.

use crate::lang::{both, word};
use crate::{
    failure::{Failure, JobCode},
    rollout::{
        engine::Earlier,
        journal::{Outcome, Run},
        port::Release,
        report::Report,
    },
    store::{ComposeFiles, Past, RunFile},
};

/// Open runs with the compose files that their releases brought. Where these are needed and gone, nobody can say
/// what a host runs.
pub(super) fn with_files(
    open: Vec<Earlier<RunFile>>,
    kept: &ComposeFiles,
) -> Result<Vec<Earlier<RunFile>>, Failure> {
    let with = |earlier: Earlier<RunFile>| {
        let files = kept.read(&earlier.run.id)?;
        let mut captured = earlier.run.captured.values();
        if files.is_empty() && captured.any(|captured| captured.is_outdated) {
            let text = both!(
                "run {} is open and changes compose files alone, and those of its release are not kept any more",
                "运行 {} 未结束且只更换 compose 文件，而该版本的文件已不再保存",
                earlier.run.id
            );
            let hint = word!(
                "make files, containers and weights right by hand, then move that run's journal away",
                "请手动恢复文件、容器和权重，再移走该运行的日志文件"
            );
            return Err(Failure::build(JobCode::Stuck, text).hint(hint));
        }
        Ok(Earlier { files, ..earlier })
    };
    open.into_iter().map(with).collect()
}

/// The run that keeps the files of a release that all hosts were found to run already, for a rollback: the newest
/// that brought it out. A rollout that had nothing to do is no run.
pub(super) fn heir<'a>(report: &Report, release: &Release, past: &'a [Past]) -> Option<&'a str> {
    if report.outcome != Outcome::Done || !report.hosts.is_empty() {
        return None;
    }
    let mut proven = past
        .iter()
        .map(|past| &past.run)
        .filter(|it| it.is_proven());
    let found = proven.find(|run| run.release.reference() == release.reference());
    found.map(|run| run.id.as_str())
}

/// Fails where a release came without compose files, and a later one has brought some: they would be the hosts' then,
/// and its image would be made a container by them.
pub(super) fn fits(target: &Run, past: &[Past], kept: &ComposeFiles) -> Result<(), Failure> {
    let later = past.iter().map(|past| &past.run);
    let later = later.take_while(|run| run.id != target.id);
    for run in later.filter(|run| run.outcome != Some(Outcome::Undone) && run.is_begun()) {
        if kept.read(&run.id)?.is_empty() {
            continue;
        }
        let (wanted, version) = (&target.release.version, &run.release.version);
        let text = both!(
            "no compose files of {wanted} are kept, and the hosts have those of {version} (run {}): its image would run with them",
            "没有保存 {wanted} 的 compose 文件，而主机上是 {version} 的文件（运行 {}）：它的镜像会用这些文件运行",
            run.id
        );
        let hint = word!(
            "deploy a commit that has the older image and its compose files; or put the older files back on every host, take compose.file out of the environment's file, and ask again",
            "请发布一个同时包含旧镜像及其 compose 文件的提交；或在每台主机上放回旧文件，从环境文件中去掉 compose.file，再执行一次"
        );
        return Err(Failure::system(text).hint(hint));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;

    use super::*;
    use crate::rollout::{
        journal::{Cause, Event, Owner},
        port::ComposeFile,
    };

    fn release(version: &str) -> Release {
        Release {
            image: "h/app".into(),
            digest: format!("sha256:{version}"),
            version: version.into(),
        }
    }

    fn past(id: &str, version: &str, outcome: Outcome) -> Past {
        let opened = Event::Opened {
            run: id.into(),
            release: release(version),
            owner: Owner::default(),
            hosts: vec!["app-1".into()],
            cause: Cause::Deploy,
        };
        let captured = Event::Captured {
            host: "app-1".into(),
            weight: None,
            found: None,
            member: None,
            previous: None,
            is_outdated: false,
        };
        let summary = String::new();
        let closed = Event::Closed { outcome, summary };
        Past {
            run: Run::fold(&[opened, captured, closed]).unwrap(),
            began: Timestamp::UNIX_EPOCH,
            last: Timestamp::UNIX_EPOCH,
            summary: String::new(),
            events: Vec::new(),
        }
    }

    fn some() -> Vec<ComposeFile> {
        vec![ComposeFile {
            path: "a.yml".into(),
            text: "services: {}".into(),
        }]
    }

    #[test]
    fn files_of_a_rollout_that_had_nothing_to_do_belong_to_the_newest_run_of_that_release() {
        let report = |outcome, reference: &str| Report {
            run: "5".into(),
            version: "v1".into(),
            reference: reference.into(),
            outcome,
            is_undone: false,
            is_recorded: true,
            summary: String::new(),
            took: Duration::ZERO,
            hosts: Vec::new(),
        };
        let all = [
            past("4", "v1", Outcome::Undone),
            past("3", "v1", Outcome::Done),
            past("2", "v2", Outcome::Done),
            past("1", "v1", Outcome::Done),
        ];
        let v1 = release("v1");
        let found = |outcome| heir(&report(outcome, &v1.reference()), &v1, &all).map(str::to_owned);
        assert_eq!(found(Outcome::Done).as_deref(), Some("3"));
        assert_eq!(found(Outcome::Stopped), None);
    }

    #[track_caller]
    fn check(outcome: Outcome, brings: &[&str], expect: &[&str]) {
        let folder = tempfile::tempdir().unwrap();
        let kept = ComposeFiles::new(folder.path(), "production");
        for run in brings {
            kept.keep(run, &some()).unwrap();
        }
        let all = [
            past("3", "v2", outcome),
            past("2", "v1", Outcome::Done),
            past("1", "v0", Outcome::Done),
        ];
        let told = fits(&all[1].run, &all, &kept);
        let text = told.map_or_else(|failure| format!("{failure:?}"), |()| String::new());
        assert_eq!(text.is_empty(), expect.is_empty(), "{text}");
        for words in expect {
            assert!(text.contains(words), "{words} is not in: {text}");
        }
    }

    #[test]
    fn an_image_of_before_runs_with_no_compose_file_of_a_later_release() {
        let refusal = [
            "no compose files of v1 are kept",
            "those of v2 (run 3)",
            "put the older files back",
        ];
        check(Outcome::Done, &["3"], &refusal);
        check(Outcome::Stopped, &["3"], &refusal);
        check(Outcome::Undone, &["3"], &[]);
        check(Outcome::Done, &["1"], &[]);
        check(Outcome::Done, &[], &[]);
    }
}
