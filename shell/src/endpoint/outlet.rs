//! Where the machine's outputs go: the only place that matches on them.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    rc::{Rc, Weak},
    sync::Arc,
    task::Waker,
};

use trunkline_core::{
    EndCause, Event, Fact, LinkId, LinkPhase, Output, Queued, Refusal, Seldom, SessionId, Sink, Time,
    language::{self, Data},
};

use super::{
    Patience,
    client::Client,
    closes::Closes,
    passage::Passage,
    payload::Payload,
    queue::{Pongs, Queue},
    refusals::{self, Refusals},
};
use crate::{
    clock::unix_millis,
    config::EndpointConfig,
    metrics::{DropKind, EndpointMetrics, end_cause, fault},
    random::Random,
    spans::{Parent, Passing, Shared},
    ws::{Opcode, frame},
};

/// What an empty queue towards the link keeps allocated.
const LINK_QUEUE_KEEP_BYTES: usize = 256 << 10;

/// The Pongs that may be due to a backend, and as many queued: what is not counted, the machine takes for events.
const LINK_PONGS_MAX: u8 = 1;

/// The most that one read of a client takes.
pub(super) const READ_BYTES: usize = 16 << 10;
/// The same, while clients are likely to be stopped.
const CAUTIOUS_READ_BYTES: usize = 4 << 10;

/// What the driver is to do with the link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum LinkOrder {
    Dial(LinkId),
    Abort,
    Close,
}

/// Gathers what the machine wants done in one turn.
pub(super) struct Outlet {
    config: Rc<EndpointConfig>,
    metrics: Arc<EndpointMetrics>,
    patience: Patience,
    random: Random,
    /// The clients that the machine knows, by slot.
    clients: Vec<Option<Rc<Client>>>,
    /// Clients for whom something was queued in this turn.
    dirty: Vec<Rc<Client>>,
    /// The answer to the client that asks.
    answer: Option<Result<SessionId, Refusal>>,
    /// The machine reads from nobody.
    pub(super) all_stopped: bool,
    /// How many clients it does not read from, one by one.
    pub(super) stopped: usize,
    /// The client that has just been forgotten, as its session is about to end: since when it was there.
    parting: Option<(SessionId, Time)>,
    pub(super) closes: Closes,

    /// Frames for the link.
    pub(super) link_queue: Queue,
    /// When messages that lie in there were read.
    link_passage: Passage,
    /// Messages that are traced, where any are.
    pub(super) passing: Option<Passing>,
    orders: VecDeque<LinkOrder>,
    pub(super) link_phase: LinkPhase,
    /// The machine stops whoever sends.
    link_full: bool,
    /// The drain is over.
    pub(super) is_empty: bool,

    /// Connections of closed clients, and until when they may take to end. One that has ended is gone at once: only
    /// its task keeps its socket open.
    lingering: VecDeque<(Time, Weak<Client>)>,
    /// When each client is to be looked at, to see whether it is still there.
    checks: BinaryHeap<Reverse<(Time, SessionId)>>,
    /// Clients that have sent more than they may, and until when they are not read from.
    held: BinaryHeap<Reverse<(Time, SessionId)>>,

    /// The driver, while it sleeps, and until when.
    driver: Option<(Waker, Time)>,
    refusals: Refusals,
    too_fast: Seldom,
    /// The beginning of the frame that is no action and that the machine works on, for the log.
    frame: Vec<u8>,
    /// What answers the backend's Pings.
    link_pongs: Pongs,
    pub(super) now: Time,
}

impl Outlet {
    pub(super) fn new(
        config: Rc<EndpointConfig>,
        metrics: Arc<EndpointMetrics>,
        random: Random,
        spans: Option<Arc<Shared>>,
    ) -> Self {
        metrics.link.enter(LinkPhase::Down, unix_millis());
        Outlet {
            patience: Patience::of(&config),
            config,
            metrics,
            random,
            clients: Vec::new(),
            dirty: Vec::new(),
            answer: None,
            all_stopped: false,
            stopped: 0,
            parting: None,
            closes: Closes::default(),
            link_queue: Queue::new(LINK_QUEUE_KEEP_BYTES),
            link_passage: Passage::default(),
            passing: spans.map(Passing::new),
            orders: VecDeque::new(),
            link_phase: LinkPhase::Down,
            link_full: false,
            is_empty: false,
            lingering: VecDeque::new(),
            checks: BinaryHeap::new(),
            held: BinaryHeap::new(),
            too_fast: Seldom::default(),
            driver: None,
            refusals: Refusals::default(),
            frame: Vec::new(),
            link_pongs: Pongs::new(LINK_PONGS_MAX),
            now: Time(0),
        }
    }

