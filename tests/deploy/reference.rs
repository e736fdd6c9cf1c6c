//! Two environments of one project side by side: staging from a branch, production from tags.

use std::fs;

use serde_json::json;

use super::fixture::{Job, Lane};

testbed::tests![(); [Root];
    each_environment_takes_jobs_of_its_own_refs,
    a_ref_of_no_environment_is_told_why_of_each,
    a_list_of_refs_that_names_none_is_told_with_its_line,
];

/// The lane with production, and staging beside it.
fn two_environments() -> Lane {
    let lane = Lane::install();
    let production = lane.config().with_file_name("environments/production.toml");
    let text = fs::read_to_string(&production).unwrap();
    let mut staging: toml::Table = text.parse().unwrap();
    staging["policy"]["refs"] = vec!["branches:main", "branches:release/*"].into();
    let file = production.with_file_name("staging.toml");
    fs::write(file, staging.to_string()).unwrap();
    let config = fs::read_to_string(lane.config()).unwrap();
    let both = config.replace("[\"production\"]", "[\"production\", \"staging\"]");
    fs::write(lane.config(), both).unwrap();
    lane
}

fn of_branch<'a>(lane: &'a Lane, id: u32, branch: &str) -> Job<'a> {
    let mut job = lane.job(id);
    job.response["git_info"]["ref"] = json!(branch);
    job.response["git_info"]["ref_type"] = json!("branch");
    job
}

const BOTH: &str =
    "for name in staging production; do dockmaster deploy $name || echo $name: $?; done";

fn each_environment_takes_jobs_of_its_own_refs(_: &()) {
    let lane = two_environments();
    let job = of_branch(&lane, 1, "main");
    job.prepare().is_good();
    job.step(BOTH)
        .is_good()
        .says("was pushed for commit 2b6202bd")
        .says("staging: 111")
        .says("`production` is deployed from protected tags only, and `main` is a branch")
        .says("production: 110");
    job.cleanup().is_good();
    let job = lane.job(2);
    job.prepare().is_good();
    job.step(BOTH)
        .is_good()
        .says("protected branches `main` or protected branches `release/*` only, and `v1.0.0` is a tag")
        .says("staging: 110")
        .says("production: 111");
    job.cleanup().is_good();
}

fn a_ref_of_no_environment_is_told_why_of_each(_: &()) {
    let lane = two_environments();
    let job = of_branch(&lane, 3, "feature");
    let ended = job.prepare();
    assert_eq!(ended.job_code.as_deref(), Some("110\n"), "{}", ended.text);
    ended
        .says("`feature` is a branch")
        .says("none of them is `feature`");
    let mut job = of_branch(&lane, 4, "release/2");
    job.response["git_info"]["protected"] = json!(false);
    let ended = job.prepare();
    assert_eq!(ended.job_code.as_deref(), Some("110\n"), "{}", ended.text);
    ended.says("`release/2` is not protected");
}

fn a_list_of_refs_that_names_none_is_told_with_its_line(_: &()) {
    let lane = Lane::install();
    let file = lane.config().with_file_name("environments/production.toml");
    let text = fs::read_to_string(&file).unwrap();
    let spoiled = text.replace("\"protected-tags\"", "[\"protected-tags\", \"main\"]");
    assert_ne!(spoiled, text);
    fs::write(&file, spoiled).unwrap();
    let ended = lane.job(5).prepare();
    assert_eq!(ended.code, Some(2), "{}", ended.text);
    ended.says("production.toml").says("`main` names no refs");
}
