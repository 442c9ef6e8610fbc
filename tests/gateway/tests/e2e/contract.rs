//! The contract that machines read (docs/schema/): it says what the gateway does.

use std::{fs, path::Path};

use jsonschema::Validator;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use trunkline_core::{
    Binary,
    language::{Action, Status, decode},
};
use trunkline_core_tests::fuzz;
use trunkline_gateway_tests::rig::{Backend, Client, Event, Gateway, Handshake, Setup, tokens};

fn read(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/schema").join(name);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn validator(schema: &Value) -> Validator {
    jsonschema::draft202012::new(schema).unwrap_or_else(|error| panic!("no schema: {error}"))
}

/// The schemas of actions: as most endpoints take them, and as those with `binary = "base64"` do.
fn actions() -> [(Binary, Validator); 2] {
    let schema = read("action.json");
    let base64 = json!({ "$ref": "#/$defs/base64", "$defs": schema["$defs"] });
    [(Binary::Text, validator(&schema)), (Binary::Base64, validator(&base64))]
}

/// Where the core may take what the schema does not allow, or the other way round; all of them stand in action.json.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Lenience {
    /// A `status` that is an integer and cannot be sent.
    Unsendable,
    /// A `reason` of more characters than a close frame has bytes.
    LongReason,
    /// A lone surrogate, or a number out of range, which the parser that feeds the schema does not take.
    Unparsed,
    /// Only the schema takes it: an integer with a fraction or an exponent.
    Fraction,
}

/// Panics unless both say the same of a frame, but for what is returned.
fn compare(frame: &[u8], binary: Binary, schema: &Validator) -> Option<Lenience> {
    let decoded = decode(frame, binary);
    let lenience = match &decoded {
        Ok(Action::Close { status: Some(Status::Unsendable), .. }) => Some(Lenience::Unsendable),
        Ok(Action::Close { reason: Some(reason), .. }) if reason.chars().count() > 123 => {
            Some(Lenience::LongReason)
        }
        _ => None,
    };
    let shown = String::from_utf8_lossy(frame);
    let Ok(value) = serde_json::from_slice::<Value>(frame) else {
        return decoded.is_ok().then(|| {
            assert!(shown.contains("\\u") || shown.contains('e') || shown.contains('E'), "{shown}");
            Lenience::Unparsed
        });
    };
    let valid = schema.is_valid(&value);
    match (decoded.is_ok(), valid, lenience) {
        (true, false, Some(lenience)) => Some(lenience),
        (false, true, _) if value["status"].is_f64() => Some(Lenience::Fraction),
        (decodes, valid, lenience) => {
            assert!(decodes == valid, "the core says {decoded:?}, the schema {valid}: {shown}");
            assert_eq!(lenience, None, "the schema allows what it should not: {shown}");
            None
        }
    }
}

#[test]
fn what_the_fuzzers_have_found_is_an_action_to_the_core_and_to_the_schema_alike() {
    for (binary, schema) in &actions() {
        fuzz::replay("action", |frame| {
            // It panics where they differ; leniences are the other test's.
            let _ = compare(frame, *binary, schema);
        });
    }
}

