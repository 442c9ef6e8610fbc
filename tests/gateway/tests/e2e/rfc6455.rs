//! RFC 6455, case by case, as the Autobahn test suite has it in its sections 1 to 7 and 10 (tests/autobahn runs the suite
//! itself): what a client sends, all that it gets, and with which code the connection ends. And that nobody is given
//! compression (docs/decisions/no-compression.md).

use serde_json::json;
use trunkline_gateway_tests::rig::{
    Backend, Gateway, Handshake, Raw, Setup, masked_frame, masked_part, message,
    opcode::{BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT},
    opened,
};

/// What a client sends, and the frames that it gets before the connection ends: opcode and payload.
type Case = (String, Vec<u8>, Vec<(u8, Vec<u8>)>);

/// A gateway before an echo, with binary messages.
async fn echo() -> (Backend, Gateway) {
    let backend = Backend::echo().await;
    let setup = Setup::new(backend.address()).lobby("binary", "base64").lobby("message_bytes_max", "64KiB");
    let gateway = Gateway::start(&setup).await;
    (backend, gateway)
}

/// Each case is a client of its own. One whom the gateway closes with 1000 has closed first.
async fn play(cases: impl IntoIterator<Item = Case>, code: u16) {
    let (_backend, gateway) = echo().await;
    for (what, sent, frames) in cases {
        let mut raw = Handshake::of(&what).enter_raw(&gateway).await;
        raw.write(&sent).await;
        for frame in frames {
            let got = raw.frame().await;
            assert!(got.as_ref() == Some(&frame), "{what}: {got:?} in place of {frame:?}");
        }
        if code == 1000 {
            raw.write(&close(1000, b"")).await;
        }
        ends(&mut raw, &what, Some(code)).await;
    }
}

/// Expects a close frame next, and nothing after it.
async fn ends(raw: &mut Raw, what: &str, code: Option<u16>) {
    let (opcode, payload) = raw.frame().await.unwrap_or_else(|| panic!("{what}: no close frame"));
    let given = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
    assert_eq!((opcode, given), (CLOSE, code), "{what}");
    raw.ended().await;
}

fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    masked_frame(CLOSE, &[&code.to_be_bytes(), reason].concat())
}

/// A message, in frames of these payloads.
fn parts(opcode: u8, payloads: &[&[u8]]) -> Vec<u8> {
    let mut all: Vec<_> = payloads.iter().map(|payload| masked_part(CONTINUATION, payload)).collect();
    all[0][0] |= opcode;
    all[payloads.len() - 1][0] |= 0x80;
    all.concat()
}

fn case(what: impl Into<String>, sent: Vec<u8>, frames: Vec<(u8, Vec<u8>)>) -> Case {
    (what.into(), sent, frames)
}

#[tokio::test]
async fn section_1_messages_of_every_length_of_length_come_back() {
    let of_size = |size| [(TEXT, vec![b'*'; size]), (BINARY, vec![0xfe; size])];
    let messages = [0, 1, 125, 126, 127, 128, 65535, 65536].into_iter().flat_map(of_size);
    let cases = messages.map(|(opcode, payload)| {
        let what = format!("{opcode}, {} bytes", payload.len());
        case(what, masked_frame(opcode, &payload), vec![(opcode, payload)])
    });
    play(cases, 1000).await;
}

#[tokio::test]
async fn section_2_every_ping_is_answered_in_order_and_a_pong_is_not() {
    let ping = |payload: &[u8]| masked_frame(PING, payload);
    let answered = |payload: &[u8]| vec![(PONG, payload.to_vec())];
    let ten: Vec<_> = (0..10).map(|n| format!("payload-{n}").into_bytes()).collect();
    let cases = [
        case("empty", ping(b""), answered(b"")),
        case("bytes", ping(b"\x00\xff\xfe\xfd"), answered(b"\x00\xff\xfe\xfd")),
        case("longest", ping(&[0xfe; 125]), answered(&[0xfe; 125])),
        case("pong", masked_frame(PONG, b"unasked"), Vec::new()),
        case("pong, ping", [masked_frame(PONG, b"a"), ping(b"b")].concat(), answered(b"b")),
        case(
            "ten",
            ten.iter().flat_map(|n| ping(n)).collect(),
            ten.iter().flat_map(|n| answered(n)).collect(),
        ),
    ];
    play(cases, 1000).await;
    play([case("too long", ping(&[0; 126]), Vec::new())], 1002).await;
}

