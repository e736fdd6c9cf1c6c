//! The Classic Load Balancer's actions. There are two: one whose listener uses a `VServer` group, and one whose
//! listener uses the default group, with the same hosts behind both.

use serde_json::{Value, json};

use super::action::{Act, Conditions, number, unknown};
use super::answer::Refusal;
use super::cloud::{Cloud, Weights};
use super::fault::{Fault, configuring};
use super::haproxy::{Member, Place};
use super::{DEFAULT_LOAD_BALANCER, GROUP, LISTENER_PORT, LOAD_BALANCER, REGION};

/// The most elements one call may name.
const MOST: usize = 20;

pub(super) fn perform(
    cloud: &mut Cloud,
    act: Act<'_>,
    conditions: &Conditions,
) -> Result<Value, Refusal> {
    match act.action {
        "DescribeLoadBalancerAttribute" => load_balancer(cloud, act),
        "DescribeVServerGroups" => groups(cloud, act),
        "DescribeVServerGroupAttribute" => group(cloud, act),
        "DescribeHealthStatus" => health(cloud, act, conditions),
        "SetVServerGroupAttribute" => set_group(cloud, act),
        "AddVServerGroupBackendServers" => add(cloud, act),
        "RemoveVServerGroupBackendServers" => remove(cloud, act),
        "SetBackendServers" => set_default_group(cloud, act),
        action => Err(unknown(action)),
    }
}

/// One row per listener and server. A backend with weight 0 counts as healthy, whatever it is.
fn health(cloud: &Cloud, act: Act<'_>, conditions: &Conditions) -> Result<Value, Refusal> {
    check_load_balancer(act)?;
    let port = act.get("ListenerPort");
    if port.is_some_and(|port| *port != LISTENER_PORT.to_string()) {
        let message = "The specified listener does not exist.";
        return Err(Refusal::new(404, "ListenerNotFound", message));
    }
    let rows = cloud.members.iter().map(|member| {
        let condition = conditions.get(&member.name);
        let is_normal = condition.is_some_and(|condition| condition.is_up || condition.weight == 0);
        json!({
            "ListenerPort": LISTENER_PORT, "Port": member.address.port(), "Protocol": "http",
            "ServerId": member.server_id, "ServerIp": member.address.ip().to_string(),
            "ServerHealthStatus": if is_normal { "normal" } else { "abnormal" },
        })
    });
    Ok(json!({"BackendServers": {"BackendServer": rows.collect::<Vec<_>>()}}))
}

fn load_balancer(cloud: &Cloud, act: Act<'_>) -> Result<Value, Refusal> {
    let id = check_load_balancer(act)?;
    let backends: Vec<Value> = defaults(cloud, id)
        .map(|(member, weight)| {
            json!({
                "ServerId": member.server_id, "ServerIp": member.address.ip().to_string(),
                "Type": "ecs", "Weight": weight, "Description": cloud.description(member),
            })
        })
        .collect();
    Ok(json!({
        "LoadBalancerId": id, "LoadBalancerName": "test", "LoadBalancerStatus": "active",
        "RegionId": REGION, "RegionIdAlias": REGION, "AddressType": "intranet",
        "AddressIPVersion": "ipv4", "NetworkType": "vpc", "Bandwidth": 5120, "PayType": "PayOnDemand",
        "DeleteProtection": "off", "ModificationProtectionStatus": "NonProtection",
        "ListenerPorts": {"ListenerPort": [LISTENER_PORT]},
        "ListenerPortsAndProtocal": {"ListenerPortAndProtocal":
            [{"ListenerPort": LISTENER_PORT, "ListenerProtocal": "http"}]},
        "ListenerPortsAndProtocol": {"ListenerPortAndProtocol":
            [{"ListenerPort": LISTENER_PORT, "ListenerProtocol": "http", "ListenerForward": "off"}]},
        "BackendServers": {"BackendServer": backends},
    }))
}

/// The default group of a load balancer: a server is in it once, whatever its ports.
fn defaults<'a>(cloud: &'a Cloud, id: &str) -> impl Iterator<Item = (&'a Member, u32)> {
    let is_used = id == DEFAULT_LOAD_BALANCER;
    cloud
        .default_group
        .iter()
        .filter_map(move |(place, unfelt)| {
            let member = cloud.members.iter().find(|it| it.place() == *place)?;
            let felt = cloud.group.get(place).copied().unwrap_or_default();
            Some((member, if is_used { felt } else { *unfelt }))
        })
}

