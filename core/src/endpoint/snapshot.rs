//! The state of a machine between two inputs, for whoever begins to watch it then and has not seen how it came there.
//!
//! It is not what `serde` writes down, which is for a machine of the same version to go on from: here is what the state
//! says of sessions and link, and nothing of how it is kept.

use alloc::{collections::VecDeque, vec::Vec};

use super::{
    Endpoint,
    link::Line,
    session::{Client, Session, Stage},
};
use crate::{Identity, LinkId, LinkPhase, Millis, Payload, SessionId, Settings, Time};

/// All of it.
#[derive(Debug)]
pub struct Snapshot<'a, P> {
    /// Of the endpoint.
    pub settings: &'a Settings,
    /// The time of the last input.
    pub now: Time,
    /// [`Endpoint::next_deadline`].
    pub next: Option<Time>,
    /// Slots that there ever were: there may be more than the settings allow by now.
    pub slots: u32,
    /// The sessions that have a slot, oldest first.
    pub sessions: Vec<SessionSnapshot<'a, P>>,
    /// Sessions whose `close` waits for its turn to go out, in that order.
    pub owed: &'a VecDeque<SessionId>,
    /// Users whose last `close` has left, as far as they are remembered, and when, in no order.
    pub left: Vec<(&'a str, Time)>,
    /// Users of whom a `close` has left, and when the gap after it is over or was, in no order.
    pub gaps: Vec<(&'a str, Time)>,
    /// The link that was dialled last; 0: none was.
    pub link: LinkId,
    /// How it is.
    pub line: LinkSnapshot<'a, P>,
    /// The counter of the last Ping.
    pub pings: u64,
    /// Since when an outage lasts, and how clients are being closed.
    pub outage: Option<(Time, Option<Turns>)>,
    /// The drain.
    pub drain: Option<Draining<'a>>,
    /// Nobody is read from.
    pub all_stopped: bool,
}

/// A session that has a slot.
#[derive(Debug)]
pub struct SessionSnapshot<'a, P> {
    /// Its id.
    pub id: SessionId,
    /// Counts the admissions.
    pub number: u64,
    /// Whose it is.
    pub identity: &'a Identity,
    /// When its token expires, where that ends it, and it lives.
    pub expires: Option<Time>,
    /// What is due of its `close`; `None`: it lives.
    pub over: Option<CloseState>,
    /// A drain waits for its `close` no longer.
    pub given_up: bool,
    /// Where its client is.
    pub client: ClientState,
    /// The link that its last `open` went out on, and when; and whether an earlier one had it too.
    pub opened: Option<(LinkId, Time, bool)>,
    /// The link on which its turn to be opened came before its user's gap had passed.
    pub passed_on: Option<LinkId>,
    /// It is not read from.
    pub stopped: bool,
    /// Bytes of its messages that links have taken since the last Ping.
    pub spent: usize,
    /// Bytes queued for its client.
    pub queued: usize,
    /// Messages that are to be sent again.
    pub again: Vec<&'a P>,
    /// Messages that are parked, which come after those.
    pub parked: Vec<&'a P>,
}

/// What is due of the `close` of a session that is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CloseState {
    /// Nothing, or nothing any more.
    Settled,
    /// It is to go out.
    Owed,
    /// The link has it.
    Sent {
        /// When its user's gap is over, or was; `None`: it has not left.
        free: Option<Time>,
        /// Whether the backend has it.
        confirmed: bool,
    },
}

/// Where a client is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClientState {
    /// Connected.
    In,
    /// Connected, and to be closed as soon as its `close` is settled: it was drained.
    Leaving,
    /// Told to go.
    Closed,
    /// Gone.
    Left,
}

/// How the link is.
#[allow(clippy::large_enum_variant, reason = "there is one of them at a time")]
#[derive(Debug)]
pub enum LinkSnapshot<'a, P> {
    /// There is none; it will be dialled.
    Gone,
    /// It is being made.
    Dialled,
    /// It is up.
    Up(Up<'a, P>),
    /// The drain is over.
    Over,
}

