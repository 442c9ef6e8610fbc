//! Backends that fail in every way, on real sockets. Each test names what a bystander sees: a client of another
//! endpoint, driven by the same thread, is served throughout; the faulty backend is dialled again; its clients stay.
//!
//! What stands elsewhere: a reset link, one that breaks again and again, an upgrade that is answered with 200, 403 or
//! garbage, and frames against RFC 6455 (`link.rs`); a client that cannot take what its backend sends
//! (`flow.rs`); actions that are none (`messages.rs`); a backend that is killed or stands still
//! (`tests/peers/test_outages.py`). A machine that vanishes, so that nothing acknowledges what is sent, cannot be made
//! from loopback alone: that is tried in `tests/simulation`, whose networks lose segments, without the kernel's timers.

use std::{
    thread,
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::{net::TcpListener, runtime::Builder, sync::oneshot};
use tokio_tungstenite::tungstenite::Message;
use trunkline_gateway_tests::rig::{
    Backend, Bystander, Client, Gateway, Handshake, Heard, Relay, Setup, Upgrade, closed, message, opened,
    tokens, within,
};

/// A `send` with this data, as JSON text.
fn send(user: &str, data: &str) -> String {
    format!(r#"{{"action":"send","user":{{"username":"{user}"}},"data":{data}}}"#)
}

/// A frame of a server: `first` is its first byte.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..126 => frame.push(len as u8),
        len @ 126..0x1_0000 => {
            frame.push(126);
            frame.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            frame.push(127);
            frame.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(payload);
    frame
}

/// A gateway with the endpoint `lobby` under test, and a bystander at the endpoint `news`, whose backend is well. Both
/// are driven by one thread.
struct Scene {
    gateway: Gateway,
    bystander: Bystander,
    news: Backend,
}

impl Scene {
    async fn with(setup: Setup) -> Scene {
        let news = Backend::echo().await;
        let setup = setup.endpoint("news", "/news", news.address()).with("limits.workers", 1);
        let gateway = Gateway::start(&setup).await;
        let request = Handshake::to("/news").token(&tokens::of("bystander"));
        let bystander = Bystander::of(request.enter(&gateway).await);
        Scene { gateway, bystander, news }
    }

    /// The bystander has been served until now, over one link.
    async fn ends(self) {
        self.bystander.leaves().await;
        assert_eq!(self.news.dials(), 1, "the bystander's link is the same");
    }
}

/// The endpoint `lobby` goes on: `ann` is heard, and hears.
async fn assert_served(backend: &mut Backend, ann: &mut Client, what: &str) {
    ann.say(what).await;
    backend.expect(&message("ann", what)).await;
    backend.send_text(&send("ann", &json!(what).to_string()));
    assert_eq!(ann.hear().await, what);
}

#[tokio::test]
async fn a_link_that_ends_in_the_middle_of_a_frame_is_dialled_again_and_half_an_action_does_nothing() {
    let whole = frame(0x81, send("ann", &format!("\"{}\"", "x".repeat(300))).as_bytes());
    let mut backend = Backend::start().await;
    let mut scene = Scene::with(Setup::new(backend.address())).await;
    let mut ann = Client::enter(&scene.gateway, "ann").await;
    backend.expect(&opened("ann")).await;
    let mut links = 1;
    // In its first byte, in its length, right behind its header, in its payload, before its last byte.
    for bytes in [1, 3, 4, 100, whole.len() - 1] {
        for is_reset in [true, false] {
            backend.send_raw(&whole[..bytes]);
            if is_reset {
                backend.cut()
            } else {
                backend.end()
            }
            links += 1;
            backend.linked(links).await;
            assert_eq!(backend.expect(&opened("ann")).await.link, links - 1);
            assert_served(&mut backend, &mut ann, &format!("{bytes} bytes, reset: {is_reset}")).await;
        }
    }
    scene.bystander.served().await;
    scene.ends().await;
}

#[tokio::test]
async fn a_backend_that_accepts_and_says_nothing_is_hung_up_on_in_time_and_dialled_again() {
    given_up_in_time(Upgrade::hold("")).await;
}

#[tokio::test]
async fn a_backend_that_answers_a_byte_at_a_time_is_hung_up_on_in_time_and_dialled_again() {
    let answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n".to_vec();
    given_up_in_time(Upgrade::Hold(answer, Duration::from_millis(100))).await;
}

#[tokio::test]
async fn a_backend_that_says_again_and_again_that_it_will_answer_is_hung_up_on_in_time() {
    let answer = "HTTP/1.1 102 Processing\r\n\r\n".repeat(1000);
    given_up_in_time(Upgrade::hold(&answer)).await;
}

/// Each dial is given up after `link.connect_timeout`; the clients are held, and served as soon as it upgrades.
async fn given_up_in_time(upgrade: Upgrade) {
    const LIMIT: Duration = Duration::from_millis(300);
    let mut backend = Backend::absent(true);
    backend.answer_upgrades(upgrade);
    backend.listen();
    let setup = Setup::new(backend.address()).lobby("link.connect_timeout", "300ms");
    let began = Instant::now();
    let mut scene = Scene::with(setup).await;
    let mut ann = Client::enter(&scene.gateway, "ann").await;
    ann.say("patience").await;

    backend.hung_up(3).await;

    assert!(began.elapsed() >= 3 * LIMIT, "three after {:?}", began.elapsed());
    scene.bystander.served().await;
    backend.answer_upgrades(Upgrade::Accept);
    backend.expect(&opened("ann")).await;
    backend.expect(&message("ann", "patience")).await;
    assert_eq!(ann.hear().await, "patience");
    scene.ends().await;
}

#[tokio::test]
async fn a_backend_that_refuses_and_keeps_the_connection_is_hung_up_on_at_once() {
    let answers = [
        "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nnot all of it",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\n\r\nuntil the connection ends",
        "HTTP/1.1 301 Moved Permanently\r\nLocation: ws://127.0.0.1:9/\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        "SSH-2.0-OpenSSH_9.6\r\n",
        "\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03",
        &format!("HTTP/1.1 101 Switching Protocols\r\nX-Long: {}", "x".repeat(100_000)),
        &format!("HTTP/1.1 101 Switching Protocols\r\n{}", "X: y\r\n".repeat(1_000)),
    ];
    let mut backend = Backend::absent(true);
    backend.answer_upgrades(Upgrade::hold(answers[0]));
    backend.listen();
    // So long that nothing here is over because of it.
    let setup = Setup::new(backend.address()).lobby("link.connect_timeout", "1m");
    let mut scene = Scene::with(setup).await;
    let mut ann = Client::enter(&scene.gateway, "ann").await;
    for answer in answers {
        backend.answer_upgrades(Upgrade::hold(answer));
        let dials = backend.dials();
        // All that were dialled before the last two have ended: none is left behind.
        backend.dialled(dials + 3).await;
        backend.hung_up(dials + 2).await;
        scene.bystander.served().await;
    }

    backend.answer_upgrades(Upgrade::Accept);
    backend.expect(&opened("ann")).await;
    ann.say("at last").await;
    assert_eq!(ann.hear().await, "at last");
    scene.ends().await;
}

#[tokio::test]
async fn a_backend_that_redirects_is_dialled_again_and_nobody_goes_where_it_points() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
    let location = elsewhere.local_addr().expect("it is bound");
    let mut backend = Backend::absent(false);
    backend.listen();
    let scene = Scene::with(Setup::new(backend.address())).await;
    backend.linked(1).await;
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let answer = format!("HTTP/1.1 {status}\r\nLocation: ws://{location}/\r\nContent-Length: 0\r\n\r\n");
        backend.answer_upgrades(Upgrade::hold(&answer));
        // There is a link only the first time.
        backend.cut();
        backend.dialled(backend.dials() + 2).await;
    }

    backend.answer_upgrades(Upgrade::Accept);
    scene.gateway.link_is("up").await;
    // Whoever had gone there would be waiting to be accepted.
    let visit = tokio::time::timeout(Duration::ZERO, elsewhere.accept()).await;
    assert!(visit.is_err(), "{visit:?}");
    scene.ends().await;
}

