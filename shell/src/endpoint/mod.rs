//! One endpoint at work: the machine, and the tasks that bring it what happens.
//!
//! All tasks of an endpoint live on one thread. Each client's task owns that client's socket, the driver owns the
//! link; whoever has something to report calls the machine directly (`Hub::input`), so that nothing is queued
//! between tasks. What the machine wants done is gathered by the `outlet::Outlet` and goes out at the end of the
//! turn: one write to the link however many clients spoke, one write to each client however much it was sent.

mod client;
mod closes;
mod commands;
mod driver;
mod inspect;
pub(crate) mod link;
mod monitor;
mod outlet;
mod passage;
mod payload;
mod queue;
mod refusals;

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};
use trunkline_core::{
    Endpoint, Identity, Input, LeaveCause, LinkPhase, Millis, Refusal, SessionId, Sink, Time,
};

use self::{client::Client, monitor::Monitor, outlet::Outlet};
pub(crate) use self::{
    closes::Closed,
    commands::Command,
    inspect::{Question, SessionInfo, Wanted, Whose},
    payload::Payload,
};
use crate::{
    clock::{Clock, unix_millis},
    config::EndpointConfig,
    metrics::EndpointMetrics,
    random::Random,
    recording::{Breach, Disk, Recording, Ring},
    spans,
};

/// The wall clock was set if it differs from the passing of time by more than this since the last look.
const STEP_MS: i64 = 500;

/// A client is looked at at least this often.
const CHECK_WITHIN: Millis = Millis(60_000);

/// What the outside may know of an endpoint at any time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Status {
    /// State of its link.
    pub link: LinkPhase,
    /// Whether it lets clients in at all.
    pub accepting: bool,
}

impl Status {
    /// Of an endpoint that has not begun.
    pub const STARTING: Self = Status { link: LinkPhase::Down, accepting: false };
}

/// Where an endpoint tells of what it does, besides what it is asked.
#[derive(Clone, Debug)]
pub(crate) struct Ends {
    /// Of laws that it breaks.
    pub(crate) breaches: mpsc::Sender<Breach>,
    /// What it records, as it does.
    pub(crate) disk: Option<Disk>,
    /// Its spans.
    pub(crate) spans: Option<Arc<spans::Shared>>,
}

/// Runs an endpoint on this thread until it has drained.
pub(crate) async fn run(
    config: Rc<EndpointConfig>,
    metrics: Arc<EndpointMetrics>,
    commands: mpsc::Receiver<Command>,
    status: watch::Sender<Status>,
    ends: Ends,
) {
    let hub = Rc::new(Hub::new(config, metrics, ends));
    // It ends with the driver.
    let mut obeying = JoinSet::new();
    obeying.spawn_local(commands::obey(Rc::clone(&hub), commands, status.clone()));
    driver::drive(hub, status).await;
}

/// What the tasks of an endpoint share.
pub(crate) struct Hub {
    config: RefCell<Rc<EndpointConfig>>,
    patience: Cell<Patience>,
    clock: Clock,
    /// When the present turn began, in microseconds.
    turn_at: Cell<u64>,
    /// Messages of this turn that clients' sockets have taken at once.
    delivered: Cell<u32>,
    metrics: Arc<EndpointMetrics>,
    machine: RefCell<Machine>,
    /// Where clients' bytes are read to; whoever has read uses it up before anyone else runs.
    scratch: RefCell<Box<[u8]>>,
    /// Tasks of clients that still run.
    client_tasks: Cell<usize>,
    /// How far the wall clock was ahead of the passing of time when it was last looked at.
    wall_ahead_ms: Cell<Option<i64>>,
    /// What the outside has been told last.
    published: Cell<Status>,
}

/// How long clients are given, in the machine's time.
#[derive(Clone, Copy, Debug)]
struct Patience {
    /// For a connection that is over to end.
    close: Millis,
    /// Silence before a client is pinged; `None`: it never is.
    ping_after: Option<Millis>,
    /// For a pinged client to say anything.
    pong: Millis,
    /// Without a message from a client; `None`: for ever.
    idle: Option<Millis>,
}

impl Patience {
    fn of(config: &EndpointConfig) -> Self {
        Patience {
            close: millis(config.close_timeout),
            ping_after: config.keepalive.interval.map(millis),
            pong: millis(config.keepalive.timeout),
            idle: config.idle_timeout.map(millis),
        }
    }
}

/// A span of time as the machine counts it: not less than `span`.
fn millis(span: Duration) -> Millis {
    Millis(span.as_nanos().div_ceil(1_000_000).try_into().unwrap_or(u64::MAX))
}

struct Machine {
    endpoint: Endpoint<Payload>,
    outlet: Outlet,
    recorder: Option<Ring>,
    monitor: Option<Monitor>,
}

