//! See `trunkline_core_tests::fuzz::arrival`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| trunkline_core_tests::fuzz::arrival::check(bytes));
