//! `trunkline conformance`: backends that are as they should be pass, and of others each fault is named.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::ErrorKind,
    net::SocketAddr,
    time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    task::LocalSet,
};
use tokio_tungstenite::{
    accept_async_with_config,
    tungstenite::{
        Message,
        protocol::{CloseFrame, WebSocketConfig, frame::coding::CloseCode},
    },
};
use trunkline::{
    config::ServerUrl,
    conformance::{self, Plan, Report, Verdict},
};
use trunkline_core::Binary;
use trunkline_gateway_tests::rig::Backend;

// --- Backends ---

/// What a scripted backend knows.
#[derive(Default)]
struct Memory {
    users: BTreeSet<String>,
    /// All of whom it ever heard.
    ever: BTreeSet<String>,
    /// Of a user: a `close` that it has not got round to.
    late: BTreeMap<String, bool>,
}

/// What it does when it hears an event; `Close` ends the link.
type Script = fn(&mut Memory, &Value) -> Vec<Message>;

/// A backend that follows a script on every link, and forgets nothing.
async fn scripted(script: Script) -> SocketAddr {
    serve(
        move |stream, memory| async move { follow(stream, memory, script, WebSocketConfig::default()).await },
    )
    .await
}

/// A backend that serves each link in turn, with the memory of the last.
async fn serve<F>(link: impl Fn(TcpStream, Memory) -> F + 'static) -> SocketAddr
where
    F: Future<Output = Memory> + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
    let address = listener.local_addr().expect("it is bound");
    tokio::task::spawn_local(async move {
        let mut memory = Memory::default();
        while let Ok((stream, _)) = listener.accept().await {
            memory = link(stream, memory).await;
        }
    });
    address
}

async fn follow(stream: TcpStream, mut memory: Memory, script: Script, config: WebSocketConfig) -> Memory {
    let Ok(mut socket) = accept_async_with_config(stream, Some(config)).await else { return memory };
    while let Some(Ok(heard)) = socket.next().await {
        let Message::Text(text) = heard else { continue };
        let event = serde_json::from_str(&text).expect("an event is JSON");
        for message in script(&mut memory, &event) {
            // A link that has broken is noticed when it is read.
            let _ = socket.send(message).await;
        }
    }
    memory
}

fn user(event: &Value) -> &str {
    event["user"]["username"].as_str().expect("each event has a user")
}

fn send(user: &str, data: &str) -> Message {
    Message::text(json!({ "action": "send", "user": { "username": user }, "data": data }).to_string())
}

fn crash() -> Vec<Message> {
    vec![Message::Close(Some(CloseFrame { code: CloseCode::Error, reason: "".into() }))]
}

/// What is right: it echoes.
fn echo(memory: &mut Memory, event: &Value) -> Vec<Message> {
    let user = user(event);
    match event["event"].as_str() {
        Some("open") => drop(memory.users.insert(user.to_owned())),
        Some("close") => drop(memory.users.remove(user)),
        Some("message") if memory.users.contains(user) => {
            return vec![send(user, event["data"].as_str().unwrap_or_default())];
        }
        _ => {}
    }
    Vec::new()
}

/// As it should, and besides `says` where it hears a message.
fn besides(memory: &mut Memory, event: &Value, says: impl FnOnce(&str) -> Message) -> Vec<Message> {
    let mut messages = echo(memory, event);
    if event["event"] == "message" {
        messages.push(says(user(event)));
    }
    messages
}

// --- What is found ---

/// What comes of looking at `check`, and at what it rests on.
async fn look(backend: impl Future<Output = SocketAddr>, check: &str) -> Report {
    look_with(backend, &[check], |_| {}).await
}

async fn look_with(
    backend: impl Future<Output = SocketAddr>,
    only: &[&str],
    change: impl FnOnce(&mut Plan),
) -> Report {
    LocalSet::new()
        .run_until(async {
            let url = format!("ws://{}/", backend.await);
            let mut plan = plan(&url);
            plan.only = only.iter().map(|name| (*name).to_owned()).collect();
            change(&mut plan);
            conformance::run(&plan).await
        })
        .await
}

