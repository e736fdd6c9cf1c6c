//! Decides whether the job may deploy, and only then makes its folders and gives it a uid.

use super::Recipe;
use crate::failure::Failure;

impl Recipe<'_> {
    pub(in crate::stage) fn prepare(&self) -> Result<(), Failure> {
        let granted = self.granted()?;
        self.context.write_note()?;
        let first = self.lane.first_uid;
        let uid = self
            .sandbox
            .make(first..first.saturating_add(self.lane.uid_count))?;
        tracing::info!(uid, ?granted, "a deploy job has its folders");
        Ok(())
    }
}
