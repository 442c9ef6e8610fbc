//! One client: its socket, what waits for it, and the life of its connection.
//!
//! The task of a client is small and holds no buffer while it is idle: it reads into a buffer that all clients of the
//! thread share, and keeps only what is not complete.

use std::{
    cell::{Cell, OnceCell, RefCell},
    future::poll_fn,
    net::IpAddr,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use trunkline_core::{
    CloseCode, Input, LeaveCause, SessionId, Time, language,
    rate::{Allowed, Meter},
};

use super::{
    Hub,
    inspect::Moved,
    passage::Passage,
    payload::Payload,
    queue::{Pongs, Queue},
};
use crate::{
    config::EndpointConfig,
    server::Place,
    spans::Parent,
    stream::Stream,
    ws::{Decoder, Item, Opcode, Role, frame},
};

/// Reads in a row before others get their turn.
const READS_PER_TURN: usize = 4;
/// To a client that sends more than it may, where that closes it.
const TOO_FAST: &str = "rate limit exceeded";

/// The Pongs that may be due to a client, and as many queued.
const PONGS_MAX: u8 = 16;

/// An admitted client.
pub(super) struct Client {
    pub(super) session: SessionId,
    /// When it was admitted.
    pub(super) since: Time,
    /// Its address, once the handshake is over.
    pub(super) address: OnceCell<IpAddr>,
    /// What the spans of its messages have for their parent, where there are any.
    pub(super) trace: Cell<Option<Parent>>,
    /// What it has said, and was told.
    pub(super) received: Cell<Moved>,
    pub(super) sent: Cell<Moved>,
    /// How often the machine did not want to be told more by it.
    pub(super) times_stopped: Cell<u32>,
    /// Its socket, once the handshake is over.
    stream: OnceCell<Stream>,
    /// Wakes its task.
    waker: RefCell<Waker>,
    reader: RefCell<Reader>,
    writer: RefCell<Writer>,
    phase: Cell<Phase>,
    /// The machine does not want to be told more by it.
    stopped: Cell<bool>,
    /// Something was queued for it in this turn.
    dirty: Cell<bool>,
    /// When something last came from it, and when the last message did.
    seen_at: Cell<Time>,
    messaged_at: Cell<Time>,
    pinged: Cell<bool>,
    /// How fast it sends.
    meter: RefCell<Meter>,
    /// It has sent more than it may, and is not read from before then.
    held_until: Cell<Option<Time>>,
    /// That it sends too fast has been noted.
    too_fast: Cell<bool>,
}

struct Reader {
    decoder: Decoder,
    /// Bytes of a frame that is not complete, or that may not be handed in yet.
    rest: Vec<u8>,
}

struct Writer {
    queue: Queue,
    /// Bytes of messages in the queue, as the machine counts them.
    counted: usize,
    /// Messages queued in this turn.
    fresh: u32,
    /// Those that its socket did not take in the turn in which they came; there while there are any.
    late: Option<Box<Passage>>,
    pongs: Pongs,
    close: Closing,
}

/// The close frame.
enum Closing {
    No,
    /// Its payload, to go when the queue is empty.
    Asked(Box<[u8]>),
    /// It is in the queue, or has gone out: nothing follows it.
    Queued,
}

impl Writer {
    /// Queues the Pongs that are due. Whether there was one to queue.
    fn queue_pongs(&mut self) -> bool {
        if let Closing::Queued = self.close {
            return false;
        }
        let mut any = false;
        while let Some(payload) = self.pongs.next(&self.queue) {
            frame::write(Opcode::Pong, &payload, self.queue.bytes_mut());
            self.pongs.queued(&self.queue);
            any = true;
        }
        any
    }

    /// Queues the close frame, which goes after the queue. Whether there was one to queue.
    fn queue_close(&mut self) -> bool {
        let Closing::Asked(payload) = &mut self.close else { return false };
        let payload = std::mem::take(payload);
        self.close = Closing::Queued;
        frame::write(Opcode::Close, &payload, self.queue.bytes_mut());
        true
    }

    /// Drops all but the frame of which a part has gone out.
    fn drop_queue(&mut self) {
        self.queue.drop_unbegun();
        self.counted = 0;
        self.fresh = 0;
        self.late = None;
    }

    /// Everything has gone out, the close frame last.
    fn is_done(&self) -> bool {
        self.queue.is_empty() && matches!(self.close, Closing::Queued)
    }

    /// How many of `sent` bytes the machine counts. Control frames are not counted, so it may be told a few bytes
    /// early; never a byte more than it counted.
    fn take_counted(&mut self, sent: usize) -> usize {
        let counted = sent.min(self.counted);
        self.counted -= counted;
        counted
    }

    fn ask_close(&mut self, payload: Vec<u8>) {
        if matches!(self.close, Closing::No) {
            self.close = Closing::Asked(payload.into());
        }
    }
}

/// The life of a connection. Only in the first phase does the machine hear what it says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Open,
    /// The gateway has closed it: the close frame goes out, the client's is waited for.
    ClosedByGateway,
    /// It has closed: its close frame is answered, and that is all.
    ClosedByClient,
    /// It broke the protocol: it is told so, and what it still sends is thrown away.
    Misbehaved,
    /// The connection is of no more use.
    Dead,
}

