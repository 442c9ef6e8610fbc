//! Actions: what a backend's frame asks for (language.md, "Actions: backend to gateway").
//!
//! The frame is read to its end before any field is judged: which fields matter is known only when `action` is, and
//! that may come last.

use alloc::{borrow::Cow, vec, vec::Vec};

use base64::{Engine as _, decoded_len_estimate, engine::general_purpose::STANDARD};

use super::{
    Action, BadAction, Data, Field, Status,
    json::{Kind, Reader, Value},
};
use crate::{Binary, CloseCode};

/// Reads the content of one text or binary frame.
///
/// The action is borrowed from the frame, but for strings with escapes in them and for base64. Of several faults the
/// one is named that comes first in this order: not UTF-8; not JSON, or too deep, whichever comes first in the frame;
/// no object; `action`; `user` and its `username`; then `data`, or `status` and `reason`. Fields that the action has
/// no use for may hold anything.
pub fn decode(frame: &[u8], binary: Binary) -> Result<Action<'_>, BadAction> {
    let text = core::str::from_utf8(frame).map_err(|_| BadAction::NotUtf8)?;
    decode_text(text, binary)
}

/// The same of a frame that is known to be UTF-8.
pub fn decode_text(text: &str, binary: Binary) -> Result<Action<'_>, BadAction> {
    let fields = Fields::read(text)?;
    match fields.verb()? {
        Verb::Send => Ok(Action::Send { user: fields.user()?, data: fields.data(binary)? }),
        Verb::Close => {
            Ok(Action::Close { user: fields.user()?, status: fields.status()?, reason: fields.reason()? })
        }
    }
}

/// What `action` can say.
enum Verb {
    Send,
    Close,
}

/// The fields of the frame's object that an action may have, each as it came last.
#[derive(Default)]
struct Fields<'a> {
    action: Option<Value<'a>>,
    user: Option<User<'a>>,
    data: Option<Value<'a>>,
    encoding: Option<Value<'a>>,
    status: Option<Value<'a>>,
    reason: Option<Value<'a>>,
}

/// What `user` holds.
enum User<'a> {
    Object { username: Option<Value<'a>> },
    Other,
}

impl<'a> Fields<'a> {
    fn read(text: &'a str) -> Result<Self, BadAction> {
        let mut reader = Reader::new(text);
        let mut fields = Fields::default();
        reader.space();
        if reader.peek() != Some(b'{') {
            reader.value(0)?;
            reader.end()?;
            return Err(BadAction::NotObject);
        }
        reader.object(|reader, key| {
            match &*key.text() {
                "action" => fields.action = Some(reader.value(1)?),
                "user" => fields.user = Some(User::read(reader)?),
                "data" => fields.data = Some(reader.value(1)?),
                "encoding" => fields.encoding = Some(reader.value(1)?),
                "status" => fields.status = Some(reader.value(1)?),
                "reason" => fields.reason = Some(reader.value(1)?),
                _ => drop(reader.value(1)?),
            }
            Ok(())
        })?;
        reader.end()?;
        Ok(fields)
    }

    fn verb(&self) -> Result<Verb, BadAction> {
        let action = self.action.ok_or(BadAction::Missing(Field::Action))?;
        let name = action.as_string().ok_or(BadAction::WrongType(Field::Action))?;
        match &*name.text() {
            "send" => Ok(Verb::Send),
            "close" => Ok(Verb::Close),
            _ => Err(BadAction::UnknownAction),
        }
    }

    fn user(&self) -> Result<Option<Cow<'a, str>>, BadAction> {
        match self.user {
            None => Err(BadAction::Missing(Field::User)),
            Some(User::Other) => Err(BadAction::WrongType(Field::User)),
            Some(User::Object { username: None }) => Err(BadAction::Missing(Field::Username)),
            Some(User::Object { username: Some(username) }) => {
                let name = username.as_string().ok_or(BadAction::WrongType(Field::Username))?;
                Ok(name.exact_text())
            }
        }
    }

    fn data(&self, binary: Binary) -> Result<Data<'a>, BadAction> {
        let data = self.data.ok_or(BadAction::Missing(Field::Data))?;
        match (binary == Binary::Base64 && self.says_base64(), data.as_string()) {
            (false, Some(string)) => Ok(Data::Text(string.text())),
            (false, None) => Ok(Data::Text(Cow::Borrowed(data.json))),
            (true, Some(string)) => {
                let bytes = read_base64(&string.text()).ok_or(BadAction::NotBase64)?;
                Ok(Data::Binary(Cow::Owned(bytes)))
            }
            (true, None) => Err(BadAction::WrongType(Field::Data)),
        }
    }

    fn says_base64(&self) -> bool {
        self.encoding.and_then(Value::as_string).is_some_and(|encoding| encoding.text() == "base64")
    }

    fn status(&self) -> Result<Option<Status>, BadAction> {
        let Some(status) = self.status.filter(|status| !status.is_null()) else { return Ok(None) };
        if !matches!(status.kind, Kind::Integer) {
            return Err(BadAction::WrongType(Field::Status));
        }
        // An integer that is no u16 is none that may be sent.
        let code = status.json.parse().ok().and_then(CloseCode::new);
        Ok(Some(code.map_or(Status::Unsendable, Status::Code)))
    }

    fn reason(&self) -> Result<Option<Cow<'a, str>>, BadAction> {
        let Some(reason) = self.reason.filter(|reason| !reason.is_null()) else { return Ok(None) };
        let string = reason.as_string().ok_or(BadAction::WrongType(Field::Reason))?;
        Ok(Some(string.text()))
    }
}

/// The bytes that base64 stands for; `None` where it is not that: the standard alphabet, padded.
fn read_base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = vec![0; decoded_len_estimate(text.len())];
    let len = STANDARD.decode_slice(text, &mut bytes).ok()?;
    bytes.truncate(len);
    Some(bytes)
}

impl<'a> User<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, BadAction> {
        if reader.peek() != Some(b'{') {
            reader.value(1)?;
            return Ok(User::Other);
        }
        let mut username = None;
        reader.object(|reader, key| {
            let value = reader.value(2)?;
            if key.text() == "username" {
                username = Some(value);
            }
            Ok(())
        })?;
        Ok(User::Object { username })
    }
}
