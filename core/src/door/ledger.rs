//! Who has taken how much of a rate, in bounded memory.

use core::hash::{Hash, Hasher};

use hashbrown::HashTable;
use siphasher::sip::SipHasher13;

use super::rate::{Bucket, Rate};
use crate::{Millis, Time};

/// How long it takes before a full ledger is looked through again for entries that are of no more use.
const SWEEP_INTERVAL: Millis = Millis(1_000);

/// Buckets and counts of connections by their owner: of at most `tracked_max` owners.
///
/// An owner without a connection whose bucket is full again is as one that was never heard of, and is forgotten once
/// room is needed. Where nobody can be forgotten, all who come new are counted as one. Owners are chosen by
/// whoever connects, so the hash is keyed; its order is never seen.
#[derive(Clone, Debug)]
pub(super) struct Ledger<K> {
    tracked_max: usize,
    key: u64,
    entries: HashTable<Entry<K>>,
    strangers: Account,
    swept_at: Option<Time>,
}

#[derive(Clone, Copy, Debug)]
struct Entry<K> {
    owner: K,
    account: Account,
}

#[derive(Clone, Copy, Default, Debug)]
struct Account {
    connections: u32,
    bucket: Bucket,
}

impl<K: Copy + Eq + Hash> Ledger<K> {
    /// `key` is nobody else's to know.
    pub(super) const fn new(tracked_max: usize, key: u64) -> Self {
        let strangers = Account { connections: 0, bucket: Bucket { full_at_ns: 0 } };
        Ledger { tracked_max, key, entries: HashTable::new(), strangers, swept_at: None }
    }

    /// So many owners are known at most from now on; those who are known beyond stay so for as long as they matter.
    pub(super) const fn track(&mut self, tracked_max: usize) {
        self.tracked_max = tracked_max;
    }

    /// How many owners are known.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Takes one of the owner's rate, if there is one.
    pub(super) fn take(&mut self, now: Time, owner: K, rate: Rate) -> bool {
        self.account(now, owner).bucket.take(now, rate)
    }

    /// Counts a connection, unless the owner has `max` already.
    pub(super) fn connect(&mut self, now: Time, owner: K, max: u32) -> bool {
        let account = self.account(now, owner);
        if account.connections >= max {
            return false;
        }
        account.connections = account.connections.saturating_add(1);
        true
    }

    /// One of the owner's connections has ended. Those that were counted among strangers are so still.
    pub(super) fn disconnect(&mut self, owner: K) {
        let hash = hash(self.key, &owner);
        let known = self.entries.find_mut(hash, |entry| entry.owner == owner).map(|entry| &mut entry.account);
        let account = known.filter(|account| account.connections > 0).unwrap_or(&mut self.strangers);
        account.connections = account.connections.saturating_sub(1);
    }

    /// Connections that are counted.
    pub(super) fn connections(&self) -> u64 {
        let known: u64 = self.entries.iter().map(|entry| u64::from(entry.account.connections)).sum();
        known.saturating_add(u64::from(self.strangers.connections))
    }

    fn account(&mut self, now: Time, owner: K) -> &mut Account {
        let (key, hash) = (self.key, hash(self.key, &owner));
        let is_owner = |entry: &Entry<K>| entry.owner == owner;
        if self.entries.find(hash, is_owner).is_none() && !self.has_room(now) {
            return &mut self.strangers;
        }
        let entry = self.entries.entry(hash, is_owner, |entry| self::hash(key, &entry.owner));
        let entry = entry.or_insert_with(|| Entry { owner, account: Account::default() });
        &mut entry.into_mut().account
    }

    /// Whether one more can be known. Looking through all takes a while, so it is done only now and then.
    fn has_room(&mut self, now: Time) -> bool {
        if self.entries.len() < self.tracked_max {
            return true;
        }
        if self.swept_at.is_some_and(|at| now - at < SWEEP_INTERVAL) {
            return false;
        }
        self.swept_at = Some(now);
        self.entries.retain(|Entry { account, .. }| account.connections > 0 || !account.bucket.is_full(now));
        self.entries.len() < self.tracked_max
    }
}

fn hash(key: u64, owner: &impl Hash) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(key, key);
    owner.hash(&mut hasher);
    hasher.finish()
}
