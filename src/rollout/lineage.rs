//! Which releases were brought out one after the other, and which of them to go back to. Pure.
//!
//! Only a release that was brought out everywhere, healthy, is one to go back to.

use super::{
    journal::{Outcome, Run},
    port::Container,
};
use crate::lang::{both, word};

/// Why there is nothing to go back to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Lost {
    #[error("{}", word!("no release is known to have been brought out everywhere, so there is none to go back to", "没有任何版本曾在全部主机上发布成功，因此没有可以退回的版本"))]
    Never,
    #[error("{}", both!("{version} runs, and no release before it is known to have been brought out everywhere", "正在运行 {version}，在它之前没有在全部主机上发布成功的版本"))]
    First { version: String },
    #[error("{}", both!("`{wanted}` was never brought out; there are: {known}", "`{wanted}` 从未发布过；可选：{known}"))]
    Unknown { wanted: String, known: String },
    #[error("{}", both!("{wanted} was never brought out everywhere (run {run}: {outcome}); there are: {known}", "{wanted} 从未在全部主机上发布成功（运行 {run}：{outcome}）；可选：{known}"))]
    Unproven {
        wanted: String,
        run: String,
        outcome: &'static str,
        known: String,
    },
}

/// The releases that were brought out everywhere, in that order; what somebody went back from is
/// not among them any more.
#[derive(Debug)]
pub(crate) struct Lineage<'a> {
    line: Vec<&'a Run>,
    /// Every run, newest first.
    runs: Vec<&'a Run>,
}

const ALGORITHM: &str = "sha256:";
/// So many digits of a digest name it: as many as `history` shows.
const DIGITS: usize = 12;

impl<'a> Lineage<'a> {
    /// From all runs that are kept, newest first.
    pub(crate) fn new(runs: Vec<&'a Run>) -> Self {
        let mut line: Vec<&Run> = Vec::new();
        for run in runs.iter().rev().filter(|run| run.is_proven()) {
            if let Some(at) = line.iter().position(|it| it.release == run.release) {
                line.truncate(at);
            }
            // The last time counts: it may have brought other compose files.
            line.push(run);
        }
        Self { line, runs }
    }

    /// The run that brought out what to go back to. `seen` is what the hosts run: where not all of
    /// them run the newest release of the line, that is the one to go back to.
    pub(crate) fn before(&self, seen: &[Option<&Container>]) -> Result<&'a Run, Lost> {
        let [rest @ .., top] = self.line.as_slice() else {
            return Err(Lost::Never);
        };
        let is_top = |it: &Container| it.runs(&top.release);
        // A host without a container does not tell what the others are to go back from.
        let mut known = seen.iter().flatten().peekable();
        if known.peek().is_none() || !known.all(|it| is_top(it)) {
            return Ok(top);
        }
        let version = || top.release.version.clone();
        rest.last()
            .copied()
            .ok_or_else(|| Lost::First { version: version() })
    }

    /// The run that brought out a release last, by its version or the beginning of its digest.
    pub(crate) fn named(&self, wanted: &str) -> Result<&'a Run, Lost> {
        let digits = wanted.strip_prefix(ALGORITHM).unwrap_or(wanted);
        let is_wanted = |run: &&&Run| {
            let release = &run.release;
            let digest = release.digest.strip_prefix(ALGORITHM);
            let is_its = |digest: &str| digits.len() >= DIGITS && digest.starts_with(digits);
            release.version == wanted || digest.is_some_and(is_its)
        };
        let mut proven = self.runs.iter().filter(|run| run.is_proven());
        if let Some(run) = proven.find(is_wanted) {
            return Ok(run);
        }
        let (wanted_, known) = (wanted.to_owned(), self.known());
        match self.runs.iter().find(is_wanted) {
            None => Err(Lost::Unknown {
                wanted: wanted_,
                known,
            }),
            Some(run) => Err(Lost::Unproven {
                wanted: wanted_,
                run: run.id.clone(),
                outcome: told(run.outcome),
                known,
            }),
        }
    }

    fn known(&self) -> String {
        let mut known: Vec<&str> = Vec::new();
        for run in self.runs.iter().filter(|run| run.is_proven()) {
            if !known.contains(&run.release.version.as_str()) {
                known.push(&run.release.version);
            }
        }
        if known.is_empty() {
            return "none".into();
        }
        known.join(", ")
    }
}

