//! What every balancer owes the rollout, whoever sells it: each kind of the list is opened by its name
//! and run through all of it, against a simulated cloud with a real HAProxy behind it.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, time::Duration};

use dockmaster::{
    balancer::{self, Balancer, BalancerError},
    config::Environment,
    rollout::port::{Balancer as _, Fault as _, Health, Member, Pool, Retry, Weight},
};
use testbed::{
    balancer::{DEFAULT_LOAD_BALANCER, Fault, GROUP, REGION, SERVER_GROUP},
    trial::Test,
};

use crate::fixture::{Fixture, run, wait_until};

/// Makes the tests of each kind: a module whose `TESTS` are all claims, in an order in which a new
/// adapter is best written.
macro_rules! contract {
    ($($module:ident: $kind:literal in $cloud:ident, and [$($more:ident),*];)+) => {
        pub(crate) const TESTS: &[&[Test<Fixture>]] = &[$($module::TESTS),+];
        $(mod $module {
            use super::{Fixture, Subject};

            fn subject(fixture: &Fixture) -> Subject<'_> {
                Subject::new(fixture, $kind, super::$cloud(fixture))
            }

            claims![
                every_member_is_read_with_its_weight,
                a_member_of_nobody_here_is_a_stranger,
                a_weight_is_set_absolutely_and_read_back,
                a_host_that_is_no_member_is_named,
                the_last_member_stays_in_service,
                what_the_balancer_s_own_checks_say_is_read,
                where_nobody_wants_to_know_no_check_is_asked,
                a_throttled_call_says_when_to_come_back,
                a_busy_cloud_is_worth_another_try,
                a_cut_write_may_be_repeated,
                a_wrong_secret_is_a_person_s_turn,
                a_missing_group_is_a_person_s_turn,
                $($more),*
            ];
        })+
    };
}

macro_rules! claims {
    ($($claim:ident),+ $(,)?) => {
        testbed::tests![Fixture; [Testbed]; $($claim),+];
        $(fn $claim(fixture: &Fixture) {
            super::$claim(&subject(fixture));
        })+
    };
}

// A line for each kind that is held to the contract: its name, the cloud that it talks to, and what
// not every kind can.
contract! {
    clb_vserver_group: "clb-vserver-group" in vserver_group, and [
        a_second_port_comes_in_at_weight_0_and_goes
    ];
    clb: "clb" in default_group, and [];
    alb: "alb" in server_group, and [
        a_second_port_comes_in_at_weight_0_and_goes, a_weight_counts_once_it_was_made
    ];
    nlb: "nlb" in server_group, and [
        a_second_port_comes_in_at_weight_0_and_goes, a_weight_counts_once_it_was_made
    ];
}

/// A cloud as the contract needs it, in its own words.
struct Cloud<'a> {
    far: &'a testbed::balancer::Balancer,
    /// What `balancer.id` names.
    group: &'static str,
    /// The actions that read the pool and write a weight.
    read: &'static str,
    write: &'static str,
    /// The account's file with that secret.
    account: fn(&testbed::balancer::AccessKey, secret: &str) -> String,
}

/// Aliyun's, with each of its groups.
fn vserver_group(fixture: &Fixture) -> Cloud<'_> {
    let actions = ["DescribeVServerGroupAttribute", "SetVServerGroupAttribute"];
    aliyun(fixture, GROUP, actions)
}

fn default_group(fixture: &Fixture) -> Cloud<'_> {
    let actions = ["DescribeLoadBalancerAttribute", "SetBackendServers"];
    aliyun(fixture, DEFAULT_LOAD_BALANCER, actions)
}

fn server_group(fixture: &Fixture) -> Cloud<'_> {
    let actions = [
        "ListServerGroupServers",
        "UpdateServerGroupServersAttribute",
    ];
    aliyun(fixture, SERVER_GROUP, actions)
}

fn aliyun<'a>(
    fixture: &'a Fixture,
    group: &'static str,
    [read, write]: [&'static str; 2],
) -> Cloud<'a> {
    Cloud {
        far: &fixture.infrastructure.balancer,
        group,
        read,
        write,
        account: |key, secret| {
            serde_json::json!({ "access-key-id": key.id, "access-key-secret": secret }).to_string()
        },
    }
}

