//! The backend goes away and comes back (language.md, "When the backend is away").

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::pin,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use serde_json::json;
use tokio::time::timeout;
use trunkline_gateway_tests::rig::{
    Backend, Client, Entry, Event, Gateway, Handshake, Heard, Setup, closed, message, opened, within,
};

/// The users whom a backend that forgets nothing takes to be there.
fn present(events: &[Event]) -> BTreeSet<String> {
    let mut users = BTreeSet::new();
    for event in events {
        match event.kind() {
            "open" => users.insert(event.user().to_owned()),
            "close" => users.remove(event.user()),
            _ => false,
        };
    }
    users
}

#[tokio::test]
async fn clients_that_come_before_the_backend_are_held_and_what_they_said_follows_their_open() {
    let mut backend = Backend::absent(true);
    let gateway = Gateway::start(&Setup::new(backend.address())).await;
    let mut ann = Client::enter(&gateway, "ann").await;
    let mut bob = Client::enter(&gateway, "bob").await;
    let cid = Client::enter(&gateway, "cid").await;
    ann.say("one").await;
    ann.say("two").await;
    cid.leave().await;

    backend.listen();

    backend.expect(&opened("ann")).await;
    backend.expect(&message("ann", "one")).await;
    backend.expect(&message("ann", "two")).await;
    backend.expect(&opened("bob")).await;
    assert_eq!(ann.hear().await, "one");
    assert_eq!(ann.hear().await, "two");
    bob.say("three").await;
    backend.expect(&message("bob", "three")).await;
    assert_eq!(bob.hear().await, "three");
}

#[tokio::test]
async fn an_outage_that_lasts_longer_than_the_grace_closes_the_clients_spread_over_a_time() {
    let began = Instant::now();
    let backend = Backend::absent(false);
    let setup = Setup::new(backend.address()).lobby("outage.grace", "300ms").lobby("outage.spread", "800ms");
    let gateway = Gateway::start(&setup).await;
    let mut clients = Vec::new();
    for user in ["ann", "bob", "cid", "dan"] {
        clients.push(Client::enter(&gateway, user).await);
    }

    let ends = clients.into_iter().map(|mut client| async move { (client.closed().await, Instant::now()) });
    let ends = join_all(ends).await;

    for (end, _) in &ends {
        assert_eq!(*end, (1013, "backend unavailable".to_owned()));
    }
    let (first, last) = (ends[0].1, ends[3].1);
    assert!(last - began >= Duration::from_millis(1_100), "after {:?}", last - began);
    // Six hundred milliseconds lie between them, less what a busy machine makes of it.
    assert!(last - first >= Duration::from_millis(200), "all within {:?}", last - first);
    assert_eq!(Handshake::of("eve").refused(&gateway).await.status, 503);
}

#[tokio::test]
async fn a_backend_that_returns_within_the_grace_finds_its_clients_and_hears_of_them_again() {
    let backend = Backend::echo().await;
    let gateway = Gateway::start(&Setup::new(backend.address())).await;
    let mut ann = Client::enter(&gateway, "ann").await;
    ann.say("before").await;
    assert_eq!(ann.hear().await, "before");

    let (mut backend, _) = backend.restarted().await;

    backend.expect(&opened("ann")).await;
    ann.say("after").await;
    backend.expect(&message("ann", "after")).await;
    assert_eq!(ann.hear().await, "after");
}

#[tokio::test]
async fn closes_that_are_owed_come_before_any_open_and_are_confirmed_first() {
    let mut backend = Backend::start().await;
    let gateway = Gateway::start(&Setup::new(backend.address())).await;
    let _ann = Client::enter(&gateway, "ann").await;
    backend.expect(&opened("ann")).await;
    let bob = Client::enter(&gateway, "bob").await;
    backend.expect(&opened("bob")).await;
    let _cid = Client::enter(&gateway, "cid").await;
    backend.expect(&opened("cid")).await;

    backend.stop_listening().await;
    backend.cut();
    gateway.link_is("down").await;
    bob.leave().await;
    let _dan = Client::enter(&gateway, "dan").await;
    backend.listen();

    for text in [closed("bob"), opened("ann"), opened("cid"), opened("dan")] {
        backend.expect(&text).await;
    }
    let second: Vec<_> = backend.log().into_iter().filter(|entry| entry.link == 1).collect();
    let position = |is: &dyn Fn(&Heard) -> bool| second.iter().position(|Entry { heard, .. }| is(heard));
    let ping = position(&|heard| matches!(heard, Heard::Ping)).expect("the gateway asks for confirmation");
    let open = position(&|heard| matches!(heard, Heard::Event(event) if event.kind() == "open"));
    assert!(open.is_some_and(|open| ping < open), "{second:?}");
}

#[tokio::test]
async fn a_session_that_ended_right_before_the_break_is_closed_again_if_that_was_not_confirmed() {
    let mut backend = Backend::start().await;
    let gateway = Gateway::start(&Setup::new(backend.address())).await;
    let ann = Client::enter(&gateway, "ann").await;
    backend.expect(&opened("ann")).await;
    let _bob = Client::enter(&gateway, "bob").await;
    backend.expect(&opened("bob")).await;

    // The close lies unread in the backend's socket, and goes with it.
    backend.reads(false);
    ann.leave().await;
    backend.cut();
    backend.ended(0).await;
    backend.reads(true);

    backend.expect(&closed("ann")).await;
    backend.expect(&opened("bob")).await;
}

