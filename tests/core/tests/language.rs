//! The language against serde_json, which knows nothing of it: events must parse back to what went in, and of any
//! bytes at all both must say the same, but for the leniencies that language.md states.

use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::Value;
use trunkline_core::{
    Binary, CloseCode, Identity,
    language::{Action, BadAction, Data, Field, Status, decode, encode_message},
};
use trunkline_core_tests::fuzz::{action::compare, event::text_survives};

// ---- Events ----------------------------------------------------------------------------------------------------

/// Text of all sorts: plain runs of any length, what must be escaped, and what must not.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => "[a-z ]{0,20}",
        1 => "[a-z ]{30,100}",
        2 => select(vec!['"', '\\', '/', '\u{7f}', '\u{80}', '\u{2028}', '\u{2029}', 'é', '中', '😀', '\u{10ffff}'])
            .prop_map(String::from),
        2 => (0u8..0x20).prop_map(|byte| char::from(byte).to_string()),
        1 => any::<char>().prop_map(String::from),
    ];
    vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn events_are_what_serde_json_would_write_and_parse_back_to_what_went_in(
        user in text(), params in vec((text(), text()), 0..4), data in text(),
    ) {
        let params: Vec<_> = params.iter().map(|(name, value)| (&**name, &**value)).collect();
        text_survives(&user, &params, &data);
    }

    #[test]
    fn binary_data_comes_back_as_it_went(bytes in vec(any::<u8>(), 0..50)) {
        let who = Identity::new("ann", []);
        let mut message = Vec::new();
        encode_message(&who, &Data::Binary((&*bytes).into()), &mut message);
        let message = String::from_utf8(message).expect("an event is UTF-8");
        // An event's `data` and `encoding` are just what a `send` carries.
        let send = message.replace(r#""event":"message""#, r#""action":"send""#);
        let expected = Action::Send { user: Some("ann".into()), data: Data::Binary(bytes.into()) };
        prop_assert_eq!(decode(send.as_bytes(), Binary::Base64), Ok(expected));
    }
}

#[test]
fn who_a_session_is_for_is_shown_as_its_events_say_it() {
    let ann = Identity::new("ann", [("lobby_id", "7")]);
    assert_eq!(format!("{ann:?}"), r#"{"user":{"username":"ann"},"params":{"lobby_id":"7"}}"#);
}

// ---- Actions: one by one ---------------------------------------------------------------------------------------

fn send(user: &'static str, data: &'static str) -> Result<Action<'static>, BadAction> {
    Ok(Action::Send { user: Some(user.into()), data: Data::Text(data.into()) })
}

