//! Which account a request to a registry carries, and which registries a job may name at all.
//!
//! The daemon speaks to a registry from the host, with whatever account it is handed. For the registry of
//! the operator's, that is an account that the job never sees: the job logs in with a name and password that
//! open nothing but this gate. Knows no Harbor: whoever opens the gate hands out accounts.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE};
use hyper::header::{HeaderMap, HeaderValue};
use serde_json::{Map, Value, json};

use super::json::object;
use super::refusal::Denied;
use super::registries::{Errand, Login, Registries};
use crate::docker::reference::Reference;

pub(super) const REGISTRY_AUTH: &str = "x-registry-auth";
pub(super) const REGISTRY_CONFIG: &str = "x-registry-config";

/// What becomes of a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The gate itself says yes.
    Welcome,
    /// The daemon tries it.
    Ask,
}

impl Registries {
    /// Judges `docker login`.
    pub(crate) async fn login(&self, body: &Value) -> Result<Verdict, Denied> {
        let text = |name: &str| body[name].as_str().unwrap_or_default();
        let address = text("serveraddress");
        if address.contains(['@', '?', '#', '\\']) {
            // The daemon would read another host in it than we do.
            return Err(Denied::malformed(format!(
                "the address {address:?} of a registry is malformed: write HOST or HOST:PORT"
            )));
        }
        let host = host_of(address);
        self.reachable(&host, Errand::Pull).await?;
        let is_local = self.local.is(text("username"), text("password"));
        if self.is_ours(&host) && is_local {
            Ok(Verdict::Welcome)
        } else {
            Ok(Verdict::Ask)
        }
    }

    /// Refuses what the job may not do with an image at its registry, whoever's account it carries.
    pub(crate) async fn permit(&self, image: &Reference, errand: Errand) -> Result<(), Denied> {
        let host = registry_of(image);
        self.reachable(host, errand).await?;
        if self.is_ours(host) {
            let allowed = self.accounts.allows(&image.repository, errand);
            allowed.map_err(Denied::forbidden)?;
        }
        Ok(())
    }

    /// The header by which the daemon gets the account for an image. What the client sent is read and
    /// written anew.
    pub(crate) async fn header(
        &self,
        given: &HeaderMap,
        image: &Reference,
        errand: Errand,
    ) -> Result<Option<HeaderValue>, Denied> {
        let host = registry_of(image);
        self.permit(image, errand).await?;
        let own = given.get(REGISTRY_AUTH).map(decoded).transpose()?;
        let own = own.map(|auth| self.without_local(auth));
        if !self.is_ours(host) {
            return own.flatten().map(|auth| encoded(&auth)).transpose();
        }
        if let Some(auth) = own.flatten().filter(has_account) {
            return encoded(&auth).map(Some);
        }
        let account = self.accounts.account(&image.repository, errand).await;
        let account = account.map_err(Denied::broken)?;
        account
            .map(|login| encoded(&auth(&login, host)))
            .transpose()
    }

    /// Where an image is pulled from, and the account for that. What a job sends is for the registry that
    /// it names, and for no mirror.
    pub(crate) async fn source(
        &self,
        given: &HeaderMap,
        image: &Reference,
    ) -> Result<(Reference, Option<HeaderValue>), Denied> {
        let source = image.mirrored(&self.mirrors);
        let nothing = HeaderMap::new();
        let is_same = source.repository == image.repository;
        let given = if is_same { given } else { &nothing };
        let account = self.header(given, &source, Errand::Pull).await?;
        Ok((source, account))
    }

    /// The header by which the daemon's own builder gets accounts, by registry.
    pub(crate) async fn config(&self, given: &HeaderMap) -> Result<Option<HeaderValue>, Denied> {
        let all = match given.get(REGISTRY_CONFIG) {
            Some(value) => decoded(value)?,
            None => Map::new(),
        };
        let mut kept = Map::new();
        for (address, auth) in all {
            let host = host_of(&address);
            let auth = auth.as_object().cloned().unwrap_or_default();
            let own = self.without_local(auth).filter(has_account);
            if let Some(auth) = own.filter(|_| (self.may_pull)(&host)) {
                kept.insert(address, Value::Object(auth));
            }
        }
        if let Some(host) = &self.host
            && !kept.keys().any(|address| host_of(address) == *host)
        {
            let account = self.credential_for(host).await?;
            let account = account.map(|login| Value::Object(auth(&login, host)));
            kept.extend(account.map(|auth| (host.clone(), auth)));
        }
        (!kept.is_empty()).then(|| encoded(&kept)).transpose()
    }

    /// The account for a registry as a whole; `None`: the job's own counts, if it has one.
    pub(crate) async fn credential_for(&self, host: &str) -> Result<Option<Login>, Denied> {
        if !self.is_ours(host) {
            return Ok(None);
        }
        let account = self.accounts.any_account().await;
        account.map_err(Denied::broken)
    }

    fn is_ours(&self, host: &str) -> bool {
        self.host.as_deref() == Some(host)
    }

