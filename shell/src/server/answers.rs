//! How handshakes are answered, counted.

use std::{cell::RefCell, collections::BTreeMap};

/// To one who is let in.
pub(super) const ADMITTED: &str = "admitted";
/// To one for whom there is not even time to be turned away.
pub(super) const CUT: &str = "cut";
/// Whose handshake took too long.
pub(super) const TIMED_OUT: &str = "timed_out";
/// With whom there was no agreement on TLS.
pub(super) const TLS_FAILED: &str = "tls_failed";

/// Answers by their names, of which there are a few: those above, and core's.
#[derive(Debug)]
pub(crate) struct Answers(RefCell<BTreeMap<&'static str, u64>>);

impl Default for Answers {
    /// What nearly always comes is there from the beginning, so that whoever looks at how much it grows misses nothing.
    fn default() -> Self {
        Answers(RefCell::new(BTreeMap::from([(ADMITTED, 0)])))
    }
}

impl Answers {
    pub(super) fn count(&self, answer: &'static str) {
        *self.0.borrow_mut().entry(answer).or_default() += 1;
    }

    /// All that were given, and how often.
    pub(crate) fn all(&self) -> Vec<(&'static str, u64)> {
        self.0.borrow().iter().map(|(answer, count)| (*answer, *count)).collect()
    }

    /// All that were given but [`ADMITTED`].
    pub(crate) fn refused(&self) -> Vec<(&'static str, u64)> {
        self.all().into_iter().filter(|(answer, _)| *answer != ADMITTED).collect()
    }
}
