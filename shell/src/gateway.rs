//! The gateway as a whole: what is started, in which order, and how it stops.

use std::{
    cell::Cell, io, net::SocketAddr, pin::pin, rc::Rc, sync::Arc, thread::available_parallelism,
    time::Duration,
};

use tokio::{
    sync::{Semaphore, mpsc, oneshot, watch},
    task::JoinHandle,
    time::timeout,
};

use crate::{
    admin::{self, Admin},
    clock::unix_millis,
    config::{Config, EndpointConfig, RecordingConfig, Watched},
    endpoint::{Command, Status},
    handover::{Inherited, Offer},
    jwks::Keepers,
    metrics::EndpointMetrics,
    net,
    pulse::Pulse,
    random::Random,
    recording::{self, Breach, Disk, OnDisk},
    server::{Answers, Doorkeeper, Front, Gate, LOOKUPS_MAX, OTHER_CONNECTIONS_MAX, Serves, accept},
    spans::{self, Tracer},
    sys, tls, worker,
};

/// Commands that may wait for an endpoint; handshakes beyond wait their turn.
const COMMANDS_MAX: usize = 1024;
/// Breaches of laws that may wait to be written down.
const BREACHES_MAX: usize = 16;
/// Descriptors that the gateway needs besides those of clients, handshakes and links.
const SPARE_DESCRIPTORS: u64 = 64;
/// How much longer than the drain itself the end may take, before the gateway stops waiting for it.
const DRAIN_SLACK: Duration = Duration::from_secs(15);

/// A gateway that is ready to run; nothing listens yet.
#[derive(Debug)]
pub struct Gateway {
    config: Config,
    /// Says when recordings are to be written.
    recordings: Option<mpsc::Receiver<()>>,
    pulse: Pulse,
}

/// Where a gateway listens.
#[derive(Clone, Debug)]
pub struct Listening {
    /// For clients.
    pub clients: Vec<SocketAddr>,
    /// For questions about health, where that is apart.
    pub health: Option<SocketAddr>,
    /// For operators, where that is wanted.
    pub admin: Option<SocketAddr>,
}

impl Gateway {
    /// A gateway as a configuration wants it, which was found right when it was read.
    pub fn new(config: Config) -> Gateway {
        Gateway { config, recordings: None, pulse: Pulse::new() }
    }

    /// Has recordings written whenever `wanted` says so.
    pub fn recorded_when(self, wanted: mpsc::Receiver<()>) -> Gateway {
        Gateway { recordings: Some(wanted), ..self }
    }

    /// Tells whether its threads turn, once it runs.
    pub fn pulse(&self) -> Pulse {
        self.pulse.clone()
    }

    /// Runs until `stop` resolves or another gateway has taken over, and then drains. Must run on a local runtime of
    /// one thread.
    ///
    /// # Errors
    ///
    /// An address cannot be listened on, or the system has no threads.
    pub async fn run(
        mut self,
        ready: impl FnOnce(Listening),
        stop: impl Future<Output = ()>,
    ) -> io::Result<()> {
        check_descriptors(&self.config);
        let mut inherited =
            Inherited::take(self.config.handover.as_deref()).await.map_err(cannot_take_over)?;
        let listeners = listen(&self.config, &mut inherited)?;
        let offer =
            Offer::new(self.config.handover.as_deref(), listeners.iter().map(|(listener, _)| listener))
                .map_err(cannot_offer)?;
        let handshake_timeout = self.config.limits.handshake_timeout;
        let limit = drain_limit(&self.config);
        let (recordings, folder) = (self.recordings.take(), self.config.recording.folder.clone());
        let (tell, breaches) = mpsc::channel(BREACHES_MAX);
        let disk = on_disk(&self.config.recording).map(Disk::start).transpose()?;
        let (spans, exporter) = self.config.tracing.take().map(spans::start).unzip();
        let ends = Ends { tell, disk, spans };
        let Started { front, admin, ended } = self.start(&ends)?;
        drop(ends);
        let keeper = recording::Keeper { front: Rc::clone(&front), folder };
        tokio::task::spawn_local(keeper.keep(recordings, breaches));
        let of_admin = admin.as_ref().and_then(|admin| admin.tls().cloned());
        for tls in front.tls.clone().into_iter().chain(of_admin) {
            tokio::task::spawn_local(tls::keep_fresh(tls));
        }
        let accepting = open(&front, admin.as_ref(), listeners, ready)?;
        inherited.ready().await;

        let mut stop = pin!(stop);
        let replaced = tokio::select! {
            // Whoever has been replaced and is told to stop at once still leaves nobody out.
            biased;
            () = offer.taken() => true,
            () = &mut stop => false,
            () = admin::told_to_drain(admin.as_deref()) => false,
        };
        let end = async {
            if replaced {
                close(&front, accepting, handshake_timeout).await;
            }
            drain(&front, ended, limit).await;
        };
        let (mut end, mut stopped) = (pin!(end), !replaced);
        loop {
            tokio::select! {
                () = &mut end => break,
                // One that is replaced can still be told to stop: that is heard, though it changes nothing.
                () = &mut stop, if !stopped => stopped = true,
            }
        }
        if let Some(exporter) = exporter {
            exporter.finish().await;
        }
        Ok(())
    }