#[tokio::test]
async fn a_backend_that_restarts_under_traffic_hears_of_everyone_and_nothing_twice() {
    let backend = Backend::echo().await;
    let gateway = Gateway::start(&Setup::new(backend.address())).await;
    let users = ["ann", "bob", "cid"];
    let mut clients = Vec::new();
    for user in users {
        clients.push((user, Client::enter(&gateway, user).await));
    }
    backend.until("all are there", |events| present(events).len() == users.len()).await;
    let (stop, stopped) = tokio::sync::watch::channel(false);

    // Each says numbers until it is told to stop, and then a last word, which comes back.
    let traffic = join_all(clients.into_iter().map(|(user, mut client)| {
        let stopped = stopped.clone();
        async move {
            let mut number = 0;
            while !*stopped.borrow() {
                client.say(&format!("{user} {number}")).await;
                number += 1;
                tokio::task::yield_now().await;
            }
            client.say("last").await;
            while client.hear().await != "last" {}
            (number, client)
        }
    }));
    let restart = async {
        backend
            .until("traffic", |events| events.iter().filter(|event| event.kind() == "message").count() > 100)
            .await;
        let (backend, before) = backend.restarted().await;
        let said_by = |events: &[Event], user| events.iter().any(|event| event.is("message", user));
        backend.until("traffic of all again", |events| users.iter().all(|user| said_by(events, user))).await;
        stop.send_replace(true);
        (backend, before)
    };
    let (clients, (backend, before)) =
        within("the traffic ends", async { tokio::join!(traffic, restart) }).await;

    let after = backend.events();
    for user in users {
        let first = after.iter().find(|event| event.user() == user).expect("it was heard of");
        assert_eq!(first.kind(), "open", "{user}");
        let said =
            before.iter().chain(&after).filter(|event| event.is("message", user) && event.data() != "last");
        let numbers: Vec<u32> =
            said.map(|event| event.data()[4..].parse().expect("it says numbers")).collect();
        assert!(numbers.is_sorted_by(|a, b| a < b), "{user}: out of order, or twice");
    }
    assert!(clients.iter().all(|(count, _)| *count > 0));
    assert_eq!(present(&after).len(), users.len());
}

#[tokio::test]
async fn where_unconfirmed_messages_are_sent_again_none_is_lost_and_order_is_kept() {
    let mut backend = Backend::start().await;
    let gateway = Gateway::start(&Setup::new(backend.address()).lobby("redeliver", "unconfirmed")).await;
    let mut ann = Client::enter(&gateway, "ann").await;
    backend.expect(&opened("ann")).await;

    backend.reads(false);
    for number in 0..50 {
        ann.say(&number.to_string()).await;
    }
    backend.cut();
    backend.ended(0).await;
    backend.reads(true);
    for number in 50..60 {
        ann.say(&number.to_string()).await;
    }

    backend.expect(&opened("ann")).await;
    for number in 0..60 {
        backend.expect(&message("ann", &number.to_string())).await;
    }
}

/// Numbers that look random, the same for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }
}

#[tokio::test]
async fn after_cuts_under_random_joins_and_leaves_backend_and_gateway_agree_on_who_is_there() {
    join_all((0..10).map(joins_leaves_and_cuts)).await;
}

async fn joins_leaves_and_cuts(seed: u64) {
    let backend = Backend::echo().await;
    let gateway = Gateway::start(&Setup::new(backend.address()).lobby("reopen_gap", "5ms")).await;
    let mut dice = Dice(seed);
    let mut clients: BTreeMap<String, Client> = BTreeMap::new();
    for step in 0..60 {
        let user = format!("user-{}", dice.roll(6));
        match (dice.roll(10), clients.remove(&user)) {
            // Comes, or takes over.
            (0..4, _) => {
                let client = Client::enter(&gateway, &user).await;
                clients.insert(user, client);
            }
            (4..6, Some(client)) => client.leave().await,
            // Vanishes.
            (6, Some(_)) => {}
            (7..9, Some(mut client)) => {
                client.say(&format!("{step}")).await;
                clients.insert(user, client);
            }
            (_, Some(client)) => {
                backend.cut();
                clients.insert(user, client);
            }
            (_, None) => backend.cut(),
        }
    }
    let there: BTreeSet<String> = clients.keys().cloned().collect();
    backend.until(&format!("agreement, seed {seed}"), |events| present(events) == there).await;
    // And they stay agreed: who is there can be reached.
    for (user, client) in &mut clients {
        let action = json!({ "action": "send", "user": { "username": user }, "data": "the end" });
        // The last cut may not have been noticed yet, and what is sent over a link that was cut is lost.
        let reached = async {
            let heard = async { while client.hear().await != "the end" {} };
            let mut heard = pin!(heard);
            loop {
                backend.send(&action);
                if timeout(Duration::from_millis(200), &mut heard).await.is_ok() {
                    return;
                }
            }
        };
        within(&format!("{user} is reached, seed {seed}"), reached).await;
    }
    assert_eq!(present(&backend.events()), there, "seed {seed}");
}
