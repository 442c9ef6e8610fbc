//! Events: what the backend is told (language.md, "Events: gateway to backend").

use alloc::{borrow::Cow, string::String, vec::Vec};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    Data,
    string::{PushText, write_string},
};
use crate::{Binary, CloseCode, Identity};

/// Appends the `open` of a session: one whole text frame's content.
pub fn encode_open(who: &Identity, out: &mut Vec<u8>) {
    out.push_text(r#"{"event":"open","#);
    out.push_text(who.fields());
    out.push_text("}");
}

/// Appends a `message` of a session's client: one whole text frame's content. Binary data is written in base64 and
/// says so (language.md, "Binary messages from clients").
pub fn encode_message(who: &Identity, data: &Data<'_>, out: &mut Vec<u8>) {
    out.push_text(r#"{"event":"message","#);
    out.push_text(who.fields());
    out.push_text(r#","data":"#);
    match data {
        Data::Text(text) => write_string(text, out),
        Data::Binary(bytes) => {
            out.push_text("\"");
            write_base64(bytes, out);
            out.push_text(r#"","encoding":"base64""#);
        }
    }
    out.push_text("}");
}

/// Appends the `close` of a session: one whole text frame's content.
pub fn encode_close(who: &Identity, out: &mut Vec<u8>) {
    out.push_text(r#"{"event":"close","#);
    out.push_text(who.fields());
    out.push_text("}");
}

/// What becomes of a client's binary message: what the backend is to be told, or the code that its session is to be
/// closed with (language.md, "Binary messages from clients").
pub fn accept_binary(message: &[u8], binary: Binary) -> Result<Data<'_>, CloseCode> {
    match binary {
        Binary::Text => match core::str::from_utf8(message) {
            Ok(text) => Ok(Data::Text(Cow::Borrowed(text))),
            Err(_) => Err(CloseCode::INVALID_DATA),
        },
        Binary::Base64 => Ok(Data::Binary(Cow::Borrowed(message))),
        Binary::Reject => Err(CloseCode::UNSUPPORTED),
    }
}

/// Appends the constant part of a session's events: `"user":{"username":"ann"},"params":{"lobby_id":"7"}`.
pub(crate) fn write_identity<'a>(
    user: &str,
    params: impl IntoIterator<Item = (&'a str, &'a str)>,
    out: &mut String,
) {
    out.push_text(r#""user":{"username":"#);
    write_string(user, out);
    out.push_text(r#"},"params":{"#);
    for (index, (name, value)) in params.into_iter().enumerate() {
        if index > 0 {
            out.push_text(",");
        }
        write_string(name, out);
        out.push_text(":");
        write_string(value, out);
    }
    out.push_text("}");
}

/// Appends `bytes` in base64: the standard alphabet, padded.
fn write_base64(bytes: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    // Four characters for every three bytes begun.
    let room = bytes.len().div_ceil(3).saturating_mul(4);
    out.resize(start.saturating_add(room), b'=');
    let written = STANDARD.encode_slice(bytes, out.get_mut(start..).unwrap_or_default());
    debug_assert_eq!(written, Ok(room), "the room is just what padded base64 takes");
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    #[test]
    fn events_are_written_as_the_contract_shows_them() {
        let ann = Identity::new("ann", [("lobby_id", "7")]);
        let mut out = Vec::new();

        encode_open(&ann, &mut out);
        out.push(b'\n');
        encode_message(&ann, &Data::Text("hello".into()), &mut out);
        out.push(b'\n');
        encode_close(&ann, &mut out);

        let expected = r#"{"event":"open","user":{"username":"ann"},"params":{"lobby_id":"7"}}
{"event":"message","user":{"username":"ann"},"params":{"lobby_id":"7"},"data":"hello"}
{"event":"close","user":{"username":"ann"},"params":{"lobby_id":"7"}}"#;
        assert_eq!(core::str::from_utf8(&out), Ok(expected));
    }

    #[test]
    fn binary_data_says_its_encoding() {
        let bob = Identity::new("bob", []);
        for (bytes, text) in
            [(vec![], ""), (vec![0xff], "/w=="), (vec![0xfb, 0xff], "+/8="), (vec![0; 3], "AAAA")]
        {
            let mut out = Vec::new();
            encode_message(&bob, &Data::Binary(bytes.into()), &mut out);
            let expected = alloc::format!(
                r#"{{"event":"message","user":{{"username":"bob"}},"params":{{}},"data":"{text}","encoding":"base64"}}"#
            );
            assert_eq!(core::str::from_utf8(&out), Ok(&*expected));
        }
    }

    #[test]
    fn what_becomes_of_a_binary_message_is_the_endpoints_choice() {
        assert_eq!(accept_binary(b"caf\xc3\xa9", Binary::Text), Ok(Data::Text("café".into())));
        assert_eq!(accept_binary(b"\xff", Binary::Text), Err(CloseCode::INVALID_DATA));
        assert_eq!(accept_binary(b"\xff", Binary::Base64), Ok(Data::Binary(b"\xff".into())));
        assert_eq!(accept_binary(b"text", Binary::Base64), Ok(Data::Binary(b"text".into())));
        assert_eq!(accept_binary(b"text", Binary::Reject), Err(CloseCode::UNSUPPORTED));
    }
}
