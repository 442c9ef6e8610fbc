//! Where a handshake carries its token.

use hyper::header::{AUTHORIZATION, COOKIE, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_PROTOCOL};
use trunkline::token::{Source, find};

/// A request: its headers in order, and its query.
struct Request {
    headers: HeaderMap,
    query: Option<&'static str>,
}

fn request(headers: &[(HeaderName, &'static [u8])], query: Option<&'static str>) -> Request {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(name, HeaderValue::from_bytes(value).expect("the row is a header's value"));
    }
    Request { headers: map, query }
}

/// The token's text and the subprotocol; an empty text is what verifies as malformed.
fn found(sources: &[Source], request: &Request) -> Option<(String, Option<String>)> {
    let found = find(sources, &request.headers, request.query)?;
    Some((found.token.to_owned(), found.subprotocol.map(str::to_owned)))
}

/// Each row: the values of all headers of one name, and the token's text.
fn assert_headers(source: Source, name: &HeaderName, rows: &[(&[&'static [u8]], Option<&str>)]) {
    let selected = match &source {
        Source::Subprotocol(name) => Some(name.clone()),
        _ => None,
    };
    for (values, expected) in rows {
        let headers: Vec<_> = values.iter().map(|value| (name.clone(), *value)).collect();
        let shown: Vec<_> = values.iter().map(|value| String::from_utf8_lossy(value)).collect();
        let expected = expected.map(|text| (text.to_owned(), selected.clone()));
        assert_eq!(found(std::slice::from_ref(&source), &request(&headers, None)), expected, "{shown:?}");
    }
}

#[test]
fn a_header_carries_a_bearer_or_the_bare_token() {
    assert_headers(
        Source::Header,
        &AUTHORIZATION,
        &[
            (&[], None),
            (&[b"Bearer a.b.c"], Some("a.b.c")),
            (&[b"bearer a.b.c"], Some("a.b.c")),
            (&[b"BEARER   a.b.c  "], Some("a.b.c")),
            (&[b"BeArEr\ta.b.c"], Some("a.b.c")),
            (&[b"a.b.c"], Some("a.b.c")),
            (&[b""], Some("")),
            (&[b"Bearer "], Some("Bearer")),
            (&[b"Basic YW5uOnB3"], Some("")),
            (&[b"Bearerx a.b.c"], Some("")),
            (&[b"Digest username=\"ann\", realm=\"x\""], Some("")),
            (&[b"Bearer a.b.c d"], Some("a.b.c d")),
            (&[b"Bearer \xff"], Some("")),
            (&[b"\xff"], Some("")),
            (&[b"Bearer a.b.c", b"Bearer d.e.f"], Some("")),
        ],
    );
}

#[test]
fn a_query_carries_it_percent_encoded() {
    let rows = [
        (None, None),
        (Some(""), None),
        (Some("other=1"), None),
        (Some("Token=a.b.c"), None),
        (Some("tokens=a.b.c"), None),
        (Some("token=a.b.c"), Some("a.b.c")),
        (Some("x=1&token=a.b.c&y"), Some("a.b.c")),
        (Some("token=a%2Eb%2ec"), Some("a.b.c")),
        (Some("to%6ben=a.b.c"), Some("a.b.c")),
        (Some("token=a+b"), Some("a+b")),
        (Some("token=a=b"), Some("a=b")),
        (Some("token=first&token=second"), Some("first")),
        (Some("token=&token=second"), Some("")),
        (Some("token"), Some("")),
        (Some("token="), Some("")),
        (Some("token=%"), Some("%")),
        (Some("token=%zz"), Some("%zz")),
        (Some("token=a%2"), Some("a%2")),
        (Some("token=%ff"), Some("")),
        (Some("&&=&%&token=a.b.c"), Some("a.b.c")),
    ];
    for (query, expected) in rows {
        let expected = expected.map(|text| (text.to_owned(), None));
        assert_eq!(found(&[Source::Query("token".to_owned())], &request(&[], query)), expected, "{query:?}");
    }
}

#[test]
fn a_cookie_carries_it_quoted_or_not() {
    assert_headers(
        Source::Cookie("token".to_owned()),
        &COOKIE,
        &[
            (&[], None),
            (&[b"other=1"], None),
            (&[b"Token=a.b.c"], None),
            (&[b"xtoken=a.b.c"], None),
            (&[b"token"], None),
            (&[b"token=a.b.c"], Some("a.b.c")),
            (&[b"x=1; token=a.b.c; y=2"], Some("a.b.c")),
            (&[b"x=1;token=a.b.c"], Some("a.b.c")),
            (&[b"x=1", b"token=a.b.c"], Some("a.b.c")),
            (&[b"token=\"a.b.c\""], Some("a.b.c")),
            (&[b"token=\"a.b.c"], Some("\"a.b.c")),
            (&[b"token=\""], Some("\"")),
            (&[b"token=a=b"], Some("a=b")),
            (&[b"token=first; token=second"], Some("first")),
            (&[b"token=", b"token=second"], Some("")),
            (&[b"token=\"\""], Some("")),
            (&[b"token=\xff"], Some("")),
            (&[b"\xff; ;=; token=a.b.c"], Some("a.b.c")),
        ],
    );
}

#[test]
fn a_subprotocol_carries_it_in_the_entry_that_follows() {
    assert_headers(
        Source::Subprotocol("bearer".to_owned()),
        &SEC_WEBSOCKET_PROTOCOL,
        &[
            (&[], None),
            (&[b"chat"], None),
            (&[b"Bearer, a.b.c"], None),
            (&[b"bearer, a.b.c"], Some("a.b.c")),
            (&[b"chat,bearer,a.b.c,other"], Some("a.b.c")),
            (&[b"bearer", b"a.b.c"], Some("a.b.c")),
            (&[b"chat, bearer", b" a.b.c , x"], Some("a.b.c")),
            (&[b"bearer, , a.b.c"], Some("a.b.c")),
            (&[b"bearer, first, bearer, second"], Some("first")),
            (&[b"bearer"], Some("")),
            (&[b"chat, bearer,"], Some("")),
            (&[b"bearer, \xff"], Some("")),
            (&[b"\xff, bearer, a.b.c"], Some("a.b.c")),
        ],
    );
}

#[test]
fn the_first_source_that_is_present_counts() {
    let all = [
        Source::Header,
        Source::Query("q".to_owned()),
        Source::Cookie("c".to_owned()),
        Source::Subprotocol("s".to_owned()),
    ];
    let header = (AUTHORIZATION, b"Bearer h".as_slice());
    let cookie = (COOKIE, b"c=c".as_slice());
    let protocol = (SEC_WEBSOCKET_PROTOCOL, b"s, p".as_slice());
    let everything = request(&[header.clone(), cookie.clone(), protocol.clone()], Some("q=q"));
    let texts = ["h", "q", "c", "p"];
    // Whichever two are asked for, the one that is asked for first is the one that is found.
    for (i, first) in all.iter().enumerate() {
        for second in &all {
            let (text, selected) =
                found(&[first.clone(), second.clone()], &everything).expect("all are present");
            assert_eq!(text, texts[i], "{first:?} before {second:?}");
            assert_eq!(selected.is_some(), i == 3, "{first:?} before {second:?}");
        }
    }
    // A wrong one counts as well as a right one, and one that is absent does not count.
    let rows = [
        (request(&[(AUTHORIZATION, b"Basic x".as_slice()), cookie.clone()], Some("q=q")), Some("")),
        (request(&[(AUTHORIZATION, b"".as_slice())], Some("q=q")), Some("")),
        (request(std::slice::from_ref(&cookie), Some("q=%")), Some("%")),
        (request(std::slice::from_ref(&cookie), Some("q")), Some("")),
        (request(&[cookie.clone(), protocol.clone()], Some("other=q")), Some("c")),
        (request(&[(COOKIE, b"c=".as_slice()), protocol.clone()], None), Some("")),
        (request(&[(COOKIE, b"d=x".as_slice()), protocol], None), Some("p")),
        (request(&[(SEC_WEBSOCKET_PROTOCOL, b"s".as_slice())], None), Some("")),
        (request(&[], None), None),
    ];
    for (place, (request, expected)) in rows.iter().enumerate() {
        assert_eq!(found(&all, request).map(|(text, _)| text).as_deref(), *expected, "row {place}");
    }
    assert_eq!(found(&[], &everything), None);
}
