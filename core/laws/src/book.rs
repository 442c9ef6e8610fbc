//! The sessions that are remembered, and what they come to together: found by id, by user and by age, and summed up,
//! without walking over them.
//!
//! Whatever changes a session goes through [`Sessions::change`], which takes it out of every index and sum and puts it
//! back as it is then.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use trunkline_core::{LinkId, SessionId, Time};

use crate::history::Session;

/// All of them.
#[derive(Clone, Debug, Default)]
pub struct Sessions {
    by_id: BTreeMap<SessionId, Session>,
    by_age: BTreeMap<u64, SessionId>,
    over: BTreeMap<u64, SessionId>,
    /// The sessions of each user, oldest first.
    by_user: BTreeMap<Box<str>, Vec<SessionId>>,
    stopped: BTreeSet<(u64, SessionId)>,
    waiting: BTreeSet<SessionId>,
    expiries: BTreeSet<(Time, SessionId)>,
    sums: Sums,
    touched: Vec<SessionId>,
    count: u64,
}

/// What sessions come to together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sums {
    /// Those that live.
    pub live: usize,
    /// Bytes queued for the clients of those that live.
    pub live_queues: usize,
    /// Bytes queued for the clients of those that are over.
    pub over_queues: usize,
    /// Bytes of messages that no link has taken, with what each weighs beside its size.
    pub parked: usize,
    /// The same of messages that are to be sent again.
    pub kept: usize,
    /// Those of whom messages are to be sent again.
    pub keeping: usize,
    /// The link that somebody was opened on last, and how many live who were.
    opened: (Option<LinkId>, usize),
}

impl Sums {
    fn of(session: &Session, opened_on: Option<LinkId>) -> Self {
        let live = session.is_live();
        let queue = session.queue;
        let opened = live && opened_on.is_some() && session.opened.map(|opened| opened.link) == opened_on;
        Sums {
            live: live.into(),
            live_queues: if live { queue } else { 0 },
            over_queues: if live { 0 } else { queue },
            parked: session.line.bytes(),
            kept: session.kept.bytes(),
            keeping: usize::from(!session.kept.is_empty()),
            opened: (opened_on, opened.into()),
        }
    }

    fn combine(&mut self, other: Sums, with: fn(usize, usize) -> usize) {
        let Sums { live, live_queues, over_queues, parked, kept, keeping, opened } = other;
        self.live = with(self.live, live);
        self.live_queues = with(self.live_queues, live_queues);
        self.over_queues = with(self.over_queues, over_queues);
        self.parked = with(self.parked, parked);
        self.kept = with(self.kept, kept);
        self.keeping = with(self.keeping, keeping);
        self.opened.1 = with(self.opened.1, opened.1);
    }
}

/// Where a session stands in the indices.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Place {
    live: bool,
    stopped: Option<u64>,
    waits: bool,
    expires: Option<Time>,
}

impl Place {
    fn of(session: &Session) -> Self {
        let live = session.is_live();
        Place {
            live,
            stopped: session.stopped,
            waits: session.waiting() > 0,
            expires: session.expires.filter(|_| live),
        }
    }
}

impl Sessions {
    /// That session.
    pub fn get(&self, id: SessionId) -> Option<&Session> {
        self.by_id.get(&id)
    }

    /// The one of that number.
    pub fn by_number(&self, number: u64) -> Option<&Session> {
        self.by_age.get(&number).and_then(|id| self.get(*id))
    }

    /// How many are remembered.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// What they come to.
    pub fn sums(&self) -> Sums {
        self.sums
    }

    /// Those who live and were opened on that link.
    pub fn opened_on(&self, link: LinkId) -> usize {
        if self.sums.opened.0 == Some(link) { self.sums.opened.1 } else { 0 }
    }

