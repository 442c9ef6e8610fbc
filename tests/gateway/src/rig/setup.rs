//! The configuration of a gateway under test, as a TOML text.

use std::{collections::BTreeMap, fmt::Write, path::Path};

use serde_json::{Value, json};
use trunkline::config::Config;

use super::tokens::SECRET;

/// A configuration: one endpoint, `lobby`, times so short that a test need not wait for them, clients that may send
/// as fast as they can, and the laws beside all of it.
#[derive(Clone, Debug)]
pub struct Setup(BTreeMap<String, Value>);

impl Setup {
    /// With a backend at this address.
    pub fn new(backend: String) -> Self {
        Setup(BTreeMap::new())
            .with("listen.address", "127.0.0.1:0")
            .with("laws.endpoints", "all")
            .with("limits.handshake_timeout", "10s")
            // Tests come often, and all from one address. Those of the door set limits of their own.
            .with("limits.per_address.attempts_burst", 1_000_000)
            .with("limits.per_address.connections_max", 1_000_000)
            .with("limits.handshakes_per_second", 1_000_000)
            .with("defaults.per_user.attempts_burst", 1_000_000)
            .with("drain.time", "0s")
            .with("drain.confirm_timeout", "5s")
            .with("defaults.token.algorithms", json!(["HS256"]))
            .with("defaults.token.secret", SECRET)
            .with("defaults.reopen_gap", "20ms")
            .with("defaults.close_timeout", "2s")
            .with("defaults.rate.messages_per_second", 0)
            .with("defaults.rate.bytes_per_second", 0)
            .with("defaults.link.redial_min", "20ms")
            .with("defaults.link.backoff_first", "20ms")
            .with("defaults.link.backoff_max", "50ms")
            .with("defaults.link.confirm_delay", "5ms")
            .endpoint("lobby", "/lobby/{lobby_id}", backend)
    }

    /// With one more endpoint.
    #[must_use]
    pub fn endpoint(self, name: &str, path: &str, backend: String) -> Self {
        self.with(&format!("endpoints.{name}.path"), path)
            .with(&format!("endpoints.{name}.backend"), format!("ws://{backend}"))
    }

    /// With `key`, its tables separated by dots, set to `value`.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.0.insert(key.to_owned(), value.into());
        self
    }

    /// Without `key`.
    #[must_use]
    pub fn without(mut self, key: &str) -> Self {
        self.0.remove(key);
        self
    }

    /// As [`Setup::with`], for a key of the endpoint `lobby`.
    #[must_use]
    pub fn lobby(self, key: &str, value: impl Into<Value>) -> Self {
        self.with(&format!("endpoints.lobby.{key}"), value)
    }

    /// As a file says it: strings, integers and lists are written in TOML as in JSON.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (key, value) in &self.0 {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{key} = {value}");
        }
        text
    }

    /// The configuration that a gateway takes.
    ///
    /// # Panics
    ///
    /// The text says something that is none.
    pub fn config(&self) -> Config {
        match Config::parse(&self.text(), Path::new("."), |_| None) {
            Ok(config) => config,
            Err(problems) => panic!("{problems}\n{}", self.text()),
        }
    }
}
