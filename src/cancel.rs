//! The wish to stop: SIGTERM and SIGINT, or a runner that is gone.

use std::{future::pending, io, os::unix::process::parent_id, time::Duration};

use tokio::{
    select,
    signal::unix::{SignalKind, signal},
    sync::watch,
    time,
};

/// How often it is looked whether the runner still lives. No signal tells of its death.
const PARENT_CHECK: Duration = Duration::from_secs(1);

/// Becomes true once, and stays so.
#[derive(Debug, Clone)]
pub(crate) struct Cancel(watch::Receiver<bool>);

impl Cancel {
    /// Starts listening. From here on SIGTERM ends nothing by itself.
    pub(crate) fn listen() -> io::Result<Self> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let parent = parent_id();
        let (sender, receiver) = watch::channel(false);
        tokio::spawn(async move {
            let mut check = time::interval(PARENT_CHECK);
            loop {
                select! {
                    _ = terminate.recv() => break,
                    _ = interrupt.recv() => break,
                    _ = check.tick() => if parent_id() != parent { break },
                    () = sender.closed() => return,
                }
            }
            let _ = sender.send(true);
        });
        Ok(Self(receiver))
    }

    /// Waits until somebody wants to stop.
    pub(crate) async fn requested(&self) {
        let mut receiver = self.0.clone();
        if receiver.wait_for(|wanted| *wanted).await.is_err() {
            // The listener ended with the runtime: nobody can ask any more.
            pending::<()>().await;
        }
    }
}
