//! What of the state can still matter, as numbers: two machines with equal settings and equal keys answer equal inputs
//! alike, for ever. So a model checker, which has seen one of them, need not look at the other.
//!
//! Ids, names and payloads have no meaning but that they are the same or not: whoever asks for the key names them, by
//! first appearance, and sessions appear by age. Times are spans from now, cut off where they stop to matter. Sums and
//! counts that follow from the rest are left out, and so is what only tells of the past.

use alloc::vec::Vec;

use super::{
    Endpoint,
    link::Line,
    session::{Client, Session, Stage},
    users::UserIndex,
};
use crate::{Identity, LinkId, LinkPhase, Millis, Payload, SessionId, Time};

/// Gives numbers to what a key only compares: the same number to the same thing, and to no other of its kind.
pub trait Naming<P> {
    /// The number of a session.
    fn session(&mut self, id: SessionId) -> u64;
    /// The number of a user.
    fn user(&mut self, name: &str) -> u64;
    /// The number of what a session's events say of whose it is.
    fn identity(&mut self, identity: &Identity) -> u64;
    /// The number of a payload.
    fn payload(&mut self, payload: &P) -> u64;
}

/// No number that a name or a span can have.
const NONE: u64 = u64::MAX;

impl<P: Payload> Endpoint<P> {
    /// Appends the canonical key of the state to `key`. It takes time in proportion to the sessions.
    pub fn key(&self, names: &mut dyn Naming<P>, key: &mut Vec<u64>) {
        let mut writer = Writer { now: self.now, names, key };
        self.key_sessions(&mut writer);
        self.key_queues(&mut writer);
        self.key_line(&mut writer);
        self.key_ends(&mut writer);
    }

    fn key_sessions(&self, to: &mut Writer<'_, P>) {
        let sessions = self.sessions.by_age();
        to.number(sessions.len() as u64);
        for id in sessions {
            let session = &self.sessions[id.slot];
            to.session(id);
            to.user(self.user_name(session.user));
            to.identity(&session.identity);
            to.until(session.expires);
            self.key_stage(session.stage, to);
            to.number(match session.client {
                Client::Open => 0,
                Client::Leaving => 1,
                Client::Closing => 2,
                Client::Gone => 3,
            });
            let announced = session.stage == Stage::Live && session.opened_on.is_some();
            to.flags(&[session.awaited, session.given_up, session.stopped, announced]);
            to.number(session.queued as u64);
            if self.settings.link.share_bytes < usize::MAX {
                let spent = session.spent_since(self.pings + 1);
                to.number(spent.min(self.settings.link.share_bytes) as u64);
            }
            let held = session.held.as_deref();
            to.number(held.map_or(0, |held| held.again.len() as u64));
            for (payload, bytes) in held.into_iter().flat_map(|held| &held.again) {
                to.payload(payload);
                to.number(*bytes as u64);
            }
            to.number(held.map_or(0, |held| held.parked.len() as u64));
            held.into_iter().flat_map(|held| &held.parked).for_each(|payload| to.payload(payload));
        }
    }

    fn key_stage(&self, stage: Stage, to: &mut Writer<'_, P>) {
        match stage {
            Stage::Live => to.number(0),
            Stage::Owed => to.number(1),
            Stage::Sent { left_at, confirmed } => {
                to.number(2 + u64::from(confirmed));
                to.age(left_at, self.settings.reopen_gap);
            }
            Stage::Settled => to.number(4),
        }
    }