    /// An operator has decided otherwise. Each client is looked at anew: it may be pinged, idle, or held at other times.
    pub(super) fn change(&mut self, config: Rc<EndpointConfig>, now: Time) {
        self.patience = Patience::of(&config);
        self.config = config;
        self.held.clear();
        self.checks.clear();
        for client in self.clients.iter().flatten() {
            client.release();
            if client.address.get().is_some() {
                self.checks.push(Reverse((now, client.session)));
            }
        }
    }

    /// The machine answers in the same step.
    pub(super) fn take_answer(&mut self) -> Result<SessionId, Refusal> {
        self.answer.take().unwrap_or(Err(Refusal::Draining))
    }

    pub(super) fn next_order(&mut self) -> Option<LinkOrder> {
        self.orders.pop_front()
    }

    pub(super) fn has_orders(&self) -> bool {
        !self.orders.is_empty()
    }

    pub(super) fn next_dirty(&mut self) -> Option<Rc<Client>> {
        self.dirty.pop()
    }

    pub(super) fn random(&mut self) -> &mut Random {
        &mut self.random
    }

    pub(super) fn client(&self, id: SessionId) -> Option<Rc<Client>> {
        let client = self.clients.get(id.slot as usize)?.as_ref()?;
        (client.session == id).then(|| Rc::clone(client))
    }

    /// The machine will not speak of this client any more.
    pub(super) fn forget_client(&mut self, gone: &Client) {
        let id = gone.session;
        if let Some(place) = self.clients.get_mut(id.slot as usize)
            && place.as_ref().is_some_and(|client| client.session == id)
        {
            *place = None;
            self.stopped -= usize::from(gone.is_stopped());
            self.parting = Some((id, gone.since));
        }
    }

    /// A client that is over may take this long to read what it is told.
    pub(super) fn linger(&mut self, client: &Rc<Client>) {
        self.lingering.push_back((self.now + self.patience.close, Rc::downgrade(client)));
    }

    /// The next client whose connection has had its time to end.
    pub(super) fn next_overdue(&mut self, now: Time) -> Option<Rc<Client>> {
        while let Some((_, client)) = self.lingering.pop_front_if(|(due, _)| *due <= now) {
            if let Some(client) = client.upgrade() {
                return Some(client);
            }
        }
        None
    }

    pub(super) fn check_later(&mut self, at: Time, id: SessionId) {
        self.checks.push(Reverse((at, id)));
    }

    /// The next client that is to be looked at.
    pub(super) fn next_check(&mut self, now: Time) -> Option<Rc<Client>> {
        while let Some(&Reverse((at, id))) = self.checks.peek()
            && at <= now
        {
            self.checks.pop();
            if let Some(client) = self.client(id) {
                return Some(client);
            }
        }
        None
    }

    /// Wakes a client then. It asks for that only once it is not held any more, so there is one entry for each.
    pub(super) fn hold(&mut self, until: Time, id: SessionId) {
        self.held.push(Reverse((until, id)));
    }

    /// Wakes the clients that may be read from again.
    pub(super) fn release(&mut self, now: Time) {
        while let Some(&Reverse((until, id))) = self.held.peek()
            && until <= now
        {
            self.held.pop();
            if let Some(client) = self.client(id) {
                client.wake();
            }
        }
    }

    /// A client sends faster than it may.
    pub(super) fn note_too_fast(&mut self, session: SessionId) {
        refusals::log_too_fast(&mut self.too_fast, &self.config.name, session, self.now);
    }

