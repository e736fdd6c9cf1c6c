//! Boots everything once and shows that each part is what it claims to be. One test, because booting is what
//! takes the time; each claim is a function of its own.

use std::io::Write;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use testbed::application::Application;
use testbed::background::wait_until;
use testbed::balancer::{
    AccessKey, DEFAULT_LOAD_BALANCER, Fault, GROUP, LOAD_BALANCER, Product, REGION, SERVER_GROUP,
};
use testbed::command::docker_lines;
use testbed::docker_client::DockerClient;
use testbed::image;
use testbed::infrastructure::{FIRST_RELEASE, Infrastructure, REPOSITORY};
use testbed::machine;
use testbed::trial::NoFixture;

testbed::tests![
    NoFixture; [Testbed];
    everything_boots_does_what_it_claims_and_is_gone_at_drop,
];

const SOON: Duration = Duration::from_secs(10);

fn everything_boots_does_what_it_claims_and_is_gone_at_drop(_: &NoFixture) {
    let start = Instant::now();
    let tell = |step: &str| {
        let _ = writeln!(std::io::stderr(), "{:>6.2?} {step}", start.elapsed());
    };
    let infrastructure = Infrastructure::boot_telling(&tell).unwrap();
    tell("booted");
    all_hosts_answer_through_the_balancer(&infrastructure);
    the_api_tells_health_of_every_backend(&infrastructure);
    a_weight_of_zero_stops_traffic_to_its_host_alone(&infrastructure);
    the_api_refuses_as_the_real_one_does(&infrastructure);
    faults_come_in_their_order_and_writes_are_felt_late(&infrastructure);
    a_token_ends_and_calls_are_counted(&infrastructure);
    each_product_shows_the_same_hosts(&infrastructure);
    tell("balancer");
    images_are_pushed_and_pulled_with_tokens_only(&infrastructure);
    base_images_do_what_their_names_promise(&infrastructure);
    the_registry_goes_down_and_comes_back(&infrastructure);
    tell("registry");
    hosts_are_reached_by_ssh_with_keys_of_their_own(&infrastructure);
    tell("ssh");
    a_spoiled_host_shows_it_and_recovers(&infrastructure);
    tell("spoiled");
    an_unhealthy_release_never_turns_healthy(&infrastructure);
    tell("hosts");
    let registry = infrastructure.registry.host.clone();
    drop(infrastructure);
    nothing_is_left(&registry);
    tell("gone");
}

fn requests(infrastructure: &Infrastructure, name: &str) -> u32 {
    infrastructure.balancer.conditions().unwrap()[name].requests
}

fn call(infrastructure: &Infrastructure, action: &str, more: &[(&str, &str)]) -> (u16, String) {
    let balancer = &infrastructure.balancer;
    let all = [&[("RegionId", REGION), ("VServerGroupId", GROUP)], more].concat();
    let background = infrastructure.machine.background();
    let (status, body) = balancer
        .call(background, &balancer.key, action, &all)
        .unwrap();
    (status, body["Code"].as_str().unwrap_or_default().to_owned())
}

fn weight(infrastructure: &Infrastructure, name: &str, weight: u32) -> (u16, String) {
    let host = infrastructure.fleet.host(name).unwrap();
    let backend = format!(
        r#"[{{"ServerId":"{}","Port":"3131","Weight":"{weight}"}}]"#,
        host.server_id
    );
    call(
        infrastructure,
        "SetVServerGroupAttribute",
        &[("BackendServers", &backend)],
    )
}

fn wait_for_weight(infrastructure: &Infrastructure, name: &str, weight: u32) {
    wait_until("the weight to be felt", SOON, || {
        Ok(infrastructure.balancer.conditions()?[name].weight == weight)
    })
    .unwrap();
}

fn traffic(infrastructure: &Infrastructure, requests: u64) {
    let client = infrastructure.client(100);
    wait_until(
        "requests",
        SOON,
        || Ok(client.totals().requests >= requests),
    )
    .unwrap();
    let totals = client.stop();
    assert_eq!(totals.failed, 0, "{totals:?}");
    assert_eq!(totals.versions.keys().collect::<Vec<_>>(), ["0.9.0"]);
}

