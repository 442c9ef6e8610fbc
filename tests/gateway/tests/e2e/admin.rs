//! What operators see and do, and who may be one.

use std::{collections::BTreeSet, path::Path};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use trunkline_gateway_tests::rig::{
    Answer, Backend, Client, Gateway, Handshake, Operator, Process, Program, Raw, Setup, closed, message,
    opened, schema,
    tls::{Authority, shake_hands},
    within,
};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

fn setup(backend: &Backend) -> Setup {
    Setup::new(backend.address()).with("admin.address", "127.0.0.1:0")
}

/// A file for a test, with this in it.
fn file(name: &str, text: &str) -> String {
    let path = std::env::temp_dir().join(format!("trunkline-{}-{name}", std::process::id()));
    std::fs::write(&path, text).expect("a small file can be written");
    path.to_str().expect("the system's folder has a name").to_owned()
}

// ---- What is seen -----------------------------------------------------------------------------------------------

#[tokio::test]
async fn everything_is_answered_as_it_is_described() {
    let mut backend = Backend::echo().await;
    let mut gateway = Gateway::start(&setup(&backend)).await;
    let operator = gateway.operator();
    let mut ann = Client::enter(&gateway, "ann").await;
    let mut bob = Client::enter(&gateway, "bob").await;
    for client in [&mut ann, &mut bob] {
        client.say("hello").await;
        client.hear().await;
    }
    backend.until("all have spoken", |events| events.len() == 4).await;
    backend.take_all();
    bob.leave().await;
    backend.expect(&closed("bob")).await;
    let sessions = operator.get("/api/v1/sessions").await;
    let id = sessions["sessions"][0]["id"].as_str().expect("ann is there").to_owned();
    operator.until("/api/v1/endpoints/lobby/series", "a second is over", |series| series["from"] != 0).await;

    gateway.configure(&setup(&backend).lobby("idle_timeout", "1h").with("limits.workers", 3).text());
    let description = operator.get("/api/v1/openapi.json").await;
    let asked = [
        ("get", "/api/v1/overview", None),
        ("get", "/api/v1/endpoints", None),
        ("get", "/api/v1/endpoints/{name}", None),
        ("get", "/api/v1/endpoints/{name}/series", None),
        ("get", "/api/v1/endpoints/{name}/sessions/{id}", None),
        ("get", "/api/v1/sessions", None),
        ("get", "/api/v1/closes", None),
        ("get", "/api/v1/openapi.json", None),
        ("get", "/api/v1/configuration", None),
        ("post", "/api/v1/reload", None),
        ("post", "/api/v1/endpoints/{name}/sessions/{id}/close", None),
        ("post", "/api/v1/users/close", Some(json!({ "user": "ann" }))),
        // There is no log in this process: see `the_log_can_be_told_to_say_more`.
        ("get", "/api/v1/log", None),
        ("put", "/api/v1/log", Some(json!({ "level": "info" }))),
        ("post", "/api/v1/drain", None),
    ];
    // Whose answers are no JSON is tried in the rooms of metrics and recordings.
    let apart = ["/metrics", "/api/v1/endpoints/{name}/recording"];
    let mut tried: BTreeSet<_> = apart.map(|path| ("get".to_owned(), path.to_owned())).into();
    for (method, path, body) in asked {
        tried.insert((method.to_owned(), path.to_owned()));
        let real = path.replace("{name}", "lobby").replace("{id}", &id);
        let answer = operator.act(&method.to_uppercase(), &real, body).await;
        described(&description, method, path, &answer);
        let good = if path.ends_with("/log") { 503 } else { 200 };
        assert!(answer.status == good || answer.status == 202, "{method} {path}: {answer:?}");
    }
    for (method, path, wrong, status) in [
        ("get", "/api/v1/endpoints/{name}", "/api/v1/endpoints/none", 404),
        ("get", "/api/v1/endpoints/{name}/sessions/{id}", "/api/v1/endpoints/lobby/sessions/99-0", 404),
        ("get", "/api/v1/sessions", "/api/v1/sessions?limit=0", 400),
        ("get", "/api/v1/sessions", "/api/v1/sessions?limit=501", 400),
        ("get", "/api/v1/sessions", "/api/v1/sessions?after=x", 400),
        ("get", "/api/v1/sessions", "/api/v1/sessions?endpoint=none", 404),
        ("get", "/api/v1/closes", "/api/v1/closes?users=ann", 400),
        ("post", "/api/v1/users/close", "/api/v1/users/close", 415),
    ] {
        let answer = operator.act(&method.to_uppercase(), wrong, None).await;
        assert_eq!(answer.status, status, "{wrong}: {answer:?}");
        described(&description, method, path, &answer);
    }
    gateway.configure("");
    let answer = operator.act("POST", "/api/v1/reload", None).await;
    assert_eq!(answer.status, 409, "it is stopping: {answer:?}");
    described(&description, "post", "/api/v1/reload", &answer);
    let mut all = BTreeSet::new();
    for (path, methods) in description["paths"].as_object().expect("it has paths") {
        all.extend(methods.as_object().expect("methods").keys().map(|method| (method.clone(), path.clone())));
    }
    assert_eq!(tried, all, "something is described and not tried");
    gateway.stopped().await;
}