impl Client {
    pub(super) fn new(session: SessionId, config: &EndpointConfig, now: Time) -> Self {
        Client {
            session,
            since: now,
            address: OnceCell::new(),
            trace: Cell::new(None),
            received: Cell::default(),
            sent: Cell::default(),
            times_stopped: Cell::new(0),
            stream: OnceCell::new(),
            waker: RefCell::new(Waker::noop().clone()),
            reader: RefCell::new(Reader {
                decoder: Decoder::new(Role::FromClient, config.message_bytes_max),
                rest: Vec::new(),
            }),
            writer: RefCell::new(Writer {
                queue: Queue::new(0),
                counted: 0,
                fresh: 0,
                late: None,
                pongs: Pongs::new(PONGS_MAX),
                close: Closing::No,
            }),
            phase: Cell::new(Phase::Open),
            stopped: Cell::new(false),
            dirty: Cell::new(false),
            seen_at: Cell::new(now),
            messaged_at: Cell::new(now),
            pinged: Cell::new(false),
            meter: RefCell::default(),
            held_until: Cell::new(None),
            too_fast: Cell::new(false),
        }
    }

    // --- What the machine wants ---

    /// Queues a message. Returns the bytes that it takes.
    pub(super) fn queue_message(&self, opcode: Opcode, payload: &[u8]) -> usize {
        let mut writer = self.writer.borrow_mut();
        let bytes = frame::write(opcode, payload, writer.queue.bytes_mut());
        writer.counted += bytes;
        writer.fresh += 1;
        self.sent.set(self.sent.get().and(payload.len()));
        bytes
    }

    /// Closes it, after what is queued or instead of it. The close frame is not counted as queued.
    pub(super) fn close(&self, code: CloseCode, reason: &str, drop_queue: bool) -> usize {
        let mut writer = self.writer.borrow_mut();
        if drop_queue {
            writer.drop_queue();
        }
        writer.ask_close(frame::close_payload(code, reason));
        self.phase.set(Phase::ClosedByGateway);
        self.wake();
        0
    }

    /// Whether the machine wants to hear from it. It always takes no room.
    pub(super) fn set_stopped(&self, stopped: bool) -> usize {
        self.stopped.set(stopped);
        if stopped {
            self.times_stopped.set(self.times_stopped.get().saturating_add(1));
        } else {
            self.wake();
        }
        0
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.get()
    }

    /// When something last came from it, or it last took a message.
    pub(super) fn seen_at(&self) -> Time {
        self.seen_at.get()
    }

    /// Whatever held it from being read holds it no more.
    pub(super) fn release(&self) {
        self.held_until.set(None);
        self.wake();
    }

    pub(super) fn wake(&self) {
        self.waker.borrow().wake_by_ref();
    }

    /// Notes that something was queued for it. Whether that was not known yet.
    pub(super) fn mark_dirty(&self) -> bool {
        !self.dirty.replace(true)
    }

    /// Sends what was queued in a turn, if the socket takes it at once; the task sends the rest. Returns the bytes of
    /// messages that have gone out.
    pub(super) fn flush(&self, hub: &Hub, now: Time) -> usize {
        self.dirty.set(false);
        let sent = self.write(&mut Context::from_waker(&self.waker.borrow()), now);
        self.time_messages(hub);
        sent
    }

    /// Takes note of when the messages in the queue have left it. Nearly always the socket has taken all at once; how long
    /// that took is the same for all clients of the turn.
    fn time_messages(&self, hub: &Hub) {
        let mut writer = self.writer.borrow_mut();
        let fresh = std::mem::take(&mut writer.fresh);
        if writer.late.is_none() {
            if fresh == 0 || writer.queue.is_empty() {
                hub.delivered.set(hub.delivered.get() + fresh);
                return;
            }
            writer.late = Some(Box::default());
        }
        let (end, out) = (writer.queue.end(), writer.queue.out());
        let Some(late) = &mut writer.late else { return };
        if fresh > 0 {
            late.note(end, hub.turn_at.get(), fresh);
        }
        if !late.waits(out) {
            late.has_left(out, hub.clock.micros(), &hub.metrics.link_to_client);
        }
        if late.is_empty() {
            writer.late = None;
        }
    }

