//! What an operator may ask of an endpoint: figures, and its live sessions. Asking changes nothing.

use core::ops::Range;

use super::{
    Endpoint,
    link::Line,
    session::{Session, Stage},
};
use crate::{Expiry, Identity, Payload, SessionId, Time};

/// How an endpoint is loaded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Figures {
    /// Live sessions.
    pub live: usize,
    /// Sessions that are over, and whose `close` is yet to be confirmed or whose gap is yet to pass.
    pub owed: usize,
    /// Bytes of parked messages, their overhead included.
    pub parked_bytes: usize,
    /// Bytes queued for clients, those that are being closed included.
    pub client_bytes: usize,
    /// Bytes queued for the link.
    pub link_queued_bytes: usize,
    /// Bytes of events that the link has taken and not confirmed.
    pub link_unconfirmed_bytes: usize,
    /// The link takes no more: senders are stopped.
    pub link_full: bool,
    /// Nobody is read from, since too much is parked in sum.
    pub all_stopped: bool,
}

/// A live session.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct SessionView<'a> {
    /// Its id.
    pub id: SessionId,
    /// Whose it is.
    pub identity: &'a Identity,
    /// Whether its `open` has gone out on a link.
    pub announced: bool,
    /// Whether its client is not read from for now, but for [`Figures::all_stopped`].
    pub stopped: bool,
    /// Bytes queued for its client.
    pub queued_bytes: usize,
    /// Bytes of its messages that wait, their overhead included.
    pub parked_bytes: usize,
    /// When its token expires, where that ends it.
    pub expires: Option<Time>,
}

impl<P: Payload> Endpoint<P> {
    /// The sessions that are known, those included that are over and not settled.
    pub fn identities(&self) -> impl Iterator<Item = (SessionId, &Identity)> {
        self.sessions.iter().map(|(id, session)| (id, &session.identity))
    }

    /// How it is loaded now.
    pub fn figures(&self) -> Figures {
        let (link_queued_bytes, link_unconfirmed_bytes, link_full) = match &self.line {
            Line::Connected(line) => (line.queued, line.unconfirmed_bytes(), line.full),
            Line::Waiting { .. } | Line::Dialling { .. } | Line::Over => (0, 0, false),
        };
        Figures {
            live: self.live.len(),
            owed: self.owing,
            parked_bytes: self.parked_bytes,
            client_bytes: self.client_bytes.saturating_add(self.closing_bytes),
            link_queued_bytes,
            link_unconfirmed_bytes,
            link_full,
            all_stopped: self.all_stopped,
        }
    }

    /// A live session by its id.
    pub fn session(&self, id: SessionId) -> Option<SessionView<'_>> {
        self.sessions.get(id).and_then(|session| self.view(id, session))
    }

    /// The live session of a user.
    pub fn session_of(&self, user: &str) -> Option<SessionView<'_>> {
        let slot = self.users.get(self.users.find(user)?).live?;
        self.session(self.sessions.id(slot))
    }

    /// The live sessions in some slots, by slot: so a walk over all of them can be made in parts, between which
    /// sessions come and go.
    pub fn sessions_in(&self, slots: Range<u32>) -> impl Iterator<Item = SessionView<'_>> {
        self.sessions.iter_in(slots).filter_map(|(id, session)| self.view(id, session))
    }

    /// All slots that have ever been used.
    pub fn slots(&self) -> u32 {
        self.sessions.len()
    }

    fn view<'a>(&self, id: SessionId, session: &'a Session<P>) -> Option<SessionView<'a>> {
        (session.stage == Stage::Live).then(|| SessionView {
            id,
            identity: &session.identity,
            announced: session.opened_on.is_some(),
            stopped: session.stopped,
            queued_bytes: session.queued,
            parked_bytes: session.parked_bytes(),
            expires: session.expires.filter(|_| self.settings.expiry == Expiry::Close),
        })
    }
}
