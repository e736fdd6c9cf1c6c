//! What a job sees, and what it cannot.

use std::{fs, path::Path};

use testbed::kernel;

use super::fixture::{CANARY, Lane};

testbed::tests![(); [Root];
    a_job_runs_under_a_uid_of_its_own_with_nothing_of_the_driver_s,
    a_job_finds_no_key_wherever_it_looks,
    a_job_sees_no_process_but_its_own,
    a_job_is_in_namespaces_of_its_own,
    folders_that_are_no_job_s_business_are_empty,
    temporary_files_live_as_long_as_the_job_and_no_longer,
    a_script_s_code_is_the_job_s,
    a_job_runs_where_the_kernel_lacks_later_calls,
    caches_are_left_alone_and_artifacts_need_their_program,
];

/// Also what the driver left open is closed there: `Job` opens a file that no job may read.
fn a_job_runs_where_the_kernel_lacks_later_calls(_: &()) {
    let lane = Lane::install();
    kernel::on_an_old_one(|| {
        let job = lane.job(1);
        job.prepare().is_good();
        let ended = job.step("ls /proc/self/fd; cat <&9 || echo closed; mktemp");
        ended.is_good().says("closed\n").says("/tmp/");
        job.cleanup().is_good();
    })
    .unwrap();
}

fn a_job_runs_under_a_uid_of_its_own_with_nothing_of_the_driver_s(_: &()) {
    let lane = Lane::install();
    let job = lane.job(1);
    job.prepare().is_good();
    let ended = job.step("id -u; id -G; id -un; grep NoNewPrivs /proc/self/status; ulimit -c; env");
    let uid = lane.first_uid;
    ended.is_good().says(&format!(
        "{uid}\n{uid}\ndockmaster-job\nNoNewPrivs:\t1\n0\n"
    ));
    let names: Vec<_> = ended
        .text
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, _)| name)
        .collect();
    let mut expected = vec![
        "DOCKMASTER_SOCKET",
        "HOME",
        "LANG",
        "LOGNAME",
        "PATH",
        "PWD",
        "SHELL",
        "SHLVL",
        "TMPDIR",
        "USER",
        "_",
    ];
    let mut found = names.clone();
    found.sort_unstable();
    found.retain(|name| *name != "OLDPWD");
    expected.sort_unstable();
    assert_eq!(found, expected, "{}", ended.text);
    job.cleanup().is_good();
}

/// A sandbox hides its own lane, also where the job's /tmp does not cover that anyway.
fn a_job_finds_no_key_wherever_it_looks(_: &()) {
    for folder in ["/tmp", "/srv"] {
        look_for_keys(&Lane::install_in(Path::new(folder)));
    }
}

fn look_for_keys(lane: &Lane) {
    let job = lane.job(2);
    job.prepare().is_good();
    let etc = lane.path("etc");
    let root = lane.path("");
    let script = format!(
        "cat <&9; env; set; ls -laR \"$HOME\"; cat /proc/*/environ /proc/*/cmdline 2>/dev/null | tr '\\0' '\\n'\n\
         ls /proc | grep -c '^[0-9]'\n\
         find {etc} {root} /tmp -type f -readable -exec cat {{}} + 2>/dev/null\n\
         cat {etc}/secrets/* {etc}/config.toml 2>&1; ls -la {etc} {root} {root}/runner 2>&1\n\
         mount | grep -c xyz; echo looked; true",
        etc = etc.display(),
        root = root.display(),
    );
    let ended = job.step(&script);
    ended.is_good().says("looked");
    assert!(!ended.text.contains(CANARY), "{}", ended.text);
    assert!(
        fs::read_to_string(etc.join("secrets/careless"))
            .unwrap()
            .contains(CANARY)
    );
    job.cleanup().is_good();
}

fn a_job_sees_no_process_but_its_own(_: &()) {
    let lane = Lane::install();
    let job = lane.job(3);
    job.prepare().is_good();
    let ended = job.step("for p in /proc/[0-9]*; do cat $p/comm; done | sort -u; kill -0 1 2>/dev/null || echo untouchable; test -e /proc/1 || echo unseen");
    ended.is_good().says("untouchable\nunseen");
    assert!(
        !ended.text.contains("systemd") && !ended.text.contains("cargo"),
        "{}",
        ended.text
    );
    job.cleanup().is_good();
}

fn temporary_files_live_as_long_as_the_job_and_no_longer(_: &()) {
    let lane = Lane::install();
    let (one, other) = (lane.job(4), lane.job(5));
    one.prepare().is_good();
    other.prepare().is_good();
    let shared = "/dev/shm/dockmaster-note";
    one.step(&format!("echo mine > {shared} && echo mine > /tmp/note; echo mine > $HOME/note; echo alias > $HOME/.bashrc"))
        .is_good();
    one.run("after_script", "cat /tmp/note /var/tmp/note")
        .is_good()
        .says("mine\nmine");
    other
        .step("ls -A /tmp $HOME; test ! -e /tmp/note")
        .is_good();
    one.cleanup().is_good();
    other.cleanup().is_good();
    assert!(!Path::new("/tmp/note").exists() && !Path::new(shared).exists());
}

fn a_script_s_code_is_the_job_s(_: &()) {
    let lane = Lane::install();
    let job = lane.job(6);
    job.prepare().is_good();
    for (script, code) in [("exit 37", "37\n"), ("kill -9 $$", "137\n")] {
        let ended = job.step(script);
        assert_eq!(
            (ended.code, ended.job_code.as_deref()),
            (Some(1), Some(code)),
            "{}",
            ended.text
        );
    }
    let ended = job.step("echo out; echo err >&2; echo out");
    ended.is_good().says("out\nerr\nout\n");
    job.cleanup().is_good();
}

fn caches_are_left_alone_and_artifacts_need_their_program(_: &()) {
    let lane = Lane::install();
    let job = lane.job(7);
    job.prepare().is_good();
    job.run("restore_cache", "exit 9")
        .is_good()
        .says("Caches are not used");
    if std::process::Command::new("gitlab-runner")
        .arg("--version")
        .output()
        .is_err()
    {
        let ended = job.run("upload_artifacts_on_success", "exit 0");
        assert_eq!(ended.code, Some(2));
        ended.says("gitlab-runner");
    }
    job.cleanup().is_good();
}

fn a_job_is_in_namespaces_of_its_own(_: &()) {
    let lane = Lane::install();
    let job = lane.job(8);
    job.prepare().is_good();
    let ended = job.step("for kind in mnt pid ipc uts; do readlink /proc/self/ns/$kind; done");
    ended.is_good();
    for kind in ["mnt", "pid", "ipc", "uts"] {
        ended.says(&format!("{kind}:["));
        let host = fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
        assert!(
            !ended.text.contains(&*host.to_string_lossy()),
            "{kind}: {}",
            ended.text
        );
    }
    job.cleanup().is_good();
}

fn folders_that_are_no_job_s_business_are_empty(_: &()) {
    let lane = Lane::install();
    let job = lane.job(9);
    job.prepare().is_good();
    // Root's own folder cannot even be listed where it is not hidden.
    job.step("ls -A /root && test -z \"$(ls -A /root /home | grep -v :)\"")
        .is_good();
    job.cleanup().is_good();
}
