//! Builds and projects through the gate, by clients of each generation.

use std::{collections::BTreeSet, fs};

use testbed::trial::{newer_client, plugin};

use crate::fixture::{CLIENT, Job, Jobs, docker, is_running, unlabelled, until};

const BUILDERS: [&str; 2] = ["0", "1"];

testbed::tests![
    Jobs; [Root, Engine];
    an_image_is_built_run_and_gone_after_the_sweep,
    a_build_that_is_broken_off_ends_and_leaves_no_container,
    a_buildx_build_that_is_broken_off_ends_and_leaves_no_container: [Buildx],
    buildx_builds_through_its_own_interface: [Buildx],
    a_context_from_an_archive_is_built_and_judged,
    buildx_builds_a_context_from_an_archive: [Buildx],
    buildx_pushes_what_it_builds: [Buildx, DockerRegistry],
    a_newer_client_builds_runs_and_removes: [NewerClient],
    compose_runs_a_project: [Compose],
];

fn an_image_is_built_run_and_gone_after_the_sweep(jobs: &Jobs) {
    let job = jobs.open("build");
    for builder in BUILDERS {
        let tag = job.name(&format!("app{builder}"));
        let context = job.context(&format!(
            "FROM {}\nCOPY hello /hello\nRUN cat /hello > /copy\n",
            job.base
        ));
        let built = job
            .client(&["build", "-t", &tag, &context])
            .env("DOCKER_BUILDKIT", builder)
            .run();
        assert!(built.is_good, "builder {builder}: {}", built.text());
        let ran = job.client(&["run", "--rm", &tag, "cat", "/copy"]).run();
        assert_eq!(ran.stdout, "hello\n", "{}", ran.text());
        let listed = job.client(&["images", "-q", &tag]).run();
        assert!(!listed.stdout.is_empty(), "the image is listed");
        let inspected = job.client(&["inspect", "--type", "image", &tag]).run();
        assert!(inspected.is_good, "{}", inspected.text());
    }
    job.client(&["run", "-d", &job.name("app0"), "sleep", "100"])
        .good();
    job.sweep();
    assert_eq!(job.labelled(), "", "something is left");
    for builder in BUILDERS {
        let tag = job.name(&format!("app{builder}"));
        assert!(
            !docker(&["image", "inspect", &tag]).run().is_good,
            "{tag} is left"
        );
    }
    job.sweep();
}

fn a_build_that_is_broken_off_ends_and_leaves_no_container(jobs: &Jobs) {
    let job = jobs.open("abort");
    for builder in BUILDERS {
        break_off(&job, CLIENT, builder);
    }
}

fn a_buildx_build_that_is_broken_off_ends_and_leaves_no_container(jobs: &Jobs) {
    // A plugin outlives its client, so buildx is started by itself.
    let buildx = plugin("docker-buildx").unwrap();
    break_off(&jobs.open("abortx"), buildx.to_str().unwrap(), "x");
}

fn break_off(job: &Job, client: &str, builder: &str) {
    let marker = job.name(&format!("marker{builder}"));
    let dockerfile = format!("FROM {}\nRUN sleep 100; echo {marker}\n", job.base);
    let (tag, context) = (job.name("never"), job.context(&dockerfile));
    let build = job.program(client, &["build", "-t", &tag, &context]);
    let mut child = build.env("DOCKER_BUILDKIT", builder).start();
    until("the step runs", || is_running(&marker));
    child.kill().unwrap();
    child.wait().unwrap();
    until("the step has ended", || !is_running(&marker));
    until("the step is gone", || unlabelled(&marker).is_empty());
}

