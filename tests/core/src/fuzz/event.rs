//! Events: what is written must be what serde_json would write, and must parse back to exactly what went in.

use std::{borrow::Cow, collections::BTreeMap};

use serde_json::{Value, json};
use trunkline_core::{
    Binary, CloseCode, Identity,
    language::{Data, accept_binary, encode_close, encode_message, encode_open},
};

use super::base64;

/// Takes the bytes apart at each 0xFF, which no UTF-8 contains: the user, names and values of parameters, the data.
///
/// # Panics
///
/// An event does not say what went in.
pub fn check(bytes: &[u8]) {
    let mut pieces: Vec<Cow<'_, str>> =
        bytes.split(|byte| *byte == 0xff).map(String::from_utf8_lossy).collect();
    let data = pieces.pop().unwrap_or_default();
    let (user, params) = pieces.split_first().map_or(("", &[][..]), |(user, params)| (user, params));
    let params: Vec<_> = params.chunks_exact(2).map(|pair| (&*pair[0], &*pair[1])).collect();
    text_survives(user, &params, &data);
    binary_survives(bytes);
}

/// Writes the three events of a session.
///
/// # Panics
///
/// One of them does not say what went in.
pub fn text_survives(user: &str, params: &[(&str, &str)], data: &str) {
    let who = Identity::new(user, params.iter().copied());
    assert_eq!(who.user(), user);
    let written: Vec<_> =
        params.iter().map(|(name, value)| format!("{}:{}", text(name), text(value))).collect();
    let fields = format!(r#""user":{{"username":{}}},"params":{{{}}}"#, text(user), written.join(","));
    let last: BTreeMap<_, _> = params.iter().copied().collect();
    assert_eq!(format!("{who:?}"), format!("{{{fields}}}"));
    let parsed = |name: &str| json!({ "event": name, "user": { "username": user }, "params": last });

    let open = event(|out| encode_open(&who, out));
    assert_eq!(open, format!(r#"{{"event":"open",{fields}}}"#));
    assert_eq!(parse(&open), parsed("open"));

    let close = event(|out| encode_close(&who, out));
    assert_eq!(close, format!(r#"{{"event":"close",{fields}}}"#));
    assert_eq!(parse(&close), parsed("close"));

    let message = event(|out| encode_message(&who, &Data::Text(data.into()), out));
    assert_eq!(message, format!(r#"{{"event":"message",{fields},"data":{}}}"#, text(data)));
    let mut expected = parsed("message");
    expected["data"] = data.into();
    assert_eq!(parse(&message), expected);
}

/// What becomes of a binary message in each mode, and what the event says of it.
fn binary_survives(bytes: &[u8]) {
    let as_text = str::from_utf8(bytes).map(|text| Data::Text(text.into()));
    assert_eq!(accept_binary(bytes, Binary::Text), as_text.map_err(|_| CloseCode::INVALID_DATA));
    assert_eq!(accept_binary(bytes, Binary::Reject), Err(CloseCode::UNSUPPORTED));
    let data = Data::Binary(bytes.into());
    assert_eq!(accept_binary(bytes, Binary::Base64).as_ref(), Ok(&data));

    let who = Identity::new("ann", []);
    let message = event(|out| encode_message(&who, &data, out));
    let encoded = base64::encode(bytes);
    let fields = r#""event":"message","user":{"username":"ann"},"params":{}"#;
    assert_eq!(message, format!(r#"{{{fields},"data":"{encoded}","encoding":"base64"}}"#));
    assert_eq!(base64::decode(&encoded).as_deref(), Some(bytes));
}

/// What is appended, as text: what was there before stays as it is.
fn event(encode: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = b"before".to_vec();
    encode(&mut out);
    let text = String::from_utf8(out).unwrap_or_else(|error| panic!("an event is not UTF-8: {error}"));
    text.strip_prefix("before").unwrap_or_else(|| panic!("an event is not appended: {text}")).to_owned()
}

fn parse(event: &str) -> Value {
    serde_json::from_str(event).unwrap_or_else(|error| panic!("{event} is not JSON: {error}"))
}

fn text(text: &str) -> String {
    Value::from(text).to_string()
}
