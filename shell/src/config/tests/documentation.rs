//! The documentation and the examples say what is so.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use super::super::{Config, Key, effect, keys};
use super::SECRET;

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

fn read(name: &str) -> String {
    std::fs::read_to_string(docs().join(name)).expect("the file is part of the repository")
}

fn load(name: &str) -> Config {
    let env = |name: &str| (name == "TRUNKLINE_TOKEN_SECRET").then(|| SECRET.to_owned());
    Config::load(&docs().join(name), env).unwrap_or_else(|problems| panic!("{problems}"))
}

/// How the row of a key begins; what it bounds follows.
pub(super) fn row(key: &Key) -> String {
    let default = match &key.default {
        Some(default) => format!("`{default}`"),
        None if key.required => "required".to_owned(),
        None => "none".to_owned(),
    };
    let reload = effect(&key.name).name().replace('_', " ");
    format!("| `{}` | {} | {default} | {} | {reload} |", key.name, key.kind, key.range)
}

#[test]
fn every_key_is_documented_as_it_is_and_no_other_is() {
    let text = read("configuration.md");
    let documented: BTreeSet<String> = text
        .lines()
        .filter(|line| line.starts_with("| `"))
        .filter_map(|line| {
            let (start, bounds) = line.strip_suffix(" |")?.rsplit_once(" | ")?;
            assert!(bounds.len() > 10, "says nothing about what it bounds: {line}");
            Some(format!("{start} |"))
        })
        .collect();
    let known: BTreeSet<String> = keys().iter().map(row).collect();
    let missing: Vec<_> = known.difference(&documented).collect();
    let foreign: Vec<_> = documented.difference(&known).collect();
    assert!(missing.is_empty() && foreign.is_empty(), "missing: {missing:#?}\nforeign: {foreign:#?}");
}

#[test]
fn the_minimal_example_loads_without_a_warning() {
    let config = load("examples/minimal.toml");
    assert_eq!(config.endpoints.len(), 1);
    assert_eq!(config.warnings, [""; 0]);
}

#[test]
fn the_full_example_says_the_defaults() {
    let (full, minimal) = (load("examples/full.toml"), load("examples/minimal.toml"));
    assert_eq!(format!("{full:#?}"), format!("{minimal:#?}"));
}

#[test]
fn the_full_example_has_every_key_those_without_a_default_as_comments() {
    let text = read("examples/full.toml");
    let mut table = String::new();
    let mut written = BTreeSet::new();
    for line in text.lines() {
        if let Some(header) = line.strip_prefix('[') {
            let header = header.trim_end_matches(']').trim_start_matches("endpoints.lobby");
            table = header.trim_start_matches('.').to_owned();
        } else if let Some((name, _)) = line.split_once(" = ") {
            let given = !name.starts_with('#');
            let name = name.trim_start_matches("# ");
            let dot = if table.is_empty() { "" } else { "." };
            written.insert((format!("{table}{dot}{name}"), given));
        }
    }
    // What is required in a table that need not be there is a comment as the table is.
    let given = |key: &Key| key.default.is_some() || key.required && !key.name.contains(".NAME.");
    let known = keys().into_iter().map(|key| (key.name.clone(), given(&key))).collect();
    assert_eq!(written, known);
}
