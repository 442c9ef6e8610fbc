//! What a history is made of: sessions, the link, and what is on its way between them.

use std::{
    collections::{BTreeSet, VecDeque},
    ops::Deref,
};

use trunkline_core::{EndCause, Identity, LinkId, LinkPhase, Millis, Redeliver, SessionId, Settings, Time};

use crate::said::{Msg, What};

/// What a parked message weighs beside its size.
pub const PARKED_OVERHEAD: usize = 64;

/// When something happened: exactly (`from == to`), or within a deadline that was handled late.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct When {
    /// Not before.
    pub from: Time,
    /// Not after.
    pub to: Time,
}

/// A session, as far as anything about it can still be heard.
#[derive(Clone, Debug)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Counts the sessions: the older has the smaller one.
    pub number: u64,
    /// Whose it is.
    pub who: Identity,
    /// When its token expires.
    pub expires: Option<Time>,
    /// When and why it ended.
    pub ended: Option<(When, EndCause)>,
    /// Where its client is.
    pub client: Client,
    /// Whether its client may not be read from.
    pub stopped: Option<u64>,
    /// Bytes queued for its client.
    pub queue: usize,
    /// Bytes of the queue that were lost, until a fact counts them.
    pub queue_lost: usize,
    /// The last link on which its `open` went out, and when; and whether that was its second link or later.
    pub opened: Option<Opened>,
    /// What is due of its `close`.
    pub close: Close,
    /// Its client's messages that no link has taken.
    pub line: Messages,
    /// Those that a broken link had taken, to be sent again.
    pub kept: Messages,
    /// Those that the link has taken and not confirmed, and what becomes of each if it breaks before.
    pub sent: VecDeque<(Msg, Redeliver)>,
    /// Those that broke with a link and whose session is over, until a fact counts them.
    pub lost: usize,
    /// Its events that the link has taken and not confirmed.
    pub on_way: usize,
    /// Bytes of its messages that links have taken, and after which Ping: see [`History::spent`](crate::history::History::spent).
    pub spent: (usize, u64),
    /// The link on which it was live when announcing began, and did not wait for its gap.
    pub listed: Option<LinkId>,
}

/// Messages that wait, and what they weigh.
#[derive(Clone, Debug, Default)]
pub struct Messages {
    pub(crate) queue: VecDeque<Msg>,
    bytes: usize,
}

/// Where an `open` went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Opened {
    /// Over which link.
    pub link: LinkId,
    /// When.
    pub at: Time,
    /// Whether an earlier link had it too.
    pub again: bool,
    /// Whether this link confirmed it.
    pub confirmed: bool,
}

/// Where a client is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Client {
    /// Connected.
    In,
    /// Told to go.
    Closed,
    /// Gone.
    Left,
}

/// What is due of a session's `close`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Close {
    /// Nothing.
    NotDue,
    /// It is to go out, again if a link that had it broke.
    Owed,
    /// The link has it: up to this byte, which left at that time.
    Said {
        /// Counted from the link's first byte.
        end: u64,
        /// Once that byte has left: when the gap after it is over.
        free: Option<Time>,
    },
    /// The backend has it.
    Confirmed {
        /// Once its last byte has left: when the gap after it is over.
        free: Option<Time>,
    },
}

/// The link that was dialled last.
#[derive(Clone, Debug)]
pub struct Link {
    /// Which.
    pub id: LinkId,
    /// How it is.
    pub state: LinkState,
    /// When it came to be so.
    pub since: When,
    /// What the machine says.
    pub phase: LinkPhase,
    /// Bytes emitted and sent so far.
    pub emitted: u64,
    /// Bytes that have gone out.
    pub sent: u64,
    /// Closes that are queued, and up to which byte.
    pub leaving: VecDeque<(u64, SessionId)>,
    /// Events that no Ping has followed.
    pub unpinged: Batch,
    /// Events that the outstanding Ping has followed.
    pub pinged: Batch,
    /// The outstanding Ping, and when it went.
    pub ping: Option<(u64, When)>,
    /// The last Pong, or when it came up.
    pub calm_since: Time,
    /// Whether it takes no events.
    pub full: bool,
    /// Until when it is there at most, as it is left for another.
    pub leaves_by: Option<Time>,
    /// Whether the machine says so.
    pub told_full: bool,
    /// Sessions whose `close` was owed when it came up, but for the first of them that are done.
    pub settling: VecDeque<SessionId>,
    /// Once that is done: of the sessions that were [listed](Session::listed) those that live and are not opened, by
    /// number.
    pub announcing: Option<BTreeSet<u64>>,
}

/// Events on their way.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Those that have been seen.
    pub events: Vec<Emitted>,
    /// Messages that had gone before anything was seen: whose they were is not known.
    pub earlier_messages: u64,
    /// Of all, in bytes.
    pub bytes: usize,
    /// When the first one went; `None` where there is none.
    pub since: Option<When>,
}

/// How a link is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LinkState {
    /// There is none.
    Gone,
    /// Being made.
    Dialled,
    /// Up.
    Up,
    /// Told to close.
    Closing,
}

