//! The way to a host, and what stands in it.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, ExitCode, Stdio},
    time::Instant,
};

use dockmaster::{
    config,
    host::ssh::{Session, SshError},
    host::{Host, RemoteError},
    rollout::port::{Fault, Remote, Retry},
};

use crate::fixture::{Fixture, PATIENCE, again, assert_says, run, wait_until};

testbed::tests![
    Fixture; [Testbed];
    a_changed_host_key_stops_everything,
    a_key_that_the_host_does_not_know_is_named,
    a_host_without_sshd_cannot_be_reached,
    a_stopped_engine_is_told_from_a_lost_connection,
    a_user_who_may_not_use_docker_is_told_how,
    a_lost_connection_is_opened_again,
    a_frozen_host_is_given_up_in_time,
    no_ssh_is_left_when_a_host_is_dropped,
    no_ssh_outlives_a_killed_program,
];

fn a_changed_host_key_stops_everything(fixture: &Fixture) {
    let host = fixture.host("app-2");
    host.change_host_key().unwrap();
    let error = run(fixture.remote("app-2").survey()).unwrap_err();
    host.restore_host_key().unwrap();
    assert!(
        matches!(error, RemoteError::Ssh(SshError::HostKeyChanged { .. })),
        "{error}"
    );
    assert_says(&error, &["app-2", "hosts.host-key", "SHA256:"]);
    assert_eq!(error.retry(), Retry::Never);
    run(fixture.remote("app-2").survey()).unwrap();
}

fn a_key_that_the_host_does_not_know_is_named(fixture: &Fixture) {
    let mut environment = fixture.environment();
    let other = fixture.infrastructure.machine.directory("other").unwrap();
    let key = other.join("key");
    let _ = fs::remove_file(&key);
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(&key)
        .status();
    assert!(made.unwrap().success());
    environment.ssh.key.clone_from(&key);
    let remote = Host::open(&environment, &environment.hosts[0], None).unwrap();
    let error = run(remote.survey()).unwrap_err();
    let path = key.to_string_lossy();
    assert_says(
        &error,
        &["app-1 does not let deploy in", &path, "authorized_keys"],
    );
    environment.ssh.key = other.join("nothing");
    let remote = Host::open(&environment, &environment.hosts[0], None).unwrap();
    let error = run(remote.survey()).unwrap_err();
    assert_says(
        &error,
        &[
            "the private key cannot be used",
            "nothing does not exist",
            "0600",
        ],
    );
}

fn a_host_without_sshd_cannot_be_reached(fixture: &Fixture) {
    let host = fixture.host("app-2");
    host.stop_ssh().unwrap();
    let error = run(fixture.remote("app-2").survey()).unwrap_err();
    host.start_ssh().unwrap();
    assert_says(
        &error,
        &["app-2 (", "cannot be reached", "Connection refused"],
    );
    assert_eq!(error.retry(), Retry::SOON);
}

fn a_stopped_engine_is_told_from_a_lost_connection(fixture: &Fixture) {
    let host = fixture.host("app-3");
    let remote = fixture.remote("app-3");
    run(async {
        remote.survey().await.unwrap();
        host.stop_engine().unwrap();
        let error = remote.survey().await.unwrap_err();
        assert_says(&error, &["the Docker Engine on app-3"]);
        let error = fixture.remote("app-3").survey().await.unwrap_err();
        assert_says(&error, &["app-3", "Docker Engine"]);
        host.start_engine().unwrap();
        remote.survey().await.unwrap();
    });
    host.wait_until_healthy().unwrap();
}

fn a_user_who_may_not_use_docker_is_told_how(fixture: &Fixture) {
    let host = fixture.host("app-3");
    host.exec("gpasswd -d deploy docker").unwrap();
    let error = run(fixture.remote("app-3").survey()).unwrap_err();
    host.exec("gpasswd -a deploy docker").unwrap();
    assert!(matches!(error, RemoteError::NotReady { .. }), "{error}");
    assert_says(&error, &["app-3", "usermod -aG docker deploy"]);
}

fn a_lost_connection_is_opened_again(fixture: &Fixture) {
    let host = fixture.host("app-3");
    let remote = fixture.remote("app-3");
    run(async {
        let before = remote.survey().await.unwrap();
        host.exec("pkill -KILL -f '^sshd: deploy'").unwrap();
        let after = again(async || remote.survey().await).await;
        assert_eq!(before.container.unwrap().id, after.container.unwrap().id);
    });
}

fn a_frozen_host_is_given_up_in_time(fixture: &Fixture) {
    let host = fixture.host("app-3");
    let remote = fixture.remote("app-3");
    run(async {
        remote.survey().await.unwrap();
        host.pause().unwrap();
        let start = Instant::now();
        let error = remote.survey().await.unwrap_err();
        host.resume().unwrap();
        assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
        assert_eq!(error.retry(), Retry::SOON, "{error}");
        assert_says(&error, &["app-3"]);
        remote.survey().await.unwrap();
    });
}

/// The ssh processes that a process started.
fn children(parent: u32) -> Vec<u32> {
    let is_child = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let is_ssh = stat.contains("(ssh)");
        let after = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        let mut words = after.split_whitespace();
        let is_alive = words.next().is_some_and(|state| state != "Z");
        is_ssh && is_alive && words.next() == Some(&parent.to_string())
    };
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
        .filter(is_child)
        .collect()
}

fn no_ssh_is_left_when_a_host_is_dropped(fixture: &Fixture) {
    let is_none = || children(std::process::id()).is_empty();
    wait_until("the ssh of other tests to end", is_none);
    run(async {
        let remote = fixture.remote("app-1");
        remote.survey().await.unwrap();
        assert!(!is_none());
        drop(remote);
    });
    wait_until("ssh to end", is_none);
}

fn no_ssh_outlives_a_killed_program(fixture: &Fixture) {
    let environment = fixture.environment();
    let host = &environment.hosts[0];
    let folder = fixture.infrastructure.machine.directory("holder").unwrap();
    let file = folder.join("host");
    let key = environment.ssh.key.to_string_lossy();
    let target = format!("{}@{}:{}", host.ssh.user, host.ssh.host, host.ssh.port);
    fs::write(&file, [&*key, &target, host.host_key.as_str()].join("\n")).unwrap();
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .arg("--hold")
        .arg(&file)
        .env("TMPDIR", &folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let stdout = holder.stdout.take().unwrap();
    BufReader::new(stdout).read_line(&mut line).unwrap();
    assert_eq!(line, "connected\n");
    let ssh = children(holder.id());
    assert_eq!(ssh.len(), 1);
    holder.kill().unwrap();
    holder.wait().unwrap();
    let is_gone = || !Path::new(&format!("/proc/{}", ssh[0])).exists();
    wait_until("ssh to end", is_gone);
}

/// The program that is killed: connects and stays.
pub(crate) fn hold(file: &str) -> ExitCode {
    use std::io::Write;
    let text = fs::read_to_string(file).unwrap();
    let [key, target, host_key] = text.lines().collect::<Vec<_>>()[..] else {
        return ExitCode::FAILURE;
    };
    let host = config::HostEntry {
        name: "app-1".into(),
        ssh: target.parse().unwrap(),
        host_key: host_key.parse().unwrap(),
        server_id: String::new(),
    };
    run(async {
        let session = Session::new(&host, Path::new(key));
        let _connection = session.connection().await.unwrap();
        std::io::stdout().write_all(b"connected\n").unwrap();
        std::future::pending::<()>().await;
    });
    ExitCode::SUCCESS
}
