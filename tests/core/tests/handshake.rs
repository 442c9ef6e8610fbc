//! The handshake's table, row by row, and which requests ask for a WebSocket.

use proptest::{collection::vec, prelude::*, sample::select};
use trunkline_core::{
    Refusal,
    handshake::{
        Answer, RequestFault, Search, TokenFault, UpgradeRequest, may_be_http, select_subprotocol,
        spread_retry_after,
    },
};

const TOKEN_FAULTS: [TokenFault; 10] = [
    TokenFault::Missing,
    TokenFault::Malformed,
    TokenFault::AlgorithmNotAllowed,
    TokenFault::UnknownKey,
    TokenFault::BadSignature,
    TokenFault::Expired,
    TokenFault::NotYetValid,
    TokenFault::WrongIssuer,
    TokenFault::WrongAudience,
    TokenFault::NoUser,
];

/// The table of language.md: answer, status, whether `Retry-After`.
fn table() -> Vec<(Answer, u16, bool)> {
    let mut rows = vec![
        (Answer::Draining, 503, true),
        (Answer::TooMany, 429, true),
        (Answer::Busy, 503, true),
        (Answer::BadRequest(RequestFault::NotHttp), 400, false),
        (Answer::BadRequest(RequestFault::NotTls), 400, false),
        (Answer::BadRequest(RequestFault::Path), 400, false),
        (Answer::BadRequest(RequestFault::Forwarded), 400, false),
        (Answer::NotFound, 404, false),
        (Answer::UpgradeRequired, 426, false),
        (Answer::BadKey, 400, false),
        (Answer::ForeignOrigin, 403, false),
    ];
    rows.extend(TOKEN_FAULTS.map(|fault| (Answer::Unauthorized(fault), 401, false)));
    rows.extend([
        (Answer::KeysUnavailable, 503, true),
        (Answer::BackendAway, 503, true),
        (Answer::Duplicate, 409, false),
        (Answer::Full, 429, true),
    ]);
    rows
}

#[test]
fn every_row_has_its_status_and_says_when_to_come_back() {
    for (answer, status, retry_after) in table() {
        assert_eq!((answer.status(), answer.retry_after()), (status, retry_after), "{answer:?}");
    }
}

#[test]
fn the_rows_order_is_that_of_the_table() {
    assert!(table().is_sorted_by_key(|row| row.0));
}

#[test]
fn every_answer_has_a_name_of_its_own_and_a_sentence() {
    let mut codes: Vec<_> = table().iter().map(|row| row.0.code()).collect();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), table().len());
    for (answer, ..) in table() {
        assert!(answer.code().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{answer:?}");
        assert!(answer.message().ends_with('.') && answer.message().len() > 20, "{answer:?}");
    }
}

