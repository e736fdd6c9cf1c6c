//! Builds of two tenants through `BuildKit`, which is one for all of them: project 66 on a branch, and project 42 on a
//! protected tag.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use serde_json::json;
use testbed::trial::plugin;

use crate::fixture::{Client, Job, Jobs, docker, runtime};

testbed::tests![
    Jobs; [Root, Engine];
    a_step_is_a_cache_for_its_own_tenant_only,
    a_cache_mount_is_its_own_tenant_s,
    a_context_that_another_tenant_sent_is_not_taken,
    a_dockerfile_takes_no_image_of_others,
    a_build_gives_no_name_of_others,
    a_refused_build_ends_its_session,
    the_engine_fetches_nothing_for_a_dockerfile,
    an_image_of_the_job_does_not_read_its_dockerfile,
    a_host_of_ours_is_not_the_job_s_to_name,
    two_tenants_build_with_buildx: [Buildx],
    a_log_has_the_names_that_the_job_knows: [Buildx],
    each_target_of_a_bake_has_its_own_arguments: [Buildx],
];

fn branch(jobs: &Jobs) -> Job {
    jobs.open_as("branch", 66, false)
}

fn tag(jobs: &Jobs) -> Job {
    jobs.open_as("tag", 42, true)
}

fn build(job: &Job, arguments: &[&str]) -> Client {
    let mut all = vec!["build"];
    all.extend(arguments);
    job.client(&all).env("DOCKER_BUILDKIT", "1")
}

/// What a file of a built image says.
fn read(job: &Job, image: &str, file: &str) -> String {
    job.client(&["run", "--rm", image, "cat", file])
        .good()
        .stdout
}

/// A Dockerfile whose step makes something else each time it runs.
fn chance(base: &str) -> String {
    format!("FROM {base}\nRUN cat /proc/sys/kernel/random/uuid > /chance\n")
}

fn a_step_is_a_cache_for_its_own_tenant_only(jobs: &Jobs) {
    let (first, other, again) = (branch(jobs), tag(jobs), branch(jobs));
    let chances = [&first, &other, &again].map(|job| {
        let image = job.name("app");
        build(job, &["-t", &image, &job.context(&chance(&first.base))]).good();
        read(job, &image, "/chance")
    });
    assert_ne!(
        chances[0], chances[1],
        "a step of the branch is in the protected tag's image"
    );
    assert_eq!(
        chances[0], chances[2],
        "the next pipeline of the same tenant is not cached"
    );
}

fn a_cache_mount_is_its_own_tenant_s(jobs: &Jobs) {
    let (other, job, again) = (tag(jobs), branch(jobs), tag(jobs));
    let mount = format!("--mount=type=cache,id={},target=/c", other.name("cache"));
    let fill = format!(
        "FROM {}\nRUN {mount} echo secret-of-42 > /c/file\n",
        other.base
    );
    build(&other, &[&other.context(&fill)]).good();
    let look = format!("FROM {}\nRUN {mount} ls /c > /seen\n", other.base);
    for (looker, expect) in [(&job, ""), (&again, "file\n")] {
        let image = looker.name("look");
        build(looker, &["-t", &image, &looker.context(&look)]).good();
        assert_eq!(read(looker, &image, "/seen"), expect);
    }
    // Nor by asking for the other's namespace.
    let image = job.name("again");
    let name = "BUILDKIT_CACHE_MOUNT_NS=dockmaster-42";
    build(
        &job,
        &["--build-arg", name, "-t", &image, &job.context(&look)],
    )
    .good();
    assert_eq!(read(&job, &image, "/seen"), "");
}

fn a_context_that_another_tenant_sent_is_not_taken(jobs: &Jobs) {
    let (other, job) = (tag(jobs), branch(jobs));
    // The same path and the same client: so the same key. The same size and time: so nothing to send.
    let context = other.context(&format!("FROM {}\nCOPY file /file\n", other.base));
    let config = other.folder().display().to_string();
    for (builder, content) in [(&other, "secret-of-42"), (&job, "guess--of-66")] {
        let path = format!("{context}/file");
        fs::write(&path, content).unwrap();
        let time = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(time).unwrap();
        let image = builder.name("app");
        build(builder, &["-t", &image, &context])
            .env("DOCKER_CONFIG", &config)
            .good();
        assert_eq!(read(builder, &image, "/file"), content);
    }
}