impl Machine {
    /// Tells the machine what happened.
    fn input(&mut self, now: Time, input: Input<'_, Payload>, origin_unix_ms: impl FnOnce() -> u64) {
        let Machine { endpoint, outlet, recorder, monitor } = self;
        outlet.now = now;
        let Some(monitor) = monitor else { return handle(recorder, endpoint, now, input, outlet) };
        let handed = monitor.step(endpoint, now, input, outlet, |endpoint, input, out| {
            handle(recorder, endpoint, now, input, out);
        });
        if let Some(broken) = handed {
            monitor.report(&broken, now, || {
                let excerpt = recorder.as_ref()?.excerpt();
                Some(Recording { excerpt, origin_unix_ms: origin_unix_ms() })
            });
        }
    }

    /// Whether something is due that a watched machine is to do in a step of its own.
    fn is_due(&self, now: Time) -> bool {
        self.monitor.is_some() && self.endpoint.next_deadline().is_some_and(|due| due <= now)
    }
}

/// Hands an input to the machine, and to the recorder, where there is one.
fn handle(
    recorder: &mut Option<Ring>,
    endpoint: &mut Endpoint<Payload>,
    now: Time,
    input: Input<'_, Payload>,
    out: &mut impl Sink<Payload>,
) {
    match recorder {
        Some(recorder) => recorder.step(endpoint, now, input, out),
        None => endpoint.handle(now, input, out),
    }
}

impl Hub {
    fn new(
        config: Rc<EndpointConfig>,
        metrics: Arc<EndpointMetrics>,
        Ends { breaches, disk, spans }: Ends,
    ) -> Self {
        let clock = Clock::start();
        let mut random = Random::new();
        let mut settings = config.settings.clone();
        settings.seed = random.number();
        let endpoint = Endpoint::new(settings, clock.now());
        let recorder = Ring::new(config.recording_bytes_max, &endpoint, clock.now());
        let origin_unix_ms = unix_millis().saturating_sub(clock.now().0);
        let tap = disk.map(|disk| disk.tap(&config.name, origin_unix_ms, Arc::clone(&metrics)));
        let recorder = match (recorder, tap) {
            (Some(recorder), Some(tap)) => Some(recorder.on_disk(tap)),
            (recorder, _) => recorder,
        };
        let monitor = config
            .watched
            .then(|| Monitor::new(Rc::clone(&config), Arc::clone(&metrics), breaches, random.number()));
        Hub {
            machine: RefCell::new(Machine {
                recorder,
                endpoint,
                outlet: Outlet::new(Rc::clone(&config), Arc::clone(&metrics), random, spans),
                monitor,
            }),
            patience: Cell::new(Patience::of(&config)),
            config: RefCell::new(config),
            clock,
            turn_at: Cell::new(0),
            delivered: Cell::new(0),
            metrics,
            scratch: RefCell::new(vec![0; outlet::READ_BYTES].into()),
            client_tasks: Cell::new(0),
            wall_ahead_ms: Cell::new(None),
            published: Cell::new(Status::STARTING),
        }
    }

    /// What an operator has decided, as of now.
    fn config(&self) -> Rc<EndpointConfig> {
        Rc::clone(&self.config.borrow())
    }

    /// An operator has decided otherwise: for those who are here too, but for how long their messages may be.
    fn change(&self, now: Time, config: EndpointConfig, moved: bool) {
        let config = Rc::new(config);
        let old = self.config.replace(Rc::clone(&config));
        self.patience.set(Patience::of(&config));
        {
            let Machine { endpoint, outlet, recorder, .. } = &mut *self.machine.borrow_mut();
            outlet.change(Rc::clone(&config), now);
            let bytes_max = config.recording_bytes_max;
            *recorder = match recorder.take() {
                Some(ring) if bytes_max > 0 => Some(ring.holding(bytes_max)),
                _ => Ring::new(bytes_max, endpoint, now),
            };
        }
        if old.settings != config.settings {
            self.input(now, Input::Settings(config.settings.clone().into()));
        }
        if moved {
            self.input(now, Input::Redial);
        }
    }

    /// A turn begins. Returns the time; the clock is not read again for each message.
    fn begin_turn(&self) -> Time {
        let micros = self.clock.micros();
        self.turn_at.set(micros);
        Time(micros / 1_000)
    }

    /// Tells the machine what happened. What it wants done is gathered until [`Hub::end_turn`].
    fn input(&self, now: Time, input: Input<'_, Payload>) {
        let machine = &mut *self.machine.borrow_mut();
        let origin = || self.origin_unix_ms();
        if machine.is_due(now) {
            machine.input(now, Input::Deadline, origin);
        }
        machine.input(now, input, origin);
    }

