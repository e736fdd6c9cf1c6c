//! Images as the API shows them, and their scans. A scan moves on each time that somebody looks.

use hyper::Method;
use serde_json::{Value, json};

use super::Asked;
use super::answer::{Answer, unescape};
use super::policy::{Artifact, Scan, Vulnerabilities};
use super::project::not_found;
use super::state::{State, time};
use super::who::Who;

const REPORT: &str = "application/vnd.security.vulnerability.report; version=1.1";

impl State {
    /// `rest` is `repositories/NAME/artifacts/…`, NAME still escaped once where it has a slash.
    pub(super) fn artifacts(
        &mut self,
        asked: &Asked,
        who: &Who,
        project: &str,
        rest: &str,
    ) -> Answer {
        let id = self.project_id(project).unwrap_or_default();
        let is_read =
            |state: &Self, action: &str| who.is_admin() || state.may(who, id, "artifact", action);
        let parts: Vec<&str> = rest.split('/').collect();
        let repository = |name: &str| format!("{project}/{}", unescape(name));
        match parts.as_slice() {
            ["repositories", name, "artifacts"] if is_read(self, "list") => {
                let all = self.images.repositories.get(&repository(name));
                let rows: Vec<Value> = all.into_iter().flatten().map(|it| row(it, false)).collect();
                Answer::page(asked, &rows)
            }
            ["repositories", name, "artifacts", reference] if is_read(self, "read") => {
                self.one_artifact(asked, &repository(name), reference)
            }
            ["repositories", name, "artifacts", reference, "scan"]
                if asked.method == Method::POST =>
            {
                if !who.is_admin() && !self.may(who, id, "scan", "create") {
                    return Answer::forbidden(who.is_known());
                }
                self.start_scan(id, &repository(name), reference)
            }
            ["repositories", _, "artifacts", ..] => Answer::forbidden(who.is_known()),
            _ => not_found(asked),
        }
    }

    fn one_artifact(&mut self, asked: &Asked, repository: &str, reference: &str) -> Answer {
        let is_scanned = asked.value("with_scan_overview") == Some("true");
        let found = self.findings(repository);
        let Some(artifact) = self.images.find(repository, reference) else {
            return missing(repository, reference);
        };
        let answer = Answer::json(&row(artifact, is_scanned));
        if is_scanned {
            artifact.scan = artifact.scan.take().map(|scan| match scan {
                Scan::Pending => Scan::Running,
                Scan::Running | Scan::Done(_) => Scan::Done(found),
            });
        }
        answer
    }

    fn start_scan(&mut self, project: i64, repository: &str, reference: &str) -> Answer {
        let has_scanner = self.images.scanner.is_some();
        let Some(artifact) = self.images.find(repository, reference) else {
            return missing(repository, reference);
        };
        if !has_scanner {
            let text = format!("no available scanner for project: {project}");
            return Answer::error(412, "PRECONDITION", &text);
        }
        match &artifact.scan {
            Some(Scan::Pending) => {
                Answer::error(409, "CONFLICT", "a previous scan process is Pending")
            }
            Some(Scan::Running) => {
                Answer::error(409, "CONFLICT", "a previous scan process is Running")
            }
            Some(Scan::Done(_)) | None => {
                artifact.scan = Some(Scan::Pending);
                Answer::empty(202)
            }
        }
    }

    fn findings(&self, repository: &str) -> Vulnerabilities {
        let all = self.images.scanner.as_ref();
        let found = all.and_then(|all| all.get(repository)).cloned();
        found.unwrap_or(Vulnerabilities {
            severity: "None".into(),
            total: 0,
        })
    }
}

fn missing(repository: &str, reference: &str) -> Answer {
    let mark = if reference.starts_with("sha256:") && reference.len() == 71 {
        '@'
    } else {
        ':'
    };
    Answer::missing(&format!("artifact {repository}{mark}{reference} not found"))
}

fn row(artifact: &Artifact, is_scanned: bool) -> Value {
    let tags: Vec<Value> = artifact
        .tags
        .iter()
        .map(|tag| json!({ "artifact_id": artifact.id, "immutable": false, "name": tag }))
        .collect();
    let mut row = json!({
        "accessories": null, "digest": artifact.digest, "id": artifact.id, "labels": null,
        "manifest_media_type": artifact.kind, "push_time": time(artifact.pushed),
        "references": null, "size": artifact.size, "tags": tags, "type": "IMAGE",
    });
    if tags.is_empty() {
        row["tags"] = Value::Null;
    }
    if let Some(scan) = artifact.scan.as_ref().filter(|_| is_scanned) {
        row["scan_overview"] = json!({ REPORT: overview(scan) });
    }
    row
}

fn overview(scan: &Scan) -> Value {
    let status = |word: &str| json!({ "report_id": "11111111-2222-3333-4444-555555555555", "scan_status": word });
    match scan {
        Scan::Pending => status("Pending"),
        Scan::Running => status("Running"),
        Scan::Done(found) => {
            let mut row = status("Success");
            row["severity"] = found.severity.as_str().into();
            let mut counts = json!({});
            if found.total > 0 {
                counts[&found.severity] = found.total.into();
            }
            row["summary"] = json!({ "total": found.total, "fixable": 0, "summary": counts });
            row
        }
    }
}
