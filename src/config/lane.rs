//! `[lanes.NAME]`: the ways of running jobs. The key `kind` comes first and says which keys may follow.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::{docker::DockerLane, moved::Keys};

/// A way of running jobs, chosen by `--lane` in the runner's own configuration.
#[derive(Debug, Clone)]
pub enum Lane {
    Docker(Box<DockerLane>),
    Deploy(DeployLane),
}

/// serde's own tagged enums read the whole table first and so lose where an unknown key stood.
impl<'de> Deserialize<'de> for Lane {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(KindFirst)
    }
}

struct KindFirst;

impl<'de> Visitor<'de> for KindFirst {
    type Value = Lane;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a lane whose first key is `kind`")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Lane, M::Error> {
        let kind: String = match map.next_key::<String>()?.as_deref() {
            Some("kind") => map.next_value()?,
            _ => return Err(de::Error::custom("the first key of a lane is `kind`")),
        };
        let rest = MapAccessDeserializer::new(map);
        match kind.as_str() {
            "docker" => {
                DockerLane::deserialize(Keys(rest)).map(|lane| Lane::Docker(Box::new(lane)))
            }
            "deploy" => DeployLane::deserialize(rest).map(Lane::Deploy),
            other => Err(de::Error::unknown_variant(other, &["docker", "deploy"])),
        }
    }
}

/// Jobs on the code server itself, which use the keys of production and cannot read them.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct DeployLane {
    /// The environments that jobs of this lane may deploy to.
    pub environments: Vec<String>,
    /// Each live job takes a uid of its own from `first-uid` on.
    #[serde(default = "default_first_uid")]
    pub first_uid: u32,
    /// How many of them there are: the most jobs that can be live at once.
    #[serde(default = "default_uid_count")]
    pub uid_count: u32,
}

/// Below the range that systemd hands to services of its own (61184 and on).
fn default_first_uid() -> u32 {
    60_600
}

fn default_uid_count() -> u32 {
    100
}
