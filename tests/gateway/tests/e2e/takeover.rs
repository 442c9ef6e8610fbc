//! One user, several clients: takeovers, returns and the gap (language.md, "Two clients, one user" and "Events").

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use trunkline_gateway_tests::rig::{
    Backend, Client, Event, Gateway, Handshake, Raw, Setup, closed, message, opened, tokens,
};

const TAKEN_OVER: &str = "Only one connection per endpoint per token bearer is allowed";
/// A gap that is long enough for others to do something in.
const GAP: Duration = Duration::from_millis(400);

/// A gateway with that gap, before an echo.
async fn with_gap() -> (Backend, Gateway) {
    let backend = Backend::echo().await;
    let gateway = Gateway::start(&Setup::new(backend.address()).lobby("reopen_gap", "400ms")).await;
    gateway.link_is("up").await;
    (backend, gateway)
}

fn ann_to(lobby: &str) -> Handshake {
    Handshake::to(&format!("/lobby/{lobby}")).token(&tokens::of("ann"))
}

fn lobby(event: &Event) -> &str {
    event.json["params"]["lobby_id"].as_str().unwrap_or_default()
}

fn close_ann(status: u16) -> Value {
    json!({ "action": "close", "user": { "username": "ann" }, "status": status })
}

/// Everything that the gateway had to say before has come once a new user's `open` has.
async fn assert_nothing_more(backend: &mut Backend, gateway: &Gateway, user: &str) {
    let _witness = Client::enter(gateway, user).await;
    backend.expect(&opened(user)).await;
}

#[tokio::test]
async fn a_new_client_takes_over_and_the_backend_hears_the_close_before_the_open_by_the_gap() {
    let (mut backend, gateway) = with_gap().await;
    let mut old = Client::enter(&gateway, "ann").await;
    backend.expect(&opened("ann")).await;

    // The close leaves after this, so the gap measured from here is never too short by chance.
    let before = Instant::now();
    let mut new = ann_to("8").enter(&gateway).await;
    new.say("from the new one").await;
    assert_eq!(old.closed().await, (1008, TAKEN_OVER.to_owned()));

    backend.expect(&closed("ann")).await;
    let open = backend.next_event().await;
    assert_eq!((open.kind(), open.user(), lobby(&open)), ("open", "ann", "8"));
    assert!(open.at - before >= GAP, "only {:?}", open.at - before);
    let said = backend.next_event().await;
    assert_eq!((said.data(), lobby(&said)), ("from the new one", "8"));
    assert_eq!(new.hear().await, "from the new one");
}

#[tokio::test]
async fn nobody_else_waits_for_the_gap_of_one_user() {
    let (mut backend, gateway) = with_gap().await;
    let mut bob = Client::enter(&gateway, "bob").await;
    backend.expect(&opened("bob")).await;
    let _old = Client::enter(&gateway, "ann").await;
    backend.expect(&opened("ann")).await;

    let _new = Client::enter(&gateway, "ann").await;
    bob.say("meanwhile").await;

    backend.expect(&closed("ann")).await;
    backend.expect(&message("bob", "meanwhile")).await;
    backend.expect(&opened("ann")).await;
}

#[tokio::test]
async fn who_leaves_and_comes_back_waits_for_the_gap_too() {
    let (mut backend, gateway) = with_gap().await;
    let old = Client::enter(&gateway, "ann").await;
    backend.expect(&opened("ann")).await;

    let before = Instant::now();
    old.leave().await;
    let _new = Client::enter(&gateway, "ann").await;

    backend.expect(&closed("ann")).await;
    let open = backend.expect(&opened("ann")).await;
    assert!(open.at - before >= GAP, "only {:?}", open.at - before);
}

#[tokio::test]
async fn of_several_connections_of_one_user_at_once_the_last_one_stays() {
    let mut backend = Backend::echo().await;
    let gateway = Gateway::start(&Setup::new(backend.address()).lobby("reopen_gap", "100ms")).await;
    gateway.link_is("up").await;

    let mut clients = Vec::new();
    for lobby in 1..=6 {
        clients.push(ann_to(&lobby.to_string()).enter(&gateway).await);
    }
    let mut last = clients.pop().expect("six came");
    for mut client in clients {
        assert_eq!(client.closed().await, (1008, TAKEN_OVER.to_owned()));
    }
    last.say("the last one").await;
    assert_eq!(last.hear().await, "the last one");

    let events = backend.take_all();
    let kinds: Vec<_> = events.iter().map(Event::kind).collect();
    let (told, end) = kinds.split_at(kinds.len() - 2);
    assert_eq!(end, ["open", "message"]);
    assert_eq!(lobby(&events[events.len() - 1]), "6");
    assert!(told.chunks(2).all(|pair| pair == ["open", "close"]), "{kinds:?}");
    for pair in events.chunks(2) {
        assert_eq!(lobby(&pair[0]), lobby(&pair[1]), "a close bears the parameters of its own session");
    }
}

