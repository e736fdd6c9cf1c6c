//! The testbed's own Docker network. Its gateway address is one name for the code server that job containers,
//! production hosts and the machine itself can all reach.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context, Result, bail};

use crate::command::docker;
use crate::machine;

#[derive(Debug, Clone)]
pub struct Network {
    pub name: String,
    pub gateway: IpAddr,
    number: u8,
}

impl Network {
    /// Takes the first free one of some subnets that Docker itself never hands out.
    pub fn create() -> Result<Self> {
        let name = machine::name("network");
        let first = u8::try_from(std::process::id() % 200).context("less than 200")?;
        let mut refusal = String::new();
        for number in (first..=255).chain(0..first) {
            let subnet = format!("--subnet=10.237.{number}.0/24");
            match docker(&[
                "network",
                "create",
                "--label",
                &machine::label(),
                &subnet,
                &name,
            ]) {
                Ok(_) => {
                    let gateway = Ipv4Addr::new(10, 237, number, 1).into();
                    return Ok(Self {
                        name,
                        gateway,
                        number,
                    });
                }
                Err(error) if error.to_string().contains("overlaps") => refusal = error.to_string(),
                Err(error) => return Err(error.context("cannot create the testbed's network")),
            }
        }
        bail!("no free subnet for the testbed's network: {refusal}");
    }

    /// The address of the nth production host, counted from 1.
    pub fn host(&self, number: u8) -> IpAddr {
        Ipv4Addr::new(10, 237, self.number, 10 + number).into()
    }
}
