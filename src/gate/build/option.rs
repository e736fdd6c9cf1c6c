//! The options of a build, one by one: what can name, reach or write is judged by what it means, and the rest passes
//! if it is short and plain.
//!
//! Both roads speak these words: `BuildKit`'s messages have them, and the engine itself translates the query of
//! `/build` into them. Pure.

use std::net::IpAddr;

use super::known::{Realm, Speak};
use super::recipe::Recipe;
use crate::{docker::tenant::hex, gate::refusal::Denied};

/// What a word of an option's key means.
#[derive(Clone, Copy)]
enum Rule {
    /// A text that names nothing outside of the build.
    Text,
    /// Forced here, or of no use here: left out, and the build is the same but for its speed.
    Dropped,
    Refused(&'static str),
    /// These words, or nothing.
    Among(&'static [&'static str], &'static str),
    Unset(&'static str),
    Switch,
    File,
    Hosts,
    Label,
    Context,
    NamedContext,
    Session,
    Frontend,
    Argument,
    Attestation,
}

/// By key, or by its beginning where that ends in `:`. The first that fits counts.
const RULES: &[(&str, Rule)] = &[
    ("filename", Rule::File),
    (
        "dockerfilekey",
        Rule::Among(&["dockerfile"], "leave it out"),
    ),
    ("contextkey", Rule::Among(&["context"], "leave it out")),
    ("context", Rule::Context),
    ("context:", Rule::NamedContext),
    ("contextsubdir", Rule::Text),
    ("input-metadata:", Rule::Text),
    ("local-sessionid:", Rule::Session),
    ("source", Rule::Frontend),
    ("cmdline", Rule::Text),
    ("target", Rule::Text),
    ("platform", Rule::Text),
    ("no-cache", Rule::Text),
    ("multi-platform", Rule::Switch),
    ("hostname", Rule::Text),
    ("shm-size", Rule::Text),
    ("ulimit", Rule::Text),
    ("add-hosts", Rule::Hosts),
    (
        "force-network-mode",
        Rule::Among(
            &["none", "default", "sandbox"],
            "use \"default\" or \"none\"",
        ),
    ),
    (
        "cgroup-parent",
        Rule::Unset("the job's limits are the operator's"),
    ),
    ("image-resolve-mode", Rule::Dropped),
    // Whoever writes the cache of a registry or a folder says what any step made; the engine would
    // then believe it for every tenant. It keeps this tenant's own cache itself.
    ("cache-from", Rule::Dropped),
    ("cache-imports", Rule::Dropped),
    ("override-copy-image", Rule::Unset("leave it out")),
    ("gateway-", Rule::Refused("leave it out")),
    ("device", Rule::Unset("no device is given to jobs")),
    ("devices", Rule::Unset("no device is given to jobs")),
    ("attest:", Rule::Attestation),
    ("label:", Rule::Label),
    ("vcs:", Rule::Text),
    ("build-arg:", Rule::Argument),
    ("frontend.caps", Rule::Text),
    ("requestid", Rule::Text),
    ("source-date-epoch", Rule::Text),
];

/// How a client names an archive that it has for the engine.
const UPLOAD: &str = "http://buildkit-session/";

/// The longest text that an option may be; a build argument may carry a file.
const LONGEST: usize = 256 * 1024;

/// Reads the options of one build.
pub(super) struct Options<'a, S> {
    realm: Realm<'a>,
    speak: &'a mut S,
    kept: Vec<(String, String)>,
    hosts: Vec<String>,
    recipe: Recipe,
}

impl<'a, S: Speak> Options<'a, S> {
    pub(super) fn new(realm: Realm<'a>, speak: &'a mut S) -> Self {
        Self {
            realm,
            speak,
            kept: Vec::new(),
            hosts: Vec::new(),
            recipe: Recipe::default(),
        }
    }