#[tokio::test]
async fn an_old_client_that_is_slow_to_close_hinders_nobody_and_is_heard_no_more() {
    let mut backend = Backend::echo().await;
    let gateway = Gateway::start(&Setup::new(backend.address()).lobby("close_timeout", "500ms")).await;
    let mut old = Handshake::of("ann").enter_raw(&gateway).await;
    backend.expect(&opened("ann")).await;

    let mut new = Client::enter(&gateway, "ann").await;
    backend.expect(&closed("ann")).await;
    old.say("too late").await;
    backend.expect(&opened("ann")).await;
    old.say("much too late").await;
    new.say("in time").await;

    backend.expect(&message("ann", "in time")).await;
    assert_eq!(new.hear().await, "in time");
    assert_eq!(old.closed().await, (1008, TAKEN_OVER.to_owned()));
    // It never answers; its time to do so passes, and nobody else notices.
    old.ended().await;
    new.say("still").await;
    backend.expect(&message("ann", "still")).await;
    assert_eq!(new.hear().await, "still");
}

#[tokio::test]
async fn a_client_that_its_backend_closed_lingers_while_its_user_comes_back() {
    let mut backend = Backend::echo().await;
    let gateway = Gateway::start(&Setup::new(backend.address()).lobby("close_timeout", "500ms")).await;
    let mut old: Raw = Handshake::of("ann").enter_raw(&gateway).await;
    backend.expect(&opened("ann")).await;
    backend.send(&close_ann(4000));
    assert_eq!(old.closed().await.0, 4000);

    let mut new = Client::enter(&gateway, "ann").await;
    backend.expect(&opened("ann")).await;
    old.say("from beyond").await;
    new.say("hello again").await;

    backend.expect(&message("ann", "hello again")).await;
    assert_eq!(new.hear().await, "hello again");
    old.ended().await;
    new.say("and still here").await;
    backend.expect(&message("ann", "and still here")).await;
    assert_eq!(new.hear().await, "and still here");
}

#[tokio::test]
async fn a_session_that_its_backend_ended_is_not_told_to_it() {
    let mut backend = Backend::start().await;
    let gateway = Gateway::start(&Setup::new(backend.address())).await;
    let mut ann = Client::enter(&gateway, "ann").await;
    backend.expect(&opened("ann")).await;
    backend.send(&close_ann(4000));
    assert_eq!(ann.closed().await.0, 4000);
    assert_nothing_more(&mut backend, &gateway, "bob").await;
}

#[tokio::test]
async fn a_close_of_the_backend_that_may_have_crossed_a_takeover_is_carried_out_and_told() {
    for (window, told) in [("1m", true), ("0s", false)] {
        let mut backend = Backend::start().await;
        let gateway = Gateway::start(&Setup::new(backend.address()).lobby("crossing_window", window)).await;
        let mut old = Client::enter(&gateway, "ann").await;
        backend.expect(&opened("ann")).await;
        let mut new = Client::enter(&gateway, "ann").await;
        assert_eq!(old.closed().await.0, 1008);
        backend.expect(&closed("ann")).await;
        backend.expect(&opened("ann")).await;

        backend.send(&close_ann(4000));

        assert_eq!(new.closed().await.0, 4000);
        if told {
            backend.expect(&closed("ann")).await;
        }
        assert_nothing_more(&mut backend, &gateway, "bob").await;
    }
}

#[tokio::test]
async fn who_leaves_before_its_open_could_go_out_is_never_heard_of() {
    let (mut backend, gateway) = with_gap().await;
    let mut old = Client::enter(&gateway, "ann").await;
    backend.expect(&opened("ann")).await;

    let mut new = ann_to("8").enter(&gateway).await;
    new.say("unheard").await;
    new.leave().await;

    assert_eq!(old.closed().await.0, 1008);
    backend.expect(&closed("ann")).await;
    // The next one is announced after the gap: what was before it would have come.
    let _last = ann_to("7").enter(&gateway).await;
    backend.expect(&opened("ann")).await;
}

#[tokio::test]
async fn who_gives_up_right_behind_its_request_leaves_no_ghost() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&Setup::new(backend.address())).await;
    gateway.link_is("up").await;
    // Each goes at another moment: before it is asked about, while, or after.
    for number in 0..200 {
        let mut raw = Raw::connect(gateway.address()).await;
        raw.write(Handshake::of(&format!("ghost-{number}")).text().as_bytes()).await;
        drop(raw);
    }
    let _witness = Client::enter(&gateway, "bob").await;
    backend.until("bob's open", |events| events.iter().any(|event| event.is("open", "bob"))).await;
    backend
        .until("a close for every open but bob's", |events| {
            let count = |kind| events.iter().filter(|event| event.kind() == kind).count();
            count("open") == count("close") + 1
        })
        .await;
}
