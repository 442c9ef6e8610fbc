//! Who may come in, over real sockets: pages of which origins, from which address, how often and how many at once.

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use tokio::{io::AsyncReadExt, time::timeout};
use trunkline_gateway_tests::rig::{
    Answer, Backend, Client, Gateway, Handshake, KEY, Raw, Setup, closed, opened, tokens, within,
};

fn assert_refused(answer: &Answer, status: u16, error: &str) {
    assert_eq!((answer.status, answer.error().as_str()), (status, error), "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    if status == 429 || status == 503 {
        answer.retry_after(5);
    }
}

/// A setup with these limits on an address: connections, attempts at once; then hardly any more.
fn limited(backend: &Backend, connections: u32, attempts: u32) -> Setup {
    Setup::new(backend.address())
        .with("limits.per_address.connections_max", connections)
        .with("limits.per_address.attempts_burst", attempts)
        .with("limits.per_address.attempts_per_minute", 1)
}

/// Another address than that of most tests.
fn elsewhere() -> IpAddr {
    IpAddr::from([127, 0, 0, 2])
}

async fn status(raw: &mut Raw, request: &Handshake) -> u16 {
    raw.request(request.text().as_bytes()).await.status
}

async fn status_of(gateway: &Gateway, request: &Handshake) -> u16 {
    request.ask(gateway.address()).await.1.status
}

// ---- Origins ---------------------------------------------------------------------------------------------------

#[tokio::test]
async fn pages_of_listed_origins_may_connect_and_no_others() {
    let mut backend = Backend::start().await;
    let setup = Setup::new(backend.address())
        .lobby("origins", vec!["https://app.example.com", "https://*.example.org"]);
    let gateway = Gateway::start(&setup).await;

    for origin in [
        "https://evil.example",
        "http://app.example.com",
        "https://example.org",
        "null",
        "https://app.example.com:1",
    ] {
        let answer = Handshake::of("ann").with("Origin", origin).refused(&gateway).await;
        assert_refused(&answer, 403, "origin_not_allowed");
    }
    let twice = Handshake::of("ann").with("Origin", "https://app.example.com");
    let twice = twice.with("Origin", "https://app.example.com").refused(&gateway).await;
    assert_refused(&twice, 403, "origin_not_allowed");

    for (user, origin) in
        [("bob", Some("https://app.example.com")), ("cid", Some("https://a.b.example.org")), ("dan", None)]
    {
        let request = Handshake::of(user);
        let request = origin.into_iter().fold(request, |request, origin| request.with("Origin", origin));
        assert_eq!(status_of(&gateway, &request).await, 101, "{origin:?}");
        // Of those who were refused nothing was heard.
        backend.expect(&opened(user)).await;
        backend.expect(&closed(user)).await;
    }
}

#[tokio::test]
async fn a_foreign_page_cannot_ride_on_a_cookie() {
    let mut backend = Backend::start().await;
    let sources = Setup::new(backend.address()).lobby("token.sources", vec!["header", "cookie:session"]);
    let gateway = Gateway::start(&sources).await;
    let cookie = format!("session={}", tokens::of("ann"));
    let of_browser = |origin: &str| Handshake::to("/lobby/7").with("Cookie", &cookie).with("Origin", origin);

    for origin in
        ["https://evil.example", "null", "https://gateway.test.evil.example", "https://gateway.test:8443"]
    {
        assert_refused(&of_browser(origin).refused(&gateway).await, 403, "origin_not_allowed");
    }
    assert_eq!(status_of(&gateway, &of_browser("https://gateway.test")).await, 101);
    backend.expect(&opened("ann")).await;
}

