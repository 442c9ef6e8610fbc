//! The link comes and goes (language.md, "When the backend is away").

use alloc::collections::VecDeque;

use super::{
    Endpoint,
    ending::Farewell,
    key::Writer,
    link::{Connected, Kept, Line, Remains, redial_wait},
    pace::Pace,
    session::Stage,
    tell,
};
use crate::{
    CloseCode, DropCause, EndCause, Fact, LinkId, LinkPhase, Millis, OutagePolicy, Output, Payload, Queued,
    SessionId, Sink, Time, close,
};

/// The time without a backend that has heard everything.
#[cfg_attr(feature = "recording", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Outage {
    since: Time,
    /// Since when there has been no link.
    down_since: Time,
    /// How clients are closed who have been held for too long; `None` while they are held.
    pub(super) spread: Option<Pace>,
}

const BACKEND_AWAY: Farewell<'static> =
    Farewell::Now { code: CloseCode::TRY_AGAIN_LATER, reason: close::BACKEND_AWAY, queued: Queued::Flush };

impl Outage {
    pub(super) const fn since(since: Time) -> Self {
        Outage { since, down_since: since, spread: None }
    }

    /// Since when it lasts, and how clients are being closed.
    #[cfg(feature = "recording")]
    pub(super) fn snapshot(&self) -> (Time, Option<super::snapshot::Turns>) {
        (self.since, self.spread.as_ref().map(Pace::snapshot))
    }

    /// Appends what still matters of it, where no grace is longer. While it waits without a link, its grace ends later than
    /// the time since which there has been none.
    pub(super) fn key<P: Payload>(&self, grace: Millis, to: &mut Writer<'_, P>) {
        to.age(Some(self.since), grace);
        match &self.spread {
            None => to.number(1),
            Some(pace) if pace.next_due().is_some() => {
                to.number(2);
                pace.key(to);
            }
            Some(_) => to.number(3),
        }
    }
}

impl<P: Payload> Endpoint<P> {
    pub(super) fn link_up<S: Sink<P> + ?Sized>(&mut self, link: LinkId, out: &mut S) {
        if !matches!(self.line, Line::Dialling { link: dialled } if dialled == link) {
            return tell(out, Fact::Stale);
        }
        let mut line = Connected::new(link, self.now, self.pings);
        line.settling = self.owed.len();
        self.line = Line::Connected(line.into());
        if let Some(outage) = &mut self.outage {
            outage.spread = None;
        }
        if self.owed.is_empty() {
            self.start_announcing(out);
        } else {
            tell(out, Fact::Link { phase: LinkPhase::Settling });
        }
    }

    pub(super) fn link_down<S: Sink<P> + ?Sized>(&mut self, link: LinkId, out: &mut S) {
        match &self.line {
            Line::Dialling { link: dialled } if *dialled == link => self.redial_later(),
            Line::Connected(line) if line.id == link => self.break_link(self.now, out),
            _ => tell(out, Fact::Stale),
        }
    }

    pub(super) fn redial_later(&mut self) {
        self.line = Line::Waiting { since: self.now, attempt: Some(self.attempt) };
        self.attempt = self.attempt.saturating_add(1);
    }

    /// When the next dial is due, where there has been no link since then.
    pub(super) fn dial_at(&self, since: Time, attempt: Option<u32>) -> Time {
        let Some(attempt) = attempt else { return since };
        since + redial_wait(&self.settings.link, self.settings.seed, LinkId(self.links), attempt)
    }

    /// The link has been broken since `at`. What was not confirmed is owed again, is to be sent again, or is counted
    /// as lost.
    pub(super) fn break_link<S: Sink<P> + ?Sized>(&mut self, at: Time, out: &mut S) {
        let Line::Connected(line) = core::mem::replace(&mut self.line, Line::Over) else { return };
        self.redial_later();
        let remains = line.remains();
        // Those that were to end on this link, and had more to say before, can no longer say it.
        let owed = core::mem::take(&mut self.owed);
        owed.iter().for_each(|id| self.drop_held(id.slot, false, out));
        self.owed = owed;
        self.count_unconfirmed(&remains, out);
        self.owe_again(remains.closes);
        self.send_again(remains.kept, out);
        self.end_rest();
        self.disband_backlog(out);
        let outage = self.outage.get_or_insert(Outage::since(at));
        outage.down_since = at;
        tell(out, Fact::Link { phase: LinkPhase::Down });
    }

    /// Closes that had gone out come before those that had not.
    fn owe_again(&mut self, closes: VecDeque<(u64, SessionId)>) {
        for (_, id) in closes.into_iter().rev() {
            let stage = self.sessions.get(id).map(|session| session.stage);
            if let Some(Stage::Sent { free_at, confirmed: false }) = stage {
                self.sessions[id.slot].stage = Stage::Owed;
                let user = self.sessions[id.slot].user;
                self.users.get_mut(user).closes_due += u32::from(free_at.is_some());
                self.owed.push_front(id);
            }
        }
    }

