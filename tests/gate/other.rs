//! What another job made is out of reach.

use crate::fixture::{Job, Jobs, docker};

testbed::tests![
    Jobs; [Root, Engine];
    what_another_job_made_is_invisible_and_untouchable,
    volumes_networks_and_images_of_another_job_are_out_of_reach,
    a_container_of_somebody_elses_is_not_the_jobs_though_its_image_is,
    an_exec_in_another_job_s_container_is_not_there,
];

fn what_another_job_made_is_invisible_and_untouchable(jobs: &Jobs) {
    let mine = jobs.open("mine");
    let other = jobs.open("other");
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
            // Newer clients write it in small letters, and their `rm -f` ends with 0.
            let ran = mine.client(&arguments).run();
            let answer = ran.stderr.to_lowercase();
            assert!(answer.contains("no such"), "{arguments:?}: {}", ran.text());
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
                !ran.is_good && ran.stderr.to_lowercase().contains("no such container"),
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

fn volumes_networks_and_images_of_another_job_are_out_of_reach(jobs: &Jobs) {
    let mine = jobs.open("mine2");
    let other = jobs.open("other2");
    let (volume, network, tag) = (other.name("data"), other.name("net"), other.name("theirs"));
    other.line(&format!("volume create {volume}")).good();
    other
        .client(&[
            "run",
            "--rm",
            "-v",
            &format!("{volume}:/x"),
            &other.base,
            "sh",
            "-c",
            "echo secret > /x/file",
        ])
        .good();
    let mounts = [
        ["-v".to_owned(), format!("{volume}:/x")],
        [
            "--mount".to_owned(),
            format!("type=volume,src={volume},dst=/x"),
        ],
        [
            "-v".to_owned(),
            format!("{}:/x", other.workspace().parent().unwrap().display()),
        ],
    ];
    for [option, value] in mounts {
        let read = mine
            .client(&["run", "--rm", &option, &value, &mine.base, "cat", "/x/file"])
            .run();
        assert!(
            !read.is_good && !read.stdout.contains("secret"),
            "{value}: {}",
            read.text()
        );
    }
    // What it got is an empty volume of its own.
    mine.line(&format!("volume rm {volume}")).good();
    for arguments in ["volume inspect", "volume rm"] {
        let ran = mine.line(&format!("{arguments} {volume}")).run();
        assert!(
            !ran.is_good && ran.stderr.to_lowercase().contains("no such volume"),
            "{}",
            ran.text()
        );
    }
    assert!(!mine.line("volume ls").good().stdout.contains(&volume));
    other.line(&format!("network create {network}")).good();
    let run = format!("run --rm --network {network} {} true", mine.base);
    let joined = mine.line(&run).run();
    assert!(joined.stderr.contains("not found"), "{}", joined.text());
    let context = other.context(&format!("FROM {}\nRUN true\n", other.base));
    other.line(&format!("build -t {tag} {context}")).good();
    assert!(!mine.line(&format!("rmi {tag}")).run().is_good);
    assert!(!mine.line("images").good().stdout.contains(&tag));
    mine.line(&format!("tag {} {tag}", mine.base)).good();
    mine.sweep();
    assert!(other.line(&format!("run --rm {tag} true")).run().is_good);
    let kept = format!("run --rm -v {volume}:/x {} cat /x/file", other.base);
    assert_eq!(other.line(&kept).good().stdout, "secret\n");
}

fn a_container_of_somebody_elses_is_not_the_jobs_though_its_image_is(jobs: &Jobs) {
    let job = jobs.open("image");
    let (tag, name) = (job.name("app"), job.name("outside"));
    let context = job.context(&format!("FROM {}\nCOPY hello /hello\n", job.base));
    job.line(&format!("build -t {tag} {context}")).good();
    let private = job.private_names().remove(0);
    docker(&["run", "-d", "--name", &name, &private, "sleep", "100"]).good();
    assert!(!job.line("ps").good().stdout.contains(&name));
    assert!(!job.line(&format!("exec {name} true")).run().is_good);
    docker(&["rm", "-f", &name]).good();
}

fn an_exec_in_another_job_s_container_is_not_there(jobs: &Jobs) {
    let (mine, other) = (jobs.open("mine3"), jobs.open("other3"));
    let name = other.name("secret");
    other
        .line(&format!("run -d --name {name} {} sleep 100", other.base))
        .good();
    let body = r#"{"Cmd":["cat","/etc/hostname"],"AttachStdout":true}"#;
    let ask = |job: &Job, method: &str, path: &str, body: &str| {
        job.raw(&format!(
            "{method} /v1.41{path} HTTP/1.1\r\nHost: docker\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ))
    };
    let made = ask(&other, "POST", &format!("/containers/{name}/exec"), body);
    let id = made
        .rsplit("\"Id\":\"")
        .next()
        .and_then(|rest| rest.get(..64))
        .unwrap();
    for (method, path) in [
        ("GET", "json"),
        ("POST", "start"),
        ("POST", "resize?h=1&w=1"),
    ] {
        let answer = ask(&mine, method, &format!("/exec/{id}/{path}"), "{}");
        assert!(answer.starts_with("HTTP/1.1 404"), "{path}: {answer}");
    }
    let answer = ask(&other, "GET", &format!("/exec/{id}/json"), "");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
