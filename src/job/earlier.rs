//! What GitLab before 18.3, or a runner before 18.3, does not hand over as typed fields.
//!
//! GitLab puts its own variables before the author's, who can add one of the same name but take none away: the *first*
//! of a name is the server's. gitlab-runner itself decides so whether a ref is protected (`Build.IsProtected`).

use super::Job;

impl Job {
    /// Takes what has no typed field from the server's own variables.
    pub fn complete(&mut self) {
        let first = |key: &str| {
            let found = self.variables.iter().find(|variable| variable.key == key);
            found.map(|variable| variable.value.as_str())
        };
        let number = |key: &str| first(key).and_then(|text| text.parse().ok());
        let protected = match first("CI_COMMIT_REF_PROTECTED") {
            Some("true") => Some(true),
            Some("false") => Some(false),
            _ => None,
        };
        let (pipeline, user) = (number("CI_PIPELINE_ID"), number("GITLAB_USER_ID"));
        let path = first("CI_PROJECT_PATH").unwrap_or_default().to_owned();

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
    fn the_server_s_own_variable_is_the_first_of_its_name() {
        let server = [
            ("CI_PIPELINE_ID", "77"),
            ("CI_PROJECT_PATH", "group/app"),
            ("CI_COMMIT_REF_PROTECTED", "false"),
            ("GITLAB_USER_ID", "31"),
        ];
        let forged = [("CI_COMMIT_REF_PROTECTED", "true"), ("CI_PIPELINE_ID", "1")];
        let job = completed(&json!({}), &[&server[..], &forged].concat());
        assert!(!job.is_protected());
        let info = &job.job_info;
        assert_eq!((info.pipeline_id, info.user_id), (77, 31));
        assert_eq!(info.project_full_path, "group/app");
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
