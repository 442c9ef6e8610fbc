//! Who a session is for, as its events say it.

use alloc::{boxed::Box, string::String};
use core::fmt;

use crate::language;

/// A user and the parameters of the path that its client asked for.
///
/// It holds the constant part of the session's events, `"user":{…},"params":{…}`, so that it is written
/// once, when the client is admitted, and copied from then on (language.md, "Events").
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// The user's name, then the constant part.
    text: Box<str>,
    name_len: usize,
}

impl Identity {
    /// `params` are the path's parameters in the order of the template, percent-decoded.
    pub fn new<'a>(user: &str, params: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut text = String::from(user);
        language::write_identity(user, params, &mut text);
        Identity { text: text.into_boxed_str(), name_len: user.len() }
    }

    /// The user's name, as the token carries it.
    pub fn user(&self) -> &str {
        self.text.get(..self.name_len).unwrap_or_default()
    }

    /// The constant part of the session's events: `"user":{"username":…},"params":{…}`.
    pub fn fields(&self) -> &str {
        self.text.get(self.name_len..).unwrap_or_default()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{}}}", self.fields())
    }
}
