//! Tests that take long: `docs/testing.md` says which.

use std::process::ExitCode;

fn main() -> ExitCode {
    trunkline_gateway_tests::endure::main()
}
