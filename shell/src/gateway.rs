//! The gateway as a whole: what is started, in which order, and how it stops.

use std::{
    cell::Cell,
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    rc::Rc,
    thread::available_parallelism,
    time::Duration,
};

use tokio::{sync::mpsc, task::JoinHandle, time::timeout};

use crate::{
    admin::{self, Admin},
    clock::unix_millis,
    config::{Config, RecordingConfig, Watched},
    crew::Crew,
    endpoint::{Command, Ends},
    files::Stamp,
    handover::{Inherited, Offer},
    net,
    pulse::Pulse,
    random::Random,
    recording::{self, Disk, OnDisk},
    reload::{Reloader, Reloads, Source},
    server::{Doorkeeper, Front, OTHER_CONNECTIONS_MAX, Serves, Table, accept},
    spans::{self, Tracer},
    sys,
    tls::{self, ServerTls},
    worker::Workers,
};

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
    /// Where the configuration is read again, and the file as it was when this began.
    source: Option<(Source, Option<Stamp>)>,
    /// Called when it has been told to stop.
    stops: fn(),
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
        Gateway { config, recordings: None, source: None, stops: || (), pulse: Pulse::new() }
    }

    /// Has recordings written whenever `wanted` says so.
    pub fn recorded_when(self, wanted: mpsc::Receiver<()>) -> Gateway {
        Gateway { recordings: Some(wanted), ..self }
    }

    /// Has the configuration read again from there, whenever that is wanted.
    pub fn reloaded_from(self, source: Source) -> Gateway {
        let seen = Stamp::of(&source.file);
        Gateway { source: Some((source, seen)), ..self }
    }

    /// Calls this when it has been told to stop, by whomever.
    pub fn says_when_it_stops(self, stops: fn()) -> Gateway {
        Gateway { stops, ..self }
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
    pub async fn run(self, ready: impl FnOnce(Listening), stop: impl Future<Output = ()>) -> io::Result<()> {
        self.run_boxed(Box::new(ready), Box::pin(stop)).await
    }

    /// The same for all: so it is compiled here, and not once more by whoever runs one.
    fn run_boxed<'a>(
        self,
        ready: Box<dyn FnOnce(Listening) + 'a>,
        stop: Pin<Box<dyn Future<Output = ()> + 'a>>,
    ) -> Pin<Box<dyn Future<Output = io::Result<()>> + 'a>> {
        Box::pin(self.run_until(ready, stop))
    }

    async fn run_until<'a>(
        mut self,
        ready: Box<dyn FnOnce(Listening) + 'a>,
        mut stop: Pin<Box<dyn Future<Output = ()> + 'a>>,
    ) -> io::Result<()> {
        check_descriptors(&self.config);
        let mut inherited =
            Inherited::take(self.config.handover.as_deref()).await.map_err(cannot_take_over)?;
        let listeners = listen(&self.config, &mut inherited)?;
        let offer =
            Offer::new(self.config.handover.as_deref(), listeners.iter().map(|(listener, _)| listener))
                .map_err(cannot_offer)?;
        let (breaches, to_keep) = mpsc::channel(BREACHES_MAX);
        let disk = on_disk(&self.config.recording).map(Disk::start).transpose()?;
        let (spans, exporter) = self.config.tracing.take().map(spans::start).unzip();
        let (recordings, source, stops) = (self.recordings.take(), self.source.take(), self.stops);
        let reloader = self.start(Ends { breaches, disk, spans })?;
        let (front, admin) = (Rc::clone(&reloader.front), reloader.admin.clone());
        let keeper = recording::Keeper { front: Rc::clone(&front) };
        tokio::task::spawn_local(keeper.keep(recordings, to_keep));
        tokio::task::spawn_local(tls::keep_fresh(tls_in_use(Rc::clone(&reloader))));
        if let Some((source, seen)) = source {
            tokio::task::spawn_local(Rc::clone(&reloader).keep(source, seen));
        }
        let accepting = open(&front, admin.as_ref(), listeners, ready)?;
        inherited.ready().await;

        let replaced = tokio::select! {
            // Whoever has been replaced and is told to stop at once still leaves nobody out.
            biased;
            () = offer.taken() => true,
            () = &mut stop => false,
            () = admin::told_to_drain(admin.as_deref()) => false,
        };
        let end = async {
            if replaced {
                close(&front, accepting, front.table().limits.handshake_timeout).await;
            } else {
                stops();
            }
            drain(&front).await;
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
    fn start(self, ends: Ends) -> io::Result<Rc<Reloader>> {
        let Gateway { mut config, pulse, .. } = self;
        choose_watched(&mut config);
        let tracer = ends.spans.clone().map(Tracer::new);
        let crew = Crew::new(Workers::new(workers(&config), pulse), ends);
        let Config { limits, tls, routes, client_address, admin, recording, drain, .. } = config;
        let gates = config.endpoints.into_iter().map(|endpoint| crew.start(endpoint).map(Rc::new));
        let gates = gates.collect::<io::Result<Vec<_>>>()?;
        let door = Doorkeeper::new(&limits, client_address);
        let folder = recording.folder;
        let table = Table { limits, tls, routes, gates, leaving: Vec::new(), folder, drain };
        let front = Rc::new(Front::new(table, door, tracer));
        let (reloads, watched) = (Reloads::new(config.values), config.watched);
        let admin =
            admin.map(|admin| Admin::new(Rc::clone(&front), admin, Rc::clone(&reloads), unix_millis()));
        let look_every = Cell::new(config.look_every);
        Ok(Rc::new(Reloader { front, admin, crew, reloads, look_every, watched }))
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
}

/// What clients and operators are met with now, where they speak TLS.
fn tls_in_use(reloader: Rc<Reloader>) -> impl Fn() -> Vec<ServerTls> {
    move || {
        let of_admin = reloader.admin.as_ref().and_then(|admin| admin.config().tls.clone());
        reloader.front.table().tls.clone().into_iter().chain(of_admin).collect()
    }
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
async fn drain(front: &Front) {
    let table = front.table();
    let (limit, hint) = (drain_limit(&table), "a second signal ends it at once");
    tracing::info!(target: "gateway", for_at_most = ?limit, hint, "draining");
    front.door.drain();
    for gate in &table.gates {
        // One that has gone has drained; those that leave drain already.
        let _ = gate.desk.commands.send(Command::Drain).await;
    }
    let all = async {
        for gate in table.all() {
            // An endpoint that has panicked has ended too.
            gate.desk.ended().await;
        }
    };
    match timeout(limit, all).await {
        Ok(()) => tracing::info!(target: "gateway", "stopped"),
        Err(_) => tracing::error!(target: "gateway", "stopped, though not everything has ended"),
    }
}

/// How long draining may take, before the gateway stops waiting for it.
fn drain_limit(table: &Table) -> Duration {
    let configs = || table.all().map(|gate| &gate.config);
    let longest_gap = configs().map(|endpoint| endpoint.settings.reopen_gap.0).max();
    let longest_close = configs().map(|endpoint| endpoint.close_timeout).max();
    let spread = table.drain.time.0 + table.drain.confirm_timeout.0 + longest_gap.unwrap_or_default();
    Duration::from_millis(spread) + longest_close.unwrap_or_default() + DRAIN_SLACK
}

/// The threads that endpoints are driven by, at most.
fn workers(config: &Config) -> usize {
    let cores = available_parallelism().map_or(1, usize::from);
    if config.limits.workers == 0 { cores } else { config.limits.workers }
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
