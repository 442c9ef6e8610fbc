//! Every input that the fuzzers' folders hold, replayed: what was mended once stays so.

use trunkline_core_tests::fuzz::replay;
use trunkline_shell_tests::{config, frames, token, upgrade};

#[test]
fn configurations_are_taken_whole_or_refused_with_words_that_help() {
    replay("config", config::check);
}

#[test]
fn nothing_is_accepted_that_nobody_has_signed() {
    replay("token", token::check);
}

#[test]
fn frames_are_read_as_tungstenite_reads_them() {
    replay("frames", frames::check);
}

#[test]
fn requests_are_turned_away_for_what_they_lack_and_nothing_else() {
    replay("upgrade", upgrade::check);
}
