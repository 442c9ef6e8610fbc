//! From clients to the backend: what goes out on the link, in which order, and what waits.
//!
//! An event goes out at once if its turn has come and the link is not full. What cannot go waits where it is: a
//! message is parked in its session, an `open` is a session before the cursor, a `close` is a slot in the queue of
//! owed ones. [`Endpoint::pump_link`] sends on what can go after each input.

use super::{
    Endpoint,
    link::Connected,
    session::{Client, Session, Stage},
    tell,
};
use crate::{
    DropCause, Event, Fact, LinkId, LinkPhase, Output, Payload, Redeliver, SessionId, Settings, Sink, Time,
};

/// What a parked message counts beyond its bytes: its place in the queue, and what an allocator adds.
pub(super) const PARKED_OVERHEAD_BYTES: usize = 64;

impl<P: Payload> Endpoint<P> {
    pub(super) fn message<S: Sink<P> + ?Sized>(&mut self, id: SessionId, payload: P, out: &mut S) {
        match self.sessions.get(id).map(|session| (session.stage, session.client)) {
            None | Some((_, Client::Gone)) => tell(out, Fact::Stale),
            Some((Stage::Live, _)) => self.take_message(id.slot, payload, out),
            Some(_) => {
                tell(out, Fact::MessagesDropped { session: id, messages: 1, cause: DropCause::AfterEnd })
            }
        }
    }

    fn take_message<S: Sink<P> + ?Sized>(&mut self, slot: u32, payload: P, out: &mut S) {
        let next_ping = self.pings + 1;
        let (id, session) = (self.sessions.id(slot), &mut self.sessions[slot]);
        let has_share = session.spent_since(next_ping) < self.settings.link.share_bytes;
        let direct = self.line.connected().filter(|line| {
            session.opened_on == Some(line.id)
                && has_share
                && line.takes_messages(&self.settings.link, self.again_bytes)
        });
        let Some(line) = direct else { return self.park(slot, payload, out) };
        debug_assert!(session.held.is_none(), "a link that takes messages has taken all that was held");
        let moment = Moment { now: self.now, next_ping, settings: &self.settings };
        moment.send_message(line, id, session, payload, out);
    }

    /// Keeps a message until it can go, and stops reading from its client where that is all it may wait for.
    fn park<S: Sink<P> + ?Sized>(&mut self, slot: u32, payload: P, out: &mut S) {
        let announced = self.is_announced(slot);
        let bytes = payload.size().saturating_add(PARKED_OVERHEAD_BYTES);
        let held = self.sessions[slot].held_mut();
        held.parked.push_back(payload);
        held.parked_bytes = held.parked_bytes.saturating_add(bytes);
        let parked_bytes = held.parked_bytes;
        self.parked_bytes = self.parked_bytes.saturating_add(bytes);
        if announced {
            self.wait_for_link(slot);
        }
        if announced || parked_bytes >= self.settings.parked_bytes_max {
            self.stop(slot, out);
        }
        self.stop_all(out);
    }

    /// Stops reading from everybody where too much is parked in sum.
    pub(super) fn stop_all<S: Sink<P> + ?Sized>(&mut self, out: &mut S) {
        let too_much = self.parked_bytes > 0 && self.parked_bytes >= self.settings.parked_bytes_total_max;
        if too_much && !self.all_stopped {
            self.all_stopped = true;
            out.emit(Output::StopAll);
        }
    }

    pub(super) fn stop<S: Sink<P> + ?Sized>(&mut self, slot: u32, out: &mut S) {
        if !self.sessions[slot].stopped {
            self.sessions[slot].stopped = true;
            out.emit(Output::Stop { session: self.sessions.id(slot) });
        }
    }

    pub(super) fn resume<S: Sink<P> + ?Sized>(&mut self, slot: u32, out: &mut S) {
        if self.sessions[slot].stopped {
            self.sessions[slot].stopped = false;
            out.emit(Output::Resume { session: self.sessions.id(slot) });
        }
    }

