//! Images of two jobs: project 66 on a branch, and project 42 on a protected tag.

use std::fmt::Write;
use std::path::Path;

use crate::fixture::{Job, Jobs, docker};

testbed::tests![
    Jobs; [Root, Engine];
    a_job_meets_no_image_of_another_whatever_it_calls_it,
    labels_of_an_image_say_nothing_of_whose_it_is,
    gc_takes_what_a_dead_job_made_and_nothing_of_another_installation,
    gc_passes_over_a_group_that_somebody_else_is_in,
    each_job_runs_its_own_image_of_a_name,
    two_jobs_push_one_name_and_each_its_own_image: [DockerRegistry],
    a_pulled_image_is_open_to_who_may_pull_it: [DockerRegistry],
];

fn branch(jobs: &Jobs) -> Job {
    jobs.open_as("branch", 66, false)
}

fn tag(jobs: &Jobs) -> Job {
    jobs.open_as("tag", 42, true)
}

/// Builds an image whose file `/hello` says this.
fn build(job: &Job, name: &str, word: &str) {
    let recipe = format!("FROM {}\nRUN echo {word} > /hello\n", job.base);
    job.client(&["build", "-t", name, &job.context(&recipe)])
        .env("DOCKER_BUILDKIT", "0")
        .good();
}

fn said(job: &Job, name: &str) -> String {
    let ran = job.client(&["run", "--rm", name, "cat", "/hello"]).good();
    ran.stdout.trim().to_owned()
}

fn id(job: &Job, name: &str) -> String {
    let found = job.client(&["image", "inspect", "-f", "{{.Id}}", name]);
    found.good().stdout.trim().to_owned()
}

fn a_job_meets_no_image_of_another_whatever_it_calls_it(jobs: &Jobs) {
    let (victim, attacker) = (tag(jobs), branch(jobs));
    let name = victim.name("app");
    build(&victim, &name, "secret-of-42");
    let id = id(&victim, &name);
    let short = &id["sha256:".len()..][..12];
    let private = victim.private_names().remove(0);
    for called in [name.as_str(), &id, short, &private] {
        for arguments in [
            vec!["run", "--rm", "--pull=never", called, "true"],
            vec!["image", "inspect", called],
            vec!["history", called],
            vec!["tag", called, "mine"],
            vec!["push", called],
            vec!["rmi", called],
        ] {
            let ran = attacker.client(&arguments).run();
            assert!(!ran.is_good, "{arguments:?}: {}", ran.text());
        }
    }
    let listed = attacker.client(&["image", "ls", "-a", "--no-trunc"]).good();
    assert!(!listed.stdout.contains(&id), "{}", listed.stdout);
    assert_eq!(said(&victim, &name), "secret-of-42");
    let listed = victim.client(&["image", "ls", "--no-trunc"]).good();
    assert!(listed.stdout.contains(&id), "{}", listed.stdout);
    assert!(!listed.stdout.contains(".invalid"), "{}", listed.stdout);
}

/// An image of the host's that carries each label of ours as a thing of this job's would, and a container
/// that runs it.
fn labelled(job: &Job) -> (String, String) {
    let (key, mark) = (job.label.1.as_str(), job.mark());
    let mut recipe = format!("FROM {}\n", job.base);
    for (name, value) in [
        ("made-by", key),
        ("made-by-image", key),
        ("job", key),
        ("runner", "1-1"),
        ("role", "build"),
        ("installation", &mark),
    ] {
        writeln!(recipe, "LABEL dockmaster.{name}={value}").unwrap();
    }
    let built = docker(&["build", "-q", &job.context(&recipe)]);
    let image = built.env("DOCKER_BUILDKIT", "0").good();
    let image = image.stdout.trim().to_owned();
    let name = job.name("production");
    docker(&["run", "-d", "--name", &name, &image, "sleep", "1000"]).good();
    (image, name)
}

