//! See `trunkline_shell_tests::upgrade`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| trunkline_shell_tests::upgrade::check(bytes));