fn buildx_builds_through_its_own_interface(jobs: &Jobs) {
    let job = jobs.open("buildx");
    let plugin = plugin("docker-buildx").unwrap();
    job.use_plugin(&plugin);
    let buildx = |arguments: &[&str]| {
        let mut all = vec!["buildx"];
        all.extend(arguments);
        job.client(&all)
    };
    let tag = job.name("app");
    let dockerfile = format!(
        "FROM {}\nCOPY hello /hello\nRUN cat /hello > /copy\n",
        job.base
    );
    let context = job.context(&dockerfile);
    buildx(&["build", "-t", &tag, &context]).good();
    let ran = job.line(&format!("run --rm {tag} cat /copy")).run();
    assert_eq!(ran.stdout, "hello\n", "{}", ran.text());
    let is_own = |name: &String| name.contains(&tag);
    assert!(job.private_names().iter().any(is_own));
    for (arguments, word) in [
        (vec!["--network", "host"], "network.host"),
        (vec!["--allow", "security.insecure"], "security.insecure"),
        (
            vec!["--label", "dockmaster.gate=8"],
            "label:dockmaster.gate",
        ),
    ] {
        let mut all = vec!["build"];
        all.extend(arguments);
        all.push(&context);
        let refused = buildx(&all).run();
        assert!(
            !refused.is_good && refused.stderr.contains(word),
            "{}",
            refused.text()
        );
    }
    // The builder is everybody's: a job's prune says that there is nothing, and leaves it alone.
    let pruned = buildx(&["prune", "-f"]).good();
    assert!(pruned.stdout.contains("0B"), "{}", pruned.text());
    job.sweep();
    assert!(!docker(&["image", "inspect", &tag]).run().is_good);
}

fn buildx_pushes_what_it_builds(jobs: &Jobs) {
    let job = jobs.open("buildx-push");
    let registry = job.registry();
    job.use_plugin(&plugin("docker-buildx").unwrap());
    let tag = |tag: &str| format!("127.0.0.1:{}/test/app:{tag}", registry.port);
    let context = job.context(&format!("FROM {}\nCOPY hello /hello\n", job.base));
    let told = job.folder().join("told.json").display().to_string();
    let build = ["buildx", "build", "--push", "--metadata-file", &told];
    let tags = ["-t", &tag("v1"), "-t", &tag("v2"), &context];
    job.client(&[&build[..], &tags[..]].concat()).good();
    let bake = format!(
        "target \"default\" {{\n context = \"{context}\"\n tags = [\"{}\"]\n labels = {{a = \"b\"}}\n}}\n",
        tag("v3")
    );
    let file = job.folder().join("docker-bake.hcl");
    fs::write(&file, bake).unwrap();
    let file = file.display().to_string();
    // A newer bake asks before it reads another folder than its own.
    job.client(&["buildx", "bake", "--push", "-f", &file])
        .env("BUILDX_BAKE_ENTITLEMENTS_FS", "0")
        .good();
    let mut pushed: Vec<_> = job
        .pushed()
        .into_iter()
        .map(|it| (it.tag, it.digest))
        .collect();
    // Some clients push once more what the builder has pushed.
    let mut seen = BTreeSet::new();
    pushed.retain(|push| seen.insert(push.clone()));
    let expect = ["v1", "v2", "v3"].map(|tag| (tag.to_owned(), registry.digest("test/app", tag)));
    assert_eq!(pushed, expect);
    let told = fs::read_to_string(&told).unwrap();
    assert!(
        told.contains(&format!("\"containerimage.digest\": \"{}\"", pushed[0].1)),
        "{told}"
    );
    assert!(!told.contains(".invalid"), "{told}");
    let other = "push.example.com/test/app:v1";
    let refused = job
        .client(&[&build[..], &["-t", other, &context]].concat())
        .run();
    let text = refused.text();
    assert!(
        !refused.is_good && text.contains("push-registries"),
        "{text}"
    );
    job.fail_pushes();
    let failed = job
        .client(&[&build[..], &["-t", &tag("v4"), &context]].concat())
        .run();
    let text = failed.text();
    assert!(
        !failed.is_good && text.contains("cannot be recorded"),
        "{text}"
    );
}

fn a_context_from_an_archive_is_built_and_judged(jobs: &Jobs) {
    let job = jobs.open("archive");
    builds_archives(&job, &["build"]);
}

fn buildx_builds_a_context_from_an_archive(jobs: &Jobs) {
    let job = jobs.open("archivex");
    job.use_plugin(&plugin("docker-buildx").unwrap());
    builds_archives(&job, &["buildx", "build"]);
}

