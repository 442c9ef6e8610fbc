//! Sessions: what is known of each, the slots that they live in, and the orders in which they are walked.

use alloc::{boxed::Box, collections::VecDeque, vec::Vec};
use core::ops::{Index, IndexMut, Range};

use super::users::UserIndex;
use crate::{Identity, LinkId, SessionId, Time};

/// One accepted client, from its admission until nothing of it is owed any more.
///
/// In memory it is laid out as it stands here: what a message needs comes first, so that of a session that has not been
/// heard of for a while little has to be fetched.
#[cfg_attr(feature = "recording", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug)]
#[repr(C)]
pub(super) struct Session<P> {
    pub stage: Stage,
    /// The link that its last `open` went out on.
    pub opened_on: Option<LinkId>,
    /// Bytes of its messages that a link has taken since a Ping, and the counter of the Ping that will follow them.
    pub spent: usize,
    pub spent_before: u64,
    pub client: Client,
    /// The machine has asked to stop reading from it.
    pub stopped: bool,
    /// That `open` was not its first.
    pub reopened: bool,
    /// It is over, and a drain has to wait until that is settled.
    pub awaited: bool,
    /// A drain has waited long enough for its `close` to be confirmed.
    pub given_up: bool,
    pub identity: Identity,
    /// Bytes in its client's queue.
    pub queued: usize,
    /// Messages that wait to go to the backend; allocated only while there are any.
    pub held: Option<Box<Held<P>>>,
    pub user: UserIndex,
    pub expires: Option<Time>,
    /// Counts the admissions: the older session has the smaller number.
    pub number: u64,
    /// When its last `open` went out.
    pub opened_at: Time,
    /// The link on which its turn to be opened came while its user's gap had not passed.
    pub passed_on: Option<LinkId>,
    links: [Neighbours; 3],
}

/// Where a session is in its life, as the backend is concerned.
#[cfg_attr(
    feature = "recording",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// Its user's one session. Whether it is announced depends on the link: see [`Session::opened_on`].
    Live,
    /// Over; its `close` waits for its turn to go out.
    Owed,
    /// Over; its `close` has been handed to the link.
    Sent {
        /// Once the `close` has left the gateway: when the gap after it will have passed.
        free_at: Option<Time>,
        confirmed: bool,
    },
    /// Over, and nothing is owed.
    Settled,
}

/// Where a session is in its life, as its client is concerned.
#[cfg_attr(
    feature = "recording",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Client {
    /// Connected.
    Open,
    /// Connected and, since the gateway drains, to be closed as soon as its `close` is settled.
    Leaving,
    /// Told to close; its leaving has not been reported yet.
    Closing,
    /// Gone.
    Gone,
}

/// Messages that wait to go to the backend, in the order in which they go.
#[cfg_attr(feature = "recording", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug)]
pub(super) struct Held<P> {
    /// Had gone to a link that broke before it confirmed them, with their sizes as events.
    pub again: VecDeque<(P, usize)>,
    pub parked: VecDeque<P>,
    pub parked_bytes: usize,
}

impl<P> Session<P> {
    pub(super) fn new(identity: Identity, user: UserIndex, expires: Option<Time>, number: u64) -> Self {
        Session {
            identity,
            user,
            expires,
            stage: Stage::Live,
            awaited: false,
            given_up: false,
            client: Client::Open,
            number,
            opened_on: None,
            opened_at: Time(0),
            reopened: false,
            passed_on: None,
            stopped: false,
            spent: 0,
            spent_before: 0,
            queued: 0,
            held: None,
            links: [Neighbours::ALONE; 3],
        }
    }

    pub(super) fn held_mut(&mut self) -> &mut Held<P> {
        self.held.get_or_insert_with(|| {
            Box::new(Held { again: VecDeque::new(), parked: VecDeque::new(), parked_bytes: 0 })
        })
    }

    /// A link has taken so much of it; `next_ping` follows.
    pub(super) fn spend(&mut self, bytes: usize, next_ping: u64) {
        self.spent = self.spent_since(next_ping).saturating_add(bytes);
        self.spent_before = next_ping;
    }

    /// What links have taken of it since the last Ping, given the counter of the next one.
    pub(super) fn spent_since(&self, next_ping: u64) -> usize {
        if self.spent_before == next_ping { self.spent } else { 0 }
    }

    pub(super) fn parked_bytes(&self) -> usize {
        self.held.as_ref().map_or(0, |held| held.parked_bytes)
    }

