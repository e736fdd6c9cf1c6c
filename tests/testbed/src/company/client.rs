//! Requests at a constant rate through the balancer, as the company's customers make them, and what became of them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONNECTION, HOST};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::background::Background;

/// A customer waits no longer.
const PATIENCE: Duration = Duration::from_secs(2);

/// A client that nobody stops ends by itself.
const LONGEST: Duration = Duration::from_mins(15);

type Sender = SendRequest<Empty<Bytes>>;

/// What became of all requests so far.
#[derive(Debug, Clone, Default)]
pub struct Totals {
    pub requests: u64,
    pub failed: u64,
    /// Why the first of the failed ones did.
    pub first_failure: Option<String>,
    /// Good answers by what the service said of itself.
    pub versions: BTreeMap<String, u64>,
    pub slowest: Duration,
}

#[derive(Debug)]
pub struct Client {
    totals: Arc<Mutex<Totals>>,
    stop: watch::Sender<bool>,
    done: std::sync::mpsc::Receiver<()>,
}

#[derive(Debug)]
struct Customers {
    address: SocketAddr,
    totals: Arc<Mutex<Totals>>,
    /// Connections that are kept between requests.
    idle: Mutex<Vec<Sender>>,
}

impl Client {
    /// Begins at once: every other request is made on a connection of its own, the rest on kept ones.
    pub fn start(background: &Background, address: SocketAddr, per_second: u32) -> Self {
        let totals = Arc::new(Mutex::new(Totals::default()));
        let (stop, stopped) = watch::channel(false);
        let (finish, done) = std::sync::mpsc::channel();
        let customers = Arc::new(Customers {
            address,
            totals: Arc::clone(&totals),
            idle: Mutex::new(Vec::new()),
        });
        let period = Duration::from_secs(1) / per_second.max(1);
        background.handle().spawn(async move {
            let _ = timeout(LONGEST, request_until_stopped(customers, period, stopped)).await;
            let _ = finish.send(());
        });
        Self { totals, stop, done }
    }

    /// What became of the requests that have been answered by now.
    pub fn totals(&self) -> Totals {
        locked(&self.totals).clone()
    }

    /// Starts no more requests, waits for those under way, and tells what became of all.
    pub fn stop(self) -> Totals {
        let _ = self.stop.send(true);
        let _ = self.done.recv_timeout(PATIENCE * 3);
        self.totals()
    }
}

async fn request_until_stopped(
    customers: Arc<Customers>,
    period: Duration,
    mut stopped: watch::Receiver<bool>,
) {
    let mut ticks = interval(period);
    // A late tick is made up for: the rate is constant, whatever the answers do.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut under_way = JoinSet::new();
    let mut is_kept = false;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = stopped.changed() => break,
        }
        is_kept = !is_kept;
        under_way.spawn(request(Arc::clone(&customers), is_kept));
        while under_way.try_join_next().is_some() {}
    }
    while under_way.join_next().await.is_some() {}
}

async fn request(customers: Arc<Customers>, is_kept: bool) {
    let start = Instant::now();
    let answer = timeout(PATIENCE, exchange(&customers, is_kept)).await;
    let answer = answer.unwrap_or_else(|_| Err(anyhow::anyhow!("no answer within {PATIENCE:?}")));
    let mut totals = locked(&customers.totals);
    totals.requests += 1;
    totals.slowest = totals.slowest.max(start.elapsed());
    match answer {
        Ok(version) => *totals.versions.entry(version).or_default() += 1,
        Err(error) => {
            totals.failed += 1;
            totals
                .first_failure
                .get_or_insert_with(|| format!("{error:#}"));
        }
    }
}

async fn exchange(customers: &Customers, is_kept: bool) -> Result<String> {
    let kept = if is_kept { customers.take_idle() } else { None };
    let mut sender = match kept {
        Some(sender) => sender,
        None => connect(customers.address).await?,
    };
    let request = Request::get("/")
        .header(HOST, customers.address.to_string())
        .header(CONNECTION, if is_kept { "keep-alive" } else { "close" })
        .body(Empty::new())?;
    let response = sender.send_request(request).await.context("no answer")?;
    let status = response.status();
    let body = response
        .into_body()
        .collect()
        .await
        .context("half an answer")?
        .to_bytes();
    if status != hyper::StatusCode::OK {
        bail!("answered {status}");
    }
    if is_kept {
        locked(&customers.idle).push(sender);
    }
    Ok(String::from_utf8_lossy(&body).trim().to_owned())
}

impl Customers {
    fn take_idle(&self) -> Option<Sender> {
        let mut idle = locked(&self.idle);
        idle.retain(|sender| !sender.is_closed());
        idle.pop()
    }
}

async fn connect(address: SocketAddr) -> Result<Sender> {
    let stream = TcpStream::connect(address).await.context("no connection")?;
    let (sender, connection) = handshake(TokioIo::new(stream))
        .await
        .context("no connection")?;
    tokio::spawn(connection);
    Ok(sender)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
