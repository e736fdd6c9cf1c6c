//! Where an image is pulled from: a mirror of its registry, if the operator names one. Pure.
//!
//! The job keeps the name that its author wrote; only the registry hears the other one.

use std::collections::BTreeMap;

use super::reference::Reference;

impl Reference {
    /// The same image at the mirror of its registry: `docker.io/library/alpine` at
    /// `harbor.example.com/dockerhub` is `harbor.example.com/dockerhub/library/alpine`.
    #[must_use]
    pub(crate) fn mirrored(&self, mirrors: &BTreeMap<String, String>) -> Self {
        let Some((registry, path)) = self.repository.split_once('/') else {
            return self.clone();
        };
        let Some(mirror) = mirrors.get(registry) else {
            return self.clone();
        };
        let tag = self.tag.as_ref().map(|tag| format!(":{tag}"));
        let digest = self.digest.as_ref().map(|digest| format!("@{digest}"));
        let end = [tag, digest].into_iter().flatten().collect::<String>();
        // A name that grows too long is nobody's any more: the registry itself is asked.
        Self::parse(&format!("{mirror}/{path}{end}")).unwrap_or_else(|_| self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, expect: &str) {
        let mirrors = [
            ("docker.io", "harbor.example.com/dockerhub"),
            ("quay.io:8443", "harbor.example.com:5000/quay/all"),
        ];
        let mirrors = mirrors.map(|(from, to)| (from.to_owned(), to.to_owned()));
        let name = Reference::parse(name).unwrap();
        assert_eq!(name.mirrored(&mirrors.into()).text(), expect);
    }

    #[test]
    fn an_image_is_asked_of_the_mirror_of_its_registry_under_its_full_name() {
        let digest = format!("sha256:{}", "0".repeat(64));
        check(
            "alpine",
            "harbor.example.com/dockerhub/library/alpine:latest",
        );
        check("team/app:v1", "harbor.example.com/dockerhub/team/app:v1");
        check(
            "docker.io/alpine:3",
            "harbor.example.com/dockerhub/library/alpine:3",
        );
        check(
            &format!("alpine@{digest}"),
            &format!("harbor.example.com/dockerhub/library/alpine@{digest}"),
        );
        check(
            "quay.io:8443/a/b:1",
            "harbor.example.com:5000/quay/all/a/b:1",
        );
    }

    #[test]
    fn other_registries_are_asked_themselves() {
        check("quay.io/a/b:1", "quay.io/a/b:1");
        check("docker.io.example.com/a:1", "docker.io.example.com/a:1");
        check(
            "harbor.example.com/dockerhub/library/alpine:3",
            "harbor.example.com/dockerhub/library/alpine:3",
        );
    }
}
