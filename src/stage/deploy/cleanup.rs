//! Ends what is left of the job and removes all that was made for it; then puts right what an
//! interrupted rollout of it left. Prints nothing when all is well.

use super::Recipe;
use crate::{
    broker::driver,
    failure::{Class, Failure},
};

impl Recipe<'_> {
    /// Everything is tried before the first failure is told.
    pub(in crate::stage) async fn cleanup(&self) -> Result<(), Failure> {
        let mut failures = Vec::new();
        failures.extend(self.sandbox.remove().await.err());
        let granted = self.granted().unwrap_or_else(|failure| {
            // A job that is refused has begun nothing.
            failures.extend((failure.class() == Class::System).then_some(failure));
            Vec::new()
        });
        let context = self.context;
        failures.extend(driver::recover_quietly(&context.program, &context.config, &granted).await);
        if failures.is_empty() {
            return Ok(());
        }
        let lines: Vec<_> = failures.iter().map(Failure::to_string).collect();
        Err(Failure::system(lines.join("\n")))
    }
}
