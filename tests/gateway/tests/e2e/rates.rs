//! Clients that send faster than they may, on real sockets (docs/configuration.md, `rate`), and one that would fill the
//! link alone.

use std::time::{Duration, Instant};

use tokio::time::sleep_until;
use trunkline_gateway_tests::rig::{
    Backend, Client, Gateway, Handshake, Raw, Setup, closed, masked_frame, message, opcode, opened,
};

/// What a test may see less of than the rate says: the gateway counts in milliseconds.
const GRAIN: Duration = Duration::from_millis(20);

/// Frames of texts that begin with their number, and have this length.
fn texts(count: usize, bytes: usize) -> Vec<u8> {
    (0..count).flat_map(|number| masked_frame(opcode::TEXT, text(number, bytes).as_bytes())).collect()
}

fn text(number: usize, bytes: usize) -> String {
    let mut text = format!("{number:010}");
    text.extend(std::iter::repeat_n('x', bytes - text.len()));
    text
}

async fn enter(gateway: &Gateway, user: &str) -> Raw {
    let mut raw = Raw::connect(gateway.address()).await;
    assert_eq!(raw.request(Handshake::of(user).text().as_bytes()).await.status, 101);
    raw
}

#[tokio::test]
async fn one_that_sends_too_many_messages_is_slowed_down_and_nothing_is_lost() {
    let mut backend = Backend::echo().await;
    let setup =
        Setup::new(backend.address()).lobby("rate.messages_per_second", 50).lobby("rate.burst", "200ms");
    let gateway = Gateway::start(&setup).await;
    let mut fast = enter(&gateway, "fast").await;
    backend.expect(&opened("fast")).await;
    let mut other = Client::enter(&gateway, "other").await;
    backend.expect(&opened("other")).await;

    let began = Instant::now();
    fast.write(&texts(60, 10)).await;
    // Its rate is its own.
    other.say("meanwhile").await;
    assert_eq!(other.hear().await, "meanwhile");
    for number in 0..60 {
        assert_eq!(fast.hear().await, text(number, 10));
    }
    // 10 at once, and 50 in a second.
    assert!(began.elapsed() + GRAIN >= Duration::from_secs(1), "after {:?}", began.elapsed());
    assert!(backend.take_all().iter().all(|event| event.kind() == "message"));
}

#[tokio::test]
async fn one_that_sends_too_many_bytes_is_slowed_down_within_a_message() {
    let mut backend = Backend::start().await;
    let setup =
        Setup::new(backend.address()).lobby("rate.bytes_per_second", "64KiB").lobby("rate.burst", "500ms");
    let gateway = Gateway::start(&setup).await;
    let mut fast = enter(&gateway, "fast").await;
    backend.expect(&opened("fast")).await;

    let began = Instant::now();
    fast.write(&texts(1, 96 << 10)).await;
    backend.expect(&message("fast", &text(0, 96 << 10))).await;
    // 32 KiB at once, and 64 KiB in a second.
    assert!(began.elapsed() + GRAIN >= Duration::from_secs(1), "after {:?}", began.elapsed());
}

#[tokio::test]
async fn one_that_sends_too_many_messages_is_closed_where_that_is_wanted() {
    let mut backend = Backend::start().await;
    let setup = Setup::new(backend.address())
        .lobby("rate.messages_per_second", 10)
        .lobby("rate.burst", "1s")
        .lobby("rate.on_excess", "close");
    let gateway = Gateway::start(&setup).await;
    let mut fast = enter(&gateway, "fast").await;
    backend.expect(&opened("fast")).await;

    fast.write(&texts(100, 10)).await;
    assert_eq!(fast.closed().await, (1008, "rate limit exceeded".to_owned()));
    backend.until("close", |events| events.iter().any(|event| event.text == closed("fast"))).await;
    let events = backend.take_all();
    let (last, messages) = events.split_last().expect("there are some");
    assert_eq!(last.text, closed("fast"));
    // What came within its rate has arrived; a loaded machine may have let it send a few more.
    assert!((10..100).contains(&messages.len()), "{} messages", messages.len());
    for (number, event) in messages.iter().enumerate() {
        assert_eq!(event.text, message("fast", &text(number, 10)));
    }
}

