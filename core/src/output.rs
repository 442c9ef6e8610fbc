//! What an endpoint wants done, and what it has to tell.

use crate::{
    CloseCode, Identity, LeaveCause, LinkId, SessionId,
    language::{BadAction, Data},
};

/// Where outputs go: they are carried out in the order in which they come.
pub trait Sink<P> {
    /// Carries `output` out. Returns the bytes that it put into a queue: of the link for [`Output::Event`] and
    /// [`Output::Ping`], of the client for [`Output::Message`], as they will be given back by
    /// [`Input::LinkSent`](crate::Input::LinkSent) and [`Input::ClientSent`](crate::Input::ClientSent); 0 for
    /// bytes that are on their way already, and for every other output.
    fn emit(&mut self, output: Output<'_, P>) -> usize;
}

impl<P, F: FnMut(Output<'_, P>) -> usize> Sink<P> for F {
    fn emit(&mut self, output: Output<'_, P>) -> usize {
        self(output)
    }
}

/// What to do.
#[cfg_attr(feature = "recording", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[derive(Clone, PartialEq, Debug)]
pub enum Output<'a, P> {
    /// Let the client in that asks: it is this session from now on.
    Admit {
        /// Its id.
        session: SessionId,
    },
    /// Turn the client away that asks.
    Refuse {
        /// Why.
        reason: Refusal,
    },
    /// Queue an event for the link.
    Event {
        /// The link that is up.
        link: LinkId,
        /// Whom it is about.
        session: SessionId,
        /// What to say.
        event: Event<'a, P>,
    },
    /// Queue a message for a client.
    Message {
        /// Whose client.
        session: SessionId,
        /// What to send: text or binary.
        #[cfg_attr(feature = "recording", serde(skip))]
        data: &'a Data<'a>,
    },
    /// Close a client: it is over for it now, nothing more is read from it or sent to it but this. What remains in
    /// its queue goes first or is dropped; its leaving is then reported with
    /// [`Input::Left`](crate::Input::Left).
    Close {
        /// Whose client.
        session: SessionId,
        /// The close frame's code.
        code: CloseCode,
        /// The close frame's reason: at most 123 bytes.
        reason: &'a str,
        /// What becomes of what is queued for it.
        queued: Queued,
    },
    /// Read no more from this client until it is resumed. Nothing that is read afterwards may be handed in.
    Stop {
        /// Whose client.
        session: SessionId,
    },
    /// Read from this client again.
    Resume {
        /// Whose client.
        session: SessionId,
    },
    /// Read from no client at all, in addition to those stopped one by one.
    StopAll,
    /// Lifts [`Output::StopAll`]; those stopped one by one stay so.
    ResumeAll,
    /// Make a connection to the backend.
    Dial {
        /// Its id.
        link: LinkId,
    },
    /// Queue a Ping for the link, with the counter as its payload (8 bytes, big-endian).
    Ping {
        /// Which link.
        link: LinkId,
        /// Counts the Pings of the endpoint.
        counter: u64,
    },
    /// Drop the connection to the backend at once; no [`Input::LinkDown`](crate::Input::LinkDown) need follow.
    Abort {
        /// Which link.
        link: LinkId,
    },
    /// Close the link with 1001, after what is queued for it; nothing more will go to it. No
    /// [`Input::LinkDown`](crate::Input::LinkDown) need follow.
    CloseLink {
        /// Which link.
        link: LinkId,
    },
    /// The drain is over: no session is left. Said once.
    Empty {
        /// Closes of sessions that could not be confirmed to the backend.
        unconfirmed_closes: u64,
    },
    /// For logs and metrics.
    Fact(Fact<'a>),
}

/// What the backend hears (language.md, "Events").
#[cfg_attr(feature = "recording", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[derive(Clone, PartialEq, Debug)]
pub enum Event<'a, P> {
    /// A session began.
    Open {
        /// Whose.
        #[cfg_attr(feature = "recording", serde(skip))]
        who: &'a Identity,
    },
    /// Its client sent a message.
    Message {
        /// Whose.
        #[cfg_attr(feature = "recording", serde(skip))]
        who: &'a Identity,
        /// What it sent.
        payload: &'a P,
    },
    /// It ended.
    Close {
        /// Whose.
        #[cfg_attr(feature = "recording", serde(skip))]
        who: &'a Identity,
    },
}

