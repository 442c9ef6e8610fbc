//! Events, as a backend hears them.

use std::time::Instant;

use serde_json::{Value, json};

/// An event that came over a link.
#[derive(Clone, Debug)]
pub struct Event {
    /// Over which link, counted from 0.
    pub link: usize,
    /// When the backend read it.
    pub at: Instant,
    /// The frame's text.
    pub text: String,
    /// The same, read.
    pub json: Value,
}

impl Event {
    /// `open`, `message` or `close`.
    pub fn kind(&self) -> &str {
        self.json["event"].as_str().unwrap_or_default()
    }

    /// Whose session it is about.
    pub fn user(&self) -> &str {
        self.json["user"]["username"].as_str().unwrap_or_default()
    }

    /// The text of a message.
    pub fn data(&self) -> &str {
        self.json["data"].as_str().unwrap_or_default()
    }

    /// Whether it is of this kind and about this user.
    pub fn is(&self, kind: &str, user: &str) -> bool {
        self.kind() == kind && self.user() == user
    }
}

/// The text of an `open` in lobby 7.
pub fn opened(user: &str) -> String {
    event("open", user, "")
}

/// The text of a `close` in lobby 7.
pub fn closed(user: &str) -> String {
    event("close", user, "")
}

/// The text of a `message` in lobby 7.
pub fn message(user: &str, data: &str) -> String {
    event("message", user, &format!(r#","data":{}"#, json!(data)))
}

fn event(kind: &str, user: &str, data: &str) -> String {
    let user = json!(user);
    format!(r#"{{"event":"{kind}","user":{{"username":{user}}},"params":{{"lobby_id":"7"}}{data}}}"#)
}
