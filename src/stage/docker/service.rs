//! Services: started side by side, each under all its names, and waited for until a port opens.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use futures_util::future::{join_all, try_join_all};
use tokio::{net::TcpStream, time};

use super::{super::context::Context, Scene, provide};
use crate::{
    config::DockerLane,
    docker::{
        engine::{Endpoint, EngineError},
        reference::Reference,
        spec::{self, Container, Network},
    },
    failure::{Failure, JobCode},
    job::Image,
};

/// How often a port is tried.
const RETRY: Duration = Duration::from_millis(200);
/// How many exposed ports are tried.
const MOST_PORTS: usize = 20;

/// A service to start.
struct Service<'a> {
    number: usize,
    wish: &'a Image,
    reference: Reference,
    aliases: Vec<String>,
}

/// Starts all services of the job and waits for them; how many they are.
pub(super) async fn start_all(
    context: &Context<'_>,
    lane: &DockerLane,
    scene: &Scene,
) -> Result<usize, Failure> {
    let services = name_all(context, lane).await?;
    let start = |service| start(context, lane, scene, service);
    let started = try_join_all(services.iter().map(start)).await?;
    if !lane.wait_for_services.is_zero() {
        join_all(
            started
                .iter()
                .zip(&services)
                .map(|(id, service)| wait_ready(context, lane, scene, id, service)),
        )
        .await;
    }
    Ok(services.len())
}

/// Gives every service its names. One that another service has already is skipped with a warning.
async fn name_all<'a>(
    context: &'a Context<'_>,
    lane: &DockerLane,
) -> Result<Vec<Service<'a>>, Failure> {
    let mut taken = BTreeSet::new();
    let mut services = Vec::new();
    for (number, wish) in context.job.services.iter().enumerate() {
        if wish.name.is_empty() {
            return Err(Failure::build(
                JobCode::Malformed,
                "invalid service image name: it is empty",
            ));
        }
        let reference = provide::allowed(&wish.name, &lane.services, "services")?;
        let mut aliases = Vec::new();
        for alias in spec::service_aliases(&reference, wish) {
            if taken.insert(alias.clone()) {
                aliases.push(alias);
            } else {
                let image = reference.text();
                let what = format!("services[{number}] ({image}): the name {alias} is taken");
                context.log.warn(&what).await;
            }
        }
        services.push(Service {
            number,
            wish,
            reference,
            aliases,
        });
    }
    Ok(services)
}

async fn start(
    context: &Context<'_>,
    lane: &DockerLane,
    scene: &Scene,
    service: &Service<'_>,
) -> Result<String, Failure> {
    let engine = &scene.engine;
    let image = provide::provide(context, engine, &service.reference, lane, service.wish).await?;
    let environ = spec::service_environ(lane, &context.job, &context.call, service.wish);
    let container = Container {
        image,
        network: Network::Named {
            network: scene.names.network(),
            aliases: service.aliases.clone(),
        },
        ..spec::service(&scene.names, service.number, service.wish, environ)
    };
    let id = engine
        .create(container)
        .await
        .map_err(EngineError::into_failure)?;
    engine.start(&id).await.map_err(EngineError::into_failure)?;
    Ok(id)
}

/// Waits until any one port of the service accepts a connection. A service that does not get ready
/// is a warning with its last lines, never a failure.
async fn wait_ready(
    context: &Context<'_>,
    lane: &DockerLane,
    scene: &Scene,
    id: &str,
    service: &Service<'_>,
) {
    let network = scene.names.network();
    let problem = match scene.engine.endpoint(id, &network).await {
        Ok(endpoint) => match sockets(&endpoint) {
            sockets if sockets.is_empty() => Some("it has no exposed ports".to_owned()),
            sockets => time::timeout(lane.wait_for_services, any_open(&sockets))
                .await
                .err()
                .map(|_| format!("no port was open after {:?}", lane.wait_for_services)),
        },
        Err(error) => Some(error.to_string()),
    };
    let Some(problem) = problem else { return };
    let lines = scene.engine.last_lines(id).await.unwrap_or_default();
    let image = service.reference.text();
    let what = format!("Service {image} probably didn't start properly: {problem}\n{lines}");
    context.log.warn(&what).await;
}

fn sockets(endpoint: &Endpoint) -> Vec<SocketAddr> {
    let Some(address) = endpoint.address else {
        return Vec::new();
    };
    let ports = match endpoint.chosen {
        Some(port) => vec![port],
        None => endpoint.ports.iter().copied().take(MOST_PORTS).collect(),
    };
    ports
        .into_iter()
        .map(|port| SocketAddr::new(address, port))
        .collect()
}

async fn any_open(sockets: &[SocketAddr]) {
    loop {
        let attempts = join_all(sockets.iter().map(|socket| TcpStream::connect(*socket))).await;
        if attempts.iter().any(Result::is_ok) {
            return;
        }
        time::sleep(RETRY).await;
    }
}
