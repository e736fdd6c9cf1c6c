//! The program called `gitlab-runner` that generated scripts use for caches and artifacts.
//!
//! It speaks to the GitLab stand-in as the real program does, over plain HTTP. It knows nothing of
//! the rest of the testbed: it is copied into helper images.

mod archive;
mod files;
mod http;
mod options;
#[cfg(test)]
mod tests;

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

use files::Selection;
use options::Options;

const VERSION: &str = "\
Version:      19.4.0
Git revision: d79f3e7b
Git branch:   19-4-stable
GO version:   go1.26.1 X:cacheprog
Built:        2026-09-17T12:00:00Z
OS/Arch:      linux/amd64
";

/// Carries out one sub-command.
pub fn main(arguments: impl Iterator<Item = String>) -> ExitCode {
    match run(&arguments.collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&last_line(&error));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<()> {
    let Some((command, rest)) = arguments.split_first() else {
        bail!("no sub-command")
    };
    match command.as_str() {
        "--version" | "-v" => Ok(std::io::stdout().write_all(VERSION.as_bytes())?),
        "artifacts-uploader" => upload(&Options::parse(rest)?),
        "artifacts-downloader" => download(&Options::parse(rest)?),
        "cache-archiver" => keep(&Options::parse(rest)?),
        "cache-extractor" => restore(&Options::parse(rest)?),
        other => bail!("unknown sub-command {other}"),
    }
}

/// What the real program ends with in yellow, though it ends as a failure.
#[derive(Debug)]
struct Warning(&'static str);

impl std::fmt::Display for Warning {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.0)
    }
}

fn last_line(error: &anyhow::Error) -> String {
    if error.is::<Warning>() {
        return format!("\x1b[0;33m{:<50}\x1b[0;m", format!("WARNING: {error}"));
    }
    format!("\x1b[31;1mFATAL: {error:#}\x1b[0;m")
}

/// Where the real program writes its lines, too.
fn say(line: &str) {
    // A log that nobody reads any more is no reason to stop.
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn platform() {
    let pid = std::process::id();
    say(&format!(
        "Runtime platform                                    arch=amd64 os=linux pid={pid} \
         revision=d79f3e7b version=19.4.0"
    ));
}

fn upload(options: &Options) -> Result<()> {
    platform();
    let selection = Selection::gather(options, Path::new("."))?;
    if selection.is_empty() {
        say("\x1b[31;1mERROR: No files to upload                         \x1b[0;m");
        return Ok(());
    }
    let archive = archive::pack(&selection, Path::new("."))?;
    let kind = options.one("artifact-type").unwrap_or("archive");
    let name = options
        .one("name")
        .filter(|name| !name.is_empty())
        .map(files::expand);
    let name = format!("{}.zip", name.as_deref().unwrap_or("artifacts"));
    let id = options.needed("id")?;
    let mut query = format!("artifact_format=zip&artifact_type={kind}");
    if let Some(expiry) = options.one("expire-in") {
        query.extend(["&expire_in=", &expiry.replace(' ', "+")]);
    }
    let url = format!(
        "{}/api/v4/jobs/{id}/artifacts?{query}",
        options.needed("url")?
    );
    let token = options.needed("token")?;
    let mut answer = None;
    for _ in 0..3 {
        let reply = http::send_file(&url, token, &name, &archive);
        let is_final = matches!(&reply, Ok(reply) if reply.status < 500);
        answer = Some(reply);
        if is_final {
            break;
        }
        say("Retrying...                                       ");
    }
    let answer = answer.context("nothing was sent")??;
    let line = format!(
        "Uploading artifacts as \"{kind}\" to coordinator... {}",
        answer.line()
    );
    match answer.status {
        200..300 => say(&format!("{line}  id={id}")),
        413 => bail!("{line}: too large"),
        403 => bail!("{line}: permission denied"),
        _ => bail!("{line}: invalid argument"),
    }
    Ok(())
}

fn download(options: &Options) -> Result<()> {
    platform();
    let id = options.needed("id")?;
    let url = format!(
        "{}/api/v4/jobs/{id}/artifacts?direct_download=true",
        options.needed("url")?
    );
    let answer = http::get(&url, options.needed("token")?)?;
    let line = format!(
        "Downloading artifacts from coordinator... {}",
        answer.line()
    );
    match answer.status {
        200 => say(&format!("{line}  id={id}")),
        404 => bail!("{line}: file does not exist"),
        403 => bail!("{line}: permission denied"),
        _ => bail!("{line}: invalid argument"),
    }
    archive::unpack(&answer.body, Path::new("."))
}

fn keep(options: &Options) -> Result<()> {
    platform();
    let selection = Selection::gather(options, Path::new("."))?;
    if selection.is_empty() {
        say("Archive is up to date!                            ");
        return Ok(());
    }
    let target = Path::new(options.needed("file")?);
    let folder = target
        .parent()
        .context("a cache archive lies in a folder")?;
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot create {}", folder.display()))?;
    let partial = folder.join(format!("archive_{}", std::process::id()));
    std::fs::write(&partial, archive::pack(&selection, Path::new("."))?)
        .and_then(|()| std::fs::rename(&partial, target))
        .with_context(|| format!("cannot write {}", target.display()))?;
    say(
        "No URL provided, cache will not be uploaded to shared cache server. Cache will be stored \
         only locally. ",
    );
    Ok(())
}

fn restore(options: &Options) -> Result<()> {
    platform();
    let file = Path::new(options.needed("file")?);
    say(
        "No URL provided, cache will not be downloaded from shared cache server. Instead a local \
         version of cache will be extracted. ",
    );
    let content = match std::fs::read(file) {
        Ok(content) => content,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            bail!(Warning("Cache file does not exist"))
        }
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
    };
    archive::unpack(&content, Path::new("."))
}
