//! The body of `containers/create`: read strictly, judged field by field, written anew.
//!
//! Pure. Names of containers, networks and volumes, and paths, come out for the caller to resolve:
//! this module cannot know whose they are. Knows no daemon.

mod ceiling;
mod fields;
pub(crate) mod link;
pub(crate) mod mount;
mod security;
pub(crate) mod settings;
mod usual;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::gate::alias;
use crate::gate::field::{Field, Rule, copy, forbidden, nested, text, texts};
use crate::gate::json;
use crate::gate::refusal::Denied;
pub use ceiling::Ceiling;
use fields::{CONFIG, ENDPOINT, HOST, LOG, LOG_OPTIONS};
use mount::Mount;
use security::security;
pub use usual::Usual;

/// A container that a job wants, as far as it may have it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Creation {
    pub image: String,
    /// As the client wrote it; empty for the usual one.
    pub network: String,
    /// Containers whose process, IPC and network namespaces it joins.
    pub pid_of: Option<String>,
    pub ipc_of: Option<String>,
    pub network_of: Option<String>,
    /// Containers whose volumes it takes, and how (`ro`, `rw` or empty).
    pub volumes_from: Vec<(String, String)>,
    pub mounts: Vec<Mount>,
    /// Settings for each network to join, by the name the client wrote.
    pub endpoints: Vec<(String, Map<String, Value>)>,
    /// Whether it asks for ports of the host.
    pub is_published: bool,
    /// What was left out, for the client to print.
    pub warnings: Vec<String>,
    config: Map<String, Value>,
    host: Map<String, Value>,
}

/// What the caller found out for a [`Creation`].
#[derive(Debug, Clone, Default)]
pub(crate) struct Resolution {
    /// The image to give to the engine.
    pub image: String,
    /// Full ids by the names that the client wrote.
    pub containers: BTreeMap<String, String>,
    /// Networks by the names that the client wrote; the empty one is the usual network.
    pub networks: BTreeMap<String, String>,
    /// What the engine shall mount, in the order of [`Creation::mounts`].
    pub mounts: Vec<Value>,
    /// Forced on the container.
    pub labels: BTreeMap<String, String>,
    pub cgroup_parent: Option<String>,
    /// The names under which the containers of its networks find it.
    pub names: Vec<String>,
}

/// Reads a body.
pub(crate) fn read(bytes: &[u8]) -> Result<Creation, Denied> {
    let given = json::object(bytes)?;
    let config = copy("", &given, CONFIG)?;
    let host_given = nested("HostConfig", given.get("HostConfig"))?;
    let host = copy("HostConfig.", &host_given, HOST)?;
    let mut creation = Creation {
        image: text("Image", given.get("Image"))?,
        config,
        host,
        ..Creation::default()
    };
    creation.namespaces(&host_given)?;
    creation.volumes(&host_given)?;
    creation.networking(&given)?;
    creation.links(&host_given)?;
    security(&host_given, &mut creation.host)?;
    creation.logging(&host_given)?;
    creation.publishing(&host_given);
    creation.restarting();
    Ok(creation)
}

impl Creation {
    /// Every container that must be the job's own.
    pub(crate) fn containers(&self) -> impl Iterator<Item = &str> {
        let joined = [&self.pid_of, &self.ipc_of, &self.network_of]
            .into_iter()
            .flatten();
        joined
            .map(String::as_str)
            .chain(self.volumes_from.iter().map(|(name, _)| name.as_str()))
            .chain(
                self.endpoints
                    .iter()
                    .flat_map(|(_, it)| link::containers(it)),
            )
    }

    /// Every network that must be the job's own; the empty name is the usual one.
    pub(crate) fn networks(&self) -> impl Iterator<Item = &str> {
        let joins = self.network_of.is_none() && self.network != "none";
        let main = joins.then_some(self.network.as_str());
        main.into_iter()
            .chain(self.endpoints.iter().map(|(name, _)| name.as_str()))
    }

    /// Brings it under what a job may have at most; the client is told what was lowered.
    pub(crate) fn hold(&mut self, ceiling: &Ceiling) {
        let lowered = ceiling::hold(ceiling, &mut self.host, &mut self.mounts);
        self.warnings.extend(lowered);
    }

    /// Gives it what all containers of the lane have; the client is told what it does not get.
    pub(crate) fn fill(&mut self, usual: &Usual) {
        if self.network_of.is_none() {
            usual::names(usual, &mut self.host);
        }
        let left_out = usual::fill(usual, &mut self.host);
        self.warnings.extend(left_out);
    }

