//! The load balancer's API, down to its signatures, and a real HAProxy that obeys it.

use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

use dockmaster::{
    balancer::aliyun::{AliyunError, Clb},
    config,
    rollout::{
        clock::RealClock,
        port::{Balancer, Fault as _, Retry, Weight},
    },
};
use testbed::balancer::{Fault, GROUP, REGION};

use crate::bed::{Bed, run, wait_until};

testbed::tests![
    Bed; [Testbed];
    a_weight_is_set_and_felt_by_traffic,
    a_write_waits_for_the_one_before_it,
    a_cut_write_is_repeated_without_harm,
    a_wrong_secret_is_told_from_a_wrong_signature,
    a_missing_group_is_refused_at_once,
];

const SET: &str = "SetVServerGroupAttribute";

/// The environment's balancer, with a change to how it is described.
fn clb(bed: &Bed, secret: Option<&str>, group: &str) -> Clb<RealClock> {
    let balancer = &bed.infrastructure.balancer;
    let account = bed.infrastructure.machine.directory("account").unwrap();
    let account = account.join("aliyun.json");
    let text = serde_json::json!({
        "access-key-id": balancer.key.id,
        "access-key-secret": secret.unwrap_or(&balancer.key.secret),
    });
    fs::write(&account, text.to_string()).unwrap();
    fs::set_permissions(&account, fs::Permissions::from_mode(0o600)).unwrap();
    let described = config::Balancer {
        kind: config::BalancerKind::ClbVserverGroup,
        region: REGION.into(),
        id: group.into(),
        port: 3131,
        endpoint: Some(balancer.endpoint.parse().unwrap()),
        account: Some(account),
    };
    let mut hosts = bed.environment().hosts;
    for host in &mut hosts {
        host.server_id.clone_from(&bed.host(&host.name).server_id);
    }
    Clb::open(&described, &hosts, RealClock::start()).unwrap()
}

fn a_weight_is_set_and_felt_by_traffic(bed: &Bed) {
    let balancer = &bed.infrastructure.balancer;
    let clb = clb(bed, None, GROUP);
    run(async {
        let before = clb.pool().await.unwrap();
        assert_eq!(before.weights.len(), 3);
        assert!(before.strangers.is_empty());
        let weight = before.weights["app-1"];
        clb.set_weight("app-1", Weight::ZERO).await.unwrap();
        wait_until("HAProxy to obey", || {
            balancer.conditions().unwrap()["app-1"].weight == 0
        });
        let during = clb.pool().await.unwrap();
        assert_eq!(during.weights["app-1"], Weight::ZERO);
        assert_eq!(during.weights["app-2"], before.weights["app-2"]);
        clb.set_weight("app-1", weight).await.unwrap();
        wait_until("the weight to be back", || {
            balancer.weights()["app-1"] == u32::from(weight.value())
        });
        assert_eq!(clb.pool().await.unwrap(), before);
    });
}

fn a_write_waits_for_the_one_before_it(bed: &Bed) {
    let balancer = &bed.infrastructure.balancer;
    let clb = clb(bed, None, GROUP);
    balancer.set_window(Duration::from_millis(1500));
    run(async {
        for value in [50, 100] {
            clb.set_weight("app-2", Weight::new(value).unwrap())
                .await
                .unwrap();
        }
        let told = Some(Duration::from_millis(10));
        balancer.fail_next(SET, Fault::throttled(told));
        balancer.fail_next(SET, Fault::system_busy());
        clb.set_weight("app-2", Weight::new(100).unwrap())
            .await
            .unwrap();
    });
    balancer.set_window(Duration::ZERO);
    wait_until("the last weight", || balancer.weights()["app-2"] == 100);
}

fn a_cut_write_is_repeated_without_harm(bed: &Bed) {
    let balancer = &bed.infrastructure.balancer;
    let clb = clb(bed, None, GROUP);
    balancer.forget_calls();
    balancer.fail_next(SET, Fault::CutAfter);
    balancer.fail_next(SET, Fault::CutBefore);
    run(clb.set_weight("app-3", Weight::new(70).unwrap())).unwrap();
    assert_eq!(balancer.weights()["app-3"], 70);
    run(clb.set_weight("app-3", Weight::new(100).unwrap())).unwrap();
    balancer.heal();
}

fn a_wrong_secret_is_told_from_a_wrong_signature(bed: &Bed) {
    let error = run(clb(bed, Some("not it"), GROUP).pool()).unwrap_err();
    assert!(matches!(error, AliyunError::Denied { .. }), "{error}");
    assert_eq!(error.retry(), Retry::Never);
    let text = error.to_string();
    assert!(
        text.contains("does not belong to its access-key-id"),
        "{text}"
    );
    assert!(!text.contains("not it"), "{text}");
}

fn a_missing_group_is_refused_at_once(bed: &Bed) {
    let error = run(clb(bed, None, "rsp-none").pool()).unwrap_err();
    assert!(matches!(error, AliyunError::Refused { .. }), "{error}");
    assert!(error.to_string().contains("VServerGroupId"), "{error}");
}