fn a_dockerfile_takes_no_image_of_others(jobs: &Jobs) {
    let job = branch(jobs);
    let closed = job.closed_image();
    let base = &job.base;
    for dockerfile in [
        format!("FROM {closed}\n"),
        format!("ARG A={closed}\nFROM $A\n"),
        format!("FROM {base}\nCOPY --from={closed} /bin/busybox /b\n"),
        format!("FROM {base}\nRUN --mount=from={closed},target=/x ls /x\n"),
    ] {
        let built = build(&job, &[&job.context(&dockerfile)]).run();
        assert!(!built.is_good, "{dockerfile}: {}", built.text());
        assert!(
            built.text().contains("dockmaster: "),
            "{dockerfile}: {}",
            built.text()
        );
    }
    let by_argument = job.context("ARG A=scratch\nFROM $A\nCOPY hello /\n");
    build(&job, &[&by_argument]).good();
    assert!(
        !build(&job, &["--build-arg", &format!("A={closed}"), &by_argument])
            .run()
            .is_good
    );
    docker(&["rmi", &closed]).good();
}

fn a_build_gives_no_name_of_others(jobs: &Jobs) {
    let job = branch(jobs);
    let context = job.context(&format!("FROM {}\nCOPY hello /\n", job.base));
    for (output, word) in [
        ("type=moby,name=dockmaster-helper:1", "is ours"),
        ("type=moby,push=true", "docker push"),
        (
            "type=moby,containerimage.config={}",
            "containerimage.config",
        ),
        ("type=registry", "registry"),
    ] {
        let built = build(&job, &["-o", output, &context]).run();
        assert!(
            !built.is_good && built.text().contains(word),
            "{output}: {}",
            built.text()
        );
    }
    let name = job.name("named");
    build(&job, &["-o", &format!("type=moby,name={name}"), &context]).good();
    assert_eq!(read(&job, &name, "/hello"), "hello\n");
    job.sweep();
    let left = docker(&["images", "-q", &name]).good().stdout;
    assert_eq!(left, "", "the name is left");
}

