//! Requests that nobody thought of: no panic, and nothing in what is written that a job must not have.
//!
//! As many cases as `PROPTEST_CASES` says; CI lets it run for a minute.

use proptest::prelude::*;
use serde_json::{Map, Value};

use crate::gate::archive;
use crate::gate::container::{self, Resolution};
use crate::gate::object;
use crate::gate::push::Watch;
use crate::gate::table::Reader;

/// Keys of every body of the engine's definition, and some that are none.
fn keys() -> Vec<String> {
    let text = include_str!("../../../tests/golden/gate/api-1.55.txt");
    let fields = text.lines().filter_map(|line| line.strip_prefix("  "));
    let parts = fields.flat_map(|field| field.split('.'));
    let mut keys: Vec<String> = parts
        .filter(|part| !matches!(*part, "[]" | "*") && !part.starts_with('?'))
        .map(str::to_owned)
        .collect();
    keys.extend(["privileged", "Bind\u{17f}", "Networ\u{212a}Mode", "", "x"].map(str::to_owned));
    keys.sort();
    keys.dedup();
    keys
}

const TEXTS: &[&str] = &[
    "",
    "host",
    "default",
    "container:x",
    "/:/h",
    "/builds/a:/x",
    "data:/x:ro",
    "bridge",
    "private",
    "bind",
    "volume",
    "tmpfs",
    "dockmaster.made-by",
    "always",
    "no-new-privileges:false",
    "SYS_ADMIN",
    "syslog",
    "none",
    "../x",
    "\0",
];

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        4 => prop::sample::select(TEXTS).prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        1 => Just(Value::Null),
        1 => "\\PC{0,8}".prop_map(Value::from),
    ];
    let keys = keys();
    leaf.prop_recursive(5, 48, 6, move |inner| {
        let key = prop::sample::select(keys.clone());
        prop_oneof![
            1 => prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            3 => prop::collection::vec((key, inner), 0..6)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// A body of a container with odd things in known places.
fn body() -> impl Strategy<Value = Value> {
    let part = |keys: Vec<String>| {
        let pair = (prop::sample::select(keys), value());
        prop::collection::vec(pair, 0..4)
            .prop_map(|pairs| Value::Object(pairs.into_iter().collect::<Map<_, _>>()))
    };
    (part(keys()), part(keys())).prop_map(|(mut top, host)| {
        top["HostConfig"] = host;
        top
    })
}

const READERS: &[Reader] = &[
    object::network,
    object::volume,
    object::exec,
    object::exec_start,
    object::login,
    object::connect,
    object::disconnect,
    container::settings::config,
    container::settings::update,
];

/// Keys that are never written, and texts that never stand under some others.
fn hostile(value: &Value) -> Option<String> {
    const NEVER: &[&str] = &[
        "Privileged",
        "Devices",
        "DeviceRequests",
        "DeviceCgroupRules",
        "Binds",
        "UsernsMode",
        "UTSMode",
        "Runtime",
        "Sysctls",
        "Capabilities",
        "Annotations",
        "MaskedPaths",
        "ReadonlyPaths",
        "DriverOpts",
        "StorageOpt",
    ];
    match value {
        Value::Object(map) => map.iter().find_map(|(key, value)| {
            let is_host = key.ends_with("Mode") && value == "host";
            if NEVER.contains(&key.as_str()) || is_host || !key.is_ascii() {
                return Some(format!("{key}: {value}"));
            }
            // Their keys are the job's own words.
            let is_free = matches!(
                key.as_str(),
                "Labels" | "Tmpfs" | "ExposedPorts" | "Volumes" | "EndpointsConfig"
            );
            if is_free { None } else { hostile(value) }
        }),
        Value::Array(items) => items.iter().find_map(hostile),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_container_has_what_a_job_must_not_have(body in body()) {
        if let Ok(creation) = container::read(body.to_string().as_bytes()) {
            let written = creation.write(&Resolution::default());
            prop_assert_eq!(hostile(&written), None, "{}", written);
        }
    }

    #[test]
    fn what_is_written_is_read_again_as_the_same(body in value(), reader in 0..READERS.len()) {
        let reader = READERS[reader];
        if let Ok(written) = reader(body.to_string().as_bytes()) {
            prop_assert_eq!(reader(written.to_string().as_bytes()).ok(), Some(written));
        }
    }

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..600), cut in 1..64_usize) {
        for reader in READERS {
            reader(&bytes).ok();
        }
        container::read(&bytes).ok();
        let mut watch = Watch::new("a");
        for piece in bytes.chunks(cut) {
            watch.take(piece);
        }
        archive::rewrite(bytes.as_slice(), std::io::sink(), &mut |_| Ok(None)).ok();
    }
}
