//! The body of `containers/create`: what is refused, and what genuine clients get.

use std::collections::BTreeMap;

use serde_json::json;

use crate::gate::container::{Ceiling, Creation, Resolution, read};
use crate::gate::query::Query;

/// Where a hostile body puts its field, and the words that the refusal must have.
const HOSTILE: &[(&str, &str)] = &[
    (
        r#"{"HostConfig":{"Privileged":true}}"#,
        "HostConfig.Privileged is not allowed",
    ),
    (r#"{"Privileged":true}"#, "\"Privileged\" is not known"),
    (r#"{"Binds":["/:/h"]}"#, "\"Binds\" is not known"),
    (
        r#"{"hostconfig":{"Privileged":true}}"#,
        "\"hostconfig\" is not known",
    ),
    (
        r#"{"HostConfig":{"privileged":true}}"#,
        "\"HostConfig.privileged\" is not known",
    ),
    (
        "{\"HostConfig\":{\"Bind\u{17f}\":[\"/:/h\"]}}",
        "is not known",
    ),
    (
        "{\"HostConfig\":{\"Networ\u{212a}Mode\":\"host\"}}",
        "is not known",
    ),
    (r#"{"HostConfig":{"Bind\u017f":["/:/h"]}}"#, "is not known"),
    (
        r#"{"HostConfig":{},"HostConfig":{"Privileged":true}}"#,
        "is there twice",
    ),
    (
        r#"{"HostConfig":{"Privileged":false,"Privileged":true}}"#,
        "is there twice",
    ),
    (
        r#"{"Image":"a"} {"HostConfig":{"Privileged":true}}"#,
        "trailing",
    ),
    (
        r#"{"HostConfig":{"CapAdd":["SYS_ADMIN"]}}"#,
        "HostConfig.CapAdd",
    ),
    (
        r#"{"HostConfig":{"CapAdd":["cap_sys_ptrace"]}}"#,
        "HostConfig.CapAdd",
    ),
    (r#"{"HostConfig":{"CapAdd":["ALL"]}}"#, "HostConfig.CapAdd"),
    (
        r#"{"HostConfig":{"Capabilities":["SYS_ADMIN"]}}"#,
        "HostConfig.Capabilities",
    ),
    (
        r#"{"HostConfig":{"Devices":[{"PathOnHost":"/dev/sda"}]}}"#,
        "HostConfig.Devices",
    ),
    (
        r#"{"HostConfig":{"DeviceRequests":[{"Count":-1}]}}"#,
        "HostConfig.DeviceRequests",
    ),
    (
        r#"{"HostConfig":{"DeviceCgroupRules":["a *:* rwm"]}}"#,
        "HostConfig.DeviceCgroupRules",
    ),
    (
        r#"{"HostConfig":{"SecurityOpt":["seccomp=unconfined"]}}"#,
        "HostConfig.SecurityOpt",
    ),
    (
        r#"{"HostConfig":{"SecurityOpt":["label=disable"]}}"#,
        "HostConfig.SecurityOpt",
    ),
    (
        r#"{"HostConfig":{"SecurityOpt":["no-new-privileges:false"]}}"#,
        "HostConfig.SecurityOpt",
    ),
    (
        r#"{"HostConfig":{"SecurityOpt":["no-new-privileges","no-new-privileges=0"]}}"#,
        "HostConfig.SecurityOpt",
    ),
    (r#"{"MacAddress":"02:42:ac:11:00:02"}"#, "MacAddress"),
    (
        r#"{"NetworkingConfig":{"EndpointsConfig":{"a":{"MacAddress":"02:42:ac:11:00:02"}}}}"#,
        "MacAddress",
    ),
    (
        r#"{"HostConfig":{"MaskedPaths":[]}}"#,
        "HostConfig.MaskedPaths",
    ),
    (
        r#"{"HostConfig":{"ReadonlyPaths":[]}}"#,
        "HostConfig.ReadonlyPaths",
    ),
    (
        r#"{"HostConfig":{"PidMode":"host"}}"#,
        "HostConfig.PidMode \"host\"",
    ),
    (
        r#"{"HostConfig":{"IpcMode":"host"}}"#,
        "HostConfig.IpcMode \"host\"",
    ),
    (r#"{"HostConfig":{"UTSMode":"host"}}"#, "HostConfig.UTSMode"),
    (
        r#"{"HostConfig":{"UsernsMode":"host"}}"#,
        "HostConfig.UsernsMode",
    ),
    (
        r#"{"HostConfig":{"CgroupnsMode":"host"}}"#,
        "HostConfig.CgroupnsMode",
    ),
    (
        r#"{"HostConfig":{"NetworkMode":"host"}}"#,
        "HostConfig.NetworkMode \"host\"",
    ),
    (
        r#"{"HostConfig":{"CgroupParent":"/system.slice"}}"#,
        "HostConfig.CgroupParent",
    ),
    (r#"{"HostConfig":{"Runtime":"kata"}}"#, "HostConfig.Runtime"),
    (r#"{"Runtime":"kata"}"#, "Runtime"),
    (r#"{"HostConfig":{"Links":["db:a b"]}}"#, "HostConfig.Links"),
    (
        r#"{"HostConfig":{"Links":["db:db"],"NetworkMode":"none"}}"#,
        "HostConfig.Links",
    ),
    (
        r#"{"HostConfig":{"LogConfig":{"Type":"syslog"}}}"#,
        "HostConfig.LogConfig \"syslog\"",
    ),
    (
        r#"{"HostConfig":{"LogConfig":{"Type":"","Config":{"syslog-address":"tcp://10.0.0.1"}}}}"#,
        "syslog-address",
    ),
    (
        r#"{"HostConfig":{"LogConfig":{"type":"gelf"}}}"#,
        "HostConfig.LogConfig.type",
    ),
    (
        r#"{"HostConfig":{"Sysctls":{"kernel.msgmax":"1"}}}"#,
        "HostConfig.Sysctls",
    ),
    (
        r#"{"HostConfig":{"OomScoreAdj":-1}}"#,
        "HostConfig.OomScoreAdj",
    ),
    (
        r#"{"HostConfig":{"OomKillDisable":true}}"#,
        "HostConfig.OomKillDisable",
    ),
    (
        r#"{"HostConfig":{"StorageOpt":{"size":"1"}}}"#,
        "HostConfig.StorageOpt",
    ),
    (
        r#"{"HostConfig":{"VolumeDriver":"nfs"}}"#,
        "HostConfig.VolumeDriver",
    ),
    (
        r#"{"HostConfig":{"Binds":["/a:/b:shared"]}}"#,
        "HostConfig.Binds option \"shared\"",
    ),
    (
        r#"{"HostConfig":{"Binds":["/a/../etc:/b"]}}"#,
        "HostConfig.Binds",
    ),
    (
        r#"{"HostConfig":{"Mounts":[{"Type":"volume","Target":"/x","VolumeOptions":{"DriverConfig":{"Options":{"type":"none"}}}}]}}"#,
        "HostConfig.Mounts.VolumeOptions.DriverConfig.Options",
    ),
    (
        r#"{"HostConfig":{"Mounts":[{"Type":"bind","Source":"/a","Target":"/x","BindOptions":{"Propagation":"rshared"}}]}}"#,
        "HostConfig.Mounts.BindOptions.Propagation",
    ),
    (
        r#"{"HostConfig":{"Mounts":[{"Type":"npipe","Source":"/a","Target":"/x"}]}}"#,
        "npipe",
    ),
    (
        r#"{"HostConfig":{"Mounts":[{"Type":"volume","Source":"/a","Target":"/x"}]}}"#,
        "Source",
    ),
    (
        r#"{"HostConfig":{"Mounts":[{"type":"bind","Source":"/","Target":"/x"}]}}"#,
        "Mounts.type",
    ),
    (
        r#"{"NetworkingConfig":{"EndpointsConfig":{"a":{"DriverOpts":{"x":"y"}}}}}"#,
        "DriverOpts",
    ),
    (r#"{"Env":"A=B"}"#, "Env has the wrong shape"),
    (r#"["Image"]"#, "not a JSON object"),
    ("{", "cannot be read"),
];

#[test]
fn hostile_bodies_are_refused_by_the_name_of_the_field() {
    for (body, words) in HOSTILE {
        let denied = read(body.as_bytes()).expect_err(body);
        assert!(denied.message.contains(words), "{body}\n{}", denied.message);
    }
}

/// Bodies that real clients sent, and how they are written for the engine.
#[test]
fn genuine_bodies_are_accepted_and_written_anew() {
    for (client, body) in [
        (
            "docker-20.10-run",
            include_str!("../../../tests/golden/gate/docker-20.10-run.json"),
        ),
        (
            "docker-20.10-options",
            include_str!("../../../tests/golden/gate/docker-20.10-options.json"),
        ),
        (
            "docker-28-run",
            include_str!("../../../tests/golden/gate/docker-28-run.json"),
        ),
        (
            "docker-28-options",
            include_str!("../../../tests/golden/gate/docker-28-options.json"),
        ),
        (
            "compose-1.29-up",
            include_str!("../../../tests/golden/gate/compose-1.29-up.json"),
        ),
    ] {
        let creation =
            read(body.as_bytes()).unwrap_or_else(|denied| panic!("{client}: {denied:?}"));
        let written = creation.clone().write(&resolution(&creation));
        insta::with_settings!({ snapshot_path => "../../../tests/golden/gate", prepend_module_to_snapshot => false }, {
            insta::assert_json_snapshot!(client, written);
        });
    }
}

fn resolution(creation: &Creation) -> Resolution {
    let id = |name: &str| (name.to_owned(), format!("id-of-{name}"));
    let network = |name: &str| match name {
        "" => (String::new(), "job-network".to_owned()),
        name => id(name),
    };
    Resolution {
        image: creation.image.clone(),
        containers: creation.containers().map(id).collect(),
        networks: creation.networks().map(network).collect(),
        mounts: creation
            .mounts
            .iter()
            .map(|mount| json!(format!("{mount:?}")))
            .collect(),
        labels: BTreeMap::from([("dockmaster.gate".to_owned(), "7".to_owned())]),
        cgroup_parent: Some("/jobs/7".to_owned()),
        names: Vec::new(),
    }
}

#[test]
fn what_says_nothing_is_accepted_and_never_written() {
    let falsy = r#"{"Image":"a","Labels":null,"HostConfig":{"Privileged":false,"CapAdd":null,
        "Devices":[],"DeviceRequests":null,"SecurityOpt":null,"PidMode":"","IpcMode":"","UTSMode":"",
        "UsernsMode":"","CgroupParent":"","Runtime":"","Links":[],"LogConfig":{"Type":"","Config":{}},
        "Sysctls":null,"OomScoreAdj":0,"Isolation":"default","BlkioWeightDevice":[],"Binds":null,
        "OomKillDisable":false,"NetworkMode":"default","FieldOfTomorrow":{"A":[],"B":0},"MaskedPaths":null,"ConsoleSize":[0,0]}}"#;
    let creation = read(falsy.as_bytes()).unwrap();
    let body = creation.clone().write(&resolution(&creation));
    let expect = json!({
        "Image": "a",
        "Labels": { "dockmaster.gate": "7" },
        "HostConfig": {
            "CgroupParent": "/jobs/7", "Mounts": [], "NetworkMode": "job-network",
            "LogConfig": { "Type": "json-file", "Config": { "max-size": "32m", "max-file": "2" } },
            "OomScoreAdj": 0, "VolumesFrom": []
        },
        "NetworkingConfig": { "EndpointsConfig": {} }
    });
    assert_eq!(body, expect);
}

#[test]
fn a_job_can_neither_take_our_labels_away_nor_give_them() {
    for key in ["dockmaster.gate", "dockmaster.role"] {
        let body = format!(r#"{{"Labels":{{"{key}":"8"}}}}"#);
        assert!(read(body.as_bytes()).unwrap_err().message.contains(key));
    }
    let creation = read(br#"{"Labels":{"mine":"x"}}"#).unwrap();
    let body = creation.clone().write(&resolution(&creation));
    assert_eq!(
        body["Labels"],
        json!({ "dockmaster.gate": "7", "mine": "x" })
    );
}

#[test]
fn usual_networks_become_the_jobs_and_other_names_their_ids() {
    for (body, mode, endpoints) in [
        (
            r#"{"HostConfig":{"NetworkMode":"bridge"}}"#,
            "job-network",
            json!({}),
        ),
        (
            r#"{"NetworkingConfig":{"EndpointsConfig":{"default":{"Aliases":["db"]}}}}"#,
            "job-network",
            json!({ "job-network": { "Aliases": ["db"] } }),
        ),
        (
            r#"{"HostConfig":{"NetworkMode":"mine"},"NetworkingConfig":{"EndpointsConfig":{"mine":{}}}}"#,
            "id-of-mine",
            json!({ "id-of-mine": {} }),
        ),
        (
            r#"{"HostConfig":{"NetworkMode":"none"}}"#,
            "none",
            json!({}),
        ),
        (
            r#"{"HostConfig":{"NetworkMode":"container:db"}}"#,
            "container:id-of-db",
            json!({}),
        ),
    ] {
        let creation = read(body.as_bytes()).unwrap();
        let written = creation.clone().write(&resolution(&creation));
        assert_eq!(written["HostConfig"]["NetworkMode"], mode, "{body}");
        assert_eq!(
            written["NetworkingConfig"]["EndpointsConfig"], endpoints,
            "{body}"
        );
    }
}

#[test]
fn ports_are_not_published_and_the_client_is_told() {
    let body = br#"{"ExposedPorts":{"80/tcp":{}},"HostConfig":{"PortBindings":{"80/tcp":[{"HostPort":"80"}]}}}"#;
    let creation = read(body).unwrap();
    assert_eq!(creation.warnings.len(), 1);
    let written = creation.clone().write(&resolution(&creation));
    assert_eq!(written["HostConfig"].get("PortBindings"), None);
    assert_eq!(written["ExposedPorts"], json!({ "80/tcp": {} }));
}

fn ceiling() -> Ceiling {
    Ceiling {
        memory: Some(1 << 30),
        swap: Some(1 << 30),
        pids: Some(100),
        tmpfs: 1 << 20,
        shm: None,
        ulimits: BTreeMap::from([("nofile".to_owned(), 1024), ("rtprio".to_owned(), 0)]),
        usual_ulimits: BTreeMap::from([("nproc".to_owned(), (5, 6))]),
        oom_score: 500,
    }
}

fn held(body: &str) -> (serde_json::Value, Vec<String>) {
    let mut creation = read(body.as_bytes()).unwrap();
    creation.hold(&ceiling());
    let warnings = creation.warnings.clone();
    let mounts = creation.mounts.clone();
    let mut written = creation.clone().write(&resolution(&creation));
    let host = written["HostConfig"].take();
    (
        json!({ "host": host, "mounts": format!("{mounts:?}") }),
        warnings,
    )
}

#[test]
fn what_asks_for_more_than_the_ceiling_gets_the_ceiling_and_is_told() {
    for (asked, field, gets) in [
        (r#""Memory":8589934592"#, "Memory", json!(1 << 30)),
        (r#""PidsLimit":5000"#, "PidsLimit", json!(100)),
        (r#""ShmSize":21474836480"#, "ShmSize", json!(1 << 20)),
        (
            r#""Ulimits":[{"Name":"nofile","Soft":-1,"Hard":-1}]"#,
            "Ulimits",
            json!([{ "Name": "nofile", "Soft": 1024, "Hard": 1024 }, { "Name": "nproc", "Soft": 5, "Hard": 6 }]),
        ),
        (
            r#""Ulimits":[{"Name":"rtprio","Soft":99,"Hard":99}]"#,
            "Ulimits",
            json!([{ "Name": "rtprio", "Soft": 0, "Hard": 0 }, { "Name": "nproc", "Soft": 5, "Hard": 6 }]),
        ),
    ] {
        let (body, warnings) = held(&format!(r#"{{"HostConfig":{{{asked}}}}}"#));
        assert_eq!(body["host"][field], gets, "{asked}");
        assert_eq!(warnings.len(), 1, "{asked}: {warnings:?}");
    }
}

#[test]
fn what_stays_below_the_ceiling_passes_as_it_is() {
    let (body, warnings) = held(
        r#"{"HostConfig":{"Memory":1048576,"MemorySwap":2097152,"PidsLimit":-1,"ShmSize":4096,"OomScoreAdj":700,
        "Ulimits":[{"Name":"memlock","Soft":-1,"Hard":-1},{"Name":"nproc","Soft":1,"Hard":1}]}}"#,
    );
    let host = &body["host"];
    assert_eq!(host["Memory"], json!(1 << 20));
    assert_eq!(host["MemorySwap"], json!(2 << 20));
    assert_eq!(host.get("PidsLimit"), None);
    assert_eq!(host["ShmSize"], json!(4096));
    assert_eq!(host["OomScoreAdj"], json!(700));
    assert_eq!(host["Ulimits"][0]["Hard"], json!(-1));
    assert_eq!(host["Ulimits"].as_array().unwrap().len(), 2);
    assert!(warnings.is_empty(), "{warnings:?}");
}

#[test]
fn the_steps_of_a_build_stay_below_the_ceiling() {
    for (given, shm, ulimits) in [
        ("", "", r#"[{"Hard":6,"Name":"nproc","Soft":5}]"#),
        (
            r#"shmsize=21474836480&ulimits=[{"Name":"nofile","Soft":9999,"Hard":9999},{"Name":"nproc","Soft":1,"Hard":1}]"#,
            "1048576",
            r#"[{"Hard":1024,"Name":"nofile","Soft":1024},{"Hard":1,"Name":"nproc","Soft":1}]"#,
        ),
        ("shmsize=4096&ulimits=[[", "4096", "[["),
    ] {
        let mut query = Query::parse(given);
        ceiling().hold_build(&mut query);
        assert_eq!(
            (query.text("shmsize"), query.text("ulimits")),
            (shm, ulimits),
            "{given}"
        );
    }
}

#[test]
fn a_tmpfs_has_a_size_however_it_is_asked_for() {
    for (options, gets) in [
        ("", "size=1048576"),
        ("size=200g,mode=1777", "mode=1777,size=1048576"),
        ("size=64k", "size=65536"),
        ("size=50%", "size=1048576"),
        ("size=0", "size=1048576"),
        ("nr_blocks=1000000", "size=1048576"),
        ("nr_blocks=2,noexec", "noexec,size=8192"),
        ("size=64k,size=300g", "size=1048576"),
    ] {
        let (body, _) = held(&format!(
            r#"{{"HostConfig":{{"Tmpfs":{{"/t":"{options}"}}}}}}"#
        ));
        assert_eq!(body["host"]["Tmpfs"]["/t"], json!(gets), "{options}");
    }
    for (options, gets) in [
        ("{}", 1 << 20),
        (r#"{"SizeBytes":9999999999}"#, 1 << 20),
        (r#"{"SizeBytes":5}"#, 5),
    ] {
        let mount = format!(
            r#"{{"HostConfig":{{"Mounts":[{{"Type":"tmpfs","Target":"/t","TmpfsOptions":{options}}}]}}}}"#
        );
        let (body, _) = held(&mount);
        let text = body["mounts"].as_str().unwrap();
        assert!(
            text.contains(&format!("Number({gets})")),
            "{options}: {text}"
        );
    }
}

#[test]
fn swap_without_end_is_the_job_s_swap() {
    let (body, _) = held(r#"{"HostConfig":{"Memory":1048576,"MemorySwap":-1}}"#);
    assert_eq!(body["host"]["MemorySwap"], json!(1 << 30));
    let (body, _) = held(r#"{"HostConfig":{"MemorySwap":-1}}"#);
    assert_eq!(body["host"].get("MemorySwap"), None);
}

#[test]
fn no_container_starts_again_by_itself_and_no_log_grows_without_end() {
    for policy in ["always", "unless-stopped", "on-failure"] {
        let body = format!(
            r#"{{"HostConfig":{{"RestartPolicy":{{"Name":"{policy}","MaximumRetryCount":0}}}}}}"#
        );
        let (body, warnings) = held(&body);
        assert_eq!(body["host"].get("RestartPolicy"), None);
        assert!(warnings[0].contains("started again"), "{warnings:?}");
    }
    let (_, warnings) = held(r#"{"HostConfig":{"RestartPolicy":{"Name":"no"}}}"#);
    assert!(warnings.is_empty());
    for log in [
        r#"{"Type":"","Config":{}}"#,
        r#"{"Type":"json-file","Config":{"max-size":"-1"}}"#,
    ] {
        let (body, _) = held(&format!(r#"{{"HostConfig":{{"LogConfig":{log}}}}}"#));
        let kept = json!({ "Type": "json-file", "Config": { "max-size": "32m", "max-file": "2" } });
        assert_eq!(body["host"]["LogConfig"], kept);
    }
    let (body, _) = held(r#"{"HostConfig":{"LogConfig":{"Type":"none"}}}"#);
    assert_eq!(
        body["host"]["LogConfig"],
        json!({ "Type": "none", "Config": {} })
    );
}

#[test]
fn a_hardening_is_kept_and_written_in_one_way() {
    for option in [
        "no-new-privileges",
        "no-new-privileges:true",
        "no-new-privileges=true",
    ] {
        let (body, _) = held(&format!(
            r#"{{"HostConfig":{{"SecurityOpt":["{option}"]}}}}"#
        ));
        assert_eq!(body["host"]["SecurityOpt"], json!(["no-new-privileges"]));
    }
}

#[test]
fn a_link_is_a_name_for_a_container_of_the_job_s_and_nothing_else() {
    let body = r#"{"Image":"a","HostConfig":{"Links":["/db:data"]},
        "NetworkingConfig":{"EndpointsConfig":{"net":{"Links":["web"]}}}}"#;
    let creation = read(body.as_bytes()).unwrap();
    assert_eq!(creation.containers().collect::<Vec<_>>(), ["web", "db"]);
    let id = |digit: &str| digit.repeat(64);
    let resolution = Resolution {
        containers: BTreeMap::from([("db".to_owned(), id("1")), ("web".to_owned(), id("2"))]),
        networks: BTreeMap::from([
            (String::new(), "job-net".to_owned()),
            ("net".to_owned(), "n".to_owned()),
        ]),
        ..Resolution::default()
    };
    let written = creation.write(&resolution);
    let endpoints = &written["NetworkingConfig"]["EndpointsConfig"];
    assert_eq!(endpoints["job-net"]["Links"], json!(["111111111111:data"]));
    assert_eq!(endpoints["n"]["Links"], json!(["222222222222:web"]));
    assert!(written["HostConfig"].get("Links").is_none());
}