    pub(super) fn resume_all<S: Sink<P> + ?Sized>(&mut self, out: &mut S) {
        if self.all_stopped && self.parked_bytes <= self.settings.parked_bytes_total_max / 2 {
            self.all_stopped = false;
            out.emit(Output::ResumeAll);
        }
    }

    /// The messages of an announced session wait: for the next Ping if it has had its share, else for the link.
    fn wait_for_link(&mut self, slot: u32) {
        if self.backlog.contains(&self.sessions, slot) {
            return;
        }
        let waits = if self.has_spent_share(slot) { &mut self.resting } else { &mut self.backlog };
        waits.push_back(&mut self.sessions, slot);
    }

    pub(super) fn has_spent_share(&self, slot: u32) -> bool {
        self.sessions[slot].spent_since(self.pings + 1) >= self.settings.link.share_bytes
    }

    /// Those who had their share have one again, and wait for the link like all others.
    pub(super) fn end_rest(&mut self) {
        while let Some(slot) = self.resting.head() {
            self.resting.remove(&mut self.sessions, slot);
            self.backlog.push_back(&mut self.sessions, slot);
        }
    }

    /// When a Ping is due: at once where somebody waits for it to go on, or the link is left.
    pub(super) fn ping_due(&self, line: &Connected<P>) -> Option<Time> {
        let due = line.ping_due(&self.settings.link)?;
        let at_once = self.resting.head().is_some() || line.leaves_by.is_some();
        Some(if at_once { due.min(line.unpinged_since) } else { due })
    }

    /// Whether the session's `open` has gone out on the link that is up.
    pub(super) fn is_announced(&mut self, slot: u32) -> bool {
        let opened_on = self.sessions[slot].opened_on;
        self.line.connected().is_some_and(|line| opened_on == Some(line.id))
    }

    pub(super) fn link_sent<S: Sink<P> + ?Sized>(&mut self, link: LinkId, bytes: usize, out: &mut S) {
        match self.line.connected_as(link) {
            Some(line) => line.report_sent(bytes),
            None => tell(out, Fact::Stale),
        }
    }

    pub(super) fn pong<S: Sink<P> + ?Sized>(&mut self, link: LinkId, counter: u64, out: &mut S) {
        let now = self.now;
        let Some(line) = self.line.connected_as(link) else { return tell(out, Fact::Stale) };
        if !line.pong(now, counter) {
            return tell(out, Fact::Stale);
        }
        while let Some(id) = self.line.connected().and_then(Connected::pop_confirmed) {
            self.close_confirmed(id, out);
        }
    }

    // --- What can go, goes ---

    pub(super) fn pump_link<S: Sink<P> + ?Sized>(&mut self, out: &mut S) {
        self.update_full(out);
        self.send_owed(out);
        while let Some(id) = self.line.connected().and_then(Connected::pop_left) {
            self.close_left(id);
        }
        self.settle_link(out);
        self.announce(out);
        self.work_backlog(out);
        self.finish_announcing(out);
    }

    fn update_full<S: Sink<P> + ?Sized>(&mut self, out: &mut S) {
        if let Some(line) = self.line.connected() {
            update_full(line, &self.settings, out);
        }
    }

    /// Closes go first: a user's `close` comes before that user's next `open`, and in settling before everyone's.
    fn send_owed<S: Sink<P> + ?Sized>(&mut self, out: &mut S) {
        while let Some(&id) = self.owed.front() {
            let next_ping = self.pings + 1;
            let Some(line) = self.line.connected() else { return };
            // What it sent before it ended goes before its `close`.
            let moment = Moment { now: self.now, next_ping, settings: &self.settings };
            while let Some((payload, bytes)) = pop_parked(&mut self.sessions[id.slot], line) {
                self.parked_bytes = self.parked_bytes.saturating_sub(bytes);
                moment.send_message(line, id, &mut self.sessions[id.slot], payload, out);
            }
            if line.full {
                return;
            }
            let session = &mut self.sessions[id.slot];
            session.stage = Stage::Sent { free_at: None, confirmed: false };
            line.emit(self.now, id, Event::Close { who: &session.identity }, out);
            line.note_close(id, next_ping);
            update_full(line, &self.settings, out);
            line.settling = line.settling.saturating_sub(1);
            self.owed.pop_front();
        }
    }

