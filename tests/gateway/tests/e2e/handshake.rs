//! The handshake over real sockets, row by row (language.md, "Handshake"). What is wrong with tokens is in
//! `tokens.rs`.

use serde_json::json;
use trunkline_gateway_tests::rig::{
    ACCEPT, Answer, Backend, Client, Gateway, Handshake, Raw, Setup, closed, opened, tokens, within,
};

/// The answer is a refusal that says in JSON what was wrong, and gives no token away.
fn assert_refused(answer: &Answer, status: u16, error: &str) {
    assert_eq!((answer.status, answer.error().as_str()), (status, error), "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert!(answer.json()["message"].as_str().is_some_and(|message| !message.is_empty()), "{answer:?}");
    assert!(!answer.head.contains("eyJ") && !answer.body.contains("eyJ"), "a token shows: {answer:?}");
}

#[tokio::test]
async fn a_client_that_does_everything_right_is_let_in_and_announced() {
    let mut backend = Backend::start().await;
    let gateway = Gateway::start(&Setup::new(backend.address())).await;

    let (_raw, answer) = Handshake::of("ann").ask(gateway.address()).await;

    assert_eq!(answer.status, 101);
    assert_eq!(answer.header("sec-websocket-accept"), Some(ACCEPT));
    assert_eq!(answer.header("upgrade"), Some("websocket"));
    assert!(answer.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("upgrade")));
    assert_eq!(answer.header("sec-websocket-protocol"), None);
    backend.expect(&opened("ann")).await;
}

#[tokio::test]
async fn while_the_gateway_drains_everyone_is_told_when_to_come_back() {
    let mut backend = Backend::start().await;
    let setup = Setup::new(backend.address()).with("drain.time", "1h");
    let mut gateway = Gateway::start(&setup).await;
    let _ann = Client::enter(&gateway, "ann").await;
    backend.expect(&opened("ann")).await;

    gateway.drain();
    gateway.drains().await;

    for request in [Handshake::of("bob"), Handshake::to("/nowhere"), Handshake::get("/lobby/%ff")] {
        let answer = request.refused(&gateway).await;
        assert_refused(&answer, 503, "draining");
        answer.retry_after(5);
    }
}

#[tokio::test]
async fn what_is_not_http_is_a_bad_request() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&Setup::new(backend.address())).await;

    for nonsense in
        ["\u{16}\u{3}\u{1}\u{2}\r\n\r\n", "hello\r\n\r\n", "GET /lobby/7 HTTP/1.1\r\nno colon\r\n\r\n"]
    {
        let mut raw = Raw::connect(gateway.address()).await;
        assert_eq!(raw.request(nonsense.as_bytes()).await.status, 400, "{nonsense:?}");
    }
    let mut raw = Raw::connect(gateway.address()).await;
    let answer = raw.request(b"GET /lobby/\xff HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(answer.status, 400);
    // And the gateway goes on.
    Client::enter(&gateway, "ann").await;
}

#[tokio::test]
async fn what_is_not_http_is_told_so_in_json_like_all_who_are_refused() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&Setup::new(backend.address())).await;
    for nonsense in [&b"hello\r\n\r\n"[..], b"\x16\x03\x01\x02\x00\x01", b"PRI * HTTP/2.0\r\n\r\n"] {
        let mut raw = Raw::connect(gateway.address()).await;
        assert_refused(&raw.request(nonsense).await, 400, "bad_request");
    }
}

#[tokio::test]
async fn a_request_that_does_not_come_to_an_end_is_waited_for_only_so_long() {
    let backend = Backend::start().await;
    let setup = Setup::new(backend.address()).with("limits.handshake_timeout", "200ms");
    let gateway = Gateway::start(&setup).await;
    for part in ["", "GET /lobby/7 HT", "GET /lobby/7 HTTP/1.1\r\nHost: a\r\n"] {
        let mut raw = Raw::connect(gateway.address()).await;
        raw.write(part.as_bytes()).await;
        raw.ended().await;
    }
}