    /// Starts the endpoints on their threads.
    fn start(self, ends: &Ends) -> io::Result<Started> {
        let Gateway { mut config, pulse, .. } = self;
        choose_watched(&mut config);
        let workers = workers(&config);
        let mut shares: Vec<Vec<worker::Start>> = (0..workers).map(|_| Vec::new()).collect();
        let (mut gates, mut ended, mut keepers) = (Vec::new(), Vec::new(), Keepers::default());
        for (index, endpoint) in config.endpoints.into_iter().enumerate() {
            let (gate, start, end) = connect(endpoint, &mut keepers, ends.clone());
            shares[index % workers].push(start);
            gates.push(gate);
            ended.push(end);
        }
        for (index, share) in shares.into_iter().enumerate() {
            worker::spawn(index, share, pulse.follow())?;
        }
        keepers.start();
        let connections = Arc::new(Semaphore::new(config.limits.connections_max));
        let lookups = Semaphore::new(LOOKUPS_MAX);
        let Config { limits, tls, routes, client_address, admin, .. } = config;
        let door = Doorkeeper::new(&limits, client_address);
        let draining = Cell::new(false);
        let answers = Answers::default();
        let tracer = ends.spans.clone().map(Tracer::new);
        let front =
            Front { limits, tls, routes, gates, answers, draining, door, tracer, connections, lookups };
        let front = Rc::new(front);
        let admin = admin.map(|admin| Admin::new(Rc::clone(&front), admin, unix_millis()));
        Ok(Started { front, admin, ended })
    }
}

/// Where recordings are written as they are made, if they are.
fn on_disk(recording: &RecordingConfig) -> Option<OnDisk> {
    let folder = recording.folder.clone().filter(|_| recording.files_max > 0)?;
    let file_bytes_max = recording.file_bytes_max as u64;
    Some(OnDisk { folder, file_bytes_max, files_max: recording.files_max })
}

/// Says of each endpoint whether it is held against the laws.
fn choose_watched(config: &mut Config) {
    let endpoints = &mut config.endpoints;
    match config.watched {
        Watched::None => {}
        Watched::One => {
            let count = endpoints.len().max(1) as u64;
            let one = (Random::new().number() % count) as usize;
            endpoints.get_mut(one).into_iter().for_each(|endpoint| endpoint.watched = true);
        }
        Watched::All => endpoints.iter_mut().for_each(|endpoint| endpoint.watched = true),
    }
    for EndpointConfig { name, .. } in endpoints.iter().filter(|endpoint| endpoint.watched) {
        tracing::info!(target: "gateway", endpoint = name, "held against the laws");
    }
}

/// Where endpoints tell of what they do, besides what they are asked.
#[derive(Clone)]
struct Ends {
    /// Of laws that they break.
    tell: mpsc::Sender<Breach>,
    /// What they record.
    disk: Option<Disk>,
    /// Spans.
    spans: Option<Arc<spans::Shared>>,
}

/// What runs.
struct Started {
    front: Rc<Front>,
    admin: Option<Rc<Admin>>,
    /// One for each endpoint: it has drained.
    ended: Vec<oneshot::Receiver<()>>,
}

/// The two ends of an endpoint: what the front holds, and what its thread needs.
fn connect(
    config: EndpointConfig,
    keepers: &mut Keepers,
    Ends { tell, disk, spans }: Ends,
) -> (Gate, worker::Start, oneshot::Receiver<()>) {
    let (commands, commands_end) = mpsc::channel(COMMANDS_MAX);
    let (status_end, status) = watch::channel(Status::STARTING);
    let (done, end) = oneshot::channel();
    let metrics = Arc::new(EndpointMetrics::default());
    let start = worker::Start {
        config: config.clone(),
        metrics: Arc::clone(&metrics),
        commands: commands_end,
        status: status_end,
        disk,
        spans,
        breaches: tell,
        done,
    };
    let keepers = keepers.of(&config.verifier, &config.token.fetch);
    (Gate { config, commands, status, metrics, answers: Answers::default(), keepers }, start, end)
}