    // --- Its task ---

    /// Serves the client on its socket until the connection has ended.
    pub(super) async fn serve(self: Rc<Self>, hub: Rc<Hub>, stream: Stream, early: Vec<u8>, place: Place) {
        self.reader.borrow_mut().rest = early;
        // It is set here only.
        let _ = self.stream.set(stream);
        poll_fn(|cx| self.poll(cx, &hub)).await;
        hub.client_left(self.session, LeaveCause::Lost);
        hub.client_tasks.set(hub.client_tasks.get() - 1);
        hub.end_turn(hub.clock.now());
        drop(place);
    }

    fn poll(&self, cx: &mut Context<'_>, hub: &Rc<Hub>) -> Poll<()> {
        if !self.waker.borrow().will_wake(cx.waker()) {
            *self.waker.borrow_mut() = cx.waker().clone();
        }
        let now = hub.begin_turn();
        let read = self.read_some(cx, hub, now);
        let sent = self.write(cx, now);
        self.time_messages(hub);
        if sent > 0 {
            hub.input(now, Input::ClientSent { session: self.session, bytes: sent });
        }
        hub.end_turn(now);
        let is_over = match self.phase.get() {
            Phase::Dead => true,
            Phase::ClosedByClient => read.is_ready() && self.writer.borrow().is_done(),
            Phase::Open | Phase::ClosedByGateway | Phase::Misbehaved => false,
        };
        if is_over { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Writes what the socket takes: what is queued, then the close frame. Returns the bytes of messages among it.
    fn write(&self, cx: &mut Context<'_>, now: Time) -> usize {
        let Some(stream) = self.stream.get() else { return 0 };
        let mut writer = self.writer.borrow_mut();
        let mut sent = 0;
        writer.queue_pongs();
        loop {
            match writer.queue.write(stream, cx) {
                Ok(bytes) => sent += bytes,
                Err(_) => {
                    self.phase.set(Phase::Dead);
                    self.wake();
                    break;
                }
            }
            if !writer.queue.is_empty() || !(writer.queue_pongs() || writer.queue_close()) {
                break;
            }
        }
        if writer.is_done() && matches!(self.phase.get(), Phase::ClosedByClient | Phase::Misbehaved) {
            // Nothing more will follow. A failure means that the connection has ended already.
            let _ = stream.poll_shutdown(cx);
        }
        let counted = writer.take_counted(sent);
        if counted > 0 {
            // One that takes its messages is there, however long the answer to a Ping behind them may take.
            self.seen_at.set(now);
            self.pinged.set(false);
        }
        counted
    }

    /// Reads what is there. Ready: nothing more will be read.
    fn read_some(&self, cx: &mut Context<'_>, hub: &Rc<Hub>, now: Time) -> Poll<()> {
        let Some(stream) = self.stream.get() else { return Poll::Pending };
        self.use_rest(hub, now);
        for _ in 0..READS_PER_TURN {
            if matches!(self.phase.get(), Phase::ClosedByClient | Phase::Dead) {
                return Poll::Ready(());
            }
            let Some(wanted) = self.may_read(hub, now) else { return Poll::Pending };
            let mut scratch = hub.scratch.borrow_mut();
            match stream.poll_read(cx, &mut scratch[..wanted]) {
                Poll::Pending => {
                    self.meter.borrow_mut().catch_up(&hub.config.borrow().rates, now);
                    return Poll::Pending;
                }
                Poll::Ready(Ok(0)) => return self.ended(hub),
                Poll::Ready(Err(_)) => {
                    self.phase.set(Phase::Dead);
                    return Poll::Ready(());
                }
                Poll::Ready(Ok(bytes)) => {
                    self.seen_at.set(now);
                    self.pinged.set(false);
                    if !self.meter.borrow_mut().has_read(&hub.config.borrow().rates, now, bytes) {
                        self.sends_too_much(hub);
                    }
                    self.take(hub, now, &mut scratch[..bytes]);
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    // --- How much it may send ---

    /// How many bytes to read from it; `None`: none for now.
    fn may_read(&self, hub: &Hub, now: Time) -> Option<usize> {
        let mut meter = self.meter.borrow_mut();
        if self.waits(hub, now) {
            meter.fall_behind();
            return None;
        }
        let wanted = hub.read_bytes(meter.is_behind());
        if self.phase.get() == Phase::Misbehaved {
            return Some(wanted);
        }
        let allowed = meter.may_read(&hub.config.borrow().rates, now, wanted);
        drop(meter);
        self.allowed(allowed, hub)
    }

    /// Whether a frame of it may be handed in.
    fn may_take(&self, hub: &Hub, now: Time) -> bool {
        let allowed = self.meter.borrow_mut().may_take(&hub.config.borrow().rates, now);
        self.allowed(allowed, hub).is_some()
    }

    /// Whether it waits for the machine, or for its rate.
    fn waits(&self, hub: &Hub, now: Time) -> bool {
        let stopped = self.stopped.get() || hub.is_all_stopped();
        stopped && self.phase.get() == Phase::Open || self.held_until.get().is_some_and(|until| now < until)
    }

    /// Where nothing is allowed, it is woken when something will be.
    fn allowed(&self, allowed: Allowed, hub: &Hub) -> Option<usize> {
        match allowed {
            Allowed::Now(amount) => Some(amount),
            Allowed::From(at) => {
                self.meter.borrow_mut().fall_behind();
                self.held_until.set(Some(at));
                self.note_too_fast(hub);
                hub.machine.borrow_mut().outlet.hold(at, self.session);
                None
            }
        }
    }

    fn note_too_fast(&self, hub: &Hub) {
        if !self.too_fast.replace(true) {
            hub.machine.borrow_mut().outlet.note_too_fast(self.session);
        }
    }

    fn sends_too_much(&self, hub: &Hub) {
        self.note_too_fast(hub);
        self.misbehave(hub, CloseCode::POLICY, TOO_FAST);
    }

    /// The client will send nothing more.
    fn ended(&self, hub: &Rc<Hub>) -> Poll<()> {
        match self.phase.get() {
            Phase::Open => hub.client_left(self.session, LeaveCause::Lost),
            Phase::ClosedByGateway => {
                // It may have closed one direction only, and still read.
                self.phase.set(Phase::ClosedByClient);
                return Poll::Ready(());
            }
            _ => {}
        }
        self.phase.set(Phase::Dead);
        Poll::Ready(())
    }

    /// Takes bytes from the socket: what is complete is handed in, the rest is kept.
    fn take(&self, hub: &Rc<Hub>, now: Time, bytes: &mut [u8]) {
        if self.phase.get() == Phase::Misbehaved {
            return;
        }
        let kept = !self.reader.borrow().rest.is_empty();
        if kept {
            self.reader.borrow_mut().rest.extend_from_slice(bytes);
            return self.use_rest(hub, now);
        }
        let used = self.decode(hub, now, bytes);
        if used < bytes.len() {
            self.reader.borrow_mut().rest = bytes[used..].to_vec();
        }
    }

    fn use_rest(&self, hub: &Rc<Hub>, now: Time) {
        let mut rest = std::mem::take(&mut self.reader.borrow_mut().rest);
        if rest.is_empty() {
            return;
        }
        let used = self.decode(hub, now, &mut rest);
        if used < rest.len() {
            rest.drain(..used);
            self.reader.borrow_mut().rest = rest;
        }
    }

    /// Hands in what is complete, for as long as the machine wants to hear it. Returns how many bytes that took.
    fn decode(&self, hub: &Rc<Hub>, now: Time, bytes: &mut [u8]) -> usize {
        let mut used = 0;
        let mut reader = self.reader.borrow_mut();
        loop {
            match self.phase.get() {
                Phase::Open | Phase::ClosedByGateway if self.waits(hub, now) => return used,
                Phase::Open | Phase::ClosedByGateway => {}
                Phase::ClosedByClient | Phase::Misbehaved | Phase::Dead => return bytes.len(),
            }
            let found = match reader.decoder.frame(&bytes[used..]) {
                Ok(None) => reader.decoder.foresee(&bytes[used..]).map(|()| None),
                found => found,
            };
            let frame = match found {
                Ok(Some(frame)) if frame.completes() && !self.may_take(hub, now) => return used,
                Ok(Some(frame)) => frame,
                Ok(None) => return used,
                Err(fault) => {
                    self.misbehave(hub, fault.code(), fault.reason());
                    continue;
                }
            };
            let begin = used;
            used += frame.size();
            match reader.decoder.take(frame, &mut bytes[begin..used]) {
                Ok(Some(item)) => self.handle(hub, now, item),
                Ok(None) => {}
                Err(fault) => self.misbehave(hub, fault.code(), fault.reason()),
            }
        }
    }

    fn handle(&self, hub: &Rc<Hub>, now: Time, item: Item<'_>) {
        let counts = !matches!(item, Item::Close(..));
        if counts && !self.meter.borrow_mut().has_taken(&hub.config.borrow().rates, now) {
            return self.sends_too_much(hub);
        }
        match item {
            Item::Ping(payload) => self.writer.borrow_mut().pongs.note(payload),
            Item::Pong(_) => {}
            Item::Close(code, _) => self.closed_by_client(hub, code),
            Item::Text(_) | Item::Binary(_) if self.phase.get() != Phase::Open => {}
            Item::Text(text) => self.message(hub, now, Payload::text(text, hub.turn_at.get())),
            Item::Binary(bytes) => match language::accept_binary(bytes, hub.config.borrow().binary) {
                Ok(data) => self.message(hub, now, Payload::new(data, hub.turn_at.get())),
                Err(code) => self.misbehave(hub, code, "binary message not accepted"),
            },
        }
    }

    fn message(&self, hub: &Rc<Hub>, now: Time, payload: Payload) {
        self.messaged_at.set(now);
        self.received.set(self.received.get().and(payload.len()));
        hub.input(now, Input::Message { session: self.session, payload });
    }

    // --- The end ---

    /// It began the closing handshake, or answers the gateway's.
    fn closed_by_client(&self, hub: &Rc<Hub>, code: Option<u16>) {
        if self.phase.get() == Phase::ClosedByGateway {
            // Both have said so; what is queued still goes out, the close frame last.
            self.phase.set(Phase::ClosedByClient);
            return;
        }
        self.phase.set(Phase::ClosedByClient);
        hub.client_left(self.session, LeaveCause::Closed);
        let echo = code.and_then(CloseCode::new).map_or(Vec::new(), |code| frame::close_payload(code, ""));
        self.say_goodbye(echo);
    }

    /// It broke the protocol or a rule of the transport: it is over, and it is told why.
    fn misbehave(&self, hub: &Hub, code: CloseCode, reason: &str) {
        if self.phase.replace(Phase::Misbehaved) == Phase::Open {
            hub.client_left(self.session, LeaveCause::Misbehaved(code));
            self.say_goodbye(frame::close_payload(code, reason));
        }
    }

    fn say_goodbye(&self, close: Vec<u8>) {
        let mut writer = self.writer.borrow_mut();
        writer.drop_queue();
        writer.ask_close(close);
    }

    /// Ends the connection as it is. Its task does the rest.
    pub(super) fn kill(&self) {
        self.phase.set(Phase::Dead);
        self.wake();
    }

    /// Sees whether it is still there, and asks it where that is not clear. Returns when to look again; `None`: never.
    pub(super) fn check_alive(&self, hub: &Hub, now: Time) -> Option<Time> {
        if self.phase.get() != Phase::Open {
            return None;
        }
        if self.waits(hub, now) {
            // What it says is not read, so its silence says nothing. An orderly end waits behind what it has sent.
            self.seen_at.set(now);
            self.messaged_at.set(now);
            if self.stream.get().is_some_and(Stream::is_reset) {
                hub.client_left(self.session, LeaveCause::Lost);
                self.kill();
                return None;
            }
        }
        let idle_at = hub.patience.get().idle.map(|idle| self.messaged_at.get() + idle);
        if idle_at.is_some_and(|at| at <= now) {
            self.misbehave(hub, CloseCode::GOING_AWAY, "idle for too long");
            self.wake();
            return None;
        }
        let ping_at = hub.patience.get().ping_after.map(|silence| self.seen_at.get() + silence);
        let next = match ping_at {
            Some(at) if at > now => Some(at),
            Some(at) => Some(self.ping(hub, now, at + hub.patience.get().pong)?),
            None => None,
        };
        next.into_iter().chain(idle_at).min()
    }

    /// It has been silent: asks it to say something until `due`. Returns when to look again; `None`: it is gone.
    fn ping(&self, hub: &Hub, now: Time, due: Time) -> Option<Time> {
        if !self.pinged.replace(true) {
            frame::write(Opcode::Ping, &[], self.writer.borrow_mut().queue.bytes_mut());
            self.wake();
            return Some(now + hub.patience.get().pong);
        }
        if now < due {
            return Some(due);
        }
        hub.client_left(self.session, LeaveCause::TimedOut);
        self.kill();
        None
    }
}
