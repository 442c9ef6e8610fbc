//! A relayed message allocates nothing in the core, one way and the other, once all that the machine keeps is there.

use allocation_counter::{AllocationInfo, measure};
use trunkline_core::{Binary, language};
use trunkline_core_tests::busy::{Busy, user};

const SESSIONS: u32 = 1000;
/// So many that batches and Pings come and go meanwhile.
const MESSAGES: u32 = 20_000;

/// Warm-up: whatever grows has grown by then.
fn busy() -> Busy {
    let mut busy = Busy::new(SESSIONS);
    relay(&mut busy, &(0..SESSIONS).map(user).collect::<Vec<_>>());
    busy
}

fn relay(busy: &mut Busy, users: &[String]) {
    for number in 0..MESSAGES {
        let number = number % SESSIONS;
        busy.say(busy.session(number), "hello, everybody");
        busy.send(&users[number as usize], "hello, you");
    }
}

fn expect_none(counted: AllocationInfo) {
    assert_eq!((counted.count_total, counted.bytes_total), (0, 0), "{counted:?}");
}

#[test]
fn a_relayed_message_allocates_nothing() {
    let (mut busy, users) = (busy(), (0..SESSIONS).map(user).collect::<Vec<_>>());
    let before = busy.relayed();
    expect_none(measure(|| relay(&mut busy, &users)));
    let (events, deliveries) = busy.relayed();
    let relayed = (events - before.0, deliveries - before.1);
    assert_eq!(relayed, (MESSAGES.into(), MESSAGES.into()), "all was relayed");
}

#[test]
fn an_action_without_escapes_is_decoded_without_an_allocation() {
    let frame = br#"{"action":"send","user":{"username":"ann"},"data":"hello"}"#;
    expect_none(measure(|| assert!(language::decode(frame, Binary::Text).is_ok())));
}

#[test]
fn what_allocates_is_noticed() {
    let frame = br#"{"action":"send","user":{"username":"ann"},"data":"hello\n"}"#;
    let counted = measure(|| assert!(language::decode(frame, Binary::Text).is_ok()));
    assert_eq!(counted.count_total, 1, "the text without its escape is a new one: {counted:?}");
}
