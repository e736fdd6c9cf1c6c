//! The world a rollout works in: its ports, how carefully, and the looks that change nothing.

use std::time::Duration;

use futures_util::future::join_all;

use super::{
    narrate,
    plan::Fleet,
    port::{
        Balancer, Cancel, Clock, Fault, HostName, Narrator, Pool, Ports, Remote, Retry, Survey,
        Wish,
    },
};
use crate::config::{Environment, Rollout};

/// How often a call is repeated while its errors say that it may succeed: for half a minute.
const TRIES: u32 = 9;
/// A reader of the log hears something at least this often.
const PROGRESS: Duration = Duration::from_secs(3);

/// The adapters of one environment.
pub struct World<P: Ports> {
    /// `None`: each host is down while it changes.
    pub balancer: Option<P::Balancer>,
    /// As the environment's file lists them.
    pub hosts: Vec<(HostName, P::Remote)>,
    pub clock: P::Clock,
    pub narrator: P::Narrator,
    pub cancel: Cancel,
}

/// How a rollout goes about it.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The environment's name, for people.
    pub environment: String,
    pub care: Rollout,
    /// Releases known from before, so that a digest can be called by its version.
    pub versions: Vec<super::port::Release>,
}

impl Settings {
    pub fn new(environment: &Environment, versions: Vec<super::port::Release>) -> Self {
        Self {
            environment: environment.name.clone(),
            care: environment.rollout.clone(),
            versions,
        }
    }

    /// The one command that repairs.
    pub fn repair(&self) -> String {
        format!("dockmaster rollout recover {}", self.environment)
    }
}

/// Says when a reader should hear something again.
pub(super) struct Ticker(Duration);

impl Ticker {
    /// Due at once.
    pub(super) fn new() -> Self {
        Self(Duration::ZERO)
    }

    /// Due after a while of silence.
    pub(super) fn after(now: Duration) -> Self {
        Self(now + PROGRESS)
    }

    pub(super) fn is_due(&mut self, now: Duration) -> bool {
        let is_due = now >= self.0;
        if is_due {
            self.0 = now + PROGRESS;
        }
        is_due
    }
}

/// What a call that was given up on left behind.
pub(super) type Source = Box<dyn std::error::Error + Send + Sync>;

impl<P: Ports> World<P> {
    pub(super) fn now(&self) -> Duration {
        self.clock.now()
    }

    pub(super) fn wish(&self) -> Wish {
        *self.cancel.borrow()
    }

    /// One line about one host; names are padded so that the texts stand in one column.
    pub(super) fn say(&self, host: &str, text: &str) {
        let width = self.hosts.iter().map(|(name, _)| name.len()).max();
        let width = width.unwrap_or_default();
        self.narrator.say(&format!("{host:width$}  {text}"));
    }

    pub(super) fn names(&self) -> Vec<HostName> {
        self.hosts.iter().map(|(name, _)| name.clone()).collect()
    }

    /// A host's port; `None` when the environment does not name it any more.
    pub(super) fn remote(&self, host: &str) -> Option<&P::Remote> {
        let found = self.hosts.iter().find(|(name, _)| name == host);
        found.map(|(_, remote)| remote)
    }

    /// Repeats a call, which must be safe to repeat, while its errors say that it may succeed.
    pub(super) async fn retry<T, E: Fault>(
        &self,
        call: impl AsyncFn() -> Result<T, E>,
    ) -> Result<T, E> {
        let mut tries = 1;
        let mut pause = Duration::from_millis(500);
        loop {
            match call().await {
                Err(error) if error.retry() != Retry::Never && tries < TRIES => tries += 1,
                result => return result,
            }
            self.clock.sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(5));
        }
    }

    /// Awaits `work` and says every few seconds that it still goes on.
    pub(super) async fn narrated<T>(
        &self,
        host: &str,
        what: &str,
        work: impl Future<Output = T>,
    ) -> T {
        let began = self.now();
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                biased;
                result = &mut work => return result,
                () = self.clock.sleep(PROGRESS) => {
                    let waited = narrate::duration(self.now().saturating_sub(began));
                    self.say(host, &format!("{what} ({waited})"));
                }
            }
        }
    }

    /// All weights; `None` without a balancer.
    pub(super) async fn pool(&self) -> Result<Option<Pool>, Source> {
        let Some(balancer) = &self.balancer else {
            return Ok(None);
        };
        let pool = self.retry(async || balancer.pool().await).await;
        pool.map(Some).map_err(Into::into)
    }

    /// Looks at one host.
    pub(super) async fn survey(&self, host: &str) -> Result<Survey, Source> {
        let Some(remote) = self.remote(host) else {
            return Err(format!("{host} is not in the environment any more").into());
        };
        let survey = self.retry(async || remote.survey().await).await;
        survey.map_err(Into::into)
    }

    /// Looks at all hosts at once; one that cannot be seen comes with the reason.
    pub(super) async fn surveys(&self) -> Vec<(HostName, Result<Survey, Source>)> {
        let looks = self.hosts.iter().map(async |(name, _)| {
            let survey = self.survey(name).await;
            (name.clone(), survey)
        });
        join_all(looks).await
    }

    /// Balancer and hosts as they are now. Hosts that do not answer are left out.
    pub(super) async fn fleet(&self) -> Result<Fleet, Source> {
        let pool = self.pool().await?;
        let surveys = self.surveys().await;
        let answered = surveys
            .into_iter()
            .filter_map(|(host, survey)| Some((host, survey.ok()?)));
        Ok(Fleet {
            pool,
            surveys: answered.collect(),
        })
    }
}