/// Holds an answer to its description.
fn described(description: &Value, method: &str, path: &str, answer: &Answer) {
    let status = answer.status.to_string();
    let content = &description["paths"][path][method]["responses"][status.as_str()]["content"];
    let schema = &content["application/json"]["schema"];
    assert!(schema.is_object(), "{method} {path}: {status} is not described: {answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    if let Err(fault) = schema::check(description, schema, &answer.json()) {
        panic!("{method} {path}: {fault} in {}", answer.body);
    }
}

#[tokio::test]
async fn the_overview_shows_links_sessions_and_what_went_through() {
    let mut backend = Backend::echo().await;
    let gateway = Gateway::start(&setup(&backend)).await;
    let operator = gateway.operator();
    gateway.link_is("up").await;
    let mut ann = Client::enter(&gateway, "ann").await;
    backend.expect(&opened("ann")).await;
    for _ in 0..3 {
        ann.say("hello").await;
        assert_eq!(ann.hear().await, "hello");
    }

    let right = |seen: &Value| {
        let lobby = &seen["endpoints"][0];
        lobby["sessions"] == 1 && lobby["link"]["unconfirmed_bytes"] == 0
    };
    let overview = operator.until("/api/v1/overview", "one session", right).await;
    let lobby = &overview["endpoints"][0];
    assert_eq!(
        (&overview["gateway"]["draining"], &overview["gateway"]["connections"]),
        (&json!(false), &json!(1))
    );
    assert_eq!(
        (&lobby["name"], &lobby["accepting"], &lobby["keys"]),
        (&json!("lobby"), &json!(true), &json!(true))
    );
    let link = &lobby["link"];
    assert_eq!(
        (&link["state"], &link["connects"], &link["outage_since"]),
        (&json!("up"), &json!(1), &Value::Null)
    );
    let totals = &lobby["totals"];
    assert_eq!((&totals["opens"], &totals["messages_from_clients"]), (&json!(1), &json!(3)));
    assert_eq!((&totals["bytes_from_clients"], &totals["bytes_to_clients"]), (&json!(15), &json!(15)));

    let measured = |seen: &Value| seen["latency"]["client_to_link"]["p99"].is_number();
    operator.until("/api/v1/endpoints/lobby", "latencies of the last minute", measured).await;
    let counted = |series: &Value| sum(&series["points"]["messages_to_clients"]) == 3;
    let series = operator.until("/api/v1/endpoints/lobby/series", "the messages", counted).await;
    assert_eq!((sum(&series["points"]["opens"]), sum(&series["points"]["closes"])), (1, 0));
    let newer = format!("/api/v1/endpoints/lobby/series?since={}", series["until"]);
    let more = operator.until(&newer, "a second later", |more| more["from"] != 0).await;
    assert!(more["from"].as_u64() >= series["until"].as_u64().map(|until| until - 500), "{more}");
    assert_eq!(sum(&more["points"]["messages_to_clients"]), 0, "{more}");
}

fn sum(points: &Value) -> u64 {
    points.as_array().into_iter().flatten().filter_map(Value::as_u64).sum()
}

