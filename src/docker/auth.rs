//! Docker's own file of logins, as `docker login` writes it and as `DOCKER_AUTH_CONFIG` holds it. Pure.
//!
//! A helper that such a file names is never run: the file may be a job's.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;

use super::reference::Reference;
use crate::secret::Secret;

/// Docker Hub, as image names in full begin.
const HUB: &str = "docker.io";

/// Who pulls.
#[derive(Debug, Clone, Default)]
pub(crate) struct Account {
    pub(crate) username: String,
    pub(crate) password: Secret,
    /// Instead of a password: the registry gives a token for it.
    pub(crate) identity: Secret,
    /// `host[:port]`.
    pub(crate) registry: String,
}

/// Logins by what they are for: a registry, or a folder in one.
#[derive(Debug, Default)]
pub(crate) struct Logins(BTreeMap<String, Account>);

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: String,
    username: String,
    password: Secret,
    identitytoken: Secret,
}

/// Why there are no logins in a text.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuthError {
    /// Without the parser's own words, which may quote a password.
    #[error("it is not JSON of the form that `docker login` writes (line {line}, column {column})")]
    Malformed { line: usize, column: usize },
    #[error("`auth` of {registry} is not the base64 of NAME:PASSWORD")]
    Login { registry: String },
}

impl Logins {
    pub(crate) fn parse(text: &str) -> Result<Self, AuthError> {
        let file: File = serde_json::from_str(text).map_err(|error| AuthError::Malformed {
            line: error.line(),
            column: error.column(),
        })?;
        let mut logins = BTreeMap::new();
        for (written, entry) in file.auths {
            let key = key(&written);
            let registry = key.split('/').next().unwrap_or_default().to_owned();
            if let Some(account) = entry.account(registry)? {
                logins.insert(key, account);
            }
        }
        Ok(Self(logins))
    }

    /// Adds what others know of places that this says nothing of.
    pub(crate) fn or(mut self, later: Self) -> Self {
        for (key, account) in later.0 {
            self.0.entry(key).or_insert(account);
        }
        self
    }

    pub(crate) fn add(&mut self, account: Account) {
        let key = key(&account.registry);
        self.0.entry(key).or_insert(account);
    }

    /// The login for an image: that of the longest path that leads to it.
    pub(crate) fn find(&self, image: &Reference) -> Option<&Account> {
        let mut place = key(&image.repository);
        loop {
            if let Some(account) = self.0.get(&place) {
                return Some(account);
            }
            place.truncate(place.rfind('/')?);
        }
    }
}

impl Entry {
    /// Nothing, where the login is kept by a helper.
    fn account(self, registry: String) -> Result<Option<Account>, AuthError> {
        let mut account = Account {
            username: self.username,
            password: self.password,
            identity: self.identitytoken,
            registry,
        };
        if !self.auth.is_empty() {
            let malformed = || AuthError::Login {
                registry: account.registry.clone(),
            };
            let text = STANDARD.decode(&self.auth).map_err(|_| malformed())?;
            let text = String::from_utf8(text).map_err(|_| malformed())?;
            let (username, password) = text.split_once(':').ok_or_else(malformed)?;
            username.clone_into(&mut account.username);
            // Docker pads what it writes with zeros.
            account.password = Secret::from(password.trim_matches('\0').to_owned());
        }
        let is_empty = account.password.expose().is_empty() && account.identity.expose().is_empty();
        Ok((!is_empty).then_some(account))
    }
}

/// A place as image names in full begin: without a scheme, which older files have before a host alone.
fn key(written: &str) -> String {
    let (has_scheme, rest) = match written.split_once("://") {
        Some((_, rest)) => (true, rest),
        None => (false, written),
    };
    let rest = rest.trim_end_matches('/');
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = match host.to_ascii_lowercase().as_str() {
        "index.docker.io" | "registry-1.docker.io" => HUB.to_owned(),
        host => host.to_owned(),
    };
    if has_scheme || path.is_empty() || host == HUB && path == "v1" {
        return host;
    }
    format!("{host}/{path}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn logins(auths: &serde_json::Value) -> Logins {
        Logins::parse(&json!({ "auths": auths, "credsStore": "evil" }).to_string()).unwrap()
    }

    fn user(logins: &Logins, image: &str) -> Option<String> {
        let found = logins.find(&Reference::parse(image).unwrap());
        found.map(|account| account.username.clone())
    }

    #[test]
    fn the_longest_path_wins() {
        let basic = |name: &str| json!({"auth": STANDARD.encode(format!("{name}:p:w\0"))});
        let logins = logins(&json!({
            "reg.example.com": basic("all"),
            "reg.example.com/a": basic("a"),
            "reg.example.com/a/b": basic("b"),
            "https://Index.Docker.io/v1/": basic("hub"),
            "http://old.example.com:5000/v2/": basic("old"),
            "kept.example.com": {},
        }));
        for (image, expected) in [
            ("reg.example.com/x", Some("all")),
            ("reg.example.com/a/x:1", Some("a")),
            ("reg.example.com/a/b/c", Some("b")),
            ("reg.example.com/ab/c", Some("all")),
            ("alpine", Some("hub")),
            ("docker.io/group/x", Some("hub")),
            ("old.example.com:5000/x", Some("old")),
            ("old.example.com/x", None),
            ("kept.example.com/x", None),
        ] {
            assert_eq!(user(&logins, image).as_deref(), expected, "{image}");
        }
        let found = logins.find(&Reference::parse("alpine").unwrap()).unwrap();
        assert_eq!(found.password.expose(), "p:w");
        assert_eq!(found.registry, "docker.io");
    }

    #[test]
    fn the_first_file_that_names_a_place_counts_for_it() {
        let plain = |name: &str| json!({"username": name, "password": "p"});
        let first = logins(&json!({"r.example.com/a": plain("first")}));
        let later =
            logins(&json!({"r.example.com/a": plain("later"), "r.example.com": plain("all")}));
        let both = first.or(later);
        assert_eq!(user(&both, "r.example.com/a/x").as_deref(), Some("first"));
        assert_eq!(user(&both, "r.example.com/b").as_deref(), Some("all"));
    }

    #[test]
    fn what_cannot_be_read_is_named_without_its_secrets() {
        let error = Logins::parse("{\"auths\": {\"r\": \"s3cret\"}}").unwrap_err();
        assert!(error.to_string().contains("line 1") && !error.to_string().contains("s3cret"));
        let error = Logins::parse(&json!({"auths": {"r.example.com": {"auth": "!"}}}).to_string());
        assert!(error.unwrap_err().to_string().contains("r.example.com"));
        let token = logins(&json!({"r.example.com": {"identitytoken": "t"}}));
        let found = token.find(&Reference::parse("r.example.com/x").unwrap());
        assert_eq!(found.unwrap().identity.expose(), "t");
    }
}
