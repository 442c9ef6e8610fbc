//! Sessions that ended lately, and why: for an operator who is asked that.

use std::collections::VecDeque;

use trunkline_core::{CloseCode, EndCause, LeaveCause, SessionId};

/// How many are kept; the oldest goes first.
const CLOSES_MAX: usize = 256;

/// A session that is over.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Closed {
    pub(crate) session: SessionId,
    pub(crate) user: Box<str>,
    pub(crate) cause: EndCause,
    /// What its client was told, if anything.
    pub(crate) code: Option<CloseCode>,
    pub(crate) reason: Option<Box<str>>,
    /// When it ended, in milliseconds of Unix time.
    pub(crate) at: u64,
    /// How long it had lasted, in milliseconds.
    pub(crate) age: u64,
}

/// The last sessions that ended, the newest last.
#[derive(Debug, Default)]
pub(super) struct Closes(VecDeque<Closed>);

impl Closes {
    pub(super) fn ended(&mut self, session: SessionId, user: &str, cause: EndCause, at: u64, age: u64) {
        if self.0.len() >= CLOSES_MAX {
            self.0.pop_front();
        }
        let code = match cause {
            EndCause::Left(LeaveCause::Misbehaved(code)) => Some(code),
            _ => None,
        };
        self.0.push_back(Closed { session, user: user.into(), cause, code, reason: None, at, age });
    }

    /// A client is told that its session is over. In a drain that comes later than its end.
    pub(super) fn told(&mut self, session: SessionId, code: CloseCode, reason: &str) {
        if let Some(closed) = self.0.iter_mut().rev().find(|closed| closed.session == session) {
            closed.code = Some(code);
            closed.reason = Some(reason.into());
        }
    }

    pub(super) fn all(&self) -> Vec<Closed> {
        self.0.iter().cloned().collect()
    }
}
