//! The configuration is read again while the gateway runs (docs/decisions/reload.md).

use std::path::Path;

use serde_json::{Value, json};
use trunkline::{config::Config, reload::against::against, token::Algorithm};
use trunkline_gateway_tests::rig::{
    Backend, Client, Gateway, Handshake, Process, Program, Raw, Setup, closed, message, opened, schema,
    tokens, within,
};

fn setup(backend: &Backend) -> Setup {
    Setup::new(backend.address()).with("admin.address", "127.0.0.1:0")
}

fn changed(key: &str, old: &str, new: &str, effect: &str) -> Value {
    json!({ "kind": "changed", "key": key, "old": old, "new": new, "hidden": false, "effect": effect })
}

fn send(user: &str, data: &str) -> Value {
    json!({ "action": "send", "user": { "username": user }, "data": data })
}

// ---- What changes -----------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_limit_changes_while_a_session_lives_and_only_newcomers_notice() {
    let mut backend = Backend::echo().await;
    let before = setup(&backend).lobby("sessions_max", 2);
    let gateway = Gateway::start(&before).await;
    let mut ann = Client::enter(&gateway, "ann").await;
    let mut bob = Client::enter(&gateway, "bob").await;
    backend.expect_all([opened("ann"), opened("bob")]).await;
    ann.say("before").await;
    assert_eq!(ann.hear().await, "before");
    assert_eq!(Handshake::of("cid").refused(&gateway).await.error(), "too_many_sessions");

    let told = gateway.reload(&before.clone().lobby("sessions_max", 1)).await;
    let change = changed("endpoints.lobby.sessions_max", "2", "1", "newcomers");
    assert_eq!(told, json!({ "changes": [change], "needs_restart": false, "warnings": [] }));
    for client in [&mut ann, &mut bob] {
        client.say("after").await;
        assert_eq!(client.hear().await, "after");
    }
    bob.leave().await;
    backend.heard("bob is gone", |entry| format!("{entry:?}").contains("close")).await;
    assert_eq!(Handshake::of("cid").refused(&gateway).await.error(), "too_many_sessions");

    gateway.reload(&before.clone().lobby("sessions_max", 3)).await;
    let mut cid = Client::enter(&gateway, "cid").await;
    cid.say("hello").await;
    assert_eq!(cid.hear().await, "hello");
    ann.say("still here").await;
    assert_eq!(ann.hear().await, "still here");
    assert_eq!(backend.dials(), 1, "the link was left alone");
}

#[tokio::test]
async fn what_a_client_may_send_changes_for_those_who_are_here() {
    let mut backend = Backend::echo().await;
    let before = setup(&backend);
    let gateway = Gateway::start(&before).await;
    let mut ann = Client::enter(&gateway, "ann").await;
    backend.expect(&opened("ann")).await;
    let strict = before
        .lobby("rate.messages_per_second", 1)
        .lobby("rate.burst", "1s")
        .lobby("rate.on_excess", "close")
        .lobby("rate.bytes_per_second", "1MiB");
    gateway.reload(&strict).await;
    for _ in 0..20 {
        ann.say("too fast").await;
    }
    assert_eq!(ann.closed().await, (1008, "rate limit exceeded".to_owned()));
}

#[tokio::test]
async fn an_endpoint_is_added_and_another_removed_and_the_rest_goes_on() {
    let mut lobby = Backend::echo().await;
    let games = Backend::echo().await;
    let before = setup(&lobby).endpoint("old", "/old", games.address());
    let gateway = Gateway::start(&before).await;
    let mut ann = Client::enter(&gateway, "ann").await;
    lobby.expect(&opened("ann")).await;
    let mut bob = Handshake::to("/old").token(&tokens::of("bob")).enter(&gateway).await;
    games.until("bob is opened", |events| events.len() == 1).await;

    let new = Backend::echo().await;
    let after = setup(&lobby).endpoint("new", "/new", new.address());
    let told = gateway.reload(&after).await;
    let expected = json!([
        { "kind": "endpoint_added", "endpoint": "new" },
        { "kind": "endpoint_removed", "endpoint": "old" },
    ]);
    assert_eq!(told["changes"], expected);
    let gone = Handshake::to("/old").token(&tokens::of("cid")).refused(&gateway).await;
    assert_eq!((gone.status, gone.error()), (404, "not_found".to_owned()));
    assert_eq!(bob.closed().await, (1001, "gateway is shutting down".to_owned()));
    games.until("bob is closed", |events| events.len() == 2).await;
    games.heard("1001", |entry| format!("{entry:?}").contains("1001")).await;
    let names = |seen: &Value| {
        let all = seen["endpoints"].as_array().expect("there are some").clone();
        all.iter().map(|endpoint| endpoint["name"].as_str().expect("a name").to_owned()).collect::<Vec<_>>()
    };
    let both = |seen: &Value| names(seen) == ["lobby", "new"];
    gateway.operator().until("/api/v1/overview", "the old one is forgotten", both).await;

    let mut dan = Handshake::to("/new").token(&tokens::of("dan")).enter(&gateway).await;
    new.until("dan is opened", |events| events.len() == 1).await;
    for client in [&mut ann, &mut dan] {
        client.say("hello").await;
        assert_eq!(client.hear().await, "hello");
    }
    assert_eq!((lobby.dials(), games.untaken().len()), (1, 2), "nobody else heard of it");
}

