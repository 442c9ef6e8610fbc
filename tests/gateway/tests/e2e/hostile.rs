//! A small hostile campaign at each `cargo test`; `docs/testing.md` has the large one.

use std::{path::Path, time::Duration};

use trunkline_gateway_tests::{
    hostile::{Plan, run},
    rig::Program,
};

#[test]
fn two_thousand_hostile_connections_leave_nothing_behind_and_hinder_nobody() {
    let program = Program::library(Path::new(env!("CARGO_BIN_EXE_trunkline-hostile")));
    let limit = Duration::from_secs(120);
    let report = run(&Plan { program, count: 2_000, seed: 7, from: 0, at_once: 32, limit });
    assert_eq!((report.faults(), report.unreached()), (vec![], vec![]), "{report}");
}
