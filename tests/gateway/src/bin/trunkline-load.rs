//! The load tool: `docs/performance.md` says what it measures.

use std::process::ExitCode;

fn main() -> ExitCode {
    trunkline_gateway_tests::load::main()
}
