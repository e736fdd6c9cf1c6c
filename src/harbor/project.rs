//! Harbor's projects.

use serde::Deserialize;

use super::{client::Harbor, error::HarborError, refusal::Fault};

/// One row of the list of projects.
#[derive(Deserialize)]
struct Project {
    project_id: i64,
    name: String,
}

impl Harbor {
    /// The number of a project. The list is asked, because an account that may make robots there need
    /// not be allowed to read the project itself; it finds parts of names too.
    pub(super) async fn project_id(&self, name: &str) -> Result<i64, HarborError> {
        let projects: Vec<Project> = self.api.list("projects", &[("name", name)]).await?;
        let found = projects.into_iter().find(|project| project.name == name);
        found.map(|project| project.project_id).ok_or_else(|| {
            // As Harbor says it to its admins.
            HarborError::Refused {
                what: format!("find the project {name}"),
                status: 404,
                fault: Fault::NoProject,
                answer: format!("NOT_FOUND \"project {name} not found\""),
            }
        })
    }
}
