//! How a session ends: its client is told, its `close` goes out and is confirmed, its user's gap passes, its slot
//! is free.

use alloc::vec::Vec;

use super::{
    Endpoint,
    session::{Client, Expires, Stage},
    tell,
};
use crate::{
    CloseCode, DropCause, EndCause, Expiry, Fact, LeaveCause, Millis, Output, Payload, Queued, SessionId,
    Settings, Sink, Time, close,
};

/// What the client of a session that ends is told.
pub(super) enum Farewell<'a> {
    /// Nothing: it has left by itself.
    Unheard,
    /// This, now.
    Now { code: CloseCode, reason: &'a str, queued: Queued },
    /// 1001, once nothing is owed for its session any more: the gateway drains.
    WhenSettled,
}

pub(super) const TOO_SLOW: Farewell<'static> =
    Farewell::Now { code: CloseCode::TRY_AGAIN_LATER, reason: close::TOO_SLOW, queued: Queued::Drop };
const EXPIRED: Farewell<'static> =
    Farewell::Now { code: CloseCode::POLICY, reason: close::TOKEN_EXPIRED, queued: Queued::Flush };
const KICKED: Farewell<'static> =
    Farewell::Now { code: CloseCode::POLICY, reason: close::KICKED, queued: Queued::Flush };

impl<P: Payload> Endpoint<P> {
    /// Ends a live session.
    pub(super) fn end<S: Sink<P> + ?Sized>(
        &mut self,
        slot: u32,
        cause: EndCause,
        farewell: Farewell<'_>,
        out: &mut S,
    ) {
        let id = self.sessions.id(slot);
        let by_backend = cause == EndCause::Backend;
        let announced = self.is_announced(slot);
        let owes =
            self.sessions[slot].opened_on.is_some() && (!by_backend || self.is_crossing(slot, announced));
        let user = self.sessions[slot].identity.user();
        tell(out, Fact::Ended { session: id, user, cause });
        self.take_off_lists(slot);

        let queued = self.sessions[slot].queued;
        self.client_bytes = self.client_bytes.saturating_sub(queued);
        self.closing_bytes = self.closing_bytes.saturating_add(queued);
        // What it sent before it ended still goes out before its `close`, if it can on this link.
        let goes_out = announced && !by_backend && cause != EndCause::Expired;
        self.drop_held(slot, goes_out, out);
        if owes {
            self.sessions[slot].stage = Stage::Owed;
            self.sessions[slot].awaited = true;
            let user = self.sessions[slot].user;
            self.users.get_mut(user).closes_due += 1;
            self.owing += 1;
            self.owed.push_back(id);
            self.give_up_later(id);
        } else {
            self.sessions[slot].stage = Stage::Settled;
        }
        match farewell {
            Farewell::Unheard => self.client_gone(slot, out),
            Farewell::Now { code, reason, queued } => self.close_client(slot, code, reason, queued, out),
            Farewell::WhenSettled => {
                self.sessions[slot].client = Client::Leaving;
                if owes {
                    self.stop(slot, out);
                }
            }
        }
        self.proceed(slot, out);
    }

    /// Takes a session that ends out of everything that walks over live ones.
    fn take_off_lists(&mut self, slot: u32) {
        if let Some(line) = self.line.connected()
            && line.cursor == Some(slot)
        {
            line.cursor = self.live.after(&self.sessions, slot);
        }
        self.note_announced(slot);
        self.live.remove(&mut self.sessions, slot);
        self.backlog.remove(&mut self.sessions, slot);
        self.resting.remove(&mut self.sessions, slot);
        let session = &mut self.sessions[slot];
        if let Some(expires) = session.expires.take() {
            self.expiries.remove(&Expires { at: expires, number: session.number, slot });
        }
        self.users.get_mut(session.user).live = None;
    }

    /// Whether a backend's `close` may have been meant for an earlier session of the same user, so that the backend
    /// has to hear `close` too (language.md, "Events").
    fn is_crossing(&self, slot: u32, announced: bool) -> bool {
        let session = &self.sessions[slot];
        let recent = |at: Time| self.now - at < self.settings.crossing_window;
        self.users.get(session.user).closed_at.is_some_and(recent)
            || (announced && session.reopened && recent(session.opened_at))
    }

