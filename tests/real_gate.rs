//! The gate in front of the machine's real Docker Engine, used by real Docker clients.

#[expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says on stderr why it was skipped"
)]
mod gate_bench;

use std::fs;
use std::io::{BufRead, BufReader, Write};

use gate_bench::{Bench, docker, unlabelled};

const BUILDERS: [&str; 2] = ["0", "1"];

#[test]
fn an_image_is_built_run_and_gone_after_the_sweep() {
    let Some(bench) = Bench::open("build") else {
        return;
    };
    for builder in BUILDERS {
        let tag = bench.name(&format!("app{builder}"));
        let context = bench.context(&format!(
            "FROM {}\nCOPY hello /hello\nRUN cat /hello > /copy\n",
            bench.base
        ));
        let built = bench
            .client(&["build", "-t", &tag, &context])
            .env("DOCKER_BUILDKIT", builder)
            .run();
        assert!(built.is_good, "builder {builder}: {}", built.text());
        let ran = bench.client(&["run", "--rm", &tag, "cat", "/copy"]).run();
        assert_eq!(ran.stdout, "hello\n", "{}", ran.text());
        let listed = bench.client(&["images", "-q", &tag]).run();
        assert!(!listed.stdout.is_empty(), "the image is listed");
        let inspected = bench.client(&["inspect", "--type", "image", &tag]).run();
        assert!(
            inspected.stdout.contains(&bench.label.0),
            "the image carries the label"
        );
    }
    bench
        .client(&["run", "-d", &bench.name("app0"), "sleep", "100"])
        .good();
    bench.sweep();
    assert_eq!(bench.labelled(), "", "something is left");
    for builder in BUILDERS {
        let tag = bench.name(&format!("app{builder}"));
        assert!(
            !docker(&["image", "inspect", &tag]).run().is_good,
            "{tag} is left"
        );
    }
    bench.sweep();
}

