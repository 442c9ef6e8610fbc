//! A recording as a file: lines of JSON. The first says what it is and holds the state of the machine; each further one
//! is a step: when, what came in, how much was queued for whom, and what the machine said.

use std::io::{self, BufRead, Write};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use trunkline_core::{Endpoint, Input, Millis, Output, Time, recording::Weight};

use super::ring::{Excerpt, queues};

/// Of the form that is described here.
const FORM: u32 = 2;

/// The first line, but for the state.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub(crate) struct Title {
    /// The form of the recording.
    pub(crate) recording: u32,
    /// The version that wrote it.
    pub(crate) version: String,
    /// Whose it is.
    pub(crate) endpoint: String,
    /// When the machine's time began, in Unix milliseconds.
    pub(crate) origin_unix_ms: u64,
    /// When the state was so, and the steps begin.
    pub(crate) from: Time,
    /// Of a file that was written as it happened: steps before it that no file has.
    #[serde(default, skip_serializing_if = "is_none")]
    pub(crate) missed: u64,
}

fn is_none(missed: &u64) -> bool {
    *missed == 0
}

impl Title {
    /// Of what this version writes.
    pub(super) fn new(endpoint: &str, origin_unix_ms: u64, from: Time) -> Self {
        Title {
            recording: FORM,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            endpoint: endpoint.to_owned(),
            origin_unix_ms,
            from,
            missed: 0,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Head<T> {
    #[serde(flatten)]
    title: Title,
    state: T,
}

/// A further line.
#[derive(Serialize, Deserialize)]
pub(super) struct Step {
    pub(super) at: Time,
    pub(super) input: Input<'static, Weight>,
    /// In the order of the outputs that queue something.
    pub(super) queued: Vec<usize>,
    pub(super) outputs: Vec<Value>,
}

/// Hands a recorded input in, with a sink that queues what was queued then. What it says goes to `said`, in its own form,
/// as a value of JSON, and with what it queues.
pub(super) fn play(
    endpoint: &mut Endpoint<Weight>,
    at: Time,
    input: Input<'static, Weight>,
    queued: &mut impl Iterator<Item = usize>,
    mut said: impl FnMut(&Output<'_, Weight>, Value, usize),
) {
    endpoint.handle(at, input, &mut |output: Output<'_, Weight>| {
        // One that was not said then queues nothing.
        let bytes = if queues(&output) { queued.next().unwrap_or(0) } else { 0 };
        said(&output, serde_json::to_value(&output).unwrap_or_default(), bytes);
        bytes
    });
}

/// A step as a ring has it.
pub(super) struct Raw {
    at: Time,
    input: Input<'static, Weight>,
    queued: Vec<usize>,
}

/// The next step of what a ring has, if there is one; `at` is when the last one was.
pub(super) fn take_step(left: &mut &[u8], at: &mut Time) -> io::Result<Option<Raw>> {
    if left.is_empty() {
        return Ok(None);
    }
    let taken = postcard::take_from_bytes::<(Millis, Input<'static, Weight>, Vec<usize>)>(left);
    let ((passed, input, queued), rest) = taken.map_err(corrupt)?;
    (*left, *at) = (rest, *at + passed);
    Ok(Some(Raw { at: *at, input, queued }))
}

impl Raw {
    /// With what the machine says to it.
    pub(super) fn played(self, machine: &mut Endpoint<Weight>) -> Step {
        let Raw { at, input, queued } = self;
        let mut outputs = Vec::new();
        let mut left = queued.iter().copied();
        play(machine, at, input.clone(), &mut left, |_, value, _| outputs.push(value));
        Step { at, input, queued, outputs }
    }
}

fn corrupt(error: postcard::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Writes down what a ring knew.
pub(crate) fn write(
    endpoint: &str,
    origin_unix_ms: u64,
    excerpt: &Excerpt,
    to: &mut impl Write,
) -> io::Result<()> {
    let mut machine: Endpoint<Weight> = postcard::from_bytes(&excerpt.state).map_err(corrupt)?;
    write_head(Title::new(endpoint, origin_unix_ms, excerpt.from), &machine, to)?;
    let (mut left, mut at) = (&excerpt.steps[..], excerpt.from);
    while let Some(step) = take_step(&mut left, &mut at)? {
        line(&step.played(&mut machine), to)?;
    }
    to.flush()
}

/// Writes the first line. How many bytes that were.
pub(super) fn write_head(title: Title, state: &Endpoint<Weight>, to: &mut impl Write) -> io::Result<u64> {
    line(&Head { title, state }, to)
}

/// Writes a line. How many bytes that were.
pub(super) fn line(what: &impl Serialize, to: &mut impl Write) -> io::Result<u64> {
    let mut text = serde_json::to_vec(what)?;
    text.push(b'\n');
    to.write_all(&text)?;
    Ok(text.len() as u64)
}

/// Reads the first line.
pub(super) fn read_head(from: &mut dyn BufRead) -> Result<(Title, Endpoint<Weight>), String> {
    let mut text = String::new();
    from.read_line(&mut text).map_err(|error| error.to_string())?;
    let title: Title =
        serde_json::from_str(&text).map_err(|error| format!("line 1 is not that of a recording: {error}"))?;
    if title.recording != FORM {
        return Err(format!("is a recording of form {}; this version reads form {FORM}", title.recording));
    }
    let head: Head<Endpoint<Weight>> = serde_json::from_str(&text).map_err(|error| {
        format!(
            "the state that version {} has written down cannot be read by this one: {error}",
            title.version
        )
    })?;
    head.state.examine().map_err(|what| {
        format!("the state that is written down is none that a machine can be in: {what}; was it edited?")
    })?;
    Ok((title, head.state))
}

/// Reads a further line.
pub(super) fn read_step(number: usize, text: &str) -> Result<Step, String> {
    serde_json::from_str(text).map_err(|error| format!("line {number}: {error}"))
}