/// Docker's own client waits for ever for a session that begins after the refusal: no engine answers a build before.
fn a_refused_build_ends_its_session(jobs: &Jobs) {
    let job = branch(jobs);
    let refuse = |session: &str| {
        let answer = job.raw(&format!(
            "POST /v1.41/build?version=2&remote=client-session&session={session}&networkmode=host HTTP/1.1\r\n\
             Host: docker\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        ));
        assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    };
    let early = Serving::open(&job, "early");
    refuse("early");
    early.ends();
    refuse("late");
    Serving::open(&job, "late").ends();
}

/// A client's end of a session, which answers the engine's questions whether it is well.
struct Serving(std::thread::JoinHandle<()>);

impl Serving {
    fn open(job: &Job, session: &str) -> Self {
        let mut stream = UnixStream::connect(job.socket()).unwrap();
        let request = format!(
            "POST /session HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\
             X-Docker-Expose-Session-Uuid: {session}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.extend(byte);
        }
        let head = String::from_utf8_lossy(&head);
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        stream.set_nonblocking(true).unwrap();
        Self(std::thread::spawn(move || {
            runtime().block_on(async {
                let stream = tokio::net::UnixStream::from_std(stream).unwrap();
                // What ends the connection ends the session.
                let Ok(mut connection) = h2::server::handshake(stream).await else {
                    return;
                };
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    let kind = HeaderValue::from_static("application/grpc");
                    let mut head = hyper::Response::new(());
                    head.headers_mut().insert(CONTENT_TYPE, kind);
                    let mut body = respond.send_response(head, false).unwrap();
                    // One message: SERVING.
                    let well: &[u8] = &[0, 0, 0, 0, 2, 8, 1];
                    body.send_data(well.into(), false).unwrap();
                    let good = HeaderValue::from_static("0");
                    let end = (HeaderName::from_static("grpc-status"), good);
                    body.send_trailers([end].into_iter().collect()).unwrap();
                }
            });
        }))
    }

    fn ends(self) {
        let deadline = Instant::now() + Duration::from_mins(1);
        while !self.0.is_finished() {
            assert!(Instant::now() < deadline, "the session stays open");
            std::thread::sleep(Duration::from_millis(20));
        }
        self.0.join().unwrap();
    }
}

fn the_engine_fetches_nothing_for_a_dockerfile(jobs: &Jobs) {
    let job = branch(jobs);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    for line in [
        format!("ADD http://127.0.0.1:{port}/x /x"),
        format!("ADD http://127.0.0.1:{port}/x.git /x"),
        format!("ARG U=http://127.0.0.1:{port}/x\nADD $U /x"),
    ] {
        let context = job.context(&format!("FROM {}\n{line}\n", job.base));
        let built = build(&job, &[&context]).run();
        assert!(
            !built.is_good && built.text().contains("dockmaster: "),
            "{line}: {}",
            built.text()
        );
    }
    let error = listener.accept().unwrap_err();
    assert_eq!(
        error.kind(),
        ErrorKind::WouldBlock,
        "the engine asked 127.0.0.1"
    );
}

fn an_image_of_the_job_does_not_read_its_dockerfile(jobs: &Jobs) {
    let job = branch(jobs);
    let evil = job.closed_image();
    // As a frontend it would fail at the least: it does not speak to the engine.
    let line = format!("# syntax={evil}\nFROM {}\nCOPY hello /\n", job.base);
    build(&job, &[&job.context(&line)]).good();
    let plain = job.context(&format!("FROM {}\nCOPY hello /\n", job.base));
    build(
        &job,
        &["--build-arg", &format!("BUILDKIT_SYNTAX={evil}"), &plain],
    )
    .good();
    docker(&["rmi", &evil]).good();
}

fn a_host_of_ours_is_not_the_job_s_to_name(jobs: &Jobs) {
    let job = branch(jobs);
    let step = format!("FROM {}\nRUN cat /etc/hosts > /hosts\n", job.base);
    let context = job.context(&step);
    let refused = build(
        &job,
        &["--add-host", "dockmaster-42.invalid:127.0.0.1", &context],
    )
    .run();
    assert!(
        !refused.is_good && refused.text().contains("dockmaster-42.invalid"),
        "{}",
        refused.text()
    );
    let image = job.name("hosts");
    build(&job, &["--add-host", "db:10.0.0.2", "-t", &image, &context]).good();
    let layer = job
        .client(&["run", "--rm", &image, "cat", "/hosts"])
        .good()
        .stdout;
    assert!(layer.contains("10.0.0.2\tdb"), "{layer}");
}

fn two_tenants_build_with_buildx(jobs: &Jobs) {
    let (first, other, again) = (branch(jobs), tag(jobs), branch(jobs));
    let buildx = plugin("docker-buildx").unwrap();
    let chances = [&first, &other, &again].map(|job| {
        job.use_plugin(&buildx);
        let image = job.name("app");
        let context = job.context(&chance(&first.base));
        job.client(&["buildx", "build", "-t", &image, &context])
            .good();
        read(job, &image, "/chance")
    });
    assert_ne!(chances[0], chances[1]);
    assert_eq!(chances[0], chances[2]);
    let closed = first.closed_image();
    let context = first.context(&format!("FROM {closed}\n"));
    let built = first.client(&["buildx", "build", &context]).run();
    assert!(
        !built.is_good && built.text().contains("dockmaster: "),
        "{}",
        built.text()
    );
    docker(&["rmi", &closed]).good();
}

fn a_log_has_the_names_that_the_job_knows(jobs: &Jobs) {
    let job = branch(jobs);
    job.use_plugin(&plugin("docker-buildx").unwrap());
    let (good, bad) = (
        job.context(&format!("FROM {}\nCOPY hello /\n", job.base)),
        job.context(&format!("FROM {}\nRUN false\n", job.base)),
    );
    for context in [&good, &bad] {
        let image = job.name("log");
        for ran in [
            build(&job, &["--progress", "plain", "-t", &image, context]).run(),
            job.client(&[
                "buildx",
                "build",
                "--progress",
                "plain",
                "-t",
                &image,
                context,
            ])
            .run(),
        ] {
            assert_eq!(ran.is_good, context == &good, "{}", ran.text());
            let log = ran.text();
            assert!(log.contains(&job.base), "{log}");
            assert!(!log.contains(".invalid/"), "{log}");
        }
    }
}

fn each_target_of_a_bake_has_its_own_arguments(jobs: &Jobs) {
    let job = branch(jobs);
    job.use_plugin(&plugin("docker-buildx").unwrap());
    let context = job.context("ARG BASE\nFROM $BASE\nARG WORD\nRUN echo $WORD > /word\n");
    let target = |word: &str| {
        let (args, tags) = (json!({ "BASE": job.base, "WORD": word }), [job.name(word)]);
        json!({ "context": context, "args": args, "tags": tags })
    };
    let file = format!("{context}/bake.json");
    let targets = json!({ "one": target("one"), "two": target("two") });
    fs::write(&file, json!({ "target": targets }).to_string()).unwrap();
    // Newer ones ask before they read outside of the current folder.
    job.client(&["buildx", "bake", "-f", &file, "one", "two"])
        .env("BUILDX_BAKE_ENTITLEMENTS_FS", "0")
        .good();
    for word in ["one", "two"] {
        assert_eq!(read(&job, &job.name(word), "/word"), format!("{word}\n"));
    }
}
