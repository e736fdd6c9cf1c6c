//! `dockmaster rollout rollback`: brings a release out again that the hosts still have. Needs neither
//! GitLab nor the registry, and is a rollout of its own in all other ways.

use jiff::Timestamp;
use tokio::sync::watch;

use super::{
    kept as kept_files,
    open::{self, Reach},
    output::Output,
    serve,
    status::LIMIT,
};
use crate::lang::{both, word};
use crate::{
    config::{Config, Environment},
    failure::Failure,
    rollout::{
        engine::{self, Order},
        journal::{Cause, Owner, Run},
        lineage::Lineage,
        port::{ComposeFile, Narrator, Wish},
        world::{Glance, Settings},
    },
    store::{ComposeFiles, History, Holder, Patience, Runs},
};

/// What somebody wants to go back to.
pub(super) struct Rollback<'a> {
    pub(super) environment: &'a str,
    /// The release before the one that runs, when absent.
    pub(super) version: Option<&'a str>,
    /// Who typed it.
    pub(super) by: Option<String>,
}

impl Rollback<'_> {
    pub(super) async fn carry_out(
        &self,
        config: &Config,
        wish: watch::Receiver<Wish>,
    ) -> Result<(), Failure> {
        let name = self.environment;
        let environment = config.environment(name)?;
        let world = open::world(
            config,
            &environment,
            Output::Admin,
            (wish.clone(), Reach::Hosts),
        )?;
        let patience = Patience {
            wait: environment.rollout.lease_wait,
            clock: &world.clock,
            narrator: &world.narrator,
        };
        let id = Runs::id(Timestamp::now(), 0);
        let holder = Holder::new(Owner::default(), &id);
        let _lease = tokio::select! {
            lease = patience.take(&config.state_dir, name, &holder) => lease?,
            () = serve::stopped(wish) => {
                return Err(Failure::system(word!("stopped before anything was touched", "在改动任何东西之前停止")));
            }
        };
        let runs = Runs::new(&config.state_dir, name);
        let history = runs.history()?;
        open::tell_damaged(&history, &world.narrator);
        open::check(config, name, &history)?;
        let glance = match self.version {
            Some(_) => None,
            None => Some(world.glance(LIMIT).await),
        };
        let target = self.target(&history, glance.as_ref())?;
        let order = Order {
            journal: runs.journal(&id),
            run: id,
            release: target.release.clone(),
            files: Self::files(config, &environment, &target.id)?,
            // Its age stays that of the pipeline that brought it out last.
            owner: Owner {
                job: 0,
                ..target.owner
            },
            cause: Cause::Rollback {
                by: self.by.clone(),
            },
        };
        let kept = ComposeFiles::new(&config.state_dir, name);
        if order.files.is_empty() && !environment.compose.file.is_empty() {
            kept_files::fits(&target, &history.past, &kept)?;
            world.narrator.say(&both!(
                "no compose files of {} are kept: those that hosts have stay, with its image",
                "没有保存 {} 的 compose 文件：主机上的文件保持不变，只更换镜像",
                order.release.version
            ));
        }
        kept.keep(&order.run, &order.files)?;
        let open = kept_files::with_files(history.open, &kept)?;
        let settings = Settings::new(&environment, history.versions);
        let report = engine::roll_out(&world, &settings, &order, &open).await;
        open::prune(config, name);
        open::told(&report?, &world.narrator)
    }

    /// The compose files that came with it, where hosts get them from releases.
    fn files(
        config: &Config,
        environment: &Environment,
        run: &str,
    ) -> Result<Vec<ComposeFile>, Failure> {
        if environment.compose.file.is_empty() {
            return Ok(Vec::new());
        }
        Ok(ComposeFiles::new(&config.state_dir, &environment.name).read(run)?)
    }

    /// The run that brought out what is wanted.
    fn target(&self, history: &History, glance: Option<&Glance>) -> Result<Run, Failure> {
        let lineage = Lineage::new(history.past.iter().map(|past| &past.run).collect());
        let found = if let Some(version) = self.version {
            lineage.named(version)
        } else {
            let surveys = glance.iter().flat_map(|glance| &glance.surveys);
            let seen = surveys.filter_map(|(_, seen)| seen.as_ref().ok());
            let seen: Vec<_> = seen.map(|survey| survey.container.as_ref()).collect();
            if seen.is_empty() {
                let text = word!(
                    "no host answers, so nobody knows what to go back from",
                    "没有主机应答，不知道要从哪个版本退回"
                );
                return Err(Failure::system(text));
            }
            lineage.before(&seen)
        };
        let hint = both!(
            "try: dockmaster rollout history {}",
            "请看：dockmaster rollout history {}",
            self.environment
        );
        Ok(found
            .map_err(|lost| Failure::system(lost).hint(hint))?
            .clone())
    }
}
