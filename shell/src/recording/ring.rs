//! What has happened lately, in memory: the state of the machine as it was, and every input since.
//!
//! There are two segments, each a state and what came after it. Once the newer is full it becomes the older, and a new
//! one begins with the state as it is then.

use serde::{Serialize, Serializer};
use trunkline_core::{Endpoint, Input, Output, Sink, Time, recording::Weight};

use super::disk;
use crate::endpoint::Payload;

/// A payload is written down as what it weighs.
impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        Weight(self.len()).serialize(to)
    }
}

/// The recorder of one endpoint.
pub(crate) struct Ring {
    bytes_max: usize,
    older: Option<Segment>,
    newer: Segment,
    /// What the sink has queued for the link and for clients in this step, each time it was asked to.
    queued: Vec<usize>,
    /// Where all goes on to disk.
    disk: Option<disk::Tap>,
}

/// The state at some time, and the steps from there on: time since the last, input, bytes queued.
#[derive(Default)]
struct Segment {
    state: Vec<u8>,
    from: Time,
    steps: Vec<u8>,
    until: Time,
}

/// A copy of what is known, as the ring has it.
#[derive(Debug)]
pub(crate) struct Excerpt {
    pub(crate) state: Vec<u8>,
    /// When the state was so.
    pub(crate) from: Time,
    pub(crate) steps: Vec<u8>,
}

impl Ring {
    /// Holds about `bytes_max` of steps; `None`: nothing is to be recorded.
    pub(crate) fn new(bytes_max: usize, endpoint: &Endpoint<Payload>, now: Time) -> Option<Self> {
        let begin = || Segment::begin(Segment::default(), endpoint, now);
        (bytes_max > 0).then(|| Ring {
            bytes_max,
            older: None,
            newer: begin(),
            queued: Vec::new(),
            disk: None,
        })
    }

    /// Holds so much from now on; what there is already stays until it is the older.
    pub(crate) fn holding(self, bytes_max: usize) -> Self {
        Ring { bytes_max, ..self }
    }

    /// All goes on to disk, too.
    pub(crate) fn on_disk(mut self, mut tap: disk::Tap) -> Self {
        tap.begin(self.newer.state.clone(), self.newer.from);
        self.disk = Some(tap);
        self
    }

    /// Hands `input` to the machine, and writes it down.
    pub(crate) fn step(
        &mut self,
        endpoint: &mut Endpoint<Payload>,
        now: Time,
        input: Input<'_, Payload>,
        out: &mut impl Sink<Payload>,
    ) {
        let before = self.newer.steps.len();
        self.newer.input(now, &input);
        self.queued.clear();
        let mut tap = Tap { out, queued: &mut self.queued };
        endpoint.handle(now, input, &mut tap);
        self.newer.write(&self.queued);
        if let Some(disk) = &mut self.disk
            && disk.step(self.newer.steps.get(before..).unwrap_or_default(), now)
        {
            disk.begin(postcard::to_allocvec(endpoint).unwrap_or_default(), self.newer.until);
        }
        // A state is written down no more often than it is small beside the steps.
        if self.newer.steps.len() >= (self.bytes_max / 2).max(self.newer.state.len()) {
            let reused = self.older.take().unwrap_or_default();
            let begun = Segment::begin(reused, endpoint, self.newer.until);
            self.older = Some(std::mem::replace(&mut self.newer, begun));
        }
    }

    /// Hands on to disk what has become old enough.
    pub(crate) fn pass_on(&mut self, now: Time) {
        self.disk.iter_mut().for_each(|disk| disk.pass_on(now));
    }

    /// All that is known.
    pub(crate) fn excerpt(&self) -> Excerpt {
        let first = self.older.as_ref().unwrap_or(&self.newer);
        let mut steps = first.steps.clone();
        if self.older.is_some() {
            steps.extend_from_slice(&self.newer.steps);
        }
        Excerpt { state: first.state.clone(), from: first.from, steps }
    }
}

impl Segment {
    /// Begins anew, in the memory of one that is over.
    fn begin(over: Segment, endpoint: &Endpoint<Payload>, now: Time) -> Self {
        let Segment { mut state, mut steps, .. } = over;
        state.clear();
        steps.clear();
        // Into memory: it cannot fail.
        let state = postcard::to_extend(endpoint, state).unwrap_or_default();
        Segment { state, from: now, steps, until: now }
    }

    fn input(&mut self, now: Time, input: &Input<'_, Payload>) {
        let passed = now - self.until;
        self.until = self.until.max(now);
        self.write(&(passed, input));
    }

    fn write(&mut self, what: &impl Serialize) {
        self.steps = postcard::to_extend(what, std::mem::take(&mut self.steps)).unwrap_or_default();
    }
}

/// Notes how much each output has queued.
struct Tap<'a, S> {
    out: &'a mut S,
    queued: &'a mut Vec<usize>,
}

impl<S: Sink<Payload>> Sink<Payload> for Tap<'_, S> {
    fn emit(&mut self, output: Output<'_, Payload>) -> usize {
        let queues = queues(&output);
        let bytes = self.out.emit(output);
        if queues {
            self.queued.push(bytes);
        }
        bytes
    }
}

/// Whether an output puts something into a queue whose size matters to the machine.
pub(super) fn queues<P>(output: &Output<'_, P>) -> bool {
    matches!(output, Output::Event { .. } | Output::Message { .. } | Output::Ping { .. })
}