fn groups(cloud: &Cloud, act: Act<'_>) -> Result<Value, Refusal> {
    act.require("RegionId")?;
    if check_load_balancer(act)? != LOAD_BALANCER {
        return Ok(json!({"VServerGroups": {"VServerGroup": []}}));
    }
    let mut group = json!({
        "VServerGroupId": GROUP, "VServerGroupName": cloud.group_name,
        "ServerCount": cloud.members.len(), "CreateTime": "2026-01-02T03:04Z",
    });
    let is_asked = |name| {
        act.get(name)
            .is_some_and(|it| it.eq_ignore_ascii_case("true"))
    };
    if is_asked("IncludeListener") {
        group["AssociatedObjects"]["Listeners"] =
            json!({"Listener": [{"Port": LISTENER_PORT, "Protocol": "http"}]});
    }
    if is_asked("IncludeRule") {
        group["AssociatedObjects"]["Rules"] = json!({"Rule": []});
    }
    Ok(json!({"VServerGroups": {"VServerGroup": [group]}}))
}

fn group(cloud: &Cloud, act: Act<'_>) -> Result<Value, Refusal> {
    check_group(act)?;
    let backends = cloud.members.iter().map(|member| backend(cloud, member));
    Ok(json!({
        "LoadBalancerId": LOAD_BALANCER, "VServerGroupId": GROUP,
        "VServerGroupName": cloud.group_name, "CreateTime": "2026-01-02T03:04Z",
        "BackendServers": {"BackendServer": backends.collect::<Vec<_>>()},
    }))
}

fn set_group(cloud: &mut Cloud, act: Act<'_>) -> Result<Value, Refusal> {
    check_group(act)?;
    let wished = match act.get("BackendServers") {
        Some(_) => named(act, true)?,
        None => Vec::new(),
    };
    let mut weights = Weights::new();
    for it in &wished {
        let place = (it.server_id.clone(), it.port.unwrap_or_default());
        let is_member = |member: &Member| member.place() == place;
        if !cloud.members.iter().any(is_member) {
            return Err(not_there(cloud, &it.server_id));
        }
        weights.insert(place, it.weight);
    }
    cloud.begin_write(configuring())?;
    if let Some(name) = act.get("VServerGroupName") {
        name.clone_into(&mut cloud.group_name);
    }
    for it in &wished {
        let place = (it.server_id.clone(), it.port.unwrap_or_default());
        cloud.describe(&place, it.description.as_deref());
    }
    let answered = cloud.members.iter().filter_map(|member| {
        let weight = weights.get(&member.place())?;
        let mut backend = backend(cloud, member);
        backend["Weight"] = (*weight).into();
        Some(backend)
    });
    let answered: Vec<Value> = answered.collect();
    cloud.accept(weights, act.fault);
    Ok(json!({
        "VServerGroupId": GROUP, "VServerGroupName": cloud.group_name,
        "BackendServers": {"BackendServer": answered},
    }))
}

/// Members are added with the weight that is named, and 100 without one.
fn add(cloud: &mut Cloud, act: Act<'_>) -> Result<Value, Refusal> {
    check_group(act)?;
    let wished = named(act, true)?;
    cloud.begin_write(configuring())?;
    for it in wished {
        let place = (it.server_id, it.port.unwrap_or_default());
        if !cloud.join(&place, it.weight) {
            return Err(invalid_parameter(
                "The specified BackendServers is invalid, or is there already.",
            ));
        }
        cloud.describe(&place, it.description.as_deref());
    }
    group(cloud, act)
}

/// One that is not there is no error.
fn remove(cloud: &mut Cloud, act: Act<'_>) -> Result<Value, Refusal> {
    check_group(act)?;
    let wished = named(act, true)?;
    cloud.begin_write(configuring())?;
    for it in wished {
        cloud.leave(&(it.server_id, it.port.unwrap_or_default()));
    }
    group(cloud, act)
}

