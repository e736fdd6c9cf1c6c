//! Stands in for Node.js in the application's base image, where the real one cannot be pulled. It runs no
//! JavaScript: it behaves as `app/bin/www.js` does, from the same package.json.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Query, State};
use axum::http::StatusCode;
use axum::routing::get;
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let script = std::env::args().nth(1).unwrap_or_default();
    let project = Path::new(&script)
        .parent()
        .and_then(Path::parent)
        .unwrap_or(Path::new("."));
    let package: Value = serde_json::from_slice(&std::fs::read(project.join("package.json"))?)?;
    let mut terminate = signal(SignalKind::terminate())?;
    let start = package["testbed"]["startMilliseconds"]
        .as_u64()
        .unwrap_or(0);
    tokio::time::sleep(Duration::from_millis(start)).await;
    let router = Router::new()
        .route("/health", get(health))
        .fallback(version)
        .with_state(package);
    let port = std::env::var("PORT")
        .ok()
        .and_then(|port| port.parse().ok())
        .unwrap_or(3131_u16);
    let listener = tokio::net::TcpListener::bind(("0.0.0.0", port)).await?;
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service)
        .with_graceful_shutdown(async move {
            terminate.recv().await;
        })
        .await?;
    Ok(())
}

async fn health(
    State(package): State<Value>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
) -> (StatusCode, &'static str) {
    let health = &package["testbed"]["health"];
    if health == "ok" || (health == "local" && peer.ip().is_loopback()) {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}

async fn version(State(package): State<Value>, Query(query): Query<Value>) -> String {
    let wait = query["wait"]
        .as_str()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    tokio::time::sleep(Duration::from_millis(wait)).await;
    format!("{}\n", package["version"].as_str().unwrap_or("unknown"))
}
