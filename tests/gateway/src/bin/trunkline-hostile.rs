//! The hostile campaign: `docs/testing.md` says what it asks of the gateway.

use std::process::ExitCode;

fn main() -> ExitCode {
    trunkline_gateway_tests::hostile::main()
}
