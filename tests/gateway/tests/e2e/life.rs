//! How sessions end by the clock, and how the gateway does (language.md, "Handshake" on expiry, and "Clients that are
//! too slow, and the end of the gateway").

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use trunkline_gateway_tests::rig::{
    Backend, Client, Gateway, Handshake, Heard, Setup, closed, masked_frame, message, opcode, opened, tokens,
};

#[tokio::test]
async fn a_session_ends_with_its_token_where_that_is_not_turned_off() {
    let mut lobby = Backend::echo().await;
    let news = Backend::echo().await;
    let setup = Setup::new(lobby.address())
        .endpoint("news", "/news", news.address())
        .with("endpoints.news.on_expiry", "ignore");
    let gateway = Gateway::start(&setup).await;
    let token = tokens::until("ann", tokens::now() + 2);
    let mut ends = Handshake::to("/lobby/7").token(&token).enter(&gateway).await;
    let mut stays = Handshake::to("/news").token(&token).enter(&gateway).await;
    lobby.expect(&opened("ann")).await;

    assert_eq!(ends.closed().await, (1008, "token expired".to_owned()));
    lobby.expect(&closed("ann")).await;

    stays.say("still here").await;
    assert_eq!(stays.hear().await, "still here");
    assert_eq!(Handshake::to("/news").token(&token).refused(&gateway).await.error(), "token_expired");
    let _again = Client::enter(&gateway, "ann").await;
    lobby.expect(&opened("ann")).await;
}

#[tokio::test]
async fn a_silent_client_is_pinged_and_dropped_if_it_does_not_answer() {
    let mut backend = Backend::echo().await;
    let setup =
        Setup::new(backend.address()).lobby("keepalive.interval", "100ms").lobby("keepalive.timeout", "1s");
    let gateway = Gateway::start(&setup).await;
    let mut live = Handshake::of("live").enter_raw(&gateway).await;
    backend.expect(&opened("live")).await;
    let mut dead = Handshake::of("dead").enter_raw(&gateway).await;
    backend.expect(&opened("dead")).await;

    let answering = async {
        loop {
            match live.frame().await {
                Some((opcode::PING, payload)) => live.write(&masked_frame(opcode::PONG, &payload)).await,
                other => panic!("not a ping: {other:?}"),
            }
        }
    };
    let dying = async {
        assert_eq!(dead.frame().await, Some((opcode::PING, Vec::new())));
        dead.ended().await;
        backend.expect(&closed("dead")).await;
    };
    tokio::select! {
        () = answering => {},
        () = dying => {},
    }

    live.say("I live").await;
    backend.expect(&message("live", "I live")).await;
}

#[tokio::test]
async fn a_client_that_says_nothing_for_too_long_is_closed_and_a_pong_is_nothing() {
    let mut backend = Backend::start().await;
    let setup = Setup::new(backend.address()).lobby("idle_timeout", "500ms");
    let gateway = Gateway::start(&setup).await;
    let before = Instant::now();
    let mut ann = Handshake::of("ann").enter_raw(&gateway).await;
    ann.write(&masked_frame(opcode::PONG, b"")).await;

    assert_eq!(ann.closed().await, (1001, "idle for too long".to_owned()));

    assert!(before.elapsed() >= Duration::from_millis(500));
    backend.expect(&opened("ann")).await;
    backend.expect(&closed("ann")).await;
}

#[tokio::test]
async fn a_gateway_that_stops_says_each_close_before_it_closes_the_client_spread_over_its_time() {
    let mut backend = Backend::start().await;
    let setup = Setup::new(backend.address()).with("drain.time", "600ms").lobby("reopen_gap", "100ms");
    let mut gateway = Gateway::start(&setup).await;
    let mut clients = Vec::new();
    for user in ["ann", "bob", "cid", "dan"] {
        clients.push((user, Client::enter(&gateway, user).await));
        backend.expect(&opened(user)).await;
    }

    let before = Instant::now();
    gateway.drain();
    let told = &backend;
    let ends = clients.into_iter().map(|(user, mut client)| async move {
        let end = client.closed().await;
        let close = told.events().into_iter().find(|event| event.is("close", user));
        (end, close.expect("the backend has heard of it").at, Instant::now())
    });
    let ends = join_all(ends).await;
    gateway.stopped().await;

    for (end, ..) in &ends {
        assert_eq!(*end, (1001, "gateway is shutting down".to_owned()));
    }
    let last = ends.iter().map(|(.., at)| *at).max().expect("there are four");
    assert!(last - before >= Duration::from_millis(700), "over after {:?}", last - before);
    // Six hundred milliseconds over four, less what a busy machine makes of it.
    let (first_close, last_close) = (ends[0].1, ends[3].1);
    assert!(last_close - first_close >= Duration::from_millis(150), "{:?}", last_close - first_close);
    backend.heard("the link's end", |entry| matches!(entry.heard, Heard::Close(Some(1001)))).await;
    backend.heard("the link's end", |entry| matches!(entry.heard, Heard::Ended)).await;
    assert_eq!(backend.dials(), 1);
}

#[tokio::test]
async fn a_gateway_without_clients_stops_at_once_and_closes_its_links() {
    let backend = Backend::start().await;
    let mut gateway = Gateway::start(&Setup::new(backend.address()).with("drain.time", "1h")).await;
    gateway.link_is("up").await;
    gateway.drain();
    gateway.stopped().await;
    backend.heard("the link's end", |entry| matches!(entry.heard, Heard::Close(Some(1001)))).await;
}

#[tokio::test]
async fn a_gateway_whose_backend_is_away_stops_all_the_same() {
    let mut backend = Backend::start().await;
    let setup = Setup::new(backend.address()).with("drain.confirm_timeout", "200ms");
    let mut gateway = Gateway::start(&setup).await;
    let mut ann = Client::enter(&gateway, "ann").await;
    backend.expect(&opened("ann")).await;
    backend.stop_listening().await;
    backend.cut();
    gateway.link_is("down").await;
    let mut bob = Client::enter(&gateway, "bob").await;

    gateway.drain();

    assert_eq!(ann.closed().await.0, 1001);
    assert_eq!(bob.closed().await.0, 1001);
    gateway.stopped().await;
}

#[tokio::test]
async fn a_link_that_comes_up_while_the_gateway_drains_still_hears_the_closes() {
    let mut backend = Backend::start().await;
    let setup = Setup::new(backend.address()).with("drain.confirm_timeout", "30s");
    let mut gateway = Gateway::start(&setup).await;
    let mut ann = Client::enter(&gateway, "ann").await;
    backend.expect(&opened("ann")).await;
    backend.stop_listening().await;
    backend.cut();
    gateway.link_is("down").await;

    gateway.drain();
    gateway.drains().await;
    backend.listen();

    backend.expect(&closed("ann")).await;
    assert_eq!(ann.closed().await.0, 1001);
    gateway.stopped().await;
    assert!(backend.untaken().is_empty());
}
