//! A client asks to come in (language.md, "Handshake" and "Two clients, one user").

use super::{
    Endpoint,
    ending::Farewell,
    link::Line,
    session::{Expires, Session},
};
use crate::{CloseCode, Duplicates, EndCause, Identity, Output, Payload, Queued, Refusal, Sink, Time, close};

/// Users without a session, who are remembered for the crossing window, are bounded too: so many may leave in one.
const REMEMBERED_MAX: usize = 100_000;

impl<P: Payload> Endpoint<P> {
    pub(super) fn ask<S: Sink<P> + ?Sized>(
        &mut self,
        identity: Identity,
        expires: Option<Time>,
        out: &mut S,
    ) {
        match self.refusal(identity.user()) {
            Some(reason) => {
                out.emit(Output::Refuse { reason });
            }
            None => self.admit(identity, expires, out),
        }
    }

    /// Why a client of this user would not be admitted now: the first reason that counts.
    pub fn refusal(&self, user: &str) -> Option<Refusal> {
        let known = self.users.find(user);
        let live = known.is_some_and(|user| self.users.get(user).live.is_some());
        let max = self.settings.sessions_max as usize;
        if let Some(closed) = self.closed() {
            Some(closed)
        } else if live && self.settings.duplicates == Duplicates::Reject {
            Some(Refusal::Duplicate)
        } else if self.sessions.taken() >= max || self.users.len() >= max.saturating_add(REMEMBERED_MAX) {
            Some(Refusal::Full)
        } else {
            None
        }
    }

    /// Whether clients are let in at all: the gateway does not drain, and the backend is there or not away for long.
    pub fn accepts(&self) -> bool {
        self.closed().is_none()
    }

    /// Why nobody would be admitted now, whoever asks.
    fn closed(&self) -> Option<Refusal> {
        if self.drain.is_some() {
            Some(Refusal::Draining)
        } else if !matches!(self.line, Line::Connected(_)) && !self.holds_clients() {
            Some(Refusal::BackendAway)
        } else {
            None
        }
    }

    fn admit<S: Sink<P> + ?Sized>(&mut self, identity: Identity, expires: Option<Time>, out: &mut S) {
        self.admissions += 1;
        let user = self.users.find_or_add(identity.user());
        let id = self.sessions.insert(Session::new(identity, user, expires, self.admissions));
        out.emit(Output::Admit { session: id });

        if let Some(old) = self.users.get(user).live {
            let farewell =
                Farewell::Now { code: CloseCode::POLICY, reason: close::TAKEN_OVER, queued: Queued::Flush };
            self.end(old, EndCause::TakenOver, farewell, out);
        }
        let known = self.users.get_mut(user);
        known.live = Some(id.slot);
        known.sessions += 1;
        self.live.push_back(&mut self.sessions, id.slot);
        if let Some(expires) = expires {
            self.expiries.insert(Expires { at: expires, number: self.admissions, slot: id.slot });
        }
        if let Some(line) = self.line.connected() {
            line.cursor = line.cursor.or(Some(id.slot));
        }
    }
}
