//! What the log says once in a while, however often it happens: whoever can make something happen could fill a disk.

use crate::{Millis, Time};

/// How long the same thing is not said again.
const INTERVAL: Millis = Millis(10_000);

/// Counts what happens until it is time to say so again.
#[derive(Clone, Copy, Default, Debug)]
pub struct Seldom {
    said_at: Option<Time>,
    since: u64,
}

impl Seldom {
    /// It has happened once more. How often since it was last said, this time included, if it is time to say so: the first
    /// time it is, and then once in ten seconds at most.
    pub fn count(&mut self, now: Time) -> Option<u64> {
        self.since = self.since.saturating_add(1);
        if self.said_at.is_some_and(|at| now - at < INTERVAL) {
            return None;
        }
        self.said_at = Some(now);
        Some(core::mem::take(&mut self.since))
    }
}
