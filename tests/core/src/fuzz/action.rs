//! Actions against serde_json: of any bytes both must say the same, but for the leniencies that language.md states.

use std::{borrow::Cow, collections::BTreeMap};

use serde::de::IgnoredAny;
use serde_json::{Value, value::RawValue};
use trunkline_core::{
    Binary, CloseCode,
    language::{Action, BadAction, Data, Field, Status, decode},
};

use super::base64;

/// How many objects and arrays may stand within each other; serde_json's limit is the same.
const DEPTH_MAX: usize = 127;

/// In the place of each escaped lone surrogate the oracle reads this noncharacter.
const LONE: char = '\u{fdd0}';

/// Decodes the frame as each kind of endpoint does, and compares.
///
/// # Panics
///
/// What the core makes of it is not what serde_json reads in it.
pub fn check(frame: &[u8]) {
    compare(frame);
}

/// As [`check`]; returns whether the frame was an action.
///
/// # Panics
///
/// As [`check`].
pub fn compare(frame: &[u8]) -> bool {
    let text = match str::from_utf8(frame) {
        Ok(text) => text,
        Err(_) => return refused(frame, &[BadAction::NotUtf8]),
    };
    if text.contains(LONE) || text.to_ascii_lowercase().contains("fdd0") {
        // The oracle could not tell it from what it has put there itself.
        return false;
    }
    let readable = without_lone_surrogates(text);
    if let Err(faults) = well_formed(&readable) {
        return refused(frame, faults);
    }
    let document = Document { text, readable: &readable };
    for binary in [Binary::Text, Binary::Reject, Binary::Base64] {
        assert_eq!(decode(frame, binary), document.action(binary), "{binary:?}: {text}");
    }
    document.action(Binary::Text).is_ok()
}

fn refused(frame: &[u8], faults: &[BadAction]) -> bool {
    for binary in [Binary::Text, Binary::Base64] {
        let decoded = decode(frame, binary);
        assert!(matches!(&decoded, Err(fault) if faults.contains(fault)), "{decoded:?} is not of {faults:?}");
    }
    false
}

/// `text` with lone surrogates' escapes replaced by that of [`LONE`], which is as long, so that serde_json takes it.
fn without_lone_surrogates(text: &str) -> String {
    let unit = |at: &str| {
        let digits = at.strip_prefix("\\u")?.get(..4)?;
        digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, 16).ok())?
    };
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let length = match unit(rest) {
            Some(0xd800..=0xdbff) if matches!(unit(&rest[6..]), Some(0xdc00..=0xdfff)) => 12,
            Some(0xd800..=0xdfff) => {
                out.push_str("\\ufdd0");
                rest = &rest[6..];
                continue;
            }
            _ => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
        };
        out.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    out + rest
}

/// Whether serde_json takes the text; else the faults that it may have.
fn well_formed(text: &str) -> Result<(), &'static [BadAction]> {
    let Err(error) = serde_json::from_str::<Value>(text) else { return Ok(()) };
    let error = error.to_string();
    if error.starts_with("recursion limit") {
        return Err(&[BadAction::TooDeep]);
    }
    if !error.starts_with("number out of range") {
        return Err(&[BadAction::NotJson]);
    }
    // The language passes numbers on as they stand, so only the form counts. What comes after the number that is out
    // of serde_json's range is for others to judge.
    match serde_json::from_str::<IgnoredAny>(text) {
        Err(_) => Err(&[BadAction::NotJson, BadAction::TooDeep]),
        Ok(_) if depth(text) > DEPTH_MAX => Err(&[BadAction::TooDeep]),
        Ok(_) => Ok(()),
    }
}

/// How many objects and arrays stand within each other in a text that is JSON.
fn depth(json: &str) -> usize {
    let (mut deepest, mut depth, mut in_string, mut escaped) = (0, 0_usize, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// A frame that is JSON.
struct Document<'a> {
    text: &'a str,
    /// The same, byte for byte, but for lone surrogates.
    readable: &'a str,
}

type Fields<'a> = BTreeMap<String, &'a RawValue>;

/// The members, of each name the last.
fn object(json: &str) -> Option<Fields<'_>> {
    serde_json::from_str(json).ok()
}

/// What is JSON text `"…"` as a string.
fn string(json: &RawValue) -> Option<String> {
    serde_json::from_str(json.get()).ok()
}

/// What is `null`, or not there, counts as absent.
fn given<'a>(fields: &Fields<'a>, name: &str) -> Option<&'a RawValue> {
    fields.get(name).copied().filter(|value| value.get() != "null")
}

impl Document<'_> {
    fn action(&self, binary: Binary) -> Result<Action<'static>, BadAction> {
        let fields = object(self.readable).ok_or(BadAction::NotObject)?;
        let action = fields.get("action").ok_or(BadAction::Missing(Field::Action))?;
        let action = string(action).ok_or(BadAction::WrongType(Field::Action))?;
        if action != "send" && action != "close" {
            return Err(BadAction::UnknownAction);
        }
        let user = fields.get("user").ok_or(BadAction::Missing(Field::User))?;
        let user = object(user.get()).ok_or(BadAction::WrongType(Field::User))?;
        let name = user.get("username").ok_or(BadAction::Missing(Field::Username))?;
        let name = string(name).ok_or(BadAction::WrongType(Field::Username))?;
        let user = (!name.contains(LONE)).then(|| name.into());
        Ok(match &*action {
            "send" => Action::Send { user, data: self.data(&fields, binary)? },
            _ => Action::Close { user, status: status(&fields)?, reason: reason(&fields)? },
        })
    }

    fn data(&self, fields: &Fields<'_>, binary: Binary) -> Result<Data<'static>, BadAction> {
        let data = fields.get("data").ok_or(BadAction::Missing(Field::Data))?;
        let encoding = fields.get("encoding").and_then(|encoding| string(encoding));
        let is_binary = binary == Binary::Base64 && encoding.as_deref() == Some("base64");
        match (is_binary, string(data).map(replaced)) {
            (false, Some(text)) => Ok(Data::Text(text.into())),
            (false, None) => Ok(Data::Text(self.as_it_stands(data).to_owned().into())),
            (true, Some(text)) => {
                base64::decode(&text).map(|bytes| Data::Binary(bytes.into())).ok_or(BadAction::NotBase64)
            }
            (true, None) => Err(BadAction::WrongType(Field::Data)),
        }
    }

    /// The JSON text of a value that was read in `readable`, lone surrogates and all.
    fn as_it_stands(&self, value: &RawValue) -> &str {
        let start = value.get().as_ptr().addr() - self.readable.as_ptr().addr();
        &self.text[start..start + value.get().len()]
    }
}

fn status(fields: &Fields<'_>) -> Result<Option<Status>, BadAction> {
    let Some(status) = given(fields, "status") else { return Ok(None) };
    let digits = status.get().strip_prefix('-').unwrap_or(status.get());
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(BadAction::WrongType(Field::Status));
    }
    let code = status.get().parse().ok().and_then(CloseCode::new);
    Ok(Some(code.map_or(Status::Unsendable, Status::Code)))
}

fn reason(fields: &Fields<'_>) -> Result<Option<Cow<'static, str>>, BadAction> {
    let Some(reason) = given(fields, "reason") else { return Ok(None) };
    let text = string(reason).ok_or(BadAction::WrongType(Field::Reason))?;
    Ok(Some(replaced(text).into()))
}

fn replaced(text: String) -> String {
    text.replace(LONE, "\u{fffd}")
}
