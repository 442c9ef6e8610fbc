//! Doing a number of things evenly over a span of time.

use super::key::Writer;
use crate::{Millis, Payload, Time};

/// Spreads `total` things over a span: the k-th is due at `start + ceil(k * span / total)`.
#[cfg_attr(feature = "recording", derive(serde::Serialize, serde::Deserialize))]
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
        let (next, span, total) = (self.done.saturating_add(1), self.span.0, self.total);
        // Two numbers of 64 bits have a product of 128; `total` is more than `done`.
        let after = u128::from(next).saturating_mul(span.into()).div_ceil(total.into());
        Some(self.start + Millis(u64::try_from(after).unwrap_or(u64::MAX)))
    }

    /// Takes one thing that is due at `now`.
    pub(super) fn take(&mut self, now: Time) -> bool {
        let due = self.next_due().is_some_and(|due| due <= now);
        self.done = self.done.saturating_add(due.into());
        due
    }

    /// What stands here.
    #[cfg(feature = "recording")]
    pub(super) const fn snapshot(&self) -> super::snapshot::Turns {
        super::snapshot::Turns { start: self.start, span: self.span, total: self.total, done: self.done }
    }

    /// Appends what still matters of it.
    pub(super) fn key<P: Payload>(&self, to: &mut Writer<'_, P>) {
        to.age(Some(self.start), self.span);
        to.number(self.total);
        to.number(self.done);
    }
}
