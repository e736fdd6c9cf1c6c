//! Everything a company has besides its code server, started with one call and gone when dropped.

use std::net::SocketAddr;

use anyhow::{Result, anyhow};

use crate::application::{Application, PORT, SECOND_PORT};
use crate::balancer::{Balancer, Member};
use crate::client::Client;
use crate::docker_client::DockerClient;
use crate::fleet::{Fleet, Host, Setting};
use crate::image::{self, Images};
use crate::machine::Machine;
use crate::network::Network;
use crate::registry::Registry;

/// The repository that the company's pipeline pushes to.
pub const REPOSITORY: &str = "test/test_server1";

/// What runs on every host before dockmaster is there: "deployed by hand".
pub const FIRST_RELEASE: &str = "v0.9.0";

/// All parts. They end in the order they are named here, the machine last.
#[derive(Debug)]
pub struct Infrastructure {
    pub balancer: Balancer,
    pub fleet: Fleet,
    pub registry: Registry,
    pub network: Network,
    pub images: Images,
    pub machine: Machine,
}

impl Infrastructure {
    /// Three hosts behind a balancer, and a registry that has their release.
    pub fn boot() -> Result<Self> {
        Self::boot_telling(&|_| {})
    }

    /// As `boot`; `tell` hears what is about to happen.
    pub fn boot_telling(tell: &dyn Fn(&str)) -> Result<Self> {
        tell("looking at the machine");
        let machine = Machine::start()?;
        tell("base images, made once from Debian's packages");
        let images = image::prepare(&machine)?;
        let network = Network::create()?;
        tell("a registry with TLS and tokens");
        let registry = Registry::start(&machine, network.gateway)?;
        let release = format!("{}:{FIRST_RELEASE}", registry.image(REPOSITORY));
        let setting = Setting {
            machine: &machine,
            network: &network,
            registry: &registry,
            image: &images.host,
            release: &release,
        };
        tell("three production hosts, and the first release built and pushed by hand");
        let (fleet, pushed) = std::thread::scope(|scope| {
            let push = scope.spawn(|| push(&machine, &registry, &images, &release));
            (Fleet::boot(&setting, 3), push.join())
        });
        let fleet = fleet?;
        pushed.map_err(|_| anyhow!("the push has panicked"))??;
        tell("the first release on every host");
        fleet.deploy_by_hand(&registry)?;
        tell("the load balancer and its API");
        let at = |port: u16, suffix: &str| -> Vec<Member> {
            let member = |host: &Host| Member {
                name: format!("{}{suffix}", host.name),
                server_id: host.server_id.clone(),
                address: SocketAddr::new(host.ip, port),
            };
            fleet.hosts.iter().map(member).collect()
        };
        let seconds = at(SECOND_PORT, &format!(":{SECOND_PORT}"));
        let balancer = Balancer::start(&machine, network.gateway, at(PORT, ""), seconds)?;
        Ok(Self {
            balancer,
            fleet,
            registry,
            network,
            images,
            machine,
        })
    }
}

impl Infrastructure {
    /// Begins requests through the balancer.
    pub fn client(&self, per_second: u32) -> Client {
        Client::start(self.machine.background(), self.balancer.address, per_second)
    }
}

fn push(machine: &Machine, registry: &Registry, images: &Images, release: &str) -> Result<()> {
    let directory = machine.directory("first-release")?;
    Application::new(FIRST_RELEASE).write(&directory, &images.application_base)?;
    image::build(&directory, release)?;
    let client = DockerClient::new(machine, "first-release")?;
    client.log_in(registry, &registry.push_account)?;
    client.run(&["push", "--quiet", release])?;
    client.log_out(registry)
}
