//! What would reach the host is refused.

use crate::fixture::Jobs;

testbed::tests![
    Jobs; [Root, Engine];
    what_would_reach_the_host_is_refused_with_a_message,
    what_no_job_needs_is_refused_with_a_message,
    an_upgrade_that_the_daemon_refuses_opens_no_tunnel,
];

fn what_would_reach_the_host_is_refused_with_a_message(jobs: &Jobs) {
    let job = jobs.open("refuse");
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
        all.extend([job.base.as_str(), "true"]);
        let ran = job.client(&all).run();
        assert!(
            !ran.is_good && ran.stderr.contains(word),
            "{arguments:?}: {}",
            ran.text()
        );
    }
    assert_eq!(job.labelled(), "", "a refused container was made");
}

fn what_no_job_needs_is_refused_with_a_message(jobs: &Jobs) {
    let job = jobs.open("closed");
    for arguments in [
        vec!["swarm", "init"],
        vec!["plugin", "enable", "x"],
        vec!["search", "x"],
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
        vec!["build", "--network", "host", &job.context("FROM scratch\n")],
        vec!["rmi", &job.base],
        vec!["push", &job.base],
        vec!["import", "http://10.0.0.1/x.tar"],
    ] {
        let ran = job.client(&arguments).env("DOCKER_BUILDKIT", "0").run();
        assert!(
            !ran.is_good && ran.text().contains("dockmaster: "),
            "{arguments:?}: {}",
            ran.text()
        );
    }
    assert_eq!(job.labelled(), "", "a refused request made something");
}

fn an_upgrade_that_the_daemon_refuses_opens_no_tunnel(jobs: &Jobs) {
    let job = jobs.open("tunnel");
    let name = job.name("done");
    job.client(&["create", "--name", &name, &job.base, "true"])
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
        let answer = job.raw(&request);
        assert!(!answer.starts_with("HTTP/1.1 101"), "{head}: {answer}");
        assert!(
            !answer.contains("swarm") || answer.contains("is not open to jobs"),
            "{head}: {answer}"
        );
    }
}
