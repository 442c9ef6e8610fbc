//! The drill: why was somebody closed, by the page and the metrics alone; what is to be done, without touching anybody else;
//! and whether it is what the recording says.

use std::{fs, io::Write, path::Path};

use serde_json::{Value, json};
use trunkline::recording::replay::replay;
use trunkline_gateway_tests::rig::{Backend, Client, Gateway, Handshake, Raw, Setup, closed, opened};

/// What the backend sends in one message.
const CHUNK_BYTES: usize = 64 << 10;
/// More than fits into the sockets between a gateway and a client that does not read, and into a queue of the first setup.
const CHUNKS_MAX: usize = 2_000;

fn send(user: &str, data: &str) -> Value {
    json!({ "action": "send", "user": { "username": user }, "data": data })
}

fn setup(backend: &Backend) -> Setup {
    Setup::new(backend.address())
        .with("admin.address", "127.0.0.1:0")
        .lobby("client_queue.bytes_max", "64KiB")
}

/// The backend sends to ann, who does not read, until her queue holds more than this.
async fn fall_behind(gateway: &Gateway, backend: &Backend, bytes: u64) -> u64 {
    let chunk = "x".repeat(CHUNK_BYTES);
    for _ in 0..CHUNKS_MAX {
        backend.send(&send("ann", &chunk));
        backend.carried_out().await;
        let found = gateway.operator().get("/api/v1/sessions?user=ann").await;
        match found["sessions"][0]["queued_bytes"].as_u64() {
            Some(queued) if queued <= bytes => {}
            Some(queued) => return queued,
            None => return 0,
        }
    }
    panic!("the sockets take whatever comes");
}

#[tokio::test]
async fn an_operator_finds_out_why_somebody_was_closed_and_mends_it() {
    let mut backend = Backend::start().await;
    let before = setup(&backend);
    let gateway = Gateway::start(&before).await;
    let operator = gateway.operator();
    let mut bob = Client::enter(&gateway, "bob").await;
    backend.expect(&opened("bob")).await;
    let mut ann = Raw::connect_small(gateway.address(), 4 << 10).await;
    assert_eq!(ann.request(Handshake::of("ann").text().as_bytes()).await.status, 101);
    backend.expect(&opened("ann")).await;

    // Somebody complains: ann is thrown out again and again.
    assert_eq!(fall_behind(&gateway, &backend, u64::MAX).await, 0, "she is closed");
    backend.expect(&closed("ann")).await;

    // What the metrics say: clients are closed as too slow. What the page says, of whom, and what she was told.
    let too_slow = "trunkline_sessions_closed_total{endpoint=\"lobby\",cause=\"too_slow\"}";
    operator.until_scraped(too_slow, |closed| closed == 1.0).await;
    let closes = operator.get("/api/v1/closes?user=ann").await;
    let close = &closes["closes"][0];
    assert_eq!(
        (&close["cause"], &close["code"], &close["reason"]),
        (&json!("too_slow"), &json!(1013), &json!("client too slow"))
    );
    // The runbook of that cause names the bound, and this is what it is.
    let runbook = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operation.md"));
    let runbook = runbook.expect("it is part of the repository");
    assert!(runbook.contains("Cause `too_slow`, 1013: their queue was full (`client_queue.bytes_max`)"));
    let values = operator.get("/api/v1/configuration").await["values"].clone();
    assert_eq!(values["endpoints.lobby.client_queue.bytes_max"]["value"], "\"64KiB\"");

    // What was recorded says the same, with its cause, when it is played again.
    let recording = operator.ask("/api/v1/endpoints/lobby/recording").await;
    assert_eq!(recording.status, 200);
    let mut story = Vec::new();
    let outcome = replay(&mut recording.body.as_bytes(), Some("ann"), &mut story).expect("it is a recording");
    let story = String::from_utf8(story).expect("a story is text");
    assert_eq!(outcome.differences, 0, "{story}");
    assert!(story.contains("· ann's session is over: its client is too slow"), "{story}");
    assert!(story.contains("→ ann is closed: 1013 client too slow"), "{story}");

    // The bound is raised, and that is all that happens.
    let told = gateway
        .reload(
            &before.lobby("client_queue.bytes_max", "64MiB").lobby("client_queue.total_bytes_max", "256MiB"),
        )
        .await;
    let change = json!({
        "kind": "changed",
        "key": "endpoints.lobby.client_queue.bytes_max",
        "old": "\"64KiB\"",
        "new": "\"64MiB\"",
        "hidden": false,
        "effect": "at_once",
    });
    assert_eq!(told["changes"], json!([change]));
    backend.send(&send("bob", "nothing happened to you"));
    assert_eq!(bob.hear().await, "nothing happened to you");
    assert_eq!((backend.dials(), backend.untaken().len()), (1, 0), "the backend heard nothing of it");

    // She comes back, is as slow as before, and stays.
    let mut ann = Raw::connect_small(gateway.address(), 4 << 10).await;
    assert_eq!(ann.request(Handshake::of("ann").text().as_bytes()).await.status, 101);
    backend.expect(&opened("ann")).await;
    assert!(fall_behind(&gateway, &backend, 256 << 10).await > 256 << 10, "she is there");
    let scrape = operator.scrape().await;
    assert_eq!(scrape.figure(too_slow), 1.0, "nobody was closed since");
    assert_eq!(scrape.figure("trunkline_config_reloads_total{result=\"applied\"}"), 1.0);

    // The recording tells of the change, too.
    let recording = operator.ask("/api/v1/endpoints/lobby/recording").await;
    let mut story = std::io::Cursor::new(Vec::new());
    let outcome = replay(&mut recording.body.as_bytes(), None, &mut story).expect("it is a recording");
    story.flush().expect("it is in memory");
    let story = String::from_utf8(story.into_inner()).expect("a story is text");
    assert_eq!(outcome.differences, 0, "{story}");
    assert!(story.contains("an operator changes settings, to "), "{story}");
    assert!(story.contains("client_queue.bytes_max = 67108864 bytes"), "{story}");
}