/// Weights of a default group. Where no listener uses it they are accepted, kept, and felt by nobody.
fn set_default_group(cloud: &mut Cloud, act: Act<'_>) -> Result<Value, Refusal> {
    let id = check_load_balancer(act)?;
    let mut weights = Weights::new();
    for it in named(act, false)? {
        let mut places = cloud.default_group.keys();
        let place = places.find(|(server_id, _)| *server_id == it.server_id);
        let place = place
            .ok_or_else(|| not_there(cloud, &it.server_id))?
            .clone();
        weights.insert(place, it.weight);
    }
    cloud.begin_write(configuring())?;
    if id == DEFAULT_LOAD_BALANCER {
        cloud.accept(weights, act.fault);
    } else if act.fault != Some(&Fault::NeverApply) {
        cloud.default_group.extend(weights);
    }
    let backends = defaults(cloud, id).map(|(member, weight)| {
        json!({
            "ServerId": member.server_id, "Weight": weight.to_string(), "Type": "ecs",
            "Description": cloud.description(member),
        })
    });
    let backends: Vec<Value> = backends.collect();
    Ok(json!({"LoadBalancerId": id, "BackendServers": {"BackendServer": backends}}))
}

fn backend(cloud: &Cloud, member: &Member) -> Value {
    json!({
        "ServerId": member.server_id, "ServerIp": member.address.ip().to_string(),
        "Port": member.address.port(), "Weight": cloud.group.get(&member.place()), "Type": "ecs",
        "Description": cloud.description(member),
    })
}

/// One element of a `BackendServers` parameter.
struct Named {
    server_id: String,
    port: Option<u16>,
    weight: u32,
    description: Option<String>,
}

/// What a `BackendServers` parameter names, members or not.
fn named(act: Act<'_>, has_ports: bool) -> Result<Vec<Named>, Refusal> {
    let invalid = || invalid_parameter("The specified BackendServers is invalid.");
    let text = act.require("BackendServers")?;
    let list: Vec<Value> = serde_json::from_str(text).map_err(|_| invalid())?;
    if list.len() > MOST {
        let message = "The total number of input real servers exceeds max supported number: 20";
        return Err(Refusal::new(400, "TooManyBackendServers", message));
    }
    let element = |element: &Value| {
        let port = number(&element["Port"]).and_then(|port| port.try_into().ok());
        if has_ports && port.is_none() {
            return Err(invalid());
        }
        let description = element["Description"].as_str();
        if description.is_some_and(|text| !is_description(text)) {
            return Err(invalid());
        }
        Ok(Named {
            server_id: element["ServerId"].as_str().ok_or_else(invalid)?.to_owned(),
            port,
            weight: weight(&element["Weight"])?,
            description: description.map(str::to_owned),
        })
    };
    list.iter().map(element).collect()
}

fn is_description(text: &str) -> bool {
    let is_allowed = |it: char| it.is_alphanumeric() || "-/._".contains(it);
    text.chars().count() <= 80 && text.chars().all(is_allowed)
}

/// 100 if it is not said.
fn weight(value: &Value) -> Result<u32, Refusal> {
    if value.is_null() {
        return Ok(100);
    }
    number(value)
        .filter(|weight| *weight <= 100)
        .ok_or_else(|| {
            Refusal::new(
                400,
                "InvalidWeight.Malformed",
                "A specified weight is not valid.",
            )
        })
}

fn not_there(cloud: &Cloud, server_id: &str) -> Refusal {
    let is_known = |(known, _): &Place| known == server_id;
    if cloud.group.keys().any(is_known) {
        return invalid_parameter(
            "The specified BackendServers is invalid, as the Port is that of no member.",
        );
    }
    let message = "The specified ServerId does not exist.";
    Refusal::new(404, "InvalidServerId.NotFound", message)
}

fn check_load_balancer(act: Act<'_>) -> Result<&'static str, Refusal> {
    let id = act.require("LoadBalancerId")?;
    let known = [LOAD_BALANCER, DEFAULT_LOAD_BALANCER];
    known.into_iter().find(|it| *it == id).ok_or_else(|| {
        let message = "The specified LoadBalancerId does not exist.";
        Refusal::new(404, "InvalidLoadBalancerId.NotFound", message)
    })
}

fn check_group(act: Act<'_>) -> Result<(), Refusal> {
    act.require("RegionId")?;
    if act.require("VServerGroupId")? == GROUP {
        return Ok(());
    }
    let message = "The specified VServerGroupId does not exist.";
    Err(Refusal::new(404, "InvalidParameter", message))
}

fn invalid_parameter(message: &str) -> Refusal {
    Refusal::new(400, "InvalidParameter", message)
}
