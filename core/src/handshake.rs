//! The handshake: what a client can be told instead of 101, and whether its request asks for a WebSocket at all
//! (language.md, "Handshake").
//!
//! It parses no HTTP and verifies no token: the shell does, and says here what it found.

use base64::{
    Engine as _, alphabet,
    engine::general_purpose::{GeneralPurpose, PAD},
};

use crate::Refusal;

/// Why a client is turned away: a row of the handshake's table, in its order, which is that in which they count.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Answer {
    /// The gateway drains.
    Draining,
    /// It came too often, or from an address with too many connections or attempts.
    TooMany,
    /// More come at once than the gateway takes.
    Busy,
    /// The request cannot be read.
    BadRequest(RequestFault),
    /// No endpoint has the path.
    NotFound,
    /// It asks for no WebSocket upgrade, or for another version than 13.
    UpgradeRequired,
    /// Its `Sec-WebSocket-Key` is not one.
    BadKey,
    /// Its `Origin` is not among those that are allowed.
    ForeignOrigin,
    /// It brought no token that is accepted.
    Unauthorized(TokenFault),
    /// Whether its token is good cannot be said, for the keys of its issuer are not there.
    KeysUnavailable,
    /// The backend is away, and clients are not held, or no longer.
    BackendAway,
    /// The user has a session, and the endpoint says `reject`.
    Duplicate,
    /// The endpoint or the gateway has as many sessions as it may.
    Full,
}

/// Why a request cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum RequestFault {
    /// It is not HTTP.
    NotHttp,
    /// It is not TLS, and that is spoken here.
    NotTls,
    /// Its path does not decode to UTF-8.
    Path,
    /// A header in which a proxy that is believed says whom it speaks for says nothing of the kind.
    Forwarded,
}

/// Why a token is not accepted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum TokenFault {
    /// There is none.
    Missing,
    /// It is no JWT.
    Malformed,
    /// Its algorithm is not one of those that the endpoint allows.
    AlgorithmNotAllowed,
    /// No key is known that it could be signed with.
    UnknownKey,
    /// Its signature is wrong.
    BadSignature,
    /// It has expired.
    Expired,
    /// It is not valid yet.
    NotYetValid,
    /// It was issued by someone else, or does not say by whom.
    WrongIssuer,
    /// It was issued for someone else, or does not say for whom.
    WrongAudience,
    /// The claim that names the user is missing, empty, too long or no string.
    NoUser,
}

impl Answer {
    /// The HTTP status.
    pub const fn status(self) -> u16 {
        match self {
            Answer::BadRequest(_) | Answer::BadKey => 400,
            Answer::Unauthorized(_) => 401,
            Answer::ForeignOrigin => 403,
            Answer::NotFound => 404,
            Answer::Duplicate => 409,
            Answer::UpgradeRequired => 426,
            Answer::TooMany | Answer::Full => 429,
            Answer::Draining | Answer::Busy | Answer::KeysUnavailable | Answer::BackendAway => 503,
        }
    }