#[test]
fn only_the_rows_that_have_headers_have_them() {
    for (answer, ..) in table() {
        let expected: &[_] = match answer {
            Answer::Unauthorized(TokenFault::Missing) => &[("WWW-Authenticate", "Bearer")],
            Answer::Unauthorized(_) => &[("WWW-Authenticate", r#"Bearer error="invalid_token""#)],
            Answer::UpgradeRequired => {
                &[("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13")]
            }
            _ => &[],
        };
        assert_eq!(answer.headers(), expected, "{answer:?}");
    }
}

#[test]
fn a_token_is_bad_only_where_somebody_has_looked_for_newer_keys() {
    let answer = |search: Search| search.answer(TokenFault::UnknownKey);
    assert_eq!(answer(Search::Over { all_have_keys: true }), Answer::Unauthorized(TokenFault::UnknownKey));
    assert_eq!(answer(Search::Over { all_have_keys: false }), Answer::KeysUnavailable);
    assert_eq!(answer(Search::CutShort), Answer::KeysUnavailable);
}

#[test]
fn what_the_machine_refuses_has_its_row() {
    let rows = [
        (Refusal::Draining, Answer::Draining),
        (Refusal::BackendAway, Answer::BackendAway),
        (Refusal::Duplicate, Answer::Duplicate),
        (Refusal::Full, Answer::Full),
    ];
    for (refusal, answer) in rows {
        assert_eq!(Answer::from(refusal), answer);
    }
}

/// What a browser sends.
const GOOD: UpgradeRequest<'_> = UpgradeRequest {
    method: "GET",
    version: (1, 1),
    connection: &[b"Upgrade"],
    upgrade: &[b"websocket"],
    websocket_version: &[b"13"],
    websocket_key: &[b"dGhlIHNhbXBsZSBub25jZQ=="],
};

#[test]
fn a_request_as_clients_send_it_is_taken() {
    let requests = [
        GOOD,
        UpgradeRequest { connection: &[b"keep-alive, Upgrade"], ..GOOD },
        UpgradeRequest { connection: &[b"keep-alive", b"foo ,\tUPGRADE ,"], ..GOOD },
        UpgradeRequest { upgrade: &[b"WebSocket"], ..GOOD },
        UpgradeRequest { upgrade: &[b"h2c, websocket"], ..GOOD },
        UpgradeRequest { websocket_version: &[b" 13 "], ..GOOD },
        UpgradeRequest { websocket_key: &[b" AAAAAAAAAAAAAAAAAAAAAA==\t"], ..GOOD },
        UpgradeRequest { websocket_key: &[b"zzzzzzzzzzzzzzzzzzzzzz=="], ..GOOD },
    ];
    for request in requests {
        assert_eq!(request.check(), Ok(()), "{request:?}");
    }
}

#[test]
fn a_request_without_upgrade_or_for_another_version_is_told_what_to_ask_for() {
    let requests = [
        UpgradeRequest { method: "POST", ..GOOD },
        UpgradeRequest { method: "get", ..GOOD },
        UpgradeRequest { method: "CONNECT", ..GOOD },
        UpgradeRequest { version: (1, 0), ..GOOD },
        UpgradeRequest { version: (0, 9), ..GOOD },
        UpgradeRequest { connection: &[], ..GOOD },
        UpgradeRequest { connection: &[b"keep-alive", b"close"], ..GOOD },
        UpgradeRequest { connection: &[b"upgraded"], ..GOOD },
        UpgradeRequest { upgrade: &[], ..GOOD },
        UpgradeRequest { upgrade: &[b"h2c"], ..GOOD },
        UpgradeRequest { upgrade: &[b"web socket"], ..GOOD },
        UpgradeRequest { websocket_version: &[], ..GOOD },
        UpgradeRequest { websocket_version: &[b"8"], ..GOOD },
        UpgradeRequest { websocket_version: &[b"013"], ..GOOD },
        UpgradeRequest { websocket_version: &[b"13, 8"], ..GOOD },
        UpgradeRequest { websocket_version: &[b"13", b"13"], ..GOOD },
        // It counts before the key.
        UpgradeRequest { websocket_version: &[b"\xff"], websocket_key: &[], ..GOOD },
    ];
    for request in requests {
        assert_eq!(request.check(), Err(Answer::UpgradeRequired), "{request:?}");
    }
}

#[test]
fn a_key_that_is_none_is_a_bad_request() {
    let keys: [&[&[u8]]; 10] = [
        &[],
        &[b""],
        &[b"dGhlIHNhbXBsZSBub25jZQ==", b"dGhlIHNhbXBsZSBub25jZQ=="],
        &[b"dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ=="],
        &[b"dGhlIHNhbXBsZSBub25jZQ"],
        &[b"dGhlIHNhbXBsZSBub25jZQ="],
        &[b"dGhlIHNhbXBsZSBub25jZQA="],
        &[b"dGhlIHNhbXBsZSBub25jZQAA"],
        &[b"dGhlIHNhbXBsZSBub25j"],
        &[b"dGhlIHNhbXBsZS-ub25jZQ=="],
    ];
    for websocket_key in keys {
        let request = UpgradeRequest { websocket_key, ..GOOD };
        assert_eq!(request.check(), Err(Answer::BadKey), "{request:?}");
    }
}

proptest! {
    #[test]
    fn the_upgrade_is_found_wherever_it_stands_among_the_options(
        before in vec(select(vec!["keep-alive", "close", "", " ", "up grade", "te"]), 0..4),
        after in vec(select(vec!["keep-alive", "close", "", "\t", "upgrade2"]), 0..4),
        upgrade in select(vec!["upgrade", "Upgrade", "UPGRADE", " uPGRADE\t"]),
        lines in any::<bool>(),
    ) {
        let options: Vec<_> = before.into_iter().chain([upgrade]).chain(after).collect();
        let one_line = options.join(",");
        let values: Vec<&[u8]> =
            if lines { options.iter().map(|option| option.as_bytes()).collect() } else { vec![one_line.as_bytes()] };
        prop_assert_eq!(UpgradeRequest { connection: &values, ..GOOD }.check(), Ok(()));
    }

    #[test]
    fn a_key_is_taken_just_if_it_is_twenty_two_digits_and_the_padding(key in "[A-Za-z0-9+/=_-]{20,26}") {
        let is_key = key.len() == 24 && key.ends_with("==")
            && key[..22].bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(&byte));
        let expected = if is_key { Ok(()) } else { Err(Answer::BadKey) };
        prop_assert_eq!(UpgradeRequest { websocket_key: &[key.as_bytes()], ..GOOD }.check(), expected);
    }

    #[test]
    fn any_sixteen_bytes_make_a_key(key in "[A-Za-z0-9+/]{22}==") {
        prop_assert_eq!(UpgradeRequest { websocket_key: &[key.as_bytes()], ..GOOD }.check(), Ok(()));
    }
}

