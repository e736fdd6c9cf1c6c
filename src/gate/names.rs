//! How the images of one job are called in the engine, which all jobs share.
//!
//! What the job calls `app:v1` the engine knows as `dockmaster-<32 digits>.invalid/app:v1`. The digits
//! are a secret of this host, so no other job can say that name, and it is a registry that cannot
//! exist. The host's own names are never given. Pure.

mod remover;

use std::borrow::Cow;

use super::refusal::Denied;
use crate::docker::reference::Reference;

pub(crate) use remover::Remover;
use remover::port;

/// Behind every private name's secret digits; no resolver answers for it.
const END: &str = ".invalid/";
const JOB: &str = "dockmaster-";
const TENANT: &str = "dockmaster-tenant-";
const DIGITS: usize = 32;
/// The repository of images that have no name of the job's own any more.
const KEPT: &str = "dockmaster-kept";
/// The tag that stands for a digest begins so.
const DIGEST: &str = "dockmaster-";
/// What the engine accepts: of a name without its tag.
const LONGEST: usize = 255;

/// The names of one job's images, and of the copies that its tenant keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    job: String,
    tenant: String,
}

impl Names {
    /// Names from 32 secret digits of the job, and of the tenant.
    pub fn new(job: &str, tenant: &str) -> Self {
        Self {
            job: format!("{JOB}{job}{END}"),
            tenant: format!("{TENANT}{tenant}{END}"),
        }
    }

    /// What every private name of the job begins with, `/` included.
    pub fn prefix(&self) -> &str {
        &self.job
    }

    /// What the names of the job's images begin with, and those of the copies that its tenant keeps.
    pub(crate) fn prefixes(&self) -> [&str; 2] {
        [&self.job, &self.tenant]
    }

    /// What the engine calls the image that the job calls so, tag included.
    pub(crate) fn private(&self, name: &Reference) -> Result<String, Denied> {
        under(&self.job, name)
    }

    /// What the engine calls the copy of an image that the tenant keeps, tag included.
    pub(crate) fn kept(&self, name: &Reference) -> Result<String, Denied> {
        under(&self.tenant, name)
    }

    /// Whether a name is of a copy that the tenant keeps.
    pub(crate) fn is_kept(&self, name: &str) -> bool {
        name.starts_with(&self.tenant)
    }

    /// The name of an image that keeps it the job's and is shown to nobody.
    pub(crate) fn hidden(&self, id: &str) -> String {
        let digits = id.strip_prefix("sha256:").unwrap_or(id);
        format!("{}{KEPT}:{digits}", self.job)
    }

    /// The private name of `repository@digest`, for what was pushed or pulled as that.
    pub(crate) fn digest(&self, name: &Reference, digest: &str) -> Result<String, Denied> {
        let digest = Some(digest.to_owned());
        self.private(&Reference {
            digest,
            ..name.clone()
        })
    }

    /// A pattern of names, as filters take them, under the job's prefix.
    pub(crate) fn pattern(&self, text: &str) -> String {
        format!("{}{}", self.job, encoded(text))
    }

    /// What the job calls an image that the engine calls so; `None` if the name is not the job's.
    pub(crate) fn shown(&self, name: &str) -> Option<String> {
        name.starts_with(&self.job).then(|| self.clean(name))
    }

    /// The tag of a list of tags, as the job knows it; `None` if the name is not the job's, or none
    /// that it gave.
    pub(crate) fn shown_tag(&self, name: &str) -> Option<String> {
        let shown = self.shown(name)?;
        let (repository, tag) = shown.rsplit_once(':')?;
        (repository != KEPT && !tag.starts_with(DIGEST)).then_some(shown)
    }

    /// The `repository@digest` that a private name stands for.
    pub(crate) fn shown_digest(&self, name: &str) -> Option<String> {
        let shown = self.shown(name)?;
        let (repository, tag) = shown.rsplit_once(':')?;
        let digits = tag.strip_prefix(DIGEST)?;
        Some(format!("{repository}@sha256:{digits}"))
    }

    /// The text with the job's own names in it as the job wrote them.
    pub(crate) fn clean(&self, text: &str) -> String {
        let mut remover = self.remover();
        let mut bytes = remover.take(text.as_bytes());
        bytes.extend(remover.finish());
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Does the same to a stream.
    pub(crate) fn remover(&self) -> Remover {
        Remover::new(&self.job)
    }
}

/// The prefix of a name that the gate of some job of the installation `mark` gave, up to `/` and with it.
pub(crate) fn prefix_of_job<'a>(name: &'a str, mark: &str) -> Option<&'a str> {
    prefix_of(name, JOB).filter(|prefix| prefix[JOB.len()..].starts_with(mark))
}