    /// Judges an option.
    pub(super) fn take(&mut self, key: &str, value: &str) -> Result<(), Denied> {
        if value.len() > LONGEST || key.len() > 1024 {
            return Err(Denied::malformed(format!(
                "the build option {key:.64} is too long"
            )));
        }
        let refused = |instead: &str| Err(refusal(key, value, instead));
        match rule(key) {
            None if is_harmless(key, value) => self.keep(key, value),
            None => return refused("it is not known here, leave it out"),
            Some(Rule::Refused(instead)) => return refused(instead),
            Some(Rule::Unset(instead)) if !value.is_empty() => return refused(instead),
            Some(Rule::Among(words, instead)) if !value.is_empty() && !words.contains(&value) => {
                return refused(instead);
            }
            Some(Rule::Switch) if !is_switch(value) => return refused("it is a switch"),
            Some(Rule::Unset(_) | Rule::Among(..) | Rule::Switch) => self.keep_set(key, value),
            Some(Rule::Text) => self.text(key, value),
            Some(Rule::File) => self.file(value)?,
            Some(Rule::Hosts) => self.add_hosts(value)?,
            Some(Rule::Label) if key.starts_with("label:dockmaster.") => {
                return refused("choose another name");
            }
            Some(Rule::Label) => self.keep(key, value),
            Some(Rule::Context) if !value.is_empty() => {
                let upload = value.strip_prefix(UPLOAD).unwrap_or_default();
                self.upload(upload)
                    .map_err(|()| refusal(key, value, "clone it and build the folder"))?;
            }
            Some(Rule::Context | Rule::Dropped) => {}
            Some(Rule::NamedContext) => self.named_context(key, value)?,
            Some(Rule::Session) => {
                session(value)?;
                self.keep(key, value);
            }
            Some(Rule::Frontend) => self.frontend(key, value)?,
            Some(Rule::Argument) => self.argument(key, value)?,
            Some(Rule::Attestation) => self.attestation(key, value)?,
        }
        Ok(())
    }

    /// Takes an archive for the context, by the word that the client has for it.
    pub(super) fn upload(&mut self, word: &str) -> Result<(), ()> {
        let is_word = (1..=128).contains(&word.len());
        if !is_word || !word.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(());
        }
        word.clone_into(&mut self.recipe.upload);
        Ok(())
    }

    /// Every option for the engine, with what is forced, and what the Dockerfile is read with.
    pub(super) fn finish(mut self) -> (Vec<(String, String)>, Recipe) {
        self.recipe.folder = format!("dockerfile-{:.16}", (self.realm.seal)(&self.recipe.text()));
        for (key, _) in &mut self.kept {
            if key == "local-sessionid:dockerfile" {
                *key = format!("local-sessionid:{}", self.recipe.folder);
            }
        }
        self.hosts.push(format!("{}=127.0.0.1", self.realm.host()));
        let hosts = self.hosts.join(",");
        self.keep("add-hosts", &hosts);
        self.keep(CACHE_MOUNTS, &self.realm.namespace());
        // Engines before 23.0 do not know it.
        if let Some(group) = self.realm.group {
            self.keep("cgroup-parent", group);
        }
        (self.kept, self.recipe)
    }

    fn keep(&mut self, key: &str, value: &str) {
        self.kept.push((key.to_owned(), value.to_owned()));
    }

    fn keep_set(&mut self, key: &str, value: &str) {
        // Where the Dockerfile comes from is said once, by whoever sends the request on.
        if !value.is_empty() && !matches!(key, "dockerfilekey" | "contextkey") {
            self.keep(key, value);
        }
    }

    fn text(&mut self, key: &str, value: &str) {
        match key {
            "target" => value.clone_into(&mut self.recipe.target),
            "platform" => value.clone_into(&mut self.recipe.platform),
            _ => {}
        }
        self.keep(key, value);
    }

    /// A Dockerfile that is called like a list of ignored files would be sent as one, unread.
    fn file(&mut self, value: &str) -> Result<(), Denied> {
        let is_list = |part: &str| part.to_ascii_lowercase().ends_with(".dockerignore");
        if value.split('/').any(is_list) {
            return Err(refusal(
                "filename",
                value,
                "give the Dockerfile another name",
            ));
        }
        value.clone_into(&mut self.recipe.file);
        self.keep("filename", value);
        Ok(())
    }

    fn add_hosts(&mut self, value: &str) -> Result<(), Denied> {
        for entry in value.split(',').filter(|entry| !entry.is_empty()) {
            let bad = || refusal("add-hosts", entry, "write it as NAME=ADDRESS");
            let (name, address) = entry.split_once('=').ok_or_else(bad)?;
            host_name(name)?;
            if address.parse::<IpAddr>().is_err() {
                return Err(bad());
            }
            self.hosts.push(entry.to_owned());
        }
        Ok(())
    }

