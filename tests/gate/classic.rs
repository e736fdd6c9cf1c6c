//! Builds of two projects by the classic builder: what one leaves, the other never meets.

use std::fs;
use std::net::TcpListener;

use crate::fixture::{Job, Jobs, Ran, docker};

testbed::tests![
    Jobs; [Root, Engine];
    a_branch_s_layers_do_not_end_in_a_protected_tag_s_image,
    a_later_job_of_the_same_project_finds_each_step_again,
    the_engine_fetches_nothing_for_a_dockerfile,
    a_dockerfile_names_no_image_of_another_job,
    a_context_comes_as_it_is_sent,
    what_is_kept_is_given_up_beyond_the_budget,
];

/// Project 42 on a protected tag, and project 66 on a branch.
const PROTECTED: (i64, bool) = (42, true);
const BRANCH: (i64, bool) = (66, false);

fn open(jobs: &Jobs, subject: &str, (project, is_protected): (i64, bool)) -> Job {
    jobs.open_as(subject, project, is_protected)
}

fn build(job: &Job, arguments: &[&str], context: &str) -> Ran {
    let mut all = vec!["build"];
    all.extend(arguments);
    all.push(context);
    job.client(&all).env("DOCKER_BUILDKIT", "0").run()
}

fn a_branch_s_layers_do_not_end_in_a_protected_tag_s_image(jobs: &Jobs) {
    let victim = open(jobs, "victim", PROTECTED);
    let attacker = open(jobs, "attacker", BRANCH);
    // The step is the same; what it does hangs on something that the builder does not see.
    let dockerfile = format!(
        "FROM {}\nRUN cat /proc/sys/kernel/random/uuid > /made\n",
        victim.base
    );
    let tag = attacker.name("poison");
    let built = build(&attacker, &["-t", &tag], &attacker.context(&dockerfile));
    assert!(built.is_good, "{}", built.text());
    let poison = attacker
        .client(&["run", "--rm", &tag, "cat", "/made"])
        .good();

    let tag = victim.name("app");
    let built = build(&victim, &["-t", &tag], &victim.context(&dockerfile));
    assert!(built.is_good, "{}", built.text());
    assert!(!built.stdout.contains("Using cache"), "{}", built.text());
    let made = victim.client(&["run", "--rm", &tag, "cat", "/made"]).good();
    assert_ne!(made.stdout, poison.stdout);
}

fn a_later_job_of_the_same_project_finds_each_step_again(jobs: &Jobs) {
    let first = open(jobs, "first", PROTECTED);
    let dockerfile = format!(
        "ARG BASE={}\nFROM ${{BASE}} AS one\nCOPY hello /hello\nRUN cat /hello > /copy\nFROM {}\nCOPY --from=one /copy /copy\nCMD [\"true\"]\n",
        first.base, first.base
    );
    let tag = first.name("app");
    let built = build(&first, &["-t", &tag], &first.context(&dockerfile));
    assert!(built.is_good, "{}", built.text());
    let steps = |text: &str| {
        let lines = text.lines().filter(|line| line.starts_with("Step "));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let shown = dockerfile.replace("${BASE}", &first.base);
    let shown = shown.lines().enumerate();
    let expected: Vec<String> = shown
        .map(|(place, line)| format!("Step {}/7 : {line}", place + 1))
        .collect();
    assert_eq!(steps(&built.stdout), expected, "the author's own steps");
    first.sweep();
    assert_eq!(first.private_names(), Vec::<String>::new());

    let second = open(jobs, "second", PROTECTED);
    let tag = second.name("app");
    let built = build(&second, &["-t", &tag], &second.context(&dockerfile));
    assert!(built.is_good, "{}", built.text());
    assert_eq!(
        built.stdout.matches("Using cache").count(),
        4,
        "{}",
        built.text()
    );
    assert!(!built.stdout.contains("Running in"), "{}", built.text());
}

fn the_engine_fetches_nothing_for_a_dockerfile(jobs: &Jobs) {
    let job = open(jobs, "fetch", BRANCH);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}/x", listener.local_addr().unwrap());
    for add in [
        format!("ADD {url} /x"),
        format!("ADD [\"{url}\", \"/x\"]"),
        format!("ENV U={url}\nADD $U /x"),
        "ARG U\nADD $U /x".to_owned(),
        format!("ONBUILD ADD {url} /x"),
    ] {
        let dockerfile = format!("FROM {}\n{add}\n", job.base);
        let argument = format!("U={url}");
        let built = build(&job, &["--build-arg", &argument], &job.context(&dockerfile));
        assert!(
            !built.is_good && built.stderr.contains("the Dockerfile"),
            "{}",
            built.text()
        );
    }
    // The base image sets the variable.
    let tag = job.name("base");
    let context = job.context(&format!("FROM {}\nENV U={url}\n", job.base));
    assert!(build(&job, &["-t", &tag], &context).is_good);
    let built = build(&job, &[], &job.context(&format!("FROM {tag}\nADD $U /x\n")));
    assert!(!built.is_good, "{}", built.text());
    assert!(listener.accept().is_err(), "the listener heard something");
}

