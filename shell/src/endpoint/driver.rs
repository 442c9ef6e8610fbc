//! The task that drives an endpoint: it owns the link, and keeps the time.

use std::{
    future::poll_fn,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use tokio::{
    sync::watch,
    time::{Sleep, sleep_until},
};
use trunkline_core::{
    CloseCode, Input, LinkId, Millis, Time,
    language::{self, Action, BadAction},
};

use super::{
    Hub, Machine, Status,
    link::{Break, Connection, Dial, dial},
    outlet::LinkOrder,
};
use crate::ws::{Item, Opcode, frame};

/// Reads of the link in a row before others get their turn.
const READS_PER_TURN: usize = 4;
/// How often the wall clock and the link's peer are looked at.
const LOOK_EVERY: Millis = Millis(1_000);

/// Drives the endpoint until it has drained.
pub(super) async fn drive(hub: Rc<Hub>, status: watch::Sender<Status>) {
    let mut driver = Driver {
        timer: Box::pin(sleep_until(hub.clock.instant(hub.clock.now()))),
        timer_at: None,
        look_at: hub.clock.now(),
        hub,
        status,
        link: Link::None,
        parting: None,
        again: false,
    };
    poll_fn(|cx| driver.poll(cx)).await;
}

struct Driver {
    hub: Rc<Hub>,
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
        let busy = self.poll_link(cx, now);
        self.parting.take_if(|(connection, until)| now >= *until || is_ended(connection, cx));
        self.keep_time(now);
        self.hub.pass_time(now);
        self.carry_out_orders(now);
        self.hub.end_turn(now);
        self.poll_write(cx, now);
        self.hub.publish(&self.status);
        if self.is_over() {
            return Poll::Ready(());
        }
        let again = std::mem::take(&mut self.again);
        if busy || again || self.sleep(cx, now) {
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
            self.hub.check(&client, now);
        }
        if now >= self.look_at {
            self.look_at = now + LOOK_EVERY;
            self.hub.look_at_wall_clock(now);
            self.look_at_peer(now);
        }
    }

    fn next_overdue(&self, now: Time) -> Option<Rc<super::Client>> {
        self.hub.machine.borrow_mut().outlet.next_overdue(now)
    }

    fn next_check(&self, now: Time) -> Option<Rc<super::Client>> {
        self.hub.machine.borrow_mut().outlet.next_check(now)
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
    fn sleep(&mut self, cx: &mut Context<'_>, now: Time) -> bool {
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
        let deadline = [endpoint.next_deadline(), outlet.next_deadline(), closing, parting]
            .into_iter()
            .fold(self.look_at, |earliest, due| due.map_or(earliest, |due| due.min(earliest)));
        outlet.driver_sleeps(cx.waker().clone(), deadline);
        drop(machine);
        // One that rings early is set anew then: with each message the deadline is a little later.
        if self.timer_at.is_none_or(|at| at <= now || deadline < at) {
            self.timer.as_mut().reset(self.hub.clock.instant(deadline));
            self.timer_at = Some(deadline);
        }
        self.timer.as_mut().poll(cx).is_ready()
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
    let binary = hub.config.borrow().binary;
    for _ in 0..READS_PER_TURN {
        while let Some(item) = connection.next()? {
            match item {
                Item::Text(text) => act(hub, link, text.as_bytes(), language::decode_text(text, binary), now),
                Item::Binary(bytes) => act(hub, link, bytes, language::decode(bytes, binary), now),
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

fn act(hub: &Rc<Hub>, link: LinkId, frame: &[u8], action: Result<Action<'_>, BadAction>, now: Time) {
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