fn plan(url: &str) -> Plan {
    let backend = ServerUrl::websocket(url).expect("it is a URL");
    let plan = Plan::new(backend, None).expect("it needs no CA");
    Plan { reopen_gap: Duration::from_millis(5), ..plan }
}

/// The faults of a check by their names, each with its frame.
fn faults(report: &Report, check: &str) -> Vec<(&'static str, String)> {
    let check = report.checks.iter().find(|found| found.name == check).expect("it was looked at");
    let name = |found: &conformance::Found| (found.fault.name(), found.frame.clone().unwrap_or_default());
    check.found.iter().map(name).collect()
}

/// Expects this fault, and no other, in this check.
#[track_caller]
fn expect(report: &Report, check: &str, fault: &str, frame: &str) {
    let found = faults(report, check);
    assert!(!report.passed(), "{report}");
    assert!(
        matches!(&found[..], [(name, shown)] if *name == fault && shown.contains(frame)),
        "{found:?}\n{report}"
    );
}

fn verdict(report: &Report, check: &str) -> Verdict {
    report.checks.iter().find(|found| found.name == check).expect("it was looked at").verdict
}

#[tokio::test]
async fn a_backend_that_is_as_it_should_be_passes_all_of_it() {
    let report = look_with(scripted(echo), &[], |plan| plan.binary = Binary::Base64).await;
    // It echoes base64 as text, which every endpoint takes.
    assert!(report.checks.iter().all(|check| check.verdict == Verdict::Passed), "{report}");
    assert_eq!(report.checks.len(), conformance::names().count());
    assert_eq!(report.json()["passed"], true);
}

#[tokio::test]
async fn the_backend_of_the_other_tests_passes_over_its_own_path() {
    let backend = Backend::echo().await;
    let report = LocalSet::new()
        .run_until(async { conformance::run(&plan(&format!("ws://{}", backend.address()))).await })
        .await;
    assert!(report.passed(), "{report}");
    assert_eq!(verdict(&report, "binary"), Verdict::NotJudged);
}

#[tokio::test]
async fn of_one_that_says_nothing_it_is_said_what_cannot_be_judged() {
    let report = look_with(scripted(|_, _| Vec::new()), &["names", "takeover", "break"], |_| {}).await;
    assert!(report.passed(), "{report}");
    assert_eq!(verdict(&report, "names"), Verdict::Passed);
    assert_eq!([verdict(&report, "takeover"), verdict(&report, "break")], [Verdict::NotJudged; 2]);
    assert!(report.to_string().contains("it does not answer \"hello\""), "{report}");
}