/// A link that is up. Bytes are counted since it came up.
#[derive(Debug)]
pub struct Up<'a, P> {
    /// Which.
    pub link: LinkId,
    /// What was said of it.
    pub phase: LinkPhase,
    /// Senders are stopped.
    pub full: bool,
    /// Until when it is there at most, as it is left for another.
    pub leaves_by: Option<Time>,
    /// Bytes queued so far.
    pub emitted: u64,
    /// Of these, bytes that have gone out.
    pub sent: u64,
    /// Closes that are queued, and after how many bytes each has left.
    pub leaving: &'a VecDeque<(u64, SessionId)>,
    /// Events since the last Ping.
    pub unpinged: Batch,
    /// When the first of them was queued, where there is one.
    pub unpinged_since: Time,
    /// Events before the Ping that is outstanding.
    pub pinged: Batch,
    /// The Ping that is outstanding, and when it was queued.
    pub ping: Option<(u64, Time)>,
    /// When the last Ping was answered, or else when the link came up.
    pub quiet_since: Time,
    /// Closes that are not confirmed, and the Ping that will confirm each.
    pub closes: &'a VecDeque<(u64, SessionId)>,
    /// Messages that are not confirmed, those that are kept, and the Ping that will confirm each.
    pub kept: Vec<(u64, SessionId, &'a P)>,
    /// Owed closes that have to go out before settling can end: the first of those that are owed.
    pub settling: usize,
    /// The Ping whose answer ends the phase, once everything of the phase has gone out.
    pub target: Option<u64>,
    /// Sessions up to this number are to be opened before announcing can end.
    pub announcing_to: u64,
}

/// Events on their way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Batch {
    /// There are none.
    pub empty: bool,
    /// Their bytes.
    pub bytes: usize,
    /// How many of them are messages.
    pub messages: u64,
}

/// Ends that are spread over a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Turns {
    /// From when.
    pub start: Time,
    /// Over how long.
    pub span: Millis,
    /// How many.
    pub total: u64,
    /// Of these, how many have been taken.
    pub done: u64,
}

/// A drain.
#[derive(Debug)]
pub struct Draining<'a> {
    /// The ends.
    pub turns: Turns,
    /// Until when the `close` of each session that is over is waited for.
    pub give_ups: &'a VecDeque<(Time, SessionId)>,
    /// It is over.
    pub over: bool,
}

impl<P: Payload> Endpoint<P> {
    /// The state as it is now. It takes time and memory in proportion to the sessions.
    pub fn snapshot(&self) -> Snapshot<'_, P> {
        let line = match &self.line {
            Line::Waiting { .. } => LinkSnapshot::Gone,
            Line::Dialling { .. } => LinkSnapshot::Dialled,
            Line::Connected(line) => LinkSnapshot::Up(line.snapshot()),
            Line::Over => LinkSnapshot::Over,
        };
        let mut sessions: Vec<_> =
            self.sessions.iter().map(|(id, session)| self.session_snapshot(id, session)).collect();
        sessions.sort_unstable_by_key(|session| session.number);
        Snapshot {
            settings: &self.settings,
            now: self.now,
            next: self.next_deadline(),
            slots: self.sessions.len(),
            sessions,
            owed: &self.owed,
            left: self.users.iter().filter_map(|(_, user)| Some((&*user.name, user.closed_at?))).collect(),
            gaps: self.users.iter().map(|(_, user)| (&*user.name, user.free_at)).collect(),
            link: LinkId(self.links),
            line,
            pings: self.pings,
            outage: self.outage.as_ref().map(super::Outage::snapshot),
            drain: self.drain.as_ref().map(super::Drain::snapshot),
            all_stopped: self.all_stopped,
        }
    }

    fn session_snapshot<'a>(&self, id: SessionId, session: &'a Session<P>) -> SessionSnapshot<'a, P> {
        let held = session.held.as_deref();
        SessionSnapshot {
            id,
            number: session.number,
            identity: &session.identity,
            expires: session.expires,
            over: match session.stage {
                Stage::Live => None,
                Stage::Owed => Some(CloseState::Owed),
                Stage::Sent { free_at: free, confirmed } => Some(CloseState::Sent { free, confirmed }),
                Stage::Settled => Some(CloseState::Settled),
            },
            given_up: session.given_up,
            client: match session.client {
                Client::Open => ClientState::In,
                Client::Leaving => ClientState::Leaving,
                Client::Closing => ClientState::Closed,
                Client::Gone => ClientState::Left,
            },
            opened: session.opened_on.map(|link| (link, session.opened_at, session.reopened)),
            passed_on: session.passed_on,
            stopped: session.stopped,
            spent: session.spent_since(self.pings.saturating_add(1)),
            queued: session.queued,
            again: held.into_iter().flat_map(|held| &held.again).map(|(payload, _)| payload).collect(),
            parked: held.into_iter().flat_map(|held| &held.parked).collect(),
        }
    }
}
