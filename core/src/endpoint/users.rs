//! Users: who has a session, and whose last `close` is so recent that it still counts.

use alloc::{boxed::Box, vec::Vec};
use core::hash::Hasher;

use hashbrown::HashTable;
use siphasher::sip::SipHasher13;

use crate::Time;

/// Place of a user in [`Users`], for as long as it is known.
#[cfg_attr(feature = "recording", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct UserIndex(u32);

#[cfg_attr(feature = "recording", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug)]
pub(super) struct User {
    pub name: Box<str>,
    /// The slot of its live session.
    pub live: Option<u32>,
    /// Its sessions that still have a slot.
    pub sessions: u32,
    /// `close`s of its sessions that have not left the gateway yet.
    pub closes_due: u32,
    /// When the last `close` of one of its sessions left the gateway.
    pub closed_at: Option<Time>,
    /// When the gaps after all of them that have left will have passed.
    pub free_at: Time,
    /// It stands in the queue of users to forget.
    pub to_forget: bool,
}

/// The users by name. Names come out of tokens, and who issues tokens may let people choose theirs: so the hash
/// is keyed. Its order is never seen.
#[cfg_attr(feature = "recording", derive(serde::Serialize, serde::Deserialize), serde(from = "Unindexed"))]
#[derive(Clone, Debug)]
pub(super) struct Users {
    key: u64,
    #[cfg_attr(feature = "recording", serde(skip))]
    index: HashTable<u32>,
    users: Vec<Option<User>>,
    free: Vec<u32>,
}

impl Users {
    pub(super) const fn new(key: u64) -> Self {
        Users { key, index: HashTable::new(), users: Vec::new(), free: Vec::new() }
    }

    /// How many are known.
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    pub(super) fn find(&self, name: &str) -> Option<UserIndex> {
        let users = &self.users;
        let found = self.index.find(hash(self.key, name), |&at| is_named(users, at, name))?;
        Some(UserIndex(*found))
    }

    /// The user of this name, made known if it was not.
    pub(super) fn find_or_add(&mut self, name: &str) -> UserIndex {
        if let Some(found) = self.find(name) {
            return found;
        }
        let user = User {
            name: name.into(),
            live: None,
            sessions: 0,
            closes_due: 0,
            closed_at: None,
            free_at: Time(0),
            to_forget: false,
        };
        let free = self.free.pop().and_then(|at| Some((at, self.users.get_mut(at as usize)?)));
        let at = match free {
            Some((at, place)) => {
                *place = Some(user);
                at
            }
            None => {
                let at = self.users.len() as u32;
                self.users.push(Some(user));
                at
            }
        };
        let (key, users) = (self.key, &self.users);
        self.index.insert_unique(hash(key, name), at, |&other| hash(key, name_at(users, other)));
        UserIndex(at)
    }

    pub(super) fn forget(&mut self, UserIndex(at): UserIndex) {
        let Some(user) = self.users.get_mut(at as usize).and_then(Option::take) else { return };
        if let Ok(entry) = self.index.find_entry(hash(self.key, &user.name), |&other| other == at) {
            entry.remove();
        }
        self.free.push(at);
    }

    #[allow(clippy::expect_used, reason = "who is forgotten has no session and stands in no queue")]
    pub(super) fn get(&self, UserIndex(at): UserIndex) -> &User {
        let user = self.users.get(at as usize).and_then(Option::as_ref);
        user.expect("a user with a session or in the queue to forget is known")
    }

    #[allow(clippy::expect_used, reason = "who is forgotten has no session and stands in no queue")]
    pub(super) fn get_mut(&mut self, UserIndex(at): UserIndex) -> &mut User {
        let user = self.users.get_mut(at as usize).and_then(Option::as_mut);
        user.expect("a user with a session or in the queue to forget is known")
    }

    pub(super) fn knows(&self, UserIndex(at): UserIndex) -> bool {
        self.users.get(at as usize).is_some_and(Option::is_some)
    }

    /// Whether those places that are free are all that are not taken, each once.
    pub(super) fn is_sound(&self) -> bool {
        let mut free = self.free.clone();
        free.sort_unstable();
        let untaken = self.users.iter().zip(0..).filter(|(user, _)| user.is_none());
        free.iter().copied().eq(untaken.map(|(_, at)| at))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut User> {
        self.users.iter_mut().flatten()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (UserIndex, &User)> {
        let known = self.users.iter().enumerate();
        known.filter_map(|(at, user)| user.as_ref().map(|user| (UserIndex(at as u32), user)))
    }
}

/// The users as a recording has them.
#[cfg(feature = "recording")]
#[derive(serde::Deserialize)]
struct Unindexed {
    key: u64,
    users: Vec<Option<User>>,
    free: Vec<u32>,
}

#[cfg(feature = "recording")]
impl From<Unindexed> for Users {
    fn from(Unindexed { key, users, free }: Unindexed) -> Self {
        let mut index = HashTable::new();
        for at in 0..users.len() as u32 {
            if users.get(at as usize).is_some_and(Option::is_some) {
                let place = |&other: &u32| hash(key, name_at(&users, other));
                index.insert_unique(place(&at), at, place);
            }
        }
        Users { key, index, users, free }
    }
}

fn is_named(users: &[Option<User>], at: u32, name: &str) -> bool {
    name_at(users, at) == name
}

fn name_at(users: &[Option<User>], at: u32) -> &str {
    users.get(at as usize).and_then(Option::as_ref).map_or("", |user| &user.name)
}

fn hash(key: u64, name: &str) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(key, key);
    hasher.write(name.as_bytes());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_sound_that_are_taken_or_free_and_not_both() {
        let with_free = |free: &[u32]| {
            let mut users = Users::new(0);
            for name in ["ann", "bob", "cid"] {
                users.find_or_add(name);
            }
            assert!(users.is_sound());
            users.forget(UserIndex(1));
            assert!(users.is_sound());
            users.free = free.to_vec();
            users.is_sound()
        };
        assert!(with_free(&[1]));
        for broken in [&[][..], &[1, 1], &[0, 1], &[1, 9]] {
            assert!(!with_free(broken), "{broken:?}");
        }
    }
}