    /// When a client is overdue, to be looked at, or to be read from again.
    pub(super) fn next_deadline(&self) -> Option<Time> {
        let overdue = self.lingering.front().map(|&(due, _)| due);
        let check = self.checks.peek().map(|&Reverse((at, _))| at);
        let release = self.held.peek().map(|&Reverse((until, _))| until);
        [overdue, check, release].into_iter().flatten().min()
    }

    /// How much of a client is to be read at once. Where it is likely to be stopped after a message, what has been read
    /// beyond has to be kept, so that is little.
    pub(super) fn read_bytes(&self, behind: bool) -> usize {
        let cautious = behind || self.link_full || self.link_phase != LinkPhase::Up;
        if cautious { CAUTIOUS_READ_BYTES } else { READ_BYTES }
    }

    pub(super) fn clients(&self) -> impl Iterator<Item = &Rc<Client>> {
        self.clients.iter().flatten()
    }

    pub(super) fn note_frame(&mut self, frame: &[u8]) {
        self.frame.clear();
        self.frame.extend_from_slice(&frame[..frame.len().min(refusals::EXCERPT_BYTES)]);
    }

    /// The backend has sent a Ping.
    pub(super) fn note_ping(&mut self, payload: &[u8]) {
        self.link_pongs.note(payload);
    }

    /// Queues the Pong that is due, if one is. Whether anything is queued for the link.
    pub(super) fn queue_pong(&mut self) -> bool {
        if let Some(payload) = self.link_pongs.next(&self.link_queue) {
            self.queue_for_link(Opcode::Pong, payload.len(), |out| out.extend_from_slice(&payload));
            self.link_pongs.queued(&self.link_queue);
        }
        !self.link_queue.is_empty()
    }

    /// The link's socket has taken some of its queue, `now` in microseconds.
    pub(super) fn link_took(&mut self, now: u64) {
        self.link_passage.has_left(self.link_queue.out(), now, &self.metrics.client_to_link);
        if let Some(passing) = &mut self.passing {
            passing.link_took(self.link_queue.out(), now);
        }
    }

    /// What was queued for a link is gone with it.
    pub(super) fn clear_link(&mut self, now: u64) {
        self.link_queue.clear();
        self.passing.iter_mut().for_each(|passing| passing.link_lost(now));
        self.link_passage.clear();
        self.link_pongs = Pongs::new(LINK_PONGS_MAX);
    }

    /// The driver runs, and need not be called.
    pub(super) fn driver_awake(&mut self) {
        self.driver = None;
    }

    /// The driver goes to sleep until `deadline`, or until it is called.
    pub(super) fn driver_sleeps(&mut self, waker: Waker, deadline: Time) {
        self.driver = Some((waker, deadline));
    }

    /// Whether the driver sleeps, and nobody has called it.
    pub(super) fn is_driver_asleep(&self) -> bool {
        self.driver.is_some()
    }

    /// Wakes the driver if there is something for it to do, or if it would sleep past `deadline`.
    pub(super) fn call_driver(&mut self, deadline: Option<Time>) {
        let Some((_, until)) = &self.driver else { return };
        let earlier = deadline.is_some_and(|at| at < *until);
        if (earlier || !self.link_queue.is_empty() || !self.orders.is_empty() || self.is_empty)
            && let Some((waker, _)) = self.driver.take()
        {
            waker.wake();
        }
    }

    /// Queues a frame for the link. Returns its size.
    pub(super) fn queue_for_link(
        &mut self,
        opcode: Opcode,
        size_hint: usize,
        payload: impl FnOnce(&mut Vec<u8>),
    ) -> usize {
        let key = self.random.mask();
        frame::write_masked(opcode, key, size_hint, self.link_queue.bytes_mut(), payload)
    }

    /// What the spans of a session have for their parent, where it is traced.
    fn trace(&self, session: SessionId) -> Option<Parent> {
        self.passing.as_ref()?;
        self.clients
            .get(session.slot as usize)?
            .as_ref()
            .filter(|client| client.session == session)?
            .trace
            .get()
    }

