//! Judges what a backend sends, frame by frame.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use trunkline_core::{
    Binary, REASON_BYTES_MAX,
    language::{Action, Status, decode},
};

use super::report::{Fault, Found};
use crate::connect::printable;

/// The most of a frame that is shown.
const EXCERPT_BYTES: usize = 160;
/// Faults of different kinds that one check reports at most.
const FOUND_MAX: usize = 20;

/// What is known of a user.
#[derive(Debug)]
pub(super) struct User {
    pub(super) state: State,
    /// Messages that the backend has sent it.
    sent: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// Its `open` has gone out, no `close`.
    Open,
    /// Its `close` has gone out. Actions for it may have crossed that.
    Left,
    /// So long ago that nothing can have.
    Gone,
    /// The backend has ended it.
    Ended,
}

/// What has been seen.
#[derive(Debug)]
pub(super) struct Watch {
    binary: Binary,
    users: BTreeMap<String, User>,
    found: Vec<Found>,
    /// What has been seen in this check that is worth a line.
    pub(super) notes: Vec<String>,
    /// The Ping that is out, and since when.
    ping: Option<(u64, Instant)>,
    other_pongs: bool,
    pub(super) pongs: u64,
    pub(super) slowest: Duration,
    pub(super) actions: u64,
}

impl Watch {
    pub(super) fn new(binary: Binary) -> Self {
        Watch {
            binary,
            users: BTreeMap::new(),
            found: Vec::new(),
            notes: Vec::new(),
            ping: None,
            other_pongs: false,
            pongs: 0,
            slowest: Duration::ZERO,
            actions: 0,
        }
    }

    // --- What goes out ---

    pub(super) fn set(&mut self, user: &str, state: State) {
        let sent = self.sent_to(user);
        self.users.insert(user.to_owned(), User { state, sent });
    }

    pub(super) fn pinged(&mut self, counter: u64) {
        self.ping = Some((counter, Instant::now()));
        self.other_pongs = false;
    }

    // --- What comes in ---

    pub(super) fn pong(&mut self, payload: &[u8]) {
        let Some((counter, since)) = self.ping else { return };
        if payload == counter.to_be_bytes() {
            self.ping = None;
            self.pongs += 1;
            self.slowest = self.slowest.max(since.elapsed());
        } else {
            self.other_pongs = true;
        }
    }

    pub(super) fn action(&mut self, frame: &[u8]) {
        self.actions += 1;
        let user = match decode(frame, self.binary) {
            Err(fault) => return self.fault(Fault::BadAction(fault), Some(frame)),
            Ok(Action::Send { user, .. }) => {
                let known = user.as_deref().and_then(|user| self.users.get_mut(user));
                known.into_iter().for_each(|user| user.sent += 1);
                user
            }
            Ok(Action::Close { user, status, reason }) => {
                if status == Some(Status::Unsendable) {
                    self.fault(Fault::Status, Some(frame));
                }
                if reason.is_some_and(|reason| reason.len() > REASON_BYTES_MAX) {
                    self.fault(Fault::Reason, Some(frame));
                }
                self.ended(user.as_deref().unwrap_or_default(), status);
                user
            }
        };
        match user.and_then(|user| self.users.get(&*user)).map(|user| user.state) {
            None => self.fault(Fault::UnknownUser, Some(frame)),
            Some(State::Gone) => self.fault(Fault::GoneUser, Some(frame)),
            Some(State::Open | State::Left | State::Ended) => {}
        }
    }

    fn ended(&mut self, user: &str, status: Option<Status>) {
        let Some(known) = self.users.get_mut(user).filter(|user| user.state == State::Open) else { return };
        known.state = State::Ended;
        let code = match status {
            Some(Status::Code(code)) => code.get(),
            Some(Status::Unsendable) | None => 1011,
        };
        self.notes.push(format!("it ended the session of {user:?} with {code}"));
    }

    // --- What is known ---

    pub(super) fn state_of(&self, user: &str) -> Option<State> {
        self.users.get(user).map(|user| user.state)
    }

    pub(super) fn sent_to(&self, user: &str) -> u64 {
        self.users.get(user).map_or(0, |user| user.sent)
    }

    pub(super) fn all_in(&self, state: State) -> Vec<String> {
        let is = |(_, user): &(&String, &User)| user.state == state;
        self.users.iter().filter(is).map(|(name, _)| name.clone()).collect()
    }

    pub(super) fn awaits_pong(&self) -> bool {
        self.ping.is_some()
    }

    pub(super) fn other_pongs(&self) -> bool {
        self.other_pongs
    }

    // --- What is wrong ---

    pub(super) fn fault(&mut self, fault: Fault, frame: Option<&[u8]>) {
        if let Some(found) = self.found.iter_mut().find(|found| found.fault == fault) {
            found.times += 1;
        } else if self.found.len() < FOUND_MAX {
            self.found.push(Found { fault, frame: frame.map(excerpt), times: 1 });
        }
    }

    pub(super) fn take_found(&mut self) -> Vec<Found> {
        std::mem::take(&mut self.found)
    }
}

/// The beginning of a frame, for a terminal: control characters are escaped, what is not UTF-8 is replaced.
fn excerpt(frame: &[u8]) -> String {
    match frame.get(..EXCERPT_BYTES) {
        Some(beginning) => {
            format!("{}… ({} bytes)", printable(&String::from_utf8_lossy(beginning)), frame.len())
        }
        None => printable(&String::from_utf8_lossy(frame)),
    }
}
