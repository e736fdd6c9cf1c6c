//! `dockmaster firewall`: the rules around jobs, shown, made, looked at, taken away.

use std::path::Path;

use crate::{
    config::Config,
    failure::Failure,
    firewall::{self, Firewall, State},
};

/// What an admin is told, and whether it is as it should be.
pub(crate) struct Told {
    pub(crate) text: String,
    pub(crate) is_good: bool,
}

/// Every rule.
pub(crate) fn plan(config: &Path) -> Result<Told, Failure> {
    Ok(good(&planned(config)?.text()))
}

/// Makes the rules stand.
pub(crate) async fn apply(config: &Path) -> Result<Told, Failure> {
    Ok(good(match planned(config)?.apply().await? {
        State::Missing => "the firewall around jobs stands\n",
        State::Held => "the firewall around jobs stood already: nothing to do\n",
    }))
}

/// Looks whether they stand.
pub(crate) async fn check(config: &Path) -> Result<Told, Failure> {
    Ok(match planned(config)?.look().await? {
        State::Held => good("the firewall around jobs stands\n"),
        State::Missing => Told {
            text: "the firewall around jobs is missing or differs from the plan\n\
                try: dockmaster firewall apply\n"
                .to_owned(),
            is_good: false,
        },
    })
}

/// Takes every rule away, whatever the configuration says by now.
pub(crate) async fn remove() -> Result<Told, Failure> {
    Ok(good(if firewall::remove().await? {
        "the firewall around jobs is taken away\n"
    } else {
        "there was no firewall around jobs\n"
    }))
}

fn planned(config: &Path) -> Result<Firewall, Failure> {
    Ok(Firewall::new(&Config::load(config)?)?)
}

fn good(text: &str) -> Told {
    Told {
        text: text.to_owned(),
        is_good: true,
    }
}
