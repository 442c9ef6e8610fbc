//! The task that drives an endpoint: it owns the link, keeps the time, and takes what comes from outside the thread.

use std::{
    future::poll_fn,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use tokio::{
    sync::{mpsc, watch},
    time::{Sleep, sleep_until},
};
use trunkline_core::{CloseCode, Input, LeaveCause, LinkId, Millis, Time, language};

use super::{
    Command, Hub, Machine, Status,
    link::{Break, Connection, Dial, dial},
    outlet::LinkOrder,
};
use crate::{
    clock::unix_millis,
    stream::Stream,
    ws::{Item, Opcode, frame},
};

/// Commands, and reads of the link, in a row before others get their turn.
const COMMANDS_PER_TURN: usize = 64;
const READS_PER_TURN: usize = 4;
/// How often the wall clock and the link's peer are looked at.
const LOOK_EVERY: Millis = Millis(1_000);
/// A client is looked at at least this often.
const CHECK_WITHIN: Millis = Millis(60_000);
/// The wall clock was set if it differs from the passing of time by more than this since the last look.
const STEP_MS: i64 = 500;

/// Drives the endpoint until it has drained.
pub(super) async fn drive(hub: Rc<Hub>, commands: mpsc::Receiver<Command>, status: watch::Sender<Status>) {
    let mut driver = Driver {
        timer: Box::pin(sleep_until(hub.clock.instant(hub.clock.now()))),
        timer_at: None,
        look_at: hub.clock.now(),
        wall_ahead_ms: None,
        hub,
        commands,
        status,
        link: Link::None,
        parting: None,
        again: false,
    };
    poll_fn(|cx| driver.poll(cx)).await;
}

struct Driver {
    hub: Rc<Hub>,
    commands: mpsc::Receiver<Command>,
    status: watch::Sender<Status>,
    link: Link,
    /// A connection to where the backend was: it has been closed, and its end is waited for.
    parting: Option<(Box<Connection>, Time)>,
    /// The link has just begun to do something, and has to be looked at before anything can wake for it.
    again: bool,
    timer: Pin<Box<Sleep>>,
    /// What the timer is set to.
    timer_at: Option<Time>,
    look_at: Time,
    /// How far the wall clock was ahead of the passing of time when it was last looked at.
    wall_ahead_ms: Option<i64>,
}

/// The link, as a socket.
enum Link {
    None,
    Dialling(LinkId, Dial),
    Open(LinkId, Box<Connection>),
    /// The machine has done with it: what is queued goes out, and its end is waited for.
    Closing(Box<Connection>, Time),
}

impl Driver {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let now = self.hub.begin_turn();
        self.hub.machine.borrow_mut().outlet.driver_awake();
        self.take_commands(cx, now);
        let busy = self.poll_link(cx, now);
        self.parting.take_if(|(connection, until)| now >= *until || is_ended(connection, cx));
        self.keep_time(now);
        self.hub.input(now, Input::Deadline);
        self.carry_out_orders(now);
        self.hub.end_turn(now);
        self.poll_write(cx, now);
        self.publish();
        if self.is_over() {
            return Poll::Ready(());
        }
        let again = std::mem::take(&mut self.again);
        if busy || again || self.sleep(cx) {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    fn is_over(&self) -> bool {
        if self.hub.client_tasks.get() > 0 || !matches!(self.link, Link::None) || self.parting.is_some() {
            return false;
        }
        let outlet = &self.hub.machine.borrow().outlet;
        outlet.is_empty && outlet.clients().next().is_none()
    }

    fn publish(&self) {
        let machine = self.hub.machine.borrow();
        let status = Status { link: machine.outlet.link_phase, accepting: machine.endpoint.accepts() };
        self.hub.metrics.load.set(&machine.endpoint.figures(), machine.outlet.stopped);
        drop(machine);
        self.status.send_if_modified(|published| std::mem::replace(published, status) != status);
    }

    // --- From outside ---

    fn take_commands(&mut self, cx: &mut Context<'_>, now: Time) {
        for _ in 0..COMMANDS_PER_TURN {
            match self.commands.poll_recv(cx) {
                Poll::Ready(Some(command)) => self.take(command, now),
                // Nobody is left who could ask for anything.
                Poll::Ready(None) => return self.hub.input(now, Input::Drain),
                Poll::Pending => return,
            }
        }
        cx.waker().wake_by_ref();
    }

    fn take(&mut self, command: Command, now: Time) {
        if matches!(command, Command::Ask { .. }) {
            // When its token expires depends on the wall clock as it stands now.
            self.look_at_wall_clock(now);
        }
        let hub = &self.hub;
        match command {
            Command::Ask { identity, expires, answer } => {
                let admitted = hub.ask(now, identity, expires);
                if let (Err(_), Ok(session)) = (answer.send(admitted), admitted) {
                    hub.client_left(session, LeaveCause::Lost);
                }
            }
            Command::Attach { session, transport, early, place, client: address, trace } => {
                match (hub.client(session), transport.attach()) {
                    (Some(client), Ok(transport)) => {
                        let stream = Stream::new(transport);
                        // They are set here only.
                        let _ = client.address.set(address);
                        client.trace.set(trace);
                        hub.machine.borrow_mut().outlet.check_later(now, session);
                        hub.client_tasks.set(hub.client_tasks.get() + 1);
                        tokio::task::spawn_local(client.serve(Rc::clone(hub), stream, early, place));
                    }
                    _ => hub.client_left(session, LeaveCause::Lost),
                }
            }
            Command::Abandon { session } => hub.client_left(session, LeaveCause::Lost),
            Command::Inspect(question) => hub.inspect(now, question),
            Command::Change { config, moved, done } => {
                hub.change(now, *config, moved);
                // Nobody may wait for it any more.
                let _ = done.send(());
            }
            Command::Drain => hub.input(now, Input::Drain),
        }
    }

    // --- The link ---

    fn carry_out_orders(&mut self, now: Time) {
        loop {
            let order = self.hub.machine.borrow_mut().outlet.next_order();
            match order {
                Some(LinkOrder::Dial(link)) => self.dial(link),
                Some(LinkOrder::Abort) => self.drop_link(),
                Some(LinkOrder::Close) => self.close_link(now),
                None => return,
            }
        }
    }

    fn dial(&mut self, link: LinkId) {
        let key = STANDARD.encode(self.hub.machine.borrow_mut().outlet.random().bytes::<16>());
        let config = self.hub.config();
        tracing::debug!(target: "link", endpoint = config.name, ?link, "dialling");
        self.part();
        self.link = Link::Dialling(link, dial(&config, key));
        self.again = true;
    }

    /// Makes room for the next link. One that was closed in good order may take its time to end.
    fn part(&mut self) {
        match std::mem::replace(&mut self.link, Link::None) {
            Link::Closing(connection, until) if self.hub.machine.borrow().outlet.link_queue.is_empty() => {
                self.parting = Some((connection, until));
            }
            _ => self.drop_link(),
        }
    }

    /// The connection ends as it is. What was queued for it is gone.
    fn drop_link(&mut self) {
        self.link = Link::None;
        self.hub.machine.borrow_mut().outlet.clear_link(self.hub.clock.micros());
    }

    fn close_link(&mut self, now: Time) {
        self.link = match std::mem::replace(&mut self.link, Link::None) {
            Link::Open(_, connection) => {
                self.say_close(&frame::close_payload(CloseCode::GOING_AWAY, ""));
                Link::Closing(connection, now + self.hub.patience.get().close)
            }
            _ => Link::None,
        };
        self.again = true;
    }

    fn say_close(&self, payload: &[u8]) {
        self.hub.machine.borrow_mut().outlet.queue_for_link(Opcode::Close, payload.len(), |out| {
            out.extend_from_slice(payload);
        });
    }

    /// Takes what comes from the link. Whether there may be more.
    fn poll_link(&mut self, cx: &mut Context<'_>, now: Time) -> bool {
        match std::mem::replace(&mut self.link, Link::None) {
            Link::None => false,
            Link::Dialling(link, mut dial) => {
                match dial.as_mut().poll(cx) {
                    Poll::Pending => {
                        self.link = Link::Dialling(link, dial);
                        return false;
                    }
                    Poll::Ready(Ok(connection)) => {
                        let left = !self.hub.machine.borrow().outlet.link_queue.is_empty();
                        debug_assert!(!left, "what was for another link would go out on this one");
                        self.link = Link::Open(link, Box::new(connection));
                        self.hub.input(now, Input::LinkUp { link });
                    }
                    Poll::Ready(Err(fault)) => {
                        let config = self.hub.config();
                        let (endpoint, backend) = (config.name.as_str(), &config.backend);
                        tracing::warn!(target: "link", endpoint, %backend, %fault, "no link");
                        self.hub.input(now, Input::LinkDown { link });
                    }
                }
                true
            }
            Link::Open(link, mut connection) => {
                let read = read_some(&self.hub, link, &mut connection, cx, now);
                self.link = Link::Open(link, connection);
                match read {
                    Ok(busy) => busy,
                    Err(why) => {
                        self.break_link(link, &why, cx, now);
                        true
                    }
                }
            }
            Link::Closing(mut connection, until) => {
                let over = now >= until || is_ended(&mut connection, cx);
                if over {
                    self.drop_link();
                } else {
                    self.link = Link::Closing(connection, until);
                }
                over
            }
        }
    }

    fn break_link(&mut self, link: LinkId, why: &Break, cx: &mut Context<'_>, now: Time) {
        tracing::warn!(target: "link", endpoint = self.hub.config().name, %why, "link broken");
        if let (Some(farewell), Link::Open(_, connection)) = (why.farewell(), &self.link) {
            // As far as the socket takes it at once; the frame in progress must not be cut by another.
            let stream = Rc::clone(&connection.stream);
            self.hub.machine.borrow_mut().outlet.link_queue.drop_unbegun();
            self.say_close(&farewell);
            let _ = self.hub.machine.borrow_mut().outlet.link_queue.write(&stream, cx);
        }
        self.lose_link(link, now);
    }

    /// The machine hears it first: what is due before it does still goes to the old link, and is dropped with it.
    fn lose_link(&mut self, link: LinkId, now: Time) {
        self.hub.input(now, Input::LinkDown { link });
        self.drop_link();
    }

    /// Writes what is queued for the link: one write, however many spoke.
    fn poll_write(&mut self, cx: &mut Context<'_>, now: Time) {
        let (stream, link) = match &self.link {
            Link::Open(link, connection) => (&connection.stream, Some(*link)),
            Link::Closing(connection, _) => (&connection.stream, None),
            Link::None | Link::Dialling(..) => return,
        };
        if !self.hub.machine.borrow_mut().outlet.queue_pong() {
            return;
        }
        let written = self.hub.machine.borrow_mut().outlet.link_queue.write(stream, cx);
        match (written, link) {
            (Ok(bytes), Some(link)) if bytes > 0 => {
                self.hub.machine.borrow_mut().outlet.link_took(self.hub.clock.micros());
                self.hub.input(now, Input::LinkSent { link, bytes });
                self.hub.end_turn(now);
                // What could go now that these have gone is for the next turn.
                if self.hub.machine.borrow_mut().outlet.queue_pong() {
                    cx.waker().wake_by_ref();
                }
            }
            (Ok(_), _) => {}
            (Err(error), Some(link)) => {
                self.break_link(link, &Break::Failed(error), cx, now);
                cx.waker().wake_by_ref();
            }
            (Err(_), None) => self.drop_link(),
        }
    }

    // --- Time ---

    fn keep_time(&mut self, now: Time) {
        while let Some(client) = self.next_overdue(now) {
            client.kill();
        }
        self.hub.machine.borrow_mut().outlet.release(now);
        while let Some(client) = self.next_check(now) {
            if let Some(at) = client.check_alive(&self.hub, now) {
                // Soon enough for the list to forget who has left.
                let at = at.clamp(now + Millis(1), now + CHECK_WITHIN);
                self.hub.machine.borrow_mut().outlet.check_later(at, client.session);
            }
        }
        if now >= self.look_at {
            self.look_at = now + LOOK_EVERY;
            self.look_at_wall_clock(now);
            self.look_at_peer(now);
        }
    }

    fn next_overdue(&self, now: Time) -> Option<Rc<super::Client>> {
        self.hub.machine.borrow_mut().outlet.next_overdue(now)
    }

    fn next_check(&self, now: Time) -> Option<Rc<super::Client>> {
        self.hub.machine.borrow_mut().outlet.next_check(now)
    }

    /// Tokens expire by the wall clock, and the machine goes by the passing of time.
    fn look_at_wall_clock(&mut self, now: Time) {
        let ahead = unix_millis() as i64 - now.0 as i64;
        let forward = self.wall_ahead_ms.map_or(0, |before| ahead - before);
        if self.wall_ahead_ms.is_none() || forward.abs() > STEP_MS {
            self.wall_ahead_ms = Some(ahead);
        }
        if forward.abs() > STEP_MS {
            tracing::warn!(target: "gateway", forward_ms = forward, "the wall clock was set");
            self.hub.input(now, Input::WallClockStepped { forward });
        }
    }

    fn look_at_peer(&mut self, now: Time) {
        if let Link::Open(link, connection) = &self.link
            && connection.stream.is_unanswered()
        {
            let link = *link;
            tracing::warn!(target: "link", endpoint = self.hub.config().name, "link broken: the backend has vanished");
            self.lose_link(link, now);
        }
    }

    /// Sleeps until something is due, or someone calls. Whether it is due already.
    fn sleep(&mut self, cx: &mut Context<'_>) -> bool {
        let closing = match &self.link {
            Link::Closing(_, until) => Some(*until),
            _ => None,
        };
        let parting = self.parting.as_ref().map(|(_, until)| *until);
        let mut machine = self.hub.machine.borrow_mut();
        let Machine { endpoint, outlet, .. } = &mut *machine;
        if outlet.has_orders() {
            return true;
        }
        let deadlines =
            [endpoint.next_deadline(), outlet.next_deadline(), closing, parting, Some(self.look_at)];
        let deadline = deadlines.into_iter().flatten().min();
        outlet.driver_sleeps(cx.waker().clone(), deadline);
        drop(machine);
        if let Some(at) = deadline.filter(|_| deadline != self.timer_at) {
            self.timer.as_mut().reset(self.hub.clock.instant(at));
            self.timer_at = deadline;
        }
        if self.timer.as_mut().poll(cx).is_ready() {
            self.timer_at = None;
            return true;
        }
        false
    }
}

/// Reads the link and hands in what the backend says. Whether there may be more.
fn read_some(
    hub: &Rc<Hub>,
    link: LinkId,
    connection: &mut Connection,
    cx: &mut Context<'_>,
    now: Time,
) -> Result<bool, Break> {
    for _ in 0..READS_PER_TURN {
        while let Some(item) = connection.next()? {
            match item {
                Item::Text(text) => act(hub, link, text.as_bytes(), now),
                Item::Binary(bytes) => act(hub, link, bytes, now),
                Item::Ping(payload) => hub.machine.borrow_mut().outlet.note_ping(payload),
                Item::Pong(payload) => {
                    if let Ok(counter) = payload.try_into().map(u64::from_be_bytes) {
                        hub.input(now, Input::Pong { link, counter });
                    }
                }
                Item::Close(code, _) => return Err(Break::Closed(code)),
            }
        }
        hub.end_turn(now);
        match connection.poll_read(cx) {
            Poll::Pending => return Ok(false),
            Poll::Ready(read) => read?,
        }
    }
    Ok(true)
}

fn act(hub: &Rc<Hub>, link: LinkId, frame: &[u8], now: Time) {
    let action = language::decode(frame, hub.config.borrow().binary);
    if action.is_err() {
        hub.machine.borrow_mut().outlet.note_frame(frame);
    }
    hub.input(now, Input::Action { link, action });
}

/// Whether the backend has ended a connection that the gateway has closed.
fn is_ended(connection: &mut Connection, cx: &mut Context<'_>) -> bool {
    loop {
        match connection.next() {
            Ok(Some(Item::Close(..))) | Err(_) => return true,
            Ok(Some(_)) => continue,
            Ok(None) => {}
        }
        match connection.poll_read(cx) {
            Poll::Pending => return false,
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) => return true,
        }
    }
}