/// Takes over the listening sockets that are there, and opens the others.
fn listen(config: &Config, inherited: &mut Inherited) -> io::Result<Vec<(net::TcpListener, Serves)>> {
    let both = Serves::Clients { health: config.health.is_none() };
    let clients = config.listen.iter().map(|address| (*address, both));
    let health = config.health.iter().map(|address| (*address, Serves::Health));
    let admin = config.admin.iter().map(|admin| (admin.address, Serves::Admin));
    let mut open = |(address, serves): (SocketAddr, Serves)| {
        let listener = match inherited.socket(address) {
            Some(socket) => net::adopt(socket),
            None => net::listen(address),
        };
        match listener {
            Ok(listener) => Ok((listener, serves)),
            Err(error) => Err(io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))),
        }
    };
    let listeners = clients.chain(health).chain(admin).map(&mut open).collect();
    match inherited.unclaimed() {
        Some(address) => {
            let what = "is passed by the service manager; write it in listen.address, health.address or admin.address";
            Err(io::Error::other(format!("{address} {what}")))
        }
        None => listeners,
    }
}

/// Lets connections in.
fn open(
    front: &Rc<Front>,
    admin: Option<&Rc<Admin>>,
    listeners: Vec<(net::TcpListener, Serves)>,
    ready: impl FnOnce(Listening),
) -> io::Result<Vec<JoinHandle<()>>> {
    let mut listening = Listening { clients: Vec::new(), health: None, admin: None };
    let mut accepting = Vec::new();
    for (listener, serves) in listeners {
        let address = listener.local_addr()?;
        match serves {
            Serves::Clients { .. } => listening.clients.push(address),
            Serves::Health => listening.health = Some(address),
            Serves::Admin => listening.admin = Some(address),
        }
        accepting.push(match (serves, admin) {
            (Serves::Admin, Some(admin)) => {
                tokio::task::spawn_local(admin::accept(Rc::clone(admin), listener))
            }
            _ => tokio::task::spawn_local(accept(Rc::clone(front), listener, serves)),
        });
    }
    let Listening { clients, health, admin } = &listening;
    tracing::info!(target: "gateway", ?clients, ?health, ?admin, "listening");
    ready(listening);
    Ok(accepting)
}

/// Leaves newcomers to the gateway that has taken over, and sees to those that had come already.
async fn close(front: &Front, accepting: Vec<JoinHandle<()>>, patience: Duration) {
    tracing::info!(target: "gateway", "another gateway has taken over");
    for listener in accepting {
        listener.abort();
        // It says that it was stopped.
        let _ = listener.await;
    }
    // Whoever has not shaken hands by then was cut off for it.
    let _ = timeout(patience + Duration::from_secs(1), front.door.quiet()).await;
}

/// Ends all sessions, and waits until that is done.
async fn drain(front: &Front, ended: Vec<oneshot::Receiver<()>>, limit: Duration) {
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
}

/// How long draining may take, before the gateway stops waiting for it.
fn drain_limit(config: &Config) -> Duration {
    let longest_gap = config.endpoints.iter().map(|endpoint| endpoint.settings.reopen_gap.0).max();
    let longest_close = config.endpoints.iter().map(|endpoint| endpoint.close_timeout).max();
    let spread = config.drain.time.0 + config.drain.confirm_timeout.0 + longest_gap.unwrap_or_default();
    Duration::from_millis(spread) + longest_close.unwrap_or_default() + DRAIN_SLACK
}

/// An endpoint is driven by one thread, so more threads than endpoints are of no use.
fn workers(config: &Config) -> usize {
    let cores = available_parallelism().map_or(1, usize::from);
    let wanted = if config.limits.workers == 0 { cores } else { config.limits.workers };
    wanted.clamp(1, config.endpoints.len().max(1))
}

fn cannot_take_over(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot take over listening sockets: {error}"))
}

fn cannot_offer(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("listen.handover_socket cannot be created: {error}"))
}

fn check_descriptors(config: &Config) {
    let handshakes =
        config.limits.door.handshakes_max as usize + OTHER_CONNECTIONS_MAX + admin::CONNECTIONS_MAX;
    let needed =
        (config.limits.connections_max + handshakes + config.endpoints.len()) as u64 + SPARE_DESCRIPTORS;
    let limit = sys::raise_descriptor_limit();
    if limit < needed {
        tracing::warn!(target: "gateway", limit, needed, "limits.connections_max needs more open files");
    }
}
