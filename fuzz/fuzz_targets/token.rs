//! See `trunkline_shell_tests::token`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| trunkline_shell_tests::token::check(bytes));
