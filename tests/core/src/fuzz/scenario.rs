//! Whole scenarios: the machine under its laws, the reference and its own audit, in the world of [`crate::scenario`].

use crate::{drive, twins};

/// Plays the scenario that the bytes tell: as it is, without what must change nothing, on two machines that must stay
/// alike, and with a clock that leaps.
///
/// # Panics
///
/// A law is broken; the message holds the whole story.
pub fn check(bytes: &[u8]) {
    let failure = drive::run(bytes)
        .err()
        .or_else(|| drive::run_without_harmless(bytes).err())
        .or_else(|| twins::run_twins(bytes).err())
        .or_else(|| drive::run_carelessly(bytes).err());
    if let Some(failure) = failure {
        panic!("{failure:?}");
    }
}
