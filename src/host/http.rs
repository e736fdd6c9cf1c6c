//! The environment's own question to a host, over HTTP from this server, and what its answer says.

use std::time::Duration;

use reqwest::{Client, header, redirect::Policy};
use url::Url;

use super::error::RemoteError;
use crate::lang::both;
use crate::{
    config::{Environment, HostEntry, Probe},
    failure, tls,
};

/// How long one question may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How much of an answer is read.
const BODY: usize = 64 * 1024;

/// The environment's own question to each host.
pub(super) struct Http {
    client: Client,
    url: Url,
    expect: Probe,
}

impl Http {
    /// Connects to nothing. `port` is the one that is asked in any case.
    pub(super) fn open(
        environment: &Environment,
        host: &HostEntry,
        port: Option<u16>,
    ) -> Result<Option<Self>, RemoteError> {
        let Some(expect) = environment.probe.clone() else {
            return Ok(None);
        };
        let unusable = |why: String| RemoteError::NotReady {
            host: host.name.clone(),
            why: format!("it cannot be probed ({why})"),
            advice: "look at [probe] in the environment's file".into(),
        };
        let port = port.or(expect.port);
        let port = port.unwrap_or_else(|| environment.host_port());
        let name = &host.ssh.host;
        let authority = if name.contains(':') {
            format!("[{name}]:{port}")
        } else {
            format!("{name}:{port}")
        };
        let url = format!("http://{authority}{}", expect.path);
        let url = Url::parse(&url).map_err(|error| unusable(format!("{url}: {error}")))?;
        tls::choose_ring();
        // What this server's own proxy would answer says nothing about the host.
        let client = Client::builder()
            .user_agent(concat!("dockmaster/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::none())
            .no_proxy()
            .timeout(TIMEOUT)
            .build()
            .map_err(|error| unusable(failure::chain(&error)))?;
        Ok(Some(Self {
            client,
            url,
            expect,
        }))
    }

    /// Asks once; what was wrong with the answer.
    pub(super) async fn ask(&self) -> Result<(), String> {
        let failed = |error: reqwest::Error| {
            let error = error.without_url();
            format!("GET {}: {}", self.url, failure::chain(&error))
        };
        let mut request = self.client.get(self.url.clone());
        if let Some(host) = &self.expect.host {
            request = request.header(header::HOST, host);
        }
        let mut response = request.send().await.map_err(failed)?;
        let status = response.status().as_u16();
        let mut body = Vec::new();
        while body.len() < BODY
            && let Some(part) = response.chunk().await.map_err(failed)?
        {
            body.extend_from_slice(&part);
        }
        let body = String::from_utf8_lossy(&body);
        judge(&self.expect, status, &body).map_err(|why| format!("GET {} {why}", self.url))
    }
}

/// Compares an answer with what the environment expects.
fn judge(expect: &Probe, status: u16, body: &str) -> Result<(), String> {
    match expect.status {
        Some(wanted) if status != wanted => {
            return Err(both!(
                "answers {status}, not {wanted} (probe.status)",
                "应答 {status}，应为 {wanted}（probe.status）"
            ));
        }
        None if !(200..300).contains(&status) => {
            return Err(both!("answers {status}", "应答 {status}"));
        }
        Some(_) | None => {}
    }
    match &expect.body {
        Some(text) if !body.contains(text) => Err(both!(
            "answers {status} without the text `{text}` (probe.body)",
            "应答 {status}，但没有文字 `{text}`（probe.body）"
        )),
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(keys: &str, answer: (u16, &str), expect: Result<(), &str>) {
        let probe: Probe = toml::from_str(&format!("path = \"/\"\n{keys}")).unwrap();
        let judged = judge(&probe, answer.0, answer.1);
        assert_eq!(judged.as_ref().map_err(String::as_str).copied(), expect);
    }

    #[test]
    fn an_answer_is_compared_with_what_the_environment_expects() {
        check("", (204, ""), Ok(()));
        check("", (503, "ok"), Err("answers 503"));
        check("", (302, ""), Err("answers 302"));
        check("status = 401", (401, ""), Ok(()));
        check(
            "status = 401",
            (200, ""),
            Err("answers 200, not 401 (probe.status)"),
        );
        check("body = \"v2\"", (200, "version v2"), Ok(()));
        check(
            "body = \"v2\"",
            (200, "version v1"),
            Err("answers 200 without the text `v2` (probe.body)"),
        );
    }
}