    /// The body for the engine.
    pub(crate) fn write(self, resolution: &Resolution) -> Value {
        let container = |name: &String| {
            format!(
                "container:{}",
                resolution.containers.get(name).map_or("", String::as_str)
            )
        };
        let network = |name: &str| resolution.networks.get(name).cloned().unwrap_or_default();
        let mut host = self.host;
        let mode = match &self.network_of {
            Some(name) => container(name),
            None if self.network == "none" => self.network.clone(),
            None => network(&self.network),
        };
        host.insert("NetworkMode".to_owned(), json!(mode));
        for (field, name) in [("PidMode", &self.pid_of), ("IpcMode", &self.ipc_of)] {
            if let Some(name) = name {
                host.insert(field.to_owned(), json!(container(name)));
            }
        }
        let from = self.volumes_from.iter().map(|(name, mode)| {
            let id = resolution.containers.get(name).map_or("", String::as_str);
            if mode.is_empty() {
                id.to_owned()
            } else {
                format!("{id}:{mode}")
            }
        });
        host.insert("VolumesFrom".to_owned(), from.collect());
        host.insert("Mounts".to_owned(), Value::Array(resolution.mounts.clone()));
        if let Some(parent) = &resolution.cgroup_parent {
            host.insert("CgroupParent".to_owned(), json!(parent));
        }
        let mut body = Value::Object(self.config);
        body["Image"] = json!(resolution.image);
        body["HostConfig"] = Value::Object(host);
        label(&mut body, &resolution.labels);
        let mut endpoints = self.endpoints;
        let joins = self.network_of.is_none() && self.network != "none";
        if endpoints.is_empty() && joins && !resolution.names.is_empty() {
            endpoints.push((self.network.clone(), Map::new()));
        }
        let endpoints: Map<String, Value> = endpoints
            .into_iter()
            .map(|(name, mut settings)| {
                alias::add(&mut settings, &resolution.names);
                link::write(&mut settings, |name| {
                    resolution.containers.get(name).cloned()
                });
                (network(&name), Value::Object(settings))
            })
            .collect();
        body["NetworkingConfig"] = json!({ "EndpointsConfig": endpoints });
        body
    }

    fn namespaces(&mut self, host: &Map<String, Value>) -> Result<(), Denied> {
        let read = |name: &str| text(&format!("HostConfig.{name}"), host.get(name));
        self.pid_of = namespace("HostConfig.PidMode", &read("PidMode")?, &[])?;
        let ipc = read("IpcMode")?;
        self.ipc_of = namespace(
            "HostConfig.IpcMode",
            &ipc,
            &["private", "shareable", "none"],
        )?;
        if self.ipc_of.is_none() && !is_usual(&ipc) {
            self.host.insert("IpcMode".to_owned(), json!(ipc));
        }
        let network = read("NetworkMode")?;
        if network == "host" {
            let instead = "containers of a job share the job's own network";
            return Err(forbidden("HostConfig.NetworkMode \"host\"", instead));
        }
        match network.strip_prefix("container:") {
            Some(name) => self.network_of = Some(name.to_owned()),
            None => usual_network(&network).clone_into(&mut self.network),
        }
        Ok(())
    }

    fn volumes(&mut self, host: &Map<String, Value>) -> Result<(), Denied> {
        for entry in texts("HostConfig.VolumesFrom", host.get("VolumesFrom"))? {
            let (name, mode) = entry.split_once(':').unwrap_or((&entry, ""));
            if !matches!(mode, "" | "ro" | "rw") {
                return Err(Denied::malformed(format!(
                    "HostConfig.VolumesFrom {entry:?} is malformed"
                )));
            }
            self.volumes_from.push((name.to_owned(), mode.to_owned()));
        }
        for bind in texts("HostConfig.Binds", host.get("Binds"))? {
            self.mounts.push(mount::bind(&bind)?);
        }
        self.mounts.extend(mount::list(host.get("Mounts"))?);
        Ok(())
    }

    fn networking(&mut self, given: &Map<String, Value>) -> Result<(), Denied> {
        let networking = nested("NetworkingConfig", given.get("NetworkingConfig"))?;
        copy(
            "NetworkingConfig.",
            &networking,
            &[Field("EndpointsConfig", Rule::Apart)],
        )?;
        let place = "NetworkingConfig.EndpointsConfig";
        let endpoints = nested(place, networking.get("EndpointsConfig"))?;
        for (name, settings) in endpoints.iter() {
            let settings = endpoint(&format!("{place}.{name}"), Some(settings))?;
            if matches!(name.as_str(), "host" | "none") || self.network_of.is_some() {
                continue;
            }
            self.endpoints
                .push((usual_network(name).to_owned(), settings));
        }
        Ok(())
    }

