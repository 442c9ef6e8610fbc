//! What of the state can still matter, as numbers: two machines with equal settings and equal keys answer equal inputs
//! alike, for ever, as long as no settings come but those that were reckoned with. So a model checker, which has seen one of them, need not look at the other.
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
use crate::{Identity, LinkId, LinkPhase, LinkSettings, Millis, Payload, SessionId, Settings, Time};

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
    /// Appends the canonical key of the state to `key`, where the settings in force, or those in `later`, are all that
    /// may be in force from here on. It takes time in proportion to the sessions.
    pub fn key(&self, later: &[Settings], names: &mut dyn Naming<P>, key: &mut Vec<u64>) {
        let mut writer = Writer { now: self.now, settings: &self.settings, later, names, key };
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
            if let Some(share) = to.share() {
                let spent = session.spent_since(self.pings + 1);
                to.number(spent.min(share) as u64);
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
            Stage::Sent { free_at, confirmed } => {
                to.number(2 + u64::from(confirmed));
                to.until(free_at);
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
        if to.share().is_some() {
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
        let known = self.users.get(user);
        to.until(Some(known.free_at));
        to.age(known.closed_at, to.longest(|settings| settings.crossing_window));
    }

    fn user_name(&self, user: UserIndex) -> &str {
        &self.users.get(user).name
    }

    // --- The link ---

    fn key_line(&self, to: &mut Writer<'_, P>) {
        if to.any(|settings| settings.link.backoff_max > settings.link.redial_min) {
            // Chance comes in with the number of the link; the doubling ends.
            to.number(self.links);
            to.number(u64::from(self.attempt.min(u64::BITS)));
        }
        match &self.line {
            Line::Waiting { since, attempt } => {
                to.number(0);
                to.flags(&[attempt.is_some()]);
                to.age(Some(*since), to.longest(|settings| longest_wait(&settings.link)));
            }
            Line::Dialling { .. } => to.number(1),
            Line::Over => to.number(2),
            Line::Connected(line) => {
                to.number(3);
                line.key(|id| self.sessions.get(id).map(|session| session.stage), to);
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
        to.age(again, to.longest(|settings| settings.crossing_window));
    }

    // --- How all ends ---

    fn key_ends(&self, to: &mut Writer<'_, P>) {
        match &self.outage {
            None => to.number(0),
            Some(outage) => outage.key(to.longest(|settings| settings.outage.grace), to),
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

/// The longest that the next dial waits.
fn longest_wait(settings: &LinkSettings) -> Millis {
    settings.redial_min.max(settings.backoff_max)
}

/// A key in the making.
pub(super) struct Writer<'a, P> {
    now: Time,
    settings: &'a Settings,
    later: &'a [Settings],
    names: &'a mut dyn Naming<P>,
    key: &'a mut Vec<u64>,
}

impl<P: Payload> Writer<'_, P> {
    /// The longest of a span that ends, under any settings that are or may come; 0: there is none.
    pub(super) fn longest(&self, of: impl Fn(&Settings) -> Millis) -> Millis {
        let later = self.later.iter().map(|settings| bounded(of(settings)));
        later.fold(bounded(of(self.settings)), Millis::max)
    }

    /// Whether this is so under any settings that are or may come.
    fn any(&self, of: impl Fn(&Settings) -> bool) -> bool {
        of(self.settings) || self.later.iter().any(of)
    }

    /// The largest share of the link that is bounded; `None`: none is.
    fn share(&self) -> Option<usize> {
        let all = core::iter::once(self.settings).chain(self.later);
        all.map(|settings| settings.link.share_bytes).filter(|share| *share < usize::MAX).max()
    }

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
