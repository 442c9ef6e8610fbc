//! The link to the backend: its life, what is queued for it, and what of that is confirmed.

use alloc::{boxed::Box, collections::VecDeque};

use super::{key::Writer, session::Stage};
use crate::{Event, LinkId, LinkPhase, LinkSettings, Millis, Output, Payload, SessionId, Sink, Time};

/// Whether there is a connection to the backend.
#[cfg_attr(
    feature = "recording",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[derive(Clone, Debug)]
pub(super) enum Line<P> {
    /// There has been none since then; which attempt in a row the next dial will be. `None`: it is the first of all, and
    /// due at once.
    Waiting { since: Time, attempt: Option<u32> },
    /// One is being made.
    Dialling { link: LinkId },
    /// There is one. Boxed: it is large, and there is one of it.
    Connected(Box<Connected<P>>),
    /// The drain is over.
    Over,
}

impl<P> Line<P> {
    pub(super) fn connected(&mut self) -> Option<&mut Connected<P>> {
        match self {
            Line::Connected(line) => Some(line),
            _ => None,
        }
    }

    /// The connection `link`, if that is the one that is up.
    pub(super) fn connected_as(&mut self, link: LinkId) -> Option<&mut Connected<P>> {
        self.connected().filter(|line| line.id == link)
    }
}

/// All that ends with one connection.
#[cfg_attr(feature = "recording", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug)]
pub(super) struct Connected<P> {
    pub id: LinkId,
    pub phase: LinkPhase,

    /// Bytes queued, as the sink returned them and the reports of bytes gone out gave them back.
    pub queued: usize,
    /// Above the high mark, and not yet below the low one again; or the link is left.
    pub full: bool,
    /// It is left for another once all that it has taken is confirmed, and by then in any case.
    pub leaves_by: Option<Time>,
    /// Bytes queued and bytes gone out since the connection came up.
    emitted: u64,
    sent: u64,
    /// Closes that are queued: which, and after how many bytes each has left.
    leaving: VecDeque<(u64, SessionId)>,

    /// Events since the Ping that is outstanding, or since the last that was answered.
    unpinged: Tally,
    /// When the first of them was queued.
    pub unpinged_since: Time,
    /// Events before the Ping that is outstanding.
    pinged: Tally,
    /// The Ping that is outstanding: its counter, and when it was queued.
    ping: Option<(u64, Time)>,
    /// The counter of the last Ping that was answered; what was queued before that Ping is confirmed.
    pub confirmed: u64,
    /// When that was; before, when the connection came up.
    quiet_since: Time,
    /// Closes that are not confirmed: which, and the Ping that will confirm each.
    closes: VecDeque<(u64, SessionId)>,
    /// Messages that are not confirmed, where they are kept.
    kept: VecDeque<Kept<P>>,

    /// Owed closes that have to go out before settling can end.
    pub settling: usize,
    /// The Ping whose answer ends the phase, once everything of the phase has gone out.
    pub target: Option<u64>,
    /// Sessions that were live when announcing began, up to this number, and that have to be opened before it can end.
    pub announcing: usize,
    pub announcing_to: u64,
    /// The oldest live session whose turn to be opened has not come.
    pub cursor: Option<u32>,
    /// Sessions whose turn came before their user's gap had passed, and for whom it now has.
    pub ready: VecDeque<SessionId>,
}

/// A message that goes again if this link breaks before it is confirmed.
#[cfg_attr(feature = "recording", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug)]
pub(super) struct Kept<P> {
    /// The Ping that will confirm it.
    by: u64,
    pub session: SessionId,
    pub payload: P,
    /// Its size as an event.
    pub bytes: usize,
}

#[cfg_attr(feature = "recording", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Tally {
    /// All of them: also those of no bytes, which are on their way at once.
    events: u64,
    bytes: usize,
    messages: u64,
}

/// What a link leaves behind.
pub(super) struct Remains<P> {
    /// Sessions whose `close` was not confirmed, in the order in which they went out.
    pub closes: VecDeque<(u64, SessionId)>,
    pub kept: VecDeque<Kept<P>>,
    /// Messages that were not confirmed.
    pub messages: u64,
}

impl<P> Connected<P> {
    pub(super) fn new(id: LinkId, now: Time, confirmed: u64) -> Self {
        Connected {
            id,
            phase: LinkPhase::Settling,
            queued: 0,
            full: false,
            leaves_by: None,
            emitted: 0,
            sent: 0,
            leaving: VecDeque::new(),
            unpinged: Tally::default(),
            unpinged_since: now,
            pinged: Tally::default(),
            ping: None,
            confirmed,
            quiet_since: now,
            closes: VecDeque::new(),
            kept: VecDeque::new(),
            settling: 0,
            target: None,
            announcing: 0,
            announcing_to: 0,
            cursor: None,
            ready: VecDeque::new(),
        }
    }

    pub(super) fn unconfirmed_bytes(&self) -> usize {
        self.unpinged.bytes.saturating_add(self.pinged.bytes)
    }

