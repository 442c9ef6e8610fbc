//! The messages of an endpoint that are traced, while they pass through.

use std::{collections::VecDeque, sync::Arc};

use trunkline_core::SessionId;

use super::{Message, Parent, Shared, Tracer, Way};

/// Messages at most that are traced at once, in each direction; further ones are not.
const MESSAGES_MAX: usize = 1_024;

/// Of one endpoint.
#[derive(Debug)]
pub(crate) struct Passing {
    tracer: Tracer,
    /// Those that lie in the link's queue: where in it they end, and when they were read, in microseconds.
    to_link: VecDeque<(u64, u64, Message)>,
    /// Those that were queued for clients in this turn.
    to_clients: Vec<Message>,
}

impl Passing {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Passing { tracer: Tracer::new(shared), to_link: VecDeque::new(), to_clients: Vec::new() }
    }

    /// A client's message was queued for the link, and ends there.
    pub(crate) fn goes_to_link(
        &mut self,
        parent: Parent,
        session: SessionId,
        bytes: usize,
        end: u64,
        read_at: u64,
    ) {
        if self.to_link.len() < MESSAGES_MAX && self.tracer.wants_message() {
            let message = Message { parent, session, bytes, way: Way::ToLink, lost: false };
            self.to_link.push_back((end, read_at, message));
        }
    }

    /// What ends before `out` is with the system now, in microseconds.
    pub(crate) fn link_took(&mut self, out: u64, now: u64) {
        while let Some((_, read_at, message)) = self.to_link.pop_front_if(|(end, ..)| *end <= out) {
            self.tracer.message(&message, now.saturating_sub(read_at));
        }
    }

    /// What was queued for the link is gone.
    pub(crate) fn link_lost(&mut self, now: u64) {
        for (_, read_at, message) in std::mem::take(&mut self.to_link) {
            self.tracer.message(&Message { lost: true, ..message }, now.saturating_sub(read_at));
        }
    }

    /// A backend's message was queued for a client.
    pub(crate) fn goes_to_client(&mut self, parent: Parent, session: SessionId, bytes: usize) {
        if self.to_clients.len() < MESSAGES_MAX && self.tracer.wants_message() {
            let message = Message { parent, session, bytes, way: Way::ToClient, lost: false };
            self.to_clients.push(message);
        }
    }

    /// The turn in which they were read is over, and has taken so many microseconds: clients' sockets have them, or they
    /// wait there.
    pub(crate) fn turn_ends(&mut self, took: impl FnOnce() -> u64) {
        if self.to_clients.is_empty() {
            return;
        }
        let took = took();
        for message in self.to_clients.drain(..) {
            self.tracer.message(&message, took);
        }
    }
}
