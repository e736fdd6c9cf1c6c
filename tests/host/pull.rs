//! Making a release local.

use std::{cell::RefCell, fs};

use dockmaster::{
    failure::{Class, Failure},
    host::{Host, RemoteError},
    rollout::port::{Fault, Release, Remote, Retry},
};

use crate::fixture::{Fixture, assert_says, run};

testbed::tests![
    Fixture; [Testbed];
    without_an_account_the_registry_refuses,
    a_release_is_pulled_by_digest_and_no_credential_stays,
    a_missing_image_is_the_author_s_fault,
    a_host_that_makes_do_with_its_images_pulls_nothing,
    what_was_pulled_and_what_runs_survive_cleaning_up,
    a_full_disk_is_named,
];

fn without_an_account_the_registry_refuses(fixture: &Fixture) {
    let environment = fixture.environment();
    let remote = Host::open(&environment, &environment.hosts[1], None).unwrap();
    let error = run(remote.pull(&fixture.new, &|_| ())).unwrap_err();
    assert_says(&error, &["app-2 could not pull", "registry.pull-account"]);
    assert_eq!(error.retry(), Retry::Never);
    assert_eq!(Failure::from(error).class(), Class::System);
}

fn a_release_is_pulled_by_digest_and_no_credential_stays(fixture: &Fixture) {
    let host = fixture.host("app-2");
    let remote = fixture.remote("app-2");
    run(remote.pull(&fixture.new, &|_| ())).unwrap();
    let digests = host
        .exec("docker image inspect --format '{{.RepoDigests}}' $(docker images -q)")
        .unwrap();
    assert!(digests.contains(&fixture.new.reference()), "{digests}");
    let settings =
        host.exec("cat /home/deploy/.docker/config.json /root/.docker/config.json || true");
    assert!(!settings.unwrap().contains("auth\""));
    // A second pull asks nobody.
    let registry_account = fixture.registry().pull_account.unwrap();
    let environment = fixture.environment();
    let without = Host::open(&environment, &environment.hosts[1], None).unwrap();
    run(without.pull(&fixture.new, &|_| ())).unwrap();
    assert!(registry_account.exists());
}

fn a_missing_image_is_the_author_s_fault(fixture: &Fixture) {
    let remote = fixture.remote("app-2");
    let release = Release {
        digest: format!("sha256:{}", "0".repeat(64)),
        ..fixture.new.clone()
    };
    let error = run(remote.pull(&release, &|_| ())).unwrap_err();
    assert!(matches!(error, RemoteError::ImageMissing { .. }), "{error}");
    assert_says(&error, &["the registry has no image", &release.digest]);
    assert_eq!(Failure::from(error).class(), Class::Build);
}

fn a_host_that_makes_do_with_its_images_pulls_nothing(fixture: &Fixture) {
    let offline = || fixture.remote("app-2").without_registry();
    run(fixture.remote("app-2").pull(&fixture.new, &|_| ())).unwrap();
    run(offline().pull(&fixture.new, &|_| ())).unwrap();
    let other = fixture.release("v1.0.9");
    let error = run(offline().pull(&other, &|_| ())).unwrap_err();
    assert!(matches!(error, RemoteError::NotKept { .. }), "{error}");
    assert_says(&error, &["app-2 does not have", &other.digest]);
    assert_eq!(error.retry(), Retry::Never);
    // It was there to be had.
    run(fixture.remote("app-2").pull(&other, &|_| ())).unwrap();
}

fn what_was_pulled_and_what_runs_survive_cleaning_up(fixture: &Fixture) {
    let host = fixture.host("app-2");
    let remote = fixture.remote("app-2");
    let releases = ["v1.0.2", "v1.0.3", "v1.0.4"].map(|version| fixture.release(version));
    for release in &releases {
        run(remote.pull(release, &|_| ())).unwrap();
    }
    host.exec("docker image prune -f").unwrap();
    let tags = host
        .exec("docker images --format '{{.Repository}}:{{.Tag}}' dockmaster-keep")
        .unwrap();
    assert_eq!(tags.lines().count(), 3, "{tags}");
    let is_there = |reference: &str| {
        let look =
            format!("docker image inspect {reference} >/dev/null 2>&1 && echo yes || echo no");
        host.exec(&look).unwrap().trim() == "yes"
    };
    assert!(is_there(&releases[2].reference()));
    assert!(is_there(&releases[1].reference()));
    assert!(
        !is_there(&releases[0].reference()),
        "nobody needs it any more"
    );
}

fn a_full_disk_is_named(fixture: &Fixture) {
    // Nothing compresses it, so every layer is as large as it says.
    let directory = fixture.infrastructure.machine.directory("large").unwrap();
    let noise = fs::read("/proc/self/exe").unwrap();
    fs::write(directory.join("noise"), &noise).unwrap();
    let base = &fixture.infrastructure.images.application_base;
    fs::write(
        directory.join("Dockerfile"),
        format!("FROM {base}\nCOPY noise /noise\nHEALTHCHECK CMD true\n"),
    )
    .unwrap();
    let release = fixture.push(&directory, "v1.0.1-large");
    let host = fixture.host("app-3");
    let remote = fixture.remote("app-3");
    host.fill_disk().unwrap();
    let said = RefCell::new(Vec::new());
    let say = |line: &str| said.borrow_mut().push(line.to_owned());
    let error = run(remote.pull(&release, &say)).unwrap_err();
    host.free_disk().unwrap();
    assert_says(&error, &["app-3 could not pull", "its disk is full"]);
    run(remote.pull(&release, &say)).unwrap();
}
