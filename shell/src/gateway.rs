//! The gateway as a whole: what is started, in which order, and how it stops.

use std::{
    cell::Cell, io, net::SocketAddr, rc::Rc, sync::Arc, thread::available_parallelism, time::Duration,
};

use tokio::{
    sync::{Semaphore, mpsc, oneshot, watch},
    time::timeout,
};

use crate::{
    config::{Config, EndpointConfig},
    endpoint::{Command, Status},
    net,
    server::{Doorkeeper, Front, Gate, OTHER_CONNECTIONS_MAX, Serves, accept},
    sys, worker,
};

/// Commands that may wait for an endpoint; handshakes beyond wait their turn.
const COMMANDS_MAX: usize = 1024;
/// Descriptors that the gateway needs besides those of clients, handshakes and links.
const SPARE_DESCRIPTORS: u64 = 64;
/// How much longer than the drain itself the end may take, before the gateway stops waiting for it.
const DRAIN_SLACK: Duration = Duration::from_secs(15);

/// A gateway that is ready to run; nothing listens yet.
#[derive(Debug)]
pub struct Gateway {
    config: Config,
}

/// Where a gateway listens.
#[derive(Clone, Debug)]
pub struct Listening {
    /// For clients.
    pub clients: Vec<SocketAddr>,
    /// For questions about health, where that is apart.
    pub health: Option<SocketAddr>,
}

impl Gateway {
    /// A gateway as a configuration wants it, which was found right when it was read.
    pub fn new(config: Config) -> Gateway {
        Gateway { config }
    }

    /// Runs until `stop` resolves, and then drains. Must run on a local runtime of one thread.
    ///
    /// # Errors
    ///
    /// An address cannot be listened on, or the system has no threads.
    pub async fn run(self, ready: impl FnOnce(Listening), stop: impl Future<Output = ()>) -> io::Result<()> {
        check_descriptors(&self.config);
        let listeners = listen(&self.config)?;
        let drain = self.config.drain.clone();
        let longest_gap = self.config.endpoints.iter().map(|endpoint| endpoint.settings.reopen_gap.0).max();
        let longest_close = self.config.endpoints.iter().map(|endpoint| endpoint.close_timeout).max();
        let limit = drain.time.0 + drain.confirm_timeout.0 + longest_gap.unwrap_or_default();
        let limit = Duration::from_millis(limit) + longest_close.unwrap_or_default() + DRAIN_SLACK;
        let (front, ended) = self.start()?;

        let mut listening = Listening { clients: Vec::new(), health: None };
        for (listener, serves) in listeners {
            let address = listener.local_addr()?;
            match serves.clients {
                true => listening.clients.push(address),
                false => listening.health = Some(address),
            }
            tokio::task::spawn_local(accept(Rc::clone(&front), listener, serves));
        }
        tracing::info!(target: "gateway", clients = ?listening.clients, health = ?listening.health, "listening");
        ready(listening);

        stop.await;
        let hint = "a second signal ends it at once";
        tracing::info!(target: "gateway", for_at_most = ?limit, hint, "draining");
        front.draining.set(true);
        for gate in &front.gates {
            // One that has gone has drained.
            let _ = gate.commands.send(Command::Drain).await;
        }
        let all = async {
            for end in ended {
                // An endpoint that has panicked has ended too.
                let _ = end.await;
            }
        };
        match timeout(limit, all).await {
            Ok(()) => tracing::info!(target: "gateway", "stopped"),
            Err(_) => tracing::error!(target: "gateway", "stopped, though not everything has ended"),
        }
        Ok(())
    }

    /// Starts the endpoints on their threads.
    fn start(self) -> io::Result<(Rc<Front>, Vec<oneshot::Receiver<()>>)> {
        let Gateway { config } = self;
        let workers = workers(&config);
        let mut shares: Vec<Vec<worker::Start>> = (0..workers).map(|_| Vec::new()).collect();
        let (mut gates, mut ended) = (Vec::new(), Vec::new());
        for (index, endpoint) in config.endpoints.into_iter().enumerate() {
            let (gate, start, end) = connect(endpoint);
            shares[index % workers].push(start);
            gates.push(gate);
            ended.push(end);
        }
        for (index, share) in shares.into_iter().enumerate() {
            worker::spawn(index, share)?;
        }
        let connections = Arc::new(Semaphore::new(config.limits.connections_max));
        let Config { limits, routes, client_address, .. } = config;
        let door = Doorkeeper::new(&limits, client_address);
        let front = Front { limits, routes, gates, draining: Cell::new(false), door, connections };
        Ok((Rc::new(front), ended))
    }
}

/// The two ends of an endpoint: what the front holds, and what its thread needs.
fn connect(config: EndpointConfig) -> (Gate, worker::Start, oneshot::Receiver<()>) {
    let (commands, commands_end) = mpsc::channel(COMMANDS_MAX);
    let (status_end, status) = watch::channel(Status::STARTING);
    let (done, end) = oneshot::channel();
    let start = worker::Start { config: config.clone(), commands: commands_end, status: status_end, done };
    (Gate { config, commands, status }, start, end)
}

fn listen(config: &Config) -> io::Result<Vec<(net::TcpListener, Serves)>> {
    let both = Serves { clients: true, health: config.health.is_none() };
    let clients = config.listen.iter().map(|address| (*address, both));
    let health = config.health.iter().map(|address| (*address, Serves { clients: false, health: true }));
    let open = |(address, serves): (SocketAddr, Serves)| match net::listen(address) {
        Ok(listener) => Ok((listener, serves)),
        Err(error) => Err(io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))),
    };
    clients.chain(health).map(open).collect()
}

/// An endpoint is driven by one thread, so more threads than endpoints are of no use.
fn workers(config: &Config) -> usize {
    let cores = available_parallelism().map_or(1, usize::from);
    let wanted = if config.limits.workers == 0 { cores } else { config.limits.workers };
    wanted.clamp(1, config.endpoints.len().max(1))
}

fn check_descriptors(config: &Config) {
    let handshakes = config.limits.door.handshakes_max as usize + OTHER_CONNECTIONS_MAX;
    let needed =
        (config.limits.connections_max + handshakes + config.endpoints.len()) as u64 + SPARE_DESCRIPTORS;
    match sys::raise_descriptor_limit() {
        Ok(limit) if limit < needed => {
            tracing::warn!(target: "gateway", limit, needed, "limits.connections_max needs more open files");
        }
        Ok(_) => {}
        Err(error) => tracing::warn!(target: "gateway", %error, "the limit on open files is unknown"),
    }
}
