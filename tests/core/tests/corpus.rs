//! Every input that the fuzzers' folders hold, replayed: what was mended once stays so.

use trunkline_core_tests::fuzz::{action, arrival, event, path, replay, scenario};

#[test]
fn scenarios_keep_the_laws() {
    replay("scenario", scenario::check);
}

#[test]
fn actions_are_read_as_serde_json_reads_them() {
    replay("action", action::check);
}

#[test]
fn events_parse_back_to_what_went_in() {
    replay("event", event::check);
}

#[test]
fn paths_find_what_an_obvious_matcher_finds() {
    replay("path", path::check);
}

#[test]
fn whoever_arrives_is_who_it_is_said_to_be_by_those_who_are_believed() {
    replay("arrival", arrival::check);
}
