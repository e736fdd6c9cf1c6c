//! What the operator gives to containers beyond a job's share of the host. Pure.
//!
//! The helper holds the job's network, so what belongs to a network is the helper's, and the job's container has it
//! with the network. What takes something away holds for all that a job has.

use std::collections::{BTreeMap, HashMap};

use super::{environ, reference::Reference};
use crate::{
    call::Call,
    config::{
        Device, DockerLane, ExtraHost, Gpus, Sysctl, Target, TmpfsOptions, USUAL_CAPABILITIES, Word,
    },
};

/// The flag of gitlab-runner by which a job asks for an init process.
const INIT_FLAG: &str = "FF_USE_INIT_WITH_DOCKER_EXECUTOR";

/// Settings of one container, as the engine names them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) cap_add: Vec<String>,
    pub(crate) cap_drop: Vec<String>,
    pub(crate) security: Vec<String>,
    pub(crate) devices: Vec<Device>,
    pub(crate) gpus: Option<Gpus>,
    pub(crate) runtime: Option<String>,
    pub(crate) sysctls: HashMap<String, String>,
    pub(crate) tmpfs: HashMap<String, String>,
    pub(crate) groups: Vec<String>,
    pub(crate) init: bool,
    pub(crate) dns: Vec<String>,
    pub(crate) dns_search: Vec<String>,
    pub(crate) extra_hosts: Vec<String>,
    pub(crate) labels: BTreeMap<String, String>,
    /// What the engine notes beside each line that it keeps.
    pub(crate) log: BTreeMap<String, String>,
}

/// What root needs to take and remove files of others: the job's are whose its image says.
const HELPER_CAPABILITIES: &[&str] = &["CHOWN", "DAC_OVERRIDE", "FOWNER"];

/// Of the helper: of capabilities it keeps what it cannot work without, and no other and no device is added, because
/// what the job left behind runs there as root.
pub(crate) fn of_helper(lane: &DockerLane) -> Settings {
    let networked = networked(lane);
    let is_needed = |name: &str| HELPER_CAPABILITIES.contains(&name);
    let dropped = networked.cap_drop.iter();
    let kept = HELPER_CAPABILITIES.iter().map(|name| (*name).to_owned());
    Settings {
        cap_drop: dropped.filter(|name| !is_needed(name)).cloned().collect(),
        cap_add: kept
            .filter(|_| networked.cap_drop.iter().any(|name| name == "ALL"))
            .collect(),
        sysctls: sysctls(lane, |_| true),
        ..networked
    }
}

/// Of the job's own container, in the helper's network.
pub(crate) fn of_build(lane: &DockerLane, call: &Call) -> Settings {
    Settings {
        cap_add: lane.cap_add.iter().map(|it| it.0.clone()).collect(),
        devices: lane.devices.clone(),
        gpus: lane.gpus.clone(),
        runtime: lane.runtime.as_ref().map(|it| it.0.clone()),
        sysctls: sysctls(lane, |key| !key.is_of_network()),
        tmpfs: tmpfs(&lane.tmpfs),
        groups: lane.group_add.iter().map(ToString::to_string).collect(),
        init: lane.init || environ::is_on(call, INIT_FLAG),
        ..common(lane)
    }
}

/// Of a service, which joins the job's network by itself.
pub(crate) fn of_service(lane: &DockerLane, image: &Reference, call: &Call) -> Settings {
    let covers = |glob: &String| image.is_allowed(std::slice::from_ref(glob));
    let devices = lane
        .services_devices
        .iter()
        .filter(|(glob, _)| covers(glob));
    Settings {
        cap_add: usual_added(lane),
        devices: devices.flat_map(|(_, devices)| devices.clone()).collect(),
        runtime: lane.runtime.as_ref().map(|it| it.0.clone()),
        tmpfs: tmpfs(&lane.services_tmpfs),
        init: lane.init || environ::is_on(call, INIT_FLAG),
        log: lane.log_options.pairs(),
        ..networked(lane)
    }
}

/// Of whatever has a network of its own.
pub(crate) fn networked(lane: &DockerLane) -> Settings {
    Settings {
        dns: lane.dns.iter().map(ToString::to_string).collect(),
        dns_search: lane.dns_search.iter().map(|it| it.0.clone()).collect(),
        extra_hosts: lane.extra_hosts.iter().map(extra_host).collect(),
        ..common(lane)
    }
}

fn common(lane: &DockerLane) -> Settings {
    let labels = lane.container_labels.iter();
    Settings {
        cap_drop: lane.cap_drop.iter().map(|it| it.0.clone()).collect(),
        security: lane.security_opt.iter().map(|it| it.0.clone()).collect(),
        labels: labels
            .map(|(key, value)| (key.0.clone(), value.0.clone()))
            .collect(),
        ..Settings::default()
    }
}

/// What the operator leaves of the engine's usual capabilities where `cap-drop` takes all.
pub(crate) fn usual_added(lane: &DockerLane) -> Vec<String> {
    let added = lane.cap_add.iter().map(|it| it.0.clone());
    added
        .filter(|name| USUAL_CAPABILITIES.contains(&name.as_str()))
        .collect()
}

