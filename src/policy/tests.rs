use super::*;

const SHA: &str = "2b6202bd58b44c83de153e847af7aa646f7f055e";

fn environment() -> Environment {
    let mut environment: Environment = toml::from_str(
        r#"
        [policy]
        projects = [42]
        [release]
        image = "harbor.example.com/test/app"
        [ssh]
        key = "/k"
        [compose]
        directory = "/srv/app"
        service = "app"
        port = 3131
        [balancer]
        kind = "none"
        [[hosts]]
        name = "app-1"
        ssh = "deploy@10.0.0.11"
        host-key = "ssh-ed25519 AAAA"
        "#,
    )
    .unwrap();
    environment.name = "production".into();
    environment
}

fn lane() -> DeployLane {
    toml::from_str(r#"environments = ["production"]"#).unwrap()
}

fn job() -> Job {
    serde_json::from_value(serde_json::json!({
        "id": 1001,
        "job_info": {"project_id": 42, "pipeline_id": 77},
        "git_info": {"ref": "v1.0.0", "ref_type": "tag", "sha": SHA, "protected": true},
        "variables": [{"key": "CI_COMMIT_TAG", "value": "v1.0.0"}],
    }))
    .unwrap()
}

#[track_caller]
fn refused(change: impl FnOnce(&mut Job), expect: &str) {
    let mut job = job();
    change(&mut job);
    let refusal = decide(&lane(), &environment(), &job)
        .unwrap_err()
        .to_string();
    assert!(refusal.contains(expect), "{refusal}");
}

#[test]
fn a_protected_tag_of_an_allowed_project_is_granted() {
    let grant = decide(&lane(), &environment(), &job()).unwrap();
    assert_eq!((grant.project_id(), grant.commit()), (42, SHA));
}

#[test]
fn a_foreign_project_is_refused() {
    refused(
        |job| job.job_info.project_id = 43,
        "project 43 may not deploy to `production`",
    );
}

#[test]
fn a_branch_is_refused_even_when_it_is_named_like_a_tag() {
    refused(
        |job| job.git_info.ref_type = "branch".into(),
        "`v1.0.0` is a branch",
    );
}

/// What becomes of a job of a protected ref where the environment says so; its release, or why not.
fn asked(refs: &str, (ref_type, reference): (&str, &str), change: impl FnOnce(&mut Job)) -> String {
    let mut environment = environment();
    environment.policy.refs = serde_json::from_str(refs).unwrap();
    let mut job = job();
    job.variables.clear();
    job.git_info.reference = reference.into();
    job.git_info.ref_type = ref_type.into();
    change(&mut job);
    match decide(&lane(), &environment, &job) {
        Ok(grant) => grant.version().to_owned(),
        Err(refusal) => refusal.to_string(),
    }
}

#[track_caller]
fn check_ref(refs: &str, job_ref: (&str, &str), expect: &str) {
    let text = asked(refs, job_ref, |_| {});
    assert!(text.contains(expect), "{refs} and {job_ref:?}: {text}");
}

#[test]
fn each_environment_is_deployed_from_its_own_refs() {
    let branches = r#""protected-branches""#;
    check_ref(branches, ("branch", "main"), "main@2b6202bd");
    check_ref(
        branches,
        ("tag", "v1.0.0"),
        "from protected branches only, and `v1.0.0` is a tag",
    );
    let releases = r#"["branches:release/*"]"#;
    check_ref(releases, ("branch", "release/2.x"), "release/2.x@2b6202bd");
    check_ref(releases, ("branch", "main"), "none of them is `main`");
    check_ref(releases, ("tag", "release/2.x"), "is a tag");
    let several = r#"["tags:v*", "branches:main"]"#;
    check_ref(several, ("tag", "v1.0.0"), "v1.0.0");
    check_ref(several, ("branch", "main"), "main@2b6202bd");
    check_ref(
        several,
        ("branch", "v1"),
        "protected tags `v*` or protected branches `main` only, and none of them is `v1`",
    );
    check_ref(several, ("tag", "main"), "none of them is `main`");
    check_ref(several, ("commit", "main"), "is a commit");
}

#[test]
fn a_ref_that_a_pattern_names_must_be_protected_all_the_same() {
    for refs in [
        r#""protected-branches""#,
        r#""branches:main""#,
        r#""branches:*""#,
    ] {
        let check = |protected, expect: &str| {
            let text = asked(refs, ("branch", "main"), |job| {
                job.git_info.protected = protected;
            });
            assert!(text.contains(expect), "{refs}: {text}");
        };
        check(Some(false), "is not protected");
        check(None, "nobody says whether `main` is protected");
        check(Some(true), "main@2b6202bd");
    }
}

#[test]
fn what_a_merge_request_brings_is_no_branch() {
    let branches = r#""protected-branches""#;
    check_ref(
        branches,
        ("branch", "refs/merge-requests/7/head"),
        "belongs to a merge request",
    );
    let text = asked(branches, ("branch", "main"), |job| {
        job.variables.push(crate::job::Variable {
            key: "CI_MERGE_REQUEST_IID".into(),
            ..Default::default()
        });
    });
    assert!(text.contains("belongs to a merge request"), "{text}");
    assert!(is_compared("CI_MERGE_REQUEST_IID"));
}

#[test]
fn a_job_of_a_branch_must_not_call_itself_a_tag_nor_the_other_way_round() {
    let check = |job_ref, key: &str, value: &str, expect: &str| {
        let refs = r#"["protected-tags", "protected-branches"]"#;
        let text = asked(refs, job_ref, |job| {
            job.variables.push(crate::job::Variable {
                key: key.into(),
                value: value.into(),
                ..Default::default()
            });
        });
        assert!(text.contains(expect), "{key}={value}: {text}");
    };
    let (branch, tag) = (("branch", "main"), ("tag", "v1"));
    check(branch, "CI_COMMIT_TAG", "main", "CI_COMMIT_TAG contradicts");
    check(
        branch,
        "CI_COMMIT_BRANCH",
        "other",
        "CI_COMMIT_BRANCH contradicts",
    );
    check(branch, "CI_COMMIT_BRANCH", "main", "main@2b6202bd");
    check(branch, "CI_COMMIT_TAG", "", "main@2b6202bd");
    check(
        tag,
        "CI_COMMIT_BRANCH",
        "v1",
        "CI_COMMIT_BRANCH contradicts",
    );
}

#[test]
fn protection_that_is_false_or_unknown_is_refused() {
    refused(
        |job| job.git_info.protected = Some(false),
        "is not protected",
    );
    refused(|job| job.git_info.protected = None, "18.3 or newer");
}

#[test]
fn a_forged_variable_is_refused_by_name_wherever_it_stands_in_the_list() {
    for (key, value) in [
        ("CI_COMMIT_TAG", "v9"),
        ("CI_PROJECT_ID", "1"),
        ("CI_COMMIT_SHA", "0000"),
        ("CI_COMMIT_REF_PROTECTED", "false"),
        ("CI_PIPELINE_ID", "1"),
        ("CI_JOB_ID", "1"),
        ("CI_COMMIT_REF_NAME", "v9"),
    ] {
        let forged = crate::job::Variable {
            key: key.into(),
            value: value.into(),
            ..Default::default()
        };
        refused(|job| job.variables.push(forged.clone()), key);
        refused(|job| job.variables.insert(0, forged.clone()), key);
    }
}

#[test]
fn a_sha_that_is_an_option_or_a_ref_is_refused() {
    refused(
        |job| job.git_info.sha = "--upload-pack=evil".into(),
        "not the id of a commit",
    );
    for sha in ["HEAD", "2b6202bd", &"z".repeat(40), &"a".repeat(41), ""] {
        refused(
            |job| job.git_info.sha = sha.into(),
            "not the id of a commit",
        );
    }
}

#[test]
fn an_environment_that_the_lane_does_not_name_is_refused() {
    let mut other = environment();
    other.name = "staging".into();
    let refusal = decide(&lane(), &other, &job()).unwrap_err().to_string();
    assert!(
        refusal.contains("does not deploy to `staging`"),
        "{refusal}"
    );
}

#[test]
fn refusals_cannot_forge_a_line_of_the_log() {
    refused(
        |job| {
            job.git_info.reference = "v1\nsection_end:1:x\r\u{1b}[0K".into();
            job.git_info.protected = Some(false);
            job.variables.clear();
        },
        "v1\u{fffd}section_end:1:x\u{fffd}\u{fffd}[0K",
    );
}

#[test]
fn a_rollback_is_asked_for_by_naming_the_tag_where_policy_lets_one() {
    let check = |rollbacks, values: &[&str], expect: bool| {
        let mut environment = environment();
        environment.policy.rollbacks = rollbacks;
        let mut job = job();
        for value in values {
            let variable = serde_json::json!({"key": ROLLBACK, "value": value});
            job.variables
                .push(serde_json::from_value(variable).unwrap());
        }
        let grant = decide(&lane(), &environment, &job).unwrap();
        assert_eq!(grant.allows_rollback(), expect, "{values:?}");
    };
    check(Rollbacks::Refused, &["v1.0.0"], false);
    check(Rollbacks::ByVariable, &[], false);
    check(Rollbacks::ByVariable, &["v1.0.0"], true);
    check(Rollbacks::ByVariable, &["true"], false);
    check(Rollbacks::ByVariable, &["v1.0.0", "v0.9.0"], false);
}

#[test]
fn a_rollback_on_a_branch_names_the_commit_too() {
    let check = |value: &str, expect: bool| {
        let mut environment = environment();
        environment.policy.rollbacks = Rollbacks::ByVariable;
        environment.policy.refs = serde_json::from_str(r#""protected-branches""#).unwrap();
        let mut job = job();
        job.git_info.reference = "main".into();
        job.git_info.ref_type = "branch".into();
        let variable = serde_json::json!([{"key": ROLLBACK, "value": value}]);
        job.variables = serde_json::from_value(variable).unwrap();
        let grant = decide(&lane(), &environment, &job).unwrap();
        assert_eq!(grant.allows_rollback(), expect, "{value}");
    };
    // One that stays set allows no other commit of the branch.
    check("main", false);
    check("main@2b6202bd", true);
    check("main@00000000", false);
}
