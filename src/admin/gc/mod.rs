//! `dockmaster gc`: removes what a killed runner left behind, and what is kept between jobs longer than
//! anybody needs it.
//!
//! Everything that is made for a job names the runner process that drives it. When that process is
//! gone, no cleanup will ever be called for the job.

mod engine;
mod slots;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use crate::{
    broker::temporary,
    config::{Config, DockerLane, Lane},
    docker::name,
    failure::Failure,
    gate::{self, GateFolder},
    harbor::{self, HostMark},
    sandbox::Sandbox,
    stage::{self, Marker},
    store::{Note, Notes, host_secret},
};
use engine::EngineSweep;

/// What was removed, as text, and what could not be.
pub(crate) struct Swept {
    pub(crate) text: String,
    pub(crate) failures: Vec<Failure>,
}

/// What was found so far. Everything is tried before a failure is told.
#[derive(Default)]
struct Found {
    /// The keys of jobs that left something.
    jobs: BTreeSet<String>,
    /// Everything else that was removed, a line each.
    others: Vec<String>,
    failures: Vec<Failure>,
}

/// Removes them.
pub(crate) async fn gc(program: &Path, config: &Path) -> Result<Swept, Failure> {
    let config = Config::load(config)?;
    let mut found = Found::default();
    let mark = host_secret(&config.state_dir)?.mark();
    let engines = found.engines(&config, &mark).await;
    for (sweep, _) in &engines {
        found.orphans(sweep).await;
    }
    found.noted_jobs(&config).await;
    // After the folders of dead jobs, which say what is alive.
    found.robots(&config).await;
    found.groups(&config).await;
    found.sandboxes(program, &config).await;
    found.brokers(&config);
    // Last: what a dead job held is free now.
    for (sweep, lane) in &engines {
        let swept = found.kept(&config, sweep, lane).await;
        found.failures.extend(swept.err());
    }
    Ok(found.told())
}

