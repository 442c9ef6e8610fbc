//! Tokens become claims here, and nowhere else.
//!
//! [`find`] says where a handshake carries its token, a [`Verifier`] says what the token proves, [`make`]
//! signs one for development. None of them does I/O or reads a clock, and none keeps or shows a token's text. Keys that
//! are [`Published`] are fetched elsewhere and put there.

mod claims;
mod compact;
mod find;
mod jwk;
mod keys;
mod make;
mod pem;
mod problem;
mod public;
mod published;
mod settings;
mod text;
mod verifier;

pub use find::{Found, find};
pub use jsonwebtoken::Algorithm;
pub use make::{MakeFault, NewToken, make};
pub use problem::{KeyFault, KeyOrigin, KeyProblem};
pub use published::{KeySet, Published, SetFault};
pub use settings::{BoundKeys, FetchSettings, KeySource, Source, TokenSettings};
pub use text::Token;
pub use trunkline_core::handshake::TokenFault;
pub use verifier::{Claims, Denied, TOKEN_BYTES_MAX, Verifier};
