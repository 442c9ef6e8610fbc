//! Who a session is for, as its events say it.

use alloc::{boxed::Box, string::String};
use core::fmt;

use crate::language;

/// A user and the parameters of the path that its client asked for.
///
/// It holds the constant part of the session's events, `"user":{…},"params":{…}`, so that it is written
/// once, when the client is admitted, and copied from then on (language.md, "Events").
#[cfg_attr(
    feature = "recording",
    derive(serde::Serialize, serde::Deserialize),
    serde(into = "Parts", from = "Parts")
)]
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

/// An identity as a recording has it.
#[cfg(feature = "recording")]
#[derive(serde::Serialize, serde::Deserialize)]
struct Parts {
    user: String,
    fields: String,
}

#[cfg(feature = "recording")]
impl From<Identity> for Parts {
    fn from(identity: Identity) -> Self {
        Parts { user: identity.user().into(), fields: identity.fields().into() }
    }
}

#[cfg(feature = "recording")]
impl From<Parts> for Identity {
    fn from(Parts { user, fields }: Parts) -> Self {
        let name_len = user.len();
        Identity { text: [user, fields].concat().into_boxed_str(), name_len }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{}}}", self.fields())
    }
}
