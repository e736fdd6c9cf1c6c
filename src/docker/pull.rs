//! How an image becomes local: pulled from a registry, or imported from an archive.

use std::{collections::BTreeMap, pin::pin, time::Duration};

use bollard::{
    auth::DockerCredentials, errors::Error as BollardError, models::CreateImageInfo,
    query_parameters::CreateImageOptionsBuilder,
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt};
use tokio::time::{Instant, timeout};

use super::{
    auth::Account,
    engine::Engine,
    fault::{EngineError, failed, optional, pull_error},
    reference::Reference,
};
use crate::lang::both;
use crate::secret::Secret;

impl From<Account> for DockerCredentials {
    fn from(account: Account) -> Self {
        let given = |secret: &Secret| Some(secret.expose().to_owned()).filter(|it| !it.is_empty());
        Self {
            username: Some(account.username),
            password: given(&account.password),
            identitytoken: given(&account.identity),
            serveraddress: Some(account.registry),
            ..Self::default()
        }
    }
}

impl Engine {
    /// The id of a local image.
    pub(crate) async fn image_id(&self, image: &str) -> Result<Option<String>, EngineError> {
        let found = optional(self.docker.inspect_image(image).await);
        let found = found.map_err(failed(format!("look at the image {image}")))?;
        Ok(found.and_then(|image| image.id))
    }

    /// The id of a local image, and its names.
    pub(crate) async fn image(
        &self,
        id: &str,
    ) -> Result<Option<(String, Vec<String>)>, EngineError> {
        let found = optional(self.docker.inspect_image(id).await);
        let found = found.map_err(failed(format!("look at the image {id}")))?;
        Ok(found.and_then(|image| Some((image.id?, image.repo_tags.unwrap_or_default()))))
    }

    /// What an image's name means to its registry now, for this account: a digest.
    pub(crate) async fn digest(
        &self,
        image: &Reference,
        account: Option<Account>,
    ) -> Result<String, EngineError> {
        let (name, account) = (image.text(), account.map(DockerCredentials::from));
        let found = self.docker.inspect_registry_image(&name, account).await;
        let found = found.map_err(|source| pull_error(name.clone(), source))?;
        found.descriptor.digest.ok_or_else(|| EngineError::Pull {
            image: name,
            source: BollardError::DockerStreamError {
                error: "the registry does not tell the digest".into(),
            },
        })
    }

    /// Pulls an image. `say` hears how far it is every few seconds.
    pub(crate) async fn pull(
        &self,
        image: &Reference,
        account: Option<Account>,
        say: impl AsyncFn(&str),
    ) -> Result<(), EngineError> {
        let name = image.text();
        let options = CreateImageOptionsBuilder::new().from_image(&name).build();
        let credentials = account.map(DockerCredentials::from);
        let progress = self.docker.create_image(Some(options), None, credentials);
        let followed = follow(progress, say).await;
        followed.map_err(|source| pull_error(name, source))
    }

    /// Makes an image from a root file system in a tar archive, with one label.
    pub(crate) async fn import(
        &self,
        archive: impl Stream<Item = std::io::Result<Bytes>> + Send + 'static,
        tag: &str,
        label: (&str, &str),
    ) -> Result<(), EngineError> {
        let label = format!("LABEL {}={}", label.0, label.1);
        let (repo, tag) = tag.rsplit_once(':').unwrap_or((tag, "latest"));
        let options = CreateImageOptionsBuilder::new()
            .from_src("-")
            .repo(repo)
            .tag(tag)
            .changes(vec![label])
            .build();
        self.docker
            .create_image(Some(options), Some(bollard::body_try_stream(archive)), None)
            .try_for_each(|_| async { Ok(()) })
            .await
            .map_err(failed(format!("make the image {repo}:{tag}")))
    }
}

/// How patient a pull is.
struct Patience {
    /// Time between two lines about the progress.
    line: Duration,
    /// A pull is given up after so long without a word from the engine.
    silence: Duration,
}

const PATIENCE: Patience = Patience {
    line: Duration::from_secs(3),
    silence: Duration::from_mins(5),
};

