//! What the phases do with git: fetch, check out, leave no lock, hook or credential behind.

use super::{Scene, Writer, user_lines};

/// How the checkout comes to be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Strategy {
    Fetch,
    Clone,
    None,
    Empty,
}

fn strategy(scene: &Scene<'_>) -> Strategy {
    match scene.value("GIT_STRATEGY") {
        Some("clone") => Strategy::Clone,
        Some("none") => Strategy::None,
        Some("empty") => Strategy::Empty,
        Some("fetch") => Strategy::Fetch,
        _ if scene.job.allow_git_fetch => Strategy::Fetch,
        _ => Strategy::Clone,
    }
}

/// The repository's address without the user and the token in it.
fn clean_address(scene: &Scene<'_>) -> String {
    let address = &scene.job.git_info.repo_url;
    match (address.split_once("://"), address.split_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://{rest}"),
        _ => address.clone(),
    }
}

/// `scheme://host[:port]` of an address.
fn origin(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else {
        return address.to_owned();
    };
    let host = rest.split('/').next().unwrap_or(rest);
    format!("{scheme}://{host}")
}

pub(super) fn get_sources(writer: &mut Writer, scene: &Scene<'_>) {
    writer.export("GIT_TERMINAL_PROMPT", "0");
    writer.export("GCM_INTERACTIVE", "Never");
    let strategy = strategy(scene);
    let build = &scene.directories.build;
    match strategy {
        Strategy::Fetch | Strategy::Clone => {
            user_lines(writer, std::slice::from_ref(&scene.hooks.pre_get_sources));
            if scene.value("GIT_LFS_SKIP_SMUDGE").is_none() {
                writer.export("GIT_LFS_SKIP_SMUDGE", "1");
            }
            fetch(writer, scene, strategy);
            check_out(writer, scene);
            writer.notice("Skipping Git submodules setup");
            user_lines(writer, std::slice::from_ref(&scene.hooks.post_get_sources));
        }
        Strategy::None => {
            writer.notice("Skipping Git repository setup");
            writer.make_directory(build);
            writer.notice("Skipping Git checkout");
            writer.notice("Skipping Git submodules setup");
        }
        Strategy::Empty => {
            writer.notice("Skipping Git repository setup and creating an empty build directory");
            writer.remove_tree(build);
            writer.make_directory(build);
        }
    }
    change_owner(writer, scene, &[&scene.directories.builds]);
    reject_credential(writer, scene);
}

fn fetch(writer: &mut Writer, scene: &Scene<'_>, strategy: Strategy) {
    let build = &scene.directories.build;
    let template = format!("{}/git-template", scene.directories.temporary());
    remove_locks(writer, scene);
    remove_configuration(writer, scene);
    let configuration = format!("{template}/config");
    writer.command("mkdir", ["-p", &template]);
    for (key, value) in [
        ("init.defaultBranch", "none"),
        ("fetch.recurseSubmodules", "false"),
        ("credential.interactive", "never"),
        ("gc.autoDetach", "false"),
    ] {
        writer.command("git", ["config", "-f", &configuration, key, value]);
    }
    extra_configuration(writer, scene, &configuration);
    match scene.job.git_info.depth {
        0 => writer.notice("Fetching changes..."),
        depth => writer.notice(&format!(
            "Fetching changes with git depth set to {depth}..."
        )),
    }
    if strategy == Strategy::Clone {
        writer.remove_tree(build);
    }
    writer.command("git", ["init", build, "--template", &template]);
    writer.change_directory(build);
    let address = clean_address(scene);
    let quoted = super::quote(&address);
    writer.if_else(
        &format!("git remote add origin {quoted} >/dev/null 2>&1"),
        |then| then.notice("Created fresh repository."),
        |otherwise| {
            otherwise.line(&format!("git remote set-url origin {quoted}"));
            otherwise.expanded(
                "git",
                [
                    "config",
                    "--file",
                    ".git/config",
                    "--replace-all",
                    "include.path",
                    "$GLR_EXT_GIT_CONFIG_PATH",
                    INCLUDED,
                ],
            );
        },
    );
    fetch_refs(writer, scene);
}

const INCLUDED: &str = "\\.gitlab-runner\\.ext\\.conf$";

/// The part of git's configuration that holds the token, kept out of the checkout.
fn extra_configuration(writer: &mut Writer, scene: &Scene<'_>, configuration: &str) {
    let extra = format!("{}/.gitlab-runner.ext.conf", scene.directories.temporary());
    let correlation = scene.correlation;
    writer.remove(&extra);
    let header = format!("X-Gitaly-Correlation-ID: {correlation}");
    writer.expanded("git", ["config", "-f", &extra, "http.extraHeader", &header]);
    writer.notice(&format!("Gitaly correlation ID: {correlation}"));
    writer.expanded(
        "git",
        ["config", "-f", &extra, "transfer.bundleURI", "true"],
    );
    let (with_token, clean) = (&scene.job.git_info.repo_url, clean_address(scene));
    for (from, to) in [
        (with_token.clone(), clean.clone()),
        (origin(with_token), origin(&clean)),
    ] {
        let key = format!("url.{from}.insteadOf");
        let pattern = format!("^{}$", to.replace('.', "\\."));
        writer.expanded(
            "git",
            [
                "config",
                "--file",
                &extra,
                "--replace-all",
                &key,
                &to,
                &pattern,
            ],
        );
    }
    let include = [
        "config",
        "--file",
        configuration,
        "--replace-all",
        "include.path",
    ];
    writer.expanded("git", include.into_iter().chain([&*extra, INCLUDED]));
    writer.line(&format!("export GLR_EXT_GIT_CONFIG_PATH=\"{extra}\""));
}