#[tokio::test]
async fn sessions_are_found_by_endpoint_and_user_and_told_page_by_page() {
    let backend = Backend::echo().await;
    let news = Backend::echo().await;
    let setup = setup(&backend).endpoint("news", "/news", news.address());
    let gateway = Gateway::start(&setup).await;
    let operator = gateway.operator();
    let mut there = Vec::new();
    let names = ["ann", "anna", "bob", "cid", "d \"<i>\" \u{1f600}+&="];
    for name in names {
        there.push(Client::enter(&gateway, name).await);
    }
    there.push(
        Handshake::to("/news").token(&trunkline_gateway_tests::rig::tokens::of("ann")).enter(&gateway).await,
    );

    let mut seen = Vec::new();
    let mut after = String::new();
    loop {
        let page = operator.get(&format!("/api/v1/sessions?limit=2{after}")).await;
        let sessions = page["sessions"].as_array().expect("a list").clone();
        assert!(sessions.len() <= 2);
        seen.extend(sessions.into_iter().map(|session| (text(&session["endpoint"]), text(&session["user"]))));
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    let mut all: Vec<_> = names.iter().map(|name| ("lobby".to_owned(), (*name).to_owned())).collect();
    all.push(("news".to_owned(), "ann".to_owned()));
    assert_eq!(seen, all);

    for (query, found) in [
        ("user=ann", 2),
        ("user=ann&endpoint=news", 1),
        ("contains=ann", 3),
        ("contains=ann&endpoint=lobby", 2),
        ("endpoint=news", 1),
        ("user=nobody", 0),
        ("user=d+%22%3Ci%3E%22+%F0%9F%98%80%2B%26%3D", 1),
    ] {
        let page = operator.get(&format!("/api/v1/sessions?{query}")).await;
        assert_eq!(page["sessions"].as_array().map(Vec::len), Some(found), "{query}: {page}");
        assert_eq!(page["next"], Value::Null, "{query}");
    }
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

#[tokio::test]
async fn a_session_is_told_with_what_it_did() {
    let mut backend = Backend::echo().await;
    let gateway = Gateway::start(&setup(&backend)).await;
    let operator = gateway.operator();
    let mut ann = Client::enter(&gateway, "ann").await;
    backend.expect(&opened("ann")).await;
    ann.say("hello").await;
    backend.expect(&message("ann", "hello")).await;
    ann.hear().await;
    backend.send(&json!({ "action": "send", "user": { "username": "ann" }, "data": "and more" }));
    ann.hear().await;

    let page = operator.get("/api/v1/sessions?user=ann").await;
    let id = text(&page["sessions"][0]["id"]);
    let session = operator.get(&format!("/api/v1/endpoints/lobby/sessions/{id}")).await;
    assert_eq!((&session["user"], &session["params"]), (&json!("ann"), &json!({ "lobby_id": "7" })));
    assert_eq!((&session["announced"], &session["client"]), (&json!(true), &json!("127.0.0.1")));
    assert_eq!((&session["messages_from_client"], &session["bytes_from_client"]), (&json!(1), &json!(5)));
    assert_eq!((&session["messages_to_client"], &session["bytes_to_client"]), (&json!(2), &json!(13)));
    assert_eq!((&session["stopped"], &session["queued_bytes"]), (&json!(false), &json!(0)));
    let expires = session["expires_at"].as_u64().expect("its token expires");
    assert!(expires > session["since"].as_u64().expect("it began"), "{session}");
}

#[tokio::test]
async fn a_client_that_is_not_read_from_is_seen_to_be_so() {
    let backend = Backend::echo().await;
    let setup = setup(&backend).lobby("parked.bytes_max", "1KiB").lobby("parked.total_bytes_max", "64KiB");
    let gateway = Gateway::start(&setup).await;
    let operator = gateway.operator();
    let mut ann = Client::enter(&gateway, "ann").await;
    gateway.link_is("up").await;
    let mut backend = backend;
    backend.stop_listening().await;
    backend.cut();
    gateway.link_is("down").await;
    ann.say(&"x".repeat(2_000)).await;
    let stopped = |page: &Value| page["sessions"][0]["stopped"] == true;
    let page = operator.until("/api/v1/sessions", "ann is stopped", stopped).await;
    assert_eq!(page["sessions"][0]["times_stopped"], 1);
    assert!(page["sessions"][0]["parked_bytes"].as_u64() > Some(2_000), "{page}");
    let seen = |overview: &Value| overview["endpoints"][0]["stopped"] == 1;
    operator.until("/api/v1/overview", "one client is stopped", seen).await;

    backend.listen();
    let resumed = |page: &Value| page["sessions"][0]["stopped"] == false;
    operator.until("/api/v1/sessions", "ann goes on", resumed).await;
    assert_eq!(ann.hear().await.len(), 2_000);
}

// ---- Why sessions ended -----------------------------------------------------------------------------------------

#[tokio::test]
async fn it_is_told_why_each_session_ended_and_what_its_client_was_told() {
    let mut backend = Backend::echo().await;
    let gateway = Gateway::start(&setup(&backend)).await;
    let operator = gateway.operator();
    let hostile = "eve\" },\n{ \"level\": \"ERROR\"";
    for name in ["leaves", "is taken over", "closed by the backend", "breaks a rule", hostile] {
        let mut client = Handshake::of(name).enter_raw(&gateway).await;
        backend.until("its open", |events| events.iter().any(|event| event.is("open", name))).await;
        match name {
            "is taken over" => {
                let _second = Client::enter(&gateway, name).await;
                assert_eq!(client.closed().await.0, 1008);
            }
            "closed by the backend" => {
                let close = json!({ "action": "close", "user": { "username": name }, "status": 4001, "reason": "bye" });
                backend.send(&close);
                assert_eq!(client.closed().await, (4001, "bye".to_owned()));
            }
            "breaks a rule" => {
                // It is not masked.
                client.write(&[0x81, 0x01, b'x']).await;
                assert_eq!(client.closed().await.0, 1002);
            }
            _ => drop(client),
        }
    }
    let all = |seen: &Value| seen["closes"].as_array().is_some_and(|closes| closes.len() >= 6);
    let closes = operator.until("/api/v1/closes", "all of them", all).await;
    let told = |user: &str| {
        let of_user =
            closes["closes"].as_array().into_iter().flatten().filter(|closed| closed["user"] == user);
        of_user.map(|closed| (text(&closed["cause"]), closed["code"].as_u64())).collect::<Vec<_>>()
    };
    assert_eq!(told("leaves"), [("client_lost".to_owned(), None)]);
    assert!(told("is taken over").contains(&("taken_over".to_owned(), Some(1008))), "{closes}");
    assert_eq!(told("closed by the backend"), [("backend".to_owned(), Some(4001))]);
    assert_eq!(told("breaks a rule"), [("client_misbehaved".to_owned(), Some(1002))]);
    assert_eq!(told(hostile), [("client_lost".to_owned(), None)]);

    let one = operator.get("/api/v1/closes?user=closed+by+the+backend").await;
    assert_eq!(one["closes"][0]["reason"], "bye");
    assert_eq!(operator.get("/api/v1/closes?limit=2").await["closes"].as_array().map(Vec::len), Some(2));
    backend.take_all();
}

#[tokio::test]
async fn a_name_with_line_breaks_makes_no_line_of_the_log() {
    let backend = Backend::echo().await;
    let program = Program::library(Path::new(env!("CARGO_BIN_EXE_trunkline-hostile")));
    for format in ["text", "json"] {
        let setup = setup(&backend).with("log.format", format).with("log.level", "debug");
        let gateway = Process::start(&program, &setup, None).await;
        let hostile = "eve\n2026-01-01T00:00:00Z ERROR gateway: all is lost\r\u{1b}[2J";
        let _eve = Handshake::of(hostile).ask(gateway.address()).await;
        gateway.says("who has come", |line| line.contains("admitted") && line.contains("eve")).await;
        for line in gateway.log() {
            assert!(!line.starts_with("2026-01-01"), "{line}");
            assert!(!line.contains(|control: char| control.is_control()), "{line:?}");
        }
    }
}

#[tokio::test]
async fn of_an_endpoint_the_last_closes_are_kept_the_newest_first() {
    let backend = Backend::echo().await;
    let gateway = Gateway::start(&setup(&backend)).await;
    let operator = gateway.operator();
    for user in 0..260 {
        let raw = Handshake::of(&format!("user-{user}")).enter_raw(&gateway).await;
        drop(raw);
    }
    let over = |page: &Value| page["sessions"].as_array().is_some_and(Vec::is_empty);
    operator.until("/api/v1/sessions", "all have gone", over).await;
    let closes = operator.get("/api/v1/closes?limit=500").await;
    let closes = closes["closes"].as_array().expect("a list");
    assert_eq!(closes.len(), 256);
    let times: Vec<_> = closes.iter().map(|closed| closed["at"].as_u64()).collect();
    assert!(times.is_sorted_by(|newer, older| newer >= older), "{times:?}");
}

// ---- What is done -----------------------------------------------------------------------------------------------

#[tokio::test]
async fn whom_an_operator_closes_is_told_so_and_its_backend_hears_it() {
    let mut backend = Backend::echo().await;
    let gateway = Gateway::start(&setup(&backend)).await;
    let operator = gateway.operator();
    let mut ann = Client::enter(&gateway, "ann").await;
    let mut bob = Client::enter(&gateway, "bob").await;
    backend.expect_all([opened("ann"), opened("bob")]).await;
    let page = operator.get("/api/v1/sessions?user=ann").await;
    let path = format!("/api/v1/endpoints/lobby/sessions/{}/close", text(&page["sessions"][0]["id"]));

    assert_eq!(operator.act("POST", &path, None).await.json(), json!({ "closed": 1 }));
    assert_eq!(ann.closed().await, (1008, "closed by an operator".to_owned()));
    backend.expect(&closed("ann")).await;
    assert_eq!(operator.act("POST", &path, None).await.status, 404);
    let closes = operator.get("/api/v1/closes?user=ann").await;
    let told = (&closes["closes"][0]["cause"], &closes["closes"][0]["code"]);
    assert_eq!(told, (&json!("operator"), &json!(1008)));

    bob.say("still here").await;
    assert_eq!(bob.hear().await, "still here");
    // That was no ban.
    let _ann = Client::enter(&gateway, "ann").await;
    backend
        .until("ann is back", |events| events.iter().filter(|event| event.is("open", "ann")).count() == 2)
        .await;
}

#[tokio::test]
async fn a_user_is_closed_everywhere_or_on_one_endpoint() {
    let backend = Backend::echo().await;
    let news = Backend::echo().await;
    let setup = setup(&backend).endpoint("news", "/news", news.address());
    let gateway = Gateway::start(&setup).await;
    let operator = gateway.operator();
    let token = trunkline_gateway_tests::rig::tokens::of("ann");
    let enter = async || {
        let lobby = Client::enter(&gateway, "ann").await;
        (lobby, Handshake::to("/news").token(&token).enter(&gateway).await)
    };
    let (mut lobby, mut news) = enter().await;
    let body = json!({ "user": "ann", "endpoint": "news" });
    assert_eq!(operator.act("POST", "/api/v1/users/close", Some(body)).await.json(), json!({ "closed": 1 }));
    assert_eq!(news.closed().await.0, 1008);
    lobby.say("still here").await;
    lobby.hear().await;

    drop((lobby, news));
    let (mut lobby, mut news) = enter().await;
    let body = json!({ "user": "ann" });
    assert_eq!(
        operator.act("POST", "/api/v1/users/close", Some(body.clone())).await.json(),
        json!({ "closed": 2 })
    );
    assert_eq!((lobby.closed().await.0, news.closed().await.0), (1008, 1008));
    assert_eq!(operator.act("POST", "/api/v1/users/close", Some(body)).await.json(), json!({ "closed": 0 }));
    for wrong in [json!({ "user": "" }), json!({}), json!({ "user": "a", "more": 1 }), json!({ "user": 1 })] {
        assert_eq!(operator.act("POST", "/api/v1/users/close", Some(wrong)).await.status, 400);
    }
}

#[tokio::test]
async fn an_operator_drains_the_gateway() {
    let mut backend = Backend::echo().await;
    let mut gateway = Gateway::start(&setup(&backend)).await;
    let mut ann = Client::enter(&gateway, "ann").await;
    backend.expect(&opened("ann")).await;
    assert_eq!(gateway.operator().act("POST", "/api/v1/drain", None).await.status, 202);
    assert_eq!(ann.closed().await.0, 1001);
    backend.expect(&closed("ann")).await;
    gateway.stopped().await;
}

#[tokio::test]
async fn the_log_can_be_told_to_say_more() {
    let backend = Backend::echo().await;
    let program = Program::library(Path::new(env!("CARGO_BIN_EXE_trunkline-hostile")));
    let setup = setup(&backend).with("log.format", "json").with("log.level", "info");
    let gateway = Process::start(&program, &setup, None).await;
    let line = gateway.says("listening", |line| line.contains("listening") && line.contains("admin")).await;
    let line: Value = serde_json::from_str(&line).expect("the log is JSON");
    let admin = line["admin"].as_str().and_then(|text| text.strip_prefix("Some(")?.strip_suffix(')'));
    let operator =
        Operator::at(admin.and_then(|admin| admin.parse().ok()).expect("it listens for operators"));

    let (_, answer) = Handshake::to("/lobby/7").ask(gateway.address()).await;
    assert_eq!(answer.status, 401);
    let change = json!({ "level": "warn", "targets": { "handshake": "debug" } });
    let answer = operator.act("PUT", "/api/v1/log", Some(change.clone())).await;
    assert_eq!((answer.status, answer.json()), (200, change.clone()));
    assert_eq!(operator.get("/api/v1/log").await, change);
    let (_, answer) = Handshake::to("/lobby/8").ask(gateway.address()).await;
    assert_eq!(answer.status, 401);
    gateway.says("who is refused", |line| line.contains("refused") && line.contains("token_missing")).await;
    let refusals = gateway.log().iter().filter(|line| line.contains("token_missing")).count();
    assert_eq!(refusals, 1, "the first was not to be logged: {:?}", gateway.log());
    for wrong in
        [json!({ "level": "loud" }), json!({ "targets": { "none": "info" } }), json!({ "levels": 1 })]
    {
        assert_eq!(operator.act("PUT", "/api/v1/log", Some(wrong)).await.status, 400);
    }
    assert_eq!(operator.get("/api/v1/log").await, change);
}

// ---- Who may ----------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_page_that_names_this_machine_by_its_own_name_gets_nothing() {
    let backend = Backend::echo().await;
    let gateway = Gateway::start(&setup(&backend).with("admin.hosts", "ops.example")).await;
    let operator = gateway.operator();
    let port = gateway.admin_address().port();
    let asked = async |host: Option<String>| {
        let request = operator.request("GET", "/metrics", None).without("Host");
        let request = match &host {
            Some(host) => request.with("Host", host),
            None => request,
        };
        operator.send(&request, "").await.status
    };
    for own in ["localhost", &format!("127.0.0.1:{port}"), &format!("[::1]:{port}"), "ops.example:80"] {
        assert_eq!(asked(Some(own.to_owned())).await, 200, "{own}");
    }
    for foreign in ["evil.example", "localhost.evil.example", "10.0.0.1", ""] {
        assert_eq!(asked(Some(foreign.to_owned())).await, 403, "{foreign}");
    }
    assert_eq!(asked(None).await, 403);
}

#[tokio::test]
async fn a_foreign_page_changes_nothing() {
    let mut backend = Backend::echo().await;
    let gateway = Gateway::start(&setup(&backend)).await;
    let operator = gateway.operator();
    let mut ann = Client::enter(&gateway, "ann").await;
    backend.expect(&opened("ann")).await;
    let body = json!({ "user": "ann" });
    let request = operator.request("POST", "/api/v1/users/close", Some(&body)).without("Host");
    let request = request.with("Host", "127.0.0.1:9090");
    for origin in ["http://evil.example", "null", "http://127.0.0.1:9091"] {
        let answer = operator.send(&request.clone().with("Origin", origin), &body.to_string()).await;
        assert_eq!((answer.status, answer.error()), (403, "origin_not_allowed".to_owned()), "{origin}");
    }
    // A form cannot say that it sends JSON.
    let form = request.clone().without("Content-Type").with("Content-Type", "text/plain");
    assert_eq!(operator.send(&form, &body.to_string()).await.status, 415);
    ann.say("still here").await;
    assert_eq!(ann.hear().await, "still here");
    let own = operator.send(&request.with("Origin", "http://127.0.0.1:9090"), &body.to_string()).await;
    assert_eq!(own.json(), json!({ "closed": 1 }));
    assert_eq!(ann.closed().await.0, 1008);
}

#[tokio::test]
async fn who_has_no_token_gets_nothing_where_there_is_one() {
    let backend = Backend::echo().await;
    let token = file("admin-token", &format!("{TOKEN}\n"));
    let gateway = Gateway::start(&setup(&backend).with("admin.token_file", token)).await;
    let operator = gateway.operator();
    for wrong in
        [operator.clone(), operator.clone().with_token("0"), operator.clone().with_token(&TOKEN[1..])]
    {
        for path in ["/metrics", "/api/v1/overview", "/api/v1/none"] {
            let answer = wrong.ask(path).await;
            assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some("Bearer")), "{path}");
        }
        assert_eq!(wrong.act("POST", "/api/v1/drain", None).await.status, 401);
    }
    let operator = operator.with_token(TOKEN);
    assert_eq!(operator.ask("/metrics").await.status, 200);
    assert_eq!(operator.get("/api/v1/overview").await["gateway"]["draining"], false);
}