fn extra_host(host: &ExtraHost) -> String {
    format!("{}:{}", host.name, host.address)
}

fn sysctls(lane: &DockerLane, is_wanted: impl Fn(&Sysctl) -> bool) -> HashMap<String, String> {
    let all = lane.sysctls.iter().filter(|(key, _)| is_wanted(key));
    all.map(|(key, Word(value))| (key.0.clone(), value.clone()))
        .collect()
}

fn tmpfs(all: &BTreeMap<Target, TmpfsOptions>) -> HashMap<String, String> {
    all.iter()
        .map(|(place, options)| (place.0.clone(), options.0.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane() -> DockerLane {
        let text = "cap-add = ['NET_ADMIN', 'CHOWN']\ncap-drop = ['ALL']\nsecurity-opt = ['no-new-privileges']\n\
            devices = ['/dev/kvm']\nservices-devices = { 'alpine' = ['/dev/fuse'] }\ndns = ['10.0.0.2']\n\
            extra-hosts = ['db:10.0.0.5']\nsysctls = { 'net.core.somaxconn' = 1024, 'kernel.shmmax' = '65536' }\n\
            runtime = 'crun'\ntmpfs = { '/t' = 'size=1m' }\nservices-tmpfs = { '/s' = '' }\n";
        toml::from_str(text).unwrap()
    }

    #[test]
    fn what_is_added_is_the_job_s_own_container_s_alone() {
        let (lane, call) = (lane(), Call::default());
        let (helper, build) = (of_helper(&lane), of_build(&lane, &call));
        let service = of_service(&lane, &Reference::parse("redis:7").unwrap(), &call);
        assert_eq!(build.cap_add, ["NET_ADMIN", "CHOWN"]);
        assert_eq!(
            (helper.cap_add, service.cap_add),
            (
                ["CHOWN", "DAC_OVERRIDE", "FOWNER"]
                    .map(str::to_owned)
                    .to_vec(),
                vec!["CHOWN".to_owned()]
            )
        );
        assert_eq!(
            (
                helper.devices.len(),
                build.devices.len(),
                service.devices.len()
            ),
            (0, 1, 0)
        );
        assert!(
            helper.tmpfs.is_empty()
                && build.tmpfs.contains_key("/t")
                && service.tmpfs.contains_key("/s")
        );
        let alpine = of_service(
            &lane,
            &Reference::parse("docker.io/library/alpine:3").unwrap(),
            &call,
        );
        assert_eq!(alpine.devices[0].host, "/dev/fuse");
    }

    #[test]
    fn what_takes_something_away_holds_for_all_that_a_job_has() {
        let (lane, call) = (lane(), Call::default());
        let service = of_service(&lane, &Reference::parse("redis:7").unwrap(), &call);
        for settings in [of_helper(&lane), of_build(&lane, &call), service] {
            assert_eq!(settings.cap_drop, ["ALL"]);
            assert_eq!(settings.security, ["no-new-privileges"]);
        }
    }

    #[test]
    fn the_helper_can_always_work_on_files_of_others() {
        let helper = |lane: &str| of_helper(&toml::from_str(lane).unwrap());
        let some = helper("cap-drop = ['FOWNER', 'NET_RAW']\ncap-add = ['NET_ADMIN']");
        assert_eq!(
            (some.cap_add.len(), some.cap_drop),
            (0, vec!["NET_RAW".to_owned()])
        );
        let none = helper("");
        assert!(none.cap_add.is_empty() && none.cap_drop.is_empty());
    }

    #[test]
    fn what_belongs_to_the_network_is_the_helper_s() {
        let (lane, call) = (lane(), Call::default());
        let (helper, build) = (of_helper(&lane), of_build(&lane, &call));
        assert_eq!(
            (&*helper.dns[0], &*helper.extra_hosts[0]),
            ("10.0.0.2", "db:10.0.0.5")
        );
        assert!(build.dns.is_empty() && build.extra_hosts.is_empty());
        assert_eq!(
            (
                helper.sysctls.len(),
                build.sysctls["kernel.shmmax"].as_str()
            ),
            (2, "65536")
        );
        assert_eq!(build.sysctls.len(), 1);
    }

    #[test]
    fn an_init_process_is_the_operator_s_or_the_job_s_to_ask_for() {
        let call = |value: &str| Call {
            job_environ: [(INIT_FLAG.to_owned(), value.to_owned())].into(),
            ..Call::default()
        };
        let lane: DockerLane = toml::from_str("").unwrap();
        assert!(of_build(&lane, &call("true")).init && of_build(&lane, &call("1")).init);
        assert!(!of_build(&lane, &call("false")).init && !of_build(&lane, &call("yes")).init);
        let lane: DockerLane = toml::from_str("init = true").unwrap();
        assert!(of_build(&lane, &Call::default()).init);
    }
}
