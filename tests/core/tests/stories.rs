//! Stories of an endpoint, each held against its transcript in `tests/core/stories/`, which reads like language.md.
//!
//! A story that is new or turns out differently fails and leaves a `.snap.new` beside the transcript. Whoever changes
//! the machine reads that against language.md, and renames it to `.snap` if the story is right (`cargo insta review`
//! does the same, and is not needed). With `INSTA_UPDATE=no`, as in CI, nothing is written.

use std::{collections::BTreeSet, fs, path::Path};

use trunkline_core::{Binary, Duplicates, Expiry, Millis, OutagePolicy, Redeliver};
use trunkline_core_tests::story::Story;

/// Holds a story against the transcript that is named like the test.
macro_rules! told {
    ($story:expr) => {{
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path("../stories");
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.bind(|| insta::assert_snapshot!($story.transcript()));
    }};
}

/// A transcript is read at once, or not at all.
const LINES_MAX: usize = 42;

#[test]
fn every_transcript_belongs_to_a_story_and_is_short() {
    let stories: BTreeSet<&str> = include_str!("stories.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("fn ")?.strip_suffix("() {"))
        .collect();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("stories");
    for entry in fs::read_dir(directory).expect("the transcripts are beside the tests") {
        let path = entry.expect("a directory's entries can be read").path();
        if path.extension().is_none_or(|extension| extension != "snap") {
            continue;
        }
        let name =
            path.file_stem().and_then(|name| name.to_str()).expect("a transcript is named like a test");
        assert!(stories.contains(name), "{name} has no story: remove its transcript");
        let lines = fs::read_to_string(&path).expect("a transcript can be read").lines().count();
        assert!(lines <= LINES_MAX, "{name} has {lines} lines: make two stories of it");
    }
}

// ---- From open to close ----------------------------------------------------------------------------------------

#[test]
fn a_client_comes_talks_and_leaves() {
    told!(
        Story::new()
            .comes("ann")
            .after(5)
            .says("ann", "hello")
            .backend(r#"{"action":"send","user":{"username":"ann"},"data":"hello"}"#)
            .backend(r#"{"action":"send","user":{"username":"ann"},"data":{"event":"chat","from":"bob"}}"#)
            .backend(r#"{"data":"","user":{"id":3,"username":"ann"},"action":"send"}"#)
            .backend(r#"{"action":"send","user":{"username":"ann"},"data":"a lone surrogate: \ud800"}"#)
            .after(5)
            .leaves("ann")
            .after(5)
            .backend(r#"{"action":"send","user":{"username":"ann"},"data":"too late"}"#)
            .after(2_000)
    );
}

#[test]
fn what_a_client_says_is_passed_exactly_and_not_parsed() {
    told!(
        Story::new()
            .comes_to("__proto__", "a/b \"c\"")
            .says("__proto__", r#"{"event":"close"}"#)
            .says("__proto__", "tab\t, NUL \0, escape \u{1b}, line\nbreak, é, 😀, /")
            .says("__proto__", "")
            .backend(r#"{"action":"send","user":{"username":"__proto__"},"data":"hello"}"#)
            .backend(r#"{"action":"send","user":{"username":"constructor"},"data":"hello"}"#)
            .is_lost("__proto__")
    );
}

#[test]
fn binary_messages_are_passed_as_text_where_they_are() {
    told!(
        Story::new()
            .comes("ann")
            .says_binary("ann", b"caf\xc3\xa9")
            .says_binary("ann", b"\xff\x00")
            .comes("bob")
            .backend_binary(br#"{"action":"send","user":{"username":"bob"},"data":"hi"}"#)
            .backend(r#"{"action":"send","user":{"username":"bob"},"data":"/wA=","encoding":"base64"}"#)
    );
}

#[test]
fn binary_messages_are_passed_in_base64_both_ways() {
    told!(
        Story::new()
            .binary(Binary::Base64)
            .comes("ann")
            .says_binary("ann", b"\xff\x00")
            .says_binary("ann", b"")
            .says("ann", "text stays text")
            .backend(r#"{"action":"send","user":{"username":"ann"},"data":"/wA=","encoding":"base64"}"#)
            .backend(r#"{"action":"send","user":{"username":"ann"},"data":"/wA="}"#)
            .backend(r#"{"action":"send","user":{"username":"ann"},"data":"/w","encoding":"base64"}"#)
            .backend(r#"{"action":"send","user":{"username":"ann"},"data":[1],"encoding":"base64"}"#)
    );
}

#[test]
fn binary_messages_are_rejected() {
    told!(Story::new().binary(Binary::Reject).comes("ann").says("ann", "text").says_binary("ann", b"text"));
}

// ---- One session per user, and the gap ---------------------------------------------------------------------------

#[test]
fn a_takeover_waits_for_the_gap_and_nobody_else_does() {
    told!(
        Story::new()
            .comes("ann")
            .after(5)
            .comes_to("ann#2", "8")
            .after(10)
            .says("ann#2", "I am back")
            .comes("bob")
            .says("bob", "me first")
            .after(100)
            .says("ann#2", "hello")
    );
}

#[test]
fn after_a_takeover_nothing_of_the_old_client_gets_through() {
    told!(
        Story::new()
            .comes("ann")
            .lingers("ann")
            .says("ann", "before")
            .after(5)
            .comes("ann#2")
            .says("ann", "after")
            .after(200)
            .says("ann", "long after")
            .leaves("ann")
            .says("ann", "from the grave")
            .backend(r#"{"action":"send","user":{"username":"ann"},"data":"to the new one"}"#)
    );
}

#[test]
fn what_the_old_client_said_before_a_takeover_goes_before_its_close() {
    told!(
        Story::with(|set| (set.link.high_bytes, set.link.low_bytes) = (150, 50))
            .comes("ann")
            .stalls_link()
            .says("ann", "one")
            .says("ann", "two")
            .says("ann", "this waits")
            .says("ann", "and this is never read")
            .after(5)
            .comes("ann#2")
            .after(5)
            .link_flows()
            .after(200)
    );
}

#[test]
fn a_duplicate_is_refused_where_the_endpoint_says_so() {
    told!(
        Story::with(|set| set.duplicates = Duplicates::Reject)
            .comes("ann")
            .after(5)
            .comes("ann#2")
            .says("ann", "I stay")
            .after(5)
            .leaves("ann")
            .after(5)
            .comes("ann#3")
            .after(200)
    );
}

#[test]
fn who_leaves_and_returns_at_once_waits_for_the_gap() {
    told!(
        Story::new()
            .comes("ann")
            .after(5)
            .leaves("ann")
            .after(1)
            .comes("ann#2")
            .says("ann#2", "back again")
            .after(99)
            .leaves("ann#2")
            .after(500)
            .comes("ann#3")
    );
}

#[test]
fn the_gap_counts_from_when_the_close_has_left() {
    told!(
        Story::new()
            .comes("ann")
            .stalls_link()
            .after(5)
            .leaves("ann")
            .comes("ann#2")
            .after(200)
            .link_flows()
            .after(200)
    );
}

#[test]
fn whom_an_operator_closes_is_told_so_and_its_backend_hears_it_after_what_was_said_before() {
    told!(
        Story::with(|settings| (settings.link.high_bytes, settings.link.low_bytes) = (150, 75))
            .comes("ann")
            .lingers("ann")
            .stalls_link()
            .says("ann", "the link is full soon: this goes out all the same, for it was said before")
            .says("ann", "and this waits")
            .is_kicked("ann")
            .is_kicked("ann")
            .link_flows()
            .after(100)
            .comes("ann#2")
    );
}

#[test]
fn of_several_takeovers_within_a_gap_only_the_last_is_announced() {
    told!(
        Story::new()
            .comes("ann")
            .after(5)
            .comes("ann#2")
            .says("ann#2", "lost")
            .after(50)
            .comes("ann#3")
            .after(30)
            .comes("ann#4")
            .says("ann#4", "the last")
            .after(200)
    );
}

#[test]
fn who_leaves_within_its_gap_is_never_heard_of() {
    told!(
        Story::new()
            .comes("ann")
            .after(5)
            .leaves("ann")
            .after(10)
            .comes("ann#2")
            .says("ann#2", "lost")
            .after(10)
            .leaves("ann#2")
            .after(2_000)
    );
}

#[test]
fn without_a_gap_a_takeover_is_announced_at_once() {
    told!(Story::with(|set| set.reopen_gap = Millis(0)).comes("ann").after(5).comes("ann#2").after(200));
}

// ---- What the backend does ---------------------------------------------------------------------------------------

#[test]
fn a_backend_closes_with_and_without_status_and_reason() {
    told!(
        Story::new()
            .comes("ann")
            .after(5)
            .backend(
                r#"{"action":"close","user":{"username":"ann"},"status":4001,"reason":"the lobby is full"}"#
            )
            .comes("bob")
            .backend(r#"{"action":"close","user":{"username":"bob"}}"#)
            .comes("cid")
            .backend(r#"{"action":"close","user":{"username":"cid"},"status":1000}"#)
            .comes("dan")
            .backend(r#"{"action":"close","user":{"username":"dan"},"status":null,"reason":"oh no"}"#)
            .comes("eve")
            .backend(r#"{"action":"close","user":{"username":"eve"},"status":1011,"reason":null}"#)
            .after(2_000)
    );
}

#[test]
fn a_status_or_reason_that_cannot_be_sent_is_mended() {
    let reason = "€".repeat(42);
    told!(
        Story::new()
            .comes("ann")
            .backend(r#"{"action":"close","user":{"username":"ann"},"status":1005}"#)
            .comes("bob")
            .backend(r#"{"action":"close","user":{"username":"bob"},"status":-1,"reason":"minus one"}"#)
            .comes("cid")
            .backend(r#"{"action":"close","user":{"username":"cid"},"status":123456789012345678901}"#)
            .comes("dan")
            .backend(&format!(
                r#"{{"action":"close","user":{{"username":"dan"}},"status":1000,"reason":"{reason}"}}"#
            ))
    );
}

#[test]
fn who_was_closed_by_the_backend_may_return_at_once() {
    told!(
        Story::new()
            .comes("ann")
            .lingers("ann")
            .after(5)
            .backend(r#"{"action":"close","user":{"username":"ann"},"status":4001,"reason":"full"}"#)
            .says("ann", "may I stay")
            .after(5)
            .comes("ann#2")
            .leaves("ann")
            .says("ann#2", "here again")
    );
}

#[test]
fn a_close_that_may_cross_a_takeover_is_answered_with_close() {
    told!(
        Story::new()
            .comes("ann")
            .after(5)
            .comes("ann#2")
            .after(1_099)
            .says("ann#2", "it has been 1099 ms since the close left")
            .comes("ann#3")
            .after(999)
            .backend(r#"{"action":"close","user":{"username":"ann"},"status":4001,"reason":"within 1 s"}"#)
            .after(500)
            .comes("ann#4")
            .after(500)
            .backend(r#"{"action":"close","user":{"username":"ann"},"status":4001,"reason":"1 s later"}"#)
            .after(2_000)
    );
}

#[test]
fn a_close_soon_after_a_second_open_is_answered_with_close() {
    told!(
        Story::new()
            .comes("ann")
            .comes("bob")
            .after(50)
            .link_breaks()
            .after(2_000)
            .backend(r#"{"action":"close","user":{"username":"bob"},"status":4001,"reason":"1 s later"}"#)
            .link_breaks()
            .after(1_000)
            .backend(r#"{"action":"close","user":{"username":"ann"},"status":4001,"reason":"within 1 s"}"#)
            .after(2_000)
    );
}

#[test]
fn a_frame_that_is_no_action_changes_nothing() {
    let deep = "[".repeat(128) + &"]".repeat(128);
    told!(
        Story::new()
            .comes("ann")
            .backend_binary(b"\xff{}")
            .backend("")
            .backend(r#"{"action":"send","user":{"username":"ann"},"data":01}"#)
            .backend(&format!(r#"{{"data":{deep}}}"#))
            .backend(r#"["send","ann"]"#)
            .backend(r#"{"Action":"send","user":{"username":"ann"},"data":"hi"}"#)
            .backend(r#"{"action":null,"user":{"username":"ann"},"data":"hi"}"#)
            .backend(r#"{"action":"shout","user":{"username":"ann"},"data":"hi"}"#)
            .backend(r#"{"action":"shout","action":"send","user":{"username":"ann"},"data":"hi"}"#)
    );
}

#[test]
fn an_action_with_a_bad_field_changes_nothing() {
    told!(
        Story::new()
            .comes("ann")
            .backend(r#"{"action":"send","data":"hi"}"#)
            .backend(r#"{"action":"send","user":"ann","data":"hi"}"#)
            .backend(r#"{"action":"send","user":{"name":"ann"},"data":"hi"}"#)
            .backend(r#"{"action":"send","user":{"username":["ann"]},"data":"hi"}"#)
            .backend(r#"{"action":"send","user":{"username":"ann"}}"#)
            .backend(r#"{"action":"close","user":{"username":"ann"},"status":"1000"}"#)
            .backend(r#"{"action":"close","user":{"username":"ann"},"status":1000.5}"#)
            .backend(r#"{"action":"close","user":{"username":"ann"},"reason":7}"#)
            .backend(r#"{"action":"send","user":{"username":"nobody"},"data":"hi"}"#)
            .backend(r#"{"action":"send","user":{"username":"ann\ud800"},"data":"hi"}"#)
            .backend(r#"{"action":"send","user":{"username":"ann"},"data":null}"#)
    );
}

#[test]
fn an_action_before_the_open_is_ignored() {
    told!(
        Story::new()
            .comes("ann")
            .after(5)
            .comes("ann#2")
            .after(50)
            .backend(r#"{"action":"send","user":{"username":"ann"},"data":"hi"}"#)
            .backend(r#"{"action":"close","user":{"username":"ann"}}"#)
            .after(50)
            .backend(r#"{"action":"send","user":{"username":"ann"},"data":"hi"}"#)
    );
}

#[test]
fn an_action_reaches_a_session_that_only_an_earlier_link_has_heard_of() {
    told!(
        Story::new()
            .comes("ann")
            .comes("bob")
            .after(100)
            .backend_vanishes()
            .link_breaks()
            .after(2_000)
            .leaves("bob")
            .holds_pongs()
            .link_up()
            .backend(r#"{"action":"send","user":{"username":"ann"},"data":"hi"}"#)
            .backend(r#"{"action":"close","user":{"username":"ann"},"status":4001,"reason":"bye"}"#)
            .returns_pongs()
            .after(2_000)
    );
}

// ---- When the backend is away ------------------------------------------------------------------------------------

#[test]
fn after_an_outage_the_owed_closes_are_confirmed_and_then_all_is_opened() {
    told!(
        Story::new()
            .comes("ann")
            .comes("bob")
            .after(100)
            .backend_vanishes()
            .link_breaks()
            .after(300)
            .comes("cid")
            .says("cid", "hello")
            .leaves("bob")
            .says("ann", "one")
            .says("ann", "two")
            .holds_pongs()
            .link_up()
            .after(50)
            .returns_pongs()
            .after(100)
    );
}

#[test]
fn clients_are_held_before_the_first_link() {
    told!(
        Story::before_the_first_link(|set| set.outage.grace = Millis(1_000))
            .comes("ann")
            .says("ann", "anybody there?")
            .after(999)
            .comes("bob")
            .after(1)
            .comes("cid")
            .link_up()
            .comes("cid")
    );
}

#[test]
fn who_came_and_left_within_an_outage_is_never_heard_of() {
    told!(
        Story::new()
            .after(100)
            .backend_vanishes()
            .link_breaks()
            .after(300)
            .comes("ann")
            .says("ann", "hello?")
            .after(100)
            .comes("ann#2")
            .leaves("ann#2")
            .after(100)
            .link_up()
            .after(2_000)
    );
}

#[test]
fn who_takes_over_in_an_outage_waits_for_the_gap_after_the_owed_close() {
    told!(
        Story::new()
            .comes("ann")
            .comes("bob")
            .after(100)
            .backend_vanishes()
            .link_breaks()
            .after(300)
            .comes_to("ann#2", "8")
            .says("ann#2", "hello?")
            .after(5_000)
            .link_up()
            .after(200)
    );
}

#[test]
fn who_ends_before_its_turn_gets_its_close_and_no_open() {
    told!(
        Story::with(|set| (set.link.high_bytes, set.link.low_bytes) = (100, 50))
            .comes("ann")
            .after(50)
            .comes("bob")
            .after(50)
            .comes("cid")
            .after(50)
            .backend_vanishes()
            .link_breaks()
            .after(500)
            .stalls_link()
            .link_up()
            .says("cid", "wait for me")
            .leaves("cid")
            .after(50)
            .link_flows()
            .after(100)
    );
}

#[test]
fn an_unconfirmed_close_is_said_again() {
    told!(
        Story::new()
            .comes("ann")
            .comes("bob")
            .after(100)
            .leaves("ann")
            .after(20)
            .holds_pongs()
            .leaves("bob")
            .after(100)
            .link_breaks()
            .after(500)
            .returns_pongs()
            .after(2_000)
    );
}

#[test]
fn owed_closes_beyond_what_the_link_takes_go_out_before_all_else() {
    told!(
        Story::with(|set| (set.link.high_bytes, set.link.low_bytes) = (100, 50))
            .comes("ann")
            .comes("bob")
            .comes("cid")
            .after(200)
            .backend_vanishes()
            .link_breaks()
            .comes("dan")
            .leaves("ann")
            .leaves("bob")
            .leaves("cid")
            .after(500)
            .stalls_link()
            .link_up()
            .after(50)
            .link_flows()
            .after(200)
    );
}

#[test]
fn a_link_that_breaks_while_it_settles_settles_again() {
    told!(
        Story::new()
            .comes("ann")
            .comes("bob")
            .after(100)
            .backend_vanishes()
            .link_breaks()
            .after(500)
            .leaves("ann")
            .holds_pongs()
            .link_up()
            .leaves("bob")
            .comes("cid")
            .after(20)
            .link_breaks()
            .returns_pongs()
            .after(2_000)
    );
}

#[test]
fn messages_that_were_not_confirmed_are_counted() {
    told!(
        Story::new()
            .comes("ann")
            .says("ann", "confirmed")
            .after(50)
            .holds_pongs()
            .says("ann", "one")
            .after(20)
            .says("ann", "two")
            .link_breaks()
            .says("ann", "three")
            .returns_pongs()
            .after(2_000)
    );
}

#[test]
fn messages_that_were_not_confirmed_are_sent_again_before_newer_ones() {
    told!(
        Story::with(|set| set.redeliver = Redeliver::Unconfirmed)
            .comes("ann")
            .says("ann", "confirmed")
            .after(50)
            .holds_pongs()
            .says("ann", "one")
            .after(20)
            .says("ann", "two")
            .link_breaks()
            .says("ann", "three")
            .returns_pongs()
            .after(2_000)
            .link_breaks()
            .after(2_000)
    );
}

#[test]
fn what_is_sent_again_waits_for_the_link_and_goes_before_anything_newer_of_anybody() {
    told!(
        Story::with(|set| {
            set.redeliver = Redeliver::Unconfirmed;
            (set.link.high_bytes, set.link.low_bytes) = (170, 100);
        })
        .comes("ann")
        .comes("bob")
        .after(50)
        .stalls_link()
        .says("ann", "one of ann")
        .says("bob", "one of bob")
        .link_breaks()
        .says("ann", "two of ann")
        .after(500)
        .link_flows()
        .after(50)
    );
}

#[test]
fn newer_messages_wait_also_for_those_that_are_sent_again_after_a_gap() {
    told!(
        Story::with(|set| {
            set.redeliver = Redeliver::Unconfirmed;
            (set.link.high_bytes, set.link.low_bytes) = (300, 150);
        })
        .comes("ann")
        .after(50)
        .comes("ann#2")
        .stalls_link()
        .after(100)
        .says("ann#2", &format!("again: {}", "m".repeat(230)))
        .link_breaks()
        .link_flows()
        .after(270)
        .comes("bob")
        .says("bob", "newer")
        .after(200)
    );
}

#[test]
fn newer_messages_that_fit_beside_those_that_are_sent_again_after_a_gap_go_at_once() {
    told!(
        Story::with(|set| set.redeliver = Redeliver::Unconfirmed)
            .comes("ann")
            .after(50)
            .comes("ann#2")
            .stalls_link()
            .after(100)
            .says("ann#2", "again")
            .link_breaks()
            .link_flows()
            .after(270)
            .comes("bob")
            .says("bob", "newer")
            .after(200)
    );
}

#[test]
fn what_waited_for_its_gap_is_not_confirmed_by_a_ping_from_before() {
    told!(
        Story::with(|set| set.redeliver = Redeliver::Unconfirmed)
            .comes("ann")
            .after(50)
            .holds_pongs()
            .comes("ann#2")
            .says("ann#2", "this waits for the gap")
            .after(100)
            .returns_pongs()
            .link_breaks()
            .after(500)
    );
}

#[test]
fn messages_of_those_who_left_are_not_sent_again() {
    told!(
        Story::with(|set| set.redeliver = Redeliver::Unconfirmed)
            .comes("ann")
            .comes("bob")
            .after(50)
            .holds_pongs()
            .says("ann", "one")
            .says("ann", "two")
            .says("bob", "mine")
            .leaves("bob")
            .backend_vanishes()
            .link_breaks()
            .says("ann", "three")
            .leaves("ann")
            .after(500)
            .returns_pongs()
            .link_up()
            .after(2_000)
    );
}

#[test]
fn when_the_backend_is_away_for_too_long_clients_are_closed_until_it_returns() {
    told!(
        Story::with(|set| (set.outage.grace, set.outage.spread) = (Millis(1_000), Millis(300)))
            .comes("ann")
            .comes("bob")
            .comes("cid")
            .after(100)
            .backend_vanishes()
            .link_breaks()
            .after(1_000)
            .comes("dan")
            .after(250)
            .link_up()
            .after(50)
            .comes("dan")
            .after(1_000)
    );
}

#[test]
fn an_outage_that_nobody_waits_through_is_silent_and_who_comes_late_is_refused() {
    told!(
        Story::with(|set| set.outage.grace = Millis(1_000))
            .backend_vanishes()
            .link_breaks()
            .after(999)
            .comes("ann")
            .leaves("ann")
            .after(1)
            .comes("bob")
            .after(20_000)
            .link_up()
            .comes("bob")
    );
}

#[test]
fn closes_that_begin_late_are_counted_from_when_they_were_due() {
    told!(
        Story::with(|set| (set.outage.grace, set.outage.spread) = (Millis(1_000), Millis(300)))
            .comes("ann")
            .comes("bob")
            .comes("cid")
            .after(100)
            .backend_vanishes()
            .link_breaks()
            .after(900)
            .oversleeps(250)
            .after(1_000)
    );
}

#[test]
fn a_link_that_breaks_before_all_is_announced_does_not_end_the_outage() {
    told!(
        Story::with(|set| (set.outage.grace, set.outage.spread) = (Millis(1_000), Millis(400)))
            .comes("ann")
            .comes("bob")
            .after(100)
            .holds_pongs()
            .link_breaks()
            .after(900)
            .backend_vanishes()
            .link_breaks()
            .after(99)
            .comes("cid")
            .after(1)
            .comes("dan")
            .after(400)
    );
}

#[test]
fn the_outage_ends_when_the_last_of_the_announced_is_confirmed() {
    told!(
        Story::new()
            .comes("ann")
            .comes("bob")
            .after(100)
            .backend_vanishes()
            .link_breaks()
            .comes("ann#2")
            .after(300)
            .link_up()
            .after(10)
            .holds_pongs()
            .after(95)
            .returns_pongs()
            .after(20)
    );
}

#[test]
fn an_endpoint_that_holds_no_clients_closes_them_at_once() {
    told!(
        Story::with(|set| {
            set.outage.policy = OutagePolicy::Close;
            set.outage.spread = Millis(200);
        })
        .comes("ann")
        .comes("bob")
        .after(100)
        .backend_vanishes()
        .link_breaks()
        .comes("cid")
        .after(200)
        .after(300)
        .link_up()
        .comes("cid")
    );
}

#[test]
fn a_link_that_answers_no_ping_is_broken() {
    told!(
        Story::with(|set| set.link.pong_timeout = Millis(30_000))
            .comes("ann")
            .after(50)
            .holds_pongs()
            .after(20_000)
            .says("ann", "still here")
            .after(25_000)
    );
}

#[test]
fn dials_wait_longer_and_longer() {
    told!(
        Story::with(|set| set.seed = 7 << 32)
            .after(50)
            .backend_refuses()
            .link_breaks()
            .after(20_000)
            .link_up()
            .after(10_000)
            .link_breaks()
            .after(10_000)
    );
}

// ---- Flow --------------------------------------------------------------------------------------------------------

#[test]
fn when_the_link_is_full_senders_are_stopped_and_go_on_in_that_order() {
    told!(
        Story::with(|set| (set.link.high_bytes, set.link.low_bytes) = (150, 50))
            .comes("ann")
            .comes("bob")
            .after(50)
            .stalls_link()
            .says("ann", "one")
            .says("ann", "two")
            .says("bob", "three")
            .says("ann", "four")
            .says("bob", "five")
            .comes("cid")
            .after(50)
            .link_flows()
            .after(50)
    );
}

#[test]
fn what_had_been_read_before_a_stop_goes_in_its_turn() {
    told!(
        Story::with(|set| (set.link.high_bytes, set.link.low_bytes) = (150, 50))
            .comes("ann")
            .after(50)
            .stalls_link()
            .says("ann", "one")
            .says("ann", "two")
            .says("ann", "three")
            .was_read("ann", "four")
            .was_read("ann", "five")
            .says("ann", "six")
            .link_flows()
            .after(50)
    );
}

#[test]
fn who_waits_for_the_link_is_read_again_when_it_breaks_but_for_who_has_parked_enough() {
    told!(
        Story::with(|set| {
            (set.link.high_bytes, set.link.low_bytes) = (150, 50);
            set.parked_bytes_max = 64 + 6;
        })
        .comes("ann")
        .comes("bob")
        .after(50)
        .stalls_link()
        .says("ann", "this fills the link")
        .says("ann", "and this does")
        .says("ann", "six by")
        .says("bob", "five")
        .backend_vanishes()
        .link_breaks()
        .says("bob", "more")
    );
}

// ---- An operator changes settings, or moves the backend ---------------------------------------------------------

#[test]
fn a_bound_that_becomes_smaller_binds_what_comes_from_then_on() {
    told!(
        Story::before_the_first_link(|_| {})
            .comes("ann")
            .comes("bob")
            .says("ann", "as much as it may be")
            .says("bob", "five")
            .changes(|set| (set.sessions_max, set.parked_bytes_max) = (1, 64 + 10))
            .says("ann", "later")
            .says("bob", "read, and the last")
            .says("bob", "later")
            .comes("cid")
            .changes(|set| set.parked_bytes_max = 64 << 10)
            .link_up()
            .after(50)
    );
}

#[test]
fn what_has_gone_out_is_sent_again_if_that_was_so_when_it_went() {
    told!(
        Story::new()
            .comes("ann")
            .after(50)
            .says("ann", "once at most")
            .changes(|set| set.redeliver = Redeliver::Unconfirmed)
            .says("ann", "once at least")
            .changes(|set| set.redeliver = Redeliver::Never)
            .says("ann", "once at most, too")
            .link_breaks()
            .after(500)
    );
}

#[test]
fn who_was_to_be_closed_is_held_where_the_grace_becomes_longer() {
    told!(
        Story::with(|set| (set.outage.grace, set.outage.spread) = (Millis(1_000), Millis(400)))
            .comes("ann")
            .comes("bob")
            .after(50)
            .backend_vanishes()
            .link_breaks()
            .after(1_200)
            .changes(|set| set.outage.grace = Millis(60_000))
            .after(1_000)
            .comes("cid")
    );
}

#[test]
fn a_gap_that_becomes_longer_holds_for_closes_that_leave_from_then_on() {
    told!(
        Story::new()
            .comes("ann")
            .after(50)
            .comes("ann#2")
            .after(10)
            .changes(|set| set.reopen_gap = Millis(500))
            .after(100)
            .comes("ann#3")
            .after(600)
    );
}

#[test]
fn a_backend_that_moves_has_confirmed_all_and_hears_no_more() {
    told!(
        Story::new()
            .comes("ann")
            .comes("bob")
            .after(50)
            .says("ann", "to the old one")
            .moves()
            .says("ann", "to the new one")
            .leaves("bob")
            .after(500)
    );
}

#[test]
fn a_backend_that_moves_and_does_not_answer_is_left_when_its_time_is_up() {
    told!(
        Story::new()
            .comes("ann")
            .after(50)
            .stalls_link()
            .says("ann", "nobody takes this")
            .moves()
            .after(2_500)
    );
}

#[test]
fn who_leaves_while_the_link_is_full_is_not_announced_after_its_gap() {
    told!(
        Story::with(|set| (set.link.high_bytes, set.link.low_bytes) = (150, 50))
            .comes("ann")
            .comes("bob")
            .after(50)
            .comes("ann#2")
            .stalls_link()
            .says("bob", "this fills the link")
            .says("bob", "and this does")
            .after(200)
            .leaves("ann#2")
            .comes("ann#3")
            .link_flows()
            .after(500)
    );
}

#[test]
fn who_is_taken_over_while_the_link_is_full_is_not_announced_after_its_gap() {
    told!(
        Story::with(|set| (set.link.high_bytes, set.link.low_bytes) = (150, 50))
            .comes("ann")
            .comes("bob")
            .after(50)
            .comes("ann#2")
            .lingers("ann#2")
            .stalls_link()
            .says("bob", "this fills the link")
            .says("bob", "and this does")
            .after(200)
            .comes("ann#3")
            .link_flows()
            .after(500)
            .leaves("ann#2")
    );
}

#[test]
fn a_backend_that_answers_no_ping_stops_its_clients() {
    told!(
        Story::with(|set| (set.link.high_bytes, set.link.low_bytes) = (250, 100))
            .comes("ann")
            .after(50)
            .holds_pongs()
            .says("ann", "one")
            .says("ann", "two")
            .says("ann", "three")
            .says("ann", "four")
            .says("ann", "five")
            .backend(r#"{"action":"send","user":{"username":"ann"},"data":"I do read"}"#)
            .after(1_000)
            .returns_pongs()
            .after(50)
    );
}

#[test]
fn who_has_parked_enough_is_not_read_from() {
    told!(
        Story::with(|set| set.parked_bytes_max = 140)
            .comes("ann")
            .after(5)
            .comes("ann#2")
            .says("ann#2", "one")
            .says("ann#2", "two")
            .says("ann#2", "three")
            .says("ann#2", "four")
            .after(5)
            .comes("bob")
            .says("bob", "not my problem")
            .after(200)
    );
}

#[test]
fn when_all_have_parked_enough_together_nobody_is_read_from() {
    told!(
        Story::with(|set| set.parked_bytes_total_max = 140)
            .comes("ann")
            .comes("bob")
            .after(50)
            .backend_vanishes()
            .link_breaks()
            .says("ann", "one")
            .says("bob", "two")
            .says("ann", "three")
            .comes("cid")
            .says("cid", "four")
            .was_read("bob", "five")
            .after(500)
            .link_up()
            .after(50)
    );
}

#[test]
fn a_client_that_does_not_read_is_closed() {
    told!(
        Story::with(|set| set.client_queue_bytes_max = 10)
            .comes("ann")
            .comes("bob")
            .stops_reading("ann")
            .backend(r#"{"action":"send","user":{"username":"ann"},"data":"12345678"}"#)
            .backend(r#"{"action":"send","user":{"username":"ann"},"data":"90"}"#)
            .backend(r#"{"action":"send","user":{"username":"bob"},"data":"123456789"}"#)
            .backend(r#"{"action":"send","user":{"username":"ann"},"data":"!"}"#)
            .backend(r#"{"action":"send","user":{"username":"ann"},"data":"gone?"}"#)
            .backend(r#"{"action":"send","user":{"username":"bob"},"data":"123456789"}"#)
    );
}

#[test]
fn when_all_queues_are_too_long_together_the_longest_goes() {
    told!(
        Story::with(|set| set.client_queue_bytes_total_max = 10)
            .comes("ann")
            .comes("bob")
            .comes("cid")
            .stops_reading("ann")
            .stops_reading("bob")
            .backend(r#"{"action":"send","user":{"username":"ann"},"data":"1234"}"#)
            .backend(r#"{"action":"send","user":{"username":"bob"},"data":"123456"}"#)
            .backend(r#"{"action":"send","user":{"username":"cid"},"data":"12"}"#)
            .reads_again("ann")
            .backend(r#"{"action":"send","user":{"username":"ann"},"data":"12345678"}"#)
    );
}

#[test]
fn of_the_longest_queues_that_of_the_oldest_client_goes() {
    told!(
        Story::with(|set| set.client_queue_bytes_total_max = 12)
            .comes("ann")
            .comes("bob")
            .comes("cid")
            .comes("dan")
            .stops_reading("ann")
            .stops_reading("bob")
            .stops_reading("cid")
            .stops_reading("dan")
            .backend(r#"{"action":"send","user":{"username":"dan"},"data":"1"}"#)
            .backend(r#"{"action":"send","user":{"username":"cid"},"data":"12345"}"#)
            .backend(r#"{"action":"send","user":{"username":"ann"},"data":"12345"}"#)
            .backend(r#"{"action":"send","user":{"username":"bob"},"data":"1"}"#)
            .backend(r#"{"action":"send","user":{"username":"dan"},"data":"2"}"#)
            .backend(r#"{"action":"send","user":{"username":"bob"},"data":"123456"}"#)
            .backend(r#"{"action":"send","user":{"username":"bob"},"data":"7"}"#)
    );
}

#[test]
fn with_no_room_for_queues_each_message_must_be_taken_before_the_next() {
    told!(
        Story::with(|set| set.client_queue_bytes_total_max = 0)
            .comes("ann")
            .backend(r#"{"action":"send","user":{"username":"ann"},"data":"one"}"#)
            .stops_reading("ann")
            .backend(r#"{"action":"send","user":{"username":"ann"},"data":"two"}"#)
            .comes("bob")
            .backend(r#"{"action":"send","user":{"username":"bob"},"data":"three"}"#)
            .backend(r#"{"action":"send","user":{"username":"ann"},"data":"four"}"#)
    );
}

// ---- Tokens ------------------------------------------------------------------------------------------------------

#[test]
fn a_session_ends_with_its_token() {
    told!(
        Story::new()
            .comes_until("ann", 1_000)
            .comes("bob")
            .after(999)
            .says("ann", "one more second")
            .after(1)
            .after(50)
            .comes_until("ann#2", 9_000)
            .after(200)
    );
}

#[test]
fn what_waits_for_the_link_when_a_token_expires_is_dropped_and_counted() {
    told!(
        Story::with(|set| (set.link.high_bytes, set.link.low_bytes) = (150, 50))
            .comes_until("ann", 100)
            .after(50)
            .stalls_link()
            .says("ann", "one")
            .says("ann", "two")
            .says("ann", "this waits")
            .after(50)
            .link_flows()
            .after(200)
    );
}

#[test]
fn a_session_may_outlive_its_token() {
    told!(
        Story::with(|set| set.expiry = Expiry::Ignore)
            .comes_until("ann", 1_000)
            .after(5_000)
            .says("ann", "still here")
    );
}

#[test]
fn tokens_expire_sooner_when_the_wall_clock_is_set_forward() {
    told!(
        Story::new()
            .comes_until("ann", 5_000)
            .comes_until("bob", 6_000)
            .after(1_000)
            .wall_clock_steps(4_500)
            .after(400)
            .wall_clock_steps(-1_000)
            .after(5_000)
    );
}

#[test]
fn a_token_that_has_expired_stays_so_when_the_wall_clock_is_set_back() {
    told!(
        Story::with(|set| set.expiry = Expiry::Ignore)
            .comes_until("ann", 5_000)
            .comes_until("bob", 6_000)
            .after(1_000)
            .wall_clock_steps(4_500)
            .wall_clock_steps(-4_500)
            .after(400)
            .changes(|set| set.expiry = Expiry::Close)
            .after(10_000)
    );
}

// ---- Limits and the end ------------------------------------------------------------------------------------------

#[test]
fn a_slot_is_free_when_its_close_is_confirmed_and_the_gap_over() {
    told!(
        Story::with(|set| set.sessions_max = 2)
            .comes("ann")
            .comes("bob")
            .after(50)
            .comes("cid")
            .comes("ann#2")
            .leaves("ann")
            .after(99)
            .comes("cid")
            .after(1)
            .comes("cid")
            .after(50)
            .holds_pongs()
            .leaves("bob")
            .after(500)
            .comes("dan")
            .returns_pongs()
            .comes("dan")
    );
}

#[test]
fn users_who_have_gone_take_no_room() {
    told!(
        Story::with(|set| set.sessions_max = 1)
            .comes("ann")
            .leaves("ann")
            .after(200)
            .comes("bob")
            .leaves("bob")
            .after(200)
            .comes("cid")
    );
}

#[test]
fn of_several_reasons_to_refuse_the_first_counts() {
    told!(
        Story::with(|set| {
            set.sessions_max = 1;
            set.duplicates = Duplicates::Reject;
            set.outage.grace = Millis(1_000);
        })
        .comes("ann")
        .after(50)
        .comes("bob")
        .comes("ann#2")
        .backend_vanishes()
        .link_breaks()
        .after(999)
        .comes("ann#2")
        .after(1)
        .comes("ann#2")
        .comes("bob")
        .drains()
        .comes("ann#2")
    );
}

#[test]
fn a_drain_confirms_each_close_before_its_client_is_closed() {
    told!(
        Story::with(|set| set.drain.time = Millis(400))
            .comes("ann")
            .comes("bob")
            .after(50)
            .drains()
            .comes("cid")
            .after(190)
            .holds_pongs()
            .after(10)
            .says("ann", "too late")
            .says("bob", "not yet")
            .after(50)
            .backend(r#"{"action":"send","user":{"username":"ann"},"data":"too late"}"#)
            .after(120)
            .returns_pongs()
            .after(5_000)
    );
}

#[test]
fn a_drain_does_not_wait_for_a_backend_that_is_away() {
    told!(
        Story::with(|set| {
            set.drain.time = Millis(1_000);
            set.drain.confirm_timeout = Millis(600);
        })
        .comes("ann")
        .comes("bob")
        .after(50)
        .backend_vanishes()
        .link_breaks()
        .comes("cid")
        .leaves("bob")
        .drains()
        .after(5_000)
    );
}

#[test]
fn a_drain_says_what_it_can_when_the_backend_returns() {
    told!(
        Story::with(|set| {
            set.drain.time = Millis(600);
            set.drain.confirm_timeout = Millis(300);
        })
        .comes("ann")
        .comes("bob")
        .after(50)
        .backend_vanishes()
        .link_breaks()
        .drains()
        .after(620)
        .link_up()
        .after(5_000)
    );
}

#[test]
fn a_drain_that_is_over_drops_what_waits_of_the_oldest_first() {
    told!(
        Story::with(|set| {
            (set.link.high_bytes, set.link.low_bytes) = (200, 100);
            set.drain.time = Millis(600);
            set.drain.confirm_timeout = Millis(300);
        })
        .comes("ann")
        .comes("bob")
        .after(50)
        .leaves("ann")
        .after(500)
        .comes("cid")
        .after(50)
        .stalls_link()
        .says("bob", "this fills the link, which takes nothing for now, and so whatever is said next has to wait for it")
        .says("bob", "one fills it")
        .says("bob", "this waits")
        .says("cid", "and so does this")
        .drains()
        .after(5_000)
    );
}

#[test]
fn a_drain_of_nobody_is_over_at_once() {
    told!(Story::new().comes("ann").leaves("ann").after(500).drains().comes("bob").after(500));
}
