//! Services: started side by side, each under all its names, and waited for until a port opens.

use std::{collections::BTreeSet, time::Duration};

use futures_util::future::{join_all, try_join_all};
use tokio::{net::TcpStream, time};

use super::{
    dind,
    image::{Local, allowed},
    job::DockerJob,
};
use crate::{
    docker::{
        engine::Endpoint,
        environ,
        reference::Reference,
        spec::{self, Container, Network},
    },
    failure::{Failure, JobCode},
    job::Image,
};

/// Time between two tries of a port.
const RETRY: Duration = Duration::from_millis(200);
/// The most exposed ports that are tried.
const MOST_PORTS: usize = 20;

/// A service to start.
struct Service<'a> {
    number: usize,
    wish: &'a Image,
    reference: Reference,
    aliases: Vec<String>,
}

/// What all containers of the job have together.
pub(super) struct Share<'a> {
    /// The job's group, as the engine names it.
    pub(super) group: &'a str,
    pub(super) slot: &'a str,
}

impl DockerJob<'_> {
    /// Starts all services of the job and waits for them; how many they are.
    pub(super) async fn start_services(&self, share: &Share<'_>) -> Result<usize, Failure> {
        let services = self.name_services().await?;
        let start = |service| self.start_service(service, share);
        let started = try_join_all(services.iter().map(start)).await?;
        if !self.lane.wait_for_services.is_zero() {
            let wait = |(id, service): (&String, _)| self.wait_for_service(id.clone(), service);
            join_all(started.iter().zip(&services).map(wait)).await;
        }
        Ok(services.len())
    }

    /// Gives every service its names. Skips one that another service has already, with a warning.
    async fn name_services(&self) -> Result<Vec<Service<'_>>, Failure> {
        if let Some(advice) = dind::advice(&self.context.job, self.lane.docker_api) {
            self.context.log.warn(&advice).await;
        }
        let mut taken = BTreeSet::new();
        let mut services = Vec::new();
        for (number, wish) in self.context.job.services.iter().enumerate() {
            if wish.name.is_empty() {
                return Err(Failure::build(
                    JobCode::Malformed,
                    "invalid service image name: it is empty",
                ));
            }
            if dind::is_engine(&wish.name) {
                continue;
            }
            let reference = allowed(&wish.name, &self.lane.services, "services")?;
            let mut aliases = Vec::new();
            for alias in spec::service_aliases(&reference, wish) {
                if taken.insert(alias.clone()) {
                    aliases.push(alias);
                } else {
                    let image = reference.text();
                    let what = format!("services[{number}] ({image}): the name {alias} is taken");
                    self.context.log.warn(&what).await;
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

    async fn start_service(
        &self,
        service: &Service<'_>,
        share: &Share<'_>,
    ) -> Result<String, Failure> {
        let image = self
            .local_image(&service.reference, service.wish, Local::Tenant)
            .await?;
        let (job, call) = (&self.context.job, &self.context.call);
        let environ = environ::of_service(self.lane, job, call, service.wish);
        let container = Container {
            image,
            network: Network::Named {
                network: self.names.network(),
                aliases: service.aliases.clone(),
            },
            mounts: spec::volumes(self.lane, share.slot),
            held: spec::held(self.lane, share.group),
            ..spec::service(&self.names, service.number, service.wish, environ, call)
        };
        let id = self.engine.create(container).await?;
        self.engine.start(&id).await?;
        Ok(id)
    }

    /// Waits for a service. One that does not get ready is a warning with its last lines, never a failure.
    async fn wait_for_service(&self, id: String, service: &Service<'_>) {
        let problem = match self.engine.endpoint(&id, &self.names.network()).await {
            Ok(endpoint) => self.problem(&id, &endpoint).await,
            Err(error) => Some(error.to_string()),
        };
        let Some(problem) = problem else { return };
        let lines = self.engine.last_lines(&id).await.unwrap_or_default();
        let image = service.reference.text();
        let what = format!("Service {image} probably didn't start properly: {problem}\n{lines}");
        self.context.log.warn(&what).await;
    }

    /// Why a service is not ready; nothing as soon as any one of its ports accepts a connection. Does not wait
    /// for a service that has ended.
    async fn problem(&self, id: &str, endpoint: &Endpoint) -> Option<String> {
        if endpoint.ports.is_empty() {
            return Some("it has no exposed ports".to_owned());
        }
        let first = async {
            tokio::select! {
                () = any_open(endpoint) => None,
                ended = self.engine.wait(id) => Some(match ended {
                    Ok(code) => format!("it ended with exit code {code}"),
                    Err(error) => error.to_string(),
                }),
            }
        };
        let limit = self.lane.wait_for_services;
        let late = |_| Some(format!("no port was open after {limit:?}"));
        time::timeout(limit, first).await.unwrap_or_else(late)
    }
}

/// Never, where the service has no address.
async fn any_open(endpoint: &Endpoint) {
    loop {
        let ports = endpoint.ports.iter().take(MOST_PORTS);
        let sockets = endpoint
            .address
            .into_iter()
            .flat_map(|address| ports.clone().map(move |port| (address, *port)));
        let attempts = join_all(sockets.map(TcpStream::connect)).await;
        if attempts.iter().any(Result::is_ok) {
            return;
        }
        time::sleep(RETRY).await;
    }
}