#[tokio::test]
async fn the_rows_of_the_door_have_their_place_among_the_others() {
    let backend = Backend::start().await;
    let setup = Setup::new(backend.address()).lobby("origins", "https://app.example.com");
    let gateway = Gateway::start(&setup).await;
    let foreign = |request: Handshake| request.with("Origin", "https://evil.example");

    let cases = [
        (foreign(Handshake::to("/nowhere")), 404, "not_found"),
        (foreign(Handshake::get("/lobby/7")), 426, "upgrade_required"),
        (foreign(Handshake::to("/lobby/7").with("Sec-WebSocket-Key", KEY)), 400, "bad_websocket_key"),
        (foreign(Handshake::to("/lobby/7")), 403, "origin_not_allowed"),
        (Handshake::to("/lobby/7").with("Origin", "https://app.example.com"), 401, "token_missing"),
    ];
    for (request, status, error) in cases {
        assert_refused(&request.refused(&gateway).await, status, error);
    }

    // Too many attempts count before the path is looked at.
    let gateway = Gateway::start(&limited(&backend, 9, 1)).await;
    let mut raw = Raw::connect(gateway.address()).await;
    assert_eq!(status(&mut raw, &Handshake::to("/nowhere")).await, 404);
    for path in ["/nowhere", "/lobby/%ff", "/lobby/7"] {
        assert_refused(&raw.request(Handshake::to(path).text().as_bytes()).await, 429, "too_many_attempts");
    }
}

// ---- Subprotocols ----------------------------------------------------------------------------------------------

#[tokio::test]
async fn the_subprotocol_is_the_clients_first_that_the_endpoint_has() {
    let backend = Backend::start().await;
    let setup = Setup::new(backend.address())
        .lobby("subprotocols", vec!["chat.v2", "chat.v1"])
        .lobby("token.sources", vec!["header", "subprotocol:bearer"]);
    let gateway = Gateway::start(&setup).await;
    let selected = async |request: Handshake| {
        let (_, answer) = request.ask(gateway.address()).await;
        assert_eq!(answer.status, 101);
        answer.header("sec-websocket-protocol").map(str::to_owned)
    };
    let offer = |offers: &str| Handshake::of("ann").with("Sec-WebSocket-Protocol", offers);

    assert_eq!(selected(offer("chat.v3, chat.v1, chat.v2")).await.as_deref(), Some("chat.v1"));
    assert_eq!(
        selected(offer("x").with("Sec-WebSocket-Protocol", "chat.v2")).await.as_deref(),
        Some("chat.v2")
    );
    assert_eq!(selected(offer("chat.v3")).await, None);
    assert_eq!(selected(Handshake::of("ann")).await, None);
    let token = tokens::of("ann");
    let by_entry = Handshake::to("/lobby/7");
    let by_entry = by_entry.with("Sec-WebSocket-Protocol", &format!("chat.v1, bearer, {token}"));
    assert_eq!(selected(by_entry).await.as_deref(), Some("bearer"));
}

// ---- Limits ----------------------------------------------------------------------------------------------------

#[tokio::test]
async fn an_address_with_all_its_connections_gets_another_once_one_has_ended_and_others_are_not_hurt() {
    let mut backend = Backend::echo().await;
    let gateway = Gateway::start(&limited(&backend, 2, 1_000)).await;
    let mut ann = Client::enter(&gateway, "ann").await;
    backend.expect(&opened("ann")).await;
    let bob = Client::enter(&gateway, "bob").await;
    backend.expect(&opened("bob")).await;

    assert_refused(&Handshake::of("cid").refused(&gateway).await, 429, "too_many_attempts");

    let mut dan = Raw::connect_from(elsewhere(), gateway.address()).await;
    assert_eq!(status(&mut dan, &Handshake::of("dan")).await, 101);
    ann.say("still here").await;
    assert_eq!(ann.hear().await, "still here");
    bob.leave().await;
    let entered = async { while status_of(&gateway, &Handshake::of("cid")).await != 101 {} };
    within("cid is let in once bob's connection is over", entered).await;
}

#[tokio::test]
async fn silent_connections_count_for_their_address_too() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&limited(&backend, 2, 1_000)).await;
    let silent = [Raw::connect(gateway.address()).await, Raw::connect(gateway.address()).await];

    assert_refused(&Handshake::of("ann").refused(&gateway).await, 429, "too_many_attempts");

    drop(silent);
    let entered = async { while status_of(&gateway, &Handshake::of("ann")).await != 101 {} };
    within("ann is let in once the others have gone", entered).await;
}