impl Found {
    /// The engines of all docker lanes, each once, with a lane that uses it. One that does not answer is
    /// told once.
    async fn engines<'a>(
        &mut self,
        config: &'a Config,
        mark: &str,
    ) -> Vec<(EngineSweep, &'a DockerLane)> {
        let docker = config.lanes.values().filter_map(|lane| match lane {
            Lane::Docker(lane) => Some((lane.docker_host.as_str(), lane.as_ref())),
            Lane::Deploy(_) => None,
        });
        let mut engines = Vec::new();
        for (host, lane) in docker.collect::<BTreeMap<_, _>>() {
            match EngineSweep::connect(host, mark.to_owned()).await {
                Ok(sweep) => engines.push((sweep, lane)),
                Err(failure) => self.failures.push(failure),
            }
        }
        engines
    }

    async fn orphans(&mut self, sweep: &EngineSweep) {
        let swept = sweep.orphans(&mut self.jobs, &mut self.failures).await;
        self.failures.extend(swept.err());
    }

    /// What an engine keeps between jobs.
    async fn kept(
        &mut self,
        config: &Config,
        sweep: &EngineSweep,
        lane: &DockerLane,
    ) -> Result<(), Failure> {
        sweep.old_helpers(&mut self.others).await?;
        self.names(config, lane).await?;
        self.layers(config, lane).await?;
        slots::sweep(sweep, config, lane, &mut self.others).await
    }

    /// Private names of images whose jobs are gone, though nothing else tells of them.
    async fn names(&mut self, config: &Config, lane: &DockerLane) -> Result<(), Failure> {
        let live = || Notes::new(&config.run_dir).keys();
        let swept = gate::sweep_names(lane.engine(), &config.state_dir, live).await?;
        if swept.removed > 0 {
            let what = format!("removed {} names of images of dead jobs", swept.removed);
            self.others.push(what);
        }
        let left = swept.left.into_iter().map(Failure::system);
        self.failures.extend(left);
        Ok(())
    }

    /// Layers of builds beyond the lane's budget, and what cut-off builds left.
    async fn layers(&mut self, config: &Config, lane: &DockerLane) -> Result<(), Failure> {
        let trimmed = stage::trim_layers(config, lane).await?;
        if trimmed.removed > 0 {
            let what = format!("removed {} images that builds kept", trimmed.removed);
            self.others.push(what);
        }
        let left = trimmed.left.into_iter().map(Failure::system);
        self.failures.extend(left);
        Ok(())
    }

    /// Jobs whose note names a runner that is gone.
    async fn noted_jobs(&mut self, config: &Config) {
        let notes = Notes::new(&config.run_dir);
        match notes.orphans() {
            Err(error) => self.failures.push(error.into()),
            Ok(orphans) => {
                for (key, note) in orphans {
                    match noted_job(config, &notes, &key, &note).await {
                        Ok(()) => drop(self.jobs.insert(key)),
                        Err(failure) => self.failures.push(failure),
                    }
                }
            }
        }
    }

    /// Accounts at the registry whose job is gone.
    async fn robots(&mut self, config: &Config) {
        let Some(registry) = &config.registry else {
            return;
        };
        let host = HostMark::of(&config.state_dir);
        let is_live = |key: &str| GateFolder::new(&config.run_dir, key).is_there();
        let (deleted, failures) = harbor::reap(registry, &host, is_live).await;
        let lines = deleted
            .iter()
            .map(|name| format!("deleted the robot account {name}"));
        self.others.extend(lines);
        self.failures.extend(failures);
    }

    async fn groups(&mut self, config: &Config) {
        let (removed, failures) = stage::sweep_groups().await;
        self.jobs.extend(removed);
        self.failures.extend(failures);
        let (removed, failures) = stage::sweep_builds(config).await;
        let lines = removed
            .iter()
            .map(|name| format!("removed the control group {name}, which no job uses"));
        self.others.extend(lines);
        self.failures.extend(failures);
    }

    async fn sandboxes(&mut self, program: &Path, config: &Config) {
        match Sandbox::orphans(program, config) {
            Err(error) => self.failures.push(error),
            Ok(orphans) => {
                for orphan in orphans {
                    match orphan.remove().await {
                        Ok(()) => drop(self.jobs.insert(orphan.key().to_owned())),
                        Err(error) => self.failures.push(error),
                    }
                }
            }
        }
    }

    fn brokers(&mut self, config: &Config) {
        match temporary::remove_orphans(&config.run_dir) {
            Ok(0) => {}
            Ok(count) => self
                .others
                .push(format!("removed the temporary folders of {count} brokers")),
            Err(error) => self
                .failures
                .push(Failure::system(error).during("removing folders of brokers")),
        }
    }

    fn told(self) -> Swept {
        let jobs = self.jobs.iter();
        let jobs = jobs.map(|key| format!("removed what the job {key} left behind"));
        let mut lines: Vec<String> = jobs.chain(self.others).collect();
        if lines.is_empty() && self.failures.is_empty() {
            lines.push("nothing was left behind".to_owned());
        }
        let text = lines.iter().flat_map(|line| [line, "\n"]).collect();
        let failures = self.failures;
        Swept { text, failures }
    }
}

/// Removes what a job made through its gate, its variables and token, and at last its note: whatever
/// fails is tried again next time.
async fn noted_job(config: &Config, notes: &Notes, key: &str, note: &Note) -> Result<(), Failure> {
    let folder = GateFolder::new(&config.run_dir, key);
    let swept = folder.sweep(&config.state_dir, (name::MADE, key)).await?;
    if !swept.left.is_empty() {
        let left = swept.left.join("; ");
        return Err(Failure::system(format!(
            "the job {key} left behind: {left}"
        )));
    }
    Marker::of(&config.run_dir, key).remove()?;
    note.remove_temporary()
        .map_err(|error| Failure::system(error).during("removing a runner's temporary folder"))?;
    Ok(notes.remove(key)?)
}
