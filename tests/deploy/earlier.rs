//! Jobs as earlier releases of GitLab and its runner hand them over.

use std::fs;

use serde_json::json;

use super::fixture::{Job, Lane};

testbed::tests![(); [Root];
    before_18_3_the_server_s_own_variable_says_whether_a_ref_is_protected,
    an_admin_may_demand_the_typed_field,
];

/// As GitLab 13.12 describes a job, with the author's own variables behind the server's.
fn earlier<'a>(lane: &'a Lane, id: u32, protected: &[&str]) -> Job<'a> {
    let mut job = lane.job(id);
    job.response["job_info"] =
        json!({"name": "deploy", "stage": "deploy", "project_id": 42, "project_name": "app"});
    let git = job.response["git_info"].as_object_mut().unwrap();
    git.remove("protected").unwrap();
    let mut variables = vec![
        json!({"key": "CI_PIPELINE_ID", "value": "77"}),
        json!({"key": "CI_JOB_ID", "value": id.to_string()}),
        json!({"key": "CI_PROJECT_ID", "value": "42"}),
        json!({"key": "CI_PROJECT_PATH", "value": "group/app"}),
    ];
    let said = protected.iter();
    variables.extend(said.map(|said| json!({"key": "CI_COMMIT_REF_PROTECTED", "value": said})));
    job.response["variables"] = variables.into();
    job
}

fn before_18_3_the_server_s_own_variable_says_whether_a_ref_is_protected(_: &()) {
    let lane = Lane::install();
    let job = earlier(&lane, 1, &["true"]);
    job.prepare().is_good();
    job.step("dockmaster deploy || true")
        .is_good()
        .says("was pushed for commit 2b6202bd");
    job.cleanup().is_good();
    for (id, protected, why) in [
        (2, &["false"][..], "is not protected"),
        (3, &["false", "true"], "nobody says whether"),
        (4, &["true", "false"], "nobody says whether"),
        (5, &["yes"], "nobody says whether"),
        (6, &[], "nobody says whether"),
    ] {
        let refused = earlier(&lane, id, protected).prepare();
        refused.says(why);
        assert_eq!(
            (refused.code, refused.job_code.as_deref()),
            (Some(1), Some("110\n")),
            "{}",
            refused.text
        );
    }
}

fn an_admin_may_demand_the_typed_field(_: &()) {
    let lane = Lane::install();
    let config = fs::read_to_string(lane.config()).unwrap();
    let demanding = format!("require-typed-protection = true\n{config}");
    fs::write(lane.config(), demanding).unwrap();
    let refused = earlier(&lane, 1, &["true"]).prepare();
    refused.says("nobody says whether");
    assert_eq!(refused.code, Some(1), "{}", refused.text);
    let job = lane.job(2);
    job.prepare().is_good();
    job.cleanup().is_good();
}