    /// Links of the container are those of its main network.
    fn links(&mut self, host: &Map<String, Value>) -> Result<(), Denied> {
        let place = "HostConfig.Links";
        let given = host.get("Links");
        if given.is_none_or(json::is_unset) {
            return Ok(());
        }
        if self.network_of.is_some() || self.network == "none" {
            return Err(forbidden(
                place,
                "the container is in no network of its own",
            ));
        }
        if !self.endpoints.iter().any(|(name, _)| *name == self.network) {
            self.endpoints.push((self.network.clone(), Map::new()));
        }
        let main = self
            .endpoints
            .iter_mut()
            .find(|(name, _)| *name == self.network);
        main.map_or(Ok(()), |(_, settings)| link::add(place, settings, given))
    }

    /// The daemon itself, as root in the host's network, connects to where a log driver points:
    /// only those that write to its own disk are open.
    fn logging(&mut self, host: &Map<String, Value>) -> Result<(), Denied> {
        let place = "HostConfig.LogConfig";
        let log = nested(place, host.get("LogConfig"))?;
        copy(&format!("{place}."), &log, LOG)?;
        let driver = text("HostConfig.LogConfig.Type", log.get("Type"))?;
        let options = nested("HostConfig.LogConfig.Config", log.get("Config"))?;
        let local = matches!(driver.as_str(), "json-file" | "local" | "none");
        // The engine's own default may keep everything, so it is not left to it.
        let driver = if is_usual(&driver) {
            "json-file".to_owned()
        } else {
            driver
        };
        if !local && driver != "json-file" {
            let instead = "leave it out, or use \"json-file\", \"local\" or \"none\"";
            return Err(forbidden(&format!("{place} {driver:?}"), instead));
        }
        let mut options = copy(&format!("{place}.Config."), &options, LOG_OPTIONS)?;
        if driver != "none" {
            options.insert("max-size".to_owned(), json!(LOG_SIZE));
            options.insert("max-file".to_owned(), json!(LOG_FILES));
        }
        let log = json!({ "Type": driver, "Config": options });
        self.host.insert("LogConfig".to_owned(), log);
        Ok(())
    }

    /// A container that starts again by itself would outlive its job.
    fn restarting(&mut self) {
        let policy = self.host.remove("RestartPolicy").unwrap_or_default();
        if !matches!(policy["Name"].as_str(), None | Some("" | "no")) {
            let warning = "dockmaster: no container of a job is started again by itself";
            self.warnings.push(warning.to_owned());
        }
    }

    /// A port of the host is nobody's to take; in the job's network every port is reachable anyway.
    fn publishing(&mut self, host: &Map<String, Value>) {
        let asked = |name: &str| host.get(name).is_some_and(|value| !json::is_unset(value));
        self.is_published = asked("PortBindings") || asked("PublishAllPorts");
        if self.is_published {
            self.warnings.push(
                "dockmaster: ports are not published on the host; reach the container by its name \
                 in the job's network"
                    .to_owned(),
            );
        }
    }
}

/// How much of a container's output the engine keeps.
const LOG_SIZE: &str = "32m";
const LOG_FILES: &str = "2";

/// Adds forced labels to an object that has a `Labels` field.
pub(super) fn label(body: &mut Value, labels: &BTreeMap<String, String>) {
    if !body["Labels"].is_object() {
        body["Labels"] = json!({});
    }
    for (key, value) in labels {
        body["Labels"][key] = json!(value);
    }
}

/// Settings with which a container joins a network.
pub(super) fn endpoint(place: &str, given: Option<&Value>) -> Result<Map<String, Value>, Denied> {
    let given = nested(place, given)?;
    let mut settings = copy(&format!("{place}."), &given, ENDPOINT)?;
    link::add(&format!("{place}.Links"), &mut settings, given.get("Links"))?;
    Ok(settings)
}

/// The names under which clients mean the usual network, as one: the empty one.
pub(super) fn usual_network(name: &str) -> &str {
    if matches!(name, "default" | "bridge") {
        ""
    } else {
        name
    }
}

fn is_usual(mode: &str) -> bool {
    matches!(mode, "" | "default")
}

fn namespace(field: &str, mode: &str, open: &[&str]) -> Result<Option<String>, Denied> {
    match mode.strip_prefix("container:") {
        Some(name) => Ok(Some(name.to_owned())),
        None if is_usual(mode) || open.contains(&mode) => Ok(None),
        None => Err(forbidden(&format!("{field} {mode:?}"), "leave it out")),
    }
}
