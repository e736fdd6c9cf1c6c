//! `dockmaster rollout`: looks at an environment or repairs it, under the broker's identity: this
//! process, root's, never opens a key.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use nix::unistd::Uid;

use crate::{broker::driver, config::Config, failure::Failure, store::Runs};

/// Says how the environment is; the exit code.
pub(crate) async fn status(
    program: &Path,
    config: &Path,
    environment: &str,
) -> Result<i32, Failure> {
    driver::status(program, &load(config)?, environment).await
}

/// Puts right what an interrupted rollout left; the exit code.
pub(crate) async fn recover(
    program: &Path,
    config: &Path,
    environment: &str,
) -> Result<i32, Failure> {
    driver::recover(program, &load(config)?, environment, false).await
}

/// The same for every environment, one after the other: silent where nothing was left open or
/// somebody else is at work, and a stuck rollout is tried again only now and then. The worst exit code.
pub(crate) async fn recover_all(program: &Path, config: &Path) -> Result<i32, Failure> {
    let config = load(config)?;
    let mut worst = 0;
    for environment in config.environment_names()? {
        if Runs::new(&config.state_dir, &environment).are_there() {
            worst = worst.max(driver::recover(program, &config, &environment, true).await?);
        }
    }
    Ok(worst)
}

/// Goes back to a release, or to the one before that which runs; the exit code.
pub(crate) async fn roll_back(
    program: &Path,
    config: &Path,
    environment: &str,
    asked: (Option<&str>, Option<&str>),
) -> Result<i32, Failure> {
    driver::roll_back(program, &load(config)?, environment, asked).await
}

/// Says what was brought out and how that ended; the exit code.
pub(crate) async fn history(
    program: &Path,
    config: &Path,
    environment: &str,
    is_json: bool,
) -> Result<i32, Failure> {
    driver::history(program, &load(config)?, environment, is_json).await
}

/// Writes the page of a run, and its JSON beside it; the exit code.
pub(crate) async fn report(
    program: &Path,
    config: &Path,
    environment: &str,
    (run, output): (Option<&str>, &Path),
) -> Result<i32, Failure> {
    let config = load(config)?;
    let (code, pages) = driver::report(program, &config, environment, run).await?;
    let Some((html, json)) = pages else {
        return Ok(code);
    };
    let beside = output.with_extension("json");
    if beside == output {
        return Err(Failure::system(format!(
            "{} is where the JSON goes: name the page otherwise, such as report.html",
            output.display()
        )));
    }
    for (path, text) in [(output, html), (&beside, json)] {
        write(path, &text).map_err(|error| {
            Failure::system(error).during(&format!("cannot write {}", path.display()))
        })?;
    }
    Ok(code)
}

/// Replaces what is there: nothing is written through a link that somebody put there for root.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
    let mut file = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
    file.write_all(text.as_bytes())?;
    file.as_file()
        .set_permissions(fs::Permissions::from_mode(0o644))?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

fn load(config: &Path) -> Result<Config, Failure> {
    if !Uid::effective().is_root() {
        return Err(Failure::system("only root can become the broker's user")
            .hint("try: sudo dockmaster rollout …"));
    }
    Ok(Config::load(config)?)
}