#[tokio::test]
async fn a_request_with_more_headers_than_allowed_is_refused_and_the_gateway_goes_on() {
    let backend = Backend::start().await;
    let setup = Setup::new(backend.address()).with("limits.headers_max", 8);
    let gateway = Gateway::start(&setup).await;
    let many = (0..8).fold(Handshake::of("ann"), |request, n| request.with(&format!("X-{n}"), "x"));
    assert_eq!(many.refused(&gateway).await.status, 431);
    let large = Handshake::of("ann").with("X", &"x".repeat(32 << 10));
    assert_eq!(large.refused(&gateway).await.status, 431);
    Client::enter(&gateway, "ann").await;
}

#[tokio::test]
async fn a_path_that_does_not_decode_to_utf8_is_a_bad_request() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&Setup::new(backend.address())).await;

    for path in ["/lobby/%ff", "/lobby/%", "/lobby/%4", "/lobby/%zz", "/lobby/%c3%28"] {
        let answer = Handshake::to(path).token(&tokens::of("ann")).refused(&gateway).await;
        assert_refused(&answer, 400, "bad_path");
    }
}

#[tokio::test]
async fn a_path_that_no_endpoint_has_is_not_found() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&Setup::new(backend.address())).await;

    for path in ["/", "/lobby", "/lobby/", "/lobby/7/", "/Lobby/7", "/lobby/7/8", "//lobby/7"] {
        let answer = Handshake::to(path).token(&tokens::of("ann")).refused(&gateway).await;
        assert_refused(&answer, 404, "not_found");
    }
}

#[tokio::test]
async fn who_asks_for_no_upgrade_or_another_version_is_told_what_is_needed() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&Setup::new(backend.address())).await;
    let right = Handshake::of("ann");

    let wrong = [
        right.clone().without("Upgrade"),
        right.clone().without("Connection"),
        right.clone().without("Upgrade").with("Upgrade", "h2c"),
        right.clone().line("POST /lobby/7 HTTP/1.1"),
        right.clone().line("GET /lobby/7 HTTP/1.0"),
        right.clone().without("Sec-WebSocket-Version"),
        right.clone().without("Sec-WebSocket-Version").with("Sec-WebSocket-Version", "8"),
        right.clone().with("Sec-WebSocket-Version", "13"),
    ];
    for request in wrong {
        let answer = request.refused(&gateway).await;
        assert_refused(&answer, 426, "upgrade_required");
        assert_eq!(answer.header("upgrade"), Some("websocket"), "{request:?}");
        assert_eq!(answer.header("sec-websocket-version"), Some("13"));
    }
}

#[tokio::test]
async fn a_bad_key_is_a_bad_request() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&Setup::new(backend.address())).await;
    let keyless = Handshake::of("ann").without("Sec-WebSocket-Key");

    for key in
        ["", "short", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZQ===", "!!!!!!!!!!!!!!!!!!!!!!=="]
    {
        let answer = keyless.clone().with("Sec-WebSocket-Key", key).refused(&gateway).await;
        assert_refused(&answer, 400, "bad_websocket_key");
    }
    assert_refused(&keyless.refused(&gateway).await, 400, "bad_websocket_key");
    let twice = Handshake::of("ann").with("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==");
    assert_refused(&twice.refused(&gateway).await, 400, "bad_websocket_key");
}

#[tokio::test]
async fn once_the_backend_has_been_away_for_longer_than_the_grace_clients_are_refused_until_it_is_back() {
    let mut backend = Backend::absent(false);
    let setup = Setup::new(backend.address()).lobby("outage.grace", "100ms").lobby("retry_after", "7s");
    let gateway = Gateway::start(&setup).await;

    // Until then they are let in, and held for as long as they stay.
    let refused = async {
        loop {
            let (_, answer) = Handshake::of("ann").ask(gateway.address()).await;
            if answer.status != 101 {
                return answer;
            }
        }
    };
    let answer = within("a client is refused", refused).await;
    assert_refused(&answer, 503, "backend_away");
    answer.retry_after(7);

    backend.listen();
    gateway.accepts(true).await;
    let _ann = Client::enter(&gateway, "ann").await;
    backend.expect(&opened("ann")).await;
}

