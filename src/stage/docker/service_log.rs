//! `CI_DEBUG_SERVICES`: what services write, in the job's log while it is written.
//!
//! Each call of the driver goes on where the last one ended, and ends with its work: nothing runs between calls. The
//! runner hides in these lines what it hides everywhere.

use std::{
    cell::RefCell, collections::BTreeMap, fs, io::Write, os::unix::fs::OpenOptionsExt, pin::pin,
    time::Duration,
};

use futures_util::{StreamExt, future::join_all};
use serde::{Deserialize, Serialize};
use tokio::{
    select,
    sync::watch,
    time::{Instant, timeout_at},
};

use super::job::DockerJob;
use crate::docker::{
    line::{Line, Wanted},
    name::{self, Role},
};

/// The variable by which a job asks for it.
const SWITCH: &str = "CI_DEBUG_SERVICES";
/// The most of one service in the log of one job: what the job itself says must find room there.
const MOST: usize = 1 << 20;
/// How long the last lines are looked for once the work is done.
const LAST: Duration = Duration::from_secs(2);

/// A service whose lines are shown.
pub(super) struct Speaker {
    pub(super) id: String,
    /// All its names, with `-` between.
    pub(super) names: String,
}

/// How far the lines of a service were shown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Shown {
    /// The time of the last one.
    until: String,
    /// How many of that time.
    same: usize,
    bytes: usize,
}

impl Shown {
    /// From when on the engine is asked.
    fn since(&self) -> i32 {
        let last: Option<jiff::Timestamp> = self.until.parse().ok();
        last.and_then(|last| last.as_second().try_into().ok())
            .unwrap_or(0)
    }

    /// Whether a line is to be shown; what was shown before comes again where the engine is asked anew, `seen` of the last
    /// time among it.
    fn takes(&mut self, line: &Line, from: &str, seen: &mut usize) -> bool {
        if line.at.as_str() < from {
            return false;
        }
        if line.at == from && *seen > 0 {
            *seen -= 1;
            return false;
        }
        if line.at > self.until {
            self.until.clone_from(&line.at);
            self.same = 0;
        }
        self.same += 1;
        true
    }

    /// The line as the log has it; nothing beyond the most of a service.
    fn write(&mut self, names: &str, line: &Line) -> Option<Vec<u8>> {
        if self.bytes >= MOST {
            return None;
        }
        self.bytes += line.text.len() + 1;
        let mut text = format!("[service:{names}] {} ", line.at).into_bytes();
        if self.bytes >= MOST {
            text.extend(b"further lines of this service are left out");
        } else {
            text.extend(&line.text);
        }
        text.push(b'\n');
        Some(text)
    }
}

