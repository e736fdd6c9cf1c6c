//! The broker beside a job: who reaches it, what it answers, and that it outlives a killed driver.

use std::{
    fs,
    os::unix::{
        fs::{PermissionsExt, chown},
        process::CommandExt,
    },
    process::Command,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, User},
};

use super::fixture::{BROKER, Ended, Job, Lane, brokers, wait_until};

testbed::tests![(); [Root];
    a_job_that_pushed_nothing_is_told_so,
    an_environment_that_the_lane_does_not_have_is_the_author_s_mistake,
    only_the_job_s_own_uid_reaches_the_broker,
    a_broker_runs_as_its_own_user_and_ends_with_the_phase,
    a_broker_ends_by_itself_when_the_driver_s_group_is_killed,
    a_broker_that_died_is_named_even_if_the_script_goes_on,
    a_broker_that_died_is_the_host_s_turn_where_the_script_fails,
    a_broker_is_never_root,
    cleanup_does_not_pass_over_an_environment_that_cannot_be_read,
    an_admin_is_told_that_there_is_nothing_to_recover,
    what_was_brought_out_is_told_and_what_nobody_knows_is_not_gone_back_to,
    every_environment_is_recovered_in_silence_where_all_is_well,
    what_is_stuck_rests_before_it_is_tried_again_unasked,
    a_missing_account_is_told_once_with_the_command_that_makes_it,
];

fn a_job_that_pushed_nothing_is_told_so(_: &()) {
    let lane = Lane::install();
    let job = lane.job(1);
    job.prepare().is_good();
    let ended = job.step("dockmaster deploy; code=$?; dockmaster deploy production; exit $code");
    assert_eq!(
        (ended.code, ended.job_code.as_deref()),
        (Some(1), Some("111\n")),
        "{}",
        ended.text
    );
    ended.says("no image harbor.example.com/test/test_server1 was pushed for commit 2b6202bd");
    assert!(brokers(&lane).is_empty(), "{:?}", brokers(&lane));
    job.cleanup().is_good();
}

fn an_environment_that_the_lane_does_not_have_is_the_author_s_mistake(_: &()) {
    let lane = Lane::install();
    let job = lane.job(2);
    job.prepare().is_good();
    let ended = job.step("dockmaster deploy ../secrets/id_ed25519");
    assert_eq!(ended.job_code.as_deref(), Some("111\n"), "{}", ended.text);
    ended.says("it has: production");
    job.cleanup().is_good();
}

