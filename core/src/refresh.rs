//! When keys that somebody else publishes are fetched, and for how long they may be used.
//!
//! It fetches nothing, knows no URL and sees no key: it is told what happened, and says what is due.
//!
//! ```text
//!           due                      fetched: again after `every`
//! Waiting ───────▶ Fetching ───────▶ Waiting
//!    ▲                │              failed: again after a growing wait
//!    └── asked: at once, once per `early_every`
//! ```

use crate::{Millis, Time, endpoint::mix};

/// The longest wait after a first failure.
const RETRY_FIRST: Millis = Millis(1_000);
/// The longest wait after any failure, unless keys are fetched more often than that anyway.
const RETRY_MAX: Millis = Millis(60_000);

/// How published keys are kept fresh.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RefreshSettings {
    /// How long after keys have come they are fetched again, at the most; at the least nine tenths of it, so that
    /// gateways that were started together do not stay together.
    pub every: Millis,
    /// The least time between two fetches that somebody asked for.
    pub early_every: Millis,
    /// How long keys may be used since they came, when no newer ones can be had; `None`: for ever.
    pub keep: Option<Millis>,
}

impl Default for RefreshSettings {
    fn default() -> Self {
        RefreshSettings {
            every: Millis(5 * 60_000),
            early_every: Millis(30_000),
            keep: Some(Millis(24 * 3_600_000)),
        }
    }
}

/// What becomes of it that somebody asks for newer keys.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Asked {
    /// A fetch is due or under way: its end is worth waiting for.
    Wait,
    /// There are none to be had for now: what is known has to do.
    Settled,
}

/// The keys that are published at one place: when they are fetched, and whether those that came last may be used.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Refresh {
    settings: RefreshSettings,
    seed: u64,
    state: State,
    /// When the keys came that are in use.
    came_at: Option<Time>,
    /// From when on a fetch may be asked for.
    early_from: Time,
    /// Fetches that have failed in a row.
    failures: u32,
    /// Fetches that have ended: each is followed by another wait.
    ended: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum State {
    Waiting { due: Time },
    Fetching,
}

impl Refresh {
    /// Nothing has been fetched yet, and that is due. `seed` spreads the waits.
    pub const fn new(settings: RefreshSettings, seed: u64, now: Time) -> Self {
        let state = State::Waiting { due: now };
        Refresh { settings, seed, state, came_at: None, early_from: now, failures: 0, ended: 0 }
    }

    /// When [`Refresh::begin`] or [`Refresh::forget`] is to be called next; `None`: not before a fetch has ended.
    pub fn next_deadline(&self) -> Option<Time> {
        let due = match self.state {
            State::Waiting { due } => Some(due),
            State::Fetching => None,
        };
        [due, self.expires_at()].into_iter().flatten().min()
    }

    /// Whether a fetch is to begin now. Then [`Refresh::fetched`] or [`Refresh::failed`] has to follow, and until then
    /// no other is begun.
    pub fn begin(&mut self, now: Time) -> bool {
        let begins = matches!(self.state, State::Waiting { due } if due <= now);
        if begins {
            self.state = State::Fetching;
        }
        begins
    }

    /// The fetch has brought keys that can be used.
    pub fn fetched(&mut self, now: Time) {
        if self.state != State::Fetching {
            return;
        }
        self.came_at = Some(now);
        self.failures = 0;
        let every = self.settings.every;
        let off = self.chance(every.0.checked_div(10).unwrap_or_default());
        self.wait(now, Millis(every.0.saturating_sub(off)));
    }

    /// The fetch has brought nothing that can be used.
    pub fn failed(&mut self, now: Time) {
        if self.state != State::Fetching {
            return;
        }
        let doubled = RETRY_FIRST.0.saturating_mul(1_u64.checked_shl(self.failures).unwrap_or(u64::MAX));
        let most = doubled.min(RETRY_MAX.0).min(self.settings.every.0);
        self.failures = self.failures.saturating_add(1);
        let off = self.chance(most.checked_div(2).unwrap_or_default());
        self.wait(now, Millis(most.saturating_sub(off)));
    }

    /// Somebody needs a key that is not among those in use. A fetch is begun for that at most once per `early_every`,
    /// whoever asks and however often.
    pub fn ask(&mut self, now: Time) -> Asked {
        match self.state {
            State::Waiting { due } if now < due => {
                if now < self.early_from {
                    return Asked::Settled;
                }
                self.early_from = now + self.settings.early_every;
                self.state = State::Waiting { due: now };
                Asked::Wait
            }
            State::Waiting { .. } | State::Fetching => Asked::Wait,
        }
    }

    /// Whether the keys in use have become too old, and are to be forgotten.
    pub fn forget(&mut self, now: Time) -> bool {
        let expired = self.expires_at().is_some_and(|at| at <= now);
        if expired {
            self.came_at = None;
        }
        expired
    }

    /// Whether there are keys that may be used.
    pub fn is_usable(&self, now: Time) -> bool {
        self.came_at.is_some() && self.expires_at().is_none_or(|at| now < at)
    }

    /// Fetches that have failed since the last that has not.
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    fn expires_at(&self) -> Option<Time> {
        Some(self.came_at? + self.settings.keep?)
    }

    /// A fetch has ended, and the next is due in a while: in a millisecond at the least, so that time must pass.
    fn wait(&mut self, now: Time, span: Millis) {
        self.ended = self.ended.saturating_add(1);
        self.state = State::Waiting { due: now + Millis(span.0.max(1)) };
    }

    /// A number from zero to `most`, another after each fetch.
    fn chance(&self, most: u64) -> u64 {
        mix(self.seed.wrapping_add(self.ended)).checked_rem(most.saturating_add(1)).unwrap_or_default()
    }
}