#[tokio::test]
async fn the_page_is_given_without_a_token_for_it_asks_for_one() {
    let backend = Backend::echo().await;
    let token = file("page-token", TOKEN);
    let gateway = Gateway::start(&setup(&backend).with("admin.token_file", token)).await;
    let operator = gateway.operator();
    let page = operator.ask("/").await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let policy = page.header("content-security-policy").expect("there is a policy");
    for part in ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "trusted-types 'none'"]
    {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(page.header("cache-control"), Some("no-cache"));
    let script = operator.ask("/page/main.js").await;
    assert_eq!((script.status, script.header("content-type")), (200, Some("text/javascript; charset=utf-8")));

    let tag = page.header("etag").expect("there is a tag");
    let again = operator.request("GET", "/", None).with("If-None-Match", tag);
    let again = operator.send(&again, "").await;
    assert_eq!((again.status, again.body.as_str()), (304, ""));
    let foreign = operator.request("GET", "/", None).without("Host").with("Host", "evil.example");
    assert_eq!(operator.send(&foreign, "").await.status, 403);
    assert_eq!(operator.act("POST", "/", None).await.status, 401);
}

#[tokio::test]
async fn who_has_no_certificate_gets_nothing_where_one_is_asked_for() {
    let backend = Backend::echo().await;
    let authority = Authority::new("admin");
    let identity = authority.issue("localhost");
    let setup = setup(&backend)
        .with("admin.tls.certificate_file", authority.write("admin.pem", &identity.certificate))
        .with("admin.tls.key_file", authority.write("admin.key", &identity.key))
        .with("admin.tls.client_ca_file", authority.file());
    let gateway = Gateway::start(&setup).await;
    let ask = async |config| -> std::io::Result<String> {
        let mut stream = shake_hands(gateway.admin_address(), config).await?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
        let mut answer = String::new();
        within("the connection ends", stream.read_to_string(&mut answer)).await?;
        Ok(answer)
    };
    let known = ask(authority.client(Some(&authority.issue("operator")), &["http/1.1"])).await;
    assert!(known.expect("it is answered").starts_with("HTTP/1.1 200"));
    assert!(ask(authority.client(None, &["http/1.1"])).await.is_err());
}

