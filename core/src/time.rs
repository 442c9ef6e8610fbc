//! Time as the machine knows it: a number of milliseconds that comes in with every input.

use core::ops::{Add, Sub};

/// A point in time: milliseconds since an origin that the caller chose. It only ever goes forward.
#[cfg_attr(feature = "recording", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Time(pub u64);

/// A span of time in milliseconds.
#[cfg_attr(feature = "recording", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Millis(pub u64);

impl Add<Millis> for Time {
    type Output = Time;

    /// Saturates: a sum beyond the end of time is the end of time, that is, never.
    fn add(self, span: Millis) -> Time {
        Time(self.0.saturating_add(span.0))
    }
}

impl Sub<Time> for Time {
    type Output = Millis;

    /// The span from `earlier` to here; zero where `earlier` is in fact later.
    fn sub(self, earlier: Time) -> Millis {
        Millis(self.0.saturating_sub(earlier.0))
    }
}
