//! Requests for an upgrade: what hyper's parser takes is never called something else than HTTP, in whatever pieces it
//! comes, and what counts as a request for a WebSocket is what RFC 6455 says.

use httparse::{EMPTY_HEADER, Request, Status};
use trunkline_core::handshake::{Answer, UpgradeRequest, may_be_http};

/// What the shell looks at of a connection's beginning, at most.
const BEGINNING_BYTES: usize = 256;

/// The bytes are what a connection begins with.
///
/// # Panics
///
/// A request is turned away, or let in, that should not be.
pub fn check(bytes: &[u8]) {
    let mut headers = [EMPTY_HEADER; 64];
    let mut request = Request::new(&mut headers);
    let parsed = request.parse(bytes);
    if !matches!(parsed, Ok(Status::Complete(_))) {
        // It is answered in any case.
        may_be_http(bytes);
        return;
    }
    for end in 1..=bytes.len().min(BEGINNING_BYTES) {
        assert!(may_be_http(&bytes[..end]), "{:?} is HTTP", bytes[..end].escape_ascii().to_string());
    }
    let lines = |name: &str| -> Vec<&[u8]> {
        let named = request.headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
        named.map(|header| header.value).collect()
    };
    let (connection, upgrade) = (lines("connection"), lines("upgrade"));
    let (version, key) = (lines("sec-websocket-version"), lines("sec-websocket-key"));
    let minor = request.version.unwrap_or_default();
    let method = request.method.unwrap_or_default();
    let asked = UpgradeRequest {
        method,
        version: (1, minor),
        connection: &connection,
        upgrade: &upgrade,
        websocket_version: &version,
        websocket_key: &key,
    };
    let asks = method == "GET" && minor == 1 && lists(&connection, "upgrade") && lists(&upgrade, "websocket");
    let expected = match (asks && single(&version) == Some("13".to_owned()), single(&key)) {
        (false, _) => Err(Answer::UpgradeRequired),
        (true, Some(key)) if is_key(&key) => Ok(()),
        (true, _) => Err(Answer::BadKey),
    };
    assert_eq!(asked.check(), expected, "{asked:?}");
}

/// Whether an element of the lists is the word, in any case.
fn lists(lines: &[&[u8]], word: &str) -> bool {
    let all: Vec<String> = lines.iter().map(|line| String::from_utf8_lossy(line).to_lowercase()).collect();
    all.join(",").split(',').any(|element| element.trim_matches([' ', '\t']) == word)
}

fn single(lines: &[&[u8]]) -> Option<String> {
    let [line] = lines else { return None };
    Some(String::from_utf8_lossy(line).trim_matches([' ', '\t']).to_owned())
}

/// Whether it is written as 16 bytes are in base64.
fn is_key(key: &str) -> bool {
    key.len() == 24
        && key.ends_with("==")
        && key[..22].chars().all(|digit| digit.is_ascii_alphanumeric() || digit == '+' || digit == '/')
}
