//! See `trunkline_core_tests::fuzz::scenario`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| trunkline_core_tests::fuzz::scenario::check(bytes));
