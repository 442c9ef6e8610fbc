//! Clients that are hostile, slow or gone, on real sockets, while a well-behaved one is served throughout.
//!
//! What stands elsewhere: a request that stops in its middle, or has too many headers (`handshake.rs`); frames that
//! come a byte at a time, and each breach of RFC 6455 with its close code (`messages.rs`); a client that does not
//! read what it is sent (`flow.rs`); one that answers no Ping any more, as one does whose machine has vanished
//! (`life.rs`); one that is slow to close while its user comes back (`takeover.rs`). Steps of the wall clock
//! are tried where a clock can be set: the story `tokens_expire_sooner_when_the_wall_clock_is_set_forward`, scenarios and
//! the worlds `Clock` in `tests/core`, and `tests/simulation`, which sets it both ways under a whole gateway.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use serde_json::json;
use tokio::{io::AsyncWriteExt, time::sleep};
use trunkline_gateway_tests::rig::{
    Backend, Bystander, Client, Event, Gateway, Handshake, Process, Program, Raw, Setup, closed,
    masked_frame, message, opcode, opened, within,
};

/// Between the bytes of who is slow.
const PACE: Duration = Duration::from_millis(20);

/// A gateway before an echo, with a bystander.
async fn scene(setup: impl Fn(Setup) -> Setup) -> (Backend, Gateway, Bystander) {
    let backend = Backend::echo().await;
    let gateway = Gateway::start(&setup(Setup::new(backend.address()))).await;
    let bystander = Bystander::of(Client::enter(&gateway, "bystander").await);
    (backend, gateway, bystander)
}

/// Lets users in, as soon as there is a place.
async fn enters(gateway: &Gateway, user: &str) -> Raw {
    let entering = async {
        loop {
            let (raw, answer) = Handshake::of(user).ask(gateway.address()).await;
            match answer.status {
                101 => return raw,
                status => assert_eq!(status, 429),
            }
        }
    };
    within(&format!("there is a place for {user}"), entering).await
}