fn close(status: Option<Status>, reason: Option<&'static str>) -> Result<Action<'static>, BadAction> {
    Ok(Action::Close { user: Some("ann".into()), status, reason: reason.map(Into::into) })
}

#[track_caller]
fn assert_decodes(cases: &[(&str, Result<Action<'static>, BadAction>)], binary: Binary) {
    for (frame, expected) in cases {
        assert_eq!(&decode(frame.as_bytes(), binary), expected, "{frame}");
    }
}

#[test]
fn data_that_is_a_string_is_sent_as_its_text_and_anything_else_as_its_json() {
    let cases = [
        (r#"{"action":"send","user":{"username":"ann"},"data":"hello"}"#, send("ann", "hello")),
        (r#"{"action":"send","user":{"username":"ann"},"data":""}"#, send("ann", "")),
        (
            r#"{"data":"\u00e9\n\"\ud83d\ude00","user":{"username":"a\/n"},"action":"send"}"#,
            send("a/n", "é\n\"😀"),
        ),
        (
            r#"{"action":"send","user":{"username":"ann"},"data": { "b" : [ 1 ] } }"#,
            send("ann", r#"{ "b" : [ 1 ] }"#),
        ),
        (r#"{"action":"send","user":{"username":"ann"},"data": null }"#, send("ann", "null")),
        (r#"{"action":"send","user":{"username":"ann"},"data":true}"#, send("ann", "true")),
        (r#"{"action":"send","user":{"username":"ann"},"data":-1.50E+999 }"#, send("ann", "-1.50E+999")),
        (r#"{"action":"send","user":{"username":"ann"},"data":["\ud800"]}"#, send("ann", r#"["\ud800"]"#)),
        (
            r#"{"action":"send","user":{"username":"ann"},"data":"\ud800\ud800\u0041"}"#,
            send("ann", "\u{fffd}\u{fffd}A"),
        ),
        (
            r#"{"action":"send","user":{"username":"__proto__"},"data":"x","status":"no"}"#,
            send("__proto__", "x"),
        ),
        (r#"{"action":"send","user":{"username":""},"data":"x","encoding":"base64"}"#, send("", "x")),
    ];
    assert_decodes(&cases, Binary::Text);
    assert_decodes(&cases[..10], Binary::Base64);
}

#[test]
fn what_is_not_escaped_is_borrowed() {
    let frame = br#"{"action":"send","user":{"username":"ann"},"data":{"text":"\n"}}"#;
    let Ok(Action::Send { user: Some(user), data: Data::Text(data) }) = decode(frame, Binary::Text) else {
        panic!("it is a send");
    };
    assert!(matches!(user, std::borrow::Cow::Borrowed(_)));
    assert!(matches!(data, std::borrow::Cow::Borrowed(_)));
}

#[test]
fn a_close_says_its_status_and_reason() {
    let code = |code| CloseCode::new(code).map(Status::Code);
    let huge = format!(r#"{{"action":"close","user":{{"username":"ann"}},"status":{}}}"#, "9".repeat(1_000));
    let cases = [
        (r#"{"action":"close","user":{"username":"ann"}}"#, close(None, None)),
        (r#"{"action":"close","user":{"username":"ann"},"status":null,"reason":null}"#, close(None, None)),
        (r#"{"action":"close","user":{"username":"ann"},"status":4001}"#, close(code(4001), None)),
        (
            r#"{"action":"close","user":{"username":"ann"},"status":1000,"reason":""}"#,
            close(code(1000), Some("")),
        ),
        (
            r#"{"action":"close","user":{"username":"ann"},"reason":"\udc00é"}"#,
            close(None, Some("\u{fffd}é")),
        ),
        (
            r#"{"action":"close","user":{"username":"ann"},"status":1005}"#,
            close(Some(Status::Unsendable), None),
        ),
        (r#"{"action":"close","user":{"username":"ann"},"status":0}"#, close(Some(Status::Unsendable), None)),
        (
            r#"{"action":"close","user":{"username":"ann"},"status":-0}"#,
            close(Some(Status::Unsendable), None),
        ),
        (
            r#"{"action":"close","user":{"username":"ann"},"status":-1000}"#,
            close(Some(Status::Unsendable), None),
        ),
        (
            r#"{"action":"close","user":{"username":"ann"},"status":66536}"#,
            close(Some(Status::Unsendable), None),
        ),
        (&huge, close(Some(Status::Unsendable), None)),
        (r#"{"action":"close","user":{"username":"ann"},"data":[]}"#, close(None, None)),
    ];
    assert_decodes(&cases, Binary::Text);
}

#[test]
fn of_a_field_given_twice_the_last_counts() {
    let cases = [
        (r#"{"action":1,"action":"send","user":{"username":"ann"},"data":[],"data":"x"}"#, send("ann", "x")),
        (r#"{"action":"send","user":{"username":1,"username":"ann"},"data":"x"}"#, send("ann", "x")),
        (r#"{"action":"send","user":7,"user":{"username":"ann"},"data":"x"}"#, send("ann", "x")),
        (
            r#"{"action":"send","user":{"username":"ann"},"user":{"name":"x"},"data":"x"}"#,
            Err(BadAction::Missing(Field::Username)),
        ),
        (r#"{"action":"close","user":{"username":"ann"},"status":4001,"status":null}"#, close(None, None)),
    ];
    assert_decodes(&cases, Binary::Text);
}

#[test]
fn keys_may_be_escaped_and_strange_ones_are_ignored() {
    let cases = [
        (
            r#"{"\u0061ction":"s\u0065nd","\u0075ser":{"us\u0065rname":"ann"},"dat\u0061":"x"}"#,
            send("ann", "x"),
        ),
        (
            r#"{"action":"send","user":{"username":"ann","Username":3,"\ud800":{}},"data":"x","\ud800":1,"":{}}"#,
            send("ann", "x"),
        ),
    ];
    assert_decodes(&cases, Binary::Text);
}

#[test]
fn a_name_with_a_lone_surrogate_is_no_users() {
    let frame = br#"{"action":"send","user":{"username":"ann\ud800"},"data":"x"}"#;
    assert_eq!(decode(frame, Binary::Text), Ok(Action::Send { user: None, data: Data::Text("x".into()) }));
    let frame = br#"{"action":"close","user":{"username":"\udfff\ud800"}}"#;
    assert_eq!(decode(frame, Binary::Text), Ok(Action::Close { user: None, status: None, reason: None }));
}

#[test]
fn binary_data_is_decoded_strictly_and_only_where_the_endpoint_speaks_it() {
    let binary = |bytes: &'static [u8]| {
        Ok(Action::Send { user: Some("ann".into()), data: Data::Binary(bytes.into()) })
    };
    let frame = |data: &str, encoding: &str| {
        format!(r#"{{"action":"send","user":{{"username":"ann"}},"data":{data},"encoding":{encoding}}}"#)
    };
    let cases = [
        (r#""+/8=""#, r#""base64""#, binary(b"\xfb\xff")),
        (r#""+\/8=""#, r#""base\u00364""#, binary(b"\xfb\xff")),
        (r#""""#, r#""base64""#, binary(b"")),
        (r#""-_8=""#, r#""base64""#, Err(BadAction::NotBase64)),
        (r#""+/8""#, r#""base64""#, Err(BadAction::NotBase64)),
        (r#""+/9=""#, r#""base64""#, Err(BadAction::NotBase64)),
        (r#""+/8= ""#, r#""base64""#, Err(BadAction::NotBase64)),
        (r#""\ud800""#, r#""base64""#, Err(BadAction::NotBase64)),
        ("[1]", r#""base64""#, Err(BadAction::WrongType(Field::Data))),
        ("null", r#""base64""#, Err(BadAction::WrongType(Field::Data))),
        (r#""+/8=""#, r#""hex""#, send("ann", "+/8=")),
        (r#""+/8=""#, r#""BASE64""#, send("ann", "+/8=")),
        (r#""+/8=""#, "null", send("ann", "+/8=")),
        (r#""+/8=""#, r#"["base64"]"#, send("ann", "+/8=")),
        (r#""+/8=""#, r#""base64","encoding":null"#, send("ann", "+/8=")),
    ];
    for (data, encoding, expected) in cases {
        let frame = frame(data, encoding);
        assert_eq!(decode(frame.as_bytes(), Binary::Base64), expected, "{frame}");
    }
    for mode in [Binary::Text, Binary::Reject] {
        assert_eq!(decode(frame(r#""+/8""#, r#""base64""#).as_bytes(), mode), send("ann", "+/8"));
    }
}

#[test]
fn what_is_wrong_is_named_and_the_first_fault_counts() {
    use {BadAction::*, Field::*};
    let cases: &[(&[u8], BadAction)] = &[
        (b"\xff", NotUtf8),
        (b"{\"a\":\"\xc3\"}", NotUtf8),
        (b"[\xed\xa0\x80", NotUtf8),
        (b"", NotJson),
        (b"   ", NotJson),
        (b"\xef\xbb\xbf{}", NotJson),
        (b"{}{}", NotJson),
        (b"{\"action\":1,}", NotJson),
        (b"{\"action\" \"send\"}", NotJson),
        (b"{action:1}", NotJson),
        (b"{\"data\":01}", NotJson),
        (b"{\"data\":\"\n\"}", NotJson),
        (b"{\"data\":\"\\x\"}", NotJson),
        (b"{\"data\":\"\\u12g4\"}", NotJson),
        (b"{\"data\":\"\\u+123\"}", NotJson),
        (b"nul", NotJson),
        (b"1 2", NotJson),
        (b"NaN", NotJson),
        (b"[]", NotObject),
        (b" \"send\" ", NotObject),
        (b"-0.5e3\n", NotObject),
        (b"null", NotObject),
        (b"{}", Missing(Action)),
        (br#"{"action":null}"#, WrongType(Action)),
        (br#"{"action":["send"],"user":7}"#, WrongType(Action)),
        (br#"{"action":"Send","user":7}"#, UnknownAction),
        (br#"{"action":""}"#, UnknownAction),
        (br#"{"action":"send","data":"x"}"#, Missing(User)),
        (br#"{"action":"send","user":"ann"}"#, WrongType(User)),
        (br#"{"action":"send","user":null}"#, WrongType(User)),
        (br#"{"action":"close","user":[{"username":"ann"}]}"#, WrongType(User)),
        (br#"{"action":"send","user":{}}"#, Missing(Username)),
        (br#"{"action":"send","user":{"username":null}}"#, WrongType(Username)),
        (br#"{"action":"close","user":{"username":7},"status":"x"}"#, WrongType(Username)),
        (br#"{"action":"send","user":{"username":"ann"}}"#, Missing(Data)),
        (br#"{"action":"send","user":{"username":"ann"},"encoding":"base64"}"#, Missing(Data)),
        (br#"{"action":"send","user":{"username":"ann"},"encoding":"base64","data":1}"#, WrongType(Data)),
        (br#"{"action":"send","user":{"username":"ann"},"encoding":"base64","data":"*"}"#, NotBase64),
        (br#"{"action":"close","user":{"username":"ann"},"status":4001.0,"reason":1}"#, WrongType(Status)),
        (br#"{"action":"close","user":{"username":"ann"},"status":4e3}"#, WrongType(Status)),
        (br#"{"action":"close","user":{"username":"ann"},"status":"4001"}"#, WrongType(Status)),
        (br#"{"action":"close","user":{"username":"ann"},"status":false}"#, WrongType(Status)),
        (br#"{"action":"close","user":{"username":"ann"},"reason":1}"#, WrongType(Reason)),
        (br#"{"action":"close","user":{"username":"ann"},"status":1005,"reason":{}}"#, WrongType(Reason)),
    ];
    for (frame, expected) in cases {
        assert_eq!(decode(frame, Binary::Base64), Err(*expected), "{}", frame.escape_ascii());
    }
}

// ---- Actions: large and deep -----------------------------------------------------------------------------------

#[test]
fn ten_megabytes_of_white_space_are_passed_over() {
    let space = " \t\r\n".repeat(2_500_000);
    let frame = format!(r#"{{"action":"send","user":{{"username":"ann"}},{space}"data":"x"}}{space}"#);
    assert_eq!(decode(frame.as_bytes(), Binary::Text), send("ann", "x"));
    assert_eq!(decode(space.as_bytes(), Binary::Text), Err(BadAction::NotJson));
}

#[test]
fn a_hundred_thousand_levels_are_too_deep_and_cost_no_stack() {
    for open in ["[", r#"{"a":"#, r#"[{"user":"#] {
        let deep = open.repeat(100_000);
        let frame = format!(r#"{{"action":"send","user":{{"username":"ann"}},"data":{deep}"#);
        assert_eq!(decode(deep.as_bytes(), Binary::Text), Err(BadAction::TooDeep));
        assert_eq!(decode(frame.as_bytes(), Binary::Text), Err(BadAction::TooDeep));
    }
}

#[test]
fn the_depth_limit_is_serde_jsons() {
    let mut refused = 0;
    for levels in 120..135 {
        let arrays = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        let objects = format!("{}1{}", r#"{"user":"#.repeat(levels), "}".repeat(levels));
        for deep in [&arrays, &objects] {
            for frame in [
                deep.clone(),
                format!(r#"{{"action":"close","user":{{"username":"ann"}},"data":{deep}}}"#),
                format!(r#"{{"action":"close","user":{{"username":"ann","x":[{deep}]}}}}"#),
            ] {
                let too_deep = serde_json::from_str::<Value>(&frame).is_err();
                refused += usize::from(too_deep);
                let is_too_deep = decode(frame.as_bytes(), Binary::Text) == Err(BadAction::TooDeep);
                assert_eq!(is_too_deep, too_deep, "{levels} levels in {frame}");
            }
        }
    }
    // 127 pass; the second kind of frame adds one level and the third three.
    assert_eq!(refused, 2 * (7 + 8 + 10));
}

// ---- Actions: against serde_json -------------------------------------------------------------------------------

fn space() -> impl Strategy<Value = &'static str> {
    prop_oneof![8 => Just(""), 1 => select(vec![" ", "\n", "\t", "\r", "  \r\n"])]
}

/// The content of a JSON string, escapes and all.
fn string_json() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[a-z ]{0,12}",
        1 => "[a-z ]{30,100}",
        2 => select(vec!["é", "中", "😀", "\u{7f}", "/", "{", "}", "[", "]", ",", ":"]).prop_map(String::from),
        3 => select(vec![r"\n", r#"\""#, r"\\", r"\/", r"\b", r"\f", r"\r", r"\t", r"\u0000", r"\u00E9"])
            .prop_map(String::from),
        1 => (0xd7f0u16..0xe010).prop_map(|unit| format!("\\u{unit:04x}")),
        1 => (0xd800u16..0xdc00, 0xdc00u16..0xe000).prop_map(|(high, low)| format!("\\u{high:x}\\u{low:X}")),
    ];
    vec(piece, 0..5).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
}

fn number_json() -> impl Strategy<Value = String> {
    prop_oneof![
        "-?(0|[1-9][0-9]{0,3})",
        "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,5})?([eE][+-]?[0-9]{1,2})?",
        select(vec!["1000", "1003", "1005", "1006", "1011", "3000", "4999", "5000", "65535", "70000"])
            .prop_map(String::from),
    ]
}

/// A key: one that means something, perhaps in disguise, or any other.
fn key_json() -> impl Strategy<Value = String> {
    let known = select(vec!["action", "user", "username", "data", "status", "reason", "encoding"]);
    prop_oneof![
        6 => known.clone().prop_map(|key| format!("\"{key}\"")),
        1 => known.prop_map(|key| format!("\"\\u{:04x}{}\"", key.as_bytes()[0], &key[1..])),
        1 => string_json(),
    ]
}

fn value_json() -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        string_json(),
        number_json(),
        select(vec!["null", "true", "false", "\"send\"", "\"close\"", "[]", "{}"]).prop_map(String::from),
    ];
    leaf.prop_recursive(4, 12, 4, |element| {
        prop_oneof![
            vec((space(), element.clone(), space()), 0..4).prop_map(|elements| {
                let elements: Vec<_> =
                    elements.iter().map(|(a, value, b)| format!("{a}{value}{b}")).collect();
                format!("[{}]", elements.join(","))
            }),
            vec((key_json(), element), 0..4).prop_map(|members| object_json(&members, "")),
        ]
    })
    .boxed()
}

fn object_json(members: &[(String, String)], space: &str) -> String {
    let members: Vec<_> =
        members.iter().map(|(k, v)| format!("{space}{k}{space}:{space}{v}{space}")).collect();
    format!("{space}{{{}}}{space}", members.join(","))
}

/// A member that makes the frame an action, more often than not.
fn member() -> impl Strategy<Value = (String, String)> {
    let user = prop_oneof![
        4 => string_json().prop_map(|name| format!("{{\"username\":{name}}}")),
        1 => vec((key_json(), value_json()), 0..3).prop_map(|members| object_json(&members, " ")),
    ];
    let fixed = |key: &str| Just(format!("\"{key}\""));
    prop_oneof![
        (fixed("action"), select(vec!["\"send\"", "\"close\"", "\"s\\u0065nd\""]).prop_map(String::from)),
        (fixed("user"), user),
        (fixed("data"), value_json()),
        (fixed("status"), number_json()),
        (fixed("reason"), string_json()),
        (key_json(), value_json()),
    ]
}

/// Members in any order, some twice: an `action` and a `user` are among them nearly always.
fn frame() -> impl Strategy<Value = String> {
    let user = string_json().prop_map(|name| ("\"user\"".to_owned(), format!("{{\"username\":{name}}}")));
    let action =
        select(vec!["\"send\"", "\"close\""]).prop_map(|verb| ("\"action\"".to_owned(), verb.to_owned()));
    (action, user, vec(member(), 0..6), space(), any::<prop::sample::Index>()).prop_map(
        |(action, user, mut members, space, at)| {
            let at = at.index(members.len() + 1);
            members.insert(at, action);
            members.insert(at, user);
            object_json(&members, space)
        },
    )
}

/// Bytes that mean something to JSON, and some that it must refuse.
fn byte() -> impl Strategy<Value = u8> {
    prop_oneof![
        9 => select(b"{}[]\",:\\u0123456789dcDC.eE+-ntrf \n\t\r/b".to_vec()),
        1 => any::<u8>(),
    ]
}

fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<prop::sample::Index>(), 0usize..3, vec(byte(), 0..3));
    (frame(), vec(change, 1..3)).prop_map(|(frame, changes)| {
        let mut bytes = frame.into_bytes();
        for (at, removed, put) in changes {
            let at = at.index(bytes.len() + 1);
            let end = (at + removed).min(bytes.len());
            bytes.splice(at..end, put);
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn mutated_frames_are_taken_and_refused_as_serde_json_does(frame in mutated()) {
        compare(&frame);
    }

    #[test]
    fn any_bytes_are_taken_and_refused_as_serde_json_does(frame in vec(byte(), 0..12)) {
        compare(&frame);
    }

    #[test]
    fn any_value_is_taken_and_refused_as_serde_json_does(value in value_json(), tail in vec(byte(), 0..3)) {
        let frame = [value.as_bytes(), &tail].concat();
        compare(&frame);
    }
}

#[test]
fn frames_say_what_serde_json_reads_in_them() {
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(3_000));
    let actions = std::cell::Cell::new(0);
    let run = runner.run(&frame(), |frame| {
        actions.set(actions.get() + usize::from(compare(frame.as_bytes())));
        Ok(())
    });
    run.unwrap_or_else(|fault| panic!("{fault}"));
    assert!(actions.get() > 500, "too few of the frames were actions: {}", actions.get());
}