#[tokio::test]
async fn an_address_that_comes_too_often_is_refused_and_others_are_not() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&limited(&backend, 1_000, 5)).await;

    // Wrong tokens, over connections of their own and over one.
    assert_eq!(status_of(&gateway, &Handshake::to("/lobby/7")).await, 401);
    let mut raw = Raw::connect(gateway.address()).await;
    for _ in 0..4 {
        assert_eq!(status(&mut raw, &Handshake::to("/lobby/7")).await, 401);
    }
    let answer = raw.request(Handshake::of("ann").text().as_bytes()).await;
    assert_refused(&answer, 429, "too_many_attempts");
    assert_refused(&Handshake::of("ann").refused(&gateway).await, 429, "too_many_attempts");
    // Not even its request is waited for.
    assert_refused(&Raw::connect(gateway.address()).await.answer().await, 429, "too_many_attempts");

    let mut other = Raw::connect_from(elsewhere(), gateway.address()).await;
    assert_eq!(status(&mut other, &Handshake::of("ann")).await, 101);
}

#[tokio::test]
async fn a_user_that_comes_too_often_is_refused_on_that_endpoint_and_its_session_goes_on() {
    let (backend, other) = (Backend::echo().await, Backend::start().await);
    let setup = Setup::new(backend.address())
        .endpoint("news", "/news", other.address())
        .with("defaults.per_user.attempts_burst", 3)
        .with("defaults.per_user.attempts_per_minute", 1);
    let gateway = Gateway::start(&setup).await;

    for _ in 0..2 {
        drop(Handshake::of("ann").enter_raw(&gateway).await);
    }
    let mut ann = Client::enter(&gateway, "ann").await;
    assert_refused(&Handshake::of("ann").refused(&gateway).await, 429, "too_many_attempts");

    ann.say("still here").await;
    assert_eq!(ann.hear().await, "still here");
    Client::enter(&gateway, "bob").await;
    assert_eq!(status_of(&gateway, &Handshake::to("/news").token(&tokens::of("ann"))).await, 101);
    // Without a good token nobody takes another's attempts.
    for _ in 0..5 {
        let forged = Handshake::to("/lobby/7").token(&tokens::forged("HS256", "bob", "AAAA"));
        assert_eq!(status_of(&gateway, &forged).await, 401);
    }
    Client::enter(&gateway, "bob").await;
}

#[tokio::test]
async fn beyond_the_handshakes_that_may_be_under_way_clients_are_told_so_at_once_and_sessions_go_on() {
    let backend = Backend::echo().await;
    let setup = Setup::new(backend.address()).with("limits.handshakes_max", 16);
    let gateway = Gateway::start(&setup).await;
    let mut ann = Client::enter(&gateway, "ann").await;
    let mut silent = Vec::new();
    // One more than may be, and one in case that ann's handshake is not over yet.
    for _ in 0..18 {
        silent.push(Raw::connect(gateway.address()).await);
    }

    let mut told = BTreeSet::new();
    for _ in 0..40 {
        let answer = Handshake::of("bob").refused(&gateway).await;
        assert_refused(&answer, 503, "busy");
        told.insert(answer.retry_after(5));
    }
    assert!(told.len() > 1, "all are to come back at once: {told:?}");

    ann.say("still here").await;
    assert_eq!(ann.hear().await, "still here");
    drop(silent);
    let entered = async { while status_of(&gateway, &Handshake::of("bob")).await != 101 {} };
    within("bob is let in once the silent have gone", entered).await;
}

#[tokio::test]
async fn more_attempts_in_a_second_than_the_gateway_takes_are_turned_away() {
    let backend = Backend::start().await;
    let setup = Setup::new(backend.address()).with("limits.handshakes_per_second", 1);
    let gateway = Gateway::start(&setup).await;
    let asked = async { while status_of(&gateway, &Handshake::of("ann")).await != 503 {} };
    within("somebody is turned away", asked).await;
    let entered = async { while status_of(&gateway, &Handshake::of("ann")).await != 101 {} };
    within("a second later somebody is let in", entered).await;
}