#[tokio::test]
async fn what_is_asked_for_in_a_wrong_way_is_refused_and_bounded() {
    let backend = Backend::echo().await;
    let gateway = Gateway::start(&setup(&backend)).await;
    let operator = gateway.operator();
    assert_eq!(operator.ask("/nothing").await.status, 404);
    assert_eq!(operator.ask("/api/v1/drain").await.status, 405);
    let large = json!({ "user": "x".repeat(20_000) });
    assert_eq!(operator.act("POST", "/api/v1/users/close", Some(large)).await.status, 413);
    let mut raw = Raw::connect(gateway.admin_address()).await;
    let head = format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(20_000));
    assert_eq!(raw.request(head.as_bytes()).await.status, 431);
    // No more than so many at once, and whoever comes after one has gone is served.
    let mut all = Vec::new();
    for _ in 0..64 {
        let mut raw = Raw::connect(gateway.admin_address()).await;
        let answer = raw.request(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        assert_eq!(answer.status, 200);
        all.push(raw);
    }
    let mut waits = Raw::connect(gateway.admin_address()).await;
    waits.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    // Had it been accepted, it would have been answered before the last of these.
    for other in &mut all {
        let answer = other.request(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        assert_eq!(answer.status, 200);
    }
    assert!(waits.stream().try_read(&mut [0]).is_err(), "one too many is served");
    all.pop();
    assert_eq!(waits.answer().await.status, 200);
    drop(all);
    let _ = gateway.ask("/healthz").await;
}

#[tokio::test]
async fn clients_get_nothing_of_it_where_they_are_listened_for() {
    let backend = Backend::echo().await;
    let gateway = Gateway::start(&setup(&backend)).await;
    for path in ["/metrics", "/api/v1/overview"] {
        let (_, answer) = Handshake::get(path).ask(gateway.address()).await;
        assert_eq!(answer.status, 404, "{path}");
    }
    assert_eq!(gateway.operator().ask("/lobby/7").await.status, 404);
    let plain = Gateway::start(&Setup::new(backend.address())).await;
    assert_eq!(Handshake::get("/metrics").ask(plain.address()).await.1.status, 404);
}