    /// A name for programs: it stays as it is.
    pub const fn code(self) -> &'static str {
        match self {
            Answer::Draining => "draining",
            Answer::TooMany => "too_many_attempts",
            Answer::Busy => "busy",
            Answer::BadRequest(RequestFault::NotHttp) => "bad_request",
            Answer::BadRequest(RequestFault::NotTls) => "tls_required",
            Answer::BadRequest(RequestFault::Path) => "bad_path",
            Answer::BadRequest(RequestFault::Forwarded) => "bad_forwarded_header",
            Answer::NotFound => "not_found",
            Answer::UpgradeRequired => "upgrade_required",
            Answer::BadKey => "bad_websocket_key",
            Answer::ForeignOrigin => "origin_not_allowed",
            Answer::Unauthorized(fault) => fault.code(),
            Answer::KeysUnavailable => "keys_unavailable",
            Answer::BackendAway => "backend_away",
            Answer::Duplicate => "already_connected",
            Answer::Full => "too_many_sessions",
        }
    }

    /// One sentence for people. It discloses nothing of what a token contains.
    pub const fn message(self) -> &'static str {
        match self {
            Answer::Draining => "This gateway is shutting down; connect again and another one will answer.",
            Answer::TooMany => {
                "Too many connections or attempts from this address or of this user; wait before trying again."
            }
            Answer::Busy => "More clients are coming in than this gateway can take at once; try again later.",
            Answer::BadRequest(RequestFault::NotHttp) => {
                "This is not an HTTP request that the gateway can read."
            }
            Answer::BadRequest(RequestFault::NotTls) => {
                "TLS is spoken here: connect with wss:// or https://, not with ws:// or http://."
            }
            Answer::BadRequest(RequestFault::Path) => "The path must be percent-encoded UTF-8.",
            Answer::BadRequest(RequestFault::Forwarded) => {
                "The header in which a proxy says whom it speaks for cannot be read."
            }
            Answer::NotFound => {
                "No endpoint has this path; neither its case nor a slash at its end is overlooked."
            }
            Answer::UpgradeRequired => {
                "This is a WebSocket endpoint: ask with GET and HTTP/1.1 for an upgrade to WebSocket version 13."
            }
            Answer::BadKey => "Sec-WebSocket-Key must be there once, and be 16 bytes in base64.",
            Answer::ForeignOrigin => "Pages of this origin may not connect to this endpoint.",
            Answer::Unauthorized(fault) => fault.message(),
            Answer::KeysUnavailable => {
                "Tokens cannot be verified at present, for their issuer's keys are not to be had; try again later."
            }
            Answer::BackendAway => "The service behind this endpoint is unavailable; try again later.",
            Answer::Duplicate => {
                "This user is already connected to this endpoint, which allows one connection."
            }
            Answer::Full => "No more sessions are accepted at present; try again later.",
        }
    }

    /// Whether the answer says with `Retry-After` when to come back. When that is, the shell knows.
    pub const fn retry_after(self) -> bool {
        matches!(
            self,
            Answer::Draining
                | Answer::TooMany
                | Answer::Busy
                | Answer::KeysUnavailable
                | Answer::BackendAway
                | Answer::Full
        )
    }

    /// The other headers that the answer has, names and values.
    pub const fn headers(self) -> &'static [(&'static str, &'static str)] {
        match self {
            // RFC 6750, section 3.1: no error is named where no token was brought.
            Answer::Unauthorized(TokenFault::Missing) => &[("WWW-Authenticate", "Bearer")],
            Answer::Unauthorized(_) => &[("WWW-Authenticate", "Bearer error=\"invalid_token\"")],
            // RFC 9110, section 7.8: who sends Upgrade names it in Connection.
            Answer::UpgradeRequired => {
                &[("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13")]
            }
            _ => &[],
        }
    }
}

/// What has come of the search for newer keys, for a token that those at hand do not prove.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Search {
    /// It is over, or was of no use: there are no newer ones for now.
    Over {
        /// Whether there are usable ones of everybody who publishes such as could prove it.
        all_have_keys: bool,
    },
    /// There was no place for it, or too little time.
    CutShort,
}

impl Search {
    /// What the client is told: that its token is bad only where somebody has looked.
    pub const fn answer(self, fault: TokenFault) -> Answer {
        match self {
            Search::Over { all_have_keys: true } => Answer::Unauthorized(fault),
            Search::Over { all_have_keys: false } | Search::CutShort => Answer::KeysUnavailable,
        }
    }
}

impl TokenFault {
    const fn code(self) -> &'static str {
        match self {
            TokenFault::Missing => "token_missing",
            TokenFault::Malformed => "token_malformed",
            TokenFault::AlgorithmNotAllowed => "token_algorithm_not_allowed",
            TokenFault::UnknownKey => "token_key_unknown",
            TokenFault::BadSignature => "token_signature_invalid",
            TokenFault::Expired => "token_expired",
            TokenFault::NotYetValid => "token_not_yet_valid",
            TokenFault::WrongIssuer => "token_issuer_not_accepted",
            TokenFault::WrongAudience => "token_audience_not_accepted",
            TokenFault::NoUser => "token_user_missing",
        }
    }

    const fn message(self) -> &'static str {
        match self {
            TokenFault::Missing => "A token is required: send it as Authorization: Bearer <token>.",
            TokenFault::Malformed => "The token is not a well-formed JWT.",
            TokenFault::AlgorithmNotAllowed => {
                "The token is signed with an algorithm that is not allowed here."
            }
            TokenFault::UnknownKey => "The token is signed with a key that is not known here.",
            TokenFault::BadSignature => "The token's signature does not verify.",
            TokenFault::Expired => "The token has expired; come back with a new one.",
            TokenFault::NotYetValid => "The token is not valid yet; check the clock of whoever issued it.",
            TokenFault::WrongIssuer => "The token is not from an issuer that is accepted here.",
            TokenFault::WrongAudience => "The token is not meant for this audience.",
            TokenFault::NoUser => "The token does not name a user in the claim that is expected here.",
        }
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Draining => Answer::Draining,
            Refusal::BackendAway => Answer::BackendAway,
            Refusal::Duplicate => Answer::Duplicate,
            Refusal::Full => Answer::Full,
        }
    }
}