    /// Its `close` has not left the gateway.
    pub(super) fn is_close_due(&self) -> bool {
        matches!(self.stage, Stage::Owed | Stage::Sent { free_at: None, .. })
    }

    /// It is over, and its backend may not know.
    pub(super) fn is_unconfirmed(&self) -> bool {
        matches!(self.stage, Stage::Owed | Stage::Sent { confirmed: false, .. })
    }
}

/// When the token of a live session expires, whether that ends it or not.
#[cfg_attr(feature = "recording", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Expires {
    pub at: Time,
    /// The session's.
    pub number: u64,
    pub slot: u32,
}

/// All sessions, by slot.
#[cfg_attr(feature = "recording", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug)]
pub(super) struct Slots<P> {
    slots: Vec<Slot<P>>,
    /// Slots to use again, the last freed first.
    free: Vec<u32>,
}

#[cfg_attr(feature = "recording", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug)]
#[repr(C, align(128))]
struct Slot<P> {
    generation: u32,
    session: Option<Session<P>>,
}

impl<P> Slots<P> {
    pub(super) const fn new() -> Self {
        Slots { slots: Vec::new(), free: Vec::new() }
    }

    /// How many are taken.
    pub(super) fn taken(&self) -> usize {
        self.slots.len().saturating_sub(self.free.len())
    }

    /// The caller has made sure that `taken` is below the limit on sessions, which is a `u32`.
    pub(super) fn insert(&mut self, session: Session<P>) -> SessionId {
        if let Some(slot) = self.free.pop()
            && let Some(place) = self.slots.get_mut(slot as usize)
        {
            place.session = Some(session);
            return SessionId { slot, generation: place.generation };
        }
        let slot = self.slots.len() as u32;
        self.slots.push(Slot { generation: 0, session: Some(session) });
        SessionId { slot, generation: 0 }
    }

    pub(super) fn remove(&mut self, slot: u32) -> Option<Session<P>> {
        let place = self.slots.get_mut(slot as usize)?;
        let session = place.session.take()?;
        place.generation = place.generation.wrapping_add(1);
        self.free.push(slot);
        Some(session)
    }

    pub(super) fn id(&self, slot: u32) -> SessionId {
        let generation = self.slots.get(slot as usize).map_or(0, |place| place.generation);
        SessionId { slot, generation }
    }

    /// The session that `id` means; `None` where it is no more, or never was.
    pub(super) fn get(&self, id: SessionId) -> Option<&Session<P>> {
        let place = self.slots.get(id.slot as usize)?;
        if place.generation == id.generation { place.session.as_ref() } else { None }
    }

    /// Whether those that are free are all that are not taken, each once.
    pub(super) fn is_sound(&self) -> bool {
        let mut free = self.free.clone();
        free.sort_unstable();
        let untaken = self.slots.iter().zip(0..).filter(|(place, _)| place.session.is_none());
        free.iter().copied().eq(untaken.map(|(_, slot)| slot))
    }

    /// All of them by age. Sorts: it is for what happens once.
    pub(super) fn by_age(&self) -> Vec<SessionId> {
        let mut ids: Vec<(u64, SessionId)> = self.iter().map(|(id, session)| (session.number, id)).collect();
        ids.sort_unstable();
        ids.into_iter().map(|(_, id)| id).collect()
    }

    /// The taken slots among these with their sessions, by slot.
    pub(super) fn iter_in(&self, slots: Range<u32>) -> impl Iterator<Item = (SessionId, &Session<P>)> {
        let (start, end) = (slots.start, slots.end.min(self.len()));
        let places = self.slots.get(start as usize..end as usize).unwrap_or_default();
        places.iter().zip(start..).filter_map(|(place, slot)| {
            let id = SessionId { slot, generation: place.generation };
            place.session.as_ref().map(|session| (id, session))
        })
    }

    /// All slots, taken or free.
    pub(super) fn len(&self) -> u32 {
        self.slots.len() as u32
    }

    /// The taken slots with their sessions, by slot.
    pub(super) fn iter(&self) -> impl Iterator<Item = (SessionId, &Session<P>)> {
        self.slots.iter().enumerate().filter_map(|(slot, place)| {
            let id = SessionId { slot: slot as u32, generation: place.generation };
            place.session.as_ref().map(|session| (id, session))
        })
    }
}

/// Slots held by the machine's own lists and indices are taken: they are removed from all of them first. The audit
/// checks that after every step of every test.
#[allow(clippy::expect_used, reason = "what is removed is held by nothing")]
impl<P> Index<u32> for Slots<P> {
    type Output = Session<P>;

