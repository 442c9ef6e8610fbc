//! The gateway around the machine: configuration, handshakes, tokens, sockets, tasks.
//!
//! What decides is in `trunkline-core`; this crate brings it what happens and carries out what it says.
//! `docs/architecture.md` follows a message through both.

mod admin;
pub mod clock;
pub mod config;
pub mod conformance;
pub mod connect;
mod crew;
pub mod demo;
pub mod endpoint;
mod files;
pub mod gateway;
mod handover;
pub mod health;
mod http;
mod jwks;
pub mod log;
mod metrics;
pub mod net;
pub mod pulse;
pub mod random;
pub mod recording;
pub mod reload;
mod series;
mod server;
pub mod service;
mod spans;
mod stream;
pub mod sys;
pub mod tls;
pub mod token;
pub mod transport;
mod worker;
mod world;
pub mod ws;