    /// Another context keeps its name for stages of the Dockerfile, and gets one of ours for images: the Dockerfile
    /// is written anew with that, and an engine that knows no contexts finds no image of the host's by it.
    fn named_context(&mut self, key: &str, value: &str) -> Result<(), Denied> {
        let name = key.strip_prefix("context:").unwrap_or_default();
        let value = match value.split_once(':') {
            Some(("docker-image", image)) => {
                let image = image.trim_start_matches("//");
                let image = if image == "scratch" {
                    image.to_owned()
                } else {
                    self.speak.image(image)
                };
                format!("docker-image://{image}")
            }
            Some(("local" | "input", _)) => value.to_owned(),
            _ => return Err(refusal(key, value, "clone it and build the folder")),
        };
        self.keep(key, &value);
        let (bare, platform) = name.split_once("::").unwrap_or((name, ""));
        let alias = format!("dockmaster-context-{}", hex(bare.as_bytes()));
        let platform = if platform.is_empty() {
            String::new()
        } else {
            format!("::{platform}")
        };
        self.keep(&format!("context:{alias}{platform}"), &value);
        self.recipe.contexts.insert(bare.to_owned(), alias);
        Ok(())
    }

    /// The image that reads the Dockerfile runs inside of the builder, past every judge.
    fn frontend(&mut self, key: &str, value: &str) -> Result<(), Denied> {
        if !value.is_empty() && !(self.realm.is_frontend)(value) {
            return Err(refusal(
                key,
                value,
                "the engine itself reads Dockerfiles; the operator may list others as build-frontends",
            ));
        }
        self.keep_set(key, value);
        Ok(())
    }

    fn argument(&mut self, key: &str, value: &str) -> Result<(), Denied> {
        let name = key.strip_prefix("build-arg:").unwrap_or_default();
        match name {
            "BUILDKIT_CACHE_MOUNT_NS" | "BUILDKIT_DISABLE_FILEOP" => return Ok(()),
            "BUILDKIT_SYNTAX" => {
                let image = value.split_whitespace().next().unwrap_or_default();
                if !(self.realm.is_frontend)(image) {
                    return Ok(());
                }
            }
            _ if name.starts_with("BUILDKIT_ATTEST_") => return self.attestation(key, value),
            _ => {}
        }
        self.recipe
            .arguments
            .insert(name.to_owned(), value.to_owned());
        self.keep(key, value);
        Ok(())
    }

    /// A bill of materials is made by an image that the engine would fetch and run.
    fn attestation(&mut self, key: &str, value: &str) -> Result<(), Denied> {
        if key.to_ascii_lowercase().ends_with("sbom") {
            return Err(refusal(key, value, "make it in a step of the job"));
        }
        self.keep(key, value);
        Ok(())
    }
}

/// What the frontend puts before the names of cache mounts.
pub(super) const CACHE_MOUNTS: &str = "build-arg:BUILDKIT_CACHE_MOUNT_NS";

fn rule(key: &str) -> Option<Rule> {
    let fits = |(known, _): &&(&str, Rule)| {
        *known == key || (known.ends_with([':', '-']) && key.starts_with(known))
    };
    RULES.iter().find(fits).map(|(_, rule)| *rule)
}

/// A session by its id alone: a word before `:` would rename the folder that the engine asks for.
pub(super) fn session(id: &str) -> Result<(), Denied> {
    let is_id = id.len() <= 128 && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if is_id {
        Ok(())
    } else {
        Err(Denied::malformed(format!(
            "the session {id:?} of the build is malformed"
        )))
    }
}

/// The name of a host that a job may give to its steps.
pub(super) fn host_name(name: &str) -> Result<(), Denied> {
    let is_name = !name.is_empty()
        && name.len() <= 255
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b".-_*".contains(&byte));
    if is_name && !name.to_ascii_lowercase().starts_with("dockmaster") {
        Ok(())
    } else {
        Err(Denied::forbidden(format!(
            "the host name {name:?} is not given to a build in a job: choose another"
        )))
    }
}

/// Parts of a key that ask for a name, a place, or something to write.
const ASKS: &[&str] = &[
    "name", "image", "ref", "repo", "registry", "push", "tag", "source", "context", "path", "file",
    "dest", "dir", "url", "host", "proxy", "secret", "policy", "session", "network", "cgroup",
    "config", "label",
];

/// Whether an option that nobody knows here passes: new clients bring some each year. A switch can say nothing more
/// than yes, and a short word or number without `:`, `/` and `.` names nothing where no name is asked for.
pub(super) fn is_harmless(key: &str, value: &str) -> bool {
    let is_plain = value.len() <= 64
        && value
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_+,".contains(&byte));
    let key = key.to_ascii_lowercase();
    is_switch(value) || is_plain && !ASKS.iter().any(|word| key.contains(word))
}

pub(super) fn is_switch(value: &str) -> bool {
    matches!(value, "" | "true" | "false" | "0" | "1")
}

pub(super) fn refusal(key: &str, value: &str, instead: &str) -> Denied {
    Denied::forbidden(format!(
        "the build option {key}={value:?} is not allowed in a job: {instead}"
    ))
}