#[tokio::test]
async fn a_handshake_that_comes_a_byte_at_a_time_is_let_in() {
    let (mut backend, gateway, mut bystander) = scene(|setup| setup).await;
    backend.expect(&opened("bystander")).await;
    let mut raw = Raw::connect(gateway.address()).await;
    for byte in Handshake::of("ann").text().bytes() {
        raw.write(&[byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(raw.answer().await.status, 101);
    raw.say("slowly").await;
    assert_eq!(raw.hear().await, "slowly");
    bystander.served().await;
    bystander.leaves().await;
}

#[tokio::test]
async fn handshakes_that_drip_or_say_nothing_are_cut_in_time_and_others_are_let_in_meanwhile() {
    let (_backend, gateway, bystander) = scene(|setup| setup.with("limits.handshake_timeout", "500ms")).await;
    // None of these comes to an end by itself within the test's deadline.
    let slow = (0..40).map(|number| {
        let address = gateway.address();
        async move {
            let mut raw = Raw::connect(address).await;
            let text = Handshake::of("slow").with("X", &"x".repeat(10_000)).text();
            let text = if number % 2 == 0 { text } else { String::new() };
            for byte in text.bytes() {
                if raw.stream().write_all(&[byte]).await.is_err() {
                    return;
                }
                sleep(PACE).await;
            }
            raw.ended().await;
        }
    });
    let newcomers = async {
        for number in 0..5 {
            let mut client = Client::enter(&gateway, &format!("newcomer-{number}")).await;
            client.say("hello").await;
            assert_eq!(client.hear().await, "hello");
        }
    };
    within("all are cut", async { tokio::join!(join_all(slow), newcomers) }).await;
    bystander.leaves().await;
}

#[tokio::test]
async fn a_thousand_silent_connections_keep_nobody_out_for_longer_than_their_handshake_may_take() {
    let (_backend, gateway, mut bystander) =
        scene(|setup| setup.with("limits.handshake_timeout", "1s")).await;
    let mut silent = Vec::new();
    for _ in 0..1_100 {
        silent.push(Raw::connect(gateway.address()).await);
    }
    bystander.served().await;
    let mut ann = within("ann is let in", Client::enter(&gateway, "ann")).await;
    ann.say("hello").await;
    assert_eq!(ann.hear().await, "hello");
    for raw in &mut silent {
        raw.ended().await;
    }
    bystander.leaves().await;
}

#[tokio::test]
async fn a_client_that_never_ends_a_close_is_cut_once_its_time_is_over_and_its_place_is_free() {
    let (mut backend, gateway, mut bystander) =
        scene(|setup| setup.with("limits.connections_max", 2).lobby("close_timeout", "300ms")).await;
    backend.until("the bystander's open", |events| !events.is_empty()).await;
    let close = masked_frame(opcode::CLOSE, &1000u16.to_be_bytes());
    for (what, first, goes_on) in [
        ("closed by its backend, and silent", vec![], false),
        ("closed by its backend, and talking", vec![], true),
        ("closed by itself, and staying", close, false),
        ("told that it broke the protocol, and silent", b"\x83\x80\0\0\0\0".to_vec(), false),
        ("told that it broke the protocol, and talking", b"\x83\x80\0\0\0\0".to_vec(), true),
    ] {
        let mut raw = enters(&gateway, what).await;
        backend.until(what, |events| events.iter().any(|event| event.is("open", what))).await;
        if first.is_empty() {
            backend.send(&json!({ "action": "close", "user": { "username": what }, "status": 4000 }));
        } else {
            raw.write(&first).await;
        }
        // It reads nothing. Its place is free once its connection has ended.
        let talking = async {
            while goes_on && raw.stream().write_all(&masked_frame(opcode::TEXT, b"and")).await.is_ok() {
                sleep(PACE).await;
            }
        };
        let user = format!("after {what}");
        let (next, ()) = tokio::join!(enters(&gateway, &user), talking);
        drop(next);
        bystander.served().await;
    }
    bystander.leaves().await;
    assert_eq!(backend.take_all().iter().filter(|event| event.link > 0).count(), 0, "the link is the same");
}

#[tokio::test]
async fn thousands_that_open_and_drop_leave_no_session_and_take_no_place() {
    const PLACES: usize = 8;
    let (backend, gateway, mut bystander) = scene(|setup| setup.with("limits.connections_max", PLACES)).await;
    for number in 0..3_000 {
        let mut raw = Raw::connect(gateway.address()).await;
        let request = Handshake::of(&format!("ghost-{}", number % 100)).text();
        match number % 6 {
            // It says nothing, or half of it, or all of it and no more, or something else.
            0 => {}
            1 => raw.write(&request.as_bytes()[..request.len() / 2]).await,
            2 | 3 => raw.write(request.as_bytes()).await,
            4 => drop(raw.request(request.as_bytes()).await),
            _ => raw.write(b"\x16\x03\x01").await,
        }
        if number % 2 == 0 {
            raw.stream().set_zero_linger().expect("the socket is open");
        }
    }
    bystander.served().await;

    let mut all = Vec::new();
    for number in 1..PLACES {
        all.push(enters(&gateway, &format!("user-{number}")).await);
    }
    assert_eq!(Handshake::of("one too many").refused(&gateway).await.status, 429);
    let is_over = |events: &[Event]| {
        let count = |kind| events.iter().filter(|event| event.kind() == kind).count();
        count("open") == count("close") + PLACES
    };
    backend.until("a close for every open but theirs", is_over).await;
    bystander.leaves().await;
    assert_eq!(backend.dials(), 1);
}

#[tokio::test]
async fn pings_of_a_client_that_does_not_read_fill_no_queue_and_the_last_one_is_answered() {
    const BUFFER_BYTES: u32 = 16 << 10;
    const PINGS: u32 = 150_000;
    let ping = |number: u32| {
        let mut payload = [b'p'; 125];
        payload[..4].copy_from_slice(&number.to_be_bytes());
        masked_frame(opcode::PING, &payload)
    };
    let (_backend, gateway, mut bystander) = scene(|setup| setup).await;
    let mut raw = Raw::connect_small(gateway.address(), BUFFER_BYTES).await;
    assert_eq!(raw.request(Handshake::of("ann").text().as_bytes()).await.status, 101);

    for first in (0..PINGS).step_by(500) {
        let pings: Vec<u8> = (first..first + 500).flat_map(ping).collect();
        raw.write(&pings).await;
    }
    bystander.served().await;

    let mut pongs: u64 = 0;
    let answering = async {
        loop {
            let (kind, payload) = raw.frame().await.expect("the connection is open");
            assert_eq!((kind, payload.len()), (opcode::PONG, 125));
            pongs += 1;
            if payload[..4] == (PINGS - 1).to_be_bytes() {
                return;
            }
        }
    };
    within("the last one is answered", answering).await;
    // What waited for it is what fits into the sockets, and one.
    let sockets = largest("tcp_wmem") + 4 * u64::from(BUFFER_BYTES);
    assert!(pongs * 127 <= sockets, "{pongs} pongs were kept");
    assert!(u64::from(PINGS) * 127 > 2 * sockets, "enough were sent to tell");
    raw.say("still here").await;
    assert_eq!(raw.hear().await, "still here");
    bystander.leaves().await;
}

/// The most that a socket buffer may come to measure: the third number in `/proc/sys/net/ipv4/tcp_wmem`.
fn largest(buffer: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/sys/net/ipv4/{buffer}")).expect("this is Linux");
    text.split_whitespace().nth(2).and_then(|most| most.parse().ok()).expect("there are three numbers")
}

#[tokio::test]
async fn a_gateway_without_free_descriptors_serves_who_is_there_and_lets_others_in_once_it_has_some() {
    const DESCRIPTORS: u32 = 64;
    let mut backend = Backend::echo().await;
    let setup = Setup::new(backend.address()).with("limits.handshake_timeout", "5m");
    let program = Program::library(Path::new(env!("CARGO_BIN_EXE_trunkline-hostile")));
    let mut gateway = Process::start(&program, &setup, Some(DESCRIPTORS)).await;
    let client = Handshake::of("bystander").enter_at(gateway.address()).await.into_client().await;
    let mut bystander = Bystander::of(client);
    backend.expect(&opened("bystander")).await;

    let began = Instant::now();
    // More than there are descriptors: some wait to be accepted.
    let mut crowd = Vec::new();
    for _ in 0..2 * DESCRIPTORS {
        crowd.push(Raw::connect(gateway.address()).await);
    }
    gateway.says("that it cannot accept", |line| line.contains("cannot accept")).await;
    let open = gateway.descriptors().expect("it runs");
    assert!(open >= DESCRIPTORS as usize, "{open} descriptors are all");
    // Time in which it tries again and again: the bystander's.
    let before = bystander.trips();
    while bystander.trips() < before + 500 {
        bystander.served().await;
    }
    let complaints = gateway.log().iter().filter(|line| line.contains("cannot accept")).count();
    let most = 2 + began.elapsed().as_secs() / 10;
    assert!(complaints as u64 <= most, "it says so every ten seconds, and not {complaints} times");

    crowd.clear();

    let mut ann = Handshake::of("ann").enter_at(gateway.address()).await;
    ann.say("hello").await;
    assert_eq!(ann.hear().await, "hello");
    let _: Vec<_> = join_all((0..20).map(|number| {
        let address = gateway.address();
        async move { Handshake::of(&format!("user-{number}")).enter_at(address).await }
    }))
    .await;
    bystander.leaves().await;
    backend
        .until("the bystander's close", |events| events.iter().any(|e| e.text == closed("bystander")))
        .await;
    assert_eq!((backend.dials(), gateway.ended()), (1, None));
}

#[tokio::test]
async fn a_link_that_breaks_while_there_are_no_descriptors_is_dialled_again_once_there_are() {
    const DESCRIPTORS: u32 = 64;
    let mut backend = Backend::echo().await;
    let setup = Setup::new(backend.address()).with("limits.handshake_timeout", "5m");
    let program = Program::library(Path::new(env!("CARGO_BIN_EXE_trunkline-hostile")));
    let gateway = Process::start(&program, &setup, Some(DESCRIPTORS)).await;
    let mut ann = Handshake::of("ann").enter_at(gateway.address()).await;
    backend.expect(&opened("ann")).await;
    let mut crowd = Vec::new();
    for _ in 0..2 * DESCRIPTORS {
        crowd.push(Raw::connect(gateway.address()).await);
    }
    gateway.says("that it cannot accept", |line| line.contains("cannot accept")).await;

    // One who waits takes the descriptor that the link had, sooner or later.
    backend.stop_listening().await;
    backend.cut();
    gateway
        .says("that it cannot dial", |line| line.contains("no link") && line.contains("Too many open files"))
        .await;
    ann.say("held").await;
    backend.listen();
    crowd.clear();

    let event = backend.expect(&opened("ann")).await;
    assert_eq!(event.link, 1);
    backend.expect(&message("ann", "held")).await;
    assert_eq!(ann.hear().await, "held");
}
