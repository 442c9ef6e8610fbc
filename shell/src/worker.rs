//! Threads that run endpoints.

use std::{io, rc::Rc, sync::Arc};

use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    config::EndpointConfig,
    endpoint::{self, Command, Status},
    metrics::EndpointMetrics,
    pulse::Follower,
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
                endpoint::run(Rc::new(start.config), start.metrics, start.commands, start.status).await;
                // Nobody waits for it any more where the gateway was told to stop at once.
                let _ = start.done.send(());
            })
        })
        .collect();
    for task in tasks {
        // One that has panicked has said so; `done` is dropped with it, which is noticed.
        let _ = task.await;
    }
}
