//! The machine: one endpoint, its sessions and its link.
//!
//! It performs no I/O and reads no clock. [`Endpoint::handle`] takes what happened and says through a sink what to
//! do; between two inputs nothing happens. The files follow what a session meets:
//!
//! | file | what lives there |
//! |---|---|
//! | `admission` | a client asks to come in |
//! | `upstream` | from clients to the backend: messages, parking, what is opened and closed on the link |
//! | `downstream` | from the backend to clients: actions, the clients' queues |
//! | `ending` | a session ends, its `close` is confirmed, its user's gap passes, its slot is free |
//! | `outage` | the link comes and goes; clients are held, and for how long |
//! | `drain` | the gateway stops |
//! | `change` | settings change, the backend moves |
//! | `link`, `session`, `users`, `pace` | the parts that these work on |
//! | `survey` | what an operator may ask of it |
//! | `audit` | what must be true of them between two inputs |
//! | `key` | what of the state can still matter, as numbers |
//! | `snapshot` | the state, for whoever begins to watch |

// Sessions are indexed by slots that the machine's own lists and indices hold, which `Slots` has a proof for; what is
// counted in steps of one is in memory, or is a count of 64 bits. Bytes are not: others say how many, so they saturate.
#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing)]

mod admission;
#[allow(clippy::panic, reason = "an audit that finds nothing wrong is silent")]
mod audit;
mod change;
mod downstream;
mod drain;
mod ending;
mod key;
#[deny(clippy::arithmetic_side_effects, clippy::indexing_slicing)]
mod link;
mod outage;
#[deny(clippy::arithmetic_side_effects, clippy::indexing_slicing)]
mod pace;
mod session;
#[cfg(feature = "recording")]
pub(crate) mod snapshot;
mod survey;
mod upstream;
#[deny(clippy::arithmetic_side_effects, clippy::indexing_slicing)]
mod users;

pub(crate) use self::link::mix;
pub use self::{
    key::Naming,
    survey::{Figures, SessionView},
};

use alloc::collections::{BTreeSet, VecDeque};

use self::{
    drain::Drain,
    link::Line,
    outage::Outage,
    session::{Expires, List, Order, Slots},
    users::{UserIndex, Users},
};
use crate::{Fact, Input, Output, Payload, SessionId, Settings, Sink, Time};

/// Times at which something is due, of which one step does what is due then. What is due later is due at once again.
const TURNS_MAX: usize = 1_000_000;

/// One endpoint: a deterministic state machine that performs no I/O.
///
/// **Call [`handle`](Self::handle) with [`Input::Deadline`] when [`next_deadline`](Self::next_deadline) has
/// come**: everything that waits for time waits for that.
#[cfg_attr(feature = "recording", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug)]
pub struct Endpoint<P> {
    settings: Settings,
    now: Time,

    sessions: Slots<P>,
    users: Users,
    /// The live sessions, by age.
    live: List,
    /// Announced sessions whose messages wait for the link, by when they began to.
    backlog: List,
    /// Announced sessions that have sent their share, and whose messages wait for the next Ping, by when they began to.
    resting: List,
    /// Sessions admitted so far.
    admissions: u64,
    /// When the tokens of live sessions expire; of several at once, by age.
    expiries: BTreeSet<Expires>,

    line: Line<P>,
    /// Connections dialled so far.
    links: u64,
    /// Connections in a row that ended before the outage did.
    attempt: u32,
    /// Pings sent so far; the last one's counter.
    pings: u64,

    /// Sessions whose `close` waits for its turn to go out, in the order in which they ended.
    owed: VecDeque<SessionId>,
    /// Sessions that are over and not settled: each is owed something.
    owing: usize,
    /// When the gap after a `close` that has left will have passed, the first one first.
    gaps: VecDeque<(Time, SessionId, UserIndex)>,
    /// When a user whose sessions are gone may be forgotten, at the earliest.
    forgets: VecDeque<(Time, UserIndex)>,

    /// Bytes of parked messages, their overhead included.
    parked_bytes: usize,
    /// Bytes, as events, of messages that are to be sent again.
    again_bytes: usize,
    /// Bytes in the queues of live clients, and of those that are being closed.
    client_bytes: usize,
    closing_bytes: usize,
    /// Nobody is read from, since too much is parked in sum.
    all_stopped: bool,

    outage: Option<Outage>,
    drain: Option<Drain>,
}