/// When to come back: `least` seconds or up to twice as many, by chance, so that those who were refused together do not
/// come back together. `chance` is any number, evenly drawn.
pub fn spread_retry_after(least: u64, chance: u64) -> u64 {
    let more = least.checked_add(1).and_then(|choices| chance.checked_rem(choices));
    least.saturating_add(more.unwrap_or_default())
}

/// Offers of subprotocols that are looked at.
const OFFERS_MAX: usize = 32;

/// The subprotocol that is answered: the first that the client offers of those that the endpoint has, as clients offer what they
/// like best first (RFC 6455, sections 4.1 and 4.2.2). `None`: the answer names none, and it is the client's to decide whether it
/// stays. `offers` are the values of `Sec-WebSocket-Protocol`, one for each line on which it came.
pub fn select_subprotocol<'a>(offers: &[&[u8]], supported: &'a [impl AsRef<str>]) -> Option<&'a str> {
    let offers = offers.iter().flat_map(|line| line.split(|&byte| byte == b',')).map(<[u8]>::trim_ascii);
    let mut offers = offers.filter(|offer| !offer.is_empty()).take(OFFERS_MAX);
    offers.find_map(|offer| {
        let mut names = supported.iter().map(AsRef::as_ref);
        names.find(|name| name.as_bytes() == offer)
    })
}

/// Whether what a connection begins with can be an HTTP/1 request, as far as it shows (RFC 9112, section 3): a method,
/// a target and a version, with one space between.
pub fn may_be_http(beginning: &[u8]) -> bool {
    // An empty line or two may come before the request.
    let line = beginning.trim_ascii_start();
    let Some(end) = line.iter().position(|&byte| byte == b'\n') else {
        let is_of_method = line.first().is_none_or(u8::is_ascii_graphic);
        return is_of_method && line.iter().all(|&byte| byte == b'\r' || !byte.is_ascii_control());
    };
    let line = line.get(..end).unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let mut parts = line.split(|&byte| byte == b' ');
    let (method, target, version) = (parts.next(), parts.next(), parts.next());
    method.is_some_and(|method| method.iter().all(u8::is_ascii_graphic))
        && target.is_some_and(|target| !target.is_empty())
        && matches!(version, Some(b"HTTP/1.1" | b"HTTP/1.0"))
        && parts.next().is_none()
}

/// What a request says about upgrading (RFC 6455, section 4.2.1). Of each header there is one value for each line on
/// which it came.
#[derive(Clone, Copy, Debug)]
pub struct UpgradeRequest<'a> {
    /// The method, in its case.
    pub method: &'a str,
    /// HTTP's version, major and minor.
    pub version: (u8, u8),
    /// `Connection`
    pub connection: &'a [&'a [u8]],
    /// `Upgrade`
    pub upgrade: &'a [&'a [u8]],
    /// `Sec-WebSocket-Version`
    pub websocket_version: &'a [&'a [u8]],
    /// `Sec-WebSocket-Key`
    pub websocket_key: &'a [&'a [u8]],
}

impl UpgradeRequest<'_> {
    /// Whether the request asks for what an endpoint offers: a WebSocket of version 13.
    pub fn check(&self) -> Result<(), Answer> {
        // HTTP/1.0 has no upgrade, whatever its headers say.
        let asks_for_websocket = self.method == "GET"
            && self.version >= (1, 1)
            && has_token(self.connection, b"upgrade")
            && has_token(self.upgrade, b"websocket");
        if !asks_for_websocket || only_value(self.websocket_version) != Some(b"13") {
            return Err(Answer::UpgradeRequired);
        }
        if !only_value(self.websocket_key).is_some_and(is_key) {
            return Err(Answer::BadKey);
        }
        Ok(())
    }
}

/// Whether one of the comma-separated lists has `token`, in any case.
fn has_token(lists: &[&[u8]], token: &[u8]) -> bool {
    let mut items = lists.iter().flat_map(|list| list.split(|&byte| byte == b','));
    items.any(|item| item.trim_ascii().eq_ignore_ascii_case(token))
}

/// The value of a header that came just once.
fn only_value<'a>(values: &[&'a [u8]]) -> Option<&'a [u8]> {
    match values {
        [value] => Some(value.trim_ascii()),
        _ => None,
    }
}

/// Whether it is 16 bytes in base64. The four bits that the last digit has too many may be any: the key is a nonce
/// that is never decoded, and there are clients that draw its digits at random.
fn is_key(value: &[u8]) -> bool {
    const LENIENT: GeneralPurpose =
        GeneralPurpose::new(&alphabet::STANDARD, PAD.with_decode_allow_trailing_bits(true));
    // The decoder asks for the room of whole groups of digits.
    let mut nonce = [0; 18];
    value.len() == 24 && LENIENT.decode_slice(value, &mut nonce) == Ok(16)
}