fn told(outcome: Option<Outcome>) -> &'static str {
    match outcome {
        None => word!("not ended", "未结束"),
        Some(Outcome::Done) => "done",
        Some(Outcome::Undone) => "undone",
        Some(Outcome::Stopped) => word!("stopped half-way", "中途停止"),
        Some(Outcome::Stuck) => "stuck",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::{
        journal::{Cause, Event, Owner},
        port::{Health, Release},
    };

    fn release(version: &str) -> Release {
        Release {
            image: "h/app".into(),
            digest: format!("sha256:{}", version.repeat(8)),
            version: version.into(),
        }
    }

    fn run(version: &str, outcome: Outcome) -> Run {
        let opened = Event::Opened {
            run: format!("run of {version}"),
            release: release(version),
            owner: Owner::default(),
            hosts: vec!["app-1".into()],
            cause: Cause::Deploy,
        };
        let summary = String::new();
        Run::fold(&[opened, Event::Closed { outcome, summary }]).unwrap()
    }

    fn container(version: &str) -> Container {
        let reference = release(version).reference();
        Container {
            id: "c".into(),
            reference: reference.clone(),
            image: version.into(),
            digests: vec![reference],
            is_running: true,
            is_paused: false,
            health: Health::Healthy,
            restarts: 0,
        }
    }

    /// `told` are the versions in the order in which they were brought out; `!` marks one that failed.
    #[track_caller]
    fn check(told: &str, seen: [&str; 2], expect: &str) {
        let mut runs: Vec<_> = told
            .split(' ')
            .filter(|version| !version.is_empty())
            .map(|version| match version.strip_suffix('!') {
                Some(version) => run(version, Outcome::Undone),
                None => run(version, Outcome::Done),
            })
            .collect();
        runs.reverse();
        let seen = seen.map(|version| (version != "-").then(|| container(version)));
        let seen: Vec<_> = seen.iter().map(Option::as_ref).collect();
        let found = Lineage::new(runs.iter().collect()).before(&seen);
        let found = found.map_or_else(|lost| lost.to_string(), |run| run.release.version.clone());
        assert!(found.contains(expect), "{found}");
    }

    #[test]
    fn the_way_back_leads_to_the_release_before_and_never_to_one_that_was_left() {
        check("v1 v2", ["v2", "v2"], "v1");
        check("v1 v2 v3!", ["v2", "v2"], "v1");
        check("v1 v2 v2", ["v2", "v2"], "v1");
        // Back to v1, and once more: v2 was left for a reason.
        check("v0 v1 v2 v1", ["v1", "v1"], "v0");
        check("v1 v2 v1 v3", ["v3", "v3"], "v1");
    }

    #[test]
    fn of_a_release_the_run_that_brought_it_out_last_is_the_one_to_go_back_to() {
        let named = |id: &str, version| {
            let mut run = run(version, Outcome::Done);
            run.id = id.into();
            run
        };
        let runs = [named("3", "v2"), named("2", "v1"), named("1", "v1")];
        let seen = container("v2");
        let lineage = Lineage::new(runs.iter().collect());
        assert_eq!(lineage.before(&[Some(&seen)]).unwrap().id, "2");
    }

    #[test]
    fn where_not_all_run_the_newest_one_that_was_proven_it_is_that_one() {
        check("v1 v2 v3!", ["v3", "v2"], "v2");
        check("v1", ["v2", "v2"], "v1");
        let runs = [run("v1", Outcome::Done)];
        let lineage = Lineage::new(runs.iter().collect());
        assert_eq!(lineage.before(&[None]).unwrap().release.version, "v1");
        check("v1 v2", ["v2", "-"], "v1");
    }

    #[test]
    fn nothing_to_go_back_to_is_said() {
        check("", ["v1", "v1"], "no release is known");
        check("v1! v2!", ["v1", "v1"], "no release is known");
        check("v0! v1", ["v1", "v1"], "v1 runs, and no release before it");
    }

    #[test]
    fn a_release_is_named_by_version_or_digest_and_must_be_proven() {
        let runs = [
            run("v3", Outcome::Stopped),
            run("v2", Outcome::Done),
            run("v1", Outcome::Done),
        ];
        let lineage = Lineage::new(runs.iter().collect());
        let named = |wanted| {
            let found = lineage.named(wanted);
            found.map_or_else(|lost| lost.to_string(), |run| run.release.version.clone())
        };
        assert_eq!(named("v1"), "v1");
        assert_eq!(named("sha256:v2v2v2v2v2v2"), "v2");
        assert_eq!(named("v2v2v2v2v2v2v2"), "v2");
        assert!(named("v2v2").contains("never brought out"));
        assert_eq!(named("v9"), "`v9` was never brought out; there are: v2, v1");
        assert_eq!(
            named("sha256:"),
            "`sha256:` was never brought out; there are: v2, v1"
        );
        assert_eq!(
            named("v3"),
            "v3 was never brought out everywhere (run run of v3: stopped half-way); there are: v2, v1"
        );
    }
}