    /// All, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Session> {
        self.by_age.values().filter_map(|id| self.get(*id))
    }

    /// Those that are over, oldest first.
    pub fn over(&self) -> impl Iterator<Item = &Session> {
        self.over.values().filter_map(|id| self.get(*id))
    }

    /// Those of a user, oldest first.
    pub fn of_user(&self, user: &str) -> impl Iterator<Item = &Session> {
        self.by_user.get(user).into_iter().flatten().filter_map(|id| self.get(*id))
    }

    /// Those that have a slot, or had it.
    pub fn in_slot(&self, slot: u32) -> impl Iterator<Item = &Session> {
        let id = |generation| SessionId { slot, generation };
        self.by_id.range(id(0)..=id(u32::MAX)).map(|(_, session)| session)
    }

    /// Those that are not read from, by when that was said; before the `turn`-th time.
    pub fn stopped_before(&self, turn: u64) -> impl Iterator<Item = &Session> {
        let before = SessionId { slot: 0, generation: 0 };
        self.stopped.range(..(turn, before)).filter_map(|(_, id)| self.get(*id))
    }

    /// Those of whom messages wait.
    pub fn waiting(&self) -> impl Iterator<Item = &Session> {
        self.waiting.iter().filter_map(|id| self.get(*id))
    }

    /// Who lives and whose token expires first, and when.
    pub fn first_to_expire(&self) -> Option<(Time, SessionId)> {
        self.expiries.first().copied()
    }

    /// Whom to look at after a step: those whom it has touched, and `more` others from `from` on, by age, then from the
    /// beginning. Where that is all of them, they come by age.
    pub fn to_look_at(&self, from: u64, more: usize, to: &mut Vec<SessionId>) -> u64 {
        if more >= self.len() {
            to.extend(self.by_age.values());
            return 0;
        }
        to.extend_from_slice(&self.touched);
        to.sort_unstable();
        to.dedup();
        turn(&self.by_age, from, more, to)
    }

    /// Those that are over among which some may be forgotten: those whom this step has touched, and `more` others.
    pub fn to_forget(&self, from: u64, more: usize, to: &mut Vec<SessionId>) -> u64 {
        if more < self.over.len() {
            let is_over = |id: &&SessionId| self.get(**id).is_some_and(|session| !session.is_live());
            to.extend(self.touched.iter().filter(is_over));
        }
        turn(&self.over, from, more, to)
    }

    // --- Changes ---

    /// A step begins.
    pub fn begin_step(&mut self) {
        self.touched.clear();
    }

    /// Another one, younger than all.
    pub fn add(&mut self, session: Session) {
        let (id, number) = (session.id, self.count + 1);
        self.by_age.insert(number, id);
        match self.by_user.entry(session.who.user().into()) {
            Entry::Occupied(mut entry) => entry.get_mut().push(id),
            Entry::Vacant(entry) => drop(entry.insert(vec![id])),
        }
        self.add_remains(session);
    }

    /// One of which no more is remembered than what is still on its way: it has no user, and no age.
    pub fn add_remains(&mut self, mut session: Session) {
        self.count += 1;
        session.number = self.count;
        self.list(session.id, session.number, None, Place::of(&session));
        self.sums.combine(Sums::of(&session, self.sums.opened.0), usize::saturating_add);
        self.touched.push(session.id);
        self.by_id.insert(session.id, session);
    }

    /// Changes a session. `None` where it is not remembered.
    pub fn change<T>(&mut self, id: SessionId, change: impl FnOnce(&mut Session) -> T) -> Option<T> {
        let session = self.by_id.get_mut(&id)?;
        let (before, opened_on) = (Place::of(session), self.sums.opened.0);
        self.sums.combine(Sums::of(session, opened_on), usize::saturating_sub);
        let changed = change(session);
        self.sums.combine(Sums::of(session, opened_on), usize::saturating_add);
        self.touched.push(id);
        let (now, number) = (Place::of(session), session.number);
        if now != before {
            self.list(id, number, Some(before), now);
        }
        Some(changed)
    }

    /// From now on it counts who is opened on this link; nobody has been yet.
    pub fn count_opened_on(&mut self, link: LinkId) {
        if self.sums.opened.0 != Some(link) {
            self.sums.opened = (Some(link), 0);
        }
    }

    /// Each token that has not expired by `now` does so much earlier, or later where that is negative.
    pub fn move_expiries(&mut self, now: Time, forward: i64) {
        self.expiries.clear();
        for session in self.by_id.values_mut() {
            let Some(expires) = &mut session.expires else { continue };
            if *expires > now {
                expires.0 = expires.0.saturating_add_signed(forward.saturating_neg()).max(now.0);
            }
            if session.ended.is_none() {
                self.expiries.insert((*expires, session.id));
            }
        }
    }

    /// Forgets a session.
    pub fn remove(&mut self, id: SessionId) {
        let Some(session) = self.by_id.remove(&id) else { return };
        self.sums.combine(Sums::of(&session, self.sums.opened.0), usize::saturating_sub);
        let Place { stopped, expires, .. } = Place::of(&session);
        self.by_age.remove(&session.number);
        self.over.remove(&session.number);
        self.waiting.remove(&id);
        stopped.map(|turn| self.stopped.remove(&(turn, id)));
        expires.map(|at| self.expiries.remove(&(at, id)));
        if let Some(sessions) = self.by_user.get_mut(session.who.user()) {
            sessions.retain(|other| *other != id);
            if sessions.is_empty() {
                self.by_user.remove(session.who.user());
            }
        }
    }

    /// Moves a session in the indices from where it was.
    fn list(&mut self, id: SessionId, number: u64, before: Option<Place>, now: Place) {
        if let Some(Place { stopped, expires, .. }) = before {
            stopped.map(|turn| self.stopped.remove(&(turn, id)));
            expires.map(|at| self.expiries.remove(&(at, id)));
        }
        if !now.live {
            self.over.insert(number, id);
        }
        if now.waits {
            self.waiting.insert(id);
        } else {
            self.waiting.remove(&id);
        }
        now.stopped.map(|turn| self.stopped.insert((turn, id)));
        now.expires.map(|at| self.expiries.insert((at, id)));
    }
}

/// The next `most` from `from` on, and from the beginning where they end. Where the turn after these begins.
fn turn(of: &BTreeMap<u64, SessionId>, from: u64, most: usize, to: &mut Vec<SessionId>) -> u64 {
    let most = most.min(of.len());
    let ahead = of.range(from..);
    let behind = of.range(..from);
    let mut next = from;
    for (number, id) in ahead.chain(behind).take(most) {
        to.push(*id);
        next = number + 1;
    }
    next
}
