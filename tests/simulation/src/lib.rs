//! The whole gateway on a simulated network, in virtual time: the shell's own files, but for the four modules that
//! touch the world (`handover`, `net`, `sys`, `world`), which are this package's.
//!
//! A run is made of one number, its seed: who the clients are and what they do, how the backends behave, what fails
//! and when ([`plan`]). It is played, and what clients and backends have seen is written down ([`record`]), and nothing
//! from inside the gateway. [`mod@judge`] holds that against the laws.

// From here to the end of the list: the gateway, as `shell/src/lib.rs` has it.
#[path = "../../../shell/src/admin/mod.rs"]
mod admin;
#[path = "../../../shell/src/clock.rs"]
pub mod clock;
#[path = "../../../shell/src/config/mod.rs"]
pub mod config;
#[path = "../../../shell/src/crew.rs"]
mod crew;
#[path = "../../../shell/src/endpoint/mod.rs"]
pub mod endpoint;
#[path = "../../../shell/src/files.rs"]
mod files;
#[path = "../../../shell/src/gateway.rs"]
pub mod gateway;
#[path = "../../../shell/src/http.rs"]
mod http;
#[path = "../../../shell/src/jwks.rs"]
mod jwks;
#[path = "../../../shell/src/log.rs"]
pub mod log;
#[path = "../../../shell/src/metrics/mod.rs"]
mod metrics;
#[path = "../../../shell/src/pulse.rs"]
pub mod pulse;
#[path = "../../../shell/src/random.rs"]
pub mod random;
#[path = "../../../shell/src/recording/mod.rs"]
pub mod recording;
#[path = "../../../shell/src/reload/mod.rs"]
pub mod reload;
#[path = "../../../shell/src/series.rs"]
mod series;
#[path = "../../../shell/src/server/mod.rs"]
mod server;
#[path = "../../../shell/src/spans/mod.rs"]
mod spans;
#[path = "../../../shell/src/stream.rs"]
mod stream;
#[path = "../../../shell/src/tls.rs"]
pub mod tls;
#[path = "../../../shell/src/token/mod.rs"]
pub mod token;
#[path = "../../../shell/src/transport.rs"]
pub mod transport;
#[path = "../../../shell/src/worker.rs"]
mod worker;
#[path = "../../../shell/src/ws/mod.rs"]
pub mod ws;

// In place of the gateway's.
mod handover;
mod net;
mod sys;
mod world;

mod backend;
mod client;
pub mod judge;
pub mod plan;
pub mod record;
mod run;

pub use run::{Outcome, run};