    /// Does what is due by now.
    fn pass_time(&self, now: Time) {
        let machine = &mut *self.machine.borrow_mut();
        machine.outlet.now = now;
        if machine.endpoint.next_deadline().is_some_and(|due| due <= now) {
            machine.input(now, Input::Deadline, || self.origin_unix_ms());
        } else if let Some(recorder) = &mut machine.recorder {
            recorder.pass_on(now);
        }
    }

    /// Tokens expire by the wall clock, and the machine goes by the passing of time.
    fn look_at_wall_clock(&self, now: Time) {
        let ahead = unix_millis() as i64 - now.0 as i64;
        let before = self.wall_ahead_ms.get();
        let forward = before.map_or(0, |before| ahead - before);
        if before.is_none() || forward.abs() > STEP_MS {
            self.wall_ahead_ms.set(Some(ahead));
        }
        if forward.abs() > STEP_MS {
            tracing::warn!(target: "gateway", forward_ms = forward, "the wall clock was set");
            self.input(now, Input::WallClockStepped { forward });
        }
    }

    /// When the machine's time began.
    fn origin_unix_ms(&self) -> u64 {
        unix_millis().saturating_sub(self.clock.now().0)
    }

    /// What has happened lately.
    fn recording(&self) -> Option<Recording> {
        let origin_unix_ms = self.origin_unix_ms();
        let machine = self.machine.borrow();
        machine.recorder.as_ref().map(|ring| Recording { excerpt: ring.excerpt(), origin_unix_ms })
    }

    /// Asks for a client: its id, or why not.
    fn ask(&self, now: Time, identity: Identity, expires: Option<u64>) -> Result<SessionId, Refusal> {
        let expires = expires.map(|at| self.clock.time_of_unix(at));
        self.input(now, Input::Ask { identity, expires });
        self.machine.borrow_mut().outlet.take_answer()
    }

    /// Sends on what the turn has gathered for clients, and sees to it that the driver sends on the rest.
    fn end_turn(&self, now: Time) {
        while let Some(client) = self.next_dirty() {
            let sent = client.flush(self, now);
            if sent > 0 {
                self.input(now, Input::ClientSent { session: client.session, bytes: sent });
            }
        }
        let delivered = self.delivered.take();
        if delivered > 0 {
            let took = self.clock.micros().saturating_sub(self.turn_at.get());
            self.metrics.link_to_client.observe(took, delivered);
        }
        let Machine { endpoint, outlet, .. } = &mut *self.machine.borrow_mut();
        if let Some(passing) = &mut outlet.passing {
            passing.turn_ends(|| self.clock.micros().saturating_sub(self.turn_at.get()));
        }
        // One that is awake, or has been called, looks for itself before it sleeps.
        if outlet.is_driver_asleep() {
            let deadline = endpoint.next_deadline().into_iter().chain(outlet.next_deadline()).min();
            outlet.call_driver(deadline);
        }
    }

    /// Tells the outside how things stand.
    fn publish(&self, to: &watch::Sender<Status>) {
        let machine = self.machine.borrow();
        let status = Status { link: machine.outlet.link_phase, accepting: machine.endpoint.accepts() };
        self.metrics.load.set(&machine.endpoint.figures(), machine.outlet.stopped);
        drop(machine);
        if self.published.replace(status) != status {
            to.send_replace(status);
        }
    }

    /// Looks at a client, and notes when to look again: soon enough for the list to forget who has left.
    fn check(&self, client: &Client, now: Time) {
        if let Some(at) = client.check_alive(self, now) {
            let at = at.clamp(now + Millis(1), now + CHECK_WITHIN);
            self.machine.borrow_mut().outlet.check_later(at, client.session);
        }
    }

    /// A client has left, or its connection has ended; told to the machine once.
    fn client_left(&self, session: SessionId, cause: LeaveCause) {
        let Some(client) = self.client(session) else { return };
        let now = self.clock.now();
        self.machine.borrow_mut().outlet.forget_client(&client);
        self.input(now, Input::Left { session, cause });
        if cause != LeaveCause::Lost {
            self.machine.borrow_mut().outlet.linger(&client);
        }
    }

    fn next_dirty(&self) -> Option<Rc<Client>> {
        self.machine.borrow_mut().outlet.next_dirty()
    }

    fn client(&self, session: SessionId) -> Option<Rc<Client>> {
        self.machine.borrow().outlet.client(session)
    }

    /// How much of a client is to be read at once, which may be behind with what it sends.
    fn read_bytes(&self, behind: bool) -> usize {
        self.machine.borrow().outlet.read_bytes(behind)
    }

    /// Whether the machine reads from nobody.
    fn is_all_stopped(&self) -> bool {
        self.machine.borrow().outlet.all_stopped
    }
}
