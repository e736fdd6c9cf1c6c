//! The actions of the Application and the Network Load Balancer, which differ in little: a server group, one listener
//! that sends to it, and writes that are accepted first and made later.

use serde_json::{Value, json};

use super::action::{Act, Conditions, unknown};
use super::answer::Refusal;
use super::cloud::{Cloud, State, Weights};
use super::haproxy::{Condition, Member, Place};
use super::product::Product;
use super::{LISTENER, LISTENER_PORT, SERVER_GROUP};

/// The most servers one call may name; the Network Load Balancer's own limit is said to be higher by some pages.
const MOST: usize = 40;

pub(super) fn perform(
    cloud: &mut Cloud,
    act: Act<'_>,
    conditions: &Conditions,
) -> Result<Value, Refusal> {
    match act.action {
        "ListServerGroups" => Ok(groups(cloud, act)),
        "ListListeners" => Ok(listeners(act)),
        "ListServerGroupServers" => servers(cloud, act),
        "GetListenerHealthStatus" => health(cloud, act, conditions),
        "UpdateServerGroupServersAttribute" => update(cloud, act),
        "AddServersToServerGroup" => add(cloud, act),
        "RemoveServersFromServerGroup" => remove(cloud, act),
        action => Err(unknown(action)),
    }
}

fn load_balancer(product: Product) -> String {
    format!("{}-testbed0001", product.word())
}

/// Those of the ids that were asked for; all where none was.
fn is_asked(act: Act<'_>, list: &str, id: &str) -> bool {
    let name = |number: usize| format!("{list}.{number}");
    let mut asked = (1..).map_while(|number| act.get(&name(number)));
    act.get(&name(1)).is_none() || asked.any(|it| it == id)
}

fn groups(cloud: &Cloud, act: Act<'_>) -> Value {
    let mut groups = Vec::new();
    if is_asked(act, "ServerGroupIds", SERVER_GROUP) {
        let mut group = json!({
            "ServerGroupId": SERVER_GROUP, "ServerGroupName": cloud.group_name,
            "ServerGroupStatus": if cloud.is_configuring() { "Configuring" } else { "Available" },
            "ServerGroupType": "Instance", "ServerCount": cloud.members.len(), "Scheduler": "Wrr",
            "RelatedLoadBalancerIds": [load_balancer(act.product)],
        });
        if act.product == Product::Alb {
            group["HealthCheckConfig"] = json!({"HealthCheckEnabled": true});
        } else {
            group["HealthCheck"] = json!({"HealthCheckEnabled": true});
        }
        groups.push(group);
    }
    json!({"ServerGroups": groups, "TotalCount": groups.len(), "MaxResults": 20})
}

fn listeners(act: Act<'_>) -> Value {
    let balancer = load_balancer(act.product);
    let mut listeners = Vec::new();
    if is_asked(act, "LoadBalancerIds", &balancer) {
        listeners.push(json!({
            "ListenerId": LISTENER, "LoadBalancerId": balancer, "ListenerPort": LISTENER_PORT,
            "ListenerProtocol": protocol(act.product), "ListenerStatus": "Running",
        }));
    }
    json!({"Listeners": listeners, "TotalCount": listeners.len(), "MaxResults": 20})
}

fn protocol(product: Product) -> &'static str {
    if product == Product::Alb {
        "HTTP"
    } else {
        "TCP"
    }
}

fn servers(cloud: &Cloud, act: Act<'_>) -> Result<Value, Refusal> {
    check_group(act)?;
    let most = number(act, "MaxResults")?.unwrap_or(20).clamp(1, 100);
    let from = number(act, "NextToken")?.unwrap_or(0);
    let all: Vec<Value> = cloud
        .seen()
        .map(|(member, weight, state)| server(cloud, member, (weight, state)))
        .collect();
    let page: Vec<Value> = all.iter().skip(from).take(most).cloned().collect();
    let mut answer = json!({"TotalCount": all.len(), "MaxResults": most, "Servers": page});
    if from + most < all.len() {
        answer["NextToken"] = (from + most).to_string().into();
    }
    Ok(answer)
}

fn server(cloud: &Cloud, member: &Member, (weight, state): (u32, State)) -> Value {
    json!({
        "ServerGroupId": SERVER_GROUP, "ServerId": member.server_id, "ServerType": "Ecs",
        "ServerIp": member.address.ip().to_string(), "Port": member.address.port(),
        "Weight": weight, "Status": state.word(), "Description": cloud.description(member),
    })
}

/// Only those that are not well are listed; whoever is not is healthy.
fn health(cloud: &Cloud, act: Act<'_>, conditions: &Conditions) -> Result<Value, Refusal> {
    if act.require("ListenerId")? != LISTENER {
        let message = "The specified resource Listener is not found.";
        return Err(Refusal::new(404, "ResourceNotFound.Listener", message));
    }
    let ill = cloud.seen().filter_map(|(member, _, _)| {
        let word = illness(act.product, conditions.get(&member.name))?;
        Some(json!({
            "ServerId": member.server_id, "ServerIp": member.address.ip().to_string(),
            "Port": member.address.port(), "Status": word,
            "Reason": {"ReasonCode": "CONNECT_FAILED"},
        }))
    });
    let mut info = json!({
        "ServerGroupId": SERVER_GROUP, "NonNormalServers": ill.collect::<Vec<_>>(),
    });
    if act.product == Product::Alb {
        info["ActionType"] = "ForwardGroup".into();
        info["HealthCheckEnabled"] = "on".into();
        info["ServerCount"] = cloud.members.len().into();
    } else {
        // So it is spelt.
        info["HeathCheckEnabled"] = true.into();
    }
    Ok(json!({
        "ListenerHealthStatus": [{
            "ListenerId": LISTENER, "ListenerPort": LISTENER_PORT,
            "ListenerProtocol": protocol(act.product), "ServerGroupInfos": [info],
        }],
        "RuleHealthStatus": [],
    }))
}