#[tokio::test]
async fn one_that_sends_too_many_bytes_is_closed_where_that_is_wanted() {
    let mut backend = Backend::start().await;
    let setup = Setup::new(backend.address())
        .lobby("message_bytes_max", "16KiB")
        .lobby("rate.bytes_per_second", "32KiB")
        .lobby("rate.burst", "1s")
        .lobby("rate.on_excess", "close");
    let gateway = Gateway::start(&setup).await;
    let mut fast = enter(&gateway, "fast").await;
    backend.expect(&opened("fast")).await;

    // What comes after the excess is thrown away, and the close frame is not lost by it.
    fast.write(&texts(40, 8 << 10)).await;
    assert_eq!(fast.closed().await, (1008, "rate limit exceeded".to_owned()));
    backend.until("close", |events| events.iter().any(|event| event.text == closed("fast"))).await;
}

#[tokio::test]
async fn pings_and_pongs_are_not_free() {
    let mut backend = Backend::start().await;
    let setup = Setup::new(backend.address())
        .lobby("rate.messages_per_second", 10)
        .lobby("rate.burst", "1s")
        .lobby("rate.on_excess", "close");
    let gateway = Gateway::start(&setup).await;
    for (user, kind) in [("pings", opcode::PING), ("pongs", opcode::PONG)] {
        let mut fast = enter(&gateway, user).await;
        backend.expect(&opened(user)).await;
        fast.write(&masked_frame(kind, b"!").repeat(50)).await;
        assert_eq!(fast.closed().await, (1008, "rate limit exceeded".to_owned()), "{user}");
        backend.expect(&closed(user)).await;
    }
}

#[tokio::test]
async fn what_waited_while_the_backend_was_away_closes_nobody() {
    // In this time the rate brings more than is sent; a burst alone is less.
    const AWAY: Duration = Duration::from_millis(500);
    let mut backend = Backend::absent(false);
    let setup = Setup::new(backend.address())
        .lobby("parked.bytes_max", "1KiB")
        .lobby("rate.messages_per_second", 100)
        .lobby("rate.burst", "100ms")
        .lobby("rate.on_excess", "close");
    let gateway = Gateway::start(&setup).await;
    let mut ann = enter(&gateway, "ann").await;
    // It is read from until a few of them are parked; the rest waits.
    ann.write(&texts(30, 200)).await;
    sleep_until(tokio::time::Instant::now() + AWAY).await;
    backend.listen();
    backend.expect(&opened("ann")).await;
    for number in 0..30 {
        backend.expect(&message("ann", &text(number, 200))).await;
    }
}

#[tokio::test]
async fn one_that_is_closed_for_sending_too_much_cannot_hide_behind_its_share_of_the_link() {
    let mut backend = Backend::start().await;
    let setup = Setup::new(backend.address())
        .lobby("link.client_share", "1KiB")
        .lobby("rate.messages_per_second", 10)
        .lobby("rate.burst", "10s")
        .lobby("rate.on_excess", "close");
    let gateway = Gateway::start(&setup).await;
    let mut fast = enter(&gateway, "fast").await;
    backend.expect(&opened("fast")).await;
    // It is stopped for its share again and again before it has sent too much.
    fast.write(&texts(1_000, 50)).await;
    assert_eq!(fast.closed().await, (1008, "rate limit exceeded".to_owned()));
}

#[tokio::test]
async fn one_that_is_slowed_down_is_neither_idle_nor_silent() {
    let mut backend = Backend::start().await;
    let setup = Setup::new(backend.address())
        .lobby("rate.messages_per_second", 2)
        .lobby("rate.burst", "500ms")
        .lobby("keepalive.interval", "100ms")
        .lobby("keepalive.timeout", "100ms")
        .lobby("idle_timeout", "200ms");
    let gateway = Gateway::start(&setup).await;
    let mut slow = enter(&gateway, "slow").await;
    backend.expect(&opened("slow")).await;
    slow.write(&texts(4, 10)).await;
    for number in 0..4 {
        backend.expect(&message("slow", &text(number, 10))).await;
    }
}

#[tokio::test]
async fn a_client_that_has_had_its_share_of_the_link_goes_on_and_nothing_is_lost() {
    let mut backend = Backend::echo().await;
    let setup = Setup::new(backend.address()).lobby("link.client_share", "1KiB");
    let gateway = Gateway::start(&setup).await;
    let mut fast = enter(&gateway, "fast").await;
    backend.expect(&opened("fast")).await;
    let mut other = Client::enter(&gateway, "other").await;
    backend.expect(&opened("other")).await;
    fast.write(&texts(500, 100)).await;
    other.say("meanwhile").await;
    assert_eq!(other.hear().await, "meanwhile");
    for number in 0..500 {
        assert_eq!(fast.hear().await, text(number, 100));
    }
}
