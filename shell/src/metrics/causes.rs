//! The names of causes, as metrics and the admin API say them. There are few, and they stay as they are.

use trunkline_core::{ActionFault, DropCause, EndCause, LeaveCause, language::BadAction};

/// Why sessions end.
pub(crate) const END_CAUSES: [&str; 11] = [
    "client_closed",
    "client_lost",
    "client_timed_out",
    "client_misbehaved",
    "backend",
    "taken_over",
    "too_slow",
    "expired",
    "outage",
    "drained",
    "operator",
];

/// The place of a cause in [`END_CAUSES`].
pub(crate) const fn end_cause(cause: EndCause) -> usize {
    match cause {
        EndCause::Left(LeaveCause::Closed) => 0,
        EndCause::Left(LeaveCause::Lost) => 1,
        EndCause::Left(LeaveCause::TimedOut) => 2,
        EndCause::Left(LeaveCause::Misbehaved(_)) => 3,
        EndCause::Backend => 4,
        EndCause::TakenOver => 5,
        EndCause::TooSlow => 6,
        EndCause::Expired => 7,
        EndCause::Outage => 8,
        EndCause::Drained => 9,
        EndCause::Kicked => 10,
    }
}

/// The name of a cause.
pub(crate) fn end_name(cause: EndCause) -> &'static str {
    END_CAUSES.get(end_cause(cause)).copied().unwrap_or_default()
}

/// Why actions are ignored.
pub(crate) const FAULTS: [&str; 10] = [
    "no_session",
    "not_announced",
    "not_utf8",
    "not_json",
    "too_deep",
    "not_object",
    "missing_field",
    "wrong_type",
    "unknown_action",
    "not_base64",
];

/// The place of a fault in [`FAULTS`].
pub(crate) const fn fault(fault: ActionFault) -> usize {
    match fault {
        ActionFault::NoSession => 0,
        ActionFault::NotAnnounced => 1,
        ActionFault::Bad(BadAction::NotUtf8) => 2,
        ActionFault::Bad(BadAction::NotJson) => 3,
        ActionFault::Bad(BadAction::TooDeep) => 4,
        ActionFault::Bad(BadAction::NotObject) => 5,
        ActionFault::Bad(BadAction::Missing(_)) => 6,
        ActionFault::Bad(BadAction::WrongType(_)) => 7,
        ActionFault::Bad(BadAction::UnknownAction) => 8,
        ActionFault::Bad(BadAction::NotBase64) => 9,
    }
}

/// Why a backend does not get messages, or may not have got them.
pub(crate) const DROP_CAUSES: [&str; 4] = ["parked", "not_sent_again", "after_end", "unconfirmed"];

/// What is counted by [`DROP_CAUSES`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum DropKind {
    /// The session ended.
    Ended(DropCause),
    /// The link broke before they were confirmed, and they are not sent again.
    Unconfirmed,
}

impl DropKind {
    /// Its place in [`DROP_CAUSES`].
    pub(crate) const fn place(self) -> usize {
        match self {
            DropKind::Ended(DropCause::Parked) => 0,
            DropKind::Ended(DropCause::Unconfirmed) => 1,
            DropKind::Ended(DropCause::AfterEnd) => 2,
            DropKind::Unconfirmed => 3,
        }
    }
}
