//! Containers of a job: their input, output, network and workspace.

use std::fs;
use std::io::{BufRead, BufReader, Write};

use crate::fixture::Jobs;

testbed::tests![
    Jobs; [Root, Engine];
    input_output_and_exit_codes_pass_through,
    a_running_container_takes_commands_and_files,
    output_arrives_while_the_container_still_reads,
    containers_of_a_job_meet_in_its_network,
    the_workspace_is_mounted_by_its_path_and_nothing_beyond_it,
    the_workspace_is_mounted_where_the_kernel_lacks_later_calls,
];

fn input_output_and_exit_codes_pass_through(jobs: &Jobs) {
    let job = jobs.open("attach");
    let cat = job
        .client(&["run", "-i", "--rm", &job.base, "cat"])
        .stdin("one\ntwo\n")
        .run();
    assert_eq!(
        (cat.stdout.as_str(), cat.is_good),
        ("one\ntwo\n", true),
        "{}",
        cat.text()
    );
    let big = "x".repeat(3_000_000);
    let cat = job
        .client(&["run", "-i", "--rm", &job.base, "cat"])
        .stdin(&big)
        .run();
    assert_eq!(cat.stdout.len(), big.len());
    let both = job
        .client(&[
            "run",
            "--rm",
            &job.base,
            "sh",
            "-c",
            "echo out; echo err >&2; exit 37",
        ])
        .run();
    assert_eq!(
        (both.stdout.as_str(), both.stderr.as_str(), both.code),
        ("out\n", "err\n", Some(37))
    );
}

fn a_running_container_takes_commands_and_files(jobs: &Jobs) {
    let job = jobs.open("exec");
    let long = job.name("long");
    job.line(&format!("run -d --name {long} {} sleep 100", job.base))
        .good();
    let exec = job
        .client(&["exec", "-i", &long, "sh", "-c", "cat; exit 5"])
        .stdin("in\n")
        .run();
    assert_eq!(
        (exec.stdout.as_str(), exec.code),
        ("in\n", Some(5)),
        "{}",
        exec.text()
    );
    job.client(&[
        "cp",
        &format!("{}/hello", job.context("")),
        &format!("{long}:/tmp/"),
    ])
    .good();
    assert_eq!(
        job.client(&["exec", &long, "cat", "/tmp/hello"])
            .good()
            .stdout,
        "hello\n"
    );
    let copied = job
        .client(&["cp", &format!("{long}:/tmp/hello"), "-"])
        .good();
    assert!(copied.stdout.contains("hello\n"));
    assert!(job.client(&["ps"]).good().stdout.contains(&long));
    job.client(&["stop", "-t", "0", &long]).good();
    assert_eq!(job.client(&["wait", &long]).good().stdout, "137\n");
    job.client(&["rm", &long]).good();
}

fn output_arrives_while_the_container_still_reads(jobs: &Jobs) {
    let job = jobs.open("talk");
    let mut child = job.line(&format!("run -i --rm {} cat", job.base)).talk();
    let mut stdin = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for word in ["one", "two", "three"] {
        writeln!(stdin, "{word}").unwrap();
        assert_eq!(lines.next().unwrap().unwrap(), word);
    }
    drop(stdin);
    assert!(lines.next().is_none());
    assert!(child.wait().unwrap().success());
}

fn containers_of_a_job_meet_in_its_network(jobs: &Jobs) {
    let job = jobs.open("network");
    let server = job.name("server");
    let web = [
        "run",
        "-d",
        "--name",
        &server,
        "-p",
        "18080:80",
        &job.base,
        "sh",
        "-c",
        "mkdir /w; echo page > /w/index.html; exec busybox httpd -f -p 80 -h /w",
    ];
    let started = job.client(&web).good();
    assert!(
        started.stderr.contains("not published"),
        "{}",
        started.text()
    );
    let get = format!(
        "for i in 1 2 3 4 5 6 7 8 9; do busybox wget -qO- http://{server}/ && exit; sleep 0.3; done; exit 1"
    );
    let got = job
        .client(&["run", "--rm", &job.base, "sh", "-c", &get])
        .run();
    assert_eq!(got.stdout, "page\n", "{}", got.text());
    let own = job.name("own");
    job.client(&["network", "create", &own]).good();
    job.client(&["network", "connect", &own, &server]).good();
    let got = job
        .client(&[
            "run",
            "--rm",
            "--network",
            &own,
            &job.base,
            "sh",
            "-c",
            &get,
        ])
        .run();
    assert_eq!(got.stdout, "page\n", "{}", got.text());
    assert!(job.client(&["network", "ls"]).good().stdout.contains(&own));
}

fn the_workspace_is_mounted_where_the_kernel_lacks_later_calls(jobs: &Jobs) {
    let job = jobs.open_on_an_old_kernel("old");
    let project = job.workspace().join("project");
    fs::create_dir_all(project.join("real")).unwrap();
    fs::write(project.join("real/file"), "content\n").unwrap();
    for (target, name) in [("real", "near"), ("/etc", "away")] {
        std::os::unix::fs::symlink(target, project.join(name)).unwrap();
    }
    let read = |source: &str| {
        let bind = format!("/builds/project/{source}:/w");
        let show = ["run", "--rm", "-v", &bind, &job.base, "cat", "/w/file"];
        job.client(&show).run()
    };
    for source in ["real", "near"] {
        let ran = read(source);
        assert_eq!(ran.stdout, "content\n", "{source}: {}", ran.text());
    }
    let away = read("away");
    assert!(
        away.stderr.contains("leaves the workspace"),
        "{}",
        away.text()
    );
}

fn the_workspace_is_mounted_by_its_path_and_nothing_beyond_it(jobs: &Jobs) {
    let job = jobs.open("bind");
    let project = job.workspace().join("group/project");
    fs::create_dir_all(&project).unwrap();
    fs::write(project.join("file"), "content\n").unwrap();
    std::os::unix::fs::symlink("/etc", project.join("away")).unwrap();
    let read = |source: &str, target: &str, command: &str| {
        let bind = format!("{source}:{target}");
        job.client(&["run", "--rm", "-v", &bind, &job.base, "sh", "-c", command])
            .run()
    };
    let root = read("/builds", "/builds", "cat /builds/group/project/file");
    assert_eq!(root.stdout, "content\n", "{}", root.text());
    let folder = read(
        "/builds/group/project",
        "/w",
        "cat /w/file; echo new > /w/made",
    );
    assert_eq!(folder.stdout, "content\n", "{}", folder.text());
    assert_eq!(fs::read_to_string(project.join("made")).unwrap(), "new\n");
    let file = read("/builds/group/project/file", "/f", "cat /f");
    assert_eq!(file.stdout, "content\n", "{}", file.text());
    let made = read("/builds/group/project/not/yet", "/w", "echo x > /w/y");
    assert!(
        made.is_good && project.join("not/yet/y").exists(),
        "{}",
        made.text()
    );
    for away in [
        "/builds/group/project/away",
        "/builds/group/project/away/ssh",
        "/builds/../etc",
        "/buildsx",
    ] {
        let ran = read(away, "/w", "ls /w");
        assert!(
            !ran.is_good && ran.stderr.contains("dockmaster: "),
            "{away}: {}",
            ran.text()
        );
    }
    let inner = read(
        "/var/run/docker.sock",
        "/var/run/docker.sock",
        "test -S /var/run/docker.sock",
    );
    assert!(inner.is_good, "{}", inner.text());
    job.close();
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(
        !mounts.contains(job.folder().to_str().unwrap()),
        "a bind mount is left"
    );
}