#[test]
fn what_can_be_http_is_told_by_its_first_line() {
    let http: [&[u8]; 9] = [
        b"GET / HTTP/1.1\r\n",
        b"GET /lobby/7 HTTP/1.0\nHost",
        b"\r\nGET / HTTP/1.1\r\n",
        b"get /\xff HTTP/1.1\r\n",
        b"GET /lobby/7 HT",
        b"G",
        b"GET / HTTP/1.1\r",
        b"",
        b"\r\n",
    ];
    let other: [&[u8]; 9] = [
        b"\x16\x03\x01\x02\x00\x01",
        b"PRI * HTTP/2.0\r\n\r\n",
        b"hello\r\n",
        b"GET  / HTTP/1.1\r\n",
        b"GET / HTTP/1.1 \r\n",
        b"\x81\x85abcd",
        b"\0",
        b"GET /\x01",
        b"\x01 / HTTP/1.1\n",
    ];
    http.iter().for_each(|bytes| assert!(may_be_http(bytes), "{bytes:?}"));
    other.iter().for_each(|bytes| assert!(!may_be_http(bytes), "{bytes:?}"));
}

#[test]
fn the_first_offer_that_is_supported_is_selected_byte_for_byte() {
    let cases: [(&[&[u8]], Option<&str>); 9] = [
        (&[], None),
        (&[b""], None),
        (&[b"v3"], None),
        (&[b"v1"], Some("v1")),
        (&[b"v1, v2"], Some("v1")),
        (&[b"v3 ,, v2,v1"], Some("v2")),
        (&[b"v3", b"\tv1 "], Some("v1")),
        (&[b"V1, v10"], None),
        (&[b"\xff, v2"], Some("v2")),
    ];
    for (offers, selected) in cases {
        assert_eq!(select_subprotocol(offers, &["v2", "v1"]), selected, "{offers:?}");
    }
    let late = [&b"x,".repeat(32)[..], b"v1"].concat();
    assert_eq!(select_subprotocol(&[&late], &["v1"]), None);
}

proptest! {
    #[test]
    fn those_who_are_to_come_back_are_spread_from_once_to_twice_the_time(least in 0..4_000_u64, chance in any::<u64>()) {
        let seconds = spread_retry_after(least, chance);
        prop_assert!((least..=2 * least).contains(&seconds));
    }
}

#[test]
fn each_second_of_the_spread_is_as_likely_as_another() {
    let mut counts = [0; 6];
    (0..600).for_each(|chance| counts[(spread_retry_after(5, chance) - 5) as usize] += 1);
    assert_eq!(counts, [100; 6]);
    assert_eq!(spread_retry_after(u64::MAX, u64::MAX), u64::MAX);
}
