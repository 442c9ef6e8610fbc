//! How often something may happen: a bucket that fills at an even rate, in whole numbers (GCRA, ITU-T I.371).

use crate::Time;

const NS_PER_MS: u64 = 1_000_000;
const NS_PER_MINUTE: u64 = 60_000_000_000;

/// So many at once, and so many in a minute from then on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// At once, after a while without any: at least 1.
    pub burst: u32,
    /// In a minute: at least 1.
    pub per_minute: u32,
}

/// What has been taken of a rate. A new one is full.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Bucket {
    /// When it will be full again, in nanoseconds of the machine's time: 584 years are enough.
    pub(super) full_at_ns: u64,
}

impl Bucket {
    /// Takes one, if there is one. What is refused costs nothing.
    pub fn take(&mut self, now: Time, rate: Rate) -> bool {
        let (now, each) = (ns(now), rate.each_ns());
        let full_at = self.full_at_ns.max(now).saturating_add(each);
        if full_at.saturating_sub(now) > each.saturating_mul(u64::from(rate.burst)) {
            return false;
        }
        self.full_at_ns = full_at;
        true
    }

    /// Whether it is as good as new.
    pub fn is_full(&self, now: Time) -> bool {
        self.full_at_ns <= ns(now)
    }
}

impl Rate {
    /// How long it takes until there is one more.
    fn each_ns(self) -> u64 {
        NS_PER_MINUTE.checked_div(u64::from(self.per_minute)).unwrap_or(NS_PER_MINUTE)
    }
}

fn ns(time: Time) -> u64 {
    time.0.saturating_mul(NS_PER_MS)
}