/// Reads a pull's progress to its end. `say` hears how far it is every few seconds.
pub(crate) async fn follow(
    progress: impl Stream<Item = Result<CreateImageInfo, BollardError>>,
    say: impl AsyncFn(&str),
) -> Result<(), BollardError> {
    follow_with(&PATIENCE, progress, say).await
}

async fn follow_with(
    patience: &Patience,
    progress: impl Stream<Item = Result<CreateImageInfo, BollardError>>,
    say: impl AsyncFn(&str),
) -> Result<(), BollardError> {
    let mut progress = pin!(progress);
    let mut layers = Layers::default();
    let (mut said, mut heard) = (Instant::now(), Instant::now());
    loop {
        let next = timeout(patience.line, progress.next()).await;
        let is_silent = next.is_err() && heard.elapsed() > patience.silence;
        match next {
            Ok(None) => return Ok(()),
            Ok(Some(info)) => {
                layers.note(&info?);
                heard = Instant::now();
            }
            Err(_) => {}
        }
        if said.elapsed() >= patience.line {
            say(&layers.line()).await;
            said = Instant::now();
        }
        // How far it got is told before it is given up.
        if is_silent {
            return Err(BollardError::RequestTimeoutError);
        }
    }
}

/// How far each layer is.
#[derive(Default)]
struct Layers(BTreeMap<String, (i64, i64)>);

impl Layers {
    fn note(&mut self, info: &CreateImageInfo) {
        let Some(id) = &info.id else { return };
        let detail = info.progress_detail.as_ref();
        let amounts = detail.and_then(|detail| Some((detail.current?, detail.total?)));
        match (info.status.as_deref(), amounts) {
            (Some("Downloading"), Some(amounts)) => {
                self.0.insert(id.clone(), amounts);
            }
            (Some("Download complete" | "Pull complete"), _) => {
                if let Some((current, total)) = self.0.get_mut(id) {
                    *current = *total;
                }
            }
            _ => {}
        }
    }

    fn line(&self) -> String {
        let sum = |part: fn(&(i64, i64)) -> i64| self.0.values().map(part).sum::<i64>();
        let (current, total) = (sum(|it| it.0), sum(|it| it.1));
        match total {
            0 => "waiting for the registry".into(),
            _ if current >= total => both!("unpacking {} MB", "正在解压 {} MB", megabytes(total)),
            _ => both!(
                "pulled {} of {} MB",
                "已拉取 {}，共 {} MB",
                megabytes(current),
                megabytes(total)
            ),
        }
    }
}

fn megabytes(bytes: i64) -> String {
    format!("{}.{}", bytes / 1_000_000, bytes % 1_000_000 / 100_000)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use futures_util::stream;

    use super::*;

    fn info(id: &str, status: &str, current: i64, total: i64) -> CreateImageInfo {
        let text = format!(
            r#"{{"id":"{id}","status":"{status}","progressDetail":{{"current":{current},"total":{total}}}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn progress_sums_up_all_layers() {
        let mut layers = Layers::default();
        assert_eq!(layers.line(), "waiting for the registry");
        layers.note(&info("a", "Downloading", 1_500_000, 40_000_000));
        layers.note(&info("b", "Downloading", 500_000, 2_000_000));
        assert_eq!(layers.line(), "pulled 2.0 of 42.0 MB");
        layers.note(&info("a", "Download complete", 0, 0));
        layers.note(&info("b", "Pull complete", 0, 0));
        assert_eq!(layers.line(), "unpacking 42.0 MB");
    }

    #[tokio::test]
    async fn a_silent_pull_says_so_and_is_given_up() {
        let patience = Patience {
            line: Duration::from_millis(1),
            silence: Duration::from_millis(5),
        };
        let first = Ok(info("a", "Downloading", 1_000_000, 2_000_000));
        let progress = stream::iter([first]).chain(stream::pending());
        let lines = RefCell::new(Vec::new());
        let say = async |line: &str| lines.borrow_mut().push(line.to_owned());
        let result = follow_with(&patience, progress, say).await;
        assert!(matches!(result, Err(BollardError::RequestTimeoutError)));
        let lines = lines.into_inner();
        assert!(lines.iter().all(|line| line == "pulled 1.0 of 2.0 MB"));
        assert!(!lines.is_empty());
    }
}