    /// Drops what a session held, and counts it; with `keep_parked` only what was to be sent again.
    pub(super) fn drop_held<S: Sink<P> + ?Sized>(&mut self, slot: u32, keep_parked: bool, out: &mut S) {
        let session = self.sessions.id(slot);
        let Some(mut held) = self.sessions[slot].held.take() else { return };
        let again = core::mem::take(&mut held.again);
        for (_, bytes) in &again {
            self.again_bytes = self.again_bytes.saturating_sub(*bytes);
        }
        if !again.is_empty() {
            let cause = DropCause::Unconfirmed;
            tell(out, Fact::MessagesDropped { session, messages: again.len(), cause });
        }
        if held.parked.is_empty() {
            return;
        }
        if keep_parked {
            self.sessions[slot].held = Some(held);
        } else {
            self.parked_bytes = self.parked_bytes.saturating_sub(held.parked_bytes);
            let cause = DropCause::Parked;
            tell(out, Fact::MessagesDropped { session, messages: held.parked.len(), cause });
        }
    }

    // --- The client ---

    fn close_client<S: Sink<P> + ?Sized>(
        &mut self,
        slot: u32,
        code: CloseCode,
        reason: &str,
        queued: Queued,
        out: &mut S,
    ) {
        let session = self.sessions.id(slot);
        self.sessions[slot].client = Client::Closing;
        // Those that are being closed may hold as much as those that live; beyond that, nothing more is flushed.
        let others = self.closing_bytes.saturating_sub(self.sessions[slot].queued);
        let too_much = others >= self.settings.client_queue_bytes_total_max;
        let queued = if too_much { Queued::Drop } else { queued };
        out.emit(Output::Close { session, code, reason, queued });
        if queued == Queued::Drop {
            self.drop_queue(slot, out);
        }
    }

    /// The shell says that a client left: by itself, or after it was told to close.
    pub(super) fn left<S: Sink<P> + ?Sized>(&mut self, id: SessionId, cause: LeaveCause, out: &mut S) {
        let Some(session) = self.sessions.get(id).filter(|session| session.client != Client::Gone) else {
            return tell(out, Fact::Stale);
        };
        if session.stage == Stage::Live {
            self.end(id.slot, EndCause::Left(cause), Farewell::Unheard, out);
        } else {
            self.client_gone(id.slot, out);
            self.proceed(id.slot, out);
        }
    }

    /// An operator ends a session. One that is over already stays as it is.
    pub(super) fn kick<S: Sink<P> + ?Sized>(&mut self, id: SessionId, out: &mut S) {
        match self.sessions.get(id).filter(|session| session.stage == Stage::Live) {
            Some(_) => self.end(id.slot, EndCause::Kicked, KICKED, out),
            None => tell(out, Fact::Stale),
        }
    }

    fn client_gone<S: Sink<P> + ?Sized>(&mut self, slot: u32, out: &mut S) {
        self.sessions[slot].client = Client::Gone;
        self.drop_queue(slot, out);
    }

    fn drop_queue<S: Sink<P> + ?Sized>(&mut self, slot: u32, out: &mut S) {
        let bytes = core::mem::take(&mut self.sessions[slot].queued);
        self.closing_bytes = self.closing_bytes.saturating_sub(bytes);
        if bytes > 0 {
            tell(out, Fact::QueueDropped { session: self.sessions.id(slot), bytes });
        }
    }

    // --- The `close` ---

    /// The last byte of a session's `close` has left the gateway: its user's gap begins.
    pub(super) fn close_left(&mut self, id: SessionId) {
        let now = self.now;
        let stage = self.sessions.get(id).map(|session| session.stage);
        let Some(Stage::Sent { free_at: None, confirmed }) = stage else { return };
        // The gap that is in force as it leaves is the one that passes.
        let free_at = now + self.settings.reopen_gap;
        self.sessions[id.slot].stage = Stage::Sent { free_at: Some(free_at), confirmed };
        let user = self.sessions[id.slot].user;
        // Those that end later are of a longer gap, from before an operator changed it.
        let mut later = Vec::new();
        while let Some(gap) = self.gaps.pop_back_if(|(at, ..)| *at > free_at) {
            later.push(gap);
        }
        self.gaps.push_back((free_at, id, user));
        self.gaps.extend(later.into_iter().rev());
        let known = self.users.get_mut(user);
        known.closes_due -= 1;
        known.closed_at = Some(now);
        known.free_at = known.free_at.max(free_at);
        if !known.to_forget {
            known.to_forget = true;
            self.forgets.push_back((now + remembered(&self.settings), user));
        }
    }

    /// The backend's library has received a session's `close`.
    pub(super) fn close_confirmed<S: Sink<P> + ?Sized>(&mut self, id: SessionId, out: &mut S) {
        self.close_left(id);
        if let Some(Stage::Sent { free_at, confirmed: false }) = self.sessions.get(id).map(|s| s.stage) {
            self.sessions[id.slot].stage = Stage::Sent { free_at, confirmed: true };
            self.proceed(id.slot, out);
        }
    }