    /// What waits for the link or for time, and the users whom only that remembers.
    fn key_queues(&self, to: &mut Writer<'_, P>) {
        let list = |to: &mut Writer<'_, P>, slots: &mut dyn Iterator<Item = u32>| {
            slots.for_each(|slot| to.session(self.sessions.id(slot)));
            to.end();
        };
        list(to, &mut self.backlog.iter(&self.sessions));
        if self.settings.link.share_bytes < usize::MAX {
            list(to, &mut self.resting.iter(&self.sessions));
        }
        list(to, &mut self.owed.iter().map(|id| id.slot));
        list(to, &mut self.expiries.iter().map(|expires| expires.slot));
        to.number(self.gaps.len() as u64);
        for &(at, id, user) in &self.gaps {
            to.until(Some(at));
            match self.sessions.get(id) {
                Some(_) => to.session(id),
                None => to.end(),
            }
            to.user(self.user_name(user));
        }
        to.number(self.forgets.len() as u64);
        for &(at, user) in &self.forgets {
            to.until(Some(at));
            to.user(self.user_name(user));
            self.key_closed_at(user, to);
        }
        to.flags(&[self.all_stopped]);
    }

    /// Every user whose last `close` still counts is to be forgotten one day.
    fn key_closed_at(&self, user: UserIndex, to: &mut Writer<'_, P>) {
        let (gap, window) = (self.settings.reopen_gap, self.settings.crossing_window);
        to.age(self.users.get(user).closed_at, gap.max(bounded(window)));
    }

    fn user_name(&self, user: UserIndex) -> &str {
        &self.users.get(user).name
    }

    // --- The link ---

    fn key_line(&self, to: &mut Writer<'_, P>) {
        let settings = &self.settings.link;
        if settings.backoff_max > settings.redial_min {
            // Chance comes in with the number of the link; the doubling ends.
            to.number(self.links);
            to.number(u64::from(self.attempt.min(u64::BITS)));
        }
        match &self.line {
            Line::Waiting { dial_at } => {
                to.number(0);
                to.until(Some(*dial_at));
            }
            Line::Dialling { .. } => to.number(1),
            Line::Over => to.number(2),
            Line::Connected(line) => {
                to.number(3);
                line.key(settings, |id| self.sessions.get(id).map(|session| session.stage), to);
                for slot in self.live.iter(&self.sessions) {
                    self.key_opened(line.id, &self.sessions[slot], to);
                    if line.phase == LinkPhase::Announcing {
                        to.flags(&[self.sessions[slot].number <= line.announcing_to]);
                    }
                }
                match line.cursor {
                    Some(slot) => to.session(self.sessions.id(slot)),
                    None => to.end(),
                }
                for &id in &line.ready {
                    let waits = |session: &&Session<P>| {
                        session.stage == Stage::Live && session.opened_on != Some(line.id)
                    };
                    if self.sessions.get(id).filter(waits).is_some() {
                        to.session(id);
                    }
                }
                to.end();
            }
        }
    }

    /// How a live session stands to the link that is up.
    fn key_opened(&self, link: LinkId, session: &Session<P>, to: &mut Writer<'_, P>) {
        let here = session.opened_on == Some(link);
        to.flags(&[here, session.passed_on == Some(link)]);
        let again = (here && session.reopened).then_some(session.opened_at);
        to.age(again, self.settings.crossing_window);
    }

    // --- How all ends ---

    fn key_ends(&self, to: &mut Writer<'_, P>) {
        match &self.outage {
            None => to.number(0),
            Some(outage) => outage.key(self.settings.outage.grace, to),
        }
        match &self.drain {
            None => to.number(0),
            Some(drain) => {
                let awaited = |id| self.sessions.get(id).is_some_and(|session| session.awaited);
                drain.key(self.live.len() > 0, awaited, to);
            }
        }
    }
}

/// A span that nothing outlasts: how old something is then matters not.
fn bounded(span: Millis) -> Millis {
    if span == Millis(u64::MAX) { Millis(0) } else { span }
}

/// A key in the making.
pub(super) struct Writer<'a, P> {
    now: Time,
    names: &'a mut dyn Naming<P>,
    key: &'a mut Vec<u64>,
}

impl<P: Payload> Writer<'_, P> {
    pub(super) fn number(&mut self, number: u64) {
        self.key.push(number);
    }

    /// Ends what has no fixed length.
    pub(super) fn end(&mut self) {
        self.number(NONE);
    }

    pub(super) fn flags(&mut self, flags: &[bool]) {
        self.number(flags.iter().fold(1, |bits, flag| bits << 1 | u64::from(*flag)));
    }

    pub(super) fn session(&mut self, id: SessionId) {
        self.key.push(self.names.session(id));
    }

    fn user(&mut self, name: &str) {
        self.key.push(self.names.user(name));
    }

    fn identity(&mut self, identity: &Identity) {
        self.key.push(self.names.identity(identity));
    }

    pub(super) fn payload(&mut self, payload: &P) {
        self.key.extend([self.names.payload(payload), payload.size() as u64]);
    }

    /// How long it is since then, where no longer than `most` matters.
    pub(super) fn age(&mut self, at: Option<Time>, most: Millis) {
        self.number(at.map_or(NONE, |at| (self.now - at).min(bounded(most)).0));
    }

    /// How long it is until then; the end of time is always as far away.
    pub(super) fn until(&mut self, at: Option<Time>) {
        self.number(match at {
            None => NONE,
            Some(Time(u64::MAX)) => NONE - 1,
            Some(at) => (at - self.now).0,
        });
    }
}