#[tokio::test]
async fn an_endpoint_that_still_ends_is_not_begun_anew() {
    let backend = Backend::echo().await;
    let other = Backend::echo().await;
    let both = setup(&backend).with("drain.time", "1h").endpoint("other", "/other", other.address());
    let gateway = Gateway::start(&both).await;
    let one = setup(&backend).with("drain.time", "1h");
    let _bob = Handshake::to("/other").token(&tokens::of("bob")).enter(&gateway).await;
    gateway.reload(&one).await;
    gateway.configure(&both.text());
    let answer = gateway.operator().act("POST", "/api/v1/reload", None).await;
    assert_eq!((answer.status, answer.error()), (409, "not_now".to_owned()), "{answer:?}");
    assert!(answer.body.contains("endpoints.other was removed"), "{answer:?}");
}

#[tokio::test]
async fn a_backend_that_moves_hears_everything_and_the_sessions_live_on() {
    let mut here = Backend::echo().await;
    let mut there = Backend::echo().await;
    let before = setup(&here).lobby("redeliver", "unconfirmed");
    let gateway = Gateway::start(&before).await;
    let mut ann = Client::enter(&gateway, "ann").await;
    here.expect(&opened("ann")).await;
    ann.say("one").await;
    here.expect(&message("ann", "one")).await;
    assert_eq!(ann.hear().await, "one");

    let after = before.lobby("backend", format!("ws://{}", there.address()));
    let told = gateway.reload(&after).await;
    assert_eq!(told["changes"][0]["effect"], "relink");
    there.expect(&opened("ann")).await;
    here.heard("1001", |entry| format!("{entry:?}").contains("1001")).await;
    ann.say("two").await;
    there.expect(&message("ann", "two")).await;
    assert_eq!(ann.hear().await, "two");
    assert_eq!(here.untaken().len(), 0, "the old one hears nothing more");
    ann.leave().await;
    there.expect(&closed("ann")).await;
}

#[tokio::test]
async fn keys_change_for_newcomers() {
    let backend = Backend::start().await;
    let before = setup(&backend);
    let gateway = Gateway::start(&before).await;
    let mut ann = Client::enter(&gateway, "ann").await;
    let secret = "another secret, of which nobody has heard so far";
    let after = before.with("defaults.token.secret", secret);
    let told = gateway.reload(&after).await;
    let change = &told["changes"][0];
    assert_eq!(
        (&change["key"], &change["hidden"], &change["effect"]),
        (&json!("endpoints.lobby.token.secret"), &json!(true), &json!("newcomers"))
    );
    assert!(!told.to_string().contains(secret), "{told}");
    assert_eq!(Handshake::of("bob").refused(&gateway).await.status, 401);
    let token = tokens::signed_with(secret, Algorithm::HS256, &tokens::claims("bob"));
    Handshake::to("/lobby/1").token(&token).enter(&gateway).await;
    backend.send(&send("ann", "still here"));
    assert_eq!(ann.hear().await, "still here");
}

#[tokio::test]
async fn what_needs_a_restart_is_said_again_and_again_and_the_rest_holds() {
    let backend = Backend::start().await;
    let before = setup(&backend);
    let gateway = Gateway::start(&before).await;
    let after = before.with("limits.workers", 7).lobby("idle_timeout", "1h");
    let told = gateway.reload(&after).await;
    let workers = changed("limits.workers", "0", "7", "restart");
    let idle = changed("endpoints.lobby.idle_timeout", "\"0s\"", "\"1h\"", "at_once");
    assert_eq!(told, json!({ "changes": [idle, workers], "needs_restart": true, "warnings": [] }));
    let again = gateway.reload(&after).await;
    assert_eq!(again["changes"], json!([workers]));
}

