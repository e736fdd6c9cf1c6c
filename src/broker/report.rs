//! Makes the report of a run from what is kept of it.

use super::protocol::Pages;
use crate::{
    config::Config,
    failure::Failure,
    rollout::review::{self, Source},
    store::{Runs, Stories},
};

/// The page of a run, or of the newest one, and its JSON; `None` where there is no such run.
pub(super) fn pages(
    config: &Config,
    environment: &str,
    run: Option<&str>,
) -> Result<Option<Pages>, Failure> {
    let history = Runs::new(&config.state_dir, environment).history()?;
    let is_wanted = |id: &str| run.is_none_or(|run| run == id);
    let mut past = history.past.iter();
    let Some(past) = past.find(|past| is_wanted(&past.run.id)) else {
        return Ok(None);
    };
    let facts = Stories::new(&config.state_dir, environment).read(&past.run.id)?;
    let review = review::review(&Source {
        environment,
        run: &past.run,
        summary: &past.summary,
        events: &past.events,
        facts: &facts,
        versions: &history.versions,
    });
    Ok(Some(Pages {
        report_html: review::page(&review),
        report_json: serde_json::to_string_pretty(&review).map_err(Failure::system)?,
    }))
}
