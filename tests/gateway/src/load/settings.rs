//! The configuration of the gateway that is measured.

use std::net::SocketAddr;

use clap::ValueEnum;

use super::tokens::SECRET;

/// What differs from load to load; all else is the default of docs/configuration.md.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    /// Clients at most.
    pub(super) clients: u32,
    /// How long a backend may be silent, in seconds.
    pub(super) pong_timeout_seconds: u64,
    /// How fast a client may send.
    pub(super) rates: Rates,
    /// How large a message of a client may be.
    pub(super) message_bytes_max: usize,
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
    pub(super) const fn of(clients: u32) -> Self {
        Settings { clients, pong_timeout_seconds: 120, rates: Rates::Off, message_bytes_max: 128 << 10 }
    }

    /// As a configuration file.
    pub(super) fn text(&self, listen: SocketAddr, backend: SocketAddr) -> String {
        format!(
            r#"
listen.address = "{listen}"
log.level = "warn"
limits.connections_max = {connections}

[endpoints.load]
path = "/load/{{room}}"
backend = "ws://{backend}/"
parked.bytes_max = {PARKED_BYTES_MAX}
parked.total_bytes_max = {PARKED_TOTAL_BYTES_MAX}
link.queue_high = {QUEUE_HIGH_BYTES}
link.pong_timeout = "{pong}s"
message_bytes_max = {message}
{rates}

[endpoints.load.token]
algorithms = ["HS256"]
secret = "{SECRET}"
"#,
            connections = self.clients + SPARE_CONNECTIONS,
            pong = self.pong_timeout_seconds,
            message = self.message_bytes_max,
            rates = match self.rates {
                Rates::Off => "rate = { messages_per_second = 0, bytes_per_second = 0 }",
                Rates::Default => "",
            },
        )
    }
}