fn all_hosts_answer_through_the_balancer(infrastructure: &Infrastructure) {
    traffic(infrastructure, 60);
    let conditions = infrastructure.balancer.conditions().unwrap();
    assert_eq!(conditions.len(), 3);
    assert!(
        conditions
            .values()
            .all(|condition| condition.is_up && condition.requests >= 15)
    );
}

fn the_api_tells_health_of_every_backend(infrastructure: &Infrastructure) {
    let balancer = &infrastructure.balancer;
    let background = infrastructure.machine.background();
    let parameters = [("RegionId", REGION), ("LoadBalancerId", LOAD_BALANCER)];
    let answer = balancer.call(
        background,
        &balancer.key,
        "DescribeHealthStatus",
        &parameters,
    );
    let (status, body) = answer.unwrap();
    let rows = body["BackendServers"]["BackendServer"].as_array().unwrap();
    assert_eq!((status, rows.len()), (200, 3));
    assert!(
        rows.iter().all(|row| row["ServerHealthStatus"] == "normal"),
        "{body}"
    );
}

fn a_weight_of_zero_stops_traffic_to_its_host_alone(infrastructure: &Infrastructure) {
    assert_eq!(weight(infrastructure, "app-1", 0), (200, String::new()));
    assert_eq!(infrastructure.balancer.weights()["app-1"], 0);
    wait_for_weight(infrastructure, "app-1", 0);
    let (before, other) = (
        requests(infrastructure, "app-1"),
        requests(infrastructure, "app-2"),
    );
    traffic(infrastructure, 40);
    assert_eq!(requests(infrastructure, "app-1"), before);
    assert!(requests(infrastructure, "app-2") >= other + 15);
    assert_eq!(weight(infrastructure, "app-1", 100).0, 200);
    wait_for_weight(infrastructure, "app-1", 100);
    let timeline = infrastructure.balancer.timeline();
    let weights: Vec<_> = timeline
        .iter()
        .map(|change| (change.backend.as_str(), change.weight))
        .collect();
    assert_eq!(weights, [("app-1", 0), ("app-1", 100)]);
}

