//! What Harbor's scanner finds in an image that was just pushed.
//!
//! A project may scan each push by itself; where it does not, the scan is asked for. Knows no gate: who asks
//! decides what follows.

use std::{collections::BTreeMap, fmt, path::Path, time::Duration};

use reqwest::Method;
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use super::{call::REPORTS, client::Harbor, error::HarborError};
use crate::config::{Registry, Severity};

/// Time between two looks at a scan.
const LOOK: Duration = Duration::from_secs(2);

/// An image in Harbor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scanned<'a> {
    pub(crate) project: &'a str,
    /// The repository within its project; it may have `/`.
    pub(crate) repository: &'a str,
    pub(crate) digest: &'a str,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Findings {
    pub(crate) severity: Severity,
    /// How many there are, by severity, as Harbor calls them.
    counts: BTreeMap<String, u64>,
    /// Where a person looks.
    pub(crate) place: String,
}

/// Why nobody knows what is in an image.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScanError {
    #[error(transparent)]
    Harbor(#[from] HarborError),
    #[error(
        "Harbor has no scanner for the project {project}: have one set up there, or remove scan-wait of [registry]"
    )]
    NoScanner { project: String },
    #[error("the scan of the image ended with {status}: look at {place}, and push again")]
    Ended { status: String, place: String },
    #[error(
        "the scan of the image did not end within {wait:?} (scan-wait of [registry]): look at {place}, and push again"
    )]
    Late { wait: Duration, place: String },
}

/// An image as Harbor tells it.
#[derive(Deserialize)]
struct Artifact {
    /// By the type of the report; not there where nobody scanned.
    scan_overview: Option<BTreeMap<String, Overview>>,
}

#[derive(Deserialize)]
struct Overview {
    scan_status: String,
    severity: Option<String>,
    summary: Option<Summary>,
}

#[derive(Deserialize)]
struct Summary {
    #[serde(default)]
    summary: BTreeMap<String, u64>,
}

impl Findings {
    /// The worst first.
    fn counted(&self) -> Vec<(&str, u64)> {
        let counts = self.counts.iter().filter(|(_, count)| **count > 0);
        let mut counts: Vec<(&str, u64)> = counts.map(|(name, it)| (name.as_str(), *it)).collect();
        counts.sort_by_key(|(name, _)| std::cmp::Reverse(Severity::read(name)));
        counts
    }
}

/// `2 Critical, 5 High`.
impl fmt::Display for Findings {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.counted();
        if counts.is_empty() {
            return out.write_str("no vulnerabilities");
        }
        for (number, (name, count)) in counts.iter().enumerate() {
            let comma = if number == 0 { "" } else { ", " };
            write!(out, "{comma}{count} {name}")?;
        }
        Ok(())
    }
}

/// Waits until an image is scanned, at most so long; what was found.
pub(crate) async fn scan(
    registry: &Registry,
    account: &Path,
    image: Scanned<'_>,
    wait: Duration,
) -> Result<Findings, ScanError> {
    let harbor = Harbor::recognised(registry, account).await?;
    let place = harbor.place(image).await?;
    let end = Instant::now() + wait;
    let mut is_asked = false;
    loop {
        match harbor.overview(image).await? {
            Some(overview) => match overview.scan_status.as_str() {
                "Success" => return Ok(findings(overview, place)),
                "Error" | "Stopped" => {
                    let status = overview.scan_status;
                    return Err(ScanError::Ended { status, place });
                }
                _ => {}
            },
            None if !is_asked => {
                harbor.start_scan(image).await?;
                is_asked = true;
            }
            None => {}
        }
        if Instant::now() + LOOK > end {
            return Err(ScanError::Late { wait, place });
        }
        sleep(LOOK).await;
    }
}

fn findings(overview: Overview, place: String) -> Findings {
    Findings {
        severity: Severity::read(overview.severity.as_deref().unwrap_or_default()),
        counts: overview.summary.map(|it| it.summary).unwrap_or_default(),
        place,
    }
}

impl Harbor {
    async fn overview(&self, image: Scanned<'_>) -> Result<Option<Overview>, HarborError> {
        let query = [("with_scan_overview", "true")];
        let artifact: Artifact = self.api.get(&path(image), &query).await?;
        let reports = artifact.scan_overview;
        Ok(reports.and_then(|mut reports| {
            let known = reports.remove(REPORTS);
            known.or_else(|| reports.into_values().next())
        }))
    }

    async fn start_scan(&self, image: Scanned<'_>) -> Result<(), ScanError> {
        let path = format!("{}/scan", path(image));
        match self.must(Method::POST, &path).await {
            // The project scans each push, and has just begun.
            Err(error) if error.is(409) => Ok(()),
            Err(error) if error.is(412) => Err(ScanError::NoScanner {
                project: image.project.to_owned(),
            }),
            started => Ok(started?),
        }
    }

    /// The page about an image.
    async fn place(&self, image: Scanned<'_>) -> Result<String, HarborError> {
        let id = self.project_id(image.project).await?;
        let (url, repository) = (self.api.url(), image.repository.replace('/', "%2F"));
        Ok(format!(
            "{url}/harbor/projects/{id}/repositories/{repository}/artifacts-tab/artifacts/{}",
            image.digest
        ))
    }
}

/// Harbor reads a name with `/` escaped twice.
fn path(image: Scanned<'_>) -> String {
    let repository = image.repository.replace('/', "%252F");
    let (project, digest) = (image.project, image.digest);
    format!("projects/{project}/repositories/{repository}/artifacts/{digest}")
}
