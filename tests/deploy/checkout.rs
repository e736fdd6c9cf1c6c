//! The checkout: exactly the commit that GitLab named, whatever the author says.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{IpAddr, Ipv4Addr, TcpListener},
    os::unix::fs::PermissionsExt,
    sync::{Arc, Mutex},
    thread,
};

use serde_json::{Value, json};
use tempfile::TempDir;
use testbed::{
    background::Background,
    gitlab::{Gitlab, Project},
    spec::JobBuilder,
};

use super::fixture::{Job, Lane};

testbed::tests![(); [Root];
    the_checkout_is_the_commit_whatever_the_author_sets,
    a_tag_that_was_moved_meanwhile_does_not_move_the_job,
    what_is_checked_out_is_the_very_id_that_gitlab_named,
    the_token_stays_neither_in_the_checkout_nor_in_the_log,
    hooks_and_templates_of_the_host_do_not_run,
    a_repository_that_is_not_there_is_the_host_s_turn_and_can_be_tried_again,
    a_server_that_leads_elsewhere_is_not_followed,
];

/// A GitLab with one project: v1.0.0, and a later commit on master.
struct Server {
    gitlab: Gitlab,
    project: Project,
    first: String,
    later: String,
    _folder: TempDir,
    _background: Background,
}

impl Server {
    fn start() -> Self {
        let background = Background::start().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let gitlab = Gitlab::start(&background, ip, folder.path()).unwrap();
        let project = gitlab.project(42, "copublic/app").unwrap();
        project.protect_tags("v*");
        let write = |text: &'static str| {
            move |tree: &std::path::Path| Ok(fs::write(tree.join("file"), text)?)
        };
        let first = project.commit("first", write("one")).unwrap();
        project.tag("v1.0.0").unwrap();
        let later = project.commit("later", write("two")).unwrap();
        Self {
            gitlab,
            project,
            first,
            later,
            _folder: folder,
            _background: background,
        }
    }

    /// The job of v1.0.0 that GitLab hands out, in `lane`.
    fn job<'a>(&self, lane: &'a Lane, id: i64) -> Job<'a> {
        let builder = JobBuilder::new("deploy").id(id);
        let queued = self.gitlab.job(&self.project, "v1.0.0", builder).unwrap();
        let mut job = lane.job(u32::try_from(id).unwrap());
        job.response = serde_json::to_value(&queued.job).unwrap();
        job
    }
}

fn variable(key: &str, value: &str) -> Value {
    json!({"key": key, "value": value, "public": true})
}

fn the_checkout_is_the_commit_whatever_the_author_sets(_: &()) {
    let (server, lane) = (Server::start(), Lane::install());
    let mut job = server.job(&lane, 501);
    let later = server.later.clone();
    job.response["variables"].as_array_mut().unwrap().extend([
        variable("GIT_STRATEGY", "none"),
        variable("GIT_CHECKOUT", "false"),
        variable("GIT_DEPTH", "1"),
        variable("GIT_FETCH_EXTRA_FLAGS", &format!("origin {later}")),
        variable("GIT_SUBMODULE_STRATEGY", "recursive"),
        variable("GIT_CONFIG_COUNT", "1"),
        variable("GIT_CONFIG_KEY_0", "core.hooksPath"),
        variable("GIT_CONFIG_VALUE_0", "/tmp"),
    ]);
    job.prepare().is_good();
    let ended = job.run("get_sources", "echo never; exit 9");
    ended.is_good().says(&server.first);
    assert!(!ended.text.contains("never"), "{}", ended.text);
    let ended = job.step(
        "cd ~/../builds/copublic/app && git rev-parse HEAD && cat file && git status --short",
    );
    ended.is_good().says(&format!("{}\none", server.first));
    job.cleanup().is_good();
}

fn a_tag_that_was_moved_meanwhile_does_not_move_the_job(_: &()) {
    let (server, lane) = (Server::start(), Lane::install());
    let job = server.job(&lane, 502);
    let bare = server.project.repository();
    let moved = std::process::Command::new("git")
        .args([
            "-C",
            bare.to_str().unwrap(),
            "tag",
            "--force",
            "v1.0.0",
            &server.later,
        ])
        .output()
        .unwrap();
    assert!(moved.status.success());
    job.prepare().is_good();
    job.run("get_sources", "").is_good().says(&server.first);
    job.step("cat ~/../builds/copublic/app/file")
        .is_good()
        .says("one");
    job.cleanup().is_good();
}