// ---- What changes nothing ---------------------------------------------------------------------------------------

#[tokio::test]
async fn a_file_that_is_wrong_changes_nothing_and_is_told() {
    let backend = Backend::echo().await;
    let before = setup(&backend);
    let gateway = Gateway::start(&before).await;
    let operator = gateway.operator();
    let wrong = before.clone().lobby("sessions_max", 0).lobby("reopengap", "1s").lobby("idle_timeout", "1h");
    gateway.configure(&wrong.text());
    let answer = operator.act("POST", "/api/v1/reload", None).await;
    assert_eq!((answer.status, answer.error()), (422, "wrong_configuration".to_owned()));
    let description = operator.get("/api/v1/openapi.json").await;
    let schema = &description["components"]["schemas"]["WrongConfiguration"];
    assert_eq!(schema::check(&description, schema, &answer.json()), Ok(()));
    let problems = answer.json()["problems"].clone();
    let problems: Vec<&str> = problems.as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].contains("endpoints.lobby.reopengap: is not a key"), "{problems:?}");
    assert!(problems[1].contains("sessions_max: 0 is out of range"), "{problems:?}");

    let failed = "trunkline_config_reloads_total{result=\"failed\"}";
    let scrape = operator.scrape().await;
    assert_eq!(scrape.figure(failed), 1.0);
    assert_eq!(scrape.figure("trunkline_config_last_reload_successful"), 0.0);
    let values = operator.get("/api/v1/configuration").await["values"].clone();
    assert_eq!(values["endpoints.lobby.idle_timeout"]["value"], "\"0s\"");

    let told = gateway.reload(&before).await;
    assert_eq!(told["changes"], json!([]), "nothing had changed");
    let scrape = operator.scrape().await;
    assert_eq!(scrape.figure("trunkline_config_reloads_total{result=\"unchanged\"}"), 1.0);
    assert_eq!(scrape.figure("trunkline_config_last_reload_successful"), 1.0);
    let mut ann = Client::enter(&gateway, "ann").await;
    ann.say("hello").await;
    assert_eq!(ann.hear().await, "hello");
}

#[tokio::test]
async fn a_handshake_in_its_midst_sees_one_configuration() {
    let mut backend = Backend::start().await;
    let before = setup(&backend).lobby("subprotocols", json!(["old"]));
    let gateway = Gateway::start(&before).await;
    // Its head has begun, and ends after the reload.
    let mut raw = Raw::connect(gateway.address()).await;
    let head = Handshake::of("ann").with("Sec-WebSocket-Protocol", "old, new").text();
    let (first, rest) = head.split_at(head.len() / 2);
    raw.write(first.as_bytes()).await;
    let after = setup(&backend).lobby("subprotocols", json!(["new"])).lobby("path", "/rooms/{lobby_id}");
    gateway.reload(&after).await;
    let answer = raw.request(rest.as_bytes()).await;
    assert_eq!((answer.status, answer.error()), (404, "not_found".to_owned()), "its path is no more");
    let mut moved = Handshake::to("/rooms/7").token(&tokens::of("ann"));
    moved = moved.with("Sec-WebSocket-Protocol", "old, new");
    let mut raw = Raw::connect(gateway.address()).await;
    let answer = raw.request(moved.text().as_bytes()).await;
    assert_eq!((answer.status, answer.header("sec-websocket-protocol")), (101, Some("new")));
    backend.until("ann is opened", |events| events.len() == 1).await;
    assert_eq!(backend.take_all().len(), 1);
}

// ---- What starts it ---------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_signal_reloads_and_so_does_the_file_where_that_is_wanted() {
    let backend = Backend::start().await;
    let before = setup(&backend).with("reload.look_every", "1s");
    let gateway = Gateway::start(&before).await;
    let operator = gateway.operator();
    let idle = |value: &'static str| {
        move |seen: &Value| seen["values"]["endpoints.lobby.idle_timeout"]["value"] == value
    };
    gateway.configure(&before.clone().lobby("idle_timeout", "1h").text());
    operator.until("/api/v1/configuration", "the file was seen", idle("\"1h\"")).await;

    let quiet = before.without("reload.look_every");
    gateway.reload(&quiet).await;
    gateway.configure(&quiet.clone().lobby("idle_timeout", "2h").text());
    gateway.hang_up().await;
    operator.until("/api/v1/configuration", "the signal was heard", idle("\"2h\"")).await;
}

