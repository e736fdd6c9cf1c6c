//! Keeps a release and the ones before it on the host, by tags of our own: an image that has only a
//! digest is dangling for engines up to 28, and `docker image prune` would take it between pull and
//! switch, or take the way back.

use bollard::{
    Docker,
    query_parameters::{
        ListImagesOptionsBuilder, RemoveImageOptionsBuilder, TagImageOptionsBuilder,
    },
};
use jiff::Timestamp;

use super::{Host, RemoteError};
use crate::{docker::fault::optional, rollout::port::Release};

/// The repository of our tags; nothing here pushes or pulls it.
const REPOSITORY: &str = "dockmaster-keep";
/// How many images of a service stay: the release, the one before, and one more to go back to.
const COUNT: usize = 3;
/// The digits of an image id in a tag.
const DIGITS: usize = 12;

/// One of our tags, `PROJECT.SERVICE.SECONDS.ID`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Kept {
    /// When it was last needed, in seconds since 1970.
    seconds: i64,
    /// The beginning of the image's id.
    id: String,
}

impl Kept {
    fn new(image: &str, seconds: i64) -> Self {
        let hex = image.strip_prefix("sha256:").unwrap_or(image);
        Self {
            seconds,
            id: hex.chars().take(DIGITS).collect(),
        }
    }

    fn tag(&self, owner: &str) -> String {
        format!("{owner}.{}.{}", self.seconds, self.id)
    }

    /// Reads one of `owner`'s tags.
    fn parse(owner: &str, tag: &str) -> Option<Self> {
        let (rest, id) = tag.rsplit_once('.')?;
        let (of, seconds) = rest.rsplit_once('.')?;
        let seconds = seconds.parse().ok().filter(|_| of == owner)?;
        let id = id.to_owned();
        Some(Self { seconds, id })
    }
}

/// The tags that are not needed beside the new ones.
fn superfluous(there: Vec<Kept>, new: &[Kept]) -> Vec<Kept> {
    let is_renewed = |kept: &Kept| new.iter().any(|it| it.id == kept.id);
    let (mut gone, mut rest): (Vec<_>, Vec<_>) = there
        .into_iter()
        .filter(|kept| !new.contains(kept))
        .partition(is_renewed);
    rest.sort();
    rest.truncate(rest.len().saturating_sub(COUNT.saturating_sub(new.len())));
    gone.extend(rest);
    gone
}

impl Host {
    /// Whose tags: a compose project's name has no dot.
    async fn owner(&self) -> Result<String, RemoteError> {
        let owner = format!("{}.{}", self.known_name().await?, self.service);
        Ok(owner.chars().take(80).collect())
    }

    /// Keeps the release, which is local, and what runs now; lets go what is older than needed.
    pub(super) async fn keep(&self, release: &Release) -> Result<(), RemoteError> {
        let now = Timestamp::now().as_second();
        let mut new = Vec::new();
        if let Some(image) = self.current_image().await? {
            new.push((image.clone(), Kept::new(&image, now)));
        }
        let local = self.image(&release.reference()).await?;
        if let Some(image) = local.and_then(|image| image.id) {
            new.retain(|(it, _)| *it != image);
            new.push((image.clone(), Kept::new(&image, now + 1)));
        }
        let owner = self.owner().await?;
        for (image, kept) in &new {
            self.tag(image, &kept.tag(&owner)).await?;
        }
        let new: Vec<_> = new.into_iter().map(|(_, kept)| kept).collect();
        for kept in superfluous(self.kept(&owner).await?, &new) {
            self.untag(&kept.tag(&owner)).await?;
        }
        Ok(())
    }

    async fn current_image(&self) -> Result<Option<String>, RemoteError> {
        let found = self.service_containers().await?;
        let Some(id) = found.current() else {
            return Ok(None);
        };
        let container = self.inspect(id).await?;
        Ok(container.and_then(|container| container.image))
    }

    async fn kept(&self, owner: &str) -> Result<Vec<Kept>, RemoteError> {
        let filters = [("reference", vec![REPOSITORY.to_owned()])];
        let options = ListImagesOptionsBuilder::new()
            .filters(&filters.into())
            .build();
        let list = async |docker: &Docker| docker.list_images(Some(options.clone())).await;
        let images = self.engine("list images", list).await?;
        let tags = images.iter().flat_map(|image| &image.repo_tags);
        let ours = tags.filter_map(|name| name.strip_prefix(REPOSITORY)?.strip_prefix(':'));
        Ok(ours.filter_map(|tag| Kept::parse(owner, tag)).collect())
    }

    async fn tag(&self, image: &str, tag: &str) -> Result<(), RemoteError> {
        let options = TagImageOptionsBuilder::new()
            .repo(REPOSITORY)
            .tag(tag)
            .build();
        // An image that runs and is gone from the store cannot be kept.
        let call =
            async |docker: &Docker| optional(docker.tag_image(image, Some(options.clone())).await);
        self.engine("keep an image", call).await.map(drop)
    }

    /// Takes a tag away; the image goes with its last name, unless a container is made of it.
    async fn untag(&self, tag: &str) -> Result<(), RemoteError> {
        let name = format!("{REPOSITORY}:{tag}");
        let options = RemoveImageOptionsBuilder::new().build();
        let call = async |docker: &Docker| {
            let removed = docker
                .remove_image(&name, Some(options.clone()), None)
                .await;
            match optional(removed) {
                // A stopped container still needs it: it goes another time.
                Err(bollard::errors::Error::DockerResponseServerError {
                    status_code: 409, ..
                }) => Ok(()),
                done => done.map(drop),
            }
        };
        self.engine("let an old image go", call).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(seconds: i64, id: &str) -> Kept {
        Kept {
            seconds,
            id: id.into(),
        }
    }

    #[test]
    fn the_new_ones_and_one_more_stay() {
        let new = [kept(50, "v3"), kept(51, "v4")];
        let there = vec![
            kept(10, "v1"),
            kept(30, "v3"),
            kept(20, "v2"),
            kept(50, "v3"),
            kept(51, "v4"),
        ];
        assert_eq!(superfluous(there, &new), [kept(30, "v3"), kept(10, "v1")]);
        assert_eq!(superfluous(vec![kept(1, "v1")], &new), []);
    }

    #[test]
    fn a_service_s_tags_are_its_own() {
        let image = format!("sha256:{}", "a1".repeat(32));
        let one = Kept::new(&image, 17);
        let tag = one.tag("shop.app");
        assert_eq!(tag, "shop.app.17.a1a1a1a1a1a1");
        assert_eq!(Kept::parse("shop.app", &tag), Some(one));
        for owner in ["shop", "shop.app.17", "app", "shop.ap"] {
            assert_eq!(Kept::parse(owner, &tag), None, "{owner}");
        }
    }
}