    /// Gaps have passed: their users may be announced again, and slots that waited for them are free.
    pub(super) fn pass_gaps<S: Sink<P> + ?Sized>(&mut self, at: Time, out: &mut S) {
        while let Some((_, id, user)) = self.gaps.pop_front_if(|(due, ..)| *due <= at) {
            if self.sessions.get(id).is_some() {
                self.proceed(id.slot, out);
            }
            // A user is remembered for at least its gap, and forgotten after it has passed.
            self.ready_again(user);
        }
    }

    /// A session of `user` whose turn came during the gap goes next, if the gap is over.
    fn ready_again(&mut self, user: super::UserIndex) {
        if !self.may_open(user) {
            return;
        }
        let Some(slot) = self.users.get(user).live else { return };
        let Some(line) = self.line.connected() else { return };
        if self.sessions[slot].passed_on == Some(line.id) {
            self.sessions[slot].passed_on = None;
            line.ready.push_back(self.sessions.id(slot));
        }
    }

    /// Whether the gap after the last `close` of the user is over, and none is still to leave.
    pub(super) fn may_open(&self, user: super::UserIndex) -> bool {
        let known = self.users.get(user);
        known.closes_due == 0 && known.free_at <= self.now
    }

    /// Takes a session that is over as far as it goes: settled once its `close` is confirmed and the gap over, its
    /// slot free once its client is gone too.
    pub(super) fn proceed<S: Sink<P> + ?Sized>(&mut self, slot: u32, out: &mut S) {
        let session = &mut self.sessions[slot];
        let mut in_gap = false;
        if let Stage::Sent { free_at: Some(free_at), confirmed } = session.stage {
            in_gap = free_at > self.now;
            if confirmed && !in_gap {
                session.stage = Stage::Settled;
            }
        }
        if session.awaited && !in_gap && (session.stage == Stage::Settled || session.given_up) {
            session.awaited = false;
            self.owing -= 1;
        }
        match session.client {
            Client::Leaving if !session.awaited => {
                let (code, reason) = (CloseCode::GOING_AWAY, close::GOING_AWAY);
                self.close_client(slot, code, reason, Queued::Flush, out);
            }
            Client::Gone if session.stage == Stage::Settled => self.free(slot),
            _ => {}
        }
    }

    pub(super) fn free(&mut self, slot: u32) {
        let Some(session) = self.sessions.remove(slot) else { return };
        let user = self.users.get_mut(session.user);
        user.sessions -= 1;
        if user.sessions == 0 && !user.to_forget {
            self.users.forget(session.user);
        }
    }

    /// Forgets users without sessions whose last `close` no longer counts.
    pub(super) fn forget_users(&mut self, at: Time) {
        let remembered = remembered(&self.settings);
        while let Some((_, user)) = self.forgets.pop_front_if(|(due, _)| *due <= at) {
            let known = self.users.get_mut(user);
            let counts = known.closed_at.is_some_and(|closed_at| closed_at + remembered > at);
            if counts || known.free_at > at {
                self.forgets.push_back(((at + remembered).max(known.free_at), user));
                continue;
            }
            known.to_forget = false;
            if known.sessions == 0 {
                self.users.forget(user);
            }
        }
    }

    // --- Expiry ---

    /// When the next token expires, where that ends a session.
    pub(super) fn expiry_due(&self) -> Option<Time> {
        self.expiries.first().filter(|_| self.settings.expiry == Expiry::Close).map(|expires| expires.at)
    }

    pub(super) fn run_expiries<S: Sink<P> + ?Sized>(&mut self, at: Time, out: &mut S) {
        while self.expiry_due().is_some_and(|due| due <= at)
            && let Some(&Expires { slot, .. }) = self.expiries.first()
        {
            self.end(slot, EndCause::Expired, EXPIRED, out);
        }
    }

    /// The wall clock was set, so that tokens expire at other times than thought. What has expired has expired, also
    /// where that is ignored: how long ago it was is not kept, for it may have been before the beginning of time.
    pub(super) fn move_expiries(&mut self, forward: i64) {
        let now = self.now;
        let to_come = self.expiries.extract_if(.., |expires| expires.at > now);
        for expires in to_come.collect::<Vec<_>>() {
            let at = Time(expires.at.0.saturating_add_signed(forward.saturating_neg())).max(now);
            self.sessions[expires.slot].expires = Some(at);
            self.expiries.insert(Expires { at, ..expires });
        }
    }
}

/// How long a user's last `close` counts.
pub(super) fn remembered(settings: &Settings) -> Millis {
    settings.reopen_gap.max(settings.crossing_window)
}
