//! What GitLab before 18.3, or a runner before 18.3, does not hand over as typed fields.
//!
//! An author can add a variable of a name that GitLab sets, but can take none away. gitlab-runner believes the *first* of
//! a name, for GitLab puts its own before the author's; but a GitLab that expands variables in variables puts one before
//! those that name it, and an author's may come first then. So a value counts only where all of its name agree.

use super::Job;

impl Job {
    /// Takes what has no typed field from the server's own variables.
    pub fn complete(&mut self) {
        let agreed = |key: &str| {
            let all = self.variables.iter().filter(|variable| variable.key == key);
            let mut values = all.map(|variable| variable.value.as_str());
            let first = values.next()?;
            values.all(|value| value == first).then_some(first)
        };
        let number = |key: &str| agreed(key).and_then(|text| text.parse().ok());
        let protected = match agreed("CI_COMMIT_REF_PROTECTED") {
            Some("true") => Some(true),
            Some("false") => Some(false),
            _ => None,
        };
        let (pipeline, user) = (number("CI_PIPELINE_ID"), number("GITLAB_USER_ID"));
        let path = agreed("CI_PROJECT_PATH").unwrap_or_default().to_owned();

        let (git, info) = (&mut self.git_info, &mut self.job_info);
        git.protected = git.protected.or(protected);
        if info.pipeline_id == 0 {
            info.pipeline_id = pipeline.unwrap_or_default();
        }
        if info.user_id == 0 {
            info.user_id = user.unwrap_or_default();
        }
        if info.project_full_path.is_empty() {
            info.project_full_path = path;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn completed(git: &serde_json::Value, variables: &[(&str, &str)]) -> Job {
        let variables = variables.iter();
        let variables: Vec<_> = variables
            .map(|(key, value)| json!({"key": key, "value": value}))
            .collect();
        let mut job: Job = serde_json::from_value(json!({
            "id": 9, "job_info": {"project_id": 42}, "git_info": git, "variables": variables,
        }))
        .unwrap();
        job.complete();
        job
    }

    #[test]
    fn what_the_author_contradicts_counts_for_nothing_wherever_it_stands() {
        let server = [
            ("CI_PIPELINE_ID", "77"),
            ("CI_PROJECT_PATH", "group/app"),
            ("CI_COMMIT_REF_PROTECTED", "false"),
            ("GITLAB_USER_ID", "31"),
        ];
        let forged = [("CI_COMMIT_REF_PROTECTED", "true"), ("CI_PIPELINE_ID", "1")];
        for all in [
            [&server[..], &forged].concat(),
            [&forged, &server[..]].concat(),
        ] {
            let job = completed(&json!({}), &all);
            assert_eq!(job.git_info.protected, None);
            let info = &job.job_info;
            assert_eq!((info.pipeline_id, info.user_id), (0, 31));
            assert_eq!(info.project_full_path, "group/app");
        }
        assert_eq!(completed(&json!({}), &server).job_info.pipeline_id, 77);
        assert!(completed(&json!({}), &[("CI_COMMIT_REF_PROTECTED", "true")]).is_protected());
    }

    #[test]
    fn a_typed_field_counts_whatever_the_variables_say() {
        let variables = [("CI_COMMIT_REF_PROTECTED", "true")];
        assert!(!completed(&json!({"protected": false}), &variables).is_protected());
        let odd = completed(&json!({}), &[("CI_COMMIT_REF_PROTECTED", "yes")]);
        assert_eq!(odd.git_info.protected, None);
        assert_eq!(completed(&json!({}), &[]).git_info.protected, None);
    }
}