fn the_api_refuses_as_the_real_one_does(infrastructure: &Infrastructure) {
    let balancer = &infrastructure.balancer;
    let background = infrastructure.machine.background();
    let refused = |key: &AccessKey| {
        let parameters = [("RegionId", REGION), ("VServerGroupId", GROUP)];
        let action = "DescribeVServerGroupAttribute";
        let (status, body) = balancer.call(background, key, action, &parameters).unwrap();
        assert!(
            body["RequestId"].is_string() && body["HostId"] == "slb.aliyuncs.com",
            "{body}"
        );
        (status, body["Code"].as_str().unwrap().to_owned())
    };
    let wrong = AccessKey {
        secret: "wrong".into(),
        ..balancer.key.clone()
    };
    assert_eq!(refused(&wrong), (400, "SignatureDoesNotMatch".into()));
    let unknown = AccessKey {
        id: "LTAI5tUnknown".into(),
        ..balancer.key.clone()
    };
    assert_eq!(
        refused(&unknown),
        (404, "InvalidAccessKeyId.NotFound".into())
    );
    let group = [("VServerGroupId", "rsp-other")];
    let missing = call(infrastructure, "DescribeVServerGroupAttribute", &group);
    assert_eq!(missing, (404, "InvalidParameter".into()));
    assert_eq!(
        weight(infrastructure, "app-1", 101),
        (400, "InvalidWeight.Malformed".into())
    );
    assert_eq!(
        call(infrastructure, "DeleteVServerGroup", &[]).1,
        "InvalidAction.NotFound"
    );
    let many = format!("[{}]", vec![r#"{"ServerId":"i-1","Port":1}"#; 21].join(","));
    let many = call(
        infrastructure,
        "SetVServerGroupAttribute",
        &[("BackendServers", &many)],
    );
    assert_eq!(many, (400, "TooManyBackendServers".into()));
}

fn faults_come_in_their_order_and_writes_are_felt_late(infrastructure: &Infrastructure) {
    let balancer = &infrastructure.balancer;
    let action = "SetVServerGroupAttribute";
    balancer.fail_next(action, Fault::system_busy());
    balancer.fail_next(action, Fault::throttled(Some(Duration::from_millis(300))));
    balancer.fail_next(action, Fault::NeverApply);
    assert_eq!(
        weight(infrastructure, "app-2", 0),
        (449, "SystemBusy".into())
    );
    assert_eq!(
        weight(infrastructure, "app-2", 0),
        (400, "Throttling.User".into())
    );
    balancer.set_window(Duration::ZERO);
    assert_eq!(weight(infrastructure, "app-2", 0).0, 200);
    assert_eq!(balancer.weights()["app-2"], 100);
    balancer.fail_next(action, Fault::CutAfter);
    let host = infrastructure.fleet.host("app-2").unwrap();
    let backend = format!(
        r#"[{{"ServerId":"{}","Port":3131,"Weight":70}}]"#,
        host.server_id
    );
    let parameters = [
        ("RegionId", REGION),
        ("VServerGroupId", GROUP),
        ("BackendServers", backend.as_str()),
    ];
    let background = infrastructure.machine.background();
    balancer
        .call(background, &balancer.key, action, &parameters)
        .unwrap_err();
    assert_eq!(balancer.weights()["app-2"], 70);
    wait_for_weight(infrastructure, "app-2", 70);
    balancer.set_window(Duration::from_mins(1));
    assert_eq!(weight(infrastructure, "app-2", 50).0, 200);
    assert_eq!(balancer.weights()["app-2"], 50);
    assert_eq!(balancer.conditions().unwrap()["app-2"].weight, 70);
    assert_eq!(
        weight(infrastructure, "app-3", 0),
        (409, "BackendServer.configuring".into())
    );
    let codes: Vec<String> = balancer.calls().into_iter().map(|call| call.code).collect();
    assert!(
        codes.ends_with(&[String::new(), "BackendServer.configuring".into()]),
        "{codes:?}"
    );
    balancer.set_weight("app-2", 100).unwrap();
    balancer.set_window(Duration::from_millis(200));
}

fn a_token_ends_and_calls_are_counted(infrastructure: &Infrastructure) {
    let balancer = &infrastructure.balancer;
    let background = infrastructure.machine.background();
    let code = |key: &AccessKey| {
        let parameters = [("RegionId", REGION), ("VServerGroupId", GROUP)];
        let action = "DescribeVServerGroupAttribute";
        let (_, body) = balancer.call(background, key, action, &parameters).unwrap();
        body["Code"].as_str().unwrap_or_default().to_owned()
    };
    let temporary = |id: &str, end: Timestamp| AccessKey {
        id: id.into(),
        token: Some("token".into()),
        expires: Some(end),
        ..balancer.key.clone()
    };
    let soon = Timestamp::now() + Duration::from_mins(15);
    let alive = temporary("STS.alive", soon);
    let ended = temporary("STS.ended", Timestamp::UNIX_EPOCH);
    balancer.add_key(alive.clone());
    balancer.add_key(ended.clone());
    assert_eq!(code(&alive), "");
    assert_eq!(code(&ended), "InvalidSecurityToken.Expired");
    balancer.limit_rate(Some(1));
    balancer.forget_calls();
    assert_eq!(code(&alive), "");
    assert_eq!(code(&balancer.key), "Throttling.User");
    balancer.limit_rate(None);
    assert_eq!(code(&alive), "");
}

/// A write of one is felt by all, for there is one pool behind them.
fn each_product_shows_the_same_hosts(infrastructure: &Infrastructure) {
    let balancer = &infrastructure.balancer;
    let background = infrastructure.machine.background();
    let ask = |product: Product, action: &str, parameters: &[(&str, &str)]| {
        let region = [&[("RegionId", REGION)], parameters].concat();
        let of = (product, action);
        let answer = balancer.call_of(background, &balancer.key, of, &region);
        answer.unwrap()
    };
    let host = &infrastructure.fleet.host("app-3").unwrap().server_id;
    balancer.end_window();
    let group = ("ServerGroupId", SERVER_GROUP);
    for (product, weight, word) in [
        (Product::Alb, "40", "Server"),
        (Product::Nlb, "60", "server"),
    ] {
        let one = [
            group,
            ("Servers.1.ServerId", host),
            ("Servers.1.ServerType", "Ecs"),
            ("Servers.1.Port", "3131"),
            ("Servers.1.Weight", weight),
        ];
        balancer.set_window(Duration::from_mins(1));
        let (status, body) = ask(product, "UpdateServerGroupServersAttribute", &one);
        assert!(status == 200 && body["JobId"].is_string(), "{body}");
        let (_, body) = ask(product, "UpdateServerGroupServersAttribute", &one);
        assert_eq!(body["Code"], format!("IncorrectStatus.{word}Group"));
        let (_, body) = ask(product, "ListServerGroupServers", &[group]);
        let servers = body["Servers"].as_array().unwrap();
        let words: Vec<_> = servers
            .iter()
            .map(|it| it["Status"].as_str().unwrap())
            .collect();
        assert_eq!(words, ["Available", "Available", "Configuring"]);
        balancer.set_weight("app-3", 100).unwrap();
        balancer.end_window();
    }
    balancer.set_window(Duration::ZERO);
    let (_, body) = ask(
        Product::Alb,
        "ListServerGroupServers",
        &[group, ("MaxResults", "2")],
    );
    assert_eq!(
        (&body["NextToken"], &body["TotalCount"]),
        (&"2".into(), &3.into())
    );
    let default = ("LoadBalancerId", DEFAULT_LOAD_BALANCER);
    let backend = format!(r#"[{{"ServerId":"{host}","Weight":"70"}}]"#);
    let (status, body) = ask(
        Product::Slb,
        "SetBackendServers",
        &[default, ("BackendServers", &backend)],
    );
    assert_eq!(status, 200, "{body}");
    wait_for_weight(infrastructure, "app-3", 70);
    balancer.set_weight("app-3", 100).unwrap();
    balancer.set_window(Duration::from_millis(200));
    balancer.fail_next("SetBackendServers", Fault::forbidden());
    let (_, body) = ask(Product::Slb, "SetBackendServers", &[default]);
    let action = &body["AccessDeniedDetail"]["AuthAction"];
    assert_eq!(action, "slb:SetBackendServers");
}

fn images_are_pushed_and_pulled_with_tokens_only(infrastructure: &Infrastructure) {
    let registry = &infrastructure.registry;
    let image = format!("{}:v9.9.9", registry.image(REPOSITORY));
    let first = format!("{}:{FIRST_RELEASE}", registry.image(REPOSITORY));
    let client = DockerClient::new(&infrastructure.machine, "claims").unwrap();
    let mut wrong = registry.push_account.clone();
    wrong.password.push('x');
    let refusal = client.log_in(registry, &wrong).unwrap_err().to_string();
    assert!(refusal.contains("unauthorized"), "{refusal}");
    client.run(&["tag", &first, &image]).unwrap();
    assert!(client.run(&["push", &image]).is_err());
    client.log_in(registry, &registry.pull_account).unwrap();
    assert!(client.run(&["push", &image]).is_err());
    assert_eq!(registry.digest(REPOSITORY, "v9.9.9"), None);
    client.log_in(registry, &registry.push_account).unwrap();
    client.run(&["push", "--quiet", &image]).unwrap();
    assert_eq!(registry.tags(REPOSITORY), [FIRST_RELEASE, "v9.9.9"]);
    let digest = registry.digest(REPOSITORY, FIRST_RELEASE).unwrap();
    assert_eq!(registry.digest(REPOSITORY, "v9.9.9").unwrap(), digest);
    for host in &infrastructure.fleet.hosts {
        assert_eq!(host.running_digest().unwrap().unwrap(), digest);
    }
    let host = &infrastructure.fleet.hosts[0];
    host.exec_as_deploy(&format!("docker pull {image}"), b"")
        .unwrap();
    host.log_out().unwrap();
    assert!(
        host.exec_as_deploy(&format!("docker pull {image}"), b"")
            .is_err()
    );
    host.log_in(registry).unwrap();
}

fn base_images_do_what_their_names_promise(infrastructure: &Infrastructure) {
    let client = DockerClient::new(&infrastructure.machine, "images").unwrap();
    let label = machine::label();
    let run = |arguments: &[&str]| {
        let socket = "/var/run/docker.sock:/var/run/docker.sock";
        let run = ["run", "--rm", "--label", &label, "--volume", socket];
        client.run(&[&run, arguments].concat()).unwrap()
    };
    let quoting = r"printf %s $'a\x41b' | tr b c && test -n $'\t' && ls -d /tmp";
    assert_eq!(run(&[image::ALPINE, "sh", "-c", quoting]), "aAc/tmp");
    let version = ["version", "--format", "{{.Server.Version}}"];
    let here = client.run(&version).unwrap();
    assert_eq!(
        run(&[&[image::DOCKER, "docker"], &version[..]].concat()),
        here
    );
    assert_eq!(run(&[&[image::DOCKER], &version[..]].concat()), here);
    assert_eq!(run(&[image::DOCKER, "sh", "-c", "echo shell"]), "shell");
}

fn the_registry_goes_down_and_comes_back(infrastructure: &Infrastructure) {
    let host = &infrastructure.fleet.hosts[0];
    let pull = format!(
        "docker pull {}:{FIRST_RELEASE}",
        infrastructure.registry.image(REPOSITORY)
    );
    infrastructure.registry.take_down().unwrap();
    assert!(host.exec_as_deploy(&pull, b"").is_err());
    infrastructure
        .registry
        .bring_up(&infrastructure.machine)
        .unwrap();
    host.exec_as_deploy(&pull, b"").unwrap();
}

fn hosts_are_reached_by_ssh_with_keys_of_their_own(infrastructure: &Infrastructure) {
    let fleet = &infrastructure.fleet;
    let mut keys = Vec::new();
    for host in &fleet.hosts {
        assert_eq!(fleet.ssh(host, "hostname").unwrap(), host.name);
        assert!(
            fleet
                .ssh(host, "docker ps")
                .unwrap()
                .contains(FIRST_RELEASE)
        );
        assert_eq!(
            fleet.ssh(host, "docker-compose version --short").unwrap(),
            "1.29.2"
        );
        keys.push(host.host_key().unwrap());
    }
    keys.dedup();
    assert_eq!(keys.len(), 3);
}

fn a_spoiled_host_shows_it_and_recovers(infrastructure: &Infrastructure) {
    let fleet = &infrastructure.fleet;
    let host = fleet.host("app-3").unwrap();
    host.change_host_key().unwrap();
    let refusal = fleet.ssh(host, "true").unwrap_err().to_string();
    assert!(
        refusal.contains("Host key verification failed"),
        "{refusal}"
    );
    host.restore_host_key().unwrap();
    fleet.ssh(host, "true").unwrap();
    host.stop_ssh().unwrap();
    assert!(fleet.ssh(host, "true").is_err());
    host.start_ssh().unwrap();
    host.fill_disk().unwrap();
    let write = "dd if=/dev/zero of=/var/lib/docker/more bs=1M count=1";
    assert!(
        host.exec(write)
            .unwrap_err()
            .to_string()
            .contains("No space left")
    );
    host.free_disk().unwrap();
    host.stop_engine().unwrap();
    let is_up = || Ok(infrastructure.balancer.conditions()?["app-3"].is_up);
    wait_until("the balancer to notice", SOON, || Ok(!is_up()?)).unwrap();
    host.start_engine().unwrap();
    host.wait_until_healthy().unwrap();
    wait_until("the balancer to notice", SOON, is_up).unwrap();
}

fn an_unhealthy_release_never_turns_healthy(infrastructure: &Infrastructure) {
    let directory = infrastructure.machine.directory("unhealthy").unwrap();
    let name = machine::name("unhealthy");
    Application::unhealthy("v1.0.1")
        .write(&directory, &infrastructure.images.application_base)
        .unwrap();
    image::build(&directory, &name).unwrap();
    let client = DockerClient::new(&infrastructure.machine, "unhealthy").unwrap();
    let label = machine::label();
    client
        .run(&["run", "--detach", "--name", &name, "--label", &label, &name])
        .unwrap();
    wait_until("the verdict", SOON, || {
        let state = client.run(&["inspect", "--format", "{{.State.Health.Status}}", &name])?;
        assert_ne!(state, "healthy");
        Ok(state == "unhealthy")
    })
    .unwrap();
}

fn nothing_is_left(registry: &str) {
    let filter = format!("label={}", machine::label());
    for list in [
        &["ps", "-aq"][..],
        &["network", "ls", "-q"],
        &["volume", "ls", "-q"],
        &["images", "-q"],
    ] {
        assert!(
            docker_lines(&[list, &["--filter", &filter]].concat()).is_empty(),
            "{list:?}"
        );
    }
    assert!(docker_lines(&["images", "-q", &format!("{registry}/*/*")]).is_empty());
    assert!(
        !std::path::Path::new("/etc/docker/certs.d")
            .join(registry)
            .exists()
    );
    let root = format!("dockmaster-testbed-{}", std::process::id());
    assert!(!std::env::temp_dir().join(root).exists());
}
