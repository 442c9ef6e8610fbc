//! Hostile frames, after a right handshake.

use rand::{RngExt, rngs::StdRng, seq::IndexedRandom};

use super::attack::{Attack, Ending, cut, mutate, noise};
use crate::rig::{masked_frame, masked_part, opcode};

/// What the frames of one attack are, and whether the gateway must end the connection because of them.
type Kind = (&'static str, fn(&mut StdRng) -> Vec<u8>, bool);

const KINDS: &[Kind] = &[
    ("noise for frames", |dice| noise(dice, 1..3000), false),
    (
        "mutated frames",
        |dice| {
            let mut bytes = good(dice);
            mutate(dice, &mut bytes);
            bytes
        },
        false,
    ),
    (
        "aborted in a frame",
        |dice| {
            let frame = good(dice);
            let at = dice.random_range(0..frame.len());
            frame[..at].to_vec()
        },
        false,
    ),
    ("good frames", good, false),
    ("reserved bits and opcodes", reserved, true),
    (
        "not masked",
        |dice| {
            let text = noise(dice, 0..125);
            [&[0x81, text.len() as u8][..], &text].concat()
        },
        true,
    ),
    ("bad lengths", bad_lengths, true),
    ("not UTF-8", not_utf8, true),
    ("bad close frames", bad_close, true),
    ("bad fragments", bad_fragments, true),
    ("message too big", too_big, true),
    (
        "many empty fragments",
        |dice| many(dice, masked_part(opcode::TEXT, b""), masked_part(opcode::CONTINUATION, b"")),
        false,
    ),
    (
        "many pings",
        |dice| {
            let ping = masked_frame(opcode::PING, &noise(dice, 0..126));
            many(dice, ping.clone(), ping)
        },
        false,
    ),
];

/// An attack with frames; its greeting is still missing.
pub(super) fn attack(dice: &mut StdRng) -> Attack {
    let &(name, make, must_end) = KINDS.choose(dice).unwrap_or(&KINDS[0]);
    let mut bytes = if dice.random_bool(0.5) { good(dice) } else { Vec::new() };
    bytes.extend(make(dice));
    let ending = match dice.random_range(0..8) {
        0 | 1 if must_end => Ending::Wait,
        2 | 3 => Ending::Reset,
        _ => Ending::Fin,
    };
    Attack { name, greeting: None, pieces: cut(dice, bytes), ending }
}

/// A message as it should be, though its content is none that one would like.
fn good(dice: &mut StdRng) -> Vec<u8> {
    let texts = [
        "",
        "hello",
        "\u{0}\u{1}\u{1f}\u{7f}\u{2028}\u{10ffff}",
        r#"{"event":"close","user":{"username":"well-behaved"}}"#,
        "\r\n{\"level\":\"ERROR\",\"message\":\"forged\"}\r\n",
    ];
    let text = texts.choose(dice).unwrap_or(&texts[0]);
    match dice.random_range(0..4) {
        0 => masked_frame(opcode::BINARY, text.as_bytes()),
        1 => masked_frame(opcode::TEXT, text.repeat(dice.random_range(1..20)).as_bytes()),
        2 => masked_frame(opcode::PONG, b"nobody asked"),
        _ => {
            [masked_part(opcode::TEXT, text.as_bytes()), masked_frame(opcode::CONTINUATION, b"end")].concat()
        }
    }
}

fn reserved(dice: &mut StdRng) -> Vec<u8> {
    if dice.random_bool(0.5) {
        masked_frame([0x41, 0x22, 0x19, 0x72, 0x48][dice.random_range(0..5)], b"x")
    } else {
        masked_frame([3, 4, 5, 6, 7, 11, 12, 13, 14, 15][dice.random_range(0..10)], b"x")
    }
}

fn bad_lengths(dice: &mut StdRng) -> Vec<u8> {
    let long = |len: u64| [&[0x82, 0xff][..], &len.to_be_bytes()].concat();
    match dice.random_range(0..5) {
        0 => vec![0x81, 0xfe, 0, dice.random_range(0..126)],
        1 => long(dice.random_range(0..0x1_0000)),
        2 => long(u64::MAX),
        3 => long(1 << 63 | u64::from(dice.random::<u32>())),
        _ => vec![0x89, 0xfe, 0x01, 0x00, 1, 2, 3, 4],
    }
}

fn not_utf8(dice: &mut StdRng) -> Vec<u8> {
    let bad: [&[u8]; 6] =
        [b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\xaf", b"\xf0\x9f\xa6"];
    let mut text = "so far so good ".repeat(dice.random_range(0..9)).into_bytes();
    text.extend_from_slice(bad.choose(dice).unwrap_or(&bad[0]));
    if dice.random_bool(0.5) {
        let rest = text.split_off(dice.random_range(0..text.len()));
        return [masked_part(opcode::TEXT, &text), masked_frame(opcode::CONTINUATION, &rest)].concat();
    }
    masked_frame(opcode::TEXT, &text)
}

fn bad_close(dice: &mut StdRng) -> Vec<u8> {
    let close =
        |code: u16, reason: &[u8]| masked_frame(opcode::CLOSE, &[&code.to_be_bytes()[..], reason].concat());
    match dice.random_range(0..5) {
        0 => masked_frame(opcode::CLOSE, b"x"),
        1 => close([0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535][dice.random_range(0..10)], b""),
        2 => close(1000, b"\xff\xfe"),
        3 => masked_part(opcode::CLOSE, b"\x03\xe8"),
        _ => masked_frame(opcode::CLOSE, &[b'x'; 126]),
    }
}

fn bad_fragments(dice: &mut StdRng) -> Vec<u8> {
    match dice.random_range(0..4) {
        0 => masked_frame(opcode::CONTINUATION, b"of nothing"),
        1 => [masked_part(opcode::TEXT, b"a"), masked_frame(opcode::TEXT, b"b")].concat(),
        2 => [masked_part(opcode::BINARY, b"a"), masked_part(opcode::TEXT, b"b")].concat(),
        _ => masked_part(opcode::PING, b""),
    }
}

fn too_big(dice: &mut StdRng) -> Vec<u8> {
    let size = super::campaign::MESSAGE_BYTES_MAX;
    if dice.random_bool(0.5) {
        return masked_frame(opcode::TEXT, &vec![b'x'; size + dice.random_range(1..5000)]);
    }
    let mut bytes = masked_part(opcode::TEXT, &vec![b'x'; size / 2]);
    bytes.extend(masked_part(opcode::CONTINUATION, &vec![b'x'; size / 2]));
    bytes.extend(masked_frame(opcode::CONTINUATION, b"one more"));
    bytes
}

fn many(dice: &mut StdRng, first: Vec<u8>, next: Vec<u8>) -> Vec<u8> {
    let count = dice.random_range(1..500);
    [first, next.repeat(count)].concat()
}
