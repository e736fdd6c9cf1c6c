//! Whom a job's containers may run as.

use crate::{
    call::Call,
    config::DockerLane,
    docker::spec,
    failure::{Failure, JobCode},
    job::Job,
};

/// Refuses a user that the operator does not allow, of the job's container and of its services. Nobody named is whom the
/// image names, and that is allowed.
pub(super) fn admit(lane: &DockerLane, job: &Job, call: &Call) -> Result<(), Failure> {
    let own = lane.user.is_none().then_some(&job.image);
    let asked = own.into_iter().chain(&job.services);
    let allowed: Vec<&str> = lane.allowed_users.iter().map(|it| &*it.0).collect();
    let is_refused = |user: &String| !allowed.is_empty() && !allowed.contains(&user.as_str());
    match asked
        .filter_map(|image| spec::user(image, call))
        .find(is_refused)
    {
        None => Ok(()),
        Some(user) => {
            let what = format!("a container of this lane may not run as `{user}` (`docker: user`)");
            let allowed = allowed.join(", ");
            Err(Failure::build(JobCode::Refused, what)
                .hint(format!("allowed (allowed-users): {allowed}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_one_of_those_that_are_allowed() {
        let check = |lane: &str, image: &str, service: &str| {
            let lane: DockerLane = toml::from_str(lane).unwrap();
            let of = |user: &str| serde_json::json!({ "name": "a", "executor_opts": { "docker": { "user": user } } });
            let job = serde_json::json!({ "id": 1, "image": of(image), "services": [of(service)] });
            let call = Call {
                job_environ: [("WHO".to_owned(), "0".to_owned())].into(),
                ..Call::default()
            };
            admit(&lane, &serde_json::from_value(job).unwrap(), &call)
                .map_err(|failure| failure.to_string())
        };
        let some = "allowed-users = ['1000', '65534']";
        assert_eq!(check("", "root", "root"), Ok(()));
        assert_eq!(check(some, "", ""), Ok(()));
        assert_eq!(check(some, "65534", "1000"), Ok(()));
        assert!(check(some, "$WHO", "").unwrap_err().contains("`0`"));
        assert!(
            check(some, "", "root")
                .unwrap_err()
                .contains("allowed-users")
        );
        // The operator's own word needs no leave, and the job's counts for nothing.
        assert_eq!(
            check("user = '0'\nallowed-users = ['65534']", "0", ""),
            Ok(())
        );
    }
}
