//! The cloud's load balancer: an API that behaves as the real one, down to signatures and error bodies, and a real
//! HAProxy in front of the fleet that obeys it. Every call and every weight is kept, and tests say what fails.

mod action;
mod answer;
mod caller;
mod cloud;
mod fault;
mod gateway;
mod haproxy;
mod product;
mod server_group;
mod signature;
mod slb;

use std::collections::BTreeMap;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use hyper::http::request::Parts;
use jiff::Timestamp;
use serde_json::Value;

use crate::background::Background;
use crate::machine::{self, Machine};
use crate::serve::{Reply, Server, free_port};
use action::Act;
pub use answer::Refusal;
use cloud::Cloud;
pub use cloud::{Call, Change};
pub use fault::Fault;
pub use haproxy::{Condition, Member};
use haproxy::{Haproxy, Place};
pub use product::Product;
use signature::{Claim, Request};

pub const REGION: &str = "cn-hangzhou";
pub const LOAD_BALANCER: &str = "lb-bp1testbed0001";
pub const GROUP: &str = "rsp-bp1testbed0001";

/// A load balancer in front of the same hosts whose listener uses its default group.
pub const DEFAULT_LOAD_BALANCER: &str = "lb-bp1testbed0002";

/// What the Application and the Network Load Balancer, which are in front of the same hosts, too, have.
pub const SERVER_GROUP: &str = "sgp-testbed0001";
const LISTENER: &str = "lsn-testbed0001";

/// The port that the API says its listener has; HAProxy's own is `Balancer::address`.
pub const LISTENER_PORT: u16 = 80;

/// An access key.
#[derive(Debug, Clone)]
pub struct AccessKey {
    pub id: String,
    pub secret: String,
    /// A temporary key's; a request must carry it.
    pub token: Option<String>,
    /// When the token ends.
    pub expires: Option<Timestamp>,
}

#[derive(Debug)]
pub struct Balancer {
    /// Where clients of the service connect to.
    pub address: SocketAddr,
    /// Where the API listens: `http://host:port`.
    pub endpoint: String,
    pub key: AccessKey,
    world: Arc<World>,
    server: Server,
    _haproxy: Haproxy,
}

/// What the server's handler and the testbed share.
#[derive(Debug)]
struct World {
    cloud: Mutex<Cloud>,
    keys: Mutex<Vec<AccessKey>>,
    socket: PathBuf,
}

impl Balancer {
    /// `seconds` are places that may come into the group later.
    pub fn start(
        machine: &Machine,
        ip: IpAddr,
        members: Vec<Member>,
        seconds: Vec<Member>,
    ) -> Result<Self> {
        let address = SocketAddr::new(ip, free_port(ip)?);
        let haproxy = Haproxy::start(machine, address, &members, &seconds)?;
        let key = AccessKey {
            id: format!("LTAI5t{}", machine::random(9)?.to_uppercase()),
            secret: machine::random(15)?,
            token: None,
            expires: None,
        };
        let world = Arc::new(World {
            cloud: Mutex::new(Cloud::new(members, seconds)),
            keys: Mutex::new(vec![key.clone()]),
            socket: haproxy.socket().to_owned(),
        });
        let server = Server::start(machine.background(), ip, handler(Arc::clone(&world)))?;
        let endpoint = format!("http://{}", server.address());
        Ok(Self {
            address,
            endpoint,
            key,
            world,
            server,
            _haproxy: haproxy,
        })
    }

    /// Calls the API by hand with that key: a person with the `aliyun` program, or an attacker.
    pub fn call(
        &self,
        background: &Background,
        key: &AccessKey,
        action: &str,
        parameters: &[(&str, &str)],
    ) -> Result<(u16, Value)> {
        self.call_of(background, key, (Product::Slb, action), parameters)
    }

