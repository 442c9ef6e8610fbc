//! See `trunkline_gateway_tests::fuzz::config`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| trunkline_gateway_tests::fuzz::config::check(bytes));
