//! The most that a container of a job gets. What asks for more gets the most, and the client is told: files
//! that are written for production run in a job, too. The job's group holds all of them together anyway.
//!
//! Pure.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::mount::{Mount, Source};
use crate::gate::query::Query;

/// What a job's containers may have; each is what the lane says, or a share of the host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ceiling {
    pub memory: Option<u64>,
    /// Memory and swap together.
    pub swap: Option<u64>,
    pub pids: Option<u64>,
    /// Of /dev/shm, and of each tmpfs.
    pub tmpfs: u64,
    /// Of /dev/shm, where the client says nothing.
    pub shm: Option<u64>,
    /// The hard limits that may be asked for at most.
    pub ulimits: BTreeMap<String, i64>,
    /// Soft and hard, where the client says nothing.
    pub usual_ulimits: BTreeMap<String, (i64, i64)>,
    /// A job's processes die before the host's when memory runs out.
    pub oom_score: i64,
}

impl Ceiling {
    /// Brings the steps of a build under the ceiling.
    pub(crate) fn hold_build(&self, query: &mut Query) {
        let asked = query.text("shmsize").parse::<u64>().unwrap_or(0);
        if self.tmpfs > 0 && asked > self.tmpfs {
            query.set("shmsize", self.tmpfs.to_string());
        }
        // What is no JSON is refused by whoever judges the build.
        let given = serde_json::from_str(query.text("ulimits")).unwrap_or(Value::Null);
        if given.is_null() && !query.text("ulimits").is_empty() {
            return;
        }
        let mut host = Map::from_iter([("Ulimits".to_owned(), given)]);
        ulimits(self, &mut host);
        if let Some(list) = host.get("Ulimits").filter(|list| list.is_array()) {
            query.set("ulimits", list.to_string());
        }
    }
}

/// Brings a container under the ceiling; what was lowered, for the client to print.
pub(super) fn hold(
    ceiling: &Ceiling,
    host: &mut Map<String, Value>,
    mounts: &mut [Mount],
) -> Vec<String> {
    let mut lowered = Vec::new();
    for (field, most) in [("Memory", ceiling.memory), ("PidsLimit", ceiling.pids)] {
        lowered.extend(most.and_then(|most| lower(host, field, most)));
    }
    swap(ceiling, host);
    if ceiling.tmpfs > 0 {
        lowered.extend(lower(host, "ShmSize", ceiling.tmpfs));
        tmpfs(ceiling.tmpfs, host);
        for mount in mounts {
            memory(ceiling.tmpfs, mount);
        }
    }
    if let Some(shm) = ceiling.shm {
        host.entry("ShmSize").or_insert(json!(shm));
    }
    lowered.extend(ulimits(ceiling, host));
    let score = host.get("OomScoreAdj").and_then(Value::as_i64).unwrap_or(0);
    host.insert(
        "OomScoreAdj".to_owned(),
        json!(score.max(ceiling.oom_score)),
    );
    lowered
}

fn told(field: &str, most: impl std::fmt::Display) -> String {
    format!("dockmaster: {field} is lowered to {most}, the most that the operator gives a job")
}

fn lower(host: &mut Map<String, Value>, field: &str, most: u64) -> Option<String> {
    let asked = host.get(field)?.as_f64()?;
    if asked <= 0.0 {
        // No limit of its own: the job's counts.
        host.remove(field);
        return None;
    }
    #[expect(
        clippy::cast_precision_loss,
        reason = "only compared, and sizes are far smaller"
    )]
    let is_more = asked > most as f64;
    is_more.then(|| {
        host.insert(field.to_owned(), json!(most));
        told(field, most)
    })
}

/// Memory and swap are at least memory, and swap without end is what the job has.
fn swap(ceiling: &Ceiling, host: &mut Map<String, Value>) {
    let number = |host: &Map<String, Value>, field: &str| host.get(field).and_then(Value::as_i64);
    let Some(asked) = number(host, "MemorySwap") else {
        return;
    };
    let memory = number(host, "Memory").unwrap_or(0);
    if memory == 0 {
        if asked < 0 {
            host.remove("MemorySwap");
        }
        return;
    }
    let most = ceiling.swap.or(ceiling.memory);
    let Some(most) = most.and_then(|most| i64::try_from(most).ok()) else {
        return;
    };
    if asked < 0 || asked > most {
        host.insert("MemorySwap".to_owned(), json!(most.max(memory)));
    }
}

/// A tmpfs without a size could take half of the host's memory.
fn tmpfs(most: u64, host: &mut Map<String, Value>) {
    let entries = host.get_mut("Tmpfs").and_then(Value::as_object_mut);
    for options in entries.into_iter().flat_map(|entries| entries.values_mut()) {
        let text = options.as_str().unwrap_or_default();
        let mut size = most;
        let mut kept = Vec::new();
        for option in text.split(',').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some(("size", value)) => size = bytes(value).unwrap_or(most).min(most),
                // Another word for a size, in pages.
                Some(("nr_blocks", value)) => {
                    let pages = bytes(value).unwrap_or(most);
                    size = pages.saturating_mul(4096).min(most);
                }
                _ => kept.push(option.to_owned()),
            }
        }
        kept.push(format!("size={}", if size == 0 { most } else { size }));
        *options = json!(kept.join(","));
    }
}

fn memory(most: u64, mount: &mut Mount) {
    if let Source::Memory(options) = &mut mount.source {
        let asked = options.get("SizeBytes").and_then(Value::as_u64);
        let size = asked.filter(|size| *size > 0).unwrap_or(most).min(most);
        options.insert("SizeBytes".to_owned(), json!(size));
    }
}

/// The kernel's own words for a size: a number with `k`, `m`, `g`, or a share, which is no size here.
fn bytes(text: &str) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    let (number, shift) = match lower.char_indices().next_back()? {
        (at, 'k') => (&lower[..at], 10),
        (at, 'm') => (&lower[..at], 20),
        (at, 'g') => (&lower[..at], 30),
        _ => (lower.as_str(), 0),
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

fn ulimits(ceiling: &Ceiling, host: &mut Map<String, Value>) -> Vec<String> {
    let mut lowered = Vec::new();
    let mut list = host
        .get("Ulimits")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    for entry in &mut list {
        let name = entry["Name"].as_str().unwrap_or_default().to_owned();
        let Some(most) = ceiling
            .ulimits
            .get(&name)
            .copied()
            .filter(|most| *most >= 0)
        else {
            continue;
        };
        let is_more = |value: &Value| value.as_i64().is_none_or(|value| value < 0 || value > most);
        if is_more(&entry["Hard"]) || is_more(&entry["Soft"]) {
            lowered.push(told(&format!("ulimit {name}"), most));
        }
        for side in ["Soft", "Hard"] {
            if is_more(&entry[side]) {
                entry[side] = json!(most);
            }
        }
    }
    for (name, (soft, hard)) in &ceiling.usual_ulimits {
        if !list.iter().any(|entry| entry["Name"] == name.as_str()) {
            list.push(json!({ "Name": name, "Soft": soft, "Hard": hard }));
        }
    }
    if !list.is_empty() {
        host.insert("Ulimits".to_owned(), Value::Array(list));
    }
    lowered
}
