//! What a container said last: the end of its log, and its health check's last answer.

use std::time::Duration;

use bollard::{
    Docker, container::LogOutput, models::HealthcheckResult, query_parameters::LogsOptionsBuilder,
};
use futures_util::TryStreamExt;
use tokio::time::timeout;

use super::{Host, RemoteError};
use crate::lang::both;
use crate::rollout::port::Slot;

/// How many lines of the log are told, and how many of the health check's answer.
const LINES: usize = 20;
const CHECK_LINES: usize = 5;
/// Longer lines are cut here.
const WIDTH: usize = 400;
/// How long the log may take to come.
const LIMIT: Duration = Duration::from_secs(10);

impl Host {
    /// Short lines for people; none where there is no container.
    pub(super) async fn words(&self, slot: Slot) -> Result<Vec<String>, RemoteError> {
        let (own, second) = self.instances().await?;
        let found = match slot {
            Slot::Own => own,
            Slot::Bridge => second,
        };
        let Some(id) = found.current() else {
            return Ok(Vec::new());
        };
        let mut words = self.log(id).await?;
        let inspected = self.inspect(id).await?;
        let health = inspected.and_then(|it| it.state?.health?.log?.pop());
        words.extend(health.into_iter().flat_map(|it| checked(&it)));
        Ok(words)
    }

    async fn log(&self, id: &str) -> Result<Vec<String>, RemoteError> {
        let options = LogsOptionsBuilder::new()
            .stdout(true)
            .stderr(true)
            .tail(&LINES.to_string())
            .build();
        let read = async |docker: &Docker| {
            let parts = docker.logs(id, Some(options.clone()));
            let parts = timeout(LIMIT, parts.try_collect::<Vec<_>>()).await;
            // A log that does not end in time is told as far as nothing: the verdict does not need it.
            parts.unwrap_or_else(|_| Ok(Vec::new()))
        };
        let parts: Vec<LogOutput> = self.engine("read the container's log", read).await?;
        let text: Vec<u8> = parts.into_iter().flat_map(LogOutput::into_bytes).collect();
        Ok(last_lines(&text, LINES)
            .map(|line| format!("log: {line}"))
            .collect())
    }
}

fn checked(result: &HealthcheckResult) -> Vec<String> {
    let code = result.exit_code.unwrap_or(0);
    let output = result.output.as_deref().unwrap_or_default();
    let mut lines = vec![both!(
        "its last health check ended with {code}",
        "最近一次健康检查以 {code} 结束"
    )];
    lines.extend(last_lines(output.as_bytes(), CHECK_LINES).map(|line| format!("check: {line}")));
    lines
}

/// The last lines that hold anything, without what a terminal or GitLab would act on.
fn last_lines(text: &[u8], count: usize) -> impl Iterator<Item = String> {
    let text = String::from_utf8_lossy(text).into_owned();
    let mut lines: Vec<String> = text
        .split(['\n', '\r'])
        .filter(|line| !line.trim().is_empty())
        .map(|line| {
            let plain = |c: char| if c.is_control() { '\u{fffd}' } else { c };
            line.chars().take(WIDTH).map(plain).collect()
        })
        .collect();
    lines
        .split_off(lines.len().saturating_sub(count))
        .into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_told_and_do_nothing() {
        let text = b"one\n\ntwo\r\n\x1b[31mthree\x1b[0m\nsection_start:1:x\r\x1b[0K\xff\n";
        let lines: Vec<_> = last_lines(text, 4).collect();
        assert_eq!(
            lines,
            [
                "two",
                "\u{fffd}[31mthree\u{fffd}[0m",
                "section_start:1:x",
                "\u{fffd}[0K\u{fffd}"
            ]
        );
        let long = "x".repeat(WIDTH + 1);
        assert_eq!(last_lines(long.as_bytes(), 1).next().unwrap().len(), WIDTH);
    }

    #[test]
    fn a_health_check_s_answer_is_told_with_its_code() {
        let result = HealthcheckResult {
            exit_code: Some(22),
            output: Some("curl: 503\n".into()),
            ..Default::default()
        };
        assert_eq!(
            checked(&result),
            ["its last health check ended with 22", "check: curl: 503"]
        );
    }
}