/// What becomes of what is queued for a client that is closed.
#[cfg_attr(
    feature = "recording",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Queued {
    /// It goes out first, for at most the close timeout.
    Flush,
    /// It is dropped; the close frame follows the frame in progress.
    Drop,
}

/// Why a client is not admitted (language.md, "Handshake"), in the order in which the reasons count.
#[cfg_attr(
    feature = "recording",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Refusal {
    /// The gateway drains: 503.
    Draining,
    /// The backend is away, and clients are not held, or no longer: 503.
    BackendAway,
    /// The user has a session, and the endpoint says `reject`: 409.
    Duplicate,
    /// The endpoint has as many sessions as it may: 429.
    Full,
}

/// State of the link.
#[cfg_attr(
    feature = "recording",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LinkPhase {
    /// There is none: it is dialled, or will be.
    Down,
    /// It is up, and owed closes go out and are being confirmed.
    Settling,
    /// The live sessions are being opened on it.
    Announcing,
    /// All of them were, and that is confirmed.
    Up,
}

/// What an operator may want to know. Facts change nothing.
#[cfg_attr(feature = "recording", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[derive(Clone, PartialEq, Debug)]
pub enum Fact<'a> {
    /// The link's state has changed.
    Link {
        /// What it is now.
        phase: LinkPhase,
    },
    /// A session is over for its client.
    Ended {
        /// Which.
        session: SessionId,
        /// Whose it was.
        user: &'a str,
        /// Why.
        cause: EndCause,
    },
    /// An action was ignored.
    ActionIgnored {
        /// For whom it was, where that much could be read.
        user: Option<&'a str>,
        /// Why.
        fault: ActionFault,
    },
    /// A `close` asked for a status that may not be sent: 1011 went out instead.
    StatusReplaced {
        /// Which session.
        session: SessionId,
    },
    /// Messages of a client that no backend will get.
    MessagesDropped {
        /// Whose.
        session: SessionId,
        /// How many.
        messages: usize,
        /// Why.
        cause: DropCause,
    },
    /// Bytes that were queued for a client and will not reach it.
    QueueDropped {
        /// Whose.
        session: SessionId,
        /// How many.
        bytes: usize,
    },
    /// The link broke before this many messages were confirmed, and they are not sent again.
    Unconfirmed {
        /// How many: an upper bound of what the break itself has cost.
        messages: u64,
    },
    /// The link answered no Ping within the timeout, and is taken as broken.
    PongTimeout,
    /// The link takes no more: senders are stopped.
    LinkFull,
    /// The link takes events again.
    LinkDrained,
    /// The outage has lasted longer than the grace, or clients are not held: they are being closed.
    OutageSpread {
        /// How many.
        sessions: usize,
    },
    /// An input named a session or a link that is no more, and changed nothing.
    Stale,
}

/// Why a session ended.
#[cfg_attr(
    feature = "recording",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum EndCause {
    /// Its client left.
    Left(LeaveCause),
    /// The backend closed it.
    Backend,
    /// Its user came again.
    TakenOver,
    /// Its client did not read.
    TooSlow,
    /// Its token expired.
    Expired,
    /// The backend was away for too long.
    Outage,
    /// The gateway stops.
    Drained,
    /// An operator closed it.
    Kicked,
}

/// Why messages were dropped.
#[cfg_attr(
    feature = "recording",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DropCause {
    /// They waited, and their session ended before they could go.
    Parked,
    /// They had gone to a link that broke before it confirmed them, were to be sent again, and their session ended.
    Unconfirmed,
    /// They were handed in after their session had ended.
    AfterEnd,
}

/// Why an action was ignored.
#[cfg_attr(
    feature = "recording",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ActionFault {
    /// It could not be understood.
    Bad(BadAction),
    /// Its user has no live session.
    NoSession,
    /// Its user has a live session whose `open` has not gone out on any link.
    NotAnnounced,
}
