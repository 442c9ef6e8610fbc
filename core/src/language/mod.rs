//! The language between gateway and backend (language.md): events are written, actions are read.

mod action;
mod event;
mod json;
mod string;

use alloc::borrow::Cow;

use crate::CloseCode;

pub use action::{decode, decode_text};
pub(crate) use event::write_identity;
pub use event::{accept_binary, encode_close, encode_message, encode_open};

/// What a message carries, in either direction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Data<'a> {
    /// A text message.
    Text(Cow<'a, str>),
    /// A binary message: only where the endpoint says `binary = "base64"`.
    Binary(Cow<'a, [u8]>),
}

/// What a backend wants done, borrowed from the frame where it can be.
#[cfg_attr(
    feature = "recording",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action<'a> {
    /// Send `data` to the user's client.
    Send {
        /// The user; `None` for a name with a lone surrogate, which no user has.
        user: Option<Cow<'a, str>>,
        /// What to send.
        data: Data<'a>,
    },
    /// End the user's session.
    Close {
        /// The user; `None` for a name with a lone surrogate, which no user has.
        user: Option<Cow<'a, str>>,
        /// The status asked for; `None` where there is none.
        status: Option<Status>,
        /// The reason asked for, whole; `None` where there is none.
        reason: Option<Cow<'a, str>>,
    },
}

/// The `status` of a `close` action.
#[cfg_attr(
    feature = "recording",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// One that may be sent.
    Code(CloseCode),
    /// Any other integer.
    Unsendable,
}

/// Why a frame is no action.
#[cfg_attr(
    feature = "recording",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum BadAction {
    /// It is binary, and not UTF-8.
    NotUtf8,
    /// It is not JSON.
    NotJson,
    /// It nests deeper than is read: 127 levels.
    TooDeep,
    /// It is JSON, but no object.
    NotObject,
    /// A field that the action needs is missing.
    Missing(Field),
    /// A field of the action is of another type than it must be.
    WrongType(Field),
    /// There is no such action.
    UnknownAction,
    /// `data` says that it is base64, and is not.
    NotBase64,
}

/// The fields of an action.
#[cfg_attr(
    feature = "recording",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Field {
    /// `action`
    Action,
    /// `user`
    User,
    /// `user.username`
    Username,
    /// `data`
    Data,
    /// `status`
    Status,
    /// `reason`
    Reason,
}