#[tokio::test]
async fn an_endpoint_that_holds_no_clients_refuses_them_as_soon_as_its_backend_is_away() {
    let backend = Backend::absent(false);
    let setup = Setup::new(backend.address()).lobby("outage.policy", "close");
    let gateway = Gateway::start(&setup).await;

    let answer = Handshake::of("ann").refused(&gateway).await;

    assert_refused(&answer, 503, "backend_away");
    answer.retry_after(5);
}

#[tokio::test]
async fn where_duplicates_are_rejected_a_user_with_a_session_is_refused_and_the_session_goes_on() {
    let mut backend = Backend::echo().await;
    let gateway = Gateway::start(&Setup::new(backend.address()).lobby("on_duplicate", "reject")).await;
    let mut ann = Client::enter(&gateway, "ann").await;
    backend.expect(&opened("ann")).await;

    assert_refused(&Handshake::of("ann").refused(&gateway).await, 409, "already_connected");

    ann.say("still here").await;
    assert_eq!(ann.hear().await, "still here");
    ann.leave().await;
    backend.until("ann's close", |events| events.iter().any(|event| event.text == closed("ann"))).await;
    let _again = Client::enter(&gateway, "ann").await;
    backend
        .until("ann's second open", |events| events.iter().filter(|e| e.is("open", "ann")).count() == 2)
        .await;
}

#[tokio::test]
async fn an_endpoint_that_is_full_says_so_until_somebody_leaves() {
    let mut backend = Backend::start().await;
    let gateway = Gateway::start(&Setup::new(backend.address()).lobby("sessions_max", 1)).await;
    let ann = Client::enter(&gateway, "ann").await;
    backend.expect(&opened("ann")).await;

    let answer = Handshake::of("bob").refused(&gateway).await;
    assert_refused(&answer, 429, "too_many_sessions");
    answer.retry_after(5);

    ann.leave().await;
    let entered = async {
        loop {
            let (raw, answer) = Handshake::of("bob").ask(gateway.address()).await;
            match answer.status {
                101 => return raw,
                status => assert_eq!(status, 429),
            }
        }
    };
    let _bob = within("bob is let in once ann's session is over", entered).await;
}

#[tokio::test]
async fn a_gateway_that_is_full_says_so_until_somebody_leaves() {
    let mut backend = Backend::start().await;
    let setup = Setup::new(backend.address()).with("limits.connections_max", 1);
    let gateway = Gateway::start(&setup).await;
    let ann = Client::enter(&gateway, "ann").await;
    backend.expect(&opened("ann")).await;

    let answer = Handshake::of("bob").refused(&gateway).await;
    assert_refused(&answer, 429, "too_many_sessions");
    answer.retry_after(5);

    ann.leave().await;
    let entered = async {
        loop {
            let (raw, answer) = Handshake::of("bob").ask(gateway.address()).await;
            match answer.status {
                101 => return raw,
                status => assert_eq!(status, 429),
            }
        }
    };
    let _bob = within("bob is let in once ann's connection is over", entered).await;
    // Who was refused was not announced.
    backend.expect(&closed("ann")).await;
    backend.expect(&opened("bob")).await;
}