    fn event(&mut self, session: SessionId, event: Event<'_, Payload>) -> usize {
        // What surrounds the constant part and the data: enough for the longest event.
        const SURROUNDINGS: usize = 32;
        match event {
            Event::Open { who } => {
                let hint = who.fields().len() + SURROUNDINGS;
                self.queue_for_link(Opcode::Text, hint, |out| language::encode_open(who, out))
            }
            Event::Message { who, payload } => {
                let hint = who.fields().len() + SURROUNDINGS + payload.len();
                let data = payload.data();
                let bytes =
                    self.queue_for_link(Opcode::Text, hint, |out| language::encode_message(who, &data, out));
                self.metrics.from_clients.add(payload.len());
                self.link_passage.note(self.link_queue.end(), payload.read_at, 1);
                if let (Some(parent), Some(passing)) = (self.trace(session), &mut self.passing) {
                    passing.goes_to_link(
                        parent,
                        session,
                        payload.len(),
                        self.link_queue.end(),
                        payload.read_at,
                    );
                }
                bytes
            }
            Event::Close { who } => {
                let hint = who.fields().len() + SURROUNDINGS;
                self.queue_for_link(Opcode::Text, hint, |out| language::encode_close(who, out))
            }
        }
    }

    fn with_client(&mut self, id: SessionId, then: impl FnOnce(&Client) -> usize) -> usize {
        let Some(client) = self.client(id) else { return 0 };
        let queued = then(&client);
        if client.mark_dirty() {
            self.dirty.push(client);
        }
        queued
    }

    fn set_stopped(&mut self, id: SessionId, stopped: bool) {
        let Some(client) = self.client(id) else { return };
        // Each counts once, however often it is said.
        self.stopped = self.stopped + usize::from(stopped) - usize::from(client.is_stopped());
        self.with_client(id, |client| client.set_stopped(stopped));
    }

    fn admit(&mut self, session: SessionId) {
        let slot = session.slot as usize;
        if self.clients.len() <= slot {
            self.clients.resize_with(slot + 1, || None);
        }
        self.metrics.opens.add(1);
        self.clients[slot] = Some(Rc::new(Client::new(session, &self.config, self.now)));
        self.answer = Some(Ok(session));
    }

    /// A session is over.
    fn ended(&mut self, session: SessionId, user: &str, cause: EndCause) {
        self.metrics.closes.add(end_cause(cause), 1);
        let parting = self.parting.take().filter(|(gone, _)| *gone == session).map(|(_, since)| since);
        let since = parting.or_else(|| Some(self.client(session)?.since));
        let age = since.map_or(0, |since| (self.now - since).0);
        self.closes.ended(session, user, cause, unix_millis(), age);
    }

    /// Counts what the machine tells.
    fn count(&mut self, fact: &Fact<'_>) {
        let metrics = &self.metrics;
        match *fact {
            Fact::Link { phase } => {
                let connected = self.link_phase == LinkPhase::Down && phase != LinkPhase::Down;
                metrics.connects.add(connected.into());
                metrics.link.enter(phase, unix_millis());
            }
            Fact::Ended { session, user, cause } => self.ended(session, user, cause),
            Fact::ActionIgnored { fault: why, .. } => metrics.ignored.add(fault(why), 1),
            Fact::StatusReplaced { .. } => metrics.statuses_replaced.add(1),
            Fact::MessagesDropped { messages, cause, .. } => {
                metrics.dropped.add(DropKind::Ended(cause).place(), messages as u64);
            }
            Fact::QueueDropped { bytes, .. } => metrics.queue_dropped_bytes.add(bytes as u64),
            Fact::Unconfirmed { messages } => metrics.dropped.add(DropKind::Unconfirmed.place(), messages),
            Fact::PongTimeout => metrics.pong_timeouts.add(1),
            Fact::LinkFull => metrics.link_full.add(1),
            Fact::LinkDrained | Fact::OutageSpread { .. } | Fact::Stale => {}
        }
    }

