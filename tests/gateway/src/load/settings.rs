//! The configuration of the gateway that is measured.

use std::net::SocketAddr;

use clap::ValueEnum;

use super::tokens::{SECRET, Signing};

/// What differs from load to load; all else is the default of docs/configuration.md.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// Clients at most.
    pub(super) clients: u32,
    /// How long a backend may be silent, in seconds.
    pub(super) pong_timeout_seconds: u64,
    /// How fast a client may send.
    pub(super) rates: Rates,
    /// How large a message of a client may be.
    pub(super) message_bytes_max: usize,
    /// What tokens are signed with, and the public key in PEM where there is one.
    pub(super) algorithm: Signing,
    pub(super) public_key: Option<String>,
    /// Whether there is another endpoint, with the same backend's program behind it.
    pub(super) has_other: bool,
    /// More lines.
    pub(super) with: Vec<String>,
}

/// How fast a client may send.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum Rates {
    /// As fast as it can.
    Off,
    /// As docs/configuration.md says.
    Default,
}

/// The limits on what waits, as written to the file, so that what is measured can be held to them.
pub(super) const QUEUE_HIGH_BYTES: u64 = 4 << 20;
pub(super) const PARKED_BYTES_MAX: u64 = 64 << 10;
pub(super) const PARKED_TOTAL_BYTES_MAX: u64 = 64 << 20;
/// The most that one read of a client takes: what is left of it when the gateway stops reading waits as well.
pub(super) const READ_BYTES: u64 = 16 << 10;
/// Besides the crowd: a client that does not read, and connections of health checks.
const SPARE_CONNECTIONS: u32 = 100;

impl Settings {
    pub(super) fn of(clients: u32) -> Self {
        Settings {
            clients,
            pong_timeout_seconds: 120,
            rates: Rates::Off,
            message_bytes_max: 128 << 10,
            algorithm: Signing::Hs256,
            public_key: None,
            has_other: false,
            with: ONE_ADDRESS.map(str::to_owned).to_vec(),
        }
    }

    /// As a configuration file.
    pub(super) fn text(&self, places: &Places) -> String {
        let Places { listen, health, backend, .. } = places;
        let with = self.with.join("\n");
        let connections = self.clients + SPARE_CONNECTIONS;
        let other = places.other.map(|other| self.endpoint("other", other)).unwrap_or_default();
        format!(
            r#"
listen.address = "{listen}"
health.address = "{health}"
log.level = "warn"
limits.connections_max = {connections}
{with}
{load}{other}"#,
            load = self.endpoint("load", *backend),
        )
    }

    fn endpoint(&self, name: &str, backend: SocketAddr) -> String {
        let key = match self.public_key {
            Some(_) => format!("public_key_file = \"{PUBLIC_KEY_FILE}\""),
            None => format!("secret = \"{SECRET}\""),
        };
        format!(
            r#"
[endpoints.{name}]
path = "/{name}/{{room}}"
backend = "ws://{backend}/"
parked.bytes_max = {PARKED_BYTES_MAX}
parked.total_bytes_max = {PARKED_TOTAL_BYTES_MAX}
link.queue_high = {QUEUE_HIGH_BYTES}
link.pong_timeout = "{pong}s"
message_bytes_max = {message}
{rates}

[endpoints.{name}.token]
algorithms = ["{algorithm}"]
{key}
"#,
            pong = self.pong_timeout_seconds,
            message = self.message_bytes_max,
            rates = match self.rates {
                Rates::Off => "rate = { messages_per_second = 0, bytes_per_second = 0 }",
                Rates::Default => "",
            },
            algorithm = self.algorithm.name(),
        )
    }
}

/// Where everything listens.
pub(super) struct Places {
    pub(super) listen: SocketAddr,
    pub(super) health: SocketAddr,
    pub(super) backend: SocketAddr,
    /// That of the other endpoint, if there is one.
    pub(super) other: Option<SocketAddr>,
}

/// Beside the configuration.
pub(super) const PUBLIC_KEY_FILE: &str = "issuer.pem";

/// All of a load comes from one address.
const ONE_ADDRESS: [&str; 4] = [
    "limits.per_address.connections_max = 1000000",
    "limits.per_address.attempts_burst = 1000000",
    "limits.per_address.attempts_per_minute = 60000000",
    "limits.handshakes_per_second = 1000000",
];
