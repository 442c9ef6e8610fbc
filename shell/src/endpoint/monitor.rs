//! The laws beside a machine at work: each step is held against them, and one that breaks a law is told of and recorded.
//!
//! The machine goes on, whatever the laws say: nobody in session notices. After a breach what was seen may be wrong in
//! more than that, so the laws begin anew from the state of the machine, a little later.

use std::{
    hash::{DefaultHasher, Hasher},
    rc::Rc,
    sync::Arc,
};

use tokio::sync::mpsc;
use trunkline_core::{Endpoint, Input, Millis, Output, Sink, Time, language::Data};
use trunkline_laws::{
    Law, Laws, Looks, Violation,
    said::{Msg, Said, heard},
};

use super::Payload;
use crate::{
    config::EndpointConfig,
    metrics::EndpointMetrics,
    recording::{Breach, Recording},
};

/// How long after a breach the laws begin anew. To begin takes a while where there are many sessions, so that doubles with
/// each further breach, up to a minute, until none has come for a minute.
const PAUSE_FIRST: Millis = Millis(1_000);
const PAUSE_MAX: Millis = Millis(60_000);
/// A law that is broken again within this is counted, and no more.
const TELL_EVERY: Millis = Millis(60_000);

/// What holds one machine against the laws.
pub(super) struct Monitor {
    config: Rc<EndpointConfig>,
    metrics: Arc<EndpointMetrics>,
    breaches: mpsc::Sender<Breach>,
    /// What messages are told apart by is hashed with this, so that nobody can try what they say.
    key: u64,
    laws: Option<Laws>,
    /// When the laws have begun; where they do not watch, when they begin anew.
    begins_at: Time,
    /// How long they pause after the next breach.
    pause: Millis,
    /// What the machine says in this step.
    said: Vec<Said>,
    /// When each law's breach was told of last.
    told_at: [Option<Time>; Law::WATCHED.len()],
}

impl Monitor {
    pub(super) fn new(
        config: Rc<EndpointConfig>,
        metrics: Arc<EndpointMetrics>,
        breaches: mpsc::Sender<Breach>,
        key: u64,
    ) -> Self {
        Monitor {
            config,
            metrics,
            breaches,
            key,
            laws: None,
            begins_at: Time(0),
            pause: PAUSE_FIRST,
            said: Vec::new(),
            told_at: [None; Law::WATCHED.len()],
        }
    }

    /// Has `handle` hand `input` to the machine, which says to its sink what it says to `out`. What is wrong with that.
    ///
    /// What is due is to be done by a step of its own, before any other.
    pub(super) fn step<'a, S: Sink<Payload>>(
        &mut self,
        machine: &mut Endpoint<Payload>,
        now: Time,
        input: Input<'a, Payload>,
        out: &mut S,
        handle: impl FnOnce(&mut Endpoint<Payload>, Input<'a, Payload>, &mut Witness<'_, S>),
    ) -> Option<Violation> {
        let key = self.key;
        if self.laws.is_none() && now >= self.begins_at {
            self.begins_at = now;
            self.laws = Some(Laws::begin(machine, Looks::FEW, |payload| mark(key, payload)));
        }
        let given = self.laws.is_some().then(|| heard(&input, |payload| mark(key, payload)));
        self.said.clear();
        handle(machine, input, &mut Witness { out, said: given.is_some().then_some(&mut self.said), key });
        let (laws, given) = (self.laws.as_mut()?, given?);
        self.metrics.law_steps.add(1);
        let broken = laws.step(now, &given, &self.said, machine.next_deadline()).err()?;
        self.laws = None;
        if now - self.begins_at >= PAUSE_MAX {
            self.pause = PAUSE_FIRST;
        }
        self.begins_at = now + self.pause;
        self.pause = Millis(self.pause.0 * 2).min(PAUSE_MAX);
        Some(broken)
    }

    /// Counts a breach, and tells of it where that law's last one is long ago; `recording` is what has happened lately.
    pub(super) fn report(
        &mut self,
        broken: &Violation,
        now: Time,
        recording: impl FnOnce() -> Option<Recording>,
    ) {
        let Some(place) = Law::WATCHED.iter().position(|law| *law == broken.law) else { return };
        self.metrics.law_breaches.add(place, 1);
        let told_at = &mut self.told_at[place];
        if told_at.is_some_and(|at| now - at < TELL_EVERY) {
            return;
        }
        *told_at = Some(now);
        let (endpoint, law) = (self.config.name.as_str(), broken.law.name());
        tracing::error!(target: "gateway", endpoint, law, what = ?broken.what, at_ms = now.0, "a law is broken");
        let breach = recording().map(|recording| Breach { endpoint: endpoint.to_owned(), recording });
        if breach.is_some_and(|breach| self.breaches.try_send(breach).is_err()) {
            tracing::warn!(target: "gateway", endpoint, law, "not recorded: too many breaches at once");
        }
    }
}

/// A sink that notes what it is told, with the bytes that the other has queued for it.
pub(super) struct Witness<'a, S> {
    out: &'a mut S,
    said: Option<&'a mut Vec<Said>>,
    key: u64,
}

impl<S: Sink<Payload>> Sink<Payload> for Witness<'_, S> {
    fn emit(&mut self, output: Output<'_, Payload>) -> usize {
        let Some(said) = &mut self.said else { return self.out.emit(output) };
        // What it queues is known only once it has taken the output, which is then gone.
        let place = said.len();
        said.push(Said::of(&output, 0, |payload| mark(self.key, payload)));
        let bytes = self.out.emit(output);
        if let Some(one) = said.get_mut(place) {
            one.set_bytes(bytes);
        }
        bytes
    }
}

/// What stands for a payload: two that say the same are the same to the laws.
fn mark(key: u64, payload: &Payload) -> Msg {
    let mut hasher = DefaultHasher::new();
    hasher.write_u64(key);
    match payload.data() {
        Data::Text(text) => hasher.write(text.as_bytes()),
        Data::Binary(bytes) => hasher.write(&bytes),
    }
    Msg { number: hasher.finish(), size: payload.len() }
}

#[cfg(test)]
mod tests;