#[test]
fn input_output_and_exit_codes_pass_through() {
    let Some(bench) = Bench::open("attach") else {
        return;
    };
    let cat = bench
        .client(&["run", "-i", "--rm", &bench.base, "cat"])
        .stdin("one\ntwo\n")
        .run();
    assert_eq!(
        (cat.stdout.as_str(), cat.is_good),
        ("one\ntwo\n", true),
        "{}",
        cat.text()
    );
    let big = "x".repeat(3_000_000);
    let cat = bench
        .client(&["run", "-i", "--rm", &bench.base, "cat"])
        .stdin(&big)
        .run();
    assert_eq!(cat.stdout.len(), big.len());
    let both = bench
        .client(&[
            "run",
            "--rm",
            &bench.base,
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

#[test]
fn a_running_container_takes_commands_and_files() {
    let Some(bench) = Bench::open("exec") else {
        return;
    };
    let long = bench.name("long");
    bench
        .line(&format!("run -d --name {long} {} sleep 100", bench.base))
        .good();
    let exec = bench
        .client(&["exec", "-i", &long, "sh", "-c", "cat; exit 5"])
        .stdin("in\n")
        .run();
    assert_eq!(
        (exec.stdout.as_str(), exec.code),
        ("in\n", Some(5)),
        "{}",
        exec.text()
    );
    bench
        .client(&[
            "cp",
            &format!("{}/hello", bench.context("")),
            &format!("{long}:/tmp/"),
        ])
        .good();
    assert_eq!(
        bench
            .client(&["exec", &long, "cat", "/tmp/hello"])
            .good()
            .stdout,
        "hello\n"
    );
    let copied = bench
        .client(&["cp", &format!("{long}:/tmp/hello"), "-"])
        .good();
    assert!(copied.stdout.contains("hello\n"));
    assert!(bench.client(&["ps"]).good().stdout.contains(&long));
    bench.client(&["stop", "-t", "0", &long]).good();
    assert_eq!(bench.client(&["wait", &long]).good().stdout, "137\n");
    bench.client(&["rm", &long]).good();
}

#[test]
fn what_would_reach_the_host_is_refused_with_a_message() {
    let Some(bench) = Bench::open("refuse") else {
        return;
    };
    for (arguments, word) in [
        (
            vec!["--privileged"],
            "HostConfig.Privileged is not allowed in a job",
        ),
        (vec!["-v", "/:/host"], "outside the job's workspace"),
        (
            vec!["-v", "/var/lib/docker:/x"],
            "outside the job's workspace",
        ),
        (
            vec!["--mount", "type=bind,src=/etc,dst=/x"],
            "outside the job's workspace",
        ),
        (
            vec![
                "--mount",
                "type=volume,dst=/x,volume-opt=type=none,volume-opt=device=/,volume-opt=o=bind",
            ],
            "Options",
        ),
        (vec!["--network", "host"], "HostConfig.NetworkMode"),
        (vec!["--pid", "host"], "HostConfig.PidMode"),
        (vec!["--ipc", "host"], "HostConfig.IpcMode"),
        (vec!["--uts", "host"], "HostConfig.UTSMode"),
        (vec!["--userns", "host"], "HostConfig.UsernsMode"),
        (vec!["--cgroupns", "host"], "HostConfig.CgroupnsMode"),
        (vec!["--cap-add", "SYS_ADMIN"], "HostConfig.CapAdd"),
        (vec!["--device", "/dev/kmsg"], "HostConfig.Devices"),
        (
            vec!["--security-opt", "apparmor=unconfined"],
            "HostConfig.SecurityOpt",
        ),
        (
            vec!["--security-opt", "systempaths=unconfined"],
            "HostConfig.MaskedPaths",
        ),
        (vec!["--cgroup-parent", "/x"], "HostConfig.CgroupParent"),
        (vec!["--runtime", "other"], "HostConfig.Runtime"),
        (vec!["--log-driver", "syslog"], "HostConfig.LogConfig"),
        (
            vec!["--sysctl", "net.ipv4.ip_forward=1"],
            "HostConfig.Sysctls",
        ),
        (vec!["--oom-score-adj", "-500"], "HostConfig.OomScoreAdj"),
        (vec!["--volume-driver", "nfs"], "HostConfig.VolumeDriver"),
    ] {
        let mut all = vec!["run", "--rm"];
        all.extend(&arguments);
        all.extend([bench.base.as_str(), "true"]);
        let ran = bench.client(&all).run();
        assert!(
            !ran.is_good && ran.stderr.contains(word),
            "{arguments:?}: {}",
            ran.text()
        );
    }
    assert_eq!(bench.labelled(), "", "a refused container was made");
}

#[test]
fn what_no_job_needs_is_refused_with_a_message() {
    let Some(bench) = Bench::open("closed") else {
        return;
    };
    for arguments in [
        vec!["save", &bench.base],
        vec!["swarm", "init"],
        vec!["plugin", "ls"],
        vec!["system", "prune", "-f"],
        vec![
            "volume",
            "create",
            "-o",
            "type=nfs",
            "-o",
            "device=:/x",
            "-o",
            "o=addr=10.0.0.1",
            "x",
        ],
        vec!["network", "create", "--subnet", "10.99.0.0/24", "x"],
        vec![
            "build",
            "--network",
            "host",
            &bench.context("FROM scratch\n"),
        ],
        vec!["rmi", &bench.base],
        vec!["push", &bench.base],
        vec!["import", "http://10.0.0.1/x.tar"],
    ] {
        let ran = bench.client(&arguments).env("DOCKER_BUILDKIT", "0").run();
        assert!(
            !ran.is_good && ran.text().contains("dockmaster: "),
            "{arguments:?}: {}",
            ran.text()
        );
    }
    assert_eq!(bench.labelled(), "", "a refused request made something");
}

#[test]
fn what_another_job_made_is_invisible_and_untouchable() {
    let Some(mine) = Bench::open("mine") else {
        return;
    };
    let Some(other) = Bench::open("other") else {
        return;
    };
    let name = other.name("secret");
    let id = other
        .client(&["run", "-d", "--name", &name, &other.base, "sleep", "100"])
        .good()
        .stdout;
    let id = id.trim();
    // Named like the other's id, so that a lookup by name would find the wrong one.
    let decoy = mine
        .client(&["create", "--name", id, &mine.base, "true"])
        .run();
    assert!(decoy.stderr.contains("choose another"), "{}", decoy.text());
    for victim in [id, &id[..12], &name] {
        for arguments in [
            vec!["exec", victim, "true"],
            vec!["inspect", victim],
            vec!["logs", victim],
            vec!["stop", "-t", "0", victim],
            vec!["rm", "-f", victim],
            vec!["top", victim],
            vec!["cp", victim, "-"],
            vec!["attach", victim],
            vec!["kill", victim],
        ] {
            let mut arguments = arguments;
            let source = format!("{victim}:/etc");
            if arguments[0] == "cp" {
                arguments[1] = &source;
            }
            let ran = mine.client(&arguments).run();
            assert!(
                ran.stderr.contains("No such"),
                "{arguments:?}: {}",
                ran.text()
            );
        }
        for mode in [
            "--volumes-from",
            "--network=container:",
            "--pid=container:",
            "--ipc=container:",
        ] {
            let joined = format!(
                "{mode}{}{victim}",
                if mode.ends_with(':') { "" } else { "=" }
            );
            let ran = mine
                .client(&["run", "--rm", &joined, &mine.base, "true"])
                .run();
            assert!(
                !ran.is_good && ran.stderr.contains("No such container"),
                "{joined}: {}",
                ran.text()
            );
        }
    }
    assert!(
        !mine
            .client(&["ps", "-aq", "--no-trunc"])
            .good()
            .stdout
            .contains(id)
    );
    mine.sweep();
    let alive = other.client(&["exec", &name, "true"]).run();
    assert!(alive.is_good, "the sweep of one job took another's");
}

#[test]
fn volumes_networks_and_images_of_another_job_are_out_of_reach() {
    let Some(mine) = Bench::open("mine2") else {
        return;
    };
    let Some(other) = Bench::open("other2") else {
        return;
    };
    let (volume, network, tag) = (other.name("data"), other.name("net"), other.name("theirs"));
    other.line(&format!("volume create {volume}")).good();
    let run = format!("run --rm -v {volume}:/x {} true", mine.base);
    let taken = mine.line(&run).run();
    assert!(taken.stderr.contains("not this job's"), "{}", taken.text());
    assert!(!mine.line(&format!("volume rm {volume}")).run().is_good);
    other.line(&format!("network create {network}")).good();
    let run = format!("run --rm --network {network} {} true", mine.base);
    let joined = mine.line(&run).run();
    assert!(joined.stderr.contains("not found"), "{}", joined.text());
    let context = other.context(&format!("FROM {}\nRUN true\n", other.base));
    other.line(&format!("build -t {tag} {context}")).good();
    let moved = mine.line(&format!("tag {} {tag}", mine.base)).run();
    let word = "choose another tag";
    assert!(moved.stderr.contains(word), "{}", moved.text());
    assert!(!mine.line(&format!("rmi {tag}")).run().is_good);
    assert!(!mine.line("images").good().stdout.contains(&tag));
    mine.sweep();
    assert!(other.line(&format!("run --rm {tag} true")).run().is_good);
}

#[test]
fn containers_of_a_job_meet_in_its_network() {
    let Some(bench) = Bench::open("network") else {
        return;
    };
    let server = bench.name("server");
    let web = [
        "run",
        "-d",
        "--name",
        &server,
        "-p",
        "18080:80",
        &bench.base,
        "sh",
        "-c",
        "mkdir /w; echo page > /w/index.html; exec busybox httpd -f -p 80 -h /w",
    ];
    let started = bench.client(&web).good();
    assert!(
        started.stderr.contains("not published"),
        "{}",
        started.text()
    );
    let get = format!(
        "for i in 1 2 3 4 5 6 7 8 9; do busybox wget -qO- http://{server}/ && exit; sleep 0.3; done; exit 1"
    );
    let got = bench
        .client(&["run", "--rm", &bench.base, "sh", "-c", &get])
        .run();
    assert_eq!(got.stdout, "page\n", "{}", got.text());
    let own = bench.name("own");
    bench.client(&["network", "create", &own]).good();
    bench.client(&["network", "connect", &own, &server]).good();
    let got = bench
        .client(&[
            "run",
            "--rm",
            "--network",
            &own,
            &bench.base,
            "sh",
            "-c",
            &get,
        ])
        .run();
    assert_eq!(got.stdout, "page\n", "{}", got.text());
    assert!(
        bench
            .client(&["network", "ls"])
            .good()
            .stdout
            .contains(&own)
    );
}

#[test]
fn the_workspace_is_mounted_by_its_path_and_nothing_beyond_it() {
    let Some(bench) = Bench::open("bind") else {
        return;
    };
    let project = bench.workspace().join("group/project");
    fs::create_dir_all(&project).unwrap();
    fs::write(project.join("file"), "content\n").unwrap();
    std::os::unix::fs::symlink("/etc", project.join("away")).unwrap();
    let read = |source: &str, target: &str, command: &str| {
        let bind = format!("{source}:{target}");
        bench
            .client(&["run", "--rm", "-v", &bind, &bench.base, "sh", "-c", command])
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
    bench.close();
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(
        !mounts.contains(bench.folder().to_str().unwrap()),
        "a bind mount is left"
    );
}

#[test]
fn a_pushed_digest_is_reported_and_is_the_registrys() {
    let Some(bench) = Bench::open("push") else {
        return;
    };
    let Some(registry) = bench.registry() else {
        return;
    };
    let image = format!("127.0.0.1:{}/test/app", registry.port);
    let tag = format!("{image}:v1");
    let context = bench.context(&format!("FROM {}\nCOPY hello /hello\n", bench.base));
    bench.client(&["build", "-t", &tag, &context]).good();
    bench.client(&["push", &tag]).good();
    let pushed = bench.pushed();
    assert_eq!(pushed.len(), 1, "{pushed:?}");
    assert_eq!(
        (pushed[0].image.as_str(), pushed[0].tag.as_str()),
        (image.as_str(), "v1")
    );
    assert_eq!(pushed[0].digest, registry.digest("test/app", "v1"));
    bench.client(&["rmi", &tag]).good();
    bench.client(&["pull", &tag]).good();
    let ran = bench.client(&["run", "--rm", &tag, "cat", "/hello"]).run();
    assert_eq!(ran.stdout, "hello\n", "{}", ran.text());
    bench
        .client(&["pull", &format!("{image}@{}", pushed[0].digest)])
        .good();
    bench.fail_pushes();
    let failed = bench.client(&["push", &tag]).run();
    assert!(
        !failed.is_good && failed.text().contains("cannot be recorded"),
        "{}",
        failed.text()
    );
    bench.sweep();
    docker(&["rmi", &tag]).run();
    docker(&["rmi", &format!("{image}@{}", pushed[0].digest)]).run();
}

#[test]
fn an_upgrade_that_the_daemon_refuses_opens_no_tunnel() {
    let Some(bench) = Bench::open("tunnel") else {
        return;
    };
    let name = bench.name("done");
    bench
        .client(&["create", "--name", &name, &bench.base, "true"])
        .good();
    let hidden = "GET /v1.41/swarm HTTP/1.1\r\nHost: docker\r\n\r\n";
    for head in [
        "POST /v1.41/exec/0000000000000000000000000000000000000000000000000000000000000000/start",
        "POST /v1.41/containers/none/attach?stream=1",
        "GET /v1.41/info",
        "POST /v1.41/containers/create",
    ] {
        let request = format!(
            "{head} HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n{hidden}"
        );
        let answer = bench.raw(&request);
        assert!(!answer.starts_with("HTTP/1.1 101"), "{head}: {answer}");
        assert!(
            !answer.contains("swarm") || answer.contains("is not open to jobs"),
            "{head}: {answer}"
        );
    }
}

#[test]
fn a_build_that_is_broken_off_ends_and_leaves_no_container() {
    let Some(bench) = Bench::open("abort") else {
        return;
    };
    let buildx = gate_bench::plugin("docker-buildx");
    // A plugin outlives its client, so buildx is started by itself.
    let clients = [
        (Some(gate_bench::CLIENT.to_owned()), "0"),
        (Some(gate_bench::CLIENT.to_owned()), "1"),
        (buildx, "x"),
    ];
    for (client, builder) in clients {
        let Some(client) = client else {
            gate_bench::skip("no buildx on this machine");
            continue;
        };
        let marker = bench.name(&format!("marker{builder}"));
        let dockerfile = format!("FROM {}\nRUN sleep 100; echo {marker}\n", bench.base);
        let (tag, context) = (bench.name("never"), bench.context(&dockerfile));
        let build = bench.program(&client, &["build", "-t", &tag, &context]);
        let mut child = build.env("DOCKER_BUILDKIT", builder).start();
        gate_bench::until("the step runs", || gate_bench::is_running(&marker));
        child.kill().unwrap();
        child.wait().unwrap();
        gate_bench::until("the step has ended", || !gate_bench::is_running(&marker));
        gate_bench::until("the step is gone", || unlabelled(&marker).is_empty());
    }
}

#[test]
fn compose_runs_a_project() {
    let Some(bench) = Bench::open("compose") else {
        return;
    };
    let project = bench.context("");
    let file = format!(
        "version: '3.8'\nservices:\n  db: {{image: '{base}', command: [sleep, '60'], volumes: ['data:/data'],\n    \
         healthcheck: {{test: ['CMD', 'true'], interval: 1s}}}}\n  web: {{image: '{base}', command: [sleep, '60'],\n    \
         depends_on: [db], ports: ['18182:80'], restart: unless-stopped, environment: {{A: '${{A}}'}}}}\nvolumes: {{data: {{}}}}\n",
        base = bench.base
    );
    fs::write(format!("{project}/docker-compose.yml"), file).unwrap();
    let name = bench.name("project").replace('-', "");
    let compose = |arguments: &[&str]| {
        let path = format!("{project}/docker-compose.yml");
        let mut all = vec!["-f", &path, "-p", &name];
        all.extend(arguments);
        bench.program("docker-compose", &all).env("A", "one")
    };
    if !bench.program("docker-compose", &["version"]).run().is_good {
        gate_bench::skip("no docker-compose on this machine");
        return;
    }
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
    assert!(compose(&["ps"]).good().stdout.contains("web_1"));
    // A changed setting makes compose rename the old container and make a new one.
    compose(&["up", "-d"]).env("A", "two").good();
    let seen = compose(&["exec", "-T", "web", "sh", "-c", "echo $A"]).good();
    assert_eq!(seen.stdout, "two\n");
    compose(&["down", "-v", "-t", "0"]).good();
    assert_eq!(bench.labelled(), "", "compose left something");
}

#[test]
fn a_newer_client_builds_runs_and_removes() {
    let Some(bench) = Bench::open("newer") else {
        return;
    };
    let newer = |arguments: &[&str]| bench.program("/usr/local/bin/docker", arguments);
    if !newer(&["--version"]).run().is_good {
        gate_bench::skip("no second Docker client on this machine");
        return;
    }
    let tag = bench.name("app");
    let context = bench.context(&format!("FROM {}\nCOPY hello /hello\n", bench.base));
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

#[test]
fn output_arrives_while_the_container_still_reads() {
    let Some(bench) = Bench::open("talk") else {
        return;
    };
    let mut child = bench
        .line(&format!("run -i --rm {} cat", bench.base))
        .talk();
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

#[test]
fn a_name_of_the_host_is_moved_only_if_allowed_and_given_back() {
    let Some(bench) = Bench::open("names") else {
        return;
    };
    let id = |name: &str| {
        docker(&["image", "inspect", "-f", "{{.Id}}", name])
            .good()
            .stdout
    };
    let (fixed, movable) = (bench.name("fixed"), bench.name("movable"));
    for name in [&fixed, &movable] {
        docker(&["tag", &bench.base, name]).good();
    }
    let context = bench.context(&format!("FROM {}\nCOPY hello /hello\n", bench.base));
    let refused = bench.line(&format!("build -t {fixed} {context}")).run();
    assert!(
        refused.stderr.contains("choose another tag"),
        "{}",
        refused.text()
    );
    bench.line(&format!("build -t {movable} {context}")).good();
    assert_ne!(id(&movable), id(&bench.base));
    bench.sweep();
    assert_eq!(id(&movable), id(&bench.base));
    docker(&["rmi", &fixed, &movable]).good();
}

#[test]
fn a_container_of_somebody_elses_is_not_the_jobs_though_its_image_is() {
    let Some(bench) = Bench::open("image") else {
        return;
    };
    let (tag, name) = (bench.name("app"), bench.name("outside"));
    let context = bench.context(&format!("FROM {}\nCOPY hello /hello\n", bench.base));
    bench.line(&format!("build -t {tag} {context}")).good();
    docker(&["run", "-d", "--name", &name, &tag, "sleep", "100"]).good();
    assert!(!bench.line("ps").good().stdout.contains(&name));
    assert!(!bench.line(&format!("exec {name} true")).run().is_good);
    docker(&["rm", "-f", &name]).good();
}

#[test]
fn buildx_builds_through_its_own_interface() {
    let Some(bench) = Bench::open("buildx") else {
        return;
    };
    let Some(plugin) = gate_bench::plugin("docker-buildx") else {
        gate_bench::skip("no buildx on this machine");
        return;
    };
    bench.use_plugin(&plugin);
    let buildx = |arguments: &[&str]| {
        let mut all = vec!["buildx"];
        all.extend(arguments);
        bench.client(&all)
    };
    let tag = bench.name("app");
    let dockerfile = format!(
        "FROM {}\nCOPY hello /hello\nRUN cat /hello > /copy\n",
        bench.base
    );
    let context = bench.context(&dockerfile);
    buildx(&["build", "-t", &tag, &context]).good();
    let ran = bench.line(&format!("run --rm {tag} cat /copy")).run();
    assert_eq!(ran.stdout, "hello\n", "{}", ran.text());
    let labels = docker(&["image", "inspect", "-f", "{{.Config.Labels}}", &tag]).good();
    assert!(labels.stdout.contains(&bench.label.1), "{}", labels.text());
    for (arguments, word) in [
        (vec!["--network", "host"], "force-network-mode"),
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
    assert!(!buildx(&["prune", "-f"]).run().is_good);
    bench.sweep();
    assert!(!docker(&["image", "inspect", &tag]).run().is_good);
}
