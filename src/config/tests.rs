use std::{io::Write, os::unix::fs::PermissionsExt, time::Duration};

use super::*;

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::File::create(&path)
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    path
}

fn load(text: &str) -> Result<Config, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    Config::load(&write(folder.path(), "config.toml", text))
}

#[test]
fn an_unknown_key_is_refused_with_line_and_caret() {
    let error = load("[lanes.docker]\nkind = \"docker\"\nimag = \"alpine\"\n").unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("line 3") || text.contains("3 | imag"),
        "{text}"
    );
    assert!(text.contains("unknown field `imag`"), "{text}");
    assert!(text.contains('^'), "{text}");
}

#[test]
fn defaults_are_the_documented_ones() {
    let config = load("[lanes.docker]\nkind = \"docker\"\n").unwrap();
    assert_eq!(config.state_dir, Path::new("/var/lib/dockmaster"));
    let Lane::Docker(lane) = config.lane("docker").unwrap() else {
        panic!("a docker lane")
    };
    assert_eq!(*lane.pull_policy, [PullPolicy::Always]);
    assert_eq!(lane.docker_api, DockerApi::None);
    assert_eq!(lane.wait_for_services, Duration::from_secs(30));
}

#[test]
fn an_unknown_lane_is_named_beside_the_known_ones() {
    let config = load("[lanes.docker]\nkind = \"docker\"\n").unwrap();
    let text = config.lane("dokcer").unwrap_err().to_string();
    assert!(
        text.contains("`dokcer`") && text.contains("it has: docker"),
        "{text}"
    );
}

#[test]
fn a_file_that_others_can_write_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "config.toml", "");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
    let text = Config::load(&path).unwrap_err().to_string();
    assert!(text.contains("others can write it"), "{text}");
}

#[test]
fn an_environment_name_cannot_leave_its_folder() {
    let config = load("").unwrap();
    for name in ["../config", "", "a/b", "Production", "a.b"] {
        assert!(
            matches!(
                config.environment(name),
                Err(ConfigError::BadEnvironmentName { .. })
            ),
            "{name}"
        );
    }
}

#[test]
fn ssh_targets_hold_nothing_that_ssh_takes_for_an_option() {
    let target: SshTarget = "deploy@10.0.0.11:2222".parse().unwrap();
    assert_eq!((target.host.as_str(), target.port), ("10.0.0.11", 2222));
    for text in [
        "10.0.0.11",
        "-oProxyCommand=x@h",
        "deploy@-oX",
        "a b@c",
        "a@b:x",
        "a@",
    ] {
        assert!(text.parse::<SshTarget>().is_err(), "{text}");
    }
}

#[test]
fn a_lane_says_its_kind_first() {
    let text = load("[lanes.x]\nimage = \"a\"\nkind = \"docker\"\n")
        .unwrap_err()
        .to_string();
    assert!(text.contains("the first key of a lane is `kind`"), "{text}");
    let text = load("[lanes.x]\nkind = \"dcoker\"\n")
        .unwrap_err()
        .to_string();
    assert!(text.contains("`docker` or `deploy`"), "{text}");
}

#[test]
fn all_problems_of_all_files_are_told_at_once_each_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let text = include_str!("../../runner-config/environments/production.toml")
        .replace("projects = [42]", "projects = \"all\"")
        .replace("server-id = \"i-bp1aaaaaaaaaaaaaaaa2\"", "server = \"i-2\"")
        .replace("drain-quiet = \"5s\"", "drain-quiet = \"soon\"");
    write(folder.path(), "environments/production.toml", &text);
    write(
        folder.path(),
        "environments/staging.toml",
        "[policy]\nproject = []\n",
    );
    let config = "stat-dir = \"/x\"\n[lanes.docker]\nkind = \"docker\"\nimag = \"a\"\npull-policy = \"often\"\n";
    let path = write(folder.path(), "config.toml", config);
    let text = Config::load(&path).unwrap_err().to_string();
    for expected in [
        "config.toml has an error",
        "1 | stat-dir",
        "4 | imag",
        "5 | pull-policy",
        "production.toml has an error",
        "invalid type: string \"all\"",
        "| server = \"i-2\"",
        "`soon` is not a duration",
        "staging.toml has an error",
        "2 | project = []",
    ] {
        assert_eq!(text.matches(expected).count(), 1, "{expected} in {text}");
    }
    assert!(!text.contains("missing field `policy`"), "{text}");
}

