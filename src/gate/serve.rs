//! A gate: a unix socket that serves one job until it is closed.
//!
//! Knows how connections live and die, not what they ask for.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::UnixListener;
use tokio::sync::RwLock;
use tokio::task::JoinHandle;

use super::error::GateError;
use super::forward::Tasks;
use super::handle::Handler;
use super::own::Own;
use super::scope::Scope;
use super::workspace::{Binds, release};

/// How long closing waits for the daemon to name what it is making.
const LAST_NAMES: Duration = Duration::from_secs(20);

/// An open gate. Closed when dropped, but [`Gate::close`] also waits and unmounts.
#[derive(Debug)]
pub struct Gate {
    socket: PathBuf,
    binds_dir: PathBuf,
    accepting: JoinHandle<()>,
    tasks: Tasks,
    making: Arc<RwLock<()>>,
}

impl Gate {
    /// Opens a gate at a socket, whose folder must be there, in front of an engine's socket.
    /// Must be called within a tokio runtime.
    pub fn bind(
        socket: impl Into<PathBuf>,
        scope: Scope,
        engine_socket: impl Into<PathBuf>,
    ) -> Result<Self, GateError> {
        let socket = socket.into();
        let binds_dir = scope.binds_dir.clone();
        // What a killed gate of an earlier phase left mounted.
        release(&binds_dir)?;
        let listener = listen(&socket).map_err(|source| GateError::Socket {
            path: socket.clone(),
            source,
        })?;
        let (tasks, making) = (Tasks::default(), Arc::default());
        let handler = Handler {
            own: Arc::new(Own::new(&engine_socket.into(), scope)),
            binds: Binds::new(binds_dir.clone(), socket.clone()),
            tasks: tasks.clone(),
            folders: Arc::default(),
            making: Arc::clone(&making),
        };
        let accepting = tokio::spawn(accept(listener, Arc::new(handler), tasks.clone()));
        Ok(Self {
            socket,
            binds_dir,
            accepting,
            tasks,
            making,
        })
    }

    /// Where clients connect.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Stops accepting, ends every connection, waits for what is just being made to get its name,
    /// and unmounts. What was made stays until it is swept.
    pub async fn close(self) -> Result<(), GateError> {
        self.end();
        if tokio::time::timeout(LAST_NAMES, self.making.write())
            .await
            .is_err()
        {
            tracing::warn!("the daemon is still making something for a job whose gate is closed");
        }
        release(&self.binds_dir)
    }

    fn end(&self) {
        self.accepting.abort();
        self.tasks.abort();
        if let Err(error) = fs::remove_file(&self.socket)
            && error.kind() != ErrorKind::NotFound
        {
            tracing::warn!(%error, socket = %self.socket.display(), "cannot remove the socket");
        }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.end();
    }
}

fn listen(socket: &Path) -> std::io::Result<UnixListener> {
    match fs::remove_file(socket) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        Err(_) | Ok(()) => {}
    }
    let listener = UnixListener::bind(socket)?;
    // Any user of the job's containers; who reaches the folder at all is the job.
    fs::set_permissions(socket, fs::Permissions::from_mode(0o666))?;
    Ok(listener)
}

async fn accept(listener: UnixListener, handler: Arc<Handler>, tasks: Tasks) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors: wait for some to come back rather than spin.
                tracing::warn!(%error, "cannot accept a connection to the job's Docker socket");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let handler = Arc::clone(&handler);
        tasks.spawn(async move {
            let service = service_fn(|request| {
                let handler = Arc::clone(&handler);
                async move { Ok::<_, std::convert::Infallible>(handler.answer(request).await) }
            });
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "connection of a job");
            }
        });
    }
}