fn only_the_job_s_own_uid_reaches_the_broker(_: &()) {
    let lane = Lane::install();
    let job = lane.job(3);
    job.prepare().is_good();
    let running = job.start("echo ready; while [ ! -e ~/done ]; do sleep 0.1; done");
    running.wait_for("ready");
    let socket = fs::read_dir(lane.path("run/jobs"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let socket = socket.join("broker.sock");
    assert_eq!(
        fs::metadata(&socket).unwrap().permissions().mode() & 0o777,
        0o600
    );
    // Where every uid can reach it.
    let program = lane.path("dockmaster");
    fs::copy(env!("CARGO_BIN_EXE_dockmaster"), &program).unwrap();
    for uid in [lane.first_uid + 1, 0] {
        let asked = Command::new(&program)
            .arg("deploy")
            .env_clear()
            .env("DOCKMASTER_SOCKET", &socket)
            .uid(uid)
            .gid(uid)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&asked.stdout).into_owned();
        assert!(!text.contains("no image"), "{text}");
        assert_eq!(asked.status.code(), Some(1), "{text}");
    }
    fs::write(job.own_folder().join("home/done"), "").unwrap();
    running.wait();
    job.cleanup().is_good();
}

fn a_broker_runs_as_its_own_user_and_ends_with_the_phase(_: &()) {
    let lane = Lane::install();
    let job = lane.job(4);
    job.prepare().is_good();
    let running = job.start("echo ready; while [ ! -e ~/done ]; do sleep 0.1; done");
    running.wait_for("ready");
    wait_until("a broker", || brokers(&lane).len() == 1);
    let account = User::from_name(BROKER).unwrap().unwrap();
    wait_until("its own user", || {
        let status = fs::read_to_string(format!("/proc/{}/status", brokers(&lane)[0])).unwrap();
        let uid = account.uid;
        status.contains(&format!("Uid:\t{uid}\t{uid}\t{uid}\t{uid}"))
            && status.contains("NoNewPrivs:\t1")
            && status.contains("Groups:\t \n")
    });
    fs::write(job.own_folder().join("home/done"), "").unwrap();
    assert_eq!(running.wait().code, Some(0));
    assert!(brokers(&lane).is_empty());
    job.cleanup().is_good();
}

fn a_broker_ends_by_itself_when_the_driver_s_group_is_killed(_: &()) {
    let lane = Lane::install();
    let job = lane.job(5);
    job.prepare().is_good();
    let running = job.start("echo ready; sleep 600");
    running.wait_for("ready");
    wait_until("a broker", || brokers(&lane).len() == 1);
    running.signal(Signal::SIGKILL);
    running.wait();
    wait_until("the broker's end", || brokers(&lane).is_empty());
    job.cleanup().is_good();
}

/// Kills the broker under a script that ends with `code` then.
fn without_broker(job: &Job<'_>, lane: &Lane, code: i32) -> Ended {
    job.prepare().is_good();
    let script = format!("echo ready; while [ ! -e ~/done ]; do sleep 0.1; done; exit {code}");
    let running = job.start(&script);
    running.wait_for("ready");
    wait_until("a broker", || brokers(lane).len() == 1);
    let broker = Pid::from_raw(brokers(lane)[0].cast_signed());
    kill(broker, Signal::SIGKILL).unwrap();
    fs::write(job.own_folder().join("home/done"), "").unwrap();
    running.wait()
}

fn a_broker_that_died_is_the_host_s_turn_where_the_script_fails(_: &()) {
    let lane = Lane::install();
    let job = lane.job(10);
    let ended = without_broker(&job, &lane, 1);
    assert_eq!(ended.code, Some(2), "{}", ended.text);
    ended.says("the broker ended unexpectedly (signal: 9");
    job.cleanup().is_good();
}

fn a_broker_that_died_is_named_even_if_the_script_goes_on(_: &()) {
    let lane = Lane::install();
    let job = lane.job(7);
    let ended = without_broker(&job, &lane, 0);
    assert_eq!(ended.code, Some(0), "{}", ended.text);
    ended.says("WARNING: the broker ended unexpectedly (signal: 9");
    job.cleanup().is_good();
}

fn cleanup_does_not_pass_over_an_environment_that_cannot_be_read(_: &()) {
    let lane = Lane::install();
    let job = lane.job(8);
    job.prepare().is_good();
    let file = lane.config().with_file_name("environments/production.toml");
    fs::write(&file, "[policy]\nprojects = nobody\n").unwrap();
    let ended = job.cleanup();
    assert_eq!(ended.code, Some(2), "{}", ended.text);
    ended.says("production.toml");
    assert!(lane.leased().is_empty());
}

fn an_admin_is_told_that_there_is_nothing_to_recover(_: &()) {
    let lane = Lane::install();
    let recovered = Command::new(env!("CARGO_BIN_EXE_dockmaster"))
        .arg("--config")
        .arg(lane.config())
        .args(["rollout", "recover", "production"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&recovered.stdout).into_owned();
    assert_eq!(recovered.status.code(), Some(0), "{text}");
    assert!(text.contains("nothing to recover"), "{text}");
}

fn what_was_brought_out_is_told_and_what_nobody_knows_is_not_gone_back_to(_: &()) {
    let lane = Lane::install();
    let typed = |words: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_dockmaster"))
            .arg("--config")
            .arg(lane.config())
            .arg("rollout")
            .args(words)
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (
            output.status.code(),
            String::from_utf8_lossy(&text).into_owned(),
        )
    };
    let nothing = "nothing was brought to production yet\n".to_owned();
    assert_eq!(typed(&["history", "production"]), (Some(0), nothing));
    assert_eq!(
        typed(&["history", "production", "--json"]),
        (Some(0), String::new())
    );
    let environment = lane.path("state/environments/production");
    fs::create_dir_all(environment.join("runs")).unwrap();
    let broker = User::from_name(BROKER).unwrap().unwrap().uid.as_raw();
    let write = |version: &str, end: &str| {
        let journal = environment.join(format!("runs/20260101T000000000Z-{version}.jsonl"));
        let opened = format!(
            r#"{{"at":"2026-01-01T00:00:00Z","event":"opened","run":"r-{version}","release":{{"image":"h/a","digest":"sha256:{version}","version":"{version}"}},"owner":{{"project":42,"pipeline":1,"job":7}},"hosts":[]}}"#
        );
        let closed = format!(
            r#"{{"at":"2026-01-01T00:01:05Z","event":"closed","outcome":"{end}","summary":"s"}}"#
        );
        fs::write(&journal, format!("{opened}\n{closed}\n")).unwrap();
        for path in [&journal, &environment.join("runs"), &environment] {
            chown(path, Some(broker), None).unwrap();
        }
    };
    write("v2", "stopped");
    let (code, text) = typed(&["rollback", "production", "v2"]);
    assert_eq!(code, Some(3), "{text}");
    assert!(
        text.contains("v2 was never brought out everywhere (run r-v2: stopped half-way)"),
        "{text}"
    );
    let (_, text) = typed(&["rollback", "production", "v9"]);
    assert!(
        text.contains("`v9` was never brought out; there are: none"),
        "{text}"
    );
    write("v1", "done");
    let (code, text) = typed(&["history", "production"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("v1  v1  job 7 of pipeline 1  done"), "{text}");
}

fn every_environment_is_recovered_in_silence_where_all_is_well(_: &()) {
    let lane = Lane::install();
    let production = lane.config().with_file_name("environments/production.toml");
    fs::copy(&production, production.with_file_name("staging.toml")).unwrap();
    let recover = || {
        let recovered = Command::new(env!("CARGO_BIN_EXE_dockmaster"))
            .arg("--config")
            .arg(lane.config())
            .args(["rollout", "recover"])
            .output()
            .unwrap();
        let text = [recovered.stdout, recovered.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        (recovered.status.code(), text)
    };
    assert_eq!(recover(), (Some(0), String::new()));
    // One that cannot be read does not hide what is wrong with it.
    let runs = lane.path("state/environments/staging/runs");
    fs::create_dir_all(&runs).unwrap();
    fs::write(production.with_file_name("staging.toml"), "[policy]\n").unwrap();
    let (code, text) = recover();
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains("staging.toml"), "{text}");
}

fn what_is_stuck_rests_before_it_is_tried_again_unasked(_: &()) {
    let lane = Lane::install();
    let environment = lane.path("state/environments/production");
    fs::create_dir_all(environment.join("runs")).unwrap();
    let broker = User::from_name(BROKER).unwrap().unwrap().uid.as_raw();
    for folder in [environment.join("runs"), environment.clone()] {
        chown(folder, Some(broker), None).unwrap();
    }
    let journal = environment.join("runs/20260101T000000000Z-1.jsonl");
    let recover = |words: &[&str], stuck_at: &str| {
        // It was cut off before it touched anything, so that recovery asks nobody.
        let opened = r#"{"at":"2026-01-01T00:00:00Z","event":"opened","run":"r","release":{"image":"h/a","digest":"sha256:1","version":"v1"},"owner":{"project":42,"pipeline":1,"job":1},"hosts":["app-1"]}"#;
        let stuck = format!(r#"{{"at":"{stuck_at}","event":"stuck","why":"w"}}"#);
        fs::write(&journal, format!("{opened}\n{stuck}\n")).unwrap();
        chown(&journal, Some(broker), None).unwrap();
        let recovered = Command::new(env!("CARGO_BIN_EXE_dockmaster"))
            .arg("--config")
            .arg(lane.config())
            .args(["rollout", "recover"])
            .args(words)
            .output()
            .unwrap();
        let text = [recovered.stdout, recovered.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        assert_eq!(recovered.status.code(), Some(0), "{text}");
        text
    };
    let now = jiff::Timestamp::now().to_string();
    assert_eq!(recover(&[], &now), "");
    let old = "2026-01-01T00:00:01Z";
    assert!(recover(&[], old).contains("never begun"));
    assert!(recover(&["production"], &now).contains("never begun"));
}

fn a_missing_account_is_told_once_with_the_command_that_makes_it(_: &()) {
    let lane = Lane::install();
    let production = lane.config().with_file_name("environments/production.toml");
    fs::copy(&production, production.with_file_name("staging.toml")).unwrap();
    let config = fs::read_to_string(lane.config()).unwrap();
    let config = config
        .replace(&format!("{BROKER:?}"), "\"dockmaster-nobody\"")
        .replace("[\"production\"]", "[\"production\", \"staging\"]");
    fs::write(lane.config(), config).unwrap();
    let job = lane.job(9);
    job.prepare().is_good();
    for ended in [job.step("echo never"), job.cleanup()] {
        assert_eq!(ended.code, Some(2), "{}", ended.text);
        let told = ended
            .text
            .matches("dockmaster-nobody (broker-user) does not exist");
        assert_eq!(told.count(), 1, "{}", ended.text);
        ended.says("try: useradd --system --home-dir /var/lib/dockmaster/broker --shell /usr/sbin/nologin dockmaster-nobody");
    }
}

fn a_broker_is_never_root(_: &()) {
    let lane = Lane::install();
    let config = fs::read_to_string(lane.config()).unwrap();
    fs::write(
        lane.config(),
        config.replace(&format!("{BROKER:?}"), "\"root\""),
    )
    .unwrap();
    let job = lane.job(11);
    job.prepare().is_good();
    let ended = job.step("echo never");
    assert_eq!(ended.code, Some(2), "{}", ended.text);
    ended.says("broker-user cannot be root");
}
