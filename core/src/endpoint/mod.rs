//! The machine.

use crate::{Input, Payload, Settings, Sink, Time};

/// One endpoint (stub).
#[derive(Clone, Debug)]
pub struct Endpoint<P> {
    waiting: Option<P>,
}

impl<P: Payload> Endpoint<P> {
    /// A new endpoint.
    pub fn new(_settings: Settings, _now: Time) -> Self {
        Endpoint { waiting: None }
    }
    /// Handles one input.
    pub fn handle(&mut self, _now: Time, _input: Input<'_, P>, _out: &mut (impl Sink<P> + ?Sized)) {}
    /// When `Input::Deadline` is due next.
    pub fn next_deadline(&self) -> Option<Time> {
        None
    }
    /// The full audit, for tests and debug builds.
    pub fn check_invariants(&self) {}
}
