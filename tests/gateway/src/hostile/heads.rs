//! Hostile handshakes, and what is no handshake at all.

use rand::{RngExt, rngs::StdRng, seq::IndexedRandom};
use trunkline::token::{Algorithm, NewToken};

use super::attack::{Attack, Ending, cut, mutate, noise};
use crate::rig::{Handshake, masked_frame, tokens};

type Kind = (&'static str, fn(&mut StdRng, &str) -> Vec<u8>);

const KINDS: &[Kind] = &[
    ("noise", |dice, _| noise(dice, 1..2000)),
    ("TLS hello", tls_hello),
    ("mutated head", |dice, user| {
        let mut bytes = Handshake::of(user).text().into_bytes();
        mutate(dice, &mut bytes);
        bytes
    }),
    ("truncated head", |dice, user| {
        let mut bytes = Handshake::of(user).text().into_bytes();
        bytes.truncate(dice.random_range(0..bytes.len()));
        bytes
    }),
    ("oversized head", oversized),
    ("wrong upgrade", |dice, user| wrong_upgrade(dice, user).text().into_bytes()),
    ("bad token", |dice, user| Handshake::to("/lobby/7").token(&bad_token(dice, user)).text().into_bytes()),
    ("bad path", |dice, user| bad_path(dice).token(&tokens::of(user)).text().into_bytes()),
    ("pipelined junk", pipelined),
    ("body and lengths", lengths),
];

/// An attack on the handshake.
pub(super) fn attack(dice: &mut StdRng, user: &str) -> Attack {
    let &(name, make) = KINDS.choose(dice).unwrap_or(&KINDS[0]);
    let bytes = make(dice, user);
    let ending = match dice.random_range(0..32) {
        // A handshake that gets stuck has the gateway's whole timeout, so there are few. Nor may it be one that could
        // succeed.
        0 if matches!(name, "noise" | "truncated head" | "TLS hello") => Ending::Wait,
        0..10 => Ending::Reset,
        _ => Ending::Fin,
    };
    Attack { name, greeting: None, pieces: cut(dice, bytes), ending }
}

fn tls_hello(dice: &mut StdRng, _: &str) -> Vec<u8> {
    let mut bytes = vec![0x16, 0x03, dice.random_range(0..5), 0x01, 0xfc, 0x01, 0x00, 0x01, 0xf8, 0x03, 0x03];
    bytes.extend(noise(dice, 32..505));
    bytes
}

fn oversized(dice: &mut StdRng, user: &str) -> Vec<u8> {
    let request = Handshake::of(user);
    match dice.random_range(0..4) {
        0 => request.with("X-Long", &"x".repeat(dice.random_range(16 << 10..200 << 10))),
        1 => {
            (0..dice.random_range(60..2000)).fold(request, |request, n| request.with(&format!("X-{n}"), "x"))
        }
        2 => request
            .line(&format!("GET /lobby/{} HTTP/1.1", "7".repeat(dice.random_range(8 << 10..100 << 10)))),
        _ => Handshake::to("/lobby/7").token(&"e".repeat(dice.random_range(1 << 10..100 << 10))),
    }
    .text()
    .into_bytes()
}

fn wrong_upgrade(dice: &mut StdRng, user: &str) -> Handshake {
    let right = Handshake::of(user);
    let swap = |name: &str, value: &str| right.clone().without(name).with(name, value);
    match dice.random_range(0..10) {
        0 => swap("Sec-WebSocket-Key", "short"),
        1 => swap("Sec-WebSocket-Key", "*GhlIHNhbXBsZSBub25jZQ=="),
        2 => right.clone().with("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        3 => swap("Sec-WebSocket-Version", &dice.random_range(0..300).to_string()),
        4 => swap("Upgrade", "h2c"),
        5 => right.without("Connection"),
        6 => right.line("POST /lobby/7 HTTP/1.1"),
        7 => right.line("GET /lobby/7 HTTP/1.0"),
        8 => right.line("PRI * HTTP/2.0"),
        _ => right.line("CONNECT gateway.test:443 HTTP/1.1"),
    }
}

fn bad_token(dice: &mut StdRng, user: &str) -> String {
    let good = tokens::of(user);
    match dice.random_range(0..7) {
        0 => tokens::forged("none", user, ""),
        1 => tokens::forged("HS256", user, "c2lnbmF0dXJl"),
        2 => tokens::until(user, tokens::now() - 60),
        3 => tokens::signed_with(
            "another secret, which is long enough as well",
            Algorithm::HS256,
            &tokens::claims(user),
        ),
        4 => tokens::signed(&NewToken { ..tokens::claims(&"u".repeat(dice.random_range(257..4000))) }),
        5 => good.chars().rev().collect(),
        _ => {
            let at = dice.random_range(0..good.len());
            let letter = if good.as_bytes()[at] == b'A' { "B" } else { "A" };
            format!("{}{letter}{}", &good[..at], &good[at + 1..])
        }
    }
}

fn bad_path(dice: &mut StdRng) -> Handshake {
    let paths = [
        "/lobby/%ff",
        "/lobby/%",
        "/lobby/%zz",
        "/",
        "/lobby",
        "/lobby/",
        "/lobby/7/8",
        "/../lobby/7",
        "//lobby/7",
        "/lobby/%2e%2e%2f",
        "http://elsewhere.test/lobby/7",
        "*",
        "/lobby/7#fragment",
        "/lobby/%00",
        "/readyz?endpoint=%00",
        "/lobby/7?token=x&token=y",
    ];
    Handshake::to(paths.choose(dice).unwrap_or(&paths[0]))
}

fn pipelined(dice: &mut StdRng, user: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..dice.random_range(0..20) {
        let request = match dice.random_range(0..3) {
            0 => Handshake::get("/readyz"),
            1 => Handshake::to("/lobby/7"),
            _ => Handshake::get("/nowhere"),
        };
        bytes.extend(request.text().into_bytes());
    }
    if dice.random_bool(0.5) {
        bytes.extend(Handshake::of(user).text().into_bytes());
        bytes.extend(masked_frame(1, b"early"));
    }
    bytes.extend(noise(dice, 0..500));
    bytes
}

fn lengths(dice: &mut StdRng, user: &str) -> Vec<u8> {
    let lengths = ["0", "-1", "5", "99999999999999999999", "5, 6", "0x10", " "];
    let mut request = Handshake::of(user);
    if dice.random_bool(0.5) {
        request = request.line("POST /lobby/7 HTTP/1.1");
    }
    for _ in 0..dice.random_range(1..3) {
        request = match dice.random_range(0..3) {
            0 => request.with("Transfer-Encoding", "chunked"),
            1 => request.with("Transfer-Encoding", "chunked, gzip"),
            _ => request.with("Content-Length", lengths.choose(dice).unwrap_or(&lengths[0])),
        };
    }
    let mut bytes = request.text().into_bytes();
    bytes.extend(match dice.random_range(0..3) {
        0 => b"5\r\nhello\r\n0\r\n\r\n".to_vec(),
        1 => b"ffffffffffffffff\r\n".to_vec(),
        _ => noise(dice, 0..300),
    });
    bytes
}
