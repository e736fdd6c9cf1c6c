//! The API's actions: what each checks, changes and answers. Signatures, faults and sockets are others' work.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::answer::Refusal;
use super::cloud::{Cloud, Weights};
use super::fault::Fault;
use super::haproxy::{Condition, Member, Place};
use super::{GROUP, LISTENER_PORT, LOAD_BALANCER, REGION};

pub(super) type Parameters = BTreeMap<String, String>;

/// The most elements one call may name.
const MOST: usize = 20;

/// Carries out an action that nothing has refused so far.
pub(super) fn perform(
    cloud: &mut Cloud,
    action: &str,
    parameters: &Parameters,
    fault: Option<&Fault>,
) -> Result<Value, Refusal> {
    if let Some(region) = parameters
        .get("RegionId")
        .filter(|region| *region != REGION)
    {
        let message = format!("The specified RegionId does not exist: {region}");
        return Err(Refusal::new(404, "InvalidRegionId.NotFound", &message));
    }
    match action {
        "DescribeLoadBalancerAttribute" => load_balancer(cloud, parameters),
        "DescribeVServerGroups" => groups(cloud, parameters),
        "DescribeVServerGroupAttribute" => group(cloud, parameters),
        "SetVServerGroupAttribute" => set_group(cloud, parameters, fault),
        "AddVServerGroupBackendServers" => add(cloud, parameters),
        "RemoveVServerGroupBackendServers" => remove(cloud, parameters),
        "SetBackendServers" => set_default_group(cloud, parameters, fault),
        _ => Err(unknown(action)),
    }
}

pub(super) fn unknown(action: &str) -> Refusal {
    let message = format!("Specified api is not found, please check your url and method: {action}");
    Refusal::new(404, "InvalidAction.NotFound", &message)
}

