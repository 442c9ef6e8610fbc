//! Tokens: where a handshake carries one, what it proves, and what is refused, with keys made on the spot.

mod algorithms;
mod faults;
mod identity;
mod keys;
mod problems;
mod sources;
mod validity;