#[tokio::test]
async fn a_backend_that_floods_with_actions_for_nobody_holds_up_no_other_endpoint() {
    let (flooding, address, over) = flood();
    let address = within("the backend listens", address).await.expect("the backend listens");
    let mut scene = Scene::with(Setup::new(address)).await;
    let mut ann = Client::enter(&scene.gateway, "ann").await;
    scene.bystander.served().await;
    let before = scene.bystander.trips();

    // It comes behind all the others.
    assert_eq!(ann.hear().await, "after all that");

    let meanwhile = scene.bystander.trips() - before;
    assert!(meanwhile >= 2, "the bystander made {meanwhile} round trips meanwhile");
    scene.bystander.served().await;
    scene.ends().await;
    drop(over);
    let links = flooding.join().expect("the backend has not failed");
    assert_eq!(links, 1, "a flood is no reason to break the link");
}

/// A backend that sends 400,000 actions that nobody gets, once `ann` is there, and then one for her. It has a thread of
/// its own, so that it is slowed down by nothing but the gateway; it ends when it is told to, and says how many links it
/// has had. Where it is comes once it listens.
fn flood() -> (thread::JoinHandle<usize>, oneshot::Receiver<String>, oneshot::Sender<()>) {
    const PARTS: usize = 200;
    const PAIRS_PER_PART: usize = 1_000;
    let (tell, address) = oneshot::channel();
    let (over, is_over) = oneshot::channel::<()>();
    let flooding = thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().expect("there is a runtime");
        runtime.block_on(async {
            let mut backend = Backend::start().await;
            tell.send(backend.address()).expect("the test waits for it");
            backend.expect(&opened("ann")).await;
            let pair = [frame(0x81, send("nobody", "\"x\"").as_bytes()), frame(0x81, b"no action")].concat();
            let part = pair.repeat(PAIRS_PER_PART);
            (0..PARTS).for_each(|_| backend.send_raw(&part));
            backend.send_text(&send("ann", "\"after all that\""));
            // Told or dropped: both mean that the test is over.
            let _ = is_over.await;
            backend.dials()
        })
    });
    (flooding, address, over)
}