#[tokio::test]
async fn a_handshake_that_comes_a_byte_at_a_time_is_cut_in_the_time_that_it_has_as_a_whole() {
    let backend = Backend::start().await;
    let setup = Setup::new(backend.address())
        .with("limits.handshake_timeout", "300ms")
        .with("listen.client_address", "proxy_protocol")
        .with("listen.trusted_proxies", "127.0.0.2");
    let gateway = Gateway::start(&setup).await;
    let text = Handshake::of("ann").text();
    for (from, start) in [([127, 0, 0, 1], ""), ([127, 0, 0, 2], "PROXY TCP4 1.2.3.4 1.2.3.4 1 1\r\n")] {
        let mut raw = Raw::connect_from(from.into(), gateway.address()).await;
        let mut bytes = start.bytes().chain(text.bytes()).cycle();
        let trickled = async {
            // A write to a connection that was cut may pass once.
            let mut byte = [0; 1];
            loop {
                use tokio::io::AsyncWriteExt;
                let next = [bytes.next().unwrap_or_default()];
                if raw.stream().write_all(&next).await.is_err() {
                    break;
                }
                match timeout(Duration::from_millis(10), raw.stream().read(&mut byte)).await {
                    Err(_) => {}
                    Ok(read) => {
                        assert_eq!(read.unwrap_or(0), 0, "it was answered");
                        break;
                    }
                }
            }
        };
        within("the connection is cut", trickled).await;
    }
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused_whether_it_ends_or_not() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&Setup::new(backend.address())).await;
    for end in ["", "\r\n\r\n"] {
        let mut raw = Raw::connect(gateway.address()).await;
        let head = format!("GET /lobby/7 HTTP/1.1\r\nHost: a\r\nX: {}{end}", "x".repeat(17 << 10));
        assert_eq!(raw.request(head.as_bytes()).await.status, 431);
    }
    Client::enter(&gateway, "ann").await;
}

// ---- The client's address --------------------------------------------------------------------------------------

#[tokio::test]
async fn clients_behind_a_trusted_proxy_are_told_apart_by_what_it_says_of_them() {
    for (announced, header) in [("x_forwarded_for", "X-Forwarded-For"), ("forwarded", "Forwarded")] {
        let mut backend = Backend::start().await;
        let setup = limited(&backend, 1, 1_000)
            .with("listen.client_address", announced)
            .with("listen.trusted_proxies", vec!["127.0.0.1", "10.0.0.0/8"]);
        let gateway = Gateway::start(&setup).await;
        let of = |user: &str, hops: &[&str]| {
            let hops: Vec<String> = match announced {
                "forwarded" => hops.iter().map(|hop| format!("for=\"{hop}\"")).collect(),
                _ => hops.iter().map(|hop| (*hop).to_owned()).collect(),
            };
            Handshake::of(user).with(header, &hops.join(", "))
        };
        let _ann = of("ann", &["1.1.1.1", "192.0.2.1", "10.0.0.9"]).enter_raw(&gateway).await;
        backend.expect(&opened("ann")).await;

        // The same client, whatever it writes before; in the same /64.
        assert_refused(
            &of("bob", &["9.9.9.9", "192.0.2.1"]).refused(&gateway).await,
            429,
            "too_many_attempts",
        );
        let _bob = of("bob", &["[2001:db8:1:2::1]:4711"]).enter_raw(&gateway).await;
        let cid = of("cid", &["[2001:db8:1:2:3:4:5:6]"]).refused(&gateway).await;
        assert_refused(&cid, 429, "too_many_attempts");
        let _cid = of("cid", &["[2001:db8:1:3::1]"]).enter_raw(&gateway).await;

        // A proxy itself is not limited; what cannot be read is not guessed at.
        let _dan = Handshake::of("dan").enter_raw(&gateway).await;
        let _eve = Handshake::of("eve").enter_raw(&gateway).await;
        let broken = Handshake::of("fay").with(header, "for=\"1.1.1.1").refused(&gateway).await;
        assert_refused(&broken, 400, "bad_forwarded_header");

        // Whoever is no proxy speaks for nobody else.
        let mut first = Raw::connect_from(elsewhere(), gateway.address()).await;
        assert_eq!(status(&mut first, &of("gus", &["198.51.100.1"])).await, 101);
        let mut second = Raw::connect_from(elsewhere(), gateway.address()).await;
        assert_eq!(status(&mut second, &of("hal", &["198.51.100.2"])).await, 429);
    }
}