/// A field in each form that it may have; `""` for none.
const ACTION: &[&str] = &["", r#""send""#, r#""close""#, r#""open""#, "7", "null"];
const USER: &[&str] = &[
    "",
    r#"{"username":"ann"}"#,
    r#"{"username":""}"#,
    r#"{"username":"\ud800"}"#,
    r#"{"username":"ann","x":[]}"#,
    r#"{"username":null}"#,
    r#"{"name":"ann"}"#,
    r#""ann""#,
    "[]",
];
const DATA: &[&str] =
    &["", r#""""#, r#""/w==""#, r#""/x==""#, r#""/w""#, r#""no""#, "null", r#"{"a":[1,2]}"#, "1e999"];
const ENCODING: &[&str] = &["", r#""base64""#, r#""hex""#, "null", "7"];
const STATUS: &[&str] = &[
    "",
    "null",
    "999",
    "1000",
    "1003",
    "1004",
    "1006",
    "1007",
    "1014",
    "1015",
    "2999",
    "3000",
    "4999",
    "5000",
    "-1",
    "70000",
    "1000.0",
    "1e3",
    "1000.5",
    r#""1000""#,
    "true",
];

/// A frame of these fields.
fn frame(fields: &[(&str, &str)]) -> String {
    let given: Vec<_> = fields.iter().filter(|(_, value)| !value.is_empty()).collect();
    let given: Vec<_> = given.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}", given.join(","))
}

#[test]
fn every_field_in_every_form_is_taken_by_both_or_by_neither() {
    let long = |bytes| format!("\"{}\"", "x".repeat(bytes));
    let reasons = ["".to_owned(), "null".to_owned(), "7".to_owned(), long(0), long(123), long(124)];
    let mut leniences = Vec::new();
    let mut valid = 0;
    for (binary, schema) in &actions() {
        for (action, user) in ACTION.iter().flat_map(|action| USER.iter().map(move |user| (action, user))) {
            let head = [("action", *action), ("user", *user)];
            let sends = DATA.iter().flat_map(|data| {
                ENCODING.iter().map(move |encoding| [("data", *data), ("encoding", *encoding)])
            });
            let closes = STATUS.iter().flat_map(|status| {
                reasons.iter().map(move |reason| [("status", *status), ("reason", &**reason)])
            });
            for tail in sends.chain(closes) {
                let frame = frame(&[head, tail].concat());
                leniences.extend(compare(frame.as_bytes(), *binary, schema));
                valid += usize::from(decode(frame.as_bytes(), *binary).is_ok());
            }
        }
    }
    assert!(valid > 1_000, "{valid} actions");
    for lenience in [Lenience::Unsendable, Lenience::LongReason, Lenience::Unparsed, Lenience::Fraction] {
        assert!(leniences.contains(&lenience), "{lenience:?} never came up");
    }
}

/// Panics unless the schema allows an event, and names all of it.
fn check_event(schema: &Value, validator: &Validator, event: &Value) {
    if let Err(error) = validator.validate(event) {
        panic!("{error}: {event}");
    }
    let kind = event["event"].as_str().unwrap_or_default();
    let named = &schema["$defs"][kind]["properties"];
    for (field, _) in event.as_object().expect("an event is an object") {
        assert!(named.get(field).is_some(), "{field} of {event} is not in the schema");
    }
}

#[tokio::test]
async fn what_the_gateway_really_sends_is_in_the_schema() {
    let schema = read("event.json");
    let validator = validator(&schema);
    let (mut backend, mut plain) = (Backend::start().await, Backend::start().await);
    let setup =
        Setup::new(backend.address()).endpoint("plain", "/plain", plain.address()).lobby("binary", "base64");
    let gateway = Gateway::start(&setup).await;

    let mut heard: Vec<Event> = Vec::new();
    for user in ["ann", "__proto__", "ü \u{1f980}\u{0} \"\\", " "] {
        let mut client = Client::enter(&gateway, user).await;
        client.say("hello \u{0}\u{7f}\u{2028}\u{1f980}\"\\{}").await;
        client.say("").await;
        for bytes in [&b""[..], b"\xff", b"\xff\xfe", b"\xff\xfe\xfd"] {
            client.say_binary(bytes).await;
        }
        for _ in 0..7 {
            heard.push(backend.next_event().await);
        }
        // One more of the same user: a close, and an open, before which nobody is heard of.
        let again = Client::enter(&gateway, user).await;
        heard.push(backend.next_event().await);
        heard.push(backend.next_event().await);
        again.leave().await;
        heard.push(backend.next_event().await);
    }
    let bob = Handshake::to("/plain").token(&tokens::of("bob")).enter(&gateway).await;
    heard.push(plain.next_event().await);
    plain.cut();
    // Announced again.
    heard.push(plain.next_event().await);
    bob.leave().await;
    heard.push(plain.next_event().await);

    for event in &heard {
        check_event(&schema, &validator, &event.json);
    }
    for kind in ["open", "message", "close"] {
        assert!(heard.iter().any(|event| event.kind() == kind), "no {kind}");
    }
    let encoded = heard.iter().filter(|event| event.json["encoding"] == "base64").count();
    assert_eq!(encoded, 4 * 4);
}

#[tokio::test]
async fn what_the_schema_gives_as_examples_the_gateway_carries_out() {
    let schema = read("action.json");
    let mut backend = Backend::start().await;
    let gateway = Gateway::start(&Setup::new(backend.address()).lobby("binary", "base64")).await;
    let mut tried = 0;
    for kind in ["send", "close", "base64"] {
        for example in schema["$defs"][kind]["examples"].as_array().expect("there are examples") {
            let mut ann = Client::enter(&gateway, "ann").await;
            while !backend.next_event().await.is("open", "ann") {}
            backend.send(example);
            if kind == "close" {
                let status = example["status"].as_u64().unwrap_or(1011);
                assert_eq!(u64::from(ann.closed().await.0), status);
            } else {
                assert!(matches!(ann.next().await, Some(Ok(Message::Text(_) | Message::Binary(_)))));
                ann.leave().await;
            }
            tried += 1;
        }
    }
    assert_eq!(tried, 5);
}
