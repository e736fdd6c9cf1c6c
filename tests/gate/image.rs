//! Names and digests of images.

use std::fs;

use crate::fixture::{Jobs, docker};

testbed::tests![
    Jobs; [Root, Engine];
    a_pushed_digest_is_reported_and_is_the_registrys: [DockerRegistry],
    all_tags_of_a_repository_are_pushed_and_recorded: [DockerRegistry],
    a_packed_archive_is_loaded,
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

fn all_tags_of_a_repository_are_pushed_and_recorded(jobs: &Jobs) {
    let job = jobs.open("push-all");
    let registry = job.registry();
    let image = format!("127.0.0.1:{}/test/app", registry.port);
    for tag in ["v1", "v2"] {
        let context = job.context(&format!("FROM {}\nLABEL tag={tag}\n", job.base));
        job.client(&["build", "-t", &format!("{image}:{tag}"), &context])
            .good();
    }
    job.client(&["tag", &job.base, &format!("{image}-other:v3")])
        .good();
    job.client(&["push", "-a", &image]).good();
    let pushed = job.pushed();
    let told = pushed.iter().map(|it| (it.tag.clone(), it.digest.clone()));
    let expect = ["v1", "v2"].map(|tag| (tag.to_owned(), registry.digest("test/app", tag)));
    assert!(told.eq(expect), "{pushed:?}");
    job.fail_pushes();
    let failed = job.client(&["push", "-a", &image]).run();
    let text = failed.text();
    assert!(
        !failed.is_good && text.contains("cannot be recorded"),
        "{text}"
    );
    assert!(
        !job.client(&["push", "-a", &format!("{image}-none")])
            .run()
            .is_good
    );
}

fn a_packed_archive_is_loaded(jobs: &Jobs) {
    let job = jobs.open("packed");
    let tag = job.name("app");
    job.client(&["tag", &job.base, &tag]).good();
    let plain = job.folder().join("app.tar").display().to_string();
    job.client(&["save", "-o", &plain, &tag]).good();
    job.client(&["rmi", &tag]).good();
    let packed = format!("{plain}.gz");
    let mut gzip = flate2::write::GzEncoder::new(
        fs::File::create(&packed).unwrap(),
        flate2::Compression::fast(),
    );
    std::io::copy(&mut fs::File::open(&plain).unwrap(), &mut gzip).unwrap();
    gzip.finish().unwrap();
    let loaded = job.client(&["load", "-i", &packed]).good();
    assert!(loaded.stdout.contains(&tag), "{}", loaded.text());
    job.client(&["run", "--rm", &tag, "true"]).good();
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
