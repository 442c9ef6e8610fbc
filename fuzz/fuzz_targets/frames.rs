//! See `trunkline_gateway_tests::fuzz::frames`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| trunkline_gateway_tests::fuzz::frames::check(bytes));
