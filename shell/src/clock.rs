//! Clocks: the machine's time, and the wall clock beside it.

use std::time::Duration;

use tokio::time::Instant;
use trunkline_core::{Millis, Time};

pub(crate) use crate::world::unix_millis;

/// The machine's time: milliseconds since the clock was made, which never go back.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// A clock that begins at [`Time`] 0, now.
    pub fn start() -> Self {
        Clock { origin: Instant::now() }
    }

    /// The time now.
    pub fn now(&self) -> Time {
        Time(self.micros() / 1_000)
    }

    /// The same in microseconds, to see how long something takes.
    pub fn micros(&self) -> u64 {
        self.origin.elapsed().as_micros() as u64
    }

    /// When `time` is, for a timer.
    pub fn instant(&self, time: Time) -> Instant {
        self.origin + Duration::from_millis(time.0.min(FOREVER_MS))
    }

    /// When a point in Unix time, in seconds, is in the machine's time, as the wall clock stands now.
    pub fn time_of_unix(&self, seconds: u64) -> Time {
        let ahead = i128::from(seconds) * 1000 - i128::from(unix_millis());
        let ahead = u64::try_from(ahead.max(0)).unwrap_or(u64::MAX);
        self.now() + Millis(ahead)
    }
}

/// About thirty years, which no timer needs to exceed, and every timer can hold.
const FOREVER_MS: u64 = 1_000_000_000_000;

/// The wall clock: seconds since the Unix epoch.
pub fn unix_seconds() -> u64 {
    unix_millis() / 1000
}
