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

/// Hands a recorded input in, with a sink that queues what was queued then. What it says goes to `said`, in its own form
/// and as a value of JSON.
pub(super) fn play(
    endpoint: &mut Endpoint<Weight>,
    at: Time,
    input: Input<'static, Weight>,
    queued: &[usize],
    mut said: impl FnMut(&Output<'_, Weight>, Value),
) {
    let mut queued = queued.iter().copied();
    endpoint.handle(at, input, &mut |output: Output<'_, Weight>| {
        said(&output, serde_json::to_value(&output).unwrap_or_default());
        // One that was not said then queues nothing.
        if queues(&output) { queued.next().unwrap_or(0) } else { 0 }
    });
}

/// Writes down what a ring knew.
pub(crate) fn write(
    endpoint: &str,
    origin_unix_ms: u64,
    excerpt: &Excerpt,
    to: &mut impl Write,
) -> io::Result<()> {
    let corrupt = |error: postcard::Error| io::Error::new(io::ErrorKind::InvalidData, error);
    let mut machine: Endpoint<Weight> = postcard::from_bytes(&excerpt.state).map_err(corrupt)?;
    let title = Title {
        recording: FORM,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        endpoint: endpoint.to_owned(),
        origin_unix_ms,
        from: excerpt.from,
    };
    line(&Head { title, state: &machine }, to)?;
    let (mut left, mut at) = (&excerpt.steps[..], excerpt.from);
    while !left.is_empty() {
        let ((passed, input, queued), rest) =
            postcard::take_from_bytes::<(Millis, Input<'static, Weight>, Vec<usize>)>(left)
                .map_err(corrupt)?;
        left = rest;
        at = at + passed;
        let mut outputs = Vec::new();
        play(&mut machine, at, input.clone(), &queued, |_, value| outputs.push(value));
        line(&Step { at, input, queued, outputs }, to)?;
    }
    to.flush()
}

fn line(what: &impl Serialize, to: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer(&mut *to, what)?;
    to.write_all(b"\n")
}

/// Reads the first line.
pub(super) fn read_head(from: &mut impl BufRead) -> Result<(Title, Endpoint<Weight>), String> {
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
    Ok((title, head.state))
}

/// Reads a further line.
pub(super) fn read_step(number: usize, text: &str) -> Result<Step, String> {
    serde_json::from_str(text).map_err(|error| format!("line {number}: {error}"))
}