fn what_is_checked_out_is_the_very_id_that_gitlab_named(_: &()) {
    let (server, lane) = (Server::start(), Lane::install());
    let mut job = server.job(&lane, 506);
    let bare = server.project.repository();
    let git = |arguments: &[&str]| {
        let output = std::process::Command::new("git")
            .args([
                "-C",
                bare.to_str().unwrap(),
                "-c",
                "user.name=a",
                "-c",
                "user.email=a@b",
            ])
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    // The id of a tag's own object: git takes it for the commit that the tag names.
    git(&[
        "tag",
        "--annotate",
        "--force",
        "--message=x",
        "v1.0.0",
        &server.first,
    ]);
    let tag = git(&["rev-parse", "refs/tags/v1.0.0"]);
    assert_ne!(tag, server.first);
    job.response["git_info"]["sha"] = json!(tag);
    for variable in job.response["variables"].as_array_mut().unwrap() {
        if variable["key"] == "CI_COMMIT_SHA" {
            variable["value"] = json!(tag);
        }
    }
    job.prepare().is_good();
    let ended = job.run("get_sources", "");
    assert_eq!(ended.code, Some(2), "{}", ended.text);
    ended.says(&format!("GitLab named {tag}"));
    job.cleanup().is_good();
}

fn the_token_stays_neither_in_the_checkout_nor_in_the_log(_: &()) {
    let (server, lane) = (Server::start(), Lane::install());
    let job = server.job(&lane, 503);
    let token = job.response["token"].as_str().unwrap().to_owned();
    job.prepare().is_good();
    let ended = job.run("get_sources", "");
    assert!(!ended.is_good().text.contains(&token), "{}", ended.text);
    let ended = job.step(&format!(
        "grep -r {token} ~ ~/../builds /tmp && exit 1; cat ~/../builds/copublic/app/.git/config"
    ));
    ended.is_good().says("[remote \"origin\"]");
    job.cleanup().is_good();
}

fn hooks_and_templates_of_the_host_do_not_run(_: &()) {
    let (server, lane) = (Server::start(), Lane::install());
    let job = server.job(&lane, 504);
    job.prepare().is_good();
    // What an earlier phase of the same job may plant.
    let hook = "mkdir -p ~/.config/git ~/hooks; printf '#!/bin/sh\\ntouch ~/fired\\n' > ~/hooks/post-checkout; \
         chmod +x ~/hooks/post-checkout; git config --file ~/.gitconfig core.hooksPath ~/hooks";
    job.run("prepare_script", hook).is_good();
    job.run("get_sources", "").is_good();
    job.step("test ! -e ~/fired").is_good();
    job.cleanup().is_good();
}

fn a_repository_that_is_not_there_is_the_host_s_turn_and_can_be_tried_again(_: &()) {
    let (server, lane) = (Server::start(), Lane::install());
    let mut job = server.job(&lane, 505);
    let good = job.response["git_info"]["repo_url"].clone();
    job.response["git_info"]["repo_url"] = json!(
        good.as_str()
            .unwrap()
            .replace("copublic/app", "copublic/none")
    );
    job.prepare().is_good();
    let ended = job.run("get_sources", "");
    assert_eq!(ended.code, Some(2), "{}", ended.text);
    ended.says("could not be checked out");
    job.response["git_info"]["repo_url"] = good;
    job.run("get_sources", "").is_good();
    job.cleanup().is_good();
    assert_eq!(
        fs::metadata(lane.path("runner"))
            .unwrap()
            .permissions()
            .mode()
            & 0o777,
        0o700
    );
}

/// A server that leads every request elsewhere; what it is asked for.
fn leading_elsewhere(listener: TcpListener) -> Arc<Mutex<Vec<String>>> {
    let asked = Arc::<Mutex<Vec<String>>>::default();
    let seen = Arc::clone(&asked);
    let location = "/elsewhere/info/refs?service=git-upload-pack";
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let mut line = String::new();
            stream.read_line(&mut line).unwrap();
            seen.lock().unwrap().push(line);
            let head = stream.by_ref().lines().map_while(Result::ok);
            head.take_while(|line| !line.is_empty()).for_each(drop);
            let answer = format!(
                "HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
            // A client that does not wait for it hears nothing.
            let _ = stream.get_mut().write_all(answer.as_bytes());
        }
    });
    asked
}

fn a_server_that_leads_elsewhere_is_not_followed(_: &()) {
    let lane = Lane::install();
    let mut job = lane.job(507);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let asked = leading_elsewhere(listener);
    let url = format!("http://gitlab-ci-token:token@{address}/group/app.git");
    job.response["git_info"]["repo_url"] = json!(url);
    job.prepare().is_good();
    assert_eq!(job.run("get_sources", "").code, Some(2));
    let asked = asked.lock().unwrap();
    assert!(!asked.is_empty());
    assert!(
        asked.iter().all(|line| line.contains(" /group/app.git/")),
        "{asked:?}"
    );
    job.cleanup().is_good();
}
