//! What may be written down of a machine (feature `recording`): its state, what it was given, and what it said.
//!
//! Because a machine is deterministic, its state and the inputs that followed are a whole run: whoever hands them in again
//! gets the same outputs, as long as the sink returns the same numbers of bytes. Users and path parameters are in it, and
//! the reasons of closes; what clients and backends said to each other is not: of that only the sizes are.

pub mod words;

pub use crate::endpoint::snapshot::{
    Batch, ClientState, CloseState, Draining, LinkSnapshot, SessionSnapshot, Snapshot, Turns, Up,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Payload, language::Data};

/// A client's message of which no more is known than its size in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Weight(pub usize);

impl Payload for Weight {
    fn size(&self) -> usize {
        self.0
    }
}

/// What is left of a [`Data`]: its kind and bytes.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Length {
    Text(usize),
    Binary(usize),
}

impl Serialize for Data<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Data::Text(text) => Length::Text(text.len()),
            Data::Binary(bytes) => Length::Binary(bytes.len()),
        }
        .serialize(to)
    }
}

/// The machine hands data on and does not look at it, so nothing stands for it.
impl<'de> Deserialize<'de> for Data<'_> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(match Length::deserialize(from)? {
            Length::Text(_) => Data::Text("".into()),
            Length::Binary(_) => Data::Binary((&[][..]).into()),
        })
    }
}