#[test]
fn two_hosts_with_one_address_or_one_server_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let text = include_str!("../../runner-config/environments/production.toml")
        .replace("i-bp1aaaaaaaaaaaaaaaa2", "i-bp1aaaaaaaaaaaaaaaa1")
        .replace("deploy@10.0.0.13", "root@10.0.0.12:22");
    write(folder.path(), "environments/production.toml", &text);
    let path = write(folder.path(), "config.toml", "");
    let config = Config::load(&path).unwrap();
    let text = config.environment("production").unwrap_err().to_string();
    for expected in [
        "hosts.server-id of `app-2` is also that of `app-1`: i-bp1aaaaaaaaaaaaaaaa1",
        "hosts.ssh of `app-3` is also that of `app-2`: 10.0.0.12:22",
    ] {
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn a_missing_bracket_is_one_error_and_not_one_for_each_line_behind_it() {
    let text = "state-dir = \"/x\"\n[lanes.docker\nkind = \"docker\"\n[lanes.deploy]\nkind = 1\n";
    let text = load(text).unwrap_err().to_string();
    assert!(text.contains("2 | [lanes.docker"), "{text}");
    assert_eq!(text.matches("TOML parse error").count(), 1, "{text}");
}

#[track_caller]
fn check_bridge(edits: &[(&str, &str)], expect: Option<&str>) {
    let text = include_str!("../../runner-config/environments/production.toml");
    let (mut text, order) = (text.to_owned(), "order = \"stop-first\"");
    text = text.replace(order, "order = \"start-first\"");
    for (from, to) in edits {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    let environment: Environment = toml::from_str(&text).unwrap();
    let problems = environment.problems();
    assert_eq!(
        problems.len(),
        usize::from(expect.is_some()),
        "{problems:?}"
    );
    assert!(
        expect.is_none_or(|part| problems[0].contains(part)),
        "{problems:?}"
    );
}

#[test]
fn start_first_needs_a_second_port_and_a_balancer() {
    let port = ("# bridge-port = 3132", "bridge-port = 3132");
    check_bridge(&[port], None);
    check_bridge(&[], Some("needs compose.bridge-port"));
    check_bridge(
        &[("# bridge-port = 3132", "bridge-port = 3131")],
        Some("not a port of its own"),
    );
    check_bridge(
        &[port, ("kind = \"clb-vserver-group\"", "kind = \"none\"")],
        Some("needs a balancer"),
    );
    check_bridge(
        &[port, ("kind = \"clb-vserver-group\"", "kind = \"clb\"")],
        Some("which the default group of kind = \"clb\" has not"),
    );
    for kind in ["kind = \"alb\"", "kind = \"nlb\""] {
        check_bridge(&[port, ("kind = \"clb-vserver-group\"", kind)], None);
    }
}

#[test]
fn compose_files_are_paths_in_the_repository() {
    let text = include_str!("../../runner-config/environments/production.toml");
    let check = |value: &str, expect: Option<&str>| {
        let key = format!("service = \"app\"\nfile = {value}");
        let text = text.replace("service = \"app\"", &key);
        let problems = match toml::from_str::<Environment>(&text) {
            Ok(environment) => environment.problems().join("\n"),
            Err(error) => error.to_string(),
        };
        match expect {
            Some(part) => assert!(problems.contains(part), "{value}: {problems}"),
            None => assert_eq!(problems, "", "{value}"),
        }
    };
    check("\"deploy/docker-compose.yml\"", None);
    check("[\"a.yml\", \"deploy/b.yml\"]", None);
    for path in [
        "/etc/a.yml",
        "../a.yml",
        "a//b.yml",
        "",
        ".git/config",
        "a\\nb",
    ] {
        check(
            &format!("\"{path}\""),
            Some("is not a path in the repository"),
        );
    }
    check("[\"a/x.yml\", \"b/x.yml\"]", Some("both called"));
    check("1", Some("a text, or a list of texts"));
}

#[test]
fn a_host_key_is_read_as_people_have_it() {
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5";
    for written in [
        key.to_owned(),
        format!("{key} root@app-1"),
        format!("10.0.0.11 {key}"),
        format!("[10.0.0.11]:2222 {key}\n"),
    ] {
        assert_eq!(
            written.parse::<HostKey>().unwrap().as_str(),
            key,
            "{written}"
        );
    }
    for written in [
        "",
        "ssh-ed25519",
        "ssh-ed25519 AAAA…",
        "10.0.0.11 ssh-ed25519",
        "# 10.0.0.11:22 SSH-2.0-OpenSSH_9.2p1",
        "@cert-authority ssh-ed25519 AAAA",
        "a b ssh-ed25519 AAAA",
    ] {
        let error = written.parse::<HostKey>().unwrap_err();
        assert!(error.contains("ssh-keyscan"), "{written}: {error}");
    }
}

#[test]
fn what_is_made_on_this_host_stops_the_jobs_of_one_lane_alone() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let text = format!(
        "[lanes.a]\nkind = \"docker\"\nvolumes = [\"{}:/a:ro\"]\n[lanes.b]\nkind = \"docker\"\n",
        at("data/a").display()
    );
    let path = write(folder.path(), "etc/config.toml", &text);
    // A file with another error closes its keys, too.
    let keys = format!("[ssh]\nkey = \"{}\"\nodd = 1\n", at("keys/key").display());
    write(folder.path(), "etc/environments/production.toml", &keys);
    let admitted = |lane: &str| {
        let config = Config::load(&path).unwrap();
        let Lane::Docker(found) = config.lane(lane).unwrap() else {
            panic!("a docker lane")
        };
        config.admit_host(lane, found)
    };
    admitted("a").unwrap();
    fs::create_dir(at("data")).unwrap();
    fs::create_dir(at("keys")).unwrap();
    std::os::unix::fs::symlink(at("keys"), at("data/a")).unwrap();
    let failure = crate::failure::Failure::from(admitted("a").unwrap_err());
    assert_eq!(failure.class(), crate::failure::Class::System);
    let text = failure.to_string();
    assert!(
        text.contains("lanes.a.volumes: `") && text.contains("which no job may see"),
        "{text}"
    );
    admitted("b").unwrap();
}
