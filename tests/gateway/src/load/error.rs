//! What goes wrong: with the load itself, and with what is measured.

use std::{fmt, io};

use super::text::Wrong;

/// Why there is no measurement.
#[derive(Debug)]
pub(crate) enum Failure {
    Io(io::Error),
    /// A child process did not start as it should.
    Start(String),
    /// A token could not be made.
    Token(trunkline::token::MakeFault),
    /// Not everybody came in.
    Handshakes {
        wanted: usize,
        open: usize,
    },
    /// It was measured, and it was wrong.
    Wrong(Faults),
    /// Something that the test rests on did not happen.
    Unmet(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Io(error) => write!(f, "{error}"),
            Failure::Start(what) | Failure::Unmet(what) => f.write_str(what),
            Failure::Token(fault) => write!(f, "no token: {fault}"),
            Failure::Handshakes { wanted, open } => {
                write!(
                    f,
                    "{open} of {wanted} clients came in; is limits.connections_max or `ulimit -n` too low?"
                )
            }
            Failure::Wrong(faults) => write!(f, "errors: {faults}"),
        }
    }
}

impl std::error::Error for Failure {}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::Io(error)
    }
}

/// What was wrong with the echoes. Nothing may be.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Faults {
    pub(super) missing: u64,
    pub(super) doubled: u64,
    pub(super) reordered: u64,
    pub(super) misrouted: u64,
    pub(super) altered: u64,
    /// Connections that ended, by the code of their close frame.
    pub(super) closed: Vec<Option<u16>>,
}

impl Faults {
    pub(super) fn count(&mut self, wrong: Wrong) {
        *match wrong {
            Wrong::Doubled => &mut self.doubled,
            Wrong::Reordered => &mut self.reordered,
            Wrong::Misrouted => &mut self.misrouted,
            Wrong::Altered => &mut self.altered,
        } += 1;
    }

    pub(super) fn any(&self) -> bool {
        *self != Faults::default()
    }

    pub(super) fn check(&self) -> Result<(), Failure> {
        if self.any() { Err(Failure::Wrong(self.clone())) } else { Ok(()) }
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Faults { missing, doubled, reordered, misrouted, altered, closed } = self;
        let some: Vec<_> = closed.iter().take(5).collect();
        write!(
            f,
            "echoes: {missing} missing, {doubled} doubled, {reordered} reordered, {misrouted} to another client, \
             {altered} altered; {} connections ended {some:?}",
            closed.len()
        )
    }
}