/// Whether a job asks for it, or the word that is neither yes nor no.
fn asked(word: Option<&str>) -> Result<bool, &str> {
    match word {
        Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
        None | Some("" | "0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(false),
        Some(other) => Err(other),
    }
}

impl DockerJob<'_> {
    /// Says once why a job that asks for the lines of its services does not get them.
    pub(super) async fn explain_service_lines(&self) {
        let why = match asked(self.switch()) {
            Err(word) => {
                format!("{SWITCH} is `{word}`, which is neither true nor false: it counts as false")
            }
            Ok(true) if !self.lane.debug_services => {
                format!("{SWITCH} counts for nothing on this lane (debug-services = false)")
            }
            Ok(_) => return,
        };
        self.context.log.warn(&why).await;
    }

    fn switch(&self) -> Option<&str> {
        self.context
            .call
            .job_environ
            .get(SWITCH)
            .map(String::as_str)
    }

    /// The services of a job that runs.
    pub(super) fn speakers(&self) -> Vec<Speaker> {
        let services = self.containers_of(Role::Service);
        let speaker = |it: &crate::docker::engine::Object| Speaker {
            id: it.id.clone(),
            names: it.label(name::NAMES).to_owned(),
        };
        services.map(speaker).collect()
    }

    /// Does some work; where the job asks for it, with the lines of its services beside.
    pub(super) async fn beside_services<T>(
        &self,
        speakers: &[Speaker],
        work: impl Future<Output = T>,
    ) -> T {
        let is_asked = self.lane.debug_services && asked(self.switch()) == Ok(true);
        if !is_asked || speakers.is_empty() {
            return work.await;
        }
        let known = self.read_shown();
        let all: Vec<(&Speaker, RefCell<Shown>)> = speakers
            .iter()
            .map(|it| {
                (
                    it,
                    RefCell::new(known.get(&it.id).cloned().unwrap_or_default()),
                )
            })
            .collect();
        let (done, is_done) = watch::channel(false);
        let follow = join_all(
            all.iter()
                .map(|(speaker, shown)| self.follow(speaker, shown, is_done.clone())),
        );
        let work = async {
            let result = work.await;
            self.context.log.end_line().await;
            done.send_replace(true);
            result
        };
        let (result, _) = tokio::join!(work, follow);
        let shown = all
            .into_iter()
            .map(|(speaker, shown)| (speaker.id.clone(), shown.into_inner()));
        self.write_shown(&shown.collect());
        result
    }

    /// Shows lines until the work is done, then those that were written before.
    async fn follow(
        &self,
        speaker: &Speaker,
        shown: &RefCell<Shown>,
        mut is_done: watch::Receiver<bool>,
    ) {
        if !self.show(speaker, shown, Some(&mut is_done)).await {
            return;
        }
        self.show(speaker, shown, None).await;
    }

    /// Shows what comes; whether more may be shown.
    async fn show(
        &self,
        speaker: &Speaker,
        shown: &RefCell<Shown>,
        mut is_done: Option<&mut watch::Receiver<bool>>,
    ) -> bool {
        let (from, mut seen) = {
            let known = shown.borrow();
            (known.until.clone(), known.same)
        };
        let wanted = Wanted {
            since: shown.borrow().since(),
            is_live: is_done.is_some(),
        };
        let mut lines = pin!(self.engine.lines(&speaker.id, wanted));
        let end = Instant::now() + LAST;
        loop {
            let line = match &mut is_done {
                // Only between two lines: half a line could end in the middle of what the runner hides.
                Some(is_done) => select! {
                    line = lines.next() => line,
                    _ = is_done.wait_for(|is_done| *is_done) => return true,
                },
                None => timeout_at(end, lines.next()).await.ok().flatten(),
            };
            let line = match line {
                Some(Ok(line)) => line,
                Some(Err(error)) => {
                    tracing::warn!(%error, service = speaker.names, "its lines are not shown");
                    return false;
                }
                // A service that has ended is asked once more, because nothing follows it.
                None => return true,
            };
            if !shown.borrow_mut().takes(&line, &from, &mut seen) {
                continue;
            }
            let text = shown.borrow_mut().write(&speaker.names, &line);
            match text {
                Some(text) => self.context.log.beside(&text).await,
                None => return false,
            }
        }
    }

    fn read_shown(&self) -> BTreeMap<String, Shown> {
        // The first call finds nothing, and what cannot be read is shown again.
        let bytes = fs::read(self.context.shown()).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    fn write_shown(&self, shown: &BTreeMap<String, Shown>) {
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let written = serde_json::to_vec(shown)
            .map_err(Into::into)
            .and_then(|bytes| options.open(self.context.shown())?.write_all(&bytes));
        if let Err(error) = written {
            let error: std::io::Error = error;
            tracing::warn!(%error, "lines of services may be shown twice");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(at: &str, text: &str) -> Line {
        Line {
            at: at.to_owned(),
            text: text.as_bytes().to_vec(),
        }
    }

    #[test]
    fn a_later_call_goes_on_where_the_last_one_ended() {
        let all = [
            line("1", "a"),
            line("2", "b"),
            line("2", "c"),
            line("2", "d"),
            line("3", "e"),
        ];
        let mut shown = Shown::default();
        let mut take = |count: usize| -> Vec<String> {
            let (from, mut seen) = (shown.until.clone(), shown.same);
            let new = all[..count]
                .iter()
                .filter(|line| shown.takes(line, &from, &mut seen));
            new.map(|line| String::from_utf8_lossy(&line.text).into_owned())
                .collect()
        };
        assert_eq!(take(0), [""; 0]);
        assert_eq!(take(3), ["a", "b", "c"]);
        assert_eq!(take(5), ["d", "e"]);
        assert_eq!(take(5), [""; 0]);
    }

    #[test]
    fn a_service_that_floods_the_log_is_cut_and_that_is_said() {
        let mut shown = Shown::default();
        let long = line("1", &"x".repeat(MOST / 2));
        let texts: Vec<_> = std::iter::repeat_with(|| shown.write("db", &long))
            .take(4)
            .collect();
        assert!(
            texts[0]
                .as_ref()
                .is_some_and(|text| text.starts_with(b"[service:db] 1 xxx"))
        );
        assert!(
            texts[1]
                .as_ref()
                .is_some_and(|text| text.ends_with(b"are left out\n") && text.len() < 100)
        );
        assert_eq!(texts[2..], [None, None]);
    }

    #[test]
    fn a_word_that_is_neither_yes_nor_no_is_told() {
        assert_eq!(
            (asked(Some("True")), asked(Some("0")), asked(None)),
            (Ok(true), Ok(false), Ok(false))
        );
        assert_eq!(asked(Some("yes")), Err("yes"));
    }

    #[test]
    fn the_engine_is_asked_from_the_second_of_the_last_line_on() {
        let shown = |until: &str| {
            Shown {
                until: until.to_owned(),
                ..Shown::default()
            }
            .since()
        };
        assert_eq!(shown("2026-11-28T12:00:00.900000001Z"), 1_795_867_200);
        assert_eq!(shown(""), 0);
    }
}
