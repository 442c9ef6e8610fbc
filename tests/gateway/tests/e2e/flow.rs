//! Whoever does not read is waited for, or closed, and nobody else notices (language.md, "Clients that are too slow",
//! and "Confirmation").

use std::fs;

use futures_util::future::join_all;
use serde_json::json;
use tokio::{io::AsyncWriteExt, time::Instant};
use trunkline_gateway_tests::rig::{
    Backend, Client, Event, Gateway, Handshake, Raw, Setup, closed, masked_frame, opcode, opened,
};

/// Socket buffers of the test's own sides. The system doubles what is asked for.
const BUFFER_BYTES: u32 = 64 << 10;
/// For how long the backend does not read.
const DEAF: std::time::Duration = std::time::Duration::from_secs(2);

/// The most that a socket buffer may come to measure: the third number in `/proc/sys/net/ipv4/tcp_rmem` or `tcp_wmem`.
fn largest(buffer: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/sys/net/ipv4/{buffer}")).expect("this is Linux");
    text.split_whitespace().nth(2).and_then(|most| most.parse().ok()).expect("there are three numbers")
}

#[tokio::test]
async fn while_the_backend_does_not_read_clients_are_stopped_and_then_everything_arrives_in_order() {
    const CLIENTS: u64 = 2;
    const MESSAGE_BYTES: u64 = 32 << 10;
    const HIGH_BYTES: u64 = 256 << 10;
    const PARKED_BYTES: u64 = 64 << 10;
    let mut backend = Backend::absent(false).with_receive_buffer(BUFFER_BYTES);
    backend.listen();
    let setup = Setup::new(backend.address())
        .lobby("link.queue_high", HIGH_BYTES)
        .lobby("link.queue_low", HIGH_BYTES / 2)
        .lobby("parked.bytes_max", PARKED_BYTES);
    let gateway = Gateway::start(&setup).await;
    gateway.link_is("up").await;
    // What fits into the gateway and into all buffers around it. An event is a little larger than its message.
    let link = HIGH_BYTES + 2 * MESSAGE_BYTES + largest("tcp_wmem") + 2 * u64::from(BUFFER_BYTES);
    let each = PARKED_BYTES + 2 * MESSAGE_BYTES + largest("tcp_rmem") + 2 * u64::from(BUFFER_BYTES);
    let bound = link + CLIENTS * each;
    let messages = (bound / MESSAGE_BYTES).div_ceil(CLIENTS) + 64;

    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        let user = format!("user-{number}");
        let mut raw = Raw::connect_small(gateway.address(), BUFFER_BYTES).await;
        assert_eq!(raw.request(Handshake::of(&user).text().as_bytes()).await.status, 101);
        backend.expect(&opened(&user)).await;
        clients.push(raw);
    }
    backend.reads(false);
    let written = std::cell::Cell::new(0u64);
    let sending = join_all(clients.iter_mut().map(|raw| {
        let written = &written;
        async move {
            for number in 0..messages {
                let text = format!("{number:0width$}", width = MESSAGE_BYTES as usize);
                let frame = masked_frame(opcode::TEXT, text.as_bytes());
                let mut rest = &frame[..];
                while !rest.is_empty() {
                    let bytes = raw.stream().write(rest).await.expect("the connection is open");
                    written.set(written.get() + bytes as u64);
                    rest = &rest[bytes..];
                }
            }
        }
    }));
    let hearing = async {
        tokio::time::sleep_until(Instant::now() + DEAF).await;
        let stopped_at = written.get();
        assert!(stopped_at <= bound, "{stopped_at} bytes were taken, {bound} fit");
        backend.reads(true);
        let mut next = [0; CLIENTS as usize];
        for _ in 0..CLIENTS * messages {
            let event = backend.next_event().await;
            let index: usize = event.user()[5..].parse().expect("it ends in a number");
            let number: u64 = event.data().parse().expect("it is a number");
            assert_eq!((event.kind(), number), ("message", next[index]), "of {}", event.user());
            next[index] += 1;
        }
    };
    tokio::join!(sending, hearing);
    assert_eq!(backend.dials(), 1);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_closed_and_the_echo_of_another_goes_on() {
    const QUEUE_BYTES: u64 = 256 << 10;
    let mut backend = Backend::echo().await;
    let setup = Setup::new(backend.address())
        .lobby("client_queue.bytes_max", QUEUE_BYTES)
        .lobby("close_timeout", "30s");
    let gateway = Gateway::start(&setup).await;
    let mut deaf = Raw::connect_small(gateway.address(), BUFFER_BYTES).await;
    assert_eq!(deaf.request(Handshake::of("deaf").text().as_bytes()).await.status, 101);
    backend.expect(&opened("deaf")).await;
    let mut bob = Client::enter(&gateway, "bob").await;
    backend.expect(&opened("bob")).await;

    // Far more than fits, in steps, so that the other's echo is measured amidst it.
    let text = "x".repeat(32 << 10);
    let action = json!({ "action": "send", "user": { "username": "deaf" }, "data": text });
    let is_closed = |events: &[Event]| events.iter().any(|event| event.text == closed("deaf"));
    let bound = QUEUE_BYTES + largest("tcp_wmem") + 2 * u64::from(BUFFER_BYTES) + (64 << 10);
    let mut sent = 0;
    while !is_closed(&backend.events()) {
        // A few more may be on their way while the close is.
        assert!(sent <= 2 * bound, "not closed though {sent} bytes were sent");
        for _ in 0..8 {
            backend.send(&action);
            sent += text.len() as u64;
        }
        bob.say("meanwhile").await;
        assert_eq!(bob.hear().await, "meanwhile");
    }

    let mut heard = 0;
    let code = loop {
        match deaf.frame().await.expect("a close frame comes") {
            (opcode::TEXT, payload) => {
                assert!(payload == text.as_bytes(), "every frame is whole");
                heard += payload.len() as u64;
            }
            (opcode::CLOSE, payload) => break u16::from_be_bytes([payload[0], payload[1]]),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(code, 1013);
    assert!(heard <= bound, "{heard} bytes were kept for it");
}

#[tokio::test]
async fn when_too_much_waits_for_all_clients_together_the_one_with_the_most_is_closed() {
    let mut backend = Backend::echo().await;
    let setup = Setup::new(backend.address())
        .lobby("client_queue.bytes_max", "128KiB")
        .lobby("client_queue.total_bytes_max", "128KiB");
    let gateway = Gateway::start(&setup).await;
    let mut deaf = Raw::connect_small(gateway.address(), BUFFER_BYTES).await;
    assert_eq!(deaf.request(Handshake::of("deaf").text().as_bytes()).await.status, 101);
    backend.expect(&opened("deaf")).await;
    let mut bob = Client::enter(&gateway, "bob").await;
    backend.expect(&opened("bob")).await;

    let action = json!({ "action": "send", "user": { "username": "deaf" }, "data": "x".repeat(32 << 10) });
    while !backend.events().iter().any(|event| event.text == closed("deaf")) {
        backend.send(&action);
        bob.say("meanwhile").await;
        assert_eq!(bob.hear().await, "meanwhile");
    }
    assert_eq!(deaf.closed().await.0, 1013);
}
