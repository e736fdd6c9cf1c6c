//! Services: started side by side, each under all its names, and waited for until a port opens.

use std::{collections::BTreeSet, time::Duration};

use futures_util::future::{join_all, try_join_all};
use tokio::{net::TcpStream, time};

use super::{
    dind,
    image::{Local, allowed},
    job::DockerJob,
    run::ENTRYPOINT_COUNTS_NOT,
    service_log::Speaker,
};
use crate::{
    config::ServiceOfEveryJob,
    docker::{
        engine::Endpoint,
        environ, name,
        reference::Reference,
        setting,
        spec::{self, Container, Network},
        volume::Slot,
    },
    failure::{Failure, JobCode},
    job::{Image, Variable},
};

/// Time between two tries of a port.
const RETRY: Duration = Duration::from_millis(200);
/// The most exposed ports that are tried.
const MOST_PORTS: usize = 20;

/// A service to start.
struct Service<'a> {
    number: usize,
    wish: &'a Image,
    is_lane_s: bool,
    reference: Reference,
    aliases: Vec<String>,
}

/// What all containers of the job have together.
pub(super) struct Share<'a> {
    /// The job's group, as the engine names it.
    pub(super) group: &'a str,
    pub(super) slot: &'a Slot,
}

/// A service that the job asks for, or the lane for every job.
struct Wish {
    image: Image,
    is_lane_s: bool,
}

impl DockerJob<'_> {
    /// Starts all services of the job and waits for them; how many they are.
    pub(super) async fn start_services(&self, share: &Share<'_>) -> Result<usize, Failure> {
        let wishes = self.wishes()?;
        if !wishes.is_empty() {
            self.explain_service_lines().await;
        }
        let services = self.name_services(&wishes).await?;
        let start = |service| async move {
            let started = self.start_service(service, share).await;
            started.map_err(|failure| whose(service.is_lane_s, failure))
        };
        let started = try_join_all(services.iter().map(start)).await?;
        if !self.lane.wait_for_services.is_zero() {
            let wait = |(id, service): (&String, _)| self.wait_for_service(id.clone(), service);
            let waits = join_all(started.iter().zip(&services).map(wait));
            let speaker = |(id, service): (&String, &Service<'_>)| Speaker {
                id: id.clone(),
                names: service.aliases.join("-"),
            };
            let speakers: Vec<_> = started.iter().zip(&services).map(speaker).collect();
            self.beside_services(&speakers, waits).await;
        }
        Ok(services.len())
    }

    /// The lane's services come first, as in GitLab's docker executor.
    fn wishes(&self) -> Result<Vec<Wish>, Failure> {
        let lane_s = self.lane.services_of_every_job.iter().map(|service| Wish {
            image: of_lane(service),
            is_lane_s: true,
        });
        let job_s = self.context.job.services.iter().map(|image| Wish {
            image: image.clone(),
            is_lane_s: false,
        });
        let all: Vec<Wish> = lane_s.chain(job_s).collect();
        let limit = self
            .lane
            .services_limit
            .and_then(|limit| usize::try_from(limit).ok());
        match limit.filter(|limit| all.len() > *limit) {
            None => Ok(all),
            Some(limit) => {
                let what = format!(
                    "a job of this lane may have {limit} services (services-limit), and this one has {}",
                    all.len()
                );
                Err(Failure::build(JobCode::Refused, what))
            }
        }
    }

    /// Gives every service its names. Skips one that another service has already, with a warning.
    async fn name_services<'a>(&self, wishes: &'a [Wish]) -> Result<Vec<Service<'a>>, Failure> {
        if let Some(advice) = dind::advice(&self.context.job, self.lane.docker_api) {
            self.context.log.warn(&advice).await;
        }
        let mut taken = BTreeSet::new();
        let mut services = Vec::new();
        for (
            number,
            Wish {
                image: wish,
                is_lane_s,
            },
        ) in wishes.iter().enumerate()
        {
            if wish.name.is_empty() {
                return Err(Failure::build(
                    JobCode::Malformed,
                    "invalid service image name: it is empty",
                ));
            }
            if dind::is_engine(&wish.name) {
                continue;
            }
            let reference = if *is_lane_s {
                Reference::parse_or_id(&wish.name).map_err(|error| {
                    Failure::system(error).during("reading services-of-every-job")
                })?
            } else {
                allowed(&wish.name, &self.lane.services, "services")?
            };
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
                is_lane_s: *is_lane_s,
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
        let entrypoint = if service.is_lane_s {
            service.wish.entrypoint.clone()
        } else {
            spec::entrypoint(self.lane, service.wish)
        };
        if service.wish.entrypoint.is_some() && entrypoint.is_none() {
            let what = format!("{}: {ENTRYPOINT_COUNTS_NOT}", service.reference.text());
            self.context.log.warn(&what).await;
        }
        let container = Container {
            image,
            network: Network::Named {
                network: self.names.network(),
                aliases: service.aliases.clone(),
            },
            entrypoint,
            mounts: share.slot.mounts(self.lane),
            held: spec::held(self.lane, share.group),
            settings: setting::of_service(self.lane, &service.reference, call),
            ..spec::service(&self.names, service.number, service.wish, environ, call)
        };
        let mut container = container;
        container
            .labels
            .insert(name::NAMES.to_owned(), service.aliases.join("-"));
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

/// No author can mend what the operator asks for.
fn whose(is_lane_s: bool, failure: Failure) -> Failure {
    if !is_lane_s {
        return failure;
    }
    Failure::system(failure.to_string()).during("starting what services-of-every-job asks for")
}

/// A service of the lane's, as a job would write it.
fn of_lane(service: &ServiceOfEveryJob) -> Image {
    let variables = service.environment.iter().map(|variable| Variable {
        key: variable.name.clone(),
        value: variable.value.clone(),
        ..Variable::default()
    });
    Image {
        name: service.name.0.clone(),
        alias: service.alias.0.clone(),
        entrypoint: service.entrypoint.clone(),
        command: service.command.clone(),
        variables: variables.collect(),
        ..Image::default()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Class;

    #[test]
    fn a_service_of_the_lane_s_fails_no_author() {
        let failure = || Failure::build(JobCode::Malformed, "no such image");
        assert_eq!(whose(false, failure()).class(), Class::Build);
        let told = whose(true, failure());
        assert_eq!(told.class(), Class::System);
        let text = told.to_string();
        assert!(
            text.contains("services-of-every-job") && text.contains("no such image"),
            "{text}"
        );
    }
}