#[tokio::test]
async fn the_requests_of_one_connection_may_be_of_several_clients() {
    let backend = Backend::start().await;
    let setup = limited(&backend, 1, 2)
        .with("listen.client_address", "x_forwarded_for")
        .with("listen.trusted_proxies", "127.0.0.1");
    let gateway = Gateway::start(&setup).await;
    let mut raw = Raw::connect(gateway.address()).await;
    let of = |client: &str| Handshake::to("/lobby/7").with("X-Forwarded-For", client);

    let mut statuses = Vec::new();
    for client in ["192.0.2.1", "192.0.2.2", "192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.3"] {
        statuses.push(status(&mut raw, &of(client)).await);
    }
    assert_eq!(statuses, [401, 401, 401, 429, 401, 401]);
}

#[tokio::test]
async fn a_trusted_proxy_says_first_whose_a_connection_is() {
    let backend = Backend::echo().await;
    let setup = limited(&backend, 1, 1_000)
        .with("listen.client_address", "proxy_protocol")
        .with("listen.trusted_proxies", "127.0.0.1");
    let gateway = Gateway::start(&setup).await;
    let v2 = |command: u8, last: u8| {
        let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
        header.extend([command, 0x11, 0, 15, 192, 0, 2, last, 10, 0, 0, 1, 1, 2, 3, 4, 4, 0, 0]);
        header
    };
    let enter = async |header: Vec<u8>, user: &str| {
        let mut raw = Raw::connect(gateway.address()).await;
        raw.write(&[header, Handshake::of(user).text().into_bytes()].concat()).await;
        let answer = raw.answer().await;
        (raw, answer)
    };
    let line = |client: &str| format!("PROXY TCP4 {client} 10.0.0.1 4711 443\r\n").into_bytes();

    let (mut ann, answer) = enter(line("192.0.2.1"), "ann").await;
    assert_eq!(answer.status, 101);
    ann.say("hello").await;
    assert_eq!(ann.hear().await, "hello");
    for header in [line("192.0.2.1"), v2(0x21, 1)] {
        assert_refused(&enter(header, "bob").await.1, 429, "too_many_attempts");
    }
    let (_bob, answer) = enter(v2(0x21, 2), "bob").await;
    assert_eq!(answer.status, 101);
    // The proxy's own: LOCAL and UNKNOWN.
    let (_cid, answer) = enter(v2(0x20, 1), "cid").await;
    assert_eq!(answer.status, 101);
    let (_dan, answer) = enter(b"PROXY UNKNOWN\r\n".to_vec(), "dan").await;
    assert_eq!(answer.status, 101);

    // It must say it; and nobody else may.
    for start in ["GET / HTTP/1.1\r\n\r\n", "PROXY TCP4 1.1.1.1 2.2.2.2 1\r\nGET / HTTP/1.1\r\n\r\n"] {
        let mut raw = Raw::connect(gateway.address()).await;
        raw.write(start.as_bytes()).await;
        raw.ended().await;
    }
    for (header, from) in [(line("192.0.2.9"), [127, 0, 0, 3]), (v2(0x21, 9), [127, 0, 0, 4])] {
        let mut raw = Raw::connect_from(from.into(), gateway.address()).await;
        raw.write(&header).await;
        assert_refused(&raw.answer().await, 400, "bad_request");
    }
    let mut raw = Raw::connect_from(elsewhere(), gateway.address()).await;
    assert_eq!(status(&mut raw, &Handshake::of("eve")).await, 101, "without a proxy");
}
