//! Caches and artifacts: calls of the `gitlab-runner` program, skipped where there is none.

use std::fmt::Write as _;
use std::path::{Component, Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::{Scene, Writer, git, quote};
use crate::runner::expand;
use crate::spec::{Artifact, Cache};

const GUARD: &str = "gitlab-runner --version >/dev/null 2>&1";

fn guarded(writer: &mut Writer, what: &str, body: impl FnOnce(&mut Writer)) {
    writer.if_else(GUARD, body, |otherwise| {
        otherwise.warning(&format!("Missing gitlab-runner. {what} is disabled."));
    });
}

/// Whether a cache has anything to keep.
pub(crate) fn has_cache_content(cache: &Cache) -> bool {
    cache.untracked || cache.paths.as_ref().is_some_and(|paths| !paths.is_empty())
}

/// Whether an artifact has anything to bring.
pub(crate) fn has_artifact_content(artifact: &Artifact) -> bool {
    artifact.untracked
        || artifact
            .paths
            .as_ref()
            .is_some_and(|paths| !paths.is_empty())
}

/// Whether something with this `when` belongs to a job that ended so.
pub(crate) fn is_due(when: &str, success: bool) -> bool {
    match when {
        "always" => true,
        "on_failure" => !success,
        _ => success,
    }
}

fn cache_key(scene: &Scene<'_>, key: &str) -> String {
    let key = if key.is_empty() {
        format!(
            "{}/{}",
            scene.job.job_info.name, scene.job.git_info.reference
        )
    } else {
        expand(key, scene.variables)
    };
    key.trim().trim_end_matches('/').replace("..", "")
}

/// The archive of a key, as seen from the checkout.
fn archive(scene: &Scene<'_>, key: &str) -> String {
    let directories = scene.directories;
    let target = format!("{}/{key}/cache.zip", directories.cache);
    relative(Path::new(&directories.build), Path::new(&target))
        .to_string_lossy()
        .into_owned()
}

fn relative(from: &Path, to: &Path) -> PathBuf {
    let from: Vec<Component<'_>> = from.components().collect();
    let to: Vec<Component<'_>> = to.components().collect();
    let shared = from
        .iter()
        .zip(&to)
        .take_while(|(left, right)| left == right)
        .count();
    let up = from[shared..].iter().map(|_| Component::ParentDir);
    up.chain(to[shared..].iter().copied()).collect()
}

fn hashed(key: &str) -> String {
    Sha256::digest(key.as_bytes())
        .iter()
        .fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

fn cache_timeout<'a>(scene: &'a Scene<'_>) -> &'a str {
    scene.value("CACHE_REQUEST_TIMEOUT").unwrap_or("10")
}

pub(super) fn restore_cache(writer: &mut Writer, scene: &Scene<'_>) {
    writer.change_directory(&scene.directories.build);
    for cache in scene
        .job
        .cache
        .iter()
        .filter(|cache| has_cache_content(cache))
    {
        let key = cache_key(scene, &cache.key);
        if expand(&cache.policy, scene.variables) == "push" {
            writer.notice(&format!("Not downloading cache {key} due to policy"));
            continue;
        }
        let mut keys = vec![key];
        let fallbacks = cache.fallback_keys.iter().flatten();
        keys.extend(fallbacks.map(|key| cache_key(scene, key)));
        guarded(writer, "Extracting cache", |then| {
            extract(then, scene, &keys);
        });
    }
    let directories = scene.directories;
    git::change_owner(writer, scene, &[&directories.cache, &directories.builds]);
}

fn extract(writer: &mut Writer, scene: &Scene<'_>, keys: &[String]) {
    let Some((key, fallbacks)) = keys.split_first() else {
        return;
    };
    writer.notice(&format!("Checking cache for {key}..."));
    let call = format!(
        "gitlab-runner cache-extractor --file {} --timeout {}",
        quote(&archive(scene, key)),
        cache_timeout(scene)
    );
    writer.if_else(
        &call,
        |then| then.notice("Successfully extracted cache"),
        |otherwise| {
            otherwise.warning("Failed to extract cache");
            extract(otherwise, scene, fallbacks);
        },
    );
}

pub(super) fn archive_cache(writer: &mut Writer, scene: &Scene<'_>, success: bool) {
    writer.change_directory(&scene.directories.build);
    let caches = scene
        .job
        .cache
        .iter()
        .filter(|cache| has_cache_content(cache));
    for cache in caches.filter(|cache| is_due(&cache.when, success)) {
        let key = cache_key(scene, &cache.key);
        if expand(&cache.policy, scene.variables) == "pull" {
            writer.notice(&format!("Not uploading cache {key} due to policy"));
            continue;
        }
        guarded(writer, "Creating cache", |then| {
            create(then, scene, cache, &key);
        });
    }
}

fn create(writer: &mut Writer, scene: &Scene<'_>, cache: &Cache, key: &str) {
    let environ = format!("{}/gitlab_runner_cache_env", scene.directories.temporary());
    writer.notice(&format!("Creating cache {key}..."));
    writer.line(&format!("cat << EOF > {}", quote(&environ)));
    writer.verbatim(&format!(
        "CACHE_METADATA=\"{{\\\"cachekey\\\":\\\"{key}\\\"}}\""
    ));
    writer.verbatim("EOF\n");
    let mut words = vec![
        "gitlab-runner".to_owned(),
        "cache-archiver".to_owned(),
        "--file".to_owned(),
        archive(scene, key),
        "--alternate-file".to_owned(),
        archive(scene, &hashed(key)),
        "--timeout".to_owned(),
        cache_timeout(scene).to_owned(),
    ];
    for path in cache.paths.iter().flatten() {
        words.extend(["--path".to_owned(), path.clone()]);
    }
    if cache.untracked {
        words.push("--untracked".to_owned());
    }
    words.extend(["--env-file".to_owned(), environ.clone()]);
    writer.if_else(
        &join(&words),
        |then| then.notice("Created cache"),
        |otherwise| otherwise.warning("Failed to create cache"),
    );
    writer.remove(&environ);
}

fn join(words: &[String]) -> String {
    words
        .iter()
        .map(|word| quote(word))
        .collect::<Vec<_>>()
        .join(" ")
}

fn server<'a>(scene: &'a Scene<'_>) -> &'a str {
    scene.job.variable("CI_SERVER_URL").unwrap_or_default()
}

pub(super) fn download_artifacts(writer: &mut Writer, scene: &Scene<'_>) {
    writer.change_directory(&scene.directories.build);
    guarded(writer, "Artifacts downloading", |then| {
        for dependency in &scene.job.dependencies {
            let (name, id) = (&dependency.name, dependency.id);
            then.notice(&format!("Downloading artifacts for {name} ({id})..."));
            let id = id.to_string();
            let words = ["artifacts-downloader", "--url", server(scene)];
            then.command(
                "gitlab-runner",
                words
                    .into_iter()
                    .chain(["--token", &dependency.token, "--id", &id]),
            );
        }
    });
    let directories = scene.directories;
    git::change_owner(writer, scene, &[&directories.cache, &directories.builds]);
}

pub(super) fn upload_artifacts(writer: &mut Writer, scene: &Scene<'_>, success: bool) {
    writer.change_directory(&scene.directories.build);
    guarded(writer, "Uploading artifacts", |then| {
        let artifacts = scene
            .job
            .artifacts
            .iter()
            .filter(|one| has_artifact_content(one));
        for artifact in artifacts.filter(|one| is_due(&one.when, success)) {
            then.notice("Uploading artifacts...");
            then.line(&join(&uploader(scene, artifact)));
        }
    });
}

fn uploader(scene: &Scene<'_>, artifact: &Artifact) -> Vec<String> {
    let id = scene.job.id.to_string();
    let mut words: Vec<String> = [
        "gitlab-runner",
        "artifacts-uploader",
        "--url",
        server(scene),
        "--token",
        &scene.job.token,
        "--id",
        &id,
        "--timeout",
        "1h0m0s",
        "--response-header-timeout",
        "10m0s",
    ]
    .map(str::to_owned)
    .to_vec();
    for path in artifact.paths.iter().flatten() {
        words.extend(["--path".to_owned(), path.clone()]);
    }
    for pattern in artifact.exclude.iter().flatten() {
        words.extend(["--exclude".to_owned(), pattern.clone()]);
    }
    if artifact.untracked {
        words.push("--untracked".to_owned());
    }
    for (option, value) in [
        ("--name", &artifact.name),
        ("--expire-in", &artifact.expire_in),
        ("--artifact-format", &artifact.artifact_format),
        ("--artifact-type", &artifact.artifact_type),
    ] {
        if !value.is_empty() {
            words.extend([option.to_owned(), value.clone()]);
        }
    }
    words
}
