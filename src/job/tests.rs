use super::*;

fn job(text: &str) -> Job {
    serde_json::from_str(text).unwrap()
}

#[test]
fn nulls_absent_and_extra_fields_are_read() {
    let job = job(
        r#"{"id": 9223372036854710273, "variables": null, "services": null,
        "image": {"name": "alpine", "alias": null, "executor_opts": {"kubernetes": {"user": ""}}},
        "git_info": {"protected": null, "refspecs": null}, "news": {"from": "GitLab 23"}}"#,
    );
    assert_eq!(job.id, 9_223_372_036_854_710_273);
    assert!(!job.is_protected());
    assert_eq!(job.image.name, "alpine");
    assert_eq!(job.project_path(), "project-0");
}

#[test]
fn the_key_is_made_of_numbers_and_tells_servers_apart() {
    let here = job(r#"{"id": 7, "job_info": {"project_id": 42, "name": "../x"},
        "git_info": {"repo_url": "https://gitlab-ci-token:t@one.example.com/g/p.git"}}"#);
    let there = job(r#"{"id": 7, "job_info": {"project_id": 42},
        "git_info": {"repo_url": "https://gitlab-ci-token:t@two.example.com/g/p.git"}}"#);
    assert!(here.key().starts_with("p42-j7-"));
    assert_ne!(here.key(), there.key());
    assert_eq!(here.project_path(), "g/p");
}

#[test]
fn a_missing_file_is_named() {
    assert!(matches!(Job::read(None), Err(JobError::NotSet)));
    assert!(matches!(
        Job::read(Some(Path::new(""))),
        Err(JobError::NotSet)
    ));
    let error = Job::read(Some(Path::new("/no/such/response.json"))).unwrap_err();
    assert!(error.to_string().contains("/no/such/response.json"));
}

#[test]
fn every_recorded_phase_runs_where_it_belongs() {
    for (name, is_author_s) in [
        ("prepare_script", false),
        ("get_sources", false),
        ("restore_cache", false),
        ("download_artifacts", false),
        ("build_script", true),
        ("step_script", true),
        ("step_weird step/../x", true),
        ("after_script", true),
        ("archive_cache_on_failure", false),
        ("upload_artifacts_on_success", false),
        ("cleanup_file_variables", false),
        ("a_phase_of_the_future", false),
    ] {
        assert_eq!(Phase::parse(name).is_author_s(), is_author_s, "{name}");
    }
}
