//! The link: how it is made, how it breaks, and that there is one of it.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use trunkline_gateway_tests::rig::{
    Backend, Client, Gateway, Heard, Setup, Upgrade, closed, masked_frame, message, opened, within,
};

fn send(user: &str, data: &str) -> Value {
    json!({ "action": "send", "user": { "username": user }, "data": data })
}

#[tokio::test]
async fn an_endpoint_has_one_link_however_many_clients_it_has() {
    let mut lobby = Backend::echo().await;
    let news = Backend::echo().await;
    let setup = Setup::new(lobby.address()).endpoint("news", "/news", news.address());
    let gateway = Gateway::start(&setup).await;

    let mut clients = Vec::new();
    for number in 0..30 {
        let user = format!("user-{number}");
        let mut client = Client::enter(&gateway, &user).await;
        client.say(&user).await;
        assert_eq!(client.hear().await, user);
        clients.push(client);
    }
    news.linked(1).await;
    assert_eq!((lobby.dials(), news.dials()), (1, 1));

    lobby.cut();
    lobby.linked(2).await;
    lobby.take_all();
    clients[0].say("over the second").await;
    assert_eq!(clients[0].hear().await, "over the second");
    assert_eq!((lobby.dials(), lobby.links_open(), news.dials()), (2, 1, 1));
}

#[tokio::test]
async fn a_link_that_breaks_again_and_again_is_back_each_time_without_delay() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&Setup::new(backend.address())).await;
    let breaks = async {
        for links in 1..=20 {
            backend.linked(links).await;
            gateway.link_is("up").await;
            backend.cut();
        }
    };
    // Each takes a moment, and not the second after which the driver looks around by itself.
    within("twenty links", breaks).await;
}

#[tokio::test]
async fn a_backend_that_does_not_upgrade_is_asked_again_and_its_clients_wait() {
    let answers = [
        "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        "SSH-2.0-OpenSSH_9.6\r\n\r\n",
        "",
    ];
    let mut backend = Backend::absent(true);
    backend.answer_upgrades(Upgrade::Answer(answers[0]));
    backend.listen();
    let gateway = Gateway::start(&Setup::new(backend.address())).await;
    let mut ann = Client::enter(&gateway, "ann").await;
    ann.say("patience").await;
    for answer in answers {
        backend.answer_upgrades(Upgrade::Answer(answer));
        backend.dialled(backend.dials() + 2).await;
    }

    backend.answer_upgrades(Upgrade::Accept);

    backend.expect(&opened("ann")).await;
    backend.expect(&message("ann", "patience")).await;
    assert_eq!(ann.hear().await, "patience");
}

#[tokio::test]
async fn a_backend_that_breaks_the_protocol_is_dialled_again_and_its_clients_stay() {
    let oversize = [&[0x81, 127][..], &(5u64 << 20).to_be_bytes()].concat();
    let cases: [(&str, Vec<u8>); 8] = [
        ("masked", masked_frame(1, b"{}")),
        ("reserved bit", b"\xc1\x02{}".to_vec()),
        ("unknown opcode", b"\x83\x00".to_vec()),
        ("garbage", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
        ("oversize", oversize),
        ("text not UTF-8", b"\x81\x02\xc3\x28".to_vec()),
        ("nothing to continue", b"\x80\x01x".to_vec()),
        ("close 1005", b"\x88\x02\x03\xed".to_vec()),
    ];
    let mut backend = Backend::echo().await;
    let gateway = Gateway::start(&Setup::new(backend.address())).await;
    let mut ann = Client::enter(&gateway, "ann").await;
    backend.expect(&opened("ann")).await;
    for (index, (what, bytes)) in cases.into_iter().enumerate() {
        backend.send_raw(&bytes);
        let event = backend.expect(&opened("ann")).await;
        assert_eq!(event.link, index + 1, "{what}");
        backend.send(&send("ann", what));
        assert_eq!(ann.hear().await, what);
        ann.say("and back").await;
        backend.expect(&message("ann", "and back")).await;
        assert_eq!(ann.hear().await, "and back");
    }
}

#[tokio::test]
async fn a_backend_that_breaks_the_protocol_is_told_so() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&Setup::new(backend.address())).await;
    gateway.link_is("up").await;
    backend.send_raw(b"\x83\x00");
    let entry = backend.heard("a close frame", |entry| matches!(entry.heard, Heard::Close(_))).await;
    assert!(matches!(
        entry,
        trunkline_gateway_tests::rig::Entry { link: 0, heard: Heard::Close(Some(1002)) }
    ));
}

#[tokio::test]
async fn a_backend_that_closes_its_link_in_good_order_is_answered_and_dialled_again() {
    let mut backend = Backend::start().await;
    let gateway = Gateway::start(&Setup::new(backend.address())).await;
    let _ann = Client::enter(&gateway, "ann").await;
    backend.expect(&opened("ann")).await;

    backend.close(1012);

    let event = backend.expect(&opened("ann")).await;
    assert_eq!(event.link, 1);
    let answered = |heard: &Heard| matches!(heard, Heard::Close(Some(1012)));
    assert!(
        backend.log().iter().any(|entry| entry.link == 0 && answered(&entry.heard)),
        "{:?}",
        backend.log()
    );
}

#[tokio::test]
async fn pings_of_the_backend_are_answered_also_among_the_parts_of_a_message() {
    let mut backend = Backend::start().await;
    let gateway = Gateway::start(&Setup::new(backend.address())).await;
    let mut ann = Client::enter(&gateway, "ann").await;
    backend.expect(&opened("ann")).await;
    let pong =
        |wanted: &'static [u8]| move |heard: &Heard| matches!(heard, Heard::Pong(got) if got == wanted);

    backend.send_message(Message::Ping(b"are you there?".to_vec().into()));
    let wanted = pong(b"are you there?");
    backend.heard("a pong", |entry| wanted(&entry.heard)).await;

    let action = send("ann", "in parts").to_string();
    let (head, tail) = action.split_at(action.len() / 2);
    backend.send_raw(&[&[0x01, head.len() as u8][..], head.as_bytes()].concat());
    backend.send_message(Message::Ping(b"amidst".to_vec().into()));
    let wanted = pong(b"amidst");
    backend.heard("a pong", |entry| wanted(&entry.heard)).await;
    backend.send_raw(&[&[0x80, tail.len() as u8][..], tail.as_bytes()].concat());
    assert_eq!(ann.hear().await, "in parts");
    assert_eq!(backend.dials(), 1);
}

#[tokio::test]
async fn a_backend_that_answers_no_ping_for_too_long_is_dialled_again() {
    let mut backend = Backend::start().await;
    let setup = Setup::new(backend.address()).lobby("link.pong_timeout", "300ms");
    let gateway = Gateway::start(&setup).await;
    let mut ann = Client::enter(&gateway, "ann").await;
    backend.expect(&opened("ann")).await;

    backend.reads(false);
    ann.say("into the void").await;
    backend.dialled(2).await;
    backend.reads(true);

    backend
        .until("a second open, and nothing of the first link twice", |events| {
            events.iter().filter(|event| event.is("open", "ann")).count() >= 2
        })
        .await;
    ann.leave().await;
    backend.until("the close", |events| events.last().is_some_and(|event| event.text == closed("ann"))).await;
}
