//! A token's text, kept away from logs.

use std::{borrow::Cow, ops::Deref};

/// A token as a client sent it, or as [`make`](super::make) made it. Not verified, and not printable: it has
/// neither `Debug` nor `Display`, so that no log, error or assertion can show it by accident.
///
/// It dereferences to its text for [`Verifier::verify`](super::Verifier::verify); whoever wants to print it
/// has to write `&*token`.
pub struct Token<'a>(Cow<'a, str>);

impl<'a> Token<'a> {
    /// What a source carried that is present, but that cannot be a token's text: it verifies as malformed.
    pub(super) const UNREADABLE: Token<'static> = Token(Cow::Borrowed(""));

    /// A token with this text.
    pub fn new(text: impl Into<Cow<'a, str>>) -> Token<'a> {
        Token(text.into())
    }
}

impl Deref for Token<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}
