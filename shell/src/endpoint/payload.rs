//! What a client sent, as the machine holds it.

use std::borrow::Cow;

use trunkline_core::language::Data;

/// A message of a client that may have to wait: it owns exactly its bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Payload {
    content: Content,
    /// When it was read from its client, in microseconds.
    pub(super) read_at: u64,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Content {
    Text(Box<str>),
    Binary(Box<[u8]>),
}

impl Payload {
    pub(super) fn text(text: &str, read_at: u64) -> Self {
        Payload { content: Content::Text(text.into()), read_at }
    }

    pub(super) fn new(data: Data<'_>, read_at: u64) -> Self {
        let content = match data {
            Data::Text(text) => Content::Text(text.into()),
            Data::Binary(bytes) => Content::Binary(bytes.into()),
        };
        Payload { content, read_at }
    }

    pub(super) fn data(&self) -> Data<'_> {
        match &self.content {
            Content::Text(text) => Data::Text(Cow::Borrowed(text)),
            Content::Binary(bytes) => Data::Binary(Cow::Borrowed(bytes)),
        }
    }

    pub(crate) fn len(&self) -> usize {
        match &self.content {
            Content::Text(text) => text.len(),
            Content::Binary(bytes) => bytes.len(),
        }
    }
}

impl trunkline_core::Payload for Payload {
    fn size(&self) -> usize {
        self.len()
    }
}
