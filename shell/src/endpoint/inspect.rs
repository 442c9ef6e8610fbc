//! What an operator asks an endpoint, and tells it. Each question costs its thread no more than a bounded look.

use std::net::IpAddr;

use tokio::sync::oneshot;
use trunkline_core::{Input, SessionId, SessionView, Time};

use super::{Hub, Machine, closes::Closed};
use crate::{clock::unix_millis, recording::Recording};

/// Slots that one question walks over.
const SLOTS_PER_LOOK: u32 = 1024;

/// What is asked. Who does not wait for the answer any more gets none.
#[derive(Debug)]
pub(crate) enum Question {
    /// Live sessions, from a slot on.
    Sessions { from: u32, wanted: Wanted, limit: usize, answer: oneshot::Sender<SessionPage> },
    /// A live session.
    Session { id: SessionId, answer: oneshot::Sender<Option<SessionInfo>> },
    /// That sessions be closed. How many were?
    Close { whose: Whose, answer: oneshot::Sender<usize> },
    /// The last sessions that ended, the newest last.
    Closes { answer: oneshot::Sender<Vec<Closed>> },
    /// What has happened lately; `None`: nothing is recorded.
    Recording { answer: oneshot::Sender<Option<Recording>> },
}

/// Which sessions are wanted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Wanted {
    All,
    /// That of a user.
    Of(String),
    /// Of users whose name contains this.
    Containing(String),
}

/// Which session is to be closed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Whose {
    Session(SessionId),
    User(String),
}

/// Live sessions. There may be none though there is a next page: so many slots were looked at.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct SessionPage {
    pub(crate) sessions: Vec<SessionInfo>,
    /// The slot from which the next page begins.
    pub(crate) next: Option<u32>,
}

/// A live session. Times are in milliseconds of Unix time.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct SessionInfo {
    pub(crate) id: SessionId,
    pub(crate) user: String,
    /// As events have it: `"user":{…},"params":{…}`.
    pub(crate) fields: String,
    pub(crate) announced: bool,
    pub(crate) client: Option<IpAddr>,
    pub(crate) since: u64,
    pub(crate) age: u64,
    pub(crate) last_activity: u64,
    pub(crate) expires_at: Option<u64>,
    pub(crate) from_client: Moved,
    pub(crate) to_client: Moved,
    pub(crate) queued_bytes: usize,
    pub(crate) parked_bytes: usize,
    pub(crate) stopped: bool,
    pub(crate) times_stopped: u32,
}

/// What went one way.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Moved {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
}

impl Moved {
    /// With one more message.
    pub(super) fn and(self, bytes: usize) -> Self {
        Moved { messages: self.messages + 1, bytes: self.bytes + bytes as u64 }
    }
}

impl Hub {
    /// Answers. Where nobody waits for that any more, what was asked for is done all the same.
    pub(super) fn inspect(&self, now: Time, question: Question) {
        match question {
            Question::Sessions { from, wanted, limit, answer } => {
                let _ = answer.send(self.sessions(now, from, &wanted, limit));
            }
            Question::Session { id, answer } => {
                let machine = self.machine.borrow();
                let found = machine.endpoint.session(id).map(|view| self.describe(&machine, now, &view));
                let _ = answer.send(found);
            }
            Question::Close { whose, answer } => {
                let _ = answer.send(self.close(now, &whose));
            }
            Question::Closes { answer } => {
                let _ = answer.send(self.machine.borrow().outlet.closes.all());
            }
            Question::Recording { answer } => {
                let _ = answer.send(self.recording());
            }
        }
    }

    fn sessions(&self, now: Time, from: u32, wanted: &Wanted, limit: usize) -> SessionPage {
        let machine = self.machine.borrow();
        let endpoint = &machine.endpoint;
        let describe = |view: SessionView<'_>| self.describe(&machine, now, &view);
        if let Wanted::Of(user) = wanted {
            let found = endpoint.session_of(user).filter(|view| view.id.slot >= from);
            return SessionPage { sessions: found.map(describe).into_iter().collect(), next: None };
        }
        let to = from.saturating_add(SLOTS_PER_LOOK);
        let is_wanted = |view: &SessionView<'_>| match wanted {
            Wanted::Containing(part) => view.identity.user().contains(part.as_str()),
            Wanted::All | Wanted::Of(_) => true,
        };
        let mut views = endpoint.sessions_in(from..to).filter(is_wanted);
        let sessions: Vec<_> = views.by_ref().take(limit).map(describe).collect();
        let next = match (sessions.last(), views.next()) {
            (Some(last), Some(_)) => Some(last.id.slot + 1),
            _ => Some(to).filter(|to| *to < endpoint.slots()),
        };
        SessionPage { sessions, next }
    }

    fn describe(&self, machine: &Machine, now: Time, view: &SessionView<'_>) -> SessionInfo {
        let client = machine.outlet.client(view.id);
        let wall = unix_millis();
        let past = |at: Time| wall.saturating_sub((now - at).0);
        let since = client.as_ref().map_or(now, |client| client.since);
        let get = |of: fn(&super::Client) -> Moved| client.as_deref().map(of).unwrap_or_default();
        SessionInfo {
            id: view.id,
            user: view.identity.user().to_owned(),
            fields: view.identity.fields().to_owned(),
            announced: view.announced,
            client: client.as_ref().and_then(|client| client.address.get().copied()),
            since: past(since),
            age: (now - since).0,
            last_activity: past(client.as_ref().map_or(since, |client| client.seen_at())),
            expires_at: view.expires.map(|at| wall.saturating_add((at - now).0)),
            from_client: get(|client| client.received.get()),
            to_client: get(|client| client.sent.get()),
            queued_bytes: view.queued_bytes,
            parked_bytes: view.parked_bytes,
            stopped: view.stopped || machine.outlet.all_stopped,
            times_stopped: client.as_ref().map_or(0, |client| client.times_stopped.get()),
        }
    }

    /// Closes sessions. How many that were.
    fn close(&self, now: Time, whose: &Whose) -> usize {
        let live = {
            let endpoint = &self.machine.borrow().endpoint;
            match whose {
                Whose::Session(id) => endpoint.session(*id).map(|view| view.id),
                Whose::User(user) => endpoint.session_of(user).map(|view| view.id),
            }
        };
        let Some(session) = live else { return 0 };
        let config = self.config();
        let endpoint = config.name.as_str();
        tracing::info!(target: "session", endpoint, ?session, "closed by an operator");
        self.input(now, Input::Kick { session });
        1
    }
}