    /// As `call`, at whichever product.
    pub fn call_of(
        &self,
        background: &Background,
        key: &AccessKey,
        (product, action): (Product, &str),
        parameters: &[(&str, &str)],
    ) -> Result<(u16, Value)> {
        let pairs = parameters
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()));
        let address = self.server.address();
        background.call(caller::call(
            address,
            key.clone(),
            (product, action.into()),
            pairs.collect(),
        ))?
    }

    /// Lets another key in, for instance a temporary one with a token.
    pub fn add_key(&self, key: AccessKey) {
        self.world
            .keys
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(key);
    }

    /// The next call of that action fails so; several queue up.
    pub fn fail_next(&self, action: &str, fault: Fault) {
        self.world.cloud().fail_next(action, fault);
    }

    /// Every call of that action fails so until `heal`.
    pub fn fail_always(&self, action: &str, fault: Fault) {
        self.world.cloud().fail_always(action, fault);
    }

    /// Forgets all faults that are still to come.
    pub fn heal(&self) {
        self.world.cloud().heal();
    }

    /// How long a write is being carried out: felt at its end, and until then other writes get a 409.
    pub fn set_window(&self, window: Duration) {
        self.world.cloud().window = window;
    }

    /// What is being carried out is done: another write is taken.
    pub fn end_window(&self) {
        self.world.cloud().end_window();
    }

    /// How many calls of one action an account may make in a minute from now on; `None`: as many as it wants.
    pub fn limit_rate(&self, most: Option<usize>) {
        self.world.cloud().rate = most.map(|most| (most, Timestamp::now()));
    }

    /// All calls so far, refused ones too.
    pub fn calls(&self) -> Vec<Call> {
        self.world.cloud().calls.clone()
    }

    pub fn forget_calls(&self) {
        self.world.cloud().calls.clear();
    }

    /// Every weight as HAProxy got it, by member's name.
    pub fn timeline(&self) -> Vec<Change> {
        self.world.cloud().timeline.clone()
    }

    /// Weights as the API would answer them, by member's name.
    pub fn weights(&self) -> BTreeMap<String, u32> {
        let cloud = self.world.cloud();
        let weights = cloud.group.iter();
        weights
            .filter_map(|(place, weight)| Some((cloud.name(place)?.to_owned(), *weight)))
            .collect()
    }

    /// What HAProxy itself says, by member's name.
    pub fn conditions(&self) -> Result<BTreeMap<String, Condition>> {
        haproxy::conditions(&self.world.socket)
    }

    /// Changes a weight as a person at the cloud's console does: no call of ours, felt at once.
    pub fn set_weight(&self, name: &str, weight: u32) -> Result<()> {
        let mut cloud = self.world.cloud();
        let mut members = cloud.members.iter();
        let member = members.find(|member| member.name == name);
        let place = member.context("no member of that name")?.place();
        cloud.group.insert(place.clone(), weight);
        self.world.feel(&mut cloud, &place, weight)
    }
}

type Answering = Pin<Box<dyn Future<Output = Reply> + Send>>;

fn handler(world: Arc<World>) -> impl Fn(Parts, Bytes) -> Answering + Send + Sync + 'static {
    move |parts, body| Box::pin(answer_call(Arc::clone(&world), request(&parts, &body)))
}

async fn answer_call(world: Arc<World>, request: Request) -> Reply {
    let (answer, fault) = world.carry_out(&request);
    let now = Instant::now();
    world.feel_due(now);
    // What is not due yet is felt later, also after the caller has gone.
    let delay = match fault {
        Some(Fault::ApplyLate(delay)) => delay,
        _ => world.cloud().window,
    };
    let later = Arc::clone(&world);
    tokio::spawn(async move {
        tokio::time::sleep_until((now + delay).into()).await;
        later.feel_due(Instant::now());
    });
    match fault {
        Some(Fault::CutBefore | Fault::CutAfter) => return None,
        Some(Fault::AnswerLate(delay)) => tokio::time::sleep(delay).await,
        _ => {}
    }
    Some(answer)
}