fn prefix_of<'a>(name: &'a str, start: &str) -> Option<&'a str> {
    let rest = name.strip_prefix(start)?;
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let digits = rest.get(..DIGITS)?;
    let is_ours = digits.bytes().all(is_digit) && rest[DIGITS..].starts_with(END);
    is_ours.then(|| &name[..start.len() + DIGITS + END.len()])
}

/// Refuses what a job may not call anything: our own names.
pub(crate) fn is_free(name: &Reference) -> Result<(), Denied> {
    let tag = name.tag.as_deref().unwrap_or_default();
    if name.familiar().starts_with("dockmaster") || tag.starts_with(DIGEST) {
        return Err(Denied::forbidden(format!(
            "the name {} is ours: choose another",
            name.tagged()
        )));
    }
    Ok(())
}

fn under(prefix: &str, name: &Reference) -> Result<String, Denied> {
    is_free(name)?;
    let familiar = name.familiar();
    let host = familiar.split_once('/').map_or("", |(host, _)| host);
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(Denied::malformed(format!(
            "the image name {familiar:?} has capital letters in its registry: write it in lower case"
        )));
    }
    let repository = format!("{prefix}{}", encoded(familiar));
    if repository.len() > LONGEST {
        return Err(Denied::malformed(format!(
            "the image name {familiar:?} is too long for a job: at most {} letters",
            LONGEST - prefix.len()
        )));
    }
    let digits = name
        .digest
        .as_deref()
        .and_then(|it| it.strip_prefix("sha256:"));
    let tag = match digits {
        Some(digits) => format!("{DIGEST}{digits}"),
        None => name.tag.clone().unwrap_or_else(|| "latest".to_owned()),
    };
    Ok(format!("{repository}:{tag}"))
}