    /// Settling ends when the closes that were owed when the link came up are confirmed.
    fn settle_link<S: Sink<P> + ?Sized>(&mut self, out: &mut S) {
        let next_ping = self.pings + 1;
        let Some(line) = self.line.connected() else { return };
        if line.phase != LinkPhase::Settling || line.settling > 0 {
            return;
        }
        line.target = line.target.or(Some(line.confirming_ping(next_ping)));
        if line.is_target_confirmed() {
            line.target = None;
            self.start_announcing(out);
        }
    }

    pub(super) fn start_announcing<S: Sink<P> + ?Sized>(&mut self, out: &mut S) {
        let (head, sessions, number) = (self.live.head(), self.live.len(), self.admissions);
        let Some(line) = self.line.connected() else { return };
        line.phase = LinkPhase::Announcing;
        line.cursor = head;
        line.announcing = sessions;
        line.announcing_to = number;
        tell(out, Fact::Link { phase: LinkPhase::Announcing });
    }

    /// Opens sessions, as far as the link takes it: those whose user's gap has passed, then the oldest.
    fn announce<S: Sink<P> + ?Sized>(&mut self, out: &mut S) {
        while let Some(line) = self.line.connected().filter(|line| line.announces()) {
            let link = line.id;
            if let Some(id) = line.ready.pop_front() {
                let waits = self
                    .sessions
                    .get(id)
                    .is_some_and(|s| s.stage == Stage::Live && s.opened_on != Some(link));
                if waits && self.may_open(self.sessions[id.slot].user) {
                    self.open(id.slot, out);
                }
            } else if let Some(slot) = line.cursor {
                line.cursor = self.live.after(&self.sessions, slot);
                if self.may_open(self.sessions[slot].user) {
                    self.open(slot, out);
                } else {
                    self.sessions[slot].passed_on = Some(link);
                }
            } else {
                return;
            }
        }
    }

    fn open<S: Sink<P> + ?Sized>(&mut self, slot: u32, out: &mut S) {
        let id = self.sessions.id(slot);
        self.note_announced(slot);
        let Some(line) = self.line.connected() else { return };
        let session = &mut self.sessions[slot];
        session.reopened = session.opened_on.is_some();
        session.opened_on = Some(line.id);
        session.opened_at = self.now;
        line.emit(self.now, id, Event::Open { who: &session.identity }, out);
        update_full(line, &self.settings, out);
        self.flush(slot, out);
    }

    /// Sends what an announced session holds, as far as the link takes it; the rest waits in the backlog, and its
    /// client with it.
    fn flush<S: Sink<P> + ?Sized>(&mut self, slot: u32, out: &mut S) {
        let id = self.sessions.id(slot);
        let moment = Moment { now: self.now, next_ping: self.pings + 1, settings: &self.settings };
        let Some(line) = self.line.connected() else { return };
        while let Some((payload, bytes)) = pop_again(&mut self.sessions[slot], line) {
            self.again_bytes = self.again_bytes.saturating_sub(bytes);
            moment.send_message(line, id, &mut self.sessions[slot], payload, out);
        }
        while line.takes_messages(&self.settings.link, self.again_bytes)
            && self.sessions[slot].spent_since(moment.next_ping) < self.settings.link.share_bytes
            && let Some((payload, bytes)) = pop_parked(&mut self.sessions[slot], line)
        {
            self.parked_bytes = self.parked_bytes.saturating_sub(bytes);
            moment.send_message(line, id, &mut self.sessions[slot], payload, out);
        }
        let Some(held) = &self.sessions[slot].held else {
            self.backlog.remove(&mut self.sessions, slot);
            return self.resume(slot, out);
        };
        // Those that hold messages to be sent again come first: new messages of anybody may wait for them.
        if held.again.is_empty() {
            if self.has_spent_share(slot) {
                self.backlog.remove(&mut self.sessions, slot);
            }
            self.wait_for_link(slot);
        } else {
            self.backlog.push_front(&mut self.sessions, slot);
        }
        self.stop(slot, out);
    }