impl World {
    fn cloud(&self) -> MutexGuard<'_, Cloud> {
        self.cloud.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Checks and does one call, and keeps it.
    fn carry_out(&self, request: &Request) -> (Response<Full<Bytes>>, Option<Fault>) {
        let parameters: BTreeMap<String, String> = request.parameters().into_iter().collect();
        let claim = request.claim();
        let (action, version) = claim.as_ref().map_or_else(
            |_| (String::new(), String::new()),
            |claim| (claim.action.clone(), claim.version.clone()),
        );
        let product = Product::of(&version).unwrap_or(Product::Slb);
        let mut cloud = self.cloud();
        let mut fault = None;
        let result = claim
            .and_then(|claim| self.admit(&mut cloud, request, &claim))
            .and_then(|()| {
                fault = cloud.next_fault(&action);
                let act = Act {
                    product,
                    action: &action,
                    parameters: &parameters,
                    fault: fault.as_ref(),
                };
                self.perform(&mut cloud, act)
            });
        let code = match (&result, &fault) {
            (_, Some(Fault::CutBefore)) => "cut".into(),
            (Ok(_), _) => String::new(),
            (Err(refusal), _) => refusal.code.clone(),
        };
        let answer = answer::shape(result, (product, &action));
        cloud.calls.push(Call {
            at: Timestamp::now(),
            action,
            parameters,
            code,
        });
        (answer, fault)
    }

    /// The gateway's checks, before any action is looked at.
    fn admit(&self, cloud: &mut Cloud, request: &Request, claim: &Claim) -> Result<(), Refusal> {
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        gateway::admit(&keys, request, claim)?;
        if !cloud.use_nonce(&claim.key_id, &claim.nonce) {
            let message = "Specified signature nonce was used already.";
            return Err(Refusal::new(400, "SignatureNonceUsed", message));
        }
        if cloud.is_exhausted(&claim.action) {
            let message = "Request was denied due to user flow control.";
            return Err(Refusal::new(400, "Throttling.User", message));
        }
        Ok(())
    }

    fn perform(&self, cloud: &mut Cloud, act: Act<'_>) -> Result<Value, Refusal> {
        match act.fault {
            Some(Fault::Refuse(refusal)) => return Err(refusal.clone()),
            Some(Fault::CutBefore) => return Ok(Value::Null),
            _ => {}
        }
        let conditions = if act.is_about_health() {
            let conditions = haproxy::conditions(&self.socket);
            conditions.map_err(|error| Refusal::new(500, "InternalError", &error.to_string()))?
        } else {
            BTreeMap::new()
        };
        let answer = action::perform(cloud, act, &conditions);
        self.let_move(cloud)?;
        answer
    }

    /// Whoever came into the group or left it is felt at once.
    fn let_move(&self, cloud: &mut Cloud) -> Result<(), Refusal> {
        for moved in cloud.take_moved() {
            let done = haproxy::set_state(&self.socket, &moved.name, moved.weight);
            done.map_err(|error| Refusal::new(500, "InternalError", &error.to_string()))?;
            cloud.timeline.push(Change {
                at: Timestamp::now(),
                backend: moved.name,
                weight: moved.weight.unwrap_or_default(),
            });
        }
        Ok(())
    }

    fn feel_due(&self, now: Instant) {
        let mut cloud = self.cloud();
        for (place, weight) in cloud.take_due(now) {
            // A balancer that has ended is noticed by whoever asks for its conditions.
            let _ = self.feel(&mut cloud, &place, weight);
        }
    }

    fn feel(&self, cloud: &mut Cloud, place: &Place, weight: u32) -> Result<()> {
        let backend = cloud
            .name(place)
            .context("no member of that id")?
            .to_owned();
        haproxy::set_weight(&self.socket, &backend, weight)?;
        cloud.timeline.push(Change {
            at: Timestamp::now(),
            backend,
            weight,
        });
        Ok(())
    }
}

fn request(parts: &Parts, body: &Bytes) -> Request {
    let query = parts.uri.query().unwrap_or_default();
    let headers = parts.headers.iter().map(|(name, value)| {
        (
            name.as_str().to_owned(),
            String::from_utf8_lossy(value.as_bytes()).into_owned(),
        )
    });
    Request {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: url::form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect(),
        headers: headers.collect(),
        body: body.to_vec(),
    }
}