impl<P: Payload> Endpoint<P> {
    /// An endpoint without a link, from `now` on: its first deadline, the first dial, is due at once, and the
    /// outage counts from here.
    pub fn new(settings: Settings, now: Time) -> Self {
        Endpoint {
            users: Users::new(settings.seed),
            settings,
            now,
            sessions: Slots::new(),
            live: List::new(Order::Age),
            backlog: List::new(Order::Backlog),
            resting: List::new(Order::Rest),
            admissions: 0,
            expiries: BTreeSet::new(),
            line: Line::Waiting { since: now, attempt: None },
            links: 0,
            attempt: 0,
            pings: 0,
            owed: VecDeque::new(),
            owing: 0,
            gaps: VecDeque::new(),
            forgets: VecDeque::new(),
            parked_bytes: 0,
            again_bytes: 0,
            client_bytes: 0,
            closing_bytes: 0,
            all_stopped: false,
            outage: Some(Outage::since(now)),
            drain: None,
        }
    }

    /// Takes what happened at `now` and says what to do.
    ///
    /// Total: any input is allowed at any time, with any id; one that names nothing changes nothing. Time that goes
    /// backwards is taken as standing still. What is due is done first, in the order in which it was due.
    pub fn handle<S: Sink<P> + ?Sized>(&mut self, now: Time, input: Input<'_, P>, out: &mut S) {
        // What was due when the last input came has been done then; but for the first dial, which is due from the beginning.
        if now > self.now || self.links == 0 {
            self.now = self.now.max(now);
            self.run_due(Time(0), out);
        }
        match input {
            Input::Ask { identity, expires } => self.ask(identity, expires, out),
            Input::Message { session, payload } => self.message(session, payload, out),
            Input::Left { session, cause } => self.left(session, cause, out),
            Input::ClientSent { session, bytes } => self.client_sent(session, bytes, out),
            Input::LinkUp { link } => self.link_up(link, out),
            Input::LinkDown { link } => self.link_down(link, out),
            Input::LinkSent { link, bytes } => self.link_sent(link, bytes, out),
            Input::Pong { link, counter } => self.pong(link, counter, out),
            Input::Action { link, action } => self.action(link, action, out),
            Input::Kick { session } => self.kick(session, out),
            Input::Deadline => {}
            Input::WallClockStepped { forward } => self.move_expiries(forward),
            Input::Drain => self.start_drain(),
            Input::Settings(settings) => self.change_settings(*settings, out),
            Input::Redial => self.redial(out),
        }
        self.pump(out);
        // What this input has made due is due now, however long ago it would have been.
        self.run_due(self.now, out);
    }

    /// When [`Input::Deadline`] is due next: after `now` of the last input, always. `None`: not before another
    /// input.
    pub fn next_deadline(&self) -> Option<Time> {
        let link = match &self.line {
            Line::Waiting { since, attempt } => [Some(self.dial_at(*since, *attempt)), None, None],
            Line::Connected(line) => {
                [line.pong_due(&self.settings.link), self.ping_due(line), line.leaves_by]
            }
            Line::Dialling { .. } | Line::Over => [None; 3],
        };
        let sessions = [
            self.expiry_due(),
            self.gaps.front().map(|&(at, ..)| at),
            self.forgets.front().map(|&(at, _)| at),
            self.outage_due(),
            self.drain_due(),
        ];
        let due = earliest(link).min(earliest(sessions));
        (due < NEVER).then_some(due)
    }

    /// Does what has become due, the earliest first, but nothing as of before `floor`. Each turn uses up what it was due
    /// for, so it comes to an end; were it not so, the step would end nevertheless.
    fn run_due<S: Sink<P> + ?Sized>(&mut self, floor: Time, out: &mut S) {
        for _ in 0..TURNS_MAX {
            let Some(at) = self.next_deadline().filter(|&at| at <= self.now) else { return };
            let at = at.max(floor);
            self.run_link(at, out);
            self.pass_gaps(at, out);
            self.forget_users(at);
            self.run_expiries(at, out);
            self.run_outage(at, out);
            self.run_drain(at, out);
            self.pump(out);
        }
        debug_assert!(false, "what was due is not used up");
    }

    /// Sends on whatever can go now. Every wait in the machine is for time, or for an input after which this runs.
    fn pump<S: Sink<P> + ?Sized>(&mut self, out: &mut S) {
        self.leave_link(out);
        self.pump_link(out);
        self.finish_drain(out);
        self.resume_all(out);
    }
}

/// No time is beyond it: what would be due then never is.
const NEVER: Time = Time(u64::MAX);

/// The first of some times; [`NEVER`] where there is none.
fn earliest<const N: usize>(times: [Option<Time>; N]) -> Time {
    times.into_iter().fold(NEVER, |earliest, time| earliest.min(time.unwrap_or(NEVER)))
}

fn tell<P, S: Sink<P> + ?Sized>(out: &mut S, fact: Fact<'_>) {
    out.emit(Output::Fact(fact));
}
