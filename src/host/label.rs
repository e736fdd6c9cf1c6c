//! Labels that an image brings: a container has them too, and those that Compose does not write each time pass for
//! its word.

use super::{
    Host, RemoteError,
    engine::Containers,
    project::{DIRECTORY, ENV_FILES, FILES, HASH, Labels},
};
use crate::rollout::port::Release;

/// The first of an image's labels that would say what a container was made of. `compose build` writes others: the
/// project, the service and its own version.
fn foreign(image: &Labels) -> Option<&'static str> {
    let all = [ENV_FILES, FILES, DIRECTORY, HASH];
    all.into_iter().find(|label| image.contains_key(*label))
}

/// What Compose wrote of a container's labels. It writes an env file only where it was given one, and before 1.25
/// nothing of where the files are.
fn written(labels: &Labels, image: &Labels) -> Labels {
    let version = labels.get("com.docker.compose.version");
    let is_early = version.is_some_and(|version| is_before_1_25(version));
    let is_image_s = |label: &str, value: &String| {
        let may_be = label == ENV_FILES || (is_early && [FILES, DIRECTORY].contains(&label));
        may_be && image.get(label) == Some(value)
    };
    let own = labels
        .iter()
        .filter(|(label, value)| !is_image_s(label, value));
    own.map(|(label, value)| (label.clone(), value.clone()))
        .collect()
}

fn is_before_1_25(version: &str) -> bool {
    let mut parts = version
        .split('.')
        .map(|part| part.parse().unwrap_or(u32::MAX));
    parts.next() == Some(1) && parts.next().is_some_and(|minor| minor < 25)
}

impl Host {
    /// Finds before any weight moves that the next rollout would believe the image.
    pub(super) async fn check_labels(&self, release: &Release) -> Result<(), RemoteError> {
        let reference = release.reference();
        match foreign(&self.image_labels(&reference).await?) {
            Some(label) => Err(RemoteError::ForeignLabel { reference, label }),
            None => Ok(()),
        }
    }

    /// The labels of the service's container, as Compose wrote them.
    pub(super) async fn written_labels(
        &self,
        found: &Containers,
    ) -> Result<Option<Labels>, RemoteError> {
        let (Some(labels), Some(container)) = (found.labels(), found.told()) else {
            return Ok(None);
        };
        let image = container.image_id.as_deref().unwrap_or_default();
        Ok(Some(written(labels, &self.image_labels(image).await?)))
    }

    async fn image_labels(&self, image: &str) -> Result<Labels, RemoteError> {
        if image.is_empty() {
            return Ok(Labels::default());
        }
        let image = self.image(image).await?;
        let labels = image.and_then(|image| image.config?.labels);
        Ok(labels.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        let owned = |(label, value): &(&str, &str)| ((*label).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    }

    #[test]
    fn an_image_may_bring_what_compose_build_writes_and_nothing_of_what_up_writes() {
        let built = [
            ("com.docker.compose.project", "shop"),
            ("com.docker.compose.service", "app"),
            ("com.docker.compose.version", "2.26.1"),
            ("com.docker.compose.image.builder", "classic"),
        ];
        assert_eq!(foreign(&labels(&built)), None);
        for label in [ENV_FILES, FILES, DIRECTORY, HASH] {
            assert_eq!(foreign(&labels(&[(label, "")])), Some(label));
        }
    }

    #[test]
    fn what_an_image_says_of_an_env_file_is_not_compose_s_word() {
        let image = labels(&[(ENV_FILES, "/srv/evil.env"), (FILES, "a.yml")]);
        let made = |version: &str, env: &str| {
            let all = [
                ("com.docker.compose.version", version),
                (ENV_FILES, env),
                (FILES, "a.yml"),
            ];
            written(&labels(&all), &image)
        };
        let now = made("1.29.2", "/srv/evil.env");
        assert!(!now.contains_key(ENV_FILES));
        assert!(now.contains_key(FILES), "Compose writes that each time");
        assert!(made("2.26.1", "/srv/prod.env").contains_key(ENV_FILES));
        assert!(!made("1.24.1", "/srv/evil.env").contains_key(FILES));
    }
}