    /// Messages that went out, were not confirmed, and are not sent again: of each the settings decided when it went.
    pub(super) fn count_unconfirmed<S: Sink<P> + ?Sized>(&self, remains: &Remains<P>, out: &mut S) {
        let messages = remains.messages.saturating_sub(remains.kept.len() as u64);
        if messages > 0 {
            tell(out, Fact::Unconfirmed { messages });
        }
    }

    /// Messages that had gone out come before those that had not. Of sessions that are over they are lost.
    pub(super) fn send_again<S: Sink<P> + ?Sized>(&mut self, kept: VecDeque<Kept<P>>, out: &mut S) {
        for Kept { session, payload, bytes, .. } in kept.into_iter().rev() {
            if self.sessions.get(session).is_some_and(|s| s.stage == Stage::Live) {
                self.sessions[session.slot].held_mut().again.push_front((payload, bytes));
                self.again_bytes = self.again_bytes.saturating_add(bytes);
            } else {
                tell(out, Fact::MessagesDropped { session, messages: 1, cause: DropCause::Unconfirmed });
            }
        }
    }

    /// Nobody waits for the link alone any more: all wait to be announced, and may park while they do.
    fn disband_backlog<S: Sink<P> + ?Sized>(&mut self, out: &mut S) {
        while let Some(slot) = self.backlog.head() {
            self.backlog.remove(&mut self.sessions, slot);
            if self.sessions[slot].parked_bytes() < self.settings.parked_bytes_max {
                self.resume(slot, out);
            }
        }
    }

    /// Dials, pings, takes a link for broken that does not answer, and drops one that was to be left by now.
    pub(super) fn run_link<S: Sink<P> + ?Sized>(&mut self, at: Time, out: &mut S) {
        let (dial_at, ping_due) = match &self.line {
            Line::Waiting { since, attempt } => (Some(self.dial_at(*since, *attempt)), None),
            Line::Connected(line) => (None, self.ping_due(line)),
            Line::Dialling { .. } | Line::Over => (None, None),
        };
        match &mut self.line {
            Line::Waiting { .. } if dial_at.is_some_and(|due| due <= at) => {
                self.links += 1;
                let link = LinkId(self.links);
                self.line = Line::Dialling { link };
                out.emit(Output::Dial { link });
            }
            Line::Connected(line) if line.pong_due(&self.settings.link).is_some_and(|due| due <= at) => {
                let link = line.id;
                tell(out, Fact::PongTimeout);
                out.emit(Output::Abort { link });
                self.break_link(at, out);
            }
            Line::Connected(line) if line.leaves_by.is_some_and(|due| due <= at) => {
                out.emit(Output::Abort { link: line.id });
                self.break_link(at, out);
            }
            Line::Connected(line) if ping_due.is_some_and(|due| due <= at) => {
                self.pings += 1;
                line.ping(self.now, self.pings, out);
                self.end_rest();
            }
            _ => {}
        }
    }

    /// Whether clients are held while there is no link.
    pub(super) fn holds_clients(&self) -> bool {
        self.spread_at().is_none_or(|at| self.now < at)
    }

    /// When held clients begin to be closed, if no link comes up.
    fn spread_at(&self) -> Option<Time> {
        let outage = self.outage.as_ref()?;
        let held_until = match self.settings.outage.policy {
            OutagePolicy::Hold => outage.since + self.settings.outage.grace,
            OutagePolicy::Close => outage.since,
        };
        Some(held_until.max(outage.down_since))
    }

    /// A drain sees to the clients by itself, and while there is a link they are held.
    pub(super) fn outage_due(&self) -> Option<Time> {
        if self.drain.is_some() || matches!(self.line, Line::Connected(_)) {
            return None;
        }
        match &self.outage.as_ref()?.spread {
            None => self.spread_at(),
            Some(pace) => pace.next_due(),
        }
    }

    pub(super) fn run_outage<S: Sink<P> + ?Sized>(&mut self, at: Time, out: &mut S) {
        let (sessions, span) = (self.live.len(), self.settings.outage.spread);
        let due = self.outage_due().is_some_and(|due| due <= at);
        let Some(outage) = self.outage.as_mut().filter(|_| due) else { return };
        match &mut outage.spread {
            None => {
                outage.spread = Some(Pace::new(at, span, sessions));
                if sessions > 0 {
                    tell(out, Fact::OutageSpread { sessions });
                }
            }
            Some(pace) => {
                pace.take(at);
                if let Some(oldest) = self.live.head() {
                    self.end(oldest, EndCause::Outage, BACKEND_AWAY, out);
                }
            }
        }
    }
}