#[tokio::test]
async fn every_kind_of_bad_action_is_named_with_its_frame() {
    let cases: [(Script, &str, &str); 8] = [
        (|m, e| besides(m, e, |_| Message::text("oops\u{7}")), "bad_action", r"oops\u{7}"),
        (|m, e| besides(m, e, |_| Message::binary(b"\xff".to_vec())), "bad_action", "\u{fffd}"),
        (|m, e| besides(m, e, |_| Message::text("[]")), "bad_action", "[]"),
        (
            |m, e| {
                besides(m, e, |u| {
                    Message::text(json!({ "action": "send", "user": u, "data": 1 }).to_string())
                })
            },
            "bad_action",
            r#""user":"ann""#,
        ),
        (|m, e| besides(m, e, |_| Message::text(r#"{"action":"shout"}"#)), "bad_action", "shout"),
        (|m, e| besides(m, e, |_| send("Ann", "hi")), "unknown_user", "Ann"),
        (
            |m, e| {
                besides(m, e, |_| {
                    Message::text(r#"{"action":"close","user":{"username":"ann"},"status":1006}"#)
                })
            },
            "status",
            "1006",
        ),
        (
            |m, e| {
                besides(m, e, |_| {
                    let reason = "x".repeat(124);
                    Message::text(
                        json!({ "action": "close", "user": { "username": "ann" }, "reason": reason })
                            .to_string(),
                    )
                })
            },
            "reason",
            "… (",
        ),
    ];
    for (script, fault, frame) in cases {
        expect(&look(scripted(script), "life").await, "life", fault, frame);
    }
}

#[tokio::test]
async fn one_that_takes_nothing_new_is_found_out() {
    let strict = |memory: &mut Memory, event: &Value| {
        let known = ["event", "user", "params", "data"];
        let is_known =
            event.as_object().is_some_and(|fields| fields.keys().all(|key| known.contains(&&**key)));
        if is_known { echo(memory, event) } else { crash() }
    };
    expect(&look(scripted(strict), "growth").await, "growth", "link_broken", "");
}

#[tokio::test]
async fn one_that_trims_names_is_found_out() {
    let trims = |memory: &mut Memory, event: &Value| {
        let mut event = event.clone();
        event["user"]["username"] = user(&event).trim().into();
        echo(memory, &event)
    };
    let report =
        look_with(scripted(trims), &["names"], |plan| plan.patience = Duration::from_millis(300)).await;
    let found = faults(&report, "names");
    assert!(
        found.iter().any(|(name, frame)| *name == "unknown_user" && frame.contains(r#""username":"""#)),
        "{report}"
    );
}

#[tokio::test]
async fn one_that_keeps_users_as_fields_of_an_object_is_found_out() {
    let object = |memory: &mut Memory, event: &Value| {
        if user(event) == "__proto__" { Vec::new() } else { echo(memory, event) }
    };
    let report =
        look_with(scripted(object), &["names"], |plan| plan.patience = Duration::from_millis(300)).await;
    expect(&report, "names", "user_lost", "");
}

#[tokio::test]
async fn one_that_takes_no_large_messages_is_found_out() {
    let small = serve(|stream, memory| async move {
        follow(stream, memory, echo, WebSocketConfig::default().max_message_size(Some(64 << 10))).await
    });
    let report = look(small, "large").await;
    assert!(matches!(&faults(&report, "large")[..], [("link_broken", _)]), "{report}");
}

#[tokio::test]
async fn one_that_minds_the_close_of_a_stranger_is_found_out() {
    let minds = |memory: &mut Memory, event: &Value| {
        let stranger = event["event"] == "close" && !memory.users.contains(user(event));
        if stranger { crash() } else { echo(memory, event) }
    };
    expect(&look(scripted(minds), "unknown_close").await, "unknown_close", "link_broken", "");
}

#[tokio::test]
async fn one_whose_close_overtakes_the_next_open_is_found_out() {
    let lags = |memory: &mut Memory, event: &Value| {
        let user = user(event).to_owned();
        if event["event"] == "close" {
            memory.late.insert(user, true);
            return Vec::new();
        }
        let answers = echo(memory, event);
        if memory.late.remove(&user).is_some() {
            memory.users.remove(&user);
        }
        answers
    };
    let change = |plan: &mut Plan| plan.patience = Duration::from_millis(300);
    expect(&look_with(scripted(lags), &["takeover"], change).await, "takeover", "user_lost", "");
}

#[tokio::test]
async fn one_that_sends_to_those_who_have_left_is_found_out() {
    let never_forgets = |memory: &mut Memory, event: &Value| {
        memory.ever.insert(user(event).to_owned());
        let _ = echo(memory, event);
        let all = memory.ever.iter().filter(|_| event["event"] == "message");
        all.map(|user| send(user, "hello, all")).collect()
    };
    expect(&look(scripted(never_forgets), "gone").await, "gone", "gone_user", r#""username":"ann""#);
}

#[tokio::test]
async fn one_that_does_not_bear_a_second_open_is_found_out() {
    let once = |memory: &mut Memory, event: &Value| {
        let again = event["event"] == "open" && memory.users.contains(user(event));
        if again { crash() } else { echo(memory, event) }
    };
    expect(&look(scripted(once), "break").await, "break", "link_broken", "");
}

#[tokio::test]
async fn one_that_serves_one_link_and_no_more_is_found_out() {
    let once = async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
        let address = listener.local_addr().expect("it is bound");
        tokio::task::spawn_local(async move {
            let (stream, _) = listener.accept().await.expect("somebody comes");
            drop(listener);
            follow(stream, Memory::default(), echo, WebSocketConfig::default()).await;
        });
        address
    };
    let report = look_with(once, &["break", "end"], |_| {}).await;
    expect(&report, "break", "upgrade", "");
    expect(&report, "end", "upgrade", "");
}

#[tokio::test]
async fn one_that_does_not_read_is_found_out_once_the_sockets_are_full() {
    let deaf = serve(|stream, memory| async move {
        let mut socket = accept_async_with_config(stream, None).await;
        // The one of `life`, and the next.
        let mut opens = 0;
        while let (Ok(socket), 0..2) = (&mut socket, opens) {
            let Some(Ok(heard)) = socket.next().await else { break };
            opens += usize::from(heard.to_text().is_ok_and(|text| text.contains("open")));
        }
        std::future::pending::<()>().await;
        memory
    });
    let report = look_with(deaf, &["large"], |plan| {
        plan.patience = Duration::from_millis(300);
        // More than what two sockets hold.
        plan.message_bytes_max = 16 << 20;
    })
    .await;
    expect(&report, "large", "not_read", "");
}

#[tokio::test]
async fn one_that_answers_no_pings_is_found_out() {
    let deaf = serve(|stream, memory| async move {
        let socket = accept_async_with_config(stream, None).await;
        std::future::pending::<()>().await;
        drop(socket);
        memory
    });
    let report = look_with(deaf, &["pings"], |plan| plan.patience = Duration::from_millis(300)).await;
    expect(&report, "pings", "pong_missing", "");
    assert!(!report.to_string().contains("another payload"), "{report}");
}

#[tokio::test]
async fn one_that_answers_pings_with_something_else_is_found_out() {
    let wrong = serve(|stream, memory| async move {
        if let Ok(mut socket) = accept_async_with_config(stream, None).await {
            while socket.get_mut().readable().await.is_ok() {
                match socket.get_mut().try_read(&mut [0; 64]) {
                    Ok(1..) => drop(socket.send(Message::Pong(b"pong".to_vec().into())).await),
                    // It was not readable after all.
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Ok(0) | Err(_) => break,
                }
            }
        }
        memory
    });
    let report = look_with(wrong, &["pings"], |plan| plan.patience = Duration::from_millis(300)).await;
    expect(&report, "pings", "pong_missing", "");
    assert!(report.to_string().contains("another payload"), "{report}");
}

#[tokio::test]
async fn one_that_ends_without_a_word_is_found_out() {
    let rude = serve(|stream, mut memory| async move {
        let Ok(mut socket) = accept_async_with_config(stream, None).await else { return memory };
        while let Some(Ok(heard)) = socket.next().await {
            match heard {
                Message::Text(text) => {
                    let event = serde_json::from_str(&text).expect("an event is JSON");
                    for message in echo(&mut memory, &event) {
                        let _ = socket.send(message).await;
                    }
                }
                // The library would answer when it is called again.
                Message::Close(_) => return memory,
                _ => {}
            }
        }
        memory
    });
    expect(&look(rude, "end").await, "end", "close_unanswered", "");
}

#[tokio::test]
async fn one_that_does_not_upgrade_is_found_out_and_nothing_else_is_judged() {
    let answers = [
        ("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", "403"),
        (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: no\r\n\r\n",
            "Accept",
        ),
    ];
    for (answer, named) in answers {
        let refuses = serve(move |mut stream, memory| async move {
            let _ = stream.readable().await;
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
            memory
        });
        let report = look_with(refuses, &[], |_| {}).await;
        expect(&report, "upgrade", "upgrade", "");
        assert!(report.to_string().contains(named), "{report}");
        let others = report.checks.iter().skip(1);
        assert!(
            others.clone().count() > 0 && others.clone().all(|check| check.verdict == Verdict::NotJudged)
        );
    }
}
