//! The gateway around the machine: configuration, handshakes, tokens, sockets, tasks.

pub mod config;
pub mod token;