#[tokio::test]
async fn sections_3_and_4_reserved_bits_and_opcodes_are_refused() {
    let with_bits = |bits: u8| [TEXT, BINARY, PING, PONG, CLOSE].map(|opcode| bits << 4 | opcode);
    let firsts = (1..8).flat_map(with_bits).chain(3..8).chain(11..16);
    let cases = firsts.flat_map(|first| {
        [&b""[..], b"payload"].map(|payload| {
            case(format!("{first:02x}, {} bytes", payload.len()), masked_frame(first, payload), Vec::new())
        })
    });
    play(cases, 1002).await;
}

#[tokio::test]
async fn section_5_fragments_make_one_message_and_control_frames_may_come_between() {
    let ping = masked_frame(PING, b"!");
    let (begin, go_on) = (masked_part(TEXT, b"a"), masked_part(CONTINUATION, b"b"));
    let (end, end_empty) = (masked_frame(CONTINUATION, b"c"), masked_frame(CONTINUATION, b""));
    let (pong, abc) = ((PONG, b"!".to_vec()), (TEXT, b"abc".to_vec()));
    let cases = [
        case("three", [&begin[..], &go_on, &end].concat(), vec![abc.clone()]),
        case(
            "pings",
            [&begin[..], &ping, &go_on, &ping, &end].concat(),
            vec![pong.clone(), pong.clone(), abc.clone()],
        ),
        case("empty", parts(TEXT, &[b"", b"", b""]), vec![(TEXT, Vec::new())]),
        case("empty around", parts(TEXT, &[b"", b"abc", b""]), vec![abc]),
        case("binary", parts(BINARY, &[b"\xff", b"\xfe"]), vec![(BINARY, b"\xff\xfe".to_vec())]),
        case("never complete", [&begin[..], &ping].concat(), vec![pong]),
    ];
    play(cases, 1000).await;
    let cases = [
        case("ping", masked_part(PING, b""), Vec::new()),
        case("pong", masked_part(PONG, b""), Vec::new()),
        case("close", masked_part(CLOSE, b""), Vec::new()),
        case("nothing to go on with", go_on, Vec::new()),
        case("nothing to end", end_empty, Vec::new()),
        case("a message within", [begin, masked_frame(TEXT, b"d")].concat(), Vec::new()),
    ];
    play(cases, 1002).await;
}

#[tokio::test]
async fn section_6_text_is_utf8_and_what_cannot_become_it_is_refused_at_once() {
    let valid = [
        "κόσμε",
        "\u{7f}\u{80}\u{7ff}\u{800}",
        "\u{d7ff}\u{e000}\u{fdd0}\u{fffd}\u{fffe}\u{ffff}",
        "\u{10000}🦊\u{10ffff}",
    ];
    let cases = valid.into_iter().flat_map(|text| {
        let bytewise: Vec<_> = text.as_bytes().chunks(1).collect();
        let sent = [masked_frame(TEXT, text.as_bytes()), parts(TEXT, &bytewise)];
        sent.map(|sent| case(text, sent, vec![(TEXT, text.as_bytes().to_vec())]))
    });
    play(cases, 1000).await;

    // Each is wrong with its last byte.
    let wrong: [&[u8]; 13] = [
        b"\x80",
        b"\xbf",
        b"\xc0",
        b"\xc1",
        b"\xc3a",
        b"\xe0\x80",
        b"\xe0\x9f",
        b"\xed\xa0",
        b"\xf0\x8f",
        b"\xf4\x90",
        b"\xf5",
        b"\xfe",
        b"\xff",
    ];
    let cases = wrong.into_iter().flat_map(|wrong| {
        let text = [b"\xce\xba", wrong].concat();
        let (before, last) = text.split_at(text.len() - 1);
        let mut unfinished = masked_frame(TEXT, &[&text[..], b"rest"].concat());
        unfinished.truncate(unfinished.len() - 4);
        let sent = [
            masked_frame(TEXT, &text),
            [masked_part(TEXT, before), masked_part(CONTINUATION, last)].concat(),
            unfinished,
        ];
        sent.map(|sent| case(format!("{wrong:02x?}"), sent, Vec::new()))
    });
    play(cases, 1007).await;
    play([case("cut", masked_frame(TEXT, b"\xf0\x9f\xa6"), Vec::new())], 1007).await;
}

