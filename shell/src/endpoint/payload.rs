//! What a client sent, as the machine holds it.

use std::borrow::Cow;

use trunkline_core::language::Data;

/// A message of a client that may have to wait: it owns exactly its bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Payload {
    Text(Box<str>),
    Binary(Box<[u8]>),
}

impl Payload {
    pub(super) fn data(&self) -> Data<'_> {
        match self {
            Payload::Text(text) => Data::Text(Cow::Borrowed(text)),
            Payload::Binary(bytes) => Data::Binary(Cow::Borrowed(bytes)),
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Payload::Text(text) => text.len(),
            Payload::Binary(bytes) => bytes.len(),
        }
    }
}

impl From<Data<'_>> for Payload {
    fn from(data: Data<'_>) -> Self {
        match data {
            Data::Text(text) => Payload::Text(text.into()),
            Data::Binary(bytes) => Payload::Binary(bytes.into()),
        }
    }
}

impl trunkline_core::Payload for Payload {
    fn size(&self) -> usize {
        self.len()
    }
}