fn illness(product: Product, condition: Option<&Condition>) -> Option<&'static str> {
    let Some(condition) = condition else {
        return Some("Initial");
    };
    if condition.weight == 0 && product == Product::Alb {
        return Some("Unused");
    }
    (!condition.is_up).then_some("Unhealthy")
}

fn update(cloud: &mut Cloud, act: Act<'_>) -> Result<Value, Refusal> {
    check_group(act)?;
    let wished = members(cloud, act)?;
    cloud.begin_write(incorrect_status(act.product))?;
    let mut weights = Weights::new();
    for it in wished {
        cloud.describe(&it.place, it.description.as_deref());
        weights.insert(it.place, it.weight);
    }
    cloud.settle(weights.keys(), State::Configuring, act.fault);
    cloud.accept(weights, act.fault);
    job(act)
}

fn add(cloud: &mut Cloud, act: Act<'_>) -> Result<Value, Refusal> {
    check_group(act)?;
    let wished = named(act)?;
    if wished.iter().any(|it| cloud.group.contains_key(&it.place)) {
        let message = "The specified backend server already exists.";
        return Err(Refusal::new(
            400,
            "ResourceAlreadyExist.BackendServer",
            message,
        ));
    }
    cloud.begin_write(incorrect_status(act.product))?;
    for it in wished {
        if !cloud.join(&it.place, it.weight) {
            return Err(not_there(&it.place));
        }
        cloud.describe(&it.place, it.description.as_deref());
        cloud.settle([&it.place], State::Adding, act.fault);
    }
    job(act)
}

fn remove(cloud: &mut Cloud, act: Act<'_>) -> Result<Value, Refusal> {
    check_group(act)?;
    let wished = members(cloud, act)?;
    cloud.begin_write(incorrect_status(act.product))?;
    for it in wished {
        cloud.leave(&it.place);
        cloud.settle([&it.place], State::Removing, act.fault);
    }
    job(act)
}

/// Those that a call names, each of which has to be in the group.
fn members(cloud: &Cloud, act: Act<'_>) -> Result<Vec<Named>, Refusal> {
    let wished = named(act)?;
    let mut strangers = wished
        .iter()
        .filter(|it| !cloud.group.contains_key(&it.place));
    match strangers.next() {
        Some(it) => Err(not_there(&it.place)),
        None => Ok(wished),
    }
}

fn job(act: Act<'_>) -> Result<Value, Refusal> {
    let id = crate::machine::random(8);
    let id = id.map_err(|error| Refusal::new(500, "InternalError", &error.to_string()))?;
    let mut answer = json!({"JobId": id});
    if act.product == Product::Nlb {
        answer["ServerGroupId"] = SERVER_GROUP.into();
    }
    Ok(answer)
}

/// One of the servers that a call names.
struct Named {
    place: Place,
    weight: u32,
    description: Option<String>,
}

/// Lists come as `Servers.1.ServerId`; they end at the first number that is missing.
fn named(act: Act<'_>) -> Result<Vec<Named>, Refusal> {
    let key = |number: usize, field: &str| format!("Servers.{number}.{field}");
    let numbers = (1..).take_while(|number| act.get(&key(*number, "ServerId")).is_some());
    let named = numbers.map(|number| {
        let field = |name| key(number, name);
        let port = act.require(&field("Port"))?.parse();
        let port = port.map_err(|_| illegal("Port"))?;
        let kind = act.require(&field("ServerType"))?;
        if !["Ecs", "Eni", "Eci", "Ip"].contains(&kind) {
            return Err(illegal("ServerType"));
        }
        let weight = act.get(&field("Weight")).map_or(Ok(100), str::parse);
        let weight: u32 = weight.map_err(|_| illegal("Weight"))?;
        if weight > 100 {
            return Err(illegal("Weight"));
        }
        Ok(Named {
            place: (act.require(&field("ServerId"))?.to_owned(), port),
            weight,
            description: act.get(&field("Description")).map(str::to_owned),
        })
    });
    let named: Vec<Named> = named.collect::<Result<_, _>>()?;
    match named.len() {
        0 => Err(Refusal::missing("Servers")),
        1..=MOST => Ok(named),
        _ => Err(illegal("Servers")),
    }
}

fn number(act: Act<'_>, name: &str) -> Result<Option<usize>, Refusal> {
    let number = act.get(name).map(str::parse).transpose();
    number.map_err(|_| illegal(name))
}

fn check_group(act: Act<'_>) -> Result<(), Refusal> {
    if act.require("ServerGroupId")? == SERVER_GROUP {
        return Ok(());
    }
    let message = "The specified resource ServerGroup is not found.";
    let code = match act.product {
        Product::Nlb => "ResourceNotFound.serverGroup",
        Product::Alb | Product::Slb => "ResourceNotFound.ServerGroup",
    };
    Err(Refusal::new(404, code, message))
}

/// Each product spells it in its own way.
fn incorrect_status(product: Product) -> Refusal {
    let code = match product {
        Product::Nlb => "IncorrectStatus.serverGroup",
        Product::Alb | Product::Slb => "IncorrectStatus.ServerGroup",
    };
    Refusal::new(400, code, "The status of the server group is incorrect.")
}

fn not_there((server_id, port): &Place) -> Refusal {
    let message = format!("The specified backend server {server_id}:{port} is not found.");
    Refusal::new(404, "ResourceNotFound.BackendServer", &message)
}

fn illegal(name: &str) -> Refusal {
    let message = format!("The parameter {name} is illegal.");
    Refusal::new(400, &format!("IllegalParam.{name}"), &message)
}
