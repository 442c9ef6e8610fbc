//! The bodies of the fuzz targets that need only the core: each takes any bytes at all and panics where something does
//! not hold. The fuzzers in `fuzz/` call them, and so do the tests that replay what the fuzzers have found.

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

pub mod action;
pub mod arrival;
mod base64;
pub mod event;
pub mod path;
pub mod scenario;

/// Gives a body every input that the repository keeps for its target.
///
/// # Panics
///
/// The body does, and the input's file is named below what it says; or there is no input.
pub fn replay(target: &str, check: impl Fn(&[u8])) {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    for kind in ["examples", "corpus"] {
        let folder = fuzz.join(kind).join(target);
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut files: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        files.sort();
        assert!(!files.is_empty(), "{} is empty", folder.display());
        for file in files {
            let bytes = fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            let passed = catch_unwind(AssertUnwindSafe(|| check(&bytes)));
            assert!(passed.is_ok(), "it fails on {}", file.display());
        }
    }
}