    fn work_backlog<S: Sink<P> + ?Sized>(&mut self, out: &mut S) {
        while let Some(slot) = self.backlog.head() {
            self.flush(slot, out);
            if self.backlog.head() == Some(slot) {
                return;
            }
        }
    }

    /// A live session is about to be opened on the link, or is over: announcing need not wait for it any more.
    pub(super) fn note_announced(&mut self, slot: u32) {
        let session = &self.sessions[slot];
        let (number, opened_on) = (session.number, session.opened_on);
        let Some(line) = self.line.connected() else { return };
        if line.phase == LinkPhase::Announcing && number <= line.announcing_to && opened_on != Some(line.id) {
            line.announcing -= 1;
        }
    }

    /// Announcing ends, and with it the outage, when all who were live when it began have been opened and that is
    /// confirmed. It does not wait for those who have come since, or it might never end.
    fn finish_announcing<S: Sink<P> + ?Sized>(&mut self, out: &mut S) {
        let next_ping = self.pings + 1;
        let Some(line) = self.line.connected() else { return };
        if line.phase != LinkPhase::Announcing {
            return;
        }
        if line.announcing == 0 {
            line.target = line.target.or(Some(line.confirming_ping(next_ping)));
        }
        if line.is_target_confirmed() {
            line.target = None;
            line.phase = LinkPhase::Up;
            self.outage = None;
            self.attempt = 0;
            tell(out, Fact::Link { phase: LinkPhase::Up });
        }
    }
}

/// What sending a message needs besides the link and the session.
struct Moment<'a> {
    now: Time,
    next_ping: u64,
    settings: &'a Settings,
}

impl Moment<'_> {
    fn send_message<P, S: Sink<P> + ?Sized>(
        &self,
        line: &mut Connected<P>,
        id: SessionId,
        session: &mut Session<P>,
        payload: P,
        out: &mut S,
    ) {
        let event = Event::Message { who: &session.identity, payload: &payload };
        let bytes = line.emit(self.now, id, event, out);
        session.spend(bytes, self.next_ping);
        if self.settings.redeliver == Redeliver::Unconfirmed {
            line.keep(id, payload, bytes, self.next_ping);
        }
        update_full(line, self.settings, out);
    }
}

/// Takes the next message to be sent again, with its size as an event, if the link takes it.
fn pop_again<P>(session: &mut Session<P>, line: &Connected<P>) -> Option<(P, usize)> {
    let held = session.held.as_mut().filter(|_| !line.full)?;
    let next = held.again.pop_front()?;
    drop_empty(session);
    Some(next)
}

/// Takes the next parked message, with what it counted, if the link takes it.
fn pop_parked<P: Payload>(session: &mut Session<P>, line: &Connected<P>) -> Option<(P, usize)> {
    let held = session.held.as_mut().filter(|held| !line.full && held.again.is_empty())?;
    let payload = held.parked.pop_front()?;
    let bytes = payload.size().saturating_add(PARKED_OVERHEAD_BYTES).min(held.parked_bytes);
    held.parked_bytes = held.parked_bytes.saturating_sub(bytes);
    drop_empty(session);
    Some((payload, bytes))
}

fn drop_empty<P>(session: &mut Session<P>) {
    if session.held.as_ref().is_some_and(|held| held.again.is_empty() && held.parked.is_empty()) {
        session.held = None;
    }
}

fn update_full<P, S: Sink<P> + ?Sized>(line: &mut Connected<P>, settings: &Settings, out: &mut S) {
    match line.update_full(&settings.link) {
        Some(true) => tell(out, Fact::LinkFull),
        Some(false) => tell(out, Fact::LinkDrained),
        None => {}
    }
}
