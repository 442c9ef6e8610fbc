//! Threads that run endpoints.

use std::{io, rc::Rc, sync::Arc};

use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    config::EndpointConfig,
    endpoint::{self, Command, Status},
    metrics::EndpointMetrics,
    pulse::Follower,
    recording::{Breach, Disk},
    spans::Shared,
    world,
};

/// What an endpoint needs to begin.
#[derive(Debug)]
pub(crate) struct Start {
    /// Its configuration.
    pub(crate) config: EndpointConfig,
    /// Its figures, which its thread writes.
    pub(crate) metrics: Arc<EndpointMetrics>,
    /// What it is told.
    pub(crate) commands: mpsc::Receiver<Command>,
    /// What it tells.
    pub(crate) status: watch::Sender<Status>,
    /// Where its recording goes on to.
    pub(crate) disk: Option<Disk>,
    /// Where its spans go, where there are any.
    pub(crate) spans: Option<Arc<Shared>>,
    /// Where it tells of a law that it has broken.
    pub(crate) breaches: mpsc::Sender<Breach>,
    /// Told when it has drained.
    pub(crate) done: oneshot::Sender<()>,
}

/// Starts a thread that runs these endpoints until all have drained.
///
/// # Errors
///
/// The system has no thread, or no descriptors for it.
pub(crate) fn spawn(index: usize, endpoints: Vec<Start>, follower: Follower) -> io::Result<()> {
    world::start_thread(format!("endpoints-{index}"), move || run(endpoints, follower))
}

async fn run(endpoints: Vec<Start>, follower: Follower) {
    // It ends with the thread.
    tokio::task::spawn_local(follower.run());
    let tasks: Vec<_> = endpoints
        .into_iter()
        .map(|start| {
            tokio::task::spawn_local(async move {
                let Start { config, metrics, commands, status, disk, spans, breaches, done } = start;
                endpoint::run(Rc::new(config), metrics, commands, status, breaches, disk, spans).await;
                // Nobody waits for it any more where the gateway was told to stop at once.
                let _ = done.send(());
            })
        })
        .collect();
    for task in tasks {
        // One that has panicked has said so; `done` is dropped with it, which is noticed.
        let _ = task.await;
    }
}
