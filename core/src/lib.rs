//! The machine of the Trunkline gateway: all that decides, and nothing that touches the world.
//!
//! It performs no I/O, reads no clock and draws no randomness: what happened comes in as an [`Input`]
//! with the [`Time`] at which it happened, what to do goes out through a [`Sink`] as [`Output`]s. One
//! [`Endpoint`] is one deterministic state machine; endpoints share nothing.
//!
//! ```
//! use trunkline_core::{Endpoint, Identity, Input, Output, Settings, Time};
//!
//! let mut endpoint = Endpoint::<String>::new(Settings::default(), Time(0));
//! let mut said = Vec::new();
//! let ann = Identity::new("ann", [("lobby_id", "7")]);
//! endpoint.handle(Time(5), Input::Ask { identity: ann, expires: None }, &mut |output: Output<'_, String>| {
//!     said.push(format!("{output:?}"));
//!     0
//! });
//! assert!(said.iter().any(|line| line.starts_with("Admit")));
//! ```
//!
//! The contract with backends and clients is `docs/language.md`; "language.md" in these pages means it.

// No std: the prelude, not the review, decides that nothing here can open a socket or read a clock.
#![no_std]
#![forbid(unsafe_code)]
// No input may end the gateway. Where something can only fail if the machine is broken, that is allowed there, and why.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::todo,
    clippy::unimplemented,
    clippy::unreachable,
    clippy::unwrap_used
)]

extern crate alloc;

pub mod client_address;
mod close;
pub mod door;
mod endpoint;
pub mod handshake;
mod identity;
mod input;
pub mod language;
pub mod origin;
mod output;
pub mod path;
pub mod rate;
#[cfg(feature = "recording")]
pub mod recording;
pub mod refresh;
mod seldom;
mod settings;
mod time;

pub use close::{CloseCode, REASON_BYTES_MAX};
pub use endpoint::{Endpoint, Figures, Naming, SessionView};
pub use identity::Identity;
pub use input::{Input, LeaveCause, LinkId, Payload, SessionId};
pub use output::{ActionFault, DropCause, EndCause, Event, Fact, LinkPhase, Output, Queued, Refusal, Sink};
pub use seldom::Seldom;
pub use settings::{
    Binary, DrainSettings, Duplicates, Expiry, LinkSettings, OutagePolicy, OutageSettings, Redeliver,
    Settings,
};
pub use time::{Millis, Time};
