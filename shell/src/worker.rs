//! Threads that run endpoints.

use std::{
    cell::{Cell, RefCell},
    io,
    rc::Rc,
    sync::Arc,
};

use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};

use crate::{
    config::EndpointConfig,
    endpoint::{self, Command, Ends, Status},
    metrics::EndpointMetrics,
    pulse::{Follower, Pulse},
    world,
};

/// Endpoints that a thread has been given and has not begun.
const STARTS_MAX: usize = 1024;

/// What an endpoint needs to begin.
#[derive(Debug)]
pub(crate) struct Start {
    /// Its configuration.
    pub(crate) config: EndpointConfig,
    /// Its figures, which its thread writes.
    pub(crate) metrics: Arc<EndpointMetrics>,
    /// What it is told.
    pub(crate) commands: mpsc::Receiver<Command>,
    /// What it tells, until it has drained.
    pub(crate) status: watch::Sender<Status>,
    /// Where it tells of what it does, besides what it is asked.
    pub(crate) ends: Ends,
}

/// The threads. Each ends when this is dropped and its endpoints have drained.
#[derive(Debug)]
pub(crate) struct Workers {
    threads: RefCell<Vec<Thread>>,
    most: usize,
    pulse: Pulse,
}

#[derive(Debug)]
struct Thread {
    starts: mpsc::Sender<Start>,
    endpoints: Rc<Cell<usize>>,
}

/// An endpoint's place on a thread, until this is dropped.
#[derive(Debug)]
pub(crate) struct Seat(Rc<Cell<usize>>);

impl Workers {
    /// So many at most, of which none has begun.
    pub(crate) fn new(most: usize, pulse: Pulse) -> Self {
        Workers { threads: RefCell::default(), most: most.max(1), pulse }
    }

    /// Starts an endpoint on the thread that has the fewest; on a new one, where each has some and there may be more.
    ///
    /// # Errors
    ///
    /// The system has no thread, or no descriptors for it.
    pub(crate) fn start(&self, start: Start) -> io::Result<Seat> {
        let mut threads = self.threads.borrow_mut();
        let fewest = |threads: &[Thread]| {
            let idlest = threads.iter().enumerate().min_by_key(|(_, thread)| thread.endpoints.get());
            idlest.map(|(index, thread)| (index, thread.endpoints.get()))
        };
        let index = match fewest(&threads) {
            Some((index, endpoints)) if endpoints == 0 || threads.len() >= self.most => index,
            _ => {
                let thread = Thread::spawn(threads.len(), self.pulse.follow())?;
                threads.push(thread);
                threads.len() - 1
            }
        };
        let thread = &threads[index];
        thread.starts.try_send(start).map_err(|_| io::Error::other("an endpoints' thread takes no more"))?;
        thread.endpoints.set(thread.endpoints.get() + 1);
        Ok(Seat(Rc::clone(&thread.endpoints)))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Thread {
    fn spawn(index: usize, follower: Follower) -> io::Result<Self> {
        let (starts, to_start) = mpsc::channel(STARTS_MAX);
        world::start_thread(format!("endpoints-{index}"), move || run(to_start, follower))?;
        Ok(Thread { starts, endpoints: Rc::default() })
    }
}

/// Runs endpoints as they come, until no more can come and all have drained.
async fn run(mut starts: mpsc::Receiver<Start>, follower: Follower) {
    // It ends with the thread.
    tokio::task::spawn_local(follower.run());
    let (mut endpoints, mut more) = (JoinSet::new(), true);
    while more || !endpoints.is_empty() {
        tokio::select! {
            start = starts.recv(), if more => match start {
                Some(Start { config, metrics, commands, status, ends }) => {
                    endpoints.spawn_local(endpoint::run(Rc::new(config), metrics, commands, status, ends));
                }
                None => more = false,
            },
            // One that has panicked has said so; `status` is dropped with it, which is noticed.
            Some(_) = endpoints.join_next() => {}
        }
    }
}