#[tokio::test]
async fn a_backend_that_sends_what_is_too_large_or_not_utf8_is_told_so_and_dialled_again() {
    // Who still sends as the connection ends may lose what it is told.
    const UNTOLD: u16 = 0;
    let huge = |len: u64| [&[0x82, 127][..], &len.to_be_bytes()].concat();
    let half = vec![b' '; (2 << 20) + 1];
    let cases: [(&str, Vec<u8>, u16); 8] = [
        ("one byte more than the limit", huge((4 << 20) + 1), 1009),
        ("an exabyte", huge(1 << 60), 1009),
        ("more than there are numbers for", huge(u64::MAX), 1009),
        ("too large in parts", [frame(0x01, &half), frame(0x80, &half)].concat(), UNTOLD),
        ("10 MB of white space", frame(0x81, &vec![b' '; 10_000_000]), UNTOLD),
        ("not UTF-8", frame(0x81, b"{\"action\":\"\xff\"}"), 1007),
        ("not UTF-8 in parts", [frame(0x01, b"{\xe2\x82"), frame(0x80, b"}")].concat(), 1007),
        ("a surrogate", frame(0x81, b"\xed\xa0\x80"), 1007),
    ];
    let mut backend = Backend::start().await;
    // So no Pong is on its way when the connection ends, which could cost the close frame.
    let setup = Setup::new(backend.address()).lobby("link.confirm_delay", "10s");
    let mut scene = Scene::with(setup).await;
    let mut ann = Client::enter(&scene.gateway, "ann").await;
    backend.expect(&opened("ann")).await;
    for (link, (what, bytes, code)) in cases.into_iter().enumerate() {
        backend.send_raw(&bytes);

        assert_eq!(backend.expect(&opened("ann")).await.link, link + 1, "{what}");
        if code != UNTOLD {
            let is_told = |heard: &Heard| matches!(heard, Heard::Close(Some(told)) if *told == code);
            let what = format!("{what}: a close frame with {code}");
            backend.heard(&what, |entry| entry.link == link && is_told(&entry.heard)).await;
        }
        assert_served(&mut backend, &mut ann, what).await;
        scene.bystander.served().await;
    }
    scene.ends().await;
}