/// A name as it can stand behind a prefix: the colon of a registry's port cannot.
fn encoded(familiar: &str) -> Cow<'_, str> {
    let Some((host, path)) = familiar.split_once('/') else {
        return familiar.into();
    };
    match host.rsplit_once(':') {
        Some((host, port)) => format!("{host}__{port}/{path}").into(),
        // A folder of Docker Hub that reads like a registry with a port.
        None if port(host).is_some() => format!("docker.io/{familiar}").into(),
        None => familiar.into(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names() -> Names {
        Names::new(&"d".repeat(32), &"e".repeat(32))
    }

    #[track_caller]
    fn check(text: &str, private: &str, shown: &str) {
        let names = names();
        let name = Reference::parse(text).unwrap();
        let made = names.private(&name).unwrap();
        assert_eq!(made, format!("{}{private}", names.prefix()));
        assert_eq!(names.shown(&made).unwrap(), shown);
        let again = Reference::parse(shown).unwrap();
        assert_eq!(again.tagged(), name.tagged());
        Reference::parse(&made).unwrap();
    }

    #[test]
    fn a_name_is_private_in_the_engine_and_comes_back_as_it_is_written() {
        check("app", "app:latest", "app:latest");
        check("docker.io/library/app:v1", "app:v1", "app:v1");
        check("team/app:v1", "team/app:v1", "team/app:v1");
        check(
            "h.example.com/a/b:v1",
            "h.example.com/a/b:v1",
            "h.example.com/a/b:v1",
        );
        check(
            "127.0.0.1:5000/a:5000",
            "127.0.0.1__5000/a:5000",
            "127.0.0.1:5000/a:5000",
        );
        check("localhost/a", "localhost/a:latest", "localhost/a:latest");
        // Not the registry h with port 1.
        check(
            "h__1/app:v1",
            "docker.io/h__1/app:v1",
            "docker.io/h__1/app:v1",
        );
        check("h:1/app:v1", "h__1/app:v1", "h:1/app:v1");
        check("h__1:v1", "h__1:v1", "h__1:v1");
        let pattern = names().pattern("127.0.0.1:5000/a*:v?");
        assert_eq!(
            pattern,
            format!("{}127.0.0.1__5000/a*:v?", names().prefix())
        );
    }

    #[test]
    fn a_digest_has_a_name_that_is_shown_as_a_digest_only() {
        let names = names();
        let digest = format!("sha256:{}", "0".repeat(64));
        let text = format!("127.0.0.1:5000/app@{digest}");
        let name = Reference::parse(&text).unwrap();
        let private = names.private(&name).unwrap();
        assert_eq!(names.shown_digest(&private).unwrap(), text);
        assert_eq!(names.shown_tag(&private), None);
        let tagged = Reference::parse("127.0.0.1:5000/app:v1").unwrap();
        assert_eq!(names.digest(&tagged, &digest).unwrap(), private);
        let hidden = names.hidden(&digest);
        assert_eq!(
            (names.shown_tag(&hidden), names.shown_digest(&hidden)),
            (None, None)
        );
        let plain = names.private(&tagged).unwrap();
        assert_eq!(names.shown_tag(&plain).unwrap(), "127.0.0.1:5000/app:v1");
        assert_eq!(names.shown_digest(&plain), None);
    }

    #[test]
    fn our_own_names_are_not_given() {
        for text in [
            "dockmaster-helper:1",
            "docker.io/library/dockmaster",
            "dockmaster/x",
            "app:dockmaster-1",
            &format!("{}app", names().prefix()),
        ] {
            let name = Reference::parse(text).unwrap();
            let denied = names().private(&name).unwrap_err();
            assert!(denied.message.contains("is ours"), "{}", denied.message);
        }
        let long = Reference::parse(&"a".repeat(250)).unwrap();
        let denied = names().private(&long).unwrap_err();
        assert!(denied.message.contains("too long"), "{}", denied.message);
        let host = Reference::parse("H.example.com/a").unwrap();
        assert!(
            names()
                .private(&host)
                .unwrap_err()
                .message
                .contains("lower case")
        );
    }

    #[test]
    fn the_prefix_of_any_job_is_told_from_that_of_a_tenant_and_from_other_names() {
        let name = Reference::parse("app").unwrap();
        let (job, tenant) = (
            names().private(&name).unwrap(),
            names().kept(&name).unwrap(),
        );
        assert_eq!(prefix_of_job(&job, "dddddddd"), Some(names().prefix()));
        // Another installation's.
        assert_eq!(prefix_of_job(&job, "dddddddc"), None);
        assert_eq!(prefix_of_job(&tenant, "eeeeeeee"), None);
        assert!(names().is_kept(&tenant) && !names().is_kept(&job));
        for other in ["app:v1", "dockmaster-helper:1", "dockmaster-", &job[..20]] {
            assert_eq!(prefix_of_job(other, ""), None, "{other}");
        }
    }

    fn reference() -> impl Strategy<Value = String> {
        let host = "([a-z][a-z0-9]{0,5}(\\.[a-z0-9]{1,4}){1,2}|localhost)(:[0-9]{1,5})?/";
        let part = "[a-z0-9]{1,6}((\\.|_|__|-{1,2})[a-z0-9]{1,4}){0,2}";
        let tag = "(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,8})?";
        (
            prop::option::of(host),
            prop::collection::vec(part, 1..4),
            tag,
        )
            .prop_map(|(host, path, tag)| {
                format!("{}{}{tag}", host.unwrap_or_default(), path.join("/"))
            })
            // A folder with a dot and an underscore is no registry.
            .prop_filter("a name", |text| Reference::parse(text).is_ok())
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out_again(text in reference()) {
            let names = names();
            let name = Reference::parse(&text).unwrap();
            prop_assume!(is_free(&name).is_ok());
            let private = names.private(&name).unwrap();
            Reference::parse(&private).unwrap();
            let shown = names.shown(&private).unwrap();
            prop_assert_eq!(Reference::parse(&shown).unwrap().tagged(), name.tagged());
        }

        #[test]
        fn two_names_never_meet(one in reference(), other in reference()) {
            let names = names();
            let (one, other) = (Reference::parse(&one).unwrap(), Reference::parse(&other).unwrap());
            prop_assume!(is_free(&one).is_ok() && is_free(&other).is_ok());
            let is_same = names.private(&one).unwrap() == names.private(&other).unwrap();
            prop_assert_eq!(is_same, one.tagged() == other.tagged());
        }

        #[test]
        fn a_stream_reads_the_same_however_it_is_cut(
            parts in prop::collection::vec((".{0,12}", reference(), "[dock\"/: ]{0,6}"), 0..5),
            cut in 1_usize..40,
        ) {
            let names = names();
            let (mut whole, mut expect) = (String::new(), String::new());
            for (before, name, after) in &parts {
                let name = Reference::parse(name).unwrap();
                let Ok(private) = names.private(&name) else { continue };
                let shown = names.shown(&private).unwrap();
                whole.extend([before, "\"", &private, "\"", after]);
                expect.extend([before, "\"", &shown, "\"", after]);
            }
            let mut remover = names.remover();
            let mut shown = Vec::new();
            for chunk in whole.as_bytes().chunks(cut) {
                shown.extend(remover.take(chunk));
            }
            shown.extend(remover.finish());
            prop_assert_eq!(String::from_utf8(shown).unwrap(), expect);
        }
    }
}