/// An event on its way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Emitted {
    /// Whose.
    pub session: SessionId,
    /// What.
    pub what: What,
}

/// Ends that are spread over a time: the k-th of n at `start + ceil(k * span / n)`.
#[derive(Clone, Debug)]
pub struct Turns {
    /// From when.
    pub start: When,
    /// Over how long.
    pub span: Millis,
    /// Who, oldest first.
    pub list: Vec<SessionId>,
    /// Of these, the first that lives.
    pub first: usize,
    /// The number of the last.
    pub last_number: u64,
    /// How many turns have been taken.
    pub taken: usize,
}

impl When {
    /// Exactly then.
    pub fn at(time: Time) -> Self {
        When { from: time, to: time }
    }
}

impl Turns {
    /// How many turns have certainly passed, and how many may have.
    pub fn passed(&self, now: Time) -> (usize, usize) {
        let (turns, span) = (self.list.len() as u128, u128::from(self.span.0));
        let count = |start: Time| {
            let passed = u128::from((now - start).0) * turns;
            let all = if start <= now { turns } else { 0 };
            passed.checked_div(span).unwrap_or(all).min(turns) as usize
        };
        (count(self.start.to), count(self.start.from))
    }

    /// Who of them lives and is first.
    pub fn first(&self) -> Option<SessionId> {
        self.list.get(self.first).copied()
    }
}

impl Session {
    pub(crate) fn new(id: SessionId, who: Identity, expires: Option<Time>) -> Self {
        Session {
            id,
            number: 0,
            who,
            expires,
            ended: None,
            client: Client::In,
            stopped: None,
            queue: 0,
            queue_lost: 0,
            opened: None,
            close: Close::NotDue,
            line: Messages::default(),
            kept: Messages::default(),
            sent: VecDeque::new(),
            lost: 0,
            on_way: 0,
            spent: (0, 0),
            listed: None,
        }
    }

    /// Whether it is not over.
    pub fn is_live(&self) -> bool {
        self.ended.is_none()
    }

    /// Whether its `open` went out on this link.
    pub fn is_open_on(&self, link: &Link) -> bool {
        link.state == LinkState::Up && self.opened.is_some_and(|opened| opened.link == link.id)
    }

    /// Whether it ended, but what it had parked still goes out before its `close`.
    pub fn follows(&self, link: &Link) -> bool {
        self.is_open_on(link)
            && self.ended.is_some_and(|(_, cause)| !matches!(cause, EndCause::Expired | EndCause::Backend))
    }

    /// Bytes that it has parked.
    pub fn parked(&self) -> usize {
        self.line.bytes
    }

    /// Messages of it that wait.
    pub fn waiting(&self) -> usize {
        self.line.len() + self.kept.len()
    }
}

impl Messages {
    /// Their bytes, with what each weighs beside its size.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn push_back(&mut self, msg: Msg) {
        self.bytes += msg.size + PARKED_OVERHEAD;
        self.queue.push_back(msg);
    }

    pub(crate) fn drop_front(&mut self, count: usize) {
        let bytes: usize = self.queue.drain(..count).map(|msg| msg.size + PARKED_OVERHEAD).sum();
        self.bytes -= bytes;
    }

    pub(crate) fn pop_front(&mut self) -> Option<Msg> {
        let msg = self.queue.pop_front()?;
        self.bytes -= msg.size + PARKED_OVERHEAD;
        Some(msg)
    }
}

impl Deref for Messages {
    type Target = VecDeque<Msg>;

    fn deref(&self) -> &VecDeque<Msg> {
        &self.queue
    }
}

impl Link {
    pub(crate) fn new(id: LinkId, state: LinkState, since: When) -> Self {
        Link {
            id,
            state,
            since,
            phase: LinkPhase::Down,
            emitted: 0,
            sent: 0,
            leaving: VecDeque::new(),
            unpinged: Batch::default(),
            pinged: Batch::default(),
            ping: None,
            calm_since: since.to,
            full: false,
            leaves_by: None,
            told_full: false,
            settling: VecDeque::new(),
            announcing: None,
        }
    }

    pub(crate) fn fill(&mut self, settings: &Settings) {
        let high = settings.link.high_bytes;
        self.full |= self.queued() > high || self.unconfirmed() > high;
    }

    pub(crate) fn drain(&mut self, settings: &Settings) {
        let low = settings.link.low_bytes;
        if self.leaves_by.is_none() && self.queued() <= low && self.unconfirmed() <= low {
            self.full = false;
        }
    }

    /// Bytes queued.
    pub fn queued(&self) -> usize {
        (self.emitted - self.sent) as usize
    }

    /// Whether all that it has taken is confirmed.
    pub fn is_calm(&self) -> bool {
        self.ping.is_none() && self.unpinged.since.is_none()
    }

    /// Bytes of events that are not confirmed.
    pub fn unconfirmed(&self) -> usize {
        self.unpinged.bytes + self.pinged.bytes
    }
}