    /// Whether it may be announced on this link now.
    pub(super) fn announces(&self) -> bool {
        !self.full && self.phase != LinkPhase::Settling
    }

    /// Queues an event. Returns its size.
    pub(super) fn emit<S: Sink<P> + ?Sized>(
        &mut self,
        now: Time,
        session: SessionId,
        event: Event<'_, P>,
        out: &mut S,
    ) -> usize {
        let messages = u64::from(matches!(event, Event::Message { .. }));
        let bytes = out.emit(Output::Event { link: self.id, session, event });
        if self.unpinged == Tally::default() {
            self.unpinged_since = now;
        }
        self.unpinged.events = self.unpinged.events.saturating_add(1);
        self.unpinged.bytes = self.unpinged.bytes.saturating_add(bytes);
        self.unpinged.messages = self.unpinged.messages.saturating_add(messages);
        self.queue(bytes);
        bytes
    }

    fn queue(&mut self, bytes: usize) {
        self.queued = self.queued.saturating_add(bytes);
        self.emitted = self.emitted.saturating_add(bytes as u64);
    }

    /// The `close` of `session` is the event that was queued last. `next_ping` will confirm it.
    pub(super) fn note_close(&mut self, session: SessionId, next_ping: u64) {
        self.leaving.push_back((self.emitted, session));
        self.closes.push_back((next_ping, session));
    }

    /// A message that was queued last is kept until `next_ping` confirms it.
    pub(super) fn keep(&mut self, session: SessionId, payload: P, bytes: usize, next_ping: u64) {
        self.kept.push_back(Kept { by: next_ping, session, payload, bytes });
    }

    /// Bytes have gone out: at most what is queued.
    pub(super) fn report_sent(&mut self, bytes: usize) {
        let bytes = bytes.min(self.queued);
        self.queued = self.queued.saturating_sub(bytes);
        self.sent = self.sent.saturating_add(bytes as u64);
    }

    /// The next session whose `close` has left.
    pub(super) fn pop_left(&mut self) -> Option<SessionId> {
        let &(after, session) = self.leaving.front()?;
        if after > self.sent {
            return None;
        }
        self.leaving.pop_front();
        Some(session)
    }

    /// Has the link just become full, or just stopped being so?
    pub(super) fn update_full(&mut self, settings: &LinkSettings) -> Option<bool> {
        let (queued, unconfirmed) = (self.queued, self.unconfirmed_bytes());
        let full = if self.leaves_by.is_some() {
            true
        } else if self.full {
            queued > settings.low_bytes || unconfirmed > settings.low_bytes
        } else {
            queued > settings.high_bytes || unconfirmed > settings.high_bytes
        };
        (full != self.full).then(|| {
            self.full = full;
            full
        })
    }

    // --- Confirmation (language.md, "Confirmation") ---

    /// When a Ping is due; `None` while one is outstanding. At once where there is much to confirm, or where the
    /// phase waits for nothing else.
    pub(super) fn ping_due(&self, settings: &LinkSettings) -> Option<Time> {
        if self.ping.is_some() {
            return None;
        }
        Some(if self.unpinged == Tally::default() {
            // A phase whose target is confirmed is over, and has none.
            if self.target.is_some() { self.quiet_since } else { self.quiet_since + settings.ping_interval }
        } else if self.unpinged.bytes >= settings.high_bytes / 4 {
            self.unpinged_since
        } else {
            self.unpinged_since + settings.confirm_delay
        })
    }

    /// All that it has taken is confirmed.
    pub(super) fn is_calm(&self) -> bool {
        self.ping.is_none() && self.unpinged == Tally::default()
    }

    pub(super) fn pong_due(&self, settings: &LinkSettings) -> Option<Time> {
        self.ping.map(|(_, at)| at + settings.pong_timeout)
    }

    pub(super) fn ping<S: Sink<P> + ?Sized>(&mut self, now: Time, counter: u64, out: &mut S) {
        self.ping = Some((counter, now));
        self.pinged = core::mem::take(&mut self.unpinged);
        let bytes = out.emit(Output::Ping { link: self.id, counter });
        self.queue(bytes);
    }

    /// The Ping after which all that has been queued so far is confirmed, given the counter of the next one.
    pub(super) fn confirming_ping(&self, next_ping: u64) -> u64 {
        match self.ping {
            Some((counter, _)) if self.unpinged == Tally::default() => counter,
            _ => next_ping,
        }
    }

    /// Takes a Pong. Only one that bears the counter of the outstanding Ping confirms anything.
    pub(super) fn pong(&mut self, now: Time, counter: u64) -> bool {
        let answers = self.ping.is_some_and(|(outstanding, _)| outstanding == counter);
        if answers {
            self.ping = None;
            self.pinged = Tally::default();
            self.confirmed = counter;
            self.quiet_since = now;
            while self.kept.front().is_some_and(|kept| kept.by <= counter) {
                self.kept.pop_front();
            }
        }
        answers
    }

    /// The next session whose `close` is confirmed.
    pub(super) fn pop_confirmed(&mut self) -> Option<SessionId> {
        let &(by, session) = self.closes.front()?;
        if by > self.confirmed {
            return None;
        }
        self.closes.pop_front();
        Some(session)
    }