fn a_dockerfile_names_no_image_of_another_job(jobs: &Jobs) {
    let job = open(jobs, "names", BRANCH);
    let closed = job.closed_image();
    let id = docker(&["image", "inspect", "-f", "{{.Id}}", &closed]).good();
    let id = id.stdout.trim();
    let short = &id["sha256:".len()..][..12];
    for name in [closed.as_str(), id, short] {
        for dockerfile in [
            format!("FROM {name}\nRUN true\n"),
            format!("FROM {}\nCOPY --from={name} /bin /bin2\n", job.base),
        ] {
            let built = build(&job, &[], &job.context(&dockerfile));
            assert!(!built.is_good, "{dockerfile}: {}", built.text());
            assert!(!built.stdout.contains("Step"), "{}", built.text());
        }
    }
    docker(&["rmi", &closed]).good();
}

fn a_context_comes_as_it_is_sent(jobs: &Jobs) {
    let job = open(jobs, "context", BRANCH);
    let context = job.context(&format!("FROM {}\nCOPY . /all\n", job.base));
    fs::create_dir(format!("{context}/docker")).unwrap();
    fs::rename(
        format!("{context}/Dockerfile"),
        format!("{context}/docker/Dockerfile.prod"),
    )
    .unwrap();
    let tag = job.name("app");
    let file = format!("{context}/docker/Dockerfile.prod");
    for arguments in [
        vec!["-t", &tag, "-f", &file],
        vec!["-t", &tag, "-f", &file, "--compress"],
    ] {
        let built = build(&job, &arguments, &context);
        assert!(built.is_good, "{}", built.text());
        let all = job
            .client(&["run", "--rm", &tag, "ls", "-A", "/all"])
            .good();
        assert_eq!(all.stdout, "docker\nhello\n");
        let own = job
            .client(&["run", "--rm", &tag, "cat", "/all/docker/Dockerfile.prod"])
            .good();
        assert!(
            own.stdout.starts_with(&format!("FROM {}", job.base)),
            "{}",
            own.stdout
        );
    }
    fs::write(
        format!("{context}/.dockerignore"),
        "docker\n.dockerignore\n",
    )
    .unwrap();
    assert!(build(&job, &["-t", &tag, "-f", &file], &context).is_good);
    let all = job
        .client(&["run", "--rm", &tag, "ls", "-A", "/all"])
        .good();
    assert_eq!(all.stdout, "hello\n");
}

fn what_is_kept_is_given_up_beyond_the_budget(jobs: &Jobs) {
    let job = open(jobs, "budget", BRANCH);
    let mut tags = Vec::new();
    for name in ["old", "new"] {
        let dockerfile = format!(
            "FROM {}\nRUN head -c 1000000 /dev/zero > /{name}\n",
            job.base
        );
        let tag = job.name(name);
        assert!(build(&job, &["-t", &tag], &job.context(&dockerfile)).is_good);
        tags.push(
            job.client(&["image", "inspect", "-f", "{{.Id}}", &tag])
                .good()
                .stdout,
        );
    }
    job.sweep();
    let is_there = |id: &String| docker(&["image", "inspect", id.trim()]).run().is_good;
    assert!(tags.iter().all(is_there), "both are kept");
    assert_eq!(job.trim(1_500_000).removed, 1);
    assert!(
        !is_there(&tags[0]) && is_there(&tags[1]),
        "the older one is gone"
    );
    assert_eq!(job.trim(1_500_000).removed, 0);
    assert_eq!(job.trim(0).kept, 0);
    assert!(!tags.iter().any(is_there));
}
