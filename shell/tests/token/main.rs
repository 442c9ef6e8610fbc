//! Tokens: where a handshake carries one, what it proves, and what is refused, with keys made on the spot.

mod algorithms;
mod faults;
mod identity;
mod keys;
mod making;
mod problems;
mod published;
mod random;
mod secrecy;
mod sources;
mod validity;
