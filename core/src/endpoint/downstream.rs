//! From the backend to clients: actions, and the clients' queues (language.md, "Actions" and "Clients that are too
//! slow").

use super::{
    Endpoint,
    ending::{Farewell, TOO_SLOW},
    session::{Client, Stage},
    tell,
};
use crate::{
    ActionFault, CloseCode, EndCause, Fact, LinkId, Output, Payload, Queued, SessionId, Sink,
    close::{self, cut_reason},
    language::{Action, BadAction, Data, Status},
};

impl<P: Payload> Endpoint<P> {
    pub(super) fn action<S: Sink<P> + ?Sized>(
        &mut self,
        link: LinkId,
        action: Result<Action<'_>, BadAction>,
        out: &mut S,
    ) {
        if self.line.connected_as(link).is_none() {
            return tell(out, Fact::Stale);
        }
        match action {
            Ok(Action::Send { user, data }) => {
                if let Some(slot) = self.addressee(user.as_deref(), out) {
                    self.send(slot, &data, out);
                }
            }
            Ok(Action::Close { user, status, reason }) => {
                if let Some(slot) = self.addressee(user.as_deref(), out) {
                    self.close_by_backend(slot, status, reason.as_deref(), out);
                }
            }
            Err(bad) => tell(out, Fact::ActionIgnored { user: None, fault: ActionFault::Bad(bad) }),
        }
    }

    /// The user's live session, if the backend has heard of it; else the action is ignored.
    fn addressee<S: Sink<P> + ?Sized>(&self, user: Option<&str>, out: &mut S) -> Option<u32> {
        let live = user.and_then(|name| self.users.find(name)).and_then(|known| self.users.get(known).live);
        let fault = match live {
            Some(slot) if self.sessions[slot].opened_on.is_some() => return Some(slot),
            Some(_) => ActionFault::NotAnnounced,
            None => ActionFault::NoSession,
        };
        tell(out, Fact::ActionIgnored { user, fault });
        None
    }

    /// Queues a message for a client. Where a queue is full already, its client is too slow: so a bound is exceeded by
    /// at most the one message that crossed it, and a message larger than the bound reaches a client that reads.
    fn send<S: Sink<P> + ?Sized>(&mut self, slot: u32, data: &Data<'_>, out: &mut S) {
        let id = self.sessions.id(slot);
        if self.sessions[slot].queued >= self.settings.client_queue_bytes_max {
            self.end(slot, EndCause::TooSlow, TOO_SLOW, out);
        }
        while self.client_bytes >= self.settings.client_queue_bytes_total_max
            && let Some(fullest) = self.fullest()
        {
            self.end(fullest, EndCause::TooSlow, TOO_SLOW, out);
        }
        let session = &mut self.sessions[slot];
        if session.stage != Stage::Live {
            let user = Some(session.identity.user());
            return tell(out, Fact::ActionIgnored { user, fault: ActionFault::NoSession });
        }
        let bytes = out.emit(Output::Message { session: id, data });
        session.queued = session.queued.saturating_add(bytes);
        self.client_bytes = self.client_bytes.saturating_add(bytes);
    }

    /// The live session whose client has the fullest queue; the oldest of several. Walks over all of them: it is
    /// needed only when the bound of the sum is crossed, and each time frees at least an average queue.
    fn fullest(&self) -> Option<u32> {
        let mut fullest = None;
        let mut most = 0;
        for slot in self.live.iter(&self.sessions) {
            if self.sessions[slot].queued > most {
                most = self.sessions[slot].queued;
                fullest = Some(slot);
            }
        }
        fullest
    }

    fn close_by_backend<S: Sink<P> + ?Sized>(
        &mut self,
        slot: u32,
        status: Option<Status>,
        reason: Option<&str>,
        out: &mut S,
    ) {
        let code = match status {
            Some(Status::Code(code)) => code,
            Some(Status::Unsendable) => {
                tell(out, Fact::StatusReplaced { session: self.sessions.id(slot) });
                CloseCode::INTERNAL
            }
            None => CloseCode::INTERNAL,
        };
        let default =
            if code == CloseCode::INTERNAL { close::BACKEND_WRONG } else { close::BACKEND_INITIATED };
        let reason = cut_reason(reason.unwrap_or(default));
        self.end(slot, EndCause::Backend, Farewell::Now { code, reason, queued: Queued::Flush }, out);
    }

    pub(super) fn client_sent<S: Sink<P> + ?Sized>(&mut self, id: SessionId, bytes: usize, out: &mut S) {
        let Some(session) = self.sessions.get(id).filter(|session| session.client != Client::Gone) else {
            return tell(out, Fact::Stale);
        };
        let (live, bytes) = (session.stage == Stage::Live, bytes.min(session.queued));
        let session = &mut self.sessions[id.slot];
        session.queued = session.queued.saturating_sub(bytes);
        let sum = self.queued_bytes(live);
        *sum = sum.saturating_sub(bytes);
    }

    /// The sum that the queue of a client counts in.
    pub(super) fn queued_bytes(&mut self, live: bool) -> &mut usize {
        if live { &mut self.client_bytes } else { &mut self.closing_bytes }
    }
}
