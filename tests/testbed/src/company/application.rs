//! The web service that is built, pushed and deployed: a small copy of a company's project, at any version.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

const DOCKERFILE: &str = include_str!("../../app/Dockerfile");
const PACKAGE: &str = include_str!("../../app/package.json");
const SERVICE: &str = include_str!("../../app/bin/www.js");
const IGNORE: &str = include_str!("../../app/.dockerignore");

/// The port it listens on in its container and on every host.
pub const PORT: u16 = 3131;

/// A second port of every host that nothing listens at.
pub const SECOND_PORT: u16 = 3132;

/// One release of the service.
#[derive(Debug, Clone)]
pub struct Application {
    /// As `GET /` answers it, without the tag's `v`.
    pub version: String,
    /// If false, HEALTHCHECK never passes.
    pub is_healthy: bool,
    /// If true, HEALTHCHECK passes and a check from outside does not.
    is_private: bool,
    /// How long it does not listen after its start.
    pub start_milliseconds: u64,
}

impl Application {
    pub fn new(version: &str) -> Self {
        let version = version.trim_start_matches('v').to_owned();
        Self {
            version,
            is_healthy: true,
            is_private: false,
            start_milliseconds: 0,
        }
    }

    pub fn unhealthy(version: &str) -> Self {
        Self {
            is_healthy: false,
            ..Self::new(version)
        }
    }

    pub fn private(version: &str) -> Self {
        Self {
            is_private: true,
            ..Self::new(version)
        }
    }

    /// Writes the project's files; `base` becomes the default of the Dockerfile's BASE.
    pub fn write(&self, directory: &Path, base: &str) -> Result<()> {
        let mut package: Value = serde_json::from_str(PACKAGE)?;
        package["version"] = self.version.as_str().into();
        let health = match (self.is_healthy, self.is_private) {
            (false, _) => "never",
            (true, true) => "local",
            (true, false) => "ok",
        };
        package["testbed"]["health"] = health.into();
        package["testbed"]["startMilliseconds"] = self.start_milliseconds.into();
        let dockerfile = DOCKERFILE.replace("ARG BASE\n", &format!("ARG BASE={base}\n"));
        fs::create_dir_all(directory.join("bin"))
            .with_context(|| format!("cannot create {}", directory.display()))?;
        fs::write(directory.join("Dockerfile"), dockerfile)?;
        fs::write(directory.join("package.json"), format!("{package:#}\n"))?;
        fs::write(directory.join("bin/www.js"), SERVICE)?;
        fs::write(directory.join(".dockerignore"), IGNORE)?;
        Ok(())
    }
}