fn fetch_refs(writer: &mut Writer, scene: &Scene<'_>) {
    let git = &scene.job.git_info;
    let mut words = vec![
        "-c".to_owned(),
        "http.userAgent=gitlab-runner 19.4.0 linux/amd64".to_owned(),
        "fetch".to_owned(),
        "origin".to_owned(),
        "--no-recurse-submodules".to_owned(),
    ];
    words.extend(git.refspecs.iter().cloned());
    if git.depth > 0 {
        words.extend(["--depth".to_owned(), git.depth.to_string()]);
    }
    let flags = scene
        .value("GIT_FETCH_EXTRA_FLAGS")
        .unwrap_or("--prune --quiet");
    words.extend(flags.split_whitespace().map(str::to_owned));
    if git.depth == 0 {
        words.push("--unshallow".to_owned());
        let unshallow = words
            .iter()
            .map(|word| super::quote(word))
            .collect::<Vec<_>>()
            .join(" ");
        words.pop();
        let plain = words
            .iter()
            .map(|word| super::quote(word))
            .collect::<Vec<_>>()
            .join(" ");
        writer.if_else(
            "[ -f .git/shallow ]",
            |then| then.line(&format!("git {unshallow}")),
            |otherwise| otherwise.line(&format!("git {plain}")),
        );
    } else {
        writer.command("git", words);
    }
}

fn check_out(writer: &mut Writer, scene: &Scene<'_>) {
    if scene.value("GIT_CHECKOUT") == Some("false") {
        return writer.notice("Skipping Git checkout");
    }
    let git = &scene.job.git_info;
    let short: String = git.sha.chars().take(8).collect();
    let reference = &git.reference;
    writer.notice(&format!(
        "Checking out {short} as detached HEAD (ref is {reference})..."
    ));
    writer.command(
        "git",
        [
            "-c",
            "submodule.recurse=false",
            "checkout",
            "-f",
            "-q",
            &git.sha,
        ],
    );
    let flags = scene.value("GIT_CLEAN_FLAGS").unwrap_or("-ffdx");
    if flags != "none" {
        writer.command("git", ["clean"].into_iter().chain(flags.split_whitespace()));
    }
    writer.if_succeeds("git lfs version >/dev/null 2>&1", |then| {
        then.line("git lfs pull");
        then.line("echo");
    });
}

pub(super) fn clear_worktree(writer: &mut Writer, scene: &Scene<'_>) {
    let build = &scene.directories.build;
    writer.if_directory(build, |then| {
        then.change_directory(build);
        then.line("git rm -rf --ignore-unmatch .");
        then.line("git clean -ffdx");
    });
}

/// Removes what a git that was killed leaves locked.
pub(super) fn remove_locks(writer: &mut Writer, scene: &Scene<'_>) {
    let git = format!("{}/.git", scene.directories.build);
    for name in [
        "index.lock",
        "shallow.lock",
        "HEAD.lock",
        "hooks/post-checkout",
        "config.lock",
    ] {
        writer.remove(&format!("{git}/{name}"));
    }
    let refs = format!("{git}/refs");
    writer.if_directory(&refs, |then| {
        then.line(&format!(
            "et='+' ; find /dev/null -exec true {{}} + 2>/dev/null || et=';' ; \
             find \"{refs}\" -name \"*.lock\" -type f -exec rm -f {{}} \"${{et}}\""
        ));
    });
}

/// Removes hooks and settings that an earlier job of the project may have planted.
pub(super) fn remove_configuration(writer: &mut Writer, scene: &Scene<'_>) {
    let template = format!("{}/git-template", scene.directories.temporary());
    for place in [template, format!("{}/.git", scene.directories.build)] {
        let hooks = format!("{place}/hooks");
        writer.remove(&format!("{place}/config"));
        writer.if_directory(&hooks, |then| {
            then.expanded("chmod", ["-R", "u+rwX", &hooks]);
        });
        writer.remove_tree(&hooks);
    }
}

pub(super) fn reject_credential(writer: &mut Writer, scene: &Scene<'_>) {
    let text = format!(
        "url={}\nusername=gitlab-ci-token",
        origin(&clean_address(scene))
    );
    writer.line(&format!(
        "echo {} | git credential reject || true",
        super::quote(&text)
    ));
}

/// Hands directories to the owner that a file beside them names, if there is one.
pub(super) fn change_owner(writer: &mut Writer, scene: &Scene<'_>, paths: &[&str]) {
    let owner = format!("{}/.gitlab-build-uid-gid", scene.directories.builds);
    writer.if_exists(&owner, |then| {
        for path in paths {
            then.if_directory(path, |inner| {
                inner.line(&format!(
                    "chown -R \"$(stat -c '%u:%g' '{owner}')\" '{path}'"
                ));
            });
        }
    });
}