#[tokio::test]
async fn white_space_and_deep_json_that_fit_are_no_actions_and_the_link_goes_on() {
    const DEPTH: usize = 1_000_000;
    let nested = |open: &str, inner: &str, close: &str| {
        format!("{}{inner}{}", open.repeat(DEPTH), close.repeat(DEPTH))
    };
    let deep = nested("[", "", "]");
    let deep_object = nested(r#"{"a":"#, "0", "}");
    let frames = [
        " ".repeat(10_000_000),
        "\r\n\t ".repeat(2_500_000),
        deep.clone(),
        "[".repeat(2 * DEPTH),
        deep_object.clone(),
        send("ann", &deep),
        send("ann", &deep_object),
        format!(r#"{{"action":"send","user":{deep_object},"data":"x"}}"#),
        format!(r#"{{"x":{deep},"action":"send","user":{{"username":"ann"}},"data":"x"}}"#),
        format!(r#"{{"action":"send","user":{{"username":"{}"}},"data":"x"}}"#, "a".repeat(10_000_000)),
    ];
    let mut backend = Backend::start().await;
    let setup = Setup::new(backend.address()).lobby("link.message_bytes_max", "16MiB");
    let mut scene = Scene::with(setup).await;
    let mut ann = Client::enter(&scene.gateway, "ann").await;
    backend.expect(&opened("ann")).await;
    for (index, text) in frames.into_iter().enumerate() {
        backend.send_message(Message::text(text));
        assert_served(&mut backend, &mut ann, &index.to_string()).await;
        scene.bystander.served().await;
    }
    // White space around an action does no harm, however much it is.
    let space = " ".repeat(5_000_000);
    backend.send_text(&format!("{space}{}{space}", send("ann", "\"in the midst\"")));
    assert_eq!(ann.hear().await, "in the midst");
    assert_eq!(backend.dials(), 1, "the link is the same");
    scene.ends().await;
}

#[tokio::test]
async fn a_link_on_which_nothing_comes_and_nothing_ends_is_given_up_and_dialled_again() {
    for is_idle in [false, true] {
        let mut backend = Backend::start().await;
        let (address, path) = parts(&backend.address());
        let relay = Relay::before(address).await;
        let setup = Setup::new(format!("{}{path}", relay.address()))
            .lobby("link.ping_interval", "200ms")
            .lobby("link.pong_timeout", "2s")
            .lobby("redeliver", "unconfirmed");
        let mut scene = Scene::with(setup).await;
        let mut ann = Client::enter(&scene.gateway, "ann").await;
        let bob = Client::enter(&scene.gateway, "bob").await;
        backend.expect_all([opened("ann"), opened("bob")]).await;
        backend.carried_out().await;

        relay.pull();
        if !is_idle {
            ann.say("into the void").await;
            bob.leave().await;
        }

        backend.linked(2).await;
        if is_idle {
            backend.expect_all([opened("ann"), opened("bob")]).await;
        } else {
            // The one who left meanwhile is closed first, and what was said is said again.
            backend.expect(&closed("bob")).await;
            backend.expect(&opened("ann")).await;
            backend.expect(&message("ann", "into the void")).await;
        }
        assert_served(&mut backend, &mut ann, "on the second link").await;
        scene.bystander.served().await;
        scene.ends().await;
    }
}

/// The address and the path of a backend.
fn parts(backend: &str) -> (std::net::SocketAddr, String) {
    let (address, path) = backend.split_once('/').expect("a backend has a path");
    (address.parse().expect("it has an address"), format!("/{path}"))
}
