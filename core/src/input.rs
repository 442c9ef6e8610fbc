//! What can happen to an endpoint.

use alloc::boxed::Box;

use crate::{
    Identity, Settings, Time,
    language::{Action, BadAction},
};

/// A session: one accepted client on one endpoint. Minted by the machine only.
///
/// A slot is used again once its session is over in every respect; the generation tells the sessions of one
/// slot apart, so that a stale id is recognised.
#[cfg_attr(feature = "recording", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SessionId {
    /// Index of the slot: below `Settings::sessions_max`.
    pub slot: u32,
    /// How often the slot had been used before.
    pub generation: u32,
}

/// One connection to the backend: the n-th that was dialled, from 1. Minted by the machine only.
#[cfg_attr(feature = "recording", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LinkId(pub u64);

/// What a client sent. The machine moves, sizes and drops it, and can neither read nor change it.
pub trait Payload {
    /// Bytes that it holds while it waits.
    fn size(&self) -> usize;
}

impl Payload for alloc::string::String {
    fn size(&self) -> usize {
        self.len()
    }
}

/// Why a client left. Only told on in facts; it changes nothing in what the backend hears.
#[cfg_attr(
    feature = "recording",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LeaveCause {
    /// It began the closing handshake.
    Closed,
    /// Its connection ended without one.
    Lost,
    /// It stayed silent and answered no ping.
    TimedOut,
    /// It broke the protocol or a limit, and was closed by the transport with this code.
    Misbehaved(crate::CloseCode),
}

/// What happened, as one value. `'a` is borrowed from the frame of an action.
#[cfg_attr(
    feature = "recording",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[derive(Clone, PartialEq, Debug)]
pub enum Input<'a, P> {
    /// A client with a verified token asks to come in. Answered by exactly one [`Output::Admit`] or
    /// [`Output::Refuse`](crate::Output::Refuse) in the same step.
    ///
    /// [`Output::Admit`]: crate::Output::Admit
    Ask {
        /// The user and the path's parameters.
        identity: Identity,
        /// When the token expires, the leeway included; `None`: never.
        expires: Option<Time>,
    },
    /// A client sent a message.
    Message {
        /// Who sent it.
        session: SessionId,
        /// What it sent.
        payload: P,
    },
    /// A client left: it closed, was lost, or its connection has ended after
    /// [`Output::Close`](crate::Output::Close). Said exactly once of each admitted client; after it, nothing more
    /// is queued for that client.
    Left {
        /// Who left.
        session: SessionId,
        /// Why.
        cause: LeaveCause,
    },
    /// Bytes that were queued for a client (as [`Sink::emit`](crate::Sink::emit) returned them) have gone out.
    ClientSent {
        /// Whose queue.
        session: SessionId,
        /// How many bytes.
        bytes: usize,
    },
    /// The connection asked for by [`Output::Dial`](crate::Output::Dial) is up.
    LinkUp {
        /// Which.
        link: LinkId,
    },
    /// The connection could not be made, or has ended; what was queued for it is gone.
    LinkDown {
        /// Which.
        link: LinkId,
    },
    /// Bytes that were queued for the link have gone out.
    LinkSent {
        /// Which.
        link: LinkId,
        /// How many bytes.
        bytes: usize,
    },
    /// A Pong came over the link.
    Pong {
        /// Over which link.
        link: LinkId,
        /// The counter that it bears; a payload that is no counter is not an input.
        counter: u64,
    },
    /// The backend sent a frame.
    Action {
        /// Over which link.
        link: LinkId,
        /// What it says, or what is wrong with it.
        action: Result<Action<'a>, BadAction>,
    },
    /// [`Endpoint::next_deadline`](crate::Endpoint::next_deadline) has come. Harmless at any other time.
    Deadline,
    /// The wall clock was set: tokens expire this much earlier (positive) or later (negative) in [`Time`]. One that has
    /// expired has expired.
    WallClockStepped {
        /// Milliseconds that the wall clock went forward beyond the time that has passed.
        forward: i64,
    },
    /// The gateway is told to stop. Saying it again changes nothing.
    Drain,
    /// An operator ends a session: its client is closed with 1008, its backend hears `close`.
    Kick {
        /// Whose.
        session: SessionId,
    },
    /// An operator has decided otherwise: these settings hold from now on, for sessions that are there too, but for
    /// the seed. What they bound more tightly loses nothing that was accepted. An endpoint that drains keeps those with
    /// which it began to.
    Settings(Box<Settings>),
    /// The backend is elsewhere now, or is to be met otherwise: what the link has taken is confirmed, for at most
    /// `drain.confirm_timeout`, then it is closed with 1001 and [`Output::Dial`](crate::Output::Dial) asks for the next.
    /// Sessions live on. An endpoint that drains keeps its link.
    Redial,
}