    /// Everything of the phase has gone out, and is confirmed.
    pub(super) fn is_target_confirmed(&self) -> bool {
        self.target.is_some_and(|target| target <= self.confirmed)
    }

    /// Bytes of messages that are kept or were to go again may not grow with every break: new messages wait
    /// while `again_bytes` and what is unconfirmed exceed the high mark together.
    pub(super) fn takes_messages(&self, settings: &LinkSettings, again_bytes: usize) -> bool {
        !self.full
            && (again_bytes == 0
                || self.unconfirmed_bytes().saturating_add(again_bytes) <= settings.high_bytes)
    }

    pub(super) fn remains(self) -> Remains<P> {
        Remains {
            closes: self.closes,
            kept: self.kept,
            messages: self.unpinged.messages.saturating_add(self.pinged.messages),
        }
    }
}

#[cfg(feature = "recording")]
impl<P> Connected<P> {
    /// What stands here.
    pub(super) fn snapshot(&self) -> super::snapshot::Up<'_, P> {
        let batch = |tally: Tally| super::snapshot::Batch {
            empty: tally == Tally::default(),
            bytes: tally.bytes,
            messages: tally.messages,
        };
        super::snapshot::Up {
            link: self.id,
            phase: self.phase,
            full: self.full,
            leaves_by: self.leaves_by,
            emitted: self.emitted,
            sent: self.sent,
            leaving: &self.leaving,
            unpinged: batch(self.unpinged),
            unpinged_since: self.unpinged_since,
            pinged: batch(self.pinged),
            ping: self.ping,
            quiet_since: self.quiet_since,
            closes: &self.closes,
            kept: self.kept.iter().map(|kept| (kept.by, kept.session, &kept.payload)).collect(),
            settling: self.settling,
            target: self.target,
            announcing_to: self.announcing_to,
        }
    }
}

impl<P: Payload> Connected<P> {
    /// Appends what still matters of it, but for the sessions that it has yet to announce. What it keeps to say of
    /// sessions that are past that, it will not say.
    pub(super) fn key(&self, stage: impl Fn(SessionId) -> Option<Stage>, to: &mut Writer<'_, P>) {
        let phase = match self.phase {
            LinkPhase::Down => 0,
            LinkPhase::Settling => 1,
            LinkPhase::Announcing => 2,
            LinkPhase::Up => 3,
        };
        to.number(phase);
        to.flags(&[self.full]);
        to.until(self.leaves_by);
        to.number(self.queued as u64);
        to.number(self.settling as u64);
        for tally in [self.unpinged, self.pinged] {
            to.number(tally.bytes as u64);
            to.number(tally.messages);
        }
        // Pings are counted from the last one that was answered.
        let ping = |to: &mut Writer<'_, P>, counter: u64| to.number(counter.saturating_sub(self.confirmed));
        ping(to, self.target.unwrap_or(0));
        to.age(self.ping.map(|(_, at)| at), to.longest(|settings| settings.link.pong_timeout));
        let calm = self.unpinged == Tally::default();
        let delay = to.longest(|settings| settings.link.confirm_delay);
        to.age((!calm).then_some(self.unpinged_since), delay);
        let quiet = (calm && self.ping.is_none()).then_some(self.quiet_since);
        to.age(quiet, to.longest(|settings| settings.link.ping_interval));

        let waits = |id: &SessionId, leaves: bool| match stage(*id) {
            Some(Stage::Sent { free_at, confirmed }) => {
                if leaves {
                    free_at.is_none()
                } else {
                    !confirmed
                }
            }
            _ => false,
        };
        for &(after, id) in self.leaving.iter().filter(|(_, id)| waits(id, true)) {
            to.number(after.saturating_sub(self.sent));
            to.session(id);
        }
        to.end();
        for &(by, id) in self.closes.iter().filter(|(_, id)| waits(id, false)) {
            ping(to, by);
            to.session(id);
        }
        to.end();
        for kept in &self.kept {
            ping(to, kept.by);
            to.session(kept.session);
            to.payload(&kept.payload);
            to.number(kept.bytes as u64);
        }
        to.end();
    }
}

/// The wait before the next dial (exponential backoff with full jitter): by chance up to `backoff_first`
/// doubled with each failed `attempt`, at most `backoff_max`, and at least `redial_min`.
pub(super) fn redial_wait(settings: &LinkSettings, seed: u64, link: LinkId, attempt: u32) -> Millis {
    let doubled = settings.backoff_first.0.saturating_mul(1u64.checked_shl(attempt).unwrap_or(u64::MAX));
    let most = doubled.min(settings.backoff_max.0);
    if most <= settings.redial_min.0 {
        return settings.redial_min;
    }
    let chance = mix(seed ^ link.0.rotate_left(32)).checked_rem(most.saturating_add(1)).unwrap_or(most);
    Millis(chance.max(settings.redial_min.0))
}

/// SplitMix64's finaliser: a number that looks random, and is the same for the same `seed`.
pub(crate) const fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
