//! The checkout of a deploy job: our own, not the runner's script, which the author's `GIT_*`
//! variables can turn to another commit.
//!
//! The driver writes a `Checkout`; `dockmaster checkout` carries it out inside the sandbox, as the job.
//! Git sees an environment made from nothing, no configuration but ours, no hook, filter or submodule.

use std::{
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use url::Url;

use super::stream;
use crate::{
    failure::{Failure, JobCode},
    job::GitInfo,
    policy::printable,
};

/// What to check out. Holds the job's token, so it travels in a sealed file.
#[derive(Serialize, Deserialize)]
pub(super) struct Checkout {
    /// Without user and password.
    url: Url,
    /// The header that lets git in.
    authorization: Option<String>,
    refspecs: Vec<String>,
    reference: String,
    depth: i64,
    commit: String,
    directory: PathBuf,
}

/// Why there is no checkout.
#[derive(Debug, thiserror::Error)]
pub(super) enum CheckoutError {
    #[error("the repository's address is not one of http or https")]
    Address,
    #[error("`checkout` is dockmaster's own verb: its input is not what it should be")]
    Input(#[source] serde_json::Error),
    #[error("cannot {what}")]
    Io {
        what: String,
        #[source]
        source: io::Error,
    },
    #[error("git {verb} failed with exit code {code}")]
    Git { verb: &'static str, code: i32 },
    #[error("the checkout is {actual}, and GitLab named {named}")]
    OtherCommit { actual: String, named: String },
}

impl From<CheckoutError> for Failure {
    fn from(error: CheckoutError) -> Self {
        match error {
            CheckoutError::Address => Self::build(JobCode::Malformed, error),
            CheckoutError::Input(_)
            | CheckoutError::Io { .. }
            | CheckoutError::Git { .. }
            | CheckoutError::OtherCommit { .. } => Self::system(error),
        }
    }
}

impl Checkout {
    /// The checkout of that commit into `directory`.
    pub(super) fn new(git: &GitInfo, directory: &Path) -> Result<Self, CheckoutError> {
        let mut url = Url::parse(git.repo_url.expose()).map_err(|_| CheckoutError::Address)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(CheckoutError::Address);
        }
        let authorization = url.password().map(|password| {
            let pair = STANDARD.encode(format!("{}:{password}", url.username()));
            format!("Authorization: Basic {pair}")
        });
        // Neither can fail for an address with a host, which http always has.
        let _ = url.set_password(None);
        let _ = url.set_username("");
        Ok(Self {
            url,
            authorization,
            refspecs: git
                .refspecs
                .iter()
                .filter(|spec| is_plain(spec))
                .cloned()
                .collect(),
            reference: printable(&git.reference),
            depth: git.depth,
            commit: git.sha.clone(),
            directory: directory.to_owned(),
        })
    }
}

/// A refspec that git cannot take for an option.
fn is_plain(refspec: &str) -> bool {
    refspec.starts_with(['+', 'r']) && !refspec.contains(char::is_whitespace)
}

/// Carries out the checkout that standard input describes. Lines for people go to standard output.
pub(super) fn main() -> i32 {
    let mut out = stream::log();
    let (line, code) = match read().and_then(|wanted| check_out(&wanted, &mut out)) {
        Ok(line) => (line, 0),
        Err(error) => (format!("dockmaster: {}", Failure::system(error)), 1),
    };
    let _ = writeln!(out, "{line}");
    code
}

fn read() -> Result<Checkout, CheckoutError> {
    let mut bytes = Vec::new();
    let what = || "read what to check out".to_owned();
    io::stdin()
        .read_to_end(&mut bytes)
        .map_err(|source| CheckoutError::Io {
            what: what(),
            source,
        })?;
    serde_json::from_slice(&bytes).map_err(CheckoutError::Input)
}

fn check_out(wanted: &Checkout, out: &mut impl Write) -> Result<String, CheckoutError> {
    make_empty(&wanted.directory)?;
    let short = wanted.commit.get(..8).unwrap_or(&wanted.commit);
    let _ = writeln!(out, "Checking out {short} ({})...", wanted.reference);
    let url = wanted.url.as_str();
    git(wanted, "init", &["--quiet", "--template="])?;
    git(wanted, "remote", &["add", "origin", url])?;
    fetch(wanted)?;
    git(
        wanted,
        "checkout",
        &["--quiet", "--force", "--detach", &wanted.commit, "--"],
    )?;
    let head = head(wanted)?;
    if head != wanted.commit {
        return Err(CheckoutError::OtherCommit {
            actual: head,
            named: wanted.commit.clone(),
        });
    }
    Ok(format!("The checkout is {head}, as GitLab named it."))
}

/// Removes what an earlier attempt left: as the job's user, so it can hurt nobody else.
fn make_empty(directory: &Path) -> Result<(), CheckoutError> {
    let failed = |source| CheckoutError::Io {
        what: format!("make {} anew", directory.display()),
        source,
    };
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    fs::create_dir_all(directory).map_err(failed)
}

/// Fetches the refs that GitLab names; the commit by its own name where those have moved on.
fn fetch(wanted: &Checkout) -> Result<(), CheckoutError> {
    let depth = format!("--depth={}", wanted.depth);
    let mut options = vec!["--quiet", "--no-recurse-submodules", "--no-tags", "--force"];
    if wanted.depth > 0 {
        options.push(&depth);
    }
    options.push("origin");
    let refs = wanted.refspecs.iter().map(String::as_str);
    let all: Vec<&str> = options.iter().copied().chain(refs).collect();
    let fetched = if wanted.refspecs.is_empty() {
        Ok(())
    } else {
        git(wanted, "fetch", &all)
    };
    let commit = format!("{}^{{commit}}", wanted.commit);
    if fetched.is_ok() && git(wanted, "cat-file", &["-e", &commit]).is_ok() {
        return Ok(());
    }
    options.push(&wanted.commit);
    git(wanted, "fetch", &options).map_err(|direct| fetched.err().unwrap_or(direct))
}

fn head(wanted: &Checkout) -> Result<String, CheckoutError> {
    let verb = "rev-parse";
    let output = command(wanted, verb, &["--verify", "HEAD"])
        .stdout(Stdio::piped())
        .output()
        .map_err(|source| CheckoutError::Io {
            what: format!("run git {verb}"),
            source,
        })?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn git(wanted: &Checkout, verb: &'static str, arguments: &[&str]) -> Result<(), CheckoutError> {
    let status = command(wanted, verb, arguments)
        .status()
        .map_err(|source| CheckoutError::Io {
            what: format!("run git {verb}"),
            source,
        })?;
    let code = status.code().unwrap_or(-1);
    if status.success() {
        Ok(())
    } else {
        Err(CheckoutError::Git { verb, code })
    }
}

fn command(wanted: &Checkout, verb: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("git");
    command
        .arg(verb)
        .args(arguments)
        .current_dir(&wanted.directory)
        .env_clear()
        .envs([
            ("PATH", "/usr/local/bin:/usr/bin:/bin"),
            ("LANG", "C.UTF-8"),
            ("HOME", "/nonexistent"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_ATTR_NOSYSTEM", "1"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_LFS_SKIP_SMUDGE", "1"),
        ])
        .stdin(Stdio::null());
    let settings = settings(wanted);
    command.env("GIT_CONFIG_COUNT", settings.len().to_string());
    for (index, (key, value)) in settings.into_iter().enumerate() {
        command.env(format!("GIT_CONFIG_KEY_{index}"), key);
        command.env(format!("GIT_CONFIG_VALUE_{index}"), value);
    }
    command
}

/// Configuration for one call: it is written nowhere, and the token stands in no argument.
fn settings(wanted: &Checkout) -> Vec<(String, String)> {
    let mut settings: Vec<(String, String)> = [
        ("advice.detachedHead", "false"),
        ("core.hooksPath", "/dev/null"),
        ("core.fsmonitor", "false"),
        ("credential.helper", ""),
        ("gc.auto", "0"),
        ("http.followRedirects", "false"),
        ("protocol.allow", "never"),
        ("protocol.http.allow", "always"),
        ("protocol.https.allow", "always"),
        ("submodule.recurse", "false"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into();
    if let Some(header) = &wanted.authorization {
        // For this server only: another one must never get it.
        let server = wanted.url[..url::Position::BeforePath].to_owned();
        settings.push((format!("http.{server}/.extraHeader"), header.clone()));
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn checkout(url: &str, refspecs: &[&str]) -> Result<Checkout, CheckoutError> {
        let git = GitInfo {
            repo_url: Secret::from(url.to_owned()),
            refspecs: refspecs.iter().map(|spec| (*spec).to_owned()).collect(),
            sha: "a".repeat(40),
            ..GitInfo::default()
        };
        Checkout::new(&git, Path::new("/builds/app"))
    }

    #[test]
    fn the_token_is_in_no_argument() {
        let wanted = checkout("https://gitlab-ci-token:t0ken@h:8080/g/app.git", &[]).unwrap();
        assert_eq!(wanted.url.as_str(), "https://h:8080/g/app.git");
        let command = command(&wanted, "fetch", &["origin"]);
        assert!(
            command
                .get_args()
                .all(|argument| !argument.to_string_lossy().contains("t0ken"))
        );
        let (key, value) = settings(&wanted).pop().unwrap();
        assert_eq!(key, "http.https://h:8080/.extraHeader");
        assert_eq!(value, "Authorization: Basic Z2l0bGFiLWNpLXRva2VuOnQwa2Vu");
    }

    #[test]
    fn only_http_is_spoken() {
        for url in [
            "ssh://git@h/app.git",
            "file:///etc",
            "ext::sh -c id",
            "/srv/app.git",
        ] {
            assert!(checkout(url, &[]).is_err(), "{url}");
        }
    }

    #[test]
    fn a_refspec_is_never_an_option() {
        let refspecs = [
            "+refs/tags/v1:refs/tags/v1",
            "--upload-pack=id",
            "refs/heads/a b",
        ];
        let wanted = checkout("https://h/app.git", &refspecs).unwrap();
        assert_eq!(wanted.refspecs, ["+refs/tags/v1:refs/tags/v1"]);
    }
}