fn labels_of_an_image_say_nothing_of_whose_it_is(jobs: &Jobs) {
    let job = jobs.open_apart("labels", 66);
    let (image, name) = labelled(&job);
    for arguments in [
        vec!["image", "inspect", &image],
        vec!["rmi", &image],
        vec!["tag", &image, "mine"],
        vec!["inspect", &name],
        vec!["exec", &name, "true"],
        vec!["stop", &name],
    ] {
        let ran = job.client(&arguments).run();
        let answer = ran.stderr.to_lowercase();
        assert!(answer.contains("no such"), "{arguments:?}: {}", ran.text());
    }
    let id = &image["sha256:".len()..][..12];
    for arguments in [
        vec!["ps", "-a"],
        vec!["image", "ls", "-a"],
        vec!["container", "prune", "-f"],
        vec!["image", "prune", "-af"],
    ] {
        let ran = job.client(&arguments).good();
        let says = |word: &str| ran.stdout.contains(word);
        assert!(!says(id) && !says(&name), "{arguments:?}: {}", ran.text());
    }
    job.close();
    job.sweep();
    job.gc();
    docker(&["exec", &name, "true"]).good();
    docker(&["rm", "-f", &name]).good();
    job.gc();
    docker(&["rmi", &image]).good();
}

/// What a job of an installation left that is dead: nothing but the engine tells of it. The name of its
/// image.
fn leave(job: &Job) -> [(&'static str, String); 4] {
    let name = |what: &str| format!("dockmaster-{}.{what}", job.label.1);
    let labels = [
        format!("dockmaster.installation={}", job.mark()),
        format!("dockmaster.job={}", job.label.1),
        "dockmaster.runner=1-1".to_owned(),
    ];
    let labels: Vec<&str> = labels.iter().flat_map(|it| ["--label", it]).collect();
    let image = format!("dockmaster-{}.invalid/app:1", job.digits_of("dead"));
    let left = [
        ("volume", name("data")),
        ("network", name("net")),
        ("container", name("web")),
        ("image", image),
    ];
    let make = |before: &[&str], after: &[&str]| {
        docker(&[before, &labels, after].concat()).good();
    };
    make(&["volume", "create"], &[&left[0].1]);
    make(&["network", "create"], &[&left[1].1]);
    make(
        &["create", "--name", &left[2].1, "-v", "/anonymous"],
        &[&job.base, "true"],
    );
    docker(&["tag", &job.base, &left[3].1]).good();
    left
}

fn gc_takes_what_a_dead_job_made_and_nothing_of_another_installation(jobs: &Jobs) {
    let (one, other) = (jobs.open_apart("one", 42), jobs.open_apart("other", 66));
    let (of_one, of_other) = (leave(&one), leave(&other));
    let is_there = |left: &[(&str, String); 4]| {
        let look = |(kind, name): &(&str, String)| docker(&[kind, "inspect", name]).run().is_good;
        left.each_ref().map(look)
    };
    one.gc();
    assert_eq!(is_there(&of_one), [false; 4]);
    assert_eq!(is_there(&of_other), [true; 4]);
    other.gc();
    assert_eq!(is_there(&of_other), [false; 4]);
}

fn gc_passes_over_a_group_that_somebody_else_is_in(jobs: &Jobs) {
    let job = jobs.open_apart("busy", 42);
    let stranger = job.name("stranger");
    // As a job's of a runner that is gone: no process has that number.
    let group = format!("/dockmaster/{}.4194304-1", job.name("p42-j1"));
    docker(&[
        "run",
        "-d",
        "--name",
        &stranger,
        "--cgroup-parent",
        &group,
        "--network",
        "none",
        &job.base,
        "sleep",
        "1000",
    ])
    .good();
    let is_there = || {
        let mut trees = ["/sys/fs/cgroup/memory", "/sys/fs/cgroup"].into_iter();
        trees.any(|tree| Path::new(&format!("{tree}{group}")).exists())
    };
    assert!(is_there(), "{group}");
    job.gc();
    let running = docker(&["inspect", "-f", "{{.State.Running}}", &stranger]).good();
    assert_eq!(running.stdout.trim(), "true");
    docker(&["rm", "-f", &stranger]).good();
    job.gc();
    assert!(!is_there(), "{group}");
}

fn each_job_runs_its_own_image_of_a_name(jobs: &Jobs) {
    let (victim, attacker) = (tag(jobs), branch(jobs));
    let name = victim.name("app:v1");
    build(&victim, &name, "of-42");
    build(&attacker, &name, "of-66");
    attacker.client(&["tag", &attacker.base, &name]).good();
    build(&attacker, &name, "again-of-66");
    assert_eq!(said(&victim, &name), "of-42");
    assert_eq!(said(&attacker, &name), "again-of-66");
    victim
        .client(&["create", "--name", "one", &name, "true"])
        .good();
    let shown = victim.line("ps -a --format {{.Image}}").good();
    assert_eq!(shown.stdout.trim(), name);
    let shown = victim.line("inspect -f {{.Config.Image}} one").good();
    assert_eq!(shown.stdout.trim(), name);
    let refused = attacker
        .client(&["tag", &name, "dockmaster-helper:1"])
        .run();
    assert!(refused.stderr.contains("is ours"), "{}", refused.text());
}

fn two_jobs_push_one_name_and_each_its_own_image(jobs: &Jobs) {
    let (one, other) = (tag(jobs), branch(jobs));
    let registry = one.registry();
    let name = format!("127.0.0.1:{}/test/app:v1", registry.port);
    build(&one, &name, "of-42");
    build(&other, &name, "of-66");
    std::thread::scope(|scope| {
        let pushes = [&one, &other].map(|job| {
            let client = job.client(&["push", &name]);
            scope.spawn(move || client.good())
        });
        for push in pushes {
            push.join().unwrap();
        }
    });
    let digests = [&one, &other].map(|job| job.pushed().remove(0).digest);
    assert_ne!(digests[0], digests[1]);
    for (job, word, digest) in [(&one, "of-42", &digests[0]), (&other, "of-66", &digests[1])] {
        let exact = format!("127.0.0.1:{}/test/app@{digest}", registry.port);
        assert_eq!(said(job, &exact), word);
        job.client(&["rmi", "-f", &id(job, &name)]).good();
        // The registry has under this digest what the job built.
        job.client(&["pull", &exact]).good();
        assert_eq!(said(job, &exact), word);
    }
    let real = docker(&[
        "image",
        "ls",
        "-aq",
        "--digests",
        name.trim_end_matches(":v1"),
    ]);
    assert_eq!(real.good().stdout, "");
}

fn a_pulled_image_is_open_to_who_may_pull_it(jobs: &Jobs) {
    let (one, other) = (tag(jobs), branch(jobs));
    let registry = one.registry();
    let name = format!("127.0.0.1:{}/test/app:v1", registry.port);
    build(&one, &name, "of-42");
    one.client(&["push", &name]).good();
    one.client(&["rmi", "-f", &id(&one, &name)]).good();
    let pulled = one.client(&["pull", &name]).good();
    let end = format!("Status: Downloaded newer image for {name}");
    assert!(pulled.stdout.contains(&end), "{}", pulled.stdout);
    assert!(
        pulled.stdout.starts_with("v1: Pulling from test/app"),
        "{}",
        pulled.stdout
    );
    let again = one.client(&["pull", &name]).good();
    assert!(
        again.stdout.contains("Image is up to date for"),
        "{}",
        again.stdout
    );
    // The copy that the project keeps goes beyond the budget; the job's own name stays.
    let copies = || {
        let all = docker(&["image", "ls", "--format", "{{.Repository}}:{{.Tag}}"]).good();
        let port = format!("127.0.0.1__{}/", registry.port);
        let lines = all.stdout.lines();
        lines
            .filter(|it| it.starts_with("dockmaster-tenant-") && it.contains(&port))
            .count()
    };
    assert_eq!(copies(), 1);
    one.trim(0);
    assert_eq!(copies(), 0);
    let image = id(&one, &name);
    // The layers are on the host; the registry says no more.
    drop(registry);
    for arguments in [
        vec!["pull", &name],
        vec!["run", "--rm", &name, "true"],
        vec!["run", "--rm", "--pull=never", &image, "true"],
    ] {
        let ran = other.client(&arguments).run();
        assert!(!ran.is_good, "{arguments:?}: {}", ran.text());
    }
    assert_eq!(said(&one, &name), "of-42");
    assert_eq!(other.private_names(), [""; 0]);
}
