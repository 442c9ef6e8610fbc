//! Threads that run endpoints.

use std::{io, rc::Rc, thread};

use tokio::{
    runtime::{Builder, LocalOptions},
    sync::{mpsc, oneshot, watch},
};

use crate::{
    config::EndpointConfig,
    endpoint::{self, Command, Status},
};

/// What an endpoint needs to begin.
#[derive(Debug)]
pub struct Start {
    /// Its configuration.
    pub config: EndpointConfig,
    /// What it is told.
    pub commands: mpsc::Receiver<Command>,
    /// What it tells.
    pub status: watch::Sender<Status>,
    /// Told when it has drained.
    pub done: oneshot::Sender<()>,
}

/// Starts a thread that runs these endpoints until all have drained.
///
/// # Errors
///
/// The system has no thread, or no descriptors for it.
pub fn spawn(index: usize, endpoints: Vec<Start>) -> io::Result<()> {
    let runtime = || Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
    // Whether a runtime can be had is better known here than in the thread.
    drop(runtime()?);
    thread::Builder::new().name(format!("endpoints-{index}")).spawn(move || {
        let Ok(runtime) = runtime() else { return };
        runtime.block_on(run(endpoints));
    })?;
    Ok(())
}

async fn run(endpoints: Vec<Start>) {
    let tasks: Vec<_> = endpoints
        .into_iter()
        .map(|start| {
            tokio::task::spawn_local(async move {
                endpoint::run(Rc::new(start.config), start.commands, start.status).await;
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