#[tokio::test]
async fn section_7_a_close_is_answered_with_its_code_and_what_comes_after_it_is_not() {
    let (_backend, gateway) = echo().await;
    let codes =
        [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999];
    let given = codes.map(|code| (close(code, &[b'*'; 123]), Some(code)));
    for (sent, code) in given.into_iter().chain([(masked_frame(CLOSE, b""), None)]) {
        let mut raw = Handshake::of("ann").enter_raw(&gateway).await;
        let after = [masked_frame(TEXT, b"x"), masked_frame(PING, b"x"), close(1001, b"")].concat();
        raw.write(&[sent, after].concat()).await;
        ends(&mut raw, &format!("{code:?}"), code).await;
    }
    let codes = [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535];
    let unsendable = codes.map(|code| case(code.to_string(), close(code, b""), Vec::new()));
    let others = [
        case("one byte", masked_frame(CLOSE, b"x"), Vec::new()),
        case("too long", close(1000, &[b'*'; 124]), Vec::new()),
    ];
    play(unsendable.into_iter().chain(others), 1002).await;
    play([case("reason", close(1000, b"\xce\xba\xed\xa0\x80"), Vec::new())], 1007).await;
}

#[tokio::test]
async fn section_10_a_message_in_many_fragments_comes_back() {
    let payload = vec![b'*'; 65536];
    let fragments: Vec<_> = payload.chunks(1300).collect();
    play([case("fragments of 1300 bytes", parts(TEXT, &fragments), vec![(TEXT, payload.clone())])], 1000)
        .await;
}

#[tokio::test]
async fn whoever_offers_compression_is_let_in_without_it_and_compressed_messages_are_refused() {
    const NAME: &str = "Sec-WebSocket-Extensions";
    let (_backend, gateway) = echo().await;
    let offers: [&[&str]; 12] = [
        &["permessage-deflate"],
        &["permessage-deflate; client_max_window_bits"],
        &["permessage-deflate; server_max_window_bits=8; client_max_window_bits=\"15\""],
        &["permessage-deflate; server_no_context_takeover; client_no_context_takeover"],
        &["permessage-deflate; client_max_window_bits, permessage-deflate"],
        &["permessage-deflate", "permessage-deflate; server_max_window_bits=10"],
        &["Permessage-Deflate", "x-webkit-deflate-frame, permessage-bzip2; q=1"],
        &["permessage-deflate; server_max_window_bits=7"],
        &["permessage-deflate; server_max_window_bits=8; server_max_window_bits=8"],
        &["permessage-deflate;;; =,, \"unfinished"],
        &[""],
        &[",;="],
    ];
    for offer in offers {
        let request = offer.iter().fold(Handshake::of("ann"), |request, value| request.with(NAME, value));
        let (mut raw, answer) = request.ask(gateway.address()).await;
        assert_eq!((answer.status, answer.header(NAME)), (101, None), "{offer:?}");
        raw.say("plain").await;
        assert_eq!(raw.hear().await, "plain", "{offer:?}");
        // "Hello" as in RFC 7692, section 7.2.3.1.
        raw.write(&masked_frame(0x40 | TEXT, b"\xf2\x48\xcd\xc9\xc9\x07\x00")).await;
        ends(&mut raw, &format!("{offer:?}"), Some(1002)).await;
    }
}

#[tokio::test]
async fn of_pings_whose_answers_cannot_go_out_some_and_the_newest_are_answered() {
    let mut backend = Backend::start().await;
    let setup = Setup::new(backend.address()).lobby("client_queue.bytes_max", "64MiB");
    let gateway = Gateway::start(&setup).await;
    let mut raw = Handshake::of("ann").enter_raw(&gateway).await;
    backend.expect(&opened("ann")).await;
    // More than the sockets take between them.
    let action = json!({ "action": "send", "user": { "username": "ann" }, "data": "x".repeat(1 << 20) });
    for _ in 0..24 {
        backend.send(&action);
    }
    backend.carried_out().await;

    for n in 1..=100 {
        raw.write(&masked_frame(PING, &[n])).await;
    }
    raw.say("that was the last").await;
    backend.expect(&message("ann", "that was the last")).await;

    for _ in 0..24 {
        assert_eq!(raw.hear().await.len(), 1 << 20);
    }
    // Sixteen may have been queued and sixteen due, less where many came in one read.
    let mut answered = Vec::new();
    while answered.last() != Some(&100) {
        let (opcode, payload) = raw.frame().await.expect("the connection is open");
        assert_eq!((opcode, payload.len()), (PONG, 1));
        answered.push(payload[0]);
    }
    assert!(answered.is_sorted() && (16..=32).contains(&answered.len()), "{answered:?}");
    assert!(answered.starts_with(&Vec::from_iter(1..16)), "{answered:?}");
    raw.write(&close(1000, b"")).await;
    ends(&mut raw, "and no more", Some(1000)).await;
}
