//! What clients and backend say to each other, to the byte, and what becomes of each action (language.md, "Events"
//! and "Actions").

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use trunkline_gateway_tests::rig::{
    Backend, Client, Gateway, Handshake, Raw, Setup, closed, masked_frame, masked_part, message, opcode,
    opened, tokens,
};

/// Texts that break what does not treat them as mere text.
const TEXTS: [&str; 9] = [
    "hello",
    "",
    "\"quoted\" and \\escaped\\ and /slashed/",
    "\u{0}\u{1}\u{8}\t\n\u{b}\u{c}\r\u{1f}\u{7f}",
    "🦊 astral \u{10ffff} and \u{feff}\u{2028}\u{fffd}",
    r#"{"event":"close","user":{"username":"bob"}}"#,
    r#"{"action":"send","data":"\u0000\ud83e\udd8a"}"#,
    "__proto__",
    "</script>&amp;'",
];

/// An echo, a gateway before it, and `ann` in lobby 7, announced.
async fn echo() -> (Backend, Gateway, Client) {
    entered(Backend::echo().await).await
}

/// As [`echo`], with a backend that says nothing by itself.
async fn silent() -> (Backend, Gateway, Client) {
    entered(Backend::start().await).await
}

async fn entered(mut backend: Backend) -> (Backend, Gateway, Client) {
    let gateway = Gateway::start(&Setup::new(backend.address())).await;
    let ann = Client::enter(&gateway, "ann").await;
    backend.expect(&opened("ann")).await;
    (backend, gateway, ann)
}

fn send(user: &str, data: impl Into<Value>) -> Value {
    json!({ "action": "send", "user": { "username": user }, "data": data.into() })
}

/// Nothing came to `ann` before this, and this does come.
async fn assert_still_there(backend: &Backend, ann: &mut Client) {
    backend.send(&send("ann", "still there"));
    assert_eq!(ann.hear().await, "still there");
}

#[tokio::test]
async fn every_text_arrives_as_it_was_sent_in_both_directions() {
    let (mut backend, _gateway, mut ann) = echo().await;
    for text in TEXTS {
        ann.say(text).await;
        let event = backend.next_event().await;
        assert_eq!(event.data(), text);
        assert_eq!(ann.hear().await, text);
    }
}

