//! A gateway between real sockets: what the end-to-end tests are built from.
//!
//! A [`Gateway`] runs in this process, on threads of its own. The [`Backend`] behind it and the [`Client`]s before it
//! use another implementation of WebSocket, or none ([`Raw`]), so that no fault hides by being on both sides. Nothing
//! here sleeps in order to wait: whoever waits names what for, and fails by name once [`DEADLINE`] has passed.

mod backend;
mod bystander;
mod client;
mod event;
mod gateway;
mod handshake;
mod issuer;
mod laws;
mod link;
mod operator;
mod process;
mod raw;
mod relay;
pub mod schema;
mod setup;
pub mod tls;
pub mod tokens;

use std::time::Duration;

use tokio::time::timeout;

pub use self::{
    backend::{Backend, Upgrade},
    bystander::{Bystander, Trips},
    client::Client,
    event::{Event, closed, message, opened},
    gateway::Gateway,
    handshake::{ACCEPT, Answer, Handshake, KEY},
    issuer::{Issuer, Publish, SigningKey, jwks},
    link::{Entry, Heard},
    operator::{Operator, Scrape},
    process::{Process, Program},
    raw::{Raw, masked_frame, masked_part, opcode},
    relay::Relay,
    setup::Setup,
};

/// How long anything may take that is waited for. Far more than it takes, so that a busy machine fails no test.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// Waits for what must happen.
///
/// # Panics
///
/// It has not happened by the deadline.
pub async fn within<T>(what: &str, happens: impl Future<Output = T>) -> T {
    match timeout(DEADLINE, happens).await {
        Ok(value) => value,
        Err(_) => panic!("waited in vain for: {what}"),
    }
}
