//! Doing a number of things evenly over a span of time.

use super::key::Writer;
use crate::{Millis, Payload, Time};

/// Spreads `total` things over a span: the k-th is due at `start + ceil(k * span / total)`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Pace {
    start: Time,
    span: Millis,
    total: u64,
    done: u64,
}

impl Pace {
    pub(super) const fn new(start: Time, span: Millis, total: usize) -> Self {
        Pace { start, span, total: total as u64, done: 0 }
    }

    /// When the next thing is due; `None` once all are done.
    pub(super) fn next_due(&self) -> Option<Time> {
        if self.done >= self.total {
            return None;
        }
        let after = (u128::from(self.done + 1) * u128::from(self.span.0)).div_ceil(u128::from(self.total));
        Some(self.start + Millis(u64::try_from(after).unwrap_or(u64::MAX)))
    }

    /// Takes one thing that is due at `now`.
    pub(super) fn take(&mut self, now: Time) -> bool {
        let due = self.next_due().is_some_and(|due| due <= now);
        self.done += u64::from(due);
        due
    }

    /// Appends what still matters of it.
    pub(super) fn key<P: Payload>(&self, to: &mut Writer<'_, P>) {
        to.age(Some(self.start), self.span);
        to.number(self.total);
        to.number(self.done);
    }
}
