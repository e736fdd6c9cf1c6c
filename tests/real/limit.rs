//! What a job may use of its host, on a real engine: one control group, made first and gone last.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use testbed::spec;

use crate::fixture::{Fixture, TAG, job, says};

testbed::tests![
    Fixture; [Testbed];
    all_that_a_job_has_is_in_one_group_that_ends_with_it,
    a_job_that_uses_up_its_memory_is_told_so,
];

/// Folders of the job's group, in each tree of the kernel's.
fn groups(job: i64) -> BTreeSet<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    let trees = fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mark = format!("-j{job}-");
    let mut found = BTreeSet::new();
    for tree in trees.chain([root.to_owned()]) {
        let Ok(entries) = fs::read_dir(tree.join("dockmaster")) else {
            continue;
        };
        let paths = entries.map(|entry| entry.unwrap().path());
        found.extend(paths.filter(|path| path.to_string_lossy().contains(&mark)));
    }
    found
}

fn members(group: &Path) -> usize {
    let entries = fs::read_dir(group).unwrap().map(|entry| entry.unwrap());
    entries
        .filter(|entry| entry.file_type().unwrap().is_dir())
        .count()
}

fn all_that_a_job_has_is_in_one_group_that_ends_with_it(fixture: &Fixture) {
    let company = fixture.company();
    let id = spec::next_id();
    let job = job("group").id(id).image("docker:latest").script([
        "docker run -d alpine:latest sleep 1000",
        "echo begun",
        "sleep 1000",
    ]);
    let run = company.start(TAG, job).unwrap();
    run.wait_for("begun").unwrap();
    let found = groups(id);
    let limited = |file: &str| found.iter().find(|group| group.join(file).exists());
    let pids = limited("pids.max").unwrap_or_else(|| panic!("no group among {found:?}"));
    // The helper, the job's container, and what it started itself.
    assert_eq!(members(pids), 3, "{}", pids.display());
    let most: u64 = fs::read_to_string(pids.join("pids.max"))
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    assert!(most <= 4096, "{most}");
    let mut memory = ["memory.max", "memory.limit_in_bytes"].into_iter();
    let path = memory.find_map(|file| limited(file).map(|group| group.join(file)));
    let most: u64 = fs::read_to_string(path.unwrap())
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    assert!(most <= 64 << 30, "{most}");
    run.abort();
    run.wait().unwrap();
    assert!(groups(id).is_empty(), "{:?}", groups(id));
}

fn a_job_that_uses_up_its_memory_is_told_so(fixture: &Fixture) {
    // Keeps so many zeros in memory, more than a job of this host may.
    let eat = job("memory").script(["tail -c 4000000000 /dev/zero"]);
    let outcome = fixture.company().run(TAG, eat).unwrap();
    says(&outcome, &["exit status 137", "The job used up its memory"]);
}
