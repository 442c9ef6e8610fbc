//! How fast a client may send: messages and bytes per second, each with a burst (a token bucket, in whole numbers).
//!
//! Nothing here waits or closes. A [`Meter`] is told what a client has sent, and says how much more may be taken now, or
//! from when on, or that the client is to be closed. It stands beside the machine and not in it: what a client's
//! transport does not read has not happened yet, and Pings, which count as well, the machine never sees.

use crate::{Millis, Time};

/// What of one thing may come from a client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// On average, in a second; 0: as much as it likes.
    pub per_second: u64,
    /// What this span brings may come at once.
    pub burst: Millis,
}

/// What may come from a client, and what happens to one that sends more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rates {
    /// Messages, Pings and Pongs.
    pub messages: Rate,
    /// Bytes as they are on the wire.
    pub bytes: Rate,
    /// What happens to a client that sends more.
    pub on_excess: OnExcess,
}

/// What happens to a client that sends more than it may.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum OnExcess {
    /// It is read from no faster.
    Slow,
    /// It is closed.
    Close,
}

/// What the meter says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Allowed {
    /// So much may be taken: at least one.
    Now(usize),
    /// Nothing before then, which lies after `now`.
    From(Time),
}

/// Reads are not made smaller than this for the rate's sake, as long as the burst is not.
const READ_BYTES_MIN: u64 = 4 << 10;

impl Rate {
    /// No limit.
    pub const UNLIMITED: Self = Rate { per_second: 0, burst: Millis(0) };

    /// What may come at once, in thousandths: a millisecond brings `per_second` of these. At least one whole.
    fn depth(self) -> i64 {
        let depth = self.per_second.saturating_mul(self.burst.0).max(WHOLE);
        i64::try_from(depth).unwrap_or(i64::MAX)
    }

    /// The same in wholes.
    fn at_once(self) -> u64 {
        u64::try_from(self.depth()).unwrap_or(0).checked_div(WHOLE).unwrap_or(0)
    }
}

const WHOLE: u64 = 1_000;

/// What has come of one thing, less what time has brought since: never more than the burst.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Bucket {
    /// In thousandths. Below zero only of one that is behind.
    used: i64,
    at: Time,
}

impl Bucket {
    /// Lets time pass. Time that goes backwards stands still.
    fn pass(&mut self, rate: Rate, now: Time) {
        let brought = (now - self.at).0.saturating_mul(rate.per_second);
        self.used = self.used.saturating_sub(i64::try_from(brought).unwrap_or(i64::MAX));
        self.at = self.at.max(now);
    }

    /// What time has brought beyond what was used is forfeited.
    fn settle(&mut self) {
        self.used = self.used.max(0);
    }

    /// How much may come, at the time that has passed.
    fn fits(&self, rate: Rate) -> u64 {
        if rate.per_second == 0 {
            return u64::MAX;
        }
        let room = rate.depth().saturating_sub(self.used);
        u64::try_from(room).unwrap_or(0).checked_div(WHOLE).unwrap_or(0)
    }

    fn put(&mut self, rate: Rate, amount: u64) -> bool {
        let fits = amount <= self.fits(rate);
        if fits && rate.per_second > 0 {
            let amount = i64::try_from(amount.saturating_mul(WHOLE)).unwrap_or(i64::MAX);
            self.used = self.used.saturating_add(amount);
        }
        fits
    }

    /// How much may come at `now`.
    pub fn room(&mut self, rate: Rate, now: Time) -> u64 {
        self.pass(rate, now);
        self.settle();
        self.fits(rate)
    }

    /// Takes `amount` at `now`, if there is room for it.
    pub fn take(&mut self, rate: Rate, now: Time, amount: u64) -> bool {
        self.pass(rate, now);
        self.settle();
        self.put(rate, amount)
    }

    /// When there will be room for `amount`, or for the whole burst if that is less.
    pub fn room_at(&self, rate: Rate, amount: u64) -> Time {
        if rate.per_second == 0 {
            return self.at;
        }
        let wanted = i64::try_from(amount.saturating_mul(WHOLE)).unwrap_or(i64::MAX).min(rate.depth());
        let excess = self.used.saturating_sub(rate.depth().saturating_sub(wanted));
        self.at + Millis(u64::try_from(excess).unwrap_or(0).div_ceil(rate.per_second))
    }
}

/// What one client has sent.
///
/// A client that was not read from for a while is *behind*: what it sent meanwhile comes all at once when it is read
/// from again. Where an excess closes, that counts as if it had come when it may have been sent: nobody who kept to the
/// rate is closed because the gateway did not read.
#[derive(Clone, Copy, Default, Debug)]
pub struct Meter {
    messages: Bucket,
    bytes: Bucket,
    behind: bool,
}

impl Meter {
    /// It is not read from, for whatever reason: what it sends waits.
    pub const fn fall_behind(&mut self) {
        self.behind = true;
    }

    /// All that it has sent by `now` has been read.
    pub fn catch_up(&mut self, rates: &Rates, now: Time) {
        if self.behind {
            self.behind = false;
            self.pass(rates, now);
        }
    }

    /// Whether what it sends may have waited.
    pub const fn is_behind(&self) -> bool {
        self.behind
    }

    /// How many bytes to read at `now`, at most `wanted`.
    pub fn may_read(&mut self, rates: &Rates, now: Time, wanted: usize) -> Allowed {
        if rates.on_excess == OnExcess::Close {
            return Allowed::Now(wanted);
        }
        self.pass(rates, now);
        let (room, least) = (self.bytes.fits(rates.bytes), READ_BYTES_MIN.min(wanted as u64).max(1));
        if room >= least || room >= rates.bytes.at_once() {
            return Allowed::Now(usize::try_from(room).unwrap_or(usize::MAX).min(wanted));
        }
        Allowed::From(self.bytes.room_at(rates.bytes, least))
    }

    /// So many bytes were read. `false`: it is to be closed.
    pub fn has_read(&mut self, rates: &Rates, now: Time, bytes: usize) -> bool {
        self.pass(rates, now);
        self.bytes.put(rates.bytes, bytes as u64) || rates.on_excess == OnExcess::Slow
    }

    /// Whether a message may be taken at `now`; else when.
    pub fn may_take(&mut self, rates: &Rates, now: Time) -> Allowed {
        self.pass(rates, now);
        if rates.on_excess == OnExcess::Close || self.messages.fits(rates.messages) > 0 {
            return Allowed::Now(1);
        }
        Allowed::From(self.messages.room_at(rates.messages, 1))
    }

    /// A message, a Ping or a Pong was taken. `false`: it is to be closed.
    pub fn has_taken(&mut self, rates: &Rates, now: Time) -> bool {
        self.pass(rates, now);
        self.messages.put(rates.messages, 1) || rates.on_excess == OnExcess::Slow
    }

    fn pass(&mut self, rates: &Rates, now: Time) {
        self.messages.pass(rates.messages, now);
        self.bytes.pass(rates.bytes, now);
        if !self.behind || rates.on_excess == OnExcess::Slow {
            self.messages.settle();
            self.bytes.settle();
        }
    }
}

impl Default for Rates {
    fn default() -> Self {
        let burst = Millis(2_000);
        Rates {
            messages: Rate { per_second: 1_000, burst },
            bytes: Rate { per_second: 1 << 20, burst },
            on_excess: OnExcess::Slow,
        }
    }
}