/// One kind of balancer, in front of its cloud.
struct Subject<'a> {
    kind: &'a str,
    cloud: Cloud<'a>,
    fixture: &'a Fixture,
    account: PathBuf,
}

impl<'a> Subject<'a> {
    fn new(fixture: &'a Fixture, kind: &'a str, cloud: Cloud<'a>) -> Self {
        let folder = fixture.infrastructure.machine.directory("account").unwrap();
        Self {
            kind,
            cloud,
            fixture,
            account: folder.join("account.json"),
        }
    }

    /// The fleet behind the balancer.
    fn environment(&self) -> Environment {
        let mut environment = self.fixture.environment();
        let own = &mut environment.balancer;
        own.kind = self.kind.into();
        own.region = REGION.into();
        own.id = self.cloud.group.into();
        own.port = 3131;
        own.endpoint = Some(self.cloud.far.endpoint.parse().unwrap());
        own.account = Some(self.account.clone());
        for host in &mut environment.hosts {
            let server = &self.fixture.host(&host.name).server_id;
            host.server_id.clone_from(server);
        }
        environment
    }

    fn write_account(&self, secret: &str) {
        let text = (self.cloud.account)(&self.cloud.far.key, secret);
        fs::write(&self.account, text).unwrap();
        fs::set_permissions(&self.account, fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn open(&self, environment: &Environment) -> Balancer {
        self.write_account(&self.cloud.far.key.secret);
        balancer::open(environment).unwrap().unwrap()
    }

    fn balancer(&self) -> Balancer {
        self.open(&self.environment())
    }

    /// How many calls the cloud has seen of an action since `forget_calls`.
    fn calls(&self, action: &str) -> usize {
        let calls = self.cloud.far.calls();
        calls.iter().filter(|call| call.action == action).count()
    }

    /// What a read comes to that the cloud fails once; the adapter must try once only.
    fn failed_read(&self, fault: Fault) -> BalancerError {
        let balancer = self.balancer();
        self.cloud.far.forget_calls();
        self.cloud.far.fail_next(self.cloud.read, fault);
        let error = run(balancer.pool()).unwrap_err();
        assert_eq!(self.calls(self.cloud.read), 1, "an adapter tries once");
        run(balancer.pool()).unwrap();
        error
    }
}

fn weight(value: u8) -> Weight {
    Weight::new(value).unwrap()
}

async fn pool(balancer: &Balancer) -> Pool {
    balancer.pool().await.unwrap()
}

fn every_member_is_read_with_its_weight(subject: &Subject<'_>) {
    let far = &subject.cloud.far;
    far.set_weight("app-1", 37).unwrap();
    let seen = run(pool(&subject.balancer()));
    far.set_weight("app-1", 100).unwrap();
    let value = |host: &String| (host.clone(), seen.weight(host).unwrap().value());
    let seen: Vec<_> = seen.own.keys().map(value).collect();
    let expect = [("app-1", 37), ("app-2", 100), ("app-3", 100)];
    assert_eq!(seen, expect.map(|(host, it)| (host.to_owned(), it)));
}

fn a_member_of_nobody_here_is_a_stranger(subject: &Subject<'_>) {
    let mut environment = subject.environment();
    let gone = environment.hosts.pop().unwrap();
    let seen = run(pool(&subject.open(&environment)));
    assert_eq!(seen.own.len(), 2);
    let strangers: Vec<_> = seen.strangers().collect();
    let [(member, weight)] = strangers[..] else {
        panic!("one stranger: {seen:?}");
    };
    assert_eq!(member.server, gone.server_id);
    assert_eq!(weight.value(), 100);
}

fn a_weight_is_set_absolutely_and_read_back(subject: &Subject<'_>) {
    let far = &subject.cloud.far;
    far.set_window(Duration::ZERO);
    let balancer = subject.balancer();
    run(async {
        let before = pool(&balancer).await;
        for value in [0, 50, 50, 100] {
            let member = &before.own["app-1"];
            balancer.set_weight(member, weight(value)).await.unwrap();
            let mut expected = before.clone();
            expected.weights.insert(member.clone(), weight(value));
            assert_eq!(pool(&balancer).await, expected);
            wait_until("traffic to follow", || {
                far.conditions().unwrap()["app-1"].weight == u32::from(value)
            });
        }
    });
}

fn a_host_that_is_no_member_is_named(subject: &Subject<'_>) {
    let mut environment = subject.environment();
    environment.hosts[2].server_id = "i-unknown".into();
    let balancer = subject.open(&environment);
    let seen = run(pool(&balancer));
    assert_eq!(seen.weight("app-3"), None);
    assert_eq!(seen.weight("app-1"), Some(weight(100)), "the others go on");
    let error = run(balancer.set_weight(&seen.own["app-3"], weight(50))).unwrap_err();
    assert_eq!(error.retry(), Retry::Never, "{error}");
    assert!(error.to_string().contains("i-unknown"), "{error}");
}

fn the_last_member_stays_in_service(subject: &Subject<'_>) {
    let far = &subject.cloud.far;
    for name in ["app-2", "app-3"] {
        far.set_weight(name, 0).unwrap();
    }
    let balancer = subject.balancer();
    let member = run(pool(&balancer)).own["app-1"].clone();
    let error = run(balancer.set_weight(&member, Weight::ZERO)).unwrap_err();
    for name in ["app-2", "app-3"] {
        far.set_weight(name, 100).unwrap();
    }
    assert_eq!(far.weights()["app-1"], 100);
    assert_eq!(error.retry(), Retry::Never, "{error}");
    assert!(error.to_string().contains("app-1"), "{error}");
}

fn a_second_port_comes_in_at_weight_0_and_goes(subject: &Subject<'_>) {
    let far = &subject.cloud.far;
    far.set_window(Duration::ZERO);
    let mut environment = subject.environment();
    environment.compose.bridge_port = Some(3132);
    let balancer = subject.open(&environment);
    run(async {
        let before = pool(&balancer).await;
        let second = before.bridges["app-1"].clone();
        assert_eq!(second.port, 3132);
        assert!(!before.weights.contains_key(&second));
        // Twice is once.
        for _ in 0..2 {
            balancer.join(&second).await.unwrap();
            assert_eq!(pool(&balancer).await.weights[&second], Weight::ZERO);
        }
        balancer.set_weight(&second, weight(10)).await.unwrap();
        let seen = pool(&balancer).await;
        assert_eq!(seen.weights[&second], weight(10));
        assert_eq!(seen.weight("app-1"), Some(weight(100)));
        assert_eq!(seen.siblings("app-1").count(), 0);
        balancer.set_weight(&second, Weight::ZERO).await.unwrap();
        for _ in 0..2 {
            balancer.leave(&second).await.unwrap();
            assert_eq!(pool(&balancer).await, before);
        }
    });
}

fn what_the_balancer_s_own_checks_say_is_read(subject: &Subject<'_>) {
    let balancer = subject.balancer();
    let members: Vec<_> = run(pool(&balancer)).weights.into_keys().collect();
    let unknown = Member {
        server: "i-unknown".into(),
        ..members[0].clone()
    };
    let asked = [&members[..], &[unknown]].concat();
    // The checks of a balancer that has just started need a moment.
    wait_until("all members to be healthy", || {
        let health = run(balancer.health(&asked)).unwrap();
        let is_healthy = |it| health.get(it) == Some(&Health::Healthy);
        health.len() == members.len() && members.iter().all(is_healthy)
    });
}

fn where_nobody_wants_to_know_no_check_is_asked(subject: &Subject<'_>) {
    let mut environment = subject.environment();
    environment.rollout.admission_timeout = Duration::ZERO;
    let balancer = subject.open(&environment);
    let members: Vec<_> = run(pool(&balancer)).weights.into_keys().collect();
    subject.cloud.far.forget_calls();
    let health = run(balancer.health(&members)).unwrap();
    assert!(health.is_empty(), "{health:?}");
    assert_eq!(subject.cloud.far.calls().len(), 0);
}

fn a_throttled_call_says_when_to_come_back(subject: &Subject<'_>) {
    let told = Duration::from_mins(1);
    let error = subject.failed_read(Fault::throttled(Some(told)));
    assert_eq!(error.retry(), Retry::After(told), "{error}");
    let error = subject.failed_read(Fault::throttled(None));
    assert!(
        matches!(error.retry(), Retry::After(wait) if wait > Duration::ZERO),
        "{error}"
    );
    let far = &subject.cloud.far;
    far.forget_calls();
    far.limit_rate(Some(1));
    let balancer = subject.balancer();
    run(balancer.pool()).unwrap();
    let error = run(balancer.pool()).unwrap_err();
    far.limit_rate(None);
    assert!(error.to_string().contains("Throttling.User"), "{error}");
}

fn a_weight_counts_once_it_was_made(subject: &Subject<'_>) {
    let far = &subject.cloud.far;
    let balancer = subject.balancer();
    let member = run(pool(&balancer)).own["app-1"].clone();
    far.set_window(Duration::from_mins(1));
    run(balancer.set_weight(&member, weight(50))).unwrap();
    let unread = run(balancer.pool()).unwrap_err();
    let unwritten = run(balancer.set_weight(&member, weight(60))).unwrap_err();
    far.end_window();
    let seen = run(pool(&balancer)).weights[&member];
    far.set_window(Duration::ZERO);
    run(balancer.set_weight(&member, weight(100))).unwrap();
    for error in [unread, unwritten] {
        assert!(
            matches!(error.retry(), Retry::After(wait) if wait > Duration::ZERO),
            "{error}"
        );
    }
    assert_eq!(seen, weight(50));
}

fn a_busy_cloud_is_worth_another_try(subject: &Subject<'_>) {
    for fault in [
        Fault::system_busy(),
        Fault::configuring(),
        Fault::unavailable(),
        Fault::refuse(500, "InternalError", "The request processing has failed."),
        Fault::refuse(400, "IncorrectStatus.serverGroup", "It is configured."),
        Fault::refuse(400, "IncorrectStatus.ServerGroup", "It is configured."),
        Fault::CutBefore,
        Fault::CutAfter,
    ] {
        let error = subject.failed_read(fault);
        assert!(matches!(error.retry(), Retry::After(_)), "{error}");
    }
}

fn a_cut_write_may_be_repeated(subject: &Subject<'_>) {
    let far = &subject.cloud.far;
    far.set_window(Duration::ZERO);
    let balancer = subject.balancer();
    let member = &run(pool(&balancer)).own["app-3"];
    for (fault, arrived) in [(Fault::CutAfter, 70), (Fault::CutBefore, 100)] {
        far.forget_calls();
        far.fail_next(subject.cloud.write, fault);
        let error = run(balancer.set_weight(member, weight(70))).unwrap_err();
        assert_eq!(
            subject.calls(subject.cloud.write),
            1,
            "an adapter tries once"
        );
        assert!(matches!(error.retry(), Retry::After(_)), "{error}");
        assert_eq!(far.weights()["app-3"], arrived);
        run(balancer.set_weight(member, weight(70))).unwrap();
        assert_eq!(far.weights()["app-3"], 70);
        run(balancer.set_weight(member, weight(100))).unwrap();
    }
}

fn a_wrong_secret_is_a_person_s_turn(subject: &Subject<'_>) {
    let balancer = subject.balancer();
    subject.write_account("not it");
    let error = run(balancer.pool()).unwrap_err();
    assert_eq!(error.retry(), Retry::Never, "{error}");
    let text = error.to_string();
    let account = subject.account.to_string_lossy();
    assert!(text.contains(&*account), "names the file to mend: {text}");
    assert!(!text.contains("not it"), "{text}");
}

fn a_missing_group_is_a_person_s_turn(subject: &Subject<'_>) {
    let mut environment = subject.environment();
    environment.balancer.id = "rsp-none".into();
    let error = run(subject.open(&environment).pool()).unwrap_err();
    assert_eq!(error.retry(), Retry::Never, "{error}");
}
