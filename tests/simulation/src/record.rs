//! What has happened in a run, as clients and backends have seen it, and what the run itself did. No mask and no key is
//! in it, nor anything of the real clock, so the same seed gives the same log.

use std::{cell::RefCell, fmt, rc::Rc};

use crate::{plan::Fault, world};

/// Which of the two endpoints, and so which backend.
pub type EndpointIndex = usize;

/// One attempt of a client to come in, and the connection that it may get: they are numbered in a run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Conn(pub u32);

/// Something that happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// When, in milliseconds from the beginning.
    pub at: u64,
    /// What.
    pub what: What,
}

/// Who a client says that it is, and where it wants to go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Who {
    /// The host that it comes from.
    pub host: &'static str,
    /// Its user.
    pub user: String,
    /// Where it goes.
    pub endpoint: EndpointIndex,
    /// The endpoint's parameter.
    pub room: String,
    /// When its token expires, in Unix milliseconds.
    pub expires: u64,
}

/// What happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum What {
    /// A client asks to come in.
    Asks(Conn, Who),
    /// It is refused, with this status.
    Refused(Conn, u16),
    /// It gets no answer, though it waits for one.
    Unanswered(Conn),
    /// It does not wait for its answer.
    DoesNotWait(Conn),
    /// It is in.
    Admitted(Conn),
    /// It sends its message of this number.
    Says(Conn, u32),
    /// It gets a message.
    Hears(Conn, String),
    /// It is closed, with this code and reason.
    Closed(Conn, u16, String),
    /// Its connection has ended without a close frame.
    Lost(Conn),
    /// It breaks the protocol; what it is to be closed with.
    Misbehaves(Conn, u16),
    /// It leaves by itself.
    Leaves(Conn, Leaving),

    /// A backend's process begins.
    Began(EndpointIndex),
    /// A link of this number is up, as its backend sees it.
    LinkUp(EndpointIndex, u32),
    /// It has ended, and everything on it has been read.
    LinkEnded(EndpointIndex, u32),
    /// The backend ends its link.
    EndsLink(EndpointIndex, LinkEnd),
    /// An event has been read from it.
    Event(EndpointIndex, u32, Event),
    /// The backend sends a message of this number to a user.
    Sends(EndpointIndex, u64, String, String),
    /// The backend closes a user.
    Closes(EndpointIndex, String, Option<u16>),
    /// Whom the backend believes to be there.
    Believes(EndpointIndex, Vec<String>),

    /// Something fails, or is whole again, or is set.
    Fault(Fault, bool),
    /// The gateway begins.
    GatewayBegan,
    /// The gateway is told to stop.
    ToldToStop,
    /// The gateway has stopped.
    Stopped,
}

/// How a backend ends its link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LinkEnd {
    /// With a close frame.
    Closes,
    /// Without a word.
    Drops,
    /// With what is no frame.
    Misbehaves,
}

/// How a client leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Leaving {
    /// With a close frame.
    Closing,
    /// Without a word.
    Dropping,
    /// It breaks the protocol, and ends.
    Misbehaving,
    /// It has heard nothing for too long, or what it sends is not taken.
    GivingUp,
}

/// What a backend is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// Which kind.
    pub kind: Kind,
    /// Whose session.
    pub user: String,
    /// The endpoint's parameter.
    pub room: String,
    /// What a message says.
    pub data: String,
}

/// The kinds of events.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A session began.
    Open,
    /// Its client said something.
    Message,
    /// It ended.
    Close,
}

/// The log of a run, as everybody in it writes it.
#[derive(Clone, Default, Debug)]
pub struct Log(Rc<RefCell<Vec<Entry>>>);

impl Log {
    /// Something has happened now. Must be called from within the run.
    pub(crate) fn note(&self, what: What) {
        self.note_at(world::elapsed_millis(), what);
    }

    /// Something has happened.
    pub(crate) fn note_at(&self, at: u64, what: What) {
        self.0.borrow_mut().push(Entry { at, what });
    }

    /// All that has happened.
    pub(crate) fn take(&self) -> Vec<Entry> {
        self.0.take()
    }
}

/// The most of a text that a line shows.
const SHOWN_CHARS_MAX: usize = 40;

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>3}.{:03} {}", self.at / 1000, self.at % 1000, self.what)
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Asks(conn, who) => {
                write!(f, "{conn} asks: {} to {}/{}, until {}", who.user, who.endpoint, who.room, who.expires)
            }
            What::Refused(conn, status) => write!(f, "{conn} is refused: {status}"),
            What::Unanswered(conn) => write!(f, "{conn} gets no answer"),
            What::DoesNotWait(conn) => write!(f, "{conn} does not wait for its answer"),
            What::Misbehaves(conn, code) => write!(f, "{conn} breaks the protocol, for {code}"),
            What::Admitted(conn) => write!(f, "{conn} is in"),
            What::Says(conn, number) => write!(f, "{conn} says {number}"),
            What::Hears(conn, text) => write!(f, "{conn} hears {}", Short(text)),
            What::Closed(conn, code, reason) => write!(f, "{conn} is closed: {code} {reason:?}"),
            What::Lost(conn) => write!(f, "{conn} is lost"),
            What::Leaves(conn, how) => write!(f, "{conn} leaves: {how:?}"),
            What::Began(endpoint) => write!(f, "backend {endpoint} begins"),
            What::LinkUp(endpoint, link) => write!(f, "link {endpoint}.{link} is up"),
            What::LinkEnded(endpoint, link) => write!(f, "link {endpoint}.{link} has ended"),
            What::EndsLink(endpoint, how) => write!(f, "backend {endpoint} ends its link: {how:?}"),
            What::Event(endpoint, link, event) => {
                write!(f, "link {endpoint}.{link}: {:?} {} in {}", event.kind, event.user, event.room)?;
                if event.kind == Kind::Message { write!(f, ": {}", Short(&event.data)) } else { Ok(()) }
            }
            What::Sends(endpoint, number, user, text) => {
                write!(f, "backend {endpoint} sends {number} to {user}: {}", Short(text))
            }
            What::Closes(endpoint, user, status) => write!(f, "backend {endpoint} closes {user}: {status:?}"),
            What::Believes(endpoint, users) => write!(f, "backend {endpoint} believes in {users:?}"),
            What::Fault(fault, begins) => {
                write!(f, "{}: {fault:?}", if *begins { "it happens" } else { "it is over" })
            }
            What::GatewayBegan => f.write_str("the gateway begins"),
            What::ToldToStop => f.write_str("the gateway is told to stop"),
            What::Stopped => f.write_str("the gateway has stopped"),
        }
    }
}

impl fmt::Display for Conn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "client {}", self.0)
    }
}

/// The beginning of a text, and how long it is.
struct Short<'a>(&'a str);

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: String = self.0.chars().take(SHOWN_CHARS_MAX).collect();
        write!(f, "{shown:?} ({} bytes)", self.0.len())
    }
}
