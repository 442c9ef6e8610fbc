//! The bodies of the fuzz targets that need the gateway's shell: each takes any bytes at all and panics where something
//! does not hold. The fuzzers in `fuzz/` call them, and so do the tests that replay what the fuzzers have found.

pub mod config;
pub mod frames;
mod peer;
pub mod token;
pub mod upgrade;