#[tokio::test]
async fn events_are_written_as_existing_backends_know_them() {
    let (mut backend, _gateway, mut ann) = silent().await;
    let cases = [
        ("a\"b\\c/d", r#""a\"b\\c/d""#),
        ("\u{8}\t\n\u{c}\r\u{0}\u{1f}", r#""\b\t\n\f\r\u0000\u001f""#),
        ("é🦊\u{7f}\u{2028}", "\"é🦊\u{7f}\u{2028}\""),
    ];
    for (text, written) in cases {
        ann.say(text).await;
        let start = r#"{"event":"message","user":{"username":"ann"},"params":{"lobby_id":"7"},"data":"#;
        backend.expect(&format!("{start}{written}}}")).await;
    }
    ann.leave().await;
    backend.expect(r#"{"event":"close","user":{"username":"ann"},"params":{"lobby_id":"7"}}"#).await;
}

#[tokio::test]
async fn large_messages_arrive_whole_in_both_directions() {
    let (mut backend, _gateway, mut ann) = echo().await;
    for bytes in [125, 126, 127, 0xffff, 0x1_0000, 128 << 10] {
        let text: String = "0123456789abcde\n".chars().cycle().take(bytes).collect();
        ann.say(&text).await;
        assert!(backend.next_event().await.data() == text, "{bytes} bytes");
        assert!(ann.hear().await == text, "{bytes} bytes");
    }
}

#[tokio::test]
async fn data_that_is_no_string_goes_as_its_json_text_as_it_stands() {
    let (backend, _gateway, mut ann) = silent().await;
    for data in
        ["{\"b\": 1,\n \"a\":[ ]}", "[1, 2.50,\"x\"]", "-0.0e+1", "12345678901234567890123", "true", "null"]
    {
        backend.send_text(&format!(r#"{{"action":"send","user":{{"username":"ann"}},"data":{data}}}"#));
        assert_eq!(ann.hear().await, data);
    }
}

#[tokio::test]
async fn escapes_in_an_action_are_undone_and_a_lone_surrogate_becomes_the_replacement_character() {
    let (backend, _gateway, mut ann) = silent().await;
    let cases = [
        (r#""\u0041\ud83e\udd8a\/\b""#, "A🦊/\u{8}"),
        (r#""a\ud800b""#, "a\u{fffd}b"),
        (r#""\udc00\ud83e""#, "\u{fffd}\u{fffd}"),
    ];
    for (data, text) in cases {
        backend.send_text(&format!(r#"{{"action":"send","user":{{"username":"\u0061nn"}},"data":{data}}}"#));
        assert_eq!(ann.hear().await, text);
    }
    backend.send_text(r#"{"action":"send","user":{"username":"ann\ud800"},"data":"to nobody"}"#);
    assert_still_there(&backend, &mut ann).await;
}

#[tokio::test]
async fn parameters_are_percent_decoded_and_the_query_is_none() {
    let mut backend = Backend::start().await;
    let setup = Setup::new(backend.address()).lobby("path", "/lobby/{lobby_id}/seat/{seat}");
    let gateway = Gateway::start(&setup).await;
    let target = "/lobby/a%20b%2F%C3%A9%22/seat/%F0%9F%A6%8A+?x=y";

    let _ann = Handshake::to(target).token(&tokens::of("ann")).enter(&gateway).await;

    let event = backend.next_event().await;
    assert_eq!(
        event.text,
        r#"{"event":"open","user":{"username":"ann"},"params":{"lobby_id":"a b/é\"","seat":"🦊+"}}"#
    );
}

#[tokio::test]
async fn users_that_are_named_like_parts_of_objects_are_users_like_any_other() {
    let mut backend = Backend::echo().await;
    let gateway = Gateway::start(&Setup::new(backend.address())).await;
    for user in ["__proto__", "constructor", "toString", "hasOwnProperty"] {
        // Before they are there, and when they are.
        backend.linked(1).await;
        backend.send(&send(user, "to nobody"));
        backend.carried_out().await;
        let mut client = Client::enter(&gateway, user).await;
        backend.expect(&opened(user)).await;
        client.say("hello").await;
        backend.expect(&message(user, "hello")).await;
        assert_eq!(client.hear().await, "hello");
        backend.send(&json!({ "action": "close", "user": { "username": user }, "status": 4000 }));
        assert_eq!(client.closed().await.0, 4000);
    }
}

#[tokio::test]
async fn a_message_goes_to_its_user_and_to_nobody_else() {
    let (mut backend, gateway, mut ann) = silent().await;
    let mut bob = Client::enter(&gateway, "bob").await;
    let mut upper = Client::enter(&gateway, "Ann").await;
    backend.expect(&opened("bob")).await;
    backend.expect(&opened("Ann")).await;

    for (user, data) in [("ann", "1"), ("bob", "2"), ("Ann", "3"), ("ann ", "4"), ("ann", "5")] {
        backend.send(&send(user, data));
    }

    assert_eq!(ann.hear().await, "1");
    assert_eq!(bob.hear().await, "2");
    assert_eq!(upper.hear().await, "3");
    assert_eq!(ann.hear().await, "5");
}

#[tokio::test]
async fn fields_may_come_in_any_order_twice_and_with_others_among_them() {
    let (backend, _gateway, mut ann) = silent().await;
    let frames = [
        r#" {"data":"x","user":{"more":[{}],"username":"ann"},"what":null,"action":"send"} "#,
        r#"{"action":"close","action":"send","user":{"username":"bob"},"user":{"username":"ann"},"data":1,"data":"x"}"#,
        "\r\n\t{ \"action\" : \"send\" , \"user\" : { \"username\" : \"ann\" } , \"data\" : \"x\" }\n",
    ];
    for frame in frames {
        backend.send_text(frame);
        assert_eq!(ann.hear().await, "x", "{frame}");
    }
}

#[tokio::test]
async fn an_action_may_come_in_a_binary_frame() {
    let (backend, _gateway, mut ann) = silent().await;
    backend.send_message(Message::binary(send("ann", "in binary 🦊").to_string().into_bytes()));
    assert_eq!(ann.hear().await, "in binary 🦊");
    backend.send_message(Message::binary(b"\xff\xfe".to_vec()));
    assert_still_there(&backend, &mut ann).await;
}

#[tokio::test]
async fn actions_that_cannot_be_carried_out_change_nothing() {
    let (mut backend, _gateway, mut ann) = silent().await;
    let bad = [
        "",
        "not json",
        "null",
        "[]",
        "{}",
        r#"{"action":"send","user":{"username":"ann"}}"#,
        r#"{"action":"send","user":{"username":"ann"},"data":"x""#,
        r#"{"action":"send","user":{"username":"ann"},"data":"x"} x"#,
        r#"{"action":"send","user":"ann","data":"x"}"#,
        r#"{"action":"send","user":{},"data":"x"}"#,
        r#"{"action":"send","user":{"username":7},"data":"x"}"#,
        r#"{"action":"send","data":"x"}"#,
        r#"{"action":"dance","user":{"username":"ann"}}"#,
        r#"{"action":7,"user":{"username":"ann"},"data":"x"}"#,
        r#"{"user":{"username":"ann"},"data":"x"}"#,
        r#"{"action":"send","user":{"username":"nobody"},"data":"x"}"#,
        r#"{"action":"close","user":{"username":"nobody"}}"#,
        r#"{"action":"close","user":{"username":"ann"},"status":"4000"}"#,
        r#"{"action":"close","user":{"username":"ann"},"status":4000.5}"#,
        r#"{"action":"close","user":{"username":"ann"},"reason":7}"#,
    ];
    for frame in bad {
        backend.send_text(frame);
    }
    backend.send_text(&"[".repeat(100_000));
    assert_still_there(&backend, &mut ann).await;
    ann.say("and back").await;
    backend.expect(&message("ann", "and back")).await;
    assert_eq!(backend.dials(), 1, "the link is the same");
}

#[tokio::test]
async fn the_backend_closes_with_the_status_and_reason_that_it_gives_or_with_those_for_want_of_them() {
    const WRONG: &str = "Something went wrong on the backend";
    const INITIATED: &str = "Initiated by backend";
    let cases = [
        (json!({ "status": 4001, "reason": "the lobby is full" }), 4001, "the lobby is full"),
        (json!({ "status": 4001 }), 4001, INITIATED),
        (json!({ "status": 1000 }), 1000, INITIATED),
        (json!({ "status": 1011 }), 1011, WRONG),
        (json!({}), 1011, WRONG),
        (json!({ "status": null, "reason": null }), 1011, WRONG),
        (json!({ "reason": "because" }), 1011, "because"),
        (json!({ "status": 3000, "reason": "" }), 3000, ""),
        (json!({ "status": 999 }), 1011, WRONG),
        (json!({ "status": 1005, "reason": "no status" }), 1011, "no status"),
        (json!({ "status": 1006 }), 1011, WRONG),
        (json!({ "status": 1015 }), 1011, WRONG),
        (json!({ "status": 5000 }), 1011, WRONG),
        (json!({ "status": -1 }), 1011, WRONG),
    ];
    let mut backend = Backend::start().await;
    let gateway = Gateway::start(&Setup::new(backend.address())).await;
    for (index, (fields, code, reason)) in cases.into_iter().enumerate() {
        let user = format!("user-{index}");
        let mut client = Client::enter(&gateway, &user).await;
        backend.expect(&opened(&user)).await;
        let mut action = json!({ "action": "close", "user": { "username": user } });
        for (name, value) in fields.as_object().expect("fields are an object") {
            action[name] = value.clone();
        }
        backend.send(&send(&user, "before"));
        backend.send(&action);
        backend.send(&send(&user, "after"));

        assert_eq!(client.hear().await, "before", "{action}");
        assert_eq!(client.closed().await, (code, reason.to_owned()), "{action}");
    }
    // It has ended them itself, so it hears of none.
    assert!(backend.untaken().is_empty(), "{:?}", backend.untaken());
}

#[tokio::test]
async fn a_reason_that_is_too_long_is_cut_at_the_edge_of_a_character() {
    for (reason, kept) in
        [("r".repeat(200), 123), (format!("{}🦊", "r".repeat(121)), 121), ("é".repeat(99), 122)]
    {
        let (backend, _gateway, mut ann) = silent().await;
        backend.send(
            &json!({ "action": "close", "user": { "username": "ann" }, "status": 4000, "reason": reason }),
        );
        assert_eq!(ann.closed().await, (4000, reason[..kept].to_owned()));
    }
}

#[tokio::test]
async fn by_default_a_binary_message_passes_as_its_text_and_one_that_is_not_utf8_closes_with_1007() {
    let (mut backend, _gateway, mut ann) = echo().await;
    ann.say_binary("as text 🦊".as_bytes()).await;
    backend.expect(&message("ann", "as text 🦊")).await;
    assert_eq!(ann.hear().await, "as text 🦊");

    ann.say_binary(b"\xff\x00").await;
    assert_eq!(ann.closed().await.0, 1007);
    backend.expect(&closed("ann")).await;
}

#[tokio::test]
async fn where_base64_is_configured_binary_messages_pass_in_it_both_ways() {
    let mut backend = Backend::start().await;
    let gateway = Gateway::start(&Setup::new(backend.address()).lobby("binary", "base64")).await;
    let mut ann = Client::enter(&gateway, "ann").await;
    backend.expect(&opened("ann")).await;

    ann.say_binary(b"\xff\x00\x10").await;
    let head = r#"{"event":"message","user":{"username":"ann"},"params":{"lobby_id":"7"}"#;
    backend.expect(&format!(r#"{head},"data":"/wAQ","encoding":"base64"}}"#)).await;
    ann.say("text stays text").await;
    backend.expect(&message("ann", "text stays text")).await;

    let user = json!({ "username": "ann" });
    backend.send(&json!({ "action": "send", "user": user, "data": "/wA=", "encoding": "base64" }));
    backend.send(&json!({ "action": "send", "user": user, "data": "no base64!", "encoding": "base64" }));
    backend.send(&send("ann", "/wA="));
    match ann.next().await {
        Some(Ok(Message::Binary(bytes))) => assert_eq!(&bytes[..], b"\xff\x00"),
        other => panic!("no binary message: {other:?}"),
    }
    assert_eq!(ann.hear().await, "/wA=");
}

#[tokio::test]
async fn where_binary_messages_are_rejected_one_closes_with_1003() {
    let mut backend = Backend::start().await;
    let gateway = Gateway::start(&Setup::new(backend.address()).lobby("binary", "reject")).await;
    let mut ann = Client::enter(&gateway, "ann").await;
    backend.expect(&opened("ann")).await;

    ann.say("text").await;
    ann.say_binary(b"binary").await;

    assert_eq!(ann.closed().await.0, 1003);
    backend.expect(&message("ann", "text")).await;
    backend.expect(&closed("ann")).await;
}

/// As [`echo`], with `ann` as a raw connection, and `bob` beside her.
async fn with_raw() -> (Backend, Gateway, Raw, Client) {
    let mut backend = Backend::echo().await;
    let setup = Setup::new(backend.address()).lobby("message_bytes_max", "1KiB");
    let gateway = Gateway::start(&setup).await;
    let ann = Handshake::of("ann").enter_raw(&gateway).await;
    backend.expect(&opened("ann")).await;
    let bob = Client::enter(&gateway, "bob").await;
    backend.expect(&opened("bob")).await;
    (backend, gateway, ann, bob)
}

#[tokio::test]
async fn a_fragmented_message_arrives_as_one_and_a_ping_among_its_parts_is_answered() {
    let (mut backend, _gateway, mut ann, _bob) = with_raw().await;

    ann.write(&masked_part(opcode::TEXT, b"one ")).await;
    ann.write(&masked_frame(opcode::PING, b"there?")).await;
    assert_eq!(ann.frame().await, Some((opcode::PONG, b"there?".to_vec())));
    ann.write(&masked_part(opcode::CONTINUATION, b"")).await;
    // A character may be cut by the edge of a fragment.
    ann.write(&masked_part(opcode::CONTINUATION, b"\xf0\x9f")).await;
    ann.write(&masked_frame(opcode::PING, b"")).await;
    assert_eq!(ann.frame().await, Some((opcode::PONG, Vec::new())));
    ann.write(&masked_frame(opcode::CONTINUATION, b"\xa6\x8a")).await;

    backend.expect(&message("ann", "one 🦊")).await;
    assert_eq!(ann.hear().await, "one 🦊");
}

#[tokio::test]
async fn frames_that_come_a_byte_at_a_time_arrive_whole() {
    let (mut backend, _gateway, mut ann, mut bob) = with_raw().await;
    let mut bytes = masked_frame(opcode::TEXT, b"slowly");
    bytes.extend(masked_frame(opcode::PING, b"p"));
    bytes.extend(masked_frame(opcode::TEXT, "x".repeat(200).as_bytes()));

    for byte in bytes {
        ann.write(&[byte]).await;
        // A round trip of another client: so the gateway has very probably read the byte by itself.
        bob.say("meanwhile").await;
        assert_eq!(bob.hear().await, "meanwhile");
    }

    assert_eq!(ann.hear().await, "slowly");
    assert_eq!(ann.frame().await, Some((opcode::PONG, b"p".to_vec())));
    assert_eq!(ann.hear().await, "x".repeat(200));
    let of_ann: Vec<_> = backend.take_all().into_iter().filter(|event| event.user() == "ann").collect();
    assert_eq!(of_ann.len(), 2);
}

#[tokio::test]
async fn whoever_breaks_the_protocol_is_told_how_and_nobody_else_notices() {
    let close = |payload: &[u8]| masked_frame(opcode::CLOSE, payload);
    let mut nothing_to_continue = masked_frame(opcode::CONTINUATION, b"x");
    nothing_to_continue.extend(masked_frame(opcode::TEXT, b"never read"));
    let cases: [(&str, Vec<u8>, u16); 16] = [
        ("unmasked", b"\x81\x02hi".to_vec(), 1002),
        ("first reserved bit", masked_frame(0x41, b"x"), 1002),
        ("last reserved bit", masked_frame(0x11, b"x"), 1002),
        ("unknown opcode", masked_frame(0x3, b"x"), 1002),
        ("unknown control opcode", masked_frame(0xb, b""), 1002),
        ("nothing to continue", nothing_to_continue, 1002),
        ("message within a message", [masked_part(1, b"a"), masked_frame(1, b"b")].concat(), 1002),
        ("fragmented ping", masked_part(opcode::PING, b""), 1002),
        ("ping of 126 bytes", masked_frame(opcode::PING, &[0; 126]), 1002),
        ("close of one byte", close(b"x"), 1002),
        ("close 999", close(&999u16.to_be_bytes()), 1002),
        ("close 1005", close(&1005u16.to_be_bytes()), 1002),
        ("close reason not UTF-8", close(b"\x03\xe8\xff"), 1007),
        ("text not UTF-8", masked_frame(opcode::TEXT, b"\xc3\x28"), 1007),
        ("too big", masked_frame(opcode::TEXT, &[b'x'; 1025]), 1009),
        ("too big in parts", [masked_part(1, &[b'x'; 1000]), masked_frame(0, &[b'x'; 25])].concat(), 1009),
    ];
    let (mut backend, gateway, first, mut bob) = with_raw().await;
    drop(first);
    backend.expect(&closed("ann")).await;
    for (what, bytes, code) in cases {
        let user = format!("user of {what}");
        let mut raw = Handshake::of(&user).enter_raw(&gateway).await;
        backend.expect(&opened(&user)).await;
        raw.say("first").await;
        backend.expect(&message(&user, "first")).await;
        assert_eq!(raw.hear().await, "first");

        raw.write(&bytes).await;

        assert_eq!(raw.closed().await.0, code, "{what}");
        backend.expect(&closed(&user)).await;
        raw.ended().await;
        bob.say(what).await;
        backend.expect(&message("bob", what)).await;
        assert_eq!(bob.hear().await, what);
    }
    assert_eq!(backend.dials(), 1);
}

#[tokio::test]
async fn a_message_of_exactly_the_limit_passes() {
    let (mut backend, _gateway, mut ann, _bob) = with_raw().await;
    let text = "x".repeat(1024);
    ann.say(&text).await;
    backend.expect(&message("ann", &text)).await;
    assert_eq!(ann.hear().await, text);
}

#[tokio::test]
async fn a_connection_ends_as_soon_as_both_sides_have_said_so() {
    let mut backend = Backend::start().await;
    let setup = Setup::new(backend.address()).lobby("close_timeout", "1m");
    let gateway = Gateway::start(&setup).await;
    let mut ann = Handshake::of("ann").enter_raw(&gateway).await;
    backend.expect(&opened("ann")).await;

    backend.send(&json!({ "action": "close", "user": { "username": "ann" }, "status": 4000 }));
    assert_eq!(ann.closed().await.0, 4000);
    ann.write(&masked_frame(opcode::CLOSE, b"\x0f\xa0")).await;

    ann.ended().await;
}

#[tokio::test]
async fn a_client_that_closes_is_answered_with_its_code_and_its_connection_ends() {
    let (mut backend, gateway, mut ann, _bob) = with_raw().await;
    ann.write(&masked_frame(opcode::CLOSE, b"\x0f\xa1bye")).await;
    assert_eq!(ann.closed().await.0, 4001);
    ann.ended().await;
    backend.expect(&closed("ann")).await;

    let mut cid = Handshake::of("cid").enter_raw(&gateway).await;
    backend.expect(&opened("cid")).await;
    cid.write(&masked_frame(opcode::CLOSE, b"")).await;
    assert_eq!(cid.frame().await, Some((opcode::CLOSE, Vec::new())));
    cid.ended().await;
    backend.expect(&closed("cid")).await;
}
