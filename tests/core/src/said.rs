//! What the tests speak with a machine: the words of the laws, with sizes that the tests choose.

use trunkline_core::{Endpoint, Event, Output, Time, language::Data};
pub use trunkline_laws::said::{Digest, Given, Msg, Said, What, heard};

/// The bytes that the sink of the tests queues for an output.
pub fn bytes(output: &Output<'_, Msg>) -> usize {
    match output {
        Output::Event { event: Event::Open { .. }, .. } => 10,
        Output::Event { event: Event::Message { payload, .. }, .. } => 6 + payload.size,
        Output::Event { event: Event::Close { .. }, .. } => 11,
        Output::Message { data: Data::Text(text), .. } => text.len(),
        Output::Message { data: Data::Binary(binary), .. } => binary.len(),
        Output::Ping { .. } => 9,
        _ => 0,
    }
}

/// Hands `input` to the machine and returns what it said.
pub fn tell(endpoint: &mut Endpoint<Msg>, now: Time, input: Given) -> Vec<Said> {
    let mut said = Vec::new();
    endpoint.handle(now, input, &mut |output: Output<'_, Msg>| {
        let bytes = bytes(&output);
        said.push(Said::of(&output, bytes, |msg| *msg));
        bytes
    });
    said
}
