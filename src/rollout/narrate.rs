//! How a rollout speaks to people: durations, weights, releases, and the markers that
//! fold a part of a GitLab job log away. Pure text.

use std::time::Duration;

use super::{
    journal::{Cause, Outcome, Owner, Run},
    state::{Container, Health, Release},
};
use crate::{
    lang::{both, word},
    paint,
};

/// `3.4 s`, `2 min 5 s`.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds < 60 {
        let seconds = duration.as_secs_f64();
        return both!("{seconds:.1} s", "{seconds:.1} 秒");
    }
    let (minutes, seconds) = (seconds / 60, seconds % 60);
    both!("{minutes} min {seconds} s", "{minutes} 分 {seconds} 秒")
}

/// `1 host`, `3 hosts`.
pub(crate) fn hosts(number: usize) -> String {
    let plural = plural(number == 1);
    both!("{number} host{plural}", "{number} 台主机")
}

/// `1 connection`, `3 connections`.
pub(crate) fn connections(number: u64) -> String {
    let plural = plural(number == 1);
    both!("{number} connection{plural}", "{number} 个连接")
}

fn plural(is_one: bool) -> &'static str {
    if is_one { "" } else { "s" }
}

/// What a host runs that runs no release.
pub(crate) fn nothing() -> &'static str {
    word!("nothing", "无")
}

/// Who wanted a run.
pub(crate) fn asker(cause: &Cause, owner: Owner) -> String {
    match (cause, owner.job) {
        (Cause::Rollback { by: Some(name) }, _) => name.clone(),
        (_, 0) => word!("an operator", "运维人员").into(),
        (_, job) => both!("job {job}", "任务 {job}"),
    }
}

/// How a run ended, in a word or two.
pub(crate) fn ended(run: &Run) -> &'static str {
    match run.outcome {
        None if run.stuck.is_some() => word!("stuck, open", "卡住，未结束"),
        None => word!("open", "未结束"),
        Some(Outcome::Done) => word!("done", "已完成"),
        Some(Outcome::Undone) if !run.is_begun() => word!("never begun", "从未开始"),
        Some(Outcome::Undone) => word!("undone", "已撤销"),
        Some(Outcome::Stopped) => word!("stopped", "已停止"),
        Some(Outcome::Stuck) => word!("taken over", "已被接管"),
    }
}

/// What the engine says of a container.
pub(crate) fn health(health: Health) -> &'static str {
    match health {
        Health::Starting => word!("starting", "启动中"),
        Health::Healthy => word!("healthy", "健康"),
        Health::Unhealthy => word!("unhealthy", "不健康"),
        Health::None => word!("no health check", "无健康检查"),
    }
}

/// `v1 -> v2`, or one of both where they are the same.
pub(crate) fn change(before: &str, after: &str) -> String {
    if before == after {
        return before.to_owned();
    }
    format!("{before} -> {after}")
}

/// How often something was done.
pub(crate) fn times(number: usize) -> String {
    match number {
        0 => word!("no", "否").into(),
        1 => word!("yes", "是").into(),
        number => both!("{number} times", "{number} 次"),
    }
}

/// The heads of the table that a rollout ends with.
pub(crate) fn heads() -> [&'static str; 7] {
    [
        word!("host", "主机"),
        word!("release", "版本"),
        word!("weight", "权重"),
        word!("drained", "排空用时"),
        word!("restarted", "重启"),
        word!("health", "健康"),
        word!("connections cut", "被断开的连接"),
    ]
}

/// A line without its colours.
pub(crate) fn plain(line: &str) -> String {
    let mut plain = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        plain.push_str(before);
        let end = after.find(|c: char| c.is_ascii_alphabetic());
        rest = end.and_then(|end| after.get(end + 1..)).unwrap_or("");
    }
    plain + rest
}

/// Rows as lines, their cells in columns.
pub(crate) fn columns(rows: &[Vec<String>]) -> Vec<String> {
    let count = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |at: usize| {
        let cells = rows.iter().filter_map(|row| row.get(at));
        cells
            .map(|cell| self::width(cell))
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<_> = (0..count).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths);
        let cells: Vec<_> = cells
            .map(|(cell, wide)| format!("{cell}{}", " ".repeat(wide - self::width(cell))))
            .collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// How many columns a text takes in a terminal: Chinese signs take two.
fn width(text: &str) -> usize {
    let is_wide = |sign: char| {
        matches!(sign, '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}'
            | '\u{f900}'..='\u{faff}' | '\u{fe30}'..='\u{fe6f}' | '\u{ff00}'..='\u{ff60}' | '\u{ffe0}'..='\u{ffe6}')
    };
    text.chars()
        .map(|sign| 1 + usize::from(is_wide(sign)))
        .sum()
}

/// The line that opens a foldable section of a GitLab job log, with its title.
pub(crate) fn section_start(unix: u64, name: &str, title: &str) -> String {
    format!(
        "section_start:{unix}:{name}\r\u{1b}[0K{}",
        paint::bold(title)
    )
}

/// The line that closes it.
pub(crate) fn section_end(unix: u64, name: &str) -> String {
    format!("section_end:{unix}:{name}\r\u{1b}[0K")
}

/// What people call what a container runs: a version where it is known, else tag or digest.
pub(crate) fn release_of(container: &Container, versions: &[Release]) -> String {
    if let Some(known) = versions.iter().find(|release| container.runs(release)) {
        return known.version.clone();
    }
    let reference = &container.reference;
    if let Some((_, digest)) = reference.split_once("sha256:") {
        return format!("sha256:{}", digest.get(..12).unwrap_or(digest));
    }
    let name = reference.rsplit('/').next().unwrap_or(reference);
    name.rsplit_once(':')
        .map_or(name, |(_, tag)| tag)
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::state::Health;

    #[test]
    fn durations_read_as_people_say_them() {
        assert_eq!(duration(Duration::from_millis(3_420)), "3.4 s");
        assert_eq!(duration(Duration::from_secs(125)), "2 min 5 s");
    }

    #[test]
    fn cells_stand_in_columns_whatever_they_are_written_in() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let rows = [row(["host", "release", "x"]), row(["应用-1", "v1", ""])];
        assert_eq!(columns(&rows), ["host    release  x", "应用-1  v1"]);
    }

    #[test]
    fn a_release_is_named_by_version_then_tag_then_digest() {
        let mut container = Container {
            id: "c".into(),
            reference: "harbor.example.com:443/test/app:v1.0.0".into(),
            image: "sha256:1".into(),
            digests: vec!["harbor/app@sha256:0123456789abcdef".into()],
            is_running: true,
            is_paused: false,
            health: Health::Healthy,
            restarts: 0,
        };
        assert_eq!(release_of(&container, &[]), "v1.0.0");
        container.reference = "harbor/app@sha256:0123456789abcdef".into();
        assert_eq!(release_of(&container, &[]), "sha256:0123456789ab");
        let known = Release {
            image: "harbor/app".into(),
            digest: "sha256:0123456789abcdef".into(),
            version: "v0.9".into(),
        };
        assert_eq!(release_of(&container, &[known]), "v0.9");
    }
}