    fn fact(&mut self, fact: Fact<'_>) {
        self.count(&fact);
        let endpoint = self.config.name.as_str();
        match fact {
            Fact::Link { phase } => {
                self.link_phase = phase;
                self.link_full &= phase != LinkPhase::Down;
                tracing::info!(target: "link", endpoint, ?phase, "link state");
            }
            Fact::Ended { session, cause: EndCause::Left(cause), .. } => {
                tracing::debug!(target: "session", endpoint, ?session, ?cause, "client left");
            }
            Fact::Ended { session, cause, .. } => {
                tracing::debug!(target: "session", endpoint, ?session, ?cause, "session ended");
            }
            Fact::ActionIgnored { fault, .. } => self.refusals.log(endpoint, fault, &self.frame, self.now),
            Fact::StatusReplaced { session } => {
                tracing::warn!(target: "action", endpoint, ?session, "close status may not be sent: 1011 sent");
            }
            Fact::MessagesDropped { session, messages, cause } => {
                tracing::debug!(target: "session", endpoint, ?session, messages, ?cause, "messages dropped");
            }
            Fact::QueueDropped { session, bytes } => {
                tracing::debug!(target: "session", endpoint, ?session, bytes, "queued bytes dropped");
            }
            Fact::Unconfirmed { messages } => {
                tracing::warn!(target: "link", endpoint, messages, "messages unconfirmed when the link broke");
            }
            Fact::PongTimeout => {
                tracing::warn!(target: "link", endpoint, "no pong: the link counts as broken")
            }
            Fact::LinkFull => {
                self.link_full = true;
                tracing::debug!(target: "link", endpoint, "link full: senders wait");
            }
            Fact::LinkDrained => {
                self.link_full = false;
                tracing::debug!(target: "link", endpoint, "link takes events again");
            }
            Fact::OutageSpread { sessions } => {
                tracing::warn!(target: "link", endpoint, sessions, "backend away for too long: closing clients");
            }
            Fact::Stale => {}
        }
    }
}

impl Sink<Payload> for Outlet {
    fn emit(&mut self, output: Output<'_, Payload>) -> usize {
        match output {
            Output::Event { session, event, .. } => return self.event(session, event),
            Output::Message { session, data } => {
                let bytes = match data {
                    Data::Text(text) => text.len(),
                    Data::Binary(bytes) => bytes.len(),
                };
                self.metrics.to_clients.add(bytes);
                if let (Some(parent), Some(passing)) = (self.trace(session), &mut self.passing) {
                    passing.goes_to_client(parent, session, bytes);
                }
                return self.with_client(session, |client| match data {
                    Data::Text(text) => client.queue_message(Opcode::Text, text.as_bytes()),
                    Data::Binary(bytes) => client.queue_message(Opcode::Binary, bytes),
                });
            }
            Output::Ping { counter, .. } => {
                return self
                    .queue_for_link(Opcode::Ping, 8, |out| out.extend_from_slice(&counter.to_be_bytes()));
            }
            Output::Admit { session } => self.admit(session),
            Output::Refuse { reason } => self.answer = Some(Err(reason)),
            Output::Close { session, code, reason, queued } => {
                self.closes.told(session, code, reason);
                self.with_client(session, |client| client.close(code, reason, queued == Queued::Drop));
                if let Some(client) = self.client(session) {
                    self.linger(&client);
                }
            }
            Output::Stop { session } => {
                self.metrics.stops.add(1);
                self.set_stopped(session, true);
            }
            Output::Resume { session } => self.set_stopped(session, false),
            Output::StopAll => {
                self.metrics.stops_of_all.add(1);
                self.all_stopped = true;
            }
            Output::ResumeAll => {
                self.all_stopped = false;
                self.clients().for_each(|client| client.wake());
            }
            Output::Dial { link } => {
                self.metrics.dials.add(1);
                self.orders.push_back(LinkOrder::Dial(link));
            }
            Output::Abort { .. } => self.orders.push_back(LinkOrder::Abort),
            Output::CloseLink { .. } => self.orders.push_back(LinkOrder::Close),
            Output::Empty { unconfirmed_closes } => {
                self.is_empty = true;
                let endpoint = self.config.name.as_str();
                tracing::info!(target: "link", endpoint, unconfirmed_closes, "drained");
            }
            Output::Fact(fact) => self.fact(fact),
        }
        0
    }
}