/// One row per listener and server. A backend with weight 0 counts as healthy, whatever it is.
pub(super) fn health(
    cloud: &Cloud,
    parameters: &Parameters,
    conditions: &BTreeMap<String, Condition>,
) -> Result<Value, Refusal> {
    check_load_balancer(parameters)?;
    let port = parameters.get("ListenerPort");
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

fn load_balancer(cloud: &Cloud, parameters: &Parameters) -> Result<Value, Refusal> {
    check_load_balancer(parameters)?;
    let backends = cloud.members.iter().map(|member| {
        let weight = cloud.default_group.get(&member.place());
        json!({
            "ServerId": member.server_id, "ServerIp": member.address.ip().to_string(),
            "Type": "ecs", "Weight": weight, "Description": "",
        })
    });
    Ok(json!({
        "LoadBalancerId": LOAD_BALANCER, "LoadBalancerName": "test", "LoadBalancerStatus": "active",
        "RegionId": REGION, "RegionIdAlias": REGION, "AddressType": "intranet",
        "AddressIPVersion": "ipv4", "NetworkType": "vpc", "Bandwidth": 5120, "PayType": "PayOnDemand",
        "DeleteProtection": "off", "ModificationProtectionStatus": "NonProtection",
        "ListenerPorts": {"ListenerPort": [LISTENER_PORT]},
        "ListenerPortsAndProtocal": {"ListenerPortAndProtocal":
            [{"ListenerPort": LISTENER_PORT, "ListenerProtocal": "http"}]},
        "ListenerPortsAndProtocol": {"ListenerPortAndProtocol":
            [{"ListenerPort": LISTENER_PORT, "ListenerProtocol": "http", "ListenerForward": "off"}]},
        "BackendServers": {"BackendServer": backends.collect::<Vec<_>>()},
    }))
}

fn groups(cloud: &Cloud, parameters: &Parameters) -> Result<Value, Refusal> {
    require(parameters, "RegionId")?;
    check_load_balancer(parameters)?;
    let mut group = json!({
        "VServerGroupId": GROUP, "VServerGroupName": cloud.group_name,
        "ServerCount": cloud.members.len(), "CreateTime": "2026-01-02T03:04Z",
    });
    let listeners = parameters
        .get("IncludeListener")
        .is_some_and(|value| is_true(value));
    let rules = parameters
        .get("IncludeRule")
        .is_some_and(|value| is_true(value));
    if listeners {
        group["AssociatedObjects"]["Listeners"] =
            json!({"Listener": [{"Port": LISTENER_PORT, "Protocol": "http"}]});
    }
    if rules {
        group["AssociatedObjects"]["Rules"] = json!({"Rule": []});
    }
    Ok(json!({"VServerGroups": {"VServerGroup": [group]}}))
}

fn group(cloud: &Cloud, parameters: &Parameters) -> Result<Value, Refusal> {
    check_group(parameters)?;
    let backends = cloud.members.iter().map(|member| backend(cloud, member));
    Ok(json!({
        "LoadBalancerId": LOAD_BALANCER, "VServerGroupId": GROUP,
        "VServerGroupName": cloud.group_name, "CreateTime": "2026-01-02T03:04Z",
        "BackendServers": {"BackendServer": backends.collect::<Vec<_>>()},
    }))
}

fn set_group(
    cloud: &mut Cloud,
    parameters: &Parameters,
    fault: Option<&Fault>,
) -> Result<Value, Refusal> {
    check_group(parameters)?;
    let weights = match parameters.get("BackendServers") {
        Some(text) => wished(cloud, text, true)?,
        None => Weights::new(),
    };
    cloud.begin_write()?;
    if let Some(name) = parameters.get("VServerGroupName") {
        cloud.group_name.clone_from(name);
    }
    let named: Vec<Member> = cloud.members.clone();
    let answered = named.iter().filter_map(|member| {
        let weight = weights.get(&member.place())?;
        let mut backend = backend(cloud, member);
        backend["Weight"] = (*weight).into();
        Some(backend)
    });
    let answered: Vec<Value> = answered.collect();
    cloud.accept(weights, fault);
    Ok(json!({
        "VServerGroupId": GROUP, "VServerGroupName": cloud.group_name,
        "BackendServers": {"BackendServer": answered},
    }))
}

/// Members are added with the weight that is named, and 100 without one.
fn add(cloud: &mut Cloud, parameters: &Parameters) -> Result<Value, Refusal> {
    check_group(parameters)?;
    let places = places(parameters)?;
    cloud.begin_write()?;
    for (place, weight) in &places {
        if !cloud.join(place, *weight) {
            return Err(invalid_parameter(
                "The specified BackendServers is invalid, or is there already.",
            ));
        }
    }
    group(cloud, parameters)
}

/// One that is not there is no error.
fn remove(cloud: &mut Cloud, parameters: &Parameters) -> Result<Value, Refusal> {
    check_group(parameters)?;
    let places = places(parameters)?;
    cloud.begin_write()?;
    for (place, _) in &places {
        cloud.leave(place);
    }
    group(cloud, parameters)
}

/// What a `BackendServers` parameter names, members or not.
fn places(parameters: &Parameters) -> Result<Vec<(Place, u32)>, Refusal> {
    let invalid = || invalid_parameter("The specified BackendServers is invalid.");
    let text = require(parameters, "BackendServers")?;
    let list: Vec<Value> = serde_json::from_str(text).map_err(|_| invalid())?;
    let place = |element: &Value| {
        let server_id = element["ServerId"].as_str().ok_or_else(invalid)?;
        let port = number(&element["Port"]).and_then(|port| port.try_into().ok());
        let port = port.ok_or_else(invalid)?;
        Ok(((server_id.to_owned(), port), weight(&element["Weight"])?))
    };
    list.iter().map(place).collect()
}

/// Weights of the default group, which no listener uses: accepted, kept, and felt by nobody.
fn set_default_group(
    cloud: &mut Cloud,
    parameters: &Parameters,
    fault: Option<&Fault>,
) -> Result<Value, Refusal> {
    check_load_balancer(parameters)?;
    let text = parameters
        .get("BackendServers")
        .map_or("[]", String::as_str);
    let weights = wished(cloud, text, false)?;
    cloud.begin_write()?;
    if fault != Some(&Fault::NeverApply) {
        cloud.default_group.extend(weights);
    }
    let backends = cloud.default_group.iter().map(|((server_id, _), weight)| {
        json!({"ServerId": server_id, "Weight": weight.to_string(), "Type": "ecs", "Description": ""})
    });
    let backends: Vec<Value> = backends.collect();
    Ok(json!({"LoadBalancerId": LOAD_BALANCER, "BackendServers": {"BackendServer": backends}}))
}

fn backend(cloud: &Cloud, member: &Member) -> Value {
    json!({
        "ServerId": member.server_id, "ServerIp": member.address.ip().to_string(),
        "Port": member.address.port(), "Weight": cloud.group.get(&member.place()), "Type": "ecs",
        "Description": member.name,
    })
}

/// The weights a `BackendServers` parameter asks for.
fn wished(cloud: &Cloud, text: &str, has_ports: bool) -> Result<Weights, Refusal> {
    let invalid = || invalid_parameter("The specified BackendServers is invalid.");
    let list: Vec<Value> = serde_json::from_str(text).map_err(|_| invalid())?;
    if list.len() > MOST {
        let message = "The total number of input real servers exceeds max supported number: 20";
        return Err(Refusal::new(400, "TooManyBackendServers", message));
    }
    let mut weights = Weights::new();
    for element in &list {
        let server_id = element["ServerId"].as_str().ok_or_else(invalid)?;
        let of_server = || {
            let members = cloud.members.iter();
            members.filter(|member| member.server_id == server_id)
        };
        let port = number(&element["Port"]).filter(|_| has_ports);
        let is_there = |member: &&Member| port == Some(u32::from(member.address.port()));
        let found = of_server().find(is_there).or(of_server().next());
        let member = found.ok_or_else(|| {
            Refusal::new(
                404,
                "InvalidServerId.NotFound",
                "The specified ServerId does not exist.",
            )
        })?;
        if has_ports && number(&element["Port"]) != Some(u32::from(member.address.port())) {
            return Err(invalid_parameter(
                "The specified BackendServers is invalid, as the Port is that of no member.",
            ));
        }
        weights.insert(member.place(), weight(&element["Weight"])?);
    }
    Ok(weights)
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

/// Numbers come as such or as text.
fn number(value: &Value) -> Option<u32> {
    match value {
        Value::String(text) => text.parse().ok(),
        _ => value.as_u64().and_then(|number| number.try_into().ok()),
    }
}

fn is_true(value: &str) -> bool {
    value.eq_ignore_ascii_case("true")
}

fn check_load_balancer(parameters: &Parameters) -> Result<(), Refusal> {
    if require(parameters, "LoadBalancerId")? == LOAD_BALANCER {
        return Ok(());
    }
    let message = "The specified LoadBalancerId does not exist.";
    Err(Refusal::new(404, "InvalidLoadBalancerId.NotFound", message))
}

fn check_group(parameters: &Parameters) -> Result<(), Refusal> {
    require(parameters, "RegionId")?;
    if require(parameters, "VServerGroupId")? == GROUP {
        return Ok(());
    }
    let message = "The specified VServerGroupId does not exist.";
    Err(Refusal::new(404, "InvalidParameter", message))
}

fn require<'a>(parameters: &'a Parameters, name: &str) -> Result<&'a str, Refusal> {
    parameters
        .get(name)
        .map(String::as_str)
        .ok_or_else(|| Refusal::missing(name))
}

fn invalid_parameter(message: &str) -> Refusal {
    Refusal::new(400, "InvalidParameter", message)
}