#[tokio::test]
async fn the_first_row_that_applies_counts() {
    let backend = Backend::absent(false);
    let gateway = Gateway::start(&Setup::new(backend.address()).lobby("outage.policy", "close")).await;
    let cases = [
        (Handshake::get("/nowhere/%ff"), 400, "bad_path"),
        (Handshake::get("/nowhere"), 404, "not_found"),
        (Handshake::get("/lobby/7"), 426, "upgrade_required"),
        (Handshake::to("/lobby/7").with("Sec-WebSocket-Key", "x"), 400, "bad_websocket_key"),
        (Handshake::to("/lobby/7"), 401, "token_missing"),
        (Handshake::of("ann"), 503, "backend_away"),
    ];
    for (request, status, error) in cases {
        assert_refused(&request.refused(&gateway).await, status, error);
    }
}

#[tokio::test]
async fn several_requests_may_come_over_one_connection_before_the_upgrade() {
    let mut backend = Backend::start().await;
    let gateway = Gateway::start(&Setup::new(backend.address())).await;
    let mut raw = Raw::connect(gateway.address()).await;

    for _ in 0..3 {
        let answer = raw.request(Handshake::to("/lobby/7").text().as_bytes()).await;
        assert_refused(&answer, 401, "token_missing");
    }
    let answer = raw.request(Handshake::of("ann").text().as_bytes()).await;

    assert_eq!(answer.status, 101);
    backend.expect(&opened("ann")).await;
}

#[tokio::test]
async fn what_a_client_sends_right_behind_its_request_is_not_lost() {
    let mut backend = Backend::echo().await;
    let gateway = Gateway::start(&Setup::new(backend.address())).await;
    let mut raw = Raw::connect(gateway.address()).await;
    let mut bytes = Handshake::of("ann").text().into_bytes();
    bytes.extend(trunkline_gateway_tests::rig::masked_frame(1, b"in one go"));

    assert_eq!(raw.request(&bytes).await.status, 101);

    backend.expect(&opened("ann")).await;
    assert_eq!(raw.hear().await, "in one go");
}

#[tokio::test]
async fn health_is_told_beside_the_clients_or_on_an_address_of_its_own() {
    let backend = Backend::start().await;
    let absent = Backend::absent(false);
    let setup = Setup::new(backend.address())
        .endpoint("news", "/news", absent.address())
        .with("endpoints.news.outage.policy", "close");
    let apart = setup.clone().with("health.address", "127.0.0.1:0");

    for setup in [setup, apart] {
        let gateway = Gateway::start(&setup).await;
        gateway.link_is("up").await;

        let healthy = gateway.ask("/healthz").await;
        assert_eq!((healthy.status, healthy.json()), (200, json!({ "alive": true })));

        let lobby = json!({ "link": "up", "accepting": true });
        let news = json!({ "link": "down", "accepting": false });
        let all = gateway.ask("/readyz").await;
        assert_eq!(all.status, 200);
        let endpoints = json!({ "lobby": lobby, "news": news });
        assert_eq!(all.json(), json!({ "ready": true, "draining": false, "endpoints": endpoints }));
        assert_eq!(all.header("cache-control"), Some("no-store"));

        let one = gateway.ask("/readyz?endpoint=lobby").await;
        assert_eq!((one.status, &one.json()["endpoints"]), (200, &json!({ "lobby": lobby })));
        let other = gateway.ask("/readyz?endpoint=news").await;
        assert_eq!((other.status, &other.json()["ready"]), (503, &json!(false)));
        assert_eq!(gateway.ask("/readyz?endpoint=nothing").await.status, 404);
    }
}

#[tokio::test]
async fn where_health_is_apart_neither_address_serves_the_other() {
    let backend = Backend::start().await;
    let setup = Setup::new(backend.address()).with("health.address", "127.0.0.1:0");
    let gateway = Gateway::start(&setup).await;
    assert_ne!(gateway.health_address(), gateway.address());

    for path in ["/healthz", "/readyz"] {
        let (_, answer) = Handshake::get(path).ask(gateway.address()).await;
        assert_refused(&answer, 404, "not_found");
    }
    let (_, answer) = Handshake::of("ann").ask(gateway.health_address()).await;
    assert_refused(&answer, 404, "not_found");
}
