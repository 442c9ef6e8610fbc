//! Tokens become claims here, and nowhere else.
//!
//! A [`Verifier`] says what a token proves. It does no I/O, reads no clock, and keeps or shows no token's text.

mod claims;
mod compact;
mod fault;
mod jwk;
mod keys;
mod pem;
mod problem;
mod public;
mod settings;
mod verifier;

pub use fault::TokenFault;
pub use jsonwebtoken::Algorithm;
pub use problem::{KeyFault, KeyOrigin, KeyProblem};
pub use settings::{KeySource, Source, TokenSettings};
pub use verifier::{Claims, TOKEN_BYTES_MAX, Verifier};