fn builds_archives(job: &Job, command: &[&str]) {
    let build = |arguments: &[&str], archive: String| {
        let all = [command, arguments, &["-"]].concat();
        let client = job.client(&all).env("DOCKER_BUILDKIT", "1");
        client.stdin(&archive).run()
    };
    let tag = job.name("app");
    let own = format!("FROM {}\nCOPY . /c\nRUN cat /c/hello > /copy\n", job.base);
    // The same size and time: the engine must not take what it was sent before.
    for content in ["one\n", "two\n"] {
        let files = [
            ("Dockerfile", own.as_str()),
            ("hello", content),
            (".dockerignore", "hello"),
        ];
        let done = build(&["-t", &tag], archive(&files));
        assert!(done.is_good, "{}", done.text());
        let ran = job
            .client(&["run", "--rm", &tag, "cat", "/copy", "/c/Dockerfile"])
            .good();
        assert_eq!(ran.stdout, format!("{content}{own}"));
    }
    let files = [("sub/Other", own.as_str()), ("hello", "three\n")];
    let done = build(&["-t", &tag, "-f", "sub/Other"], archive(&files));
    assert!(done.is_good, "{}", done.text());
    let closed = job.closed_image();
    for (dockerfile, word) in [
        (format!("FROM {closed}\n"), "not open to this job"),
        (
            format!("FROM {}\nADD http://127.0.0.1:1/x /x\n", job.base),
            "add-urls",
        ),
    ] {
        let refused = build(&[], archive(&[("Dockerfile", &dockerfile)]));
        let text = refused.text();
        assert!(!refused.is_good && text.contains(word), "{text}");
    }
    docker(&["rmi", &closed]).good();
}

fn archive(files: &[(&str, &str)]) -> String {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(0);
        builder
            .append_data(&mut header, path, content.as_bytes())
            .unwrap();
    }
    String::from_utf8(builder.into_inner().unwrap()).unwrap()
}

fn a_newer_client_builds_runs_and_removes(jobs: &Jobs) {
    let job = jobs.open("newer");
    let client = newer_client().unwrap();
    let client = client.to_str().unwrap();
    let newer = |arguments: &[&str]| job.program(client, arguments);
    let tag = job.name("app");
    let context = job.context(&format!("FROM {}\nCOPY hello /hello\n", job.base));
    newer(&["build", "-t", &tag, &context])
        .env("DOCKER_BUILDKIT", "0")
        .good();
    let ran = newer(&["run", "-i", "--rm", &tag, "cat", "/hello", "-"])
        .stdin("in\n")
        .run();
    assert_eq!(ran.stdout, "hello\nin\n", "{}", ran.text());
    newer(&["tag", &tag, &format!("{tag}:other")]).good();
    newer(&["rmi", &format!("{tag}:other")]).good();
    newer(&["info"]).good();
    let refused = newer(&["run", "--rm", "--privileged", &tag, "true"]).run();
    assert!(
        refused.stderr.contains("HostConfig.Privileged"),
        "{}",
        refused.text()
    );
}

fn compose_runs_a_project(jobs: &Jobs) {
    let job = jobs.open("compose");
    let project = job.context("");
    let file = format!(
        "version: '3.8'\nservices:\n  db: {{image: '{base}', command: [sleep, '60'], volumes: ['data:/data'],\n    \
         healthcheck: {{test: ['CMD', 'true'], interval: 1s}}}}\n  web: {{image: '{base}', command: [sleep, '60'],\n    \
         depends_on: [db], ports: ['18182:80'], restart: unless-stopped, environment: {{A: '${{A}}'}}}}\nvolumes: {{data: {{}}}}\n",
        base = job.base
    );
    fs::write(format!("{project}/docker-compose.yml"), file).unwrap();
    let name = job.name("project").replace('-', "");
    let compose = |arguments: &[&str]| {
        let path = format!("{project}/docker-compose.yml");
        let mut all = vec!["-f", &path, "-p", &name];
        all.extend(arguments);
        job.program("docker-compose", &all).env("A", "one")
    };
    compose(&["up", "-d"]).good();
    let seen = compose(&[
        "exec",
        "-T",
        "web",
        "sh",
        "-c",
        "echo $A; busybox ping -c 1 db > /dev/null && echo met",
    ])
    .run();
    assert_eq!(seen.stdout, "one\nmet\n", "{}", seen.text());
    // The first generation joins the parts of a name by `_`, the second by `-`.
    let listed = compose(&["ps"]).good().stdout.replace('_', "-");
    assert!(listed.contains("web-1"), "{listed}");
    // A changed setting makes compose rename the old container and make a new one.
    compose(&["up", "-d"]).env("A", "two").good();
    let seen = compose(&["exec", "-T", "web", "sh", "-c", "echo $A"]).good();
    assert_eq!(seen.stdout, "two\n");
    compose(&["down", "-v", "-t", "0"]).good();
    assert_eq!(job.labelled(), "", "compose left something");
}
