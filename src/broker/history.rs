//! `dockmaster rollout history`: what was brought to an environment, when, by whom, and how that ended.

use std::time::Duration;

use jiff::{Timestamp, tz::TimeZone};
use serde::Serialize;

use super::{open, output::Output, stream};
use crate::lang::both;
use crate::{
    config::Config,
    failure::{self, Failure},
    rollout::{
        journal::{Cause, Outcome},
        narrate,
        port::Narrator,
    },
    store::{History, Past, Runs},
};

/// Of what `--json` writes.
const FORMAT: u32 = 1;

/// Says it line by line, newest first. `true` when every journal could be read.
pub(super) fn history(config: &Config, name: &str, is_json: bool) -> Result<bool, Failure> {
    config.environment(name)?;
    let history = Runs::new(&config.state_dir, name).history()?;
    if is_json {
        for past in &history.past {
            let line = serde_json::to_string(&Entry::new(name, past)).map_err(Failure::system)?;
            stream::tell_admin(&line);
        }
    } else {
        tell(&history, name);
    }
    Ok(history.unknown.is_none())
}

fn tell(history: &History, name: &str) {
    let zone = TimeZone::system();
    for line in table(&history.past, &zone) {
        stream::tell_admin(&line);
    }
    if history.past.is_empty() {
        stream::tell_admin(&both!(
            "nothing was brought to {name} yet",
            "{name} 还没有发布过任何版本"
        ));
    }
    open::tell_damaged(history, &Output::Admin);
    if let Some(error) = &history.unknown {
        let why = failure::chain(error);
        Output::Admin.say(&both!(
            "{why}; its rollout may be open",
            "{why}；那次发布可能还没结束"
        ));
    }
}

/// One run as JSON: one object a line.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Entry<'a> {
    format: u32,
    environment: &'a str,
    run: &'a str,
    began: Timestamp,
    /// `None` while it is open.
    ended: Option<Timestamp>,
    version: &'a str,
    image: &'a str,
    digest: &'a str,
    is_rollback: bool,
    /// The account that asked for the rollback, where it is known.
    by: Option<&'a str>,
    project: i64,
    pipeline: i64,
    /// 0 for an operator.
    job: i64,
    /// `None` while it is open.
    outcome: Option<Outcome>,
    is_begun: bool,
    summary: &'a str,
}

impl<'a> Entry<'a> {
    fn new(environment: &'a str, past: &'a Past) -> Self {
        let run = &past.run;
        Self {
            format: FORMAT,
            environment,
            run: &run.id,
            began: past.began,
            ended: (!run.is_open()).then_some(past.last),
            version: &run.release.version,
            image: &run.release.image,
            digest: &run.release.digest,
            is_rollback: run.cause.is_rollback(),
            by: match &run.cause {
                Cause::Rollback { by } => by.as_deref(),
                Cause::Deploy => None,
            },
            project: run.owner.project,
            pipeline: run.owner.pipeline,
            job: run.owner.job,
            outcome: run.outcome,
            is_begun: run.is_begun(),
            summary: &past.summary,
        }
    }
}

/// A line a run, in columns.
fn table(past: &[Past], zone: &TimeZone) -> Vec<String> {
    let rows: Vec<_> = past.iter().map(|past| cells(past, zone)).collect();
    narrate::columns(&rows)
}

fn cells(past: &Past, zone: &TimeZone) -> Vec<String> {
    let run = &past.run;
    let digest = run.release.digest.trim_start_matches("sha256:");
    let took = Duration::try_from(past.last.duration_since(past.began)).unwrap_or_default();
    let (version, asker) = (&run.release.version, narrate::asker(&run.cause, run.owner));
    let is_rollback = run.cause.is_rollback();
    vec![
        zone.to_datetime(past.began)
            .strftime("%Y-%m-%d %H:%M:%S")
            .to_string(),
        if is_rollback {
            both!("back to {version}", "回滚到 {version}")
        } else {
            version.clone()
        },
        digest.get(..12).unwrap_or(digest).to_owned(),
        if is_rollback || run.owner.job == 0 {
            asker
        } else {
            both!(
                "{asker} of pipeline {}",
                "{asker}（流水线 {}）",
                run.owner.pipeline
            )
        },
        narrate::ended(run).to_owned(),
        narrate::duration(took),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::{
        journal::{Event, Owner, Run},
        port::Release,
    };

    fn past(version: &str, cause: Cause, events: &[Event]) -> Past {
        let opened = Event::Opened {
            run: format!("run-{version}"),
            release: Release {
                image: "h/app".into(),
                digest: format!("sha256:{}", "0123456789abcdef".repeat(4)),
                version: version.into(),
            },
            owner: Owner {
                project: 42,
                pipeline: 7,
                job: if cause.is_rollback() { 0 } else { 17 },
            },
            hosts: vec!["app-1".into()],
            cause,
        };
        let captured = Event::Captured {
            host: "app-1".into(),
            weight: None,
            found: None,
            member: None,
            previous: None,
            is_outdated: false,
        };
        let run = Run::fold([&opened, &captured].into_iter().chain(events)).unwrap();
        Past {
            run,
            began: Timestamp::new(1_700_000_000, 0).unwrap(),
            last: Timestamp::new(1_700_000_064, 500_000_000).unwrap(),
            summary: "as it ended".into(),
            events: Vec::new(),
        }
    }

    fn closed(outcome: Outcome) -> Event {
        let summary = String::new();
        Event::Closed { outcome, summary }
    }

    #[test]
    fn a_line_says_when_what_who_how_and_how_long() {
        let by = Some("lin".into());
        let runs = [
            past("v10", Cause::Deploy, &[]),
            past("v1", Cause::Rollback { by }, &[closed(Outcome::Done)]),
            past("v2", Cause::Deploy, &[closed(Outcome::Undone)]),
        ];
        let zone = TimeZone::fixed(jiff::tz::offset(8));
        assert_eq!(
            table(&runs, &zone),
            [
                "2023-11-15 06:13:20  v10         0123456789ab  job 17 of pipeline 7  open    1 min 4 s",
                "2023-11-15 06:13:20  back to v1  0123456789ab  lin                   done    1 min 4 s",
                "2023-11-15 06:13:20  v2          0123456789ab  job 17 of pipeline 7  undone  1 min 4 s",
            ]
        );
    }

    #[test]
    fn one_that_is_open_has_no_end_in_json() {
        let open = past("v1", Cause::Deploy, &[]);
        let json = serde_json::to_value(Entry::new("production", &open)).unwrap();
        assert_eq!(json["format"], 1);
        assert_eq!(json["ended"], serde_json::Value::Null);
        assert_eq!(json["outcome"], serde_json::Value::Null);
        let by = Some("lin".into());
        let ended = past("v1", Cause::Rollback { by }, &[closed(Outcome::Done)]);
        let json = serde_json::to_value(Entry::new("production", &ended)).unwrap();
        assert_eq!(json["ended"], "2023-11-14T22:14:24.5Z");
        assert_eq!(json["outcome"], "done");
        assert_eq!(
            (&json["is-rollback"], &json["by"]),
            (&true.into(), &"lin".into())
        );
    }
}
