//! Where a handshake carries its token.

use hyper::header::{AUTHORIZATION, COOKIE, HeaderMap, HeaderName, SEC_WEBSOCKET_PROTOCOL};
use percent_encoding::percent_decode_str;

use super::{Source, Token};

/// The token that a handshake carries, and what follows for the answer. It holds a token, so it is not printable.
pub struct Found<'a> {
    /// The token; where the source is present but holds no text, an empty one, which verifies as malformed.
    pub token: Token<'a>,
    /// The subprotocol that the answer must select, because the token came with it.
    pub subprotocol: Option<&'a str>,
}

/// The token in the first of the `sources` that is present in the request, even when that one is wrong and a
/// later one right (language.md, "Handshake"); `None` where none is present.
///
/// `query` is the URI's query as it stands, without the question mark. What counts as present:
///
/// - header: any `Authorization`. One of another scheme than `Bearer` is a malformed token rather than no
///   token, and so are two of them: a client that says who it is in a way that is not understood is refused,
///   not looked at again elsewhere.
/// - query: the parameter's name, with or without `=`. Percent-encoding is decoded, `+` is itself. The first
///   counts.
/// - cookie: a pair of that name (RFC 6265, section 4.2.1), in double quotes or not. The first counts.
/// - subprotocol: an entry that is the name, byte for byte; the entry that follows the first such is the token.
pub fn find<'a>(sources: &'a [Source], headers: &'a HeaderMap, query: Option<&'a str>) -> Option<Found<'a>> {
    sources.iter().find_map(|source| {
        let (token, subprotocol) = match source {
            Source::Header => (in_authorization(headers)?, None),
            Source::Query(name) => (in_query(name, query?)?, None),
            Source::Cookie(name) => (in_cookies(name, headers)?, None),
            Source::Subprotocol(name) => (in_subprotocols(name, headers)?, Some(name.as_str())),
        };
        Some(Found { token, subprotocol })
    })
}

/// `Authorization: Bearer <token>` (RFC 6750, section 2.1), or the bare token.
fn in_authorization(headers: &HeaderMap) -> Option<Token<'_>> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let first = values.next()?;
    if values.next().is_some() {
        return Some(Token::UNREADABLE);
    }
    let value = first.as_bytes().trim_ascii();
    let token = match value.iter().position(u8::is_ascii_whitespace) {
        None => value,
        Some(end) if value[..end].eq_ignore_ascii_case(b"bearer") => value[end..].trim_ascii_start(),
        Some(_) => return Some(Token::UNREADABLE),
    };
    Some(text(token))
}

fn in_query<'a>(name: &str, query: &'a str) -> Option<Token<'a>> {
    let value = query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        percent_decode_str(key).eq(name.bytes()).then_some(value)
    })?;
    // A percent sign that begins no escape stays where it is, and no token may hold one.
    Some(percent_decode_str(value).decode_utf8().map_or(Token::UNREADABLE, Token::new))
}

fn in_cookies<'a>(name: &str, headers: &'a HeaderMap) -> Option<Token<'a>> {
    entries(headers, COOKIE, b';').find_map(|pair| {
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        if pair[..equals].trim_ascii_end() != name.as_bytes() {
            return None;
        }
        let value = pair[equals + 1..].trim_ascii_start();
        let unquoted = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
        Some(text(unquoted.unwrap_or(value)))
    })
}

fn in_subprotocols<'a>(name: &str, headers: &'a HeaderMap) -> Option<Token<'a>> {
    // A list may hold empty elements, which count for nothing (RFC 9110, section 5.6.1.2).
    let mut offered = entries(headers, SEC_WEBSOCKET_PROTOCOL, b',').filter(|entry| !entry.is_empty());
    offered.find(|entry| *entry == name.as_bytes())?;
    Some(offered.next().map_or(Token::UNREADABLE, text))
}

/// The trimmed entries of all headers of this name, in their order.
fn entries(headers: &HeaderMap, name: HeaderName, separator: u8) -> impl Iterator<Item = &[u8]> {
    headers
        .get_all(name)
        .iter()
        .flat_map(move |value| value.as_bytes().split(move |byte| *byte == separator))
        .map(<[u8]>::trim_ascii)
}

fn text(bytes: &[u8]) -> Token<'_> {
    str::from_utf8(bytes).map_or(Token::UNREADABLE, Token::new)
}