    /// What a client sent, unless it is the password of this gate, which no registry knows.
    fn without_local(&self, mut auth: Map<String, Value>) -> Option<Map<String, Value>> {
        let text = |name: &str| auth.get(name).and_then(Value::as_str).unwrap_or_default();
        let joined = decode(text("auth")).and_then(|text| String::from_utf8(text).ok());
        let is_joined = joined.is_some_and(|text| {
            let parts = text.split_once(':');
            parts.is_some_and(|(name, password)| self.local.is(name, password))
        });
        if is_joined || self.local.is(text("username"), text("password")) {
            return None;
        }
        auth.retain(|name, value| KNOWN.contains(&name.as_str()) && value.is_string());
        Some(auth)
    }

    /// Refuses what the operator does not list, and what is on this host or tells its secrets: the
    /// daemon would connect from there.
    async fn reachable(&self, host: &str, errand: Errand) -> Result<(), Denied> {
        let (rule, key) = match errand {
            Errand::Pull => (&self.may_pull, "registries"),
            Errand::Push => (&self.may_push, "push-registries"),
        };
        if !rule(host) {
            let verb = match errand {
                Errand::Pull => "used",
                Errand::Push => "pushed to",
            };
            return Err(Denied::forbidden(format!(
                "the registry {host} may not be {verb} by jobs here: use the operator's registry, \
                 or ask the operator to add it to `{key}`"
            )));
        }
        if (self.is_named)(host) || self.is_ours(host) || !is_inside(host).await {
            return Ok(());
        }
        Err(Denied::forbidden(format!(
            "the registry {host} is an address of the runner's own host: ask the operator to name \
             it in `{key}`"
        )))
    }
}

/// The fields of an account that the daemon reads.
const KNOWN: &[&str] = &[
    "username",
    "password",
    "auth",
    "email",
    "serveraddress",
    "identitytoken",
    "registrytoken",
];

fn has_account(auth: &Map<String, Value>) -> bool {
    let has = |name: &str| {
        auth.get(name)
            .and_then(Value::as_str)
            .is_some_and(|it| !it.is_empty())
    };
    ["username", "auth", "identitytoken", "registrytoken"]
        .into_iter()
        .any(has)
}

fn auth(login: &Login, host: &str) -> Map<String, Value> {
    let value = json!({
        "username": login.username,
        "password": login.password.expose(),
        "serveraddress": host,
    });
    value.as_object().cloned().unwrap_or_default()
}

fn decoded(value: &HeaderValue) -> Result<Map<String, Value>, Denied> {
    let malformed = || Denied::malformed("the account for the registry is malformed");
    let text = value.to_str().map_err(|_| malformed())?;
    let bytes = decode(text).ok_or_else(malformed)?;
    if bytes.is_empty() || bytes == b"null" {
        return Ok(Map::new());
    }
    object(&bytes).map_err(|_| malformed())
}

/// Base 64 in either alphabet, as clients send it.
fn decode(text: &str) -> Option<Vec<u8>> {
    let text = text
        .trim_end_matches('=')
        .replace('-', "+")
        .replace('_', "/");
    STANDARD_NO_PAD.decode(text).ok()
}

/// What a client without an account sends.
pub(super) fn no_account() -> HeaderValue {
    HeaderValue::from_static("e30=")
}

fn encoded(auth: &Map<String, Value>) -> Result<HeaderValue, Denied> {
    let text = URL_SAFE.encode(Value::Object(auth.clone()).to_string());
    let mut value = HeaderValue::from_str(&text)
        .map_err(|_| Denied::malformed("the account for the registry is malformed"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// The registry of an image in its full form.
pub(super) fn registry_of(image: &Reference) -> &str {
    image.repository.split('/').next().unwrap_or_default()
}

/// `host[:port]` of an address as clients write it: with a scheme, a path, or neither.
fn host_of(address: &str) -> String {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let host = rest.split('/').next().unwrap_or_default();
    match host.to_ascii_lowercase().as_str() {
        "" | "index.docker.io" | "registry-1.docker.io" => "docker.io".to_owned(),
        host => host.to_owned(),
    }
}

/// Whether a name leads to this host, or to what a cloud tells its machines about themselves. A name that
/// does not resolve leads nowhere.
async fn is_inside(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let name = name.trim_start_matches('[').trim_end_matches(']');
    if name.eq_ignore_ascii_case("localhost") || name.ends_with(".localhost") {
        return true;
    }
    match tokio::net::lookup_host((name, 443)).await {
        Ok(mut found) => found.any(|address| is_inner(address.ip()) || is_own(address.ip())),
        Err(_) => false,
    }
}

/// Whether one of this host's interfaces has the address: nothing else can be bound to.
fn is_own(address: IpAddr) -> bool {
    std::net::UdpSocket::bind((address, 0)).is_ok()
}

fn is_inner(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            address.is_loopback()
                || address.is_link_local()
                || address.is_unspecified()
                || address.octets() == [100, 100, 100, 200]
        }
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(address) => is_inner(IpAddr::V4(address)),
            None => {
                address.is_loopback() || address.is_unspecified() || address.is_unicast_link_local()
            }
        },
    }
}

#[cfg(test)]
mod tests;