    fn index(&self, slot: u32) -> &Session<P> {
        let place = self.slots.get(slot as usize).and_then(|place| place.session.as_ref());
        place.expect("a slot in a list or an index is taken")
    }
}

#[allow(clippy::expect_used, reason = "what is removed is held by nothing")]
impl<P> IndexMut<u32> for Slots<P> {
    fn index_mut(&mut self, slot: u32) -> &mut Session<P> {
        let place = self.slots.get_mut(slot as usize).and_then(|place| place.session.as_mut());
        place.expect("a slot in a list or an index is taken")
    }
}

/// A doubly linked list through the sessions, so that one can be taken out of its middle.
#[cfg_attr(feature = "recording", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug)]
pub(super) struct List {
    order: Order,
    head: Option<u32>,
    tail: Option<u32>,
    len: usize,
}

/// The orders in which sessions are walked.
#[cfg_attr(
    feature = "recording",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[derive(Clone, Copy, Debug)]
pub(super) enum Order {
    /// All live sessions, by age.
    Age = 0,
    /// Sessions whose messages wait for the link alone, by when they began to.
    Backlog = 1,
    /// Sessions whose messages wait for the next Ping, by when they began to.
    Rest = 2,
}

#[cfg_attr(feature = "recording", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Neighbours {
    listed: bool,
    before: Option<u32>,
    after: Option<u32>,
}

impl Neighbours {
    const ALONE: Self = Neighbours { listed: false, before: None, after: None };
}

impl List {
    pub(super) const fn new(order: Order) -> Self {
        List { order, head: None, tail: None, len: 0 }
    }

    pub(super) const fn head(&self) -> Option<u32> {
        self.head
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn contains<P>(&self, slots: &Slots<P>, slot: u32) -> bool {
        slots[slot].links[self.order as usize].listed
    }

    pub(super) fn after<P>(&self, slots: &Slots<P>, slot: u32) -> Option<u32> {
        slots[slot].links[self.order as usize].after
    }

    /// Does nothing where it is listed already.
    pub(super) fn push_back<P>(&mut self, slots: &mut Slots<P>, slot: u32) {
        let order = self.order as usize;
        if slots[slot].links[order].listed {
            return;
        }
        slots[slot].links[order] = Neighbours { listed: true, before: self.tail, after: None };
        match self.tail {
            Some(tail) => slots[tail].links[order].after = Some(slot),
            None => self.head = Some(slot),
        }
        self.tail = Some(slot);
        self.len += 1;
    }

    /// Does nothing where it is listed already.
    pub(super) fn push_front<P>(&mut self, slots: &mut Slots<P>, slot: u32) {
        let order = self.order as usize;
        if slots[slot].links[order].listed {
            return;
        }
        slots[slot].links[order] = Neighbours { listed: true, before: None, after: self.head };
        match self.head {
            Some(head) => slots[head].links[order].before = Some(slot),
            None => self.tail = Some(slot),
        }
        self.head = Some(slot);
        self.len += 1;
    }

    /// Does nothing where it is not listed.
    pub(super) fn remove<P>(&mut self, slots: &mut Slots<P>, slot: u32) {
        let order = self.order as usize;
        let Neighbours { listed, before, after } = slots[slot].links[order];
        if !listed {
            return;
        }
        match before {
            Some(before) => slots[before].links[order].after = after,
            None => self.head = after,
        }
        match after {
            Some(after) => slots[after].links[order].before = before,
            None => self.tail = before,
        }
        slots[slot].links[order] = Neighbours::ALONE;
        self.len -= 1;
    }

    /// Whether it leads from its head to its tail by sessions that are there and lead back.
    pub(super) fn is_sound<P>(&self, slots: &Slots<P>) -> bool {
        let (mut before, mut next) = (None, self.head);
        for _ in 0..self.len {
            let Some(slot) = next else { return false };
            let Some(session) = slots.get(slots.id(slot)) else { return false };
            let neighbours = session.links[self.order as usize];
            if !neighbours.listed || neighbours.before != before {
                return false;
            }
            (before, next) = (Some(slot), neighbours.after);
        }
        next.is_none() && before == self.tail
    }

    pub(super) fn iter<'a, P>(&self, slots: &'a Slots<P>) -> impl Iterator<Item = u32> + 'a {
        let order = self.order as usize;
        core::iter::successors(self.head, move |&slot| slots[slot].links[order].after)
    }
}

#[cfg(test)]
mod tests;