#[tokio::test]
async fn a_hundred_reloads_under_traffic_lose_nothing_and_leave_nothing_behind() {
    const RELOADS: usize = 100;
    let mut backend = Backend::start().await;
    let second = Backend::start().await;
    let program = Program::library(Path::new(env!("CARGO_BIN_EXE_trunkline-hostile")));
    let setups = [500, 400].map(|most| {
        let setup = Setup::new(backend.address()).with("log.format", "json").lobby("sessions_max", most);
        match most {
            400 => setup.lobby("link.queue_high", "1MiB").lobby("link.queue_low", "512KiB"),
            _ => setup.lobby("redeliver", "unconfirmed").endpoint("second", "/second", second.address()),
        }
    });
    let gateway = Process::start(&program, &setups[0], None).await;
    let mut raw = Handshake::of("ann").enter_at(gateway.address()).await;
    backend.expect(&opened("ann")).await;
    second.linked(1).await;
    let before = (gateway.descriptors().expect("it runs"), gateway.threads().expect("it runs"));
    for number in 0..RELOADS {
        gateway.reconfigure(&setups[(number + 1) % 2].text());
        for part in 0..5 {
            raw.say(&format!("{number}.{part}")).await;
        }
        let read =
            |line: &str| line.contains("the configuration was read again") || line.contains("not reloaded");
        let over = async {
            while gateway.log().iter().filter(|line| read(line)).count() <= number {
                tokio::task::yield_now().await;
            }
        };
        within("the reload is over", over).await;
        for part in 0..5 {
            backend.expect(&message("ann", &format!("{number}.{part}"))).await;
        }
    }
    let log = gateway.log();
    let applied = log.iter().filter(|line| line.contains("the configuration was read again")).count();
    assert!(applied > RELOADS / 4, "{applied} of {RELOADS} reloads were carried out");
    assert!(!log.iter().any(|line| line.contains(tokens::SECRET)), "a secret is in the log");
    // The second endpoint has come again and again, and each time it has dialled.
    second.linked(10).await;
    gateway.reconfigure(&setups[0].text());
    backend.send(&send("ann", "and back"));
    assert_eq!(raw.hear().await, "and back");
    let is_before = || {
        let (files, threads) = (gateway.descriptors().expect("it runs"), gateway.threads().expect("it runs"));
        files <= before.0 + 2 && threads <= before.1 + 2
    };
    let as_before = async {
        while !is_before() {
            tokio::task::yield_now().await;
        }
    };
    within("nothing is left behind", as_before).await;
}

// ---- What it would change ---------------------------------------------------------------------------------------

#[tokio::test]
async fn what_a_reload_would_change_is_found_out_beside_the_gateway() {
    let backend = Backend::start().await;
    let before = setup(&backend);
    let gateway = Gateway::start(&before).await;
    let url = format!("http://{}/", gateway.admin_address());
    let would = |setup: Setup| {
        let url = url.clone();
        async move {
            let config = Config::parse(&setup.text(), Path::new("."), |_| None).expect("it is right");
            let local = tokio::task::LocalSet::new();
            let changes = local.run_until(against(&config, &url, None, None)).await.expect("it can be asked");
            changes.iter().map(ToString::to_string).collect::<Vec<_>>()
        }
    };
    assert_eq!(would(before.clone()).await, [""; 0]);
    let after = before
        .clone()
        .with("defaults.token.secret", "another secret, of which nobody has heard so far")
        .lobby("sessions_max", 7)
        .with("limits.workers", 3)
        .endpoint("new", "/new", backend.address());
    let expected = [
        "endpoints.new is added",
        "endpoints.lobby.sessions_max: 100000 becomes 7; for whoever comes from then on",
        "endpoints.lobby.token.secret is another, which is not shown; for whoever comes from then on",
        "limits.workers: 0 becomes 3; not before a restart",
    ];
    assert_eq!(would(after.clone()).await, expected);
    // What it says is what a reload does.
    let told = gateway.reload(&after).await;
    assert_eq!(told["changes"].as_array().map(Vec::len), Some(expected.len()));
    let listing = gateway.operator().get("/api/v1/configuration").await.to_string();
    assert!(!listing.contains(tokens::SECRET) && !listing.contains("another secret"), "{listing}");
}
