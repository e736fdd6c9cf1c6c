//! Names and digests of images.

use crate::fixture::{Jobs, docker};

testbed::tests![
    Jobs; [Root, Engine];
    a_pushed_digest_is_reported_and_is_the_registrys: [DockerRegistry],
    a_job_names_freely_and_the_host_s_names_stay,
    what_the_operator_does_not_allow_is_refused,
    a_name_of_ours_is_not_given,
];

fn a_pushed_digest_is_reported_and_is_the_registrys(jobs: &Jobs) {
    let job = jobs.open("push");
    let registry = job.registry();
    let image = format!("127.0.0.1:{}/test/app", registry.port);
    let tag = format!("{image}:v1");
    let context = job.context(&format!("FROM {}\nCOPY hello /hello\n", job.base));
    job.client(&["build", "-t", &tag, &context]).good();
    job.client(&["push", &tag]).good();
    let pushed = job.pushed();
    assert_eq!(pushed.len(), 1, "{pushed:?}");
    assert_eq!(
        (pushed[0].image.as_str(), pushed[0].tag.as_str()),
        (image.as_str(), "v1")
    );
    assert_eq!(pushed[0].digest, registry.digest("test/app", "v1"));
    job.client(&["rmi", &tag]).good();
    job.client(&["pull", &tag]).good();
    let ran = job.client(&["run", "--rm", &tag, "cat", "/hello"]).run();
    assert_eq!(ran.stdout, "hello\n", "{}", ran.text());
    job.client(&["pull", &format!("{image}@{}", pushed[0].digest)])
        .good();
    job.fail_pushes();
    let failed = job.client(&["push", &tag]).run();
    assert!(
        !failed.is_good && failed.text().contains("cannot be recorded"),
        "{}",
        failed.text()
    );
    let known = job
        .client(&["inspect", "-f", "{{index .RepoDigests 0}}", &tag])
        .good();
    assert_eq!(known.stdout.trim(), format!("{image}@{}", pushed[0].digest));
    let all = docker(&["image", "ls", "-a", "--digests", &image]).good();
    assert_eq!(all.stdout.lines().count(), 1, "{}", all.stdout);
    job.sweep();
}

fn a_job_names_freely_and_the_host_s_names_stay(jobs: &Jobs) {
    let job = jobs.open("names");
    let id = |name: &str| {
        docker(&["image", "inspect", "-f", "{{.Id}}", name])
            .good()
            .stdout
    };
    let name = job.name("app");
    docker(&["tag", &job.base, &name]).good();
    let context = job.context(&format!("FROM {}\nCOPY hello /hello\n", job.base));
    job.client(&["build", "-t", &name, &context]).good();
    let ran = job.client(&["run", "--rm", &name, "cat", "/hello"]).good();
    assert_eq!(ran.stdout, "hello\n");
    let listed = job
        .client(&["image", "ls", "-q", "--no-trunc", &name])
        .good();
    assert_eq!(listed.stdout.lines().count(), 1, "{}", listed.text());
    assert_eq!(id(&name), id(&job.base));
    job.sweep();
    assert_eq!(job.private_names(), [""; 0]);
    assert_eq!(id(&name), id(&job.base));
    docker(&["rmi", &name]).good();
}

fn what_the_operator_does_not_allow_is_refused(jobs: &Jobs) {
    let job = jobs.open("closed-image");
    let closed = job.closed_image();
    let id = docker(&["image", "inspect", "-f", "{{.Id}}", &closed])
        .good()
        .stdout;
    let mine = job.name("mine");
    for name in [closed.as_str(), id.trim()] {
        for arguments in [
            vec!["run", "--rm", name, "true"],
            vec!["image", "inspect", name],
            vec!["history", name],
            vec!["tag", name, &mine],
            vec!["push", &closed],
            vec!["rmi", name],
        ] {
            let ran = job.client(&arguments).run();
            assert!(!ran.is_good, "{arguments:?}: {}", ran.text());
        }
    }
    let pulled = job.client(&["pull", &closed]).run();
    assert!(
        pulled.stderr.contains("not open to this job"),
        "{}",
        pulled.text()
    );
    docker(&["rmi", &closed]).good();
}

fn a_name_of_ours_is_not_given(jobs: &Jobs) {
    let job = jobs.open("reserved");
    let context = job.context(&format!("FROM {}\nCOPY hello /hello\n", job.base));
    for line in [
        format!("tag {} dockmaster/helper:1", job.base),
        format!("build -t dockmaster-helper:1 {context}"),
    ] {
        let ran = job.line(&line).env("DOCKER_BUILDKIT", "0").run();
        assert!(
            !ran.is_good && ran.stderr.contains("is ours"),
            "{line}: {}",
            ran.text()
        );
    }
}
