//! Close codes (RFC 6455, section 7.4) and the reasons that the gateway gives.

/// A status code of a WebSocket close frame that an endpoint may send.
#[cfg_attr(feature = "recording", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CloseCode(u16);

impl CloseCode {
    /// 1000: the purpose was fulfilled.
    pub const NORMAL: Self = CloseCode(1000);
    /// 1001: the gateway goes away.
    pub const GOING_AWAY: Self = CloseCode(1001);
    /// 1002: a protocol error.
    pub const PROTOCOL: Self = CloseCode(1002);
    /// 1003: data of a kind that is not accepted.
    pub const UNSUPPORTED: Self = CloseCode(1003);
    /// 1007: text that is not UTF-8.
    pub const INVALID_DATA: Self = CloseCode(1007);
    /// 1008: a rule was broken; also takeover and expiry.
    pub const POLICY: Self = CloseCode(1008);
    /// 1009: a message larger than the limit.
    pub const TOO_BIG: Self = CloseCode(1009);
    /// 1011: something went wrong on the server's side.
    pub const INTERNAL: Self = CloseCode(1011);
    /// 1013: try again later.
    pub const TRY_AGAIN_LATER: Self = CloseCode(1013);

    /// A code that may be sent: 1000-1003, 1007-1014, 3000-4999 (language.md, "Actions"). `None` for any other,
    /// such as 1004-1006 and 1015, which RFC 6455 reserves.
    pub const fn new(code: u16) -> Option<Self> {
        match code {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Some(CloseCode(code)),
            _ => None,
        }
    }

    /// The number on the wire.
    pub const fn get(self) -> u16 {
        self.0
    }
}

/// The most bytes of a close frame's reason (RFC 6455, section 5.5: 125 less the code's two).
pub const REASON_BYTES_MAX: usize = 123;

/// To an old client whose user came again.
pub(crate) const TAKEN_OVER: &str = "Only one connection per endpoint per token bearer is allowed";
/// To a client whose token has expired.
pub(crate) const TOKEN_EXPIRED: &str = "token expired";
/// To a client that does not read what it is sent.
pub(crate) const TOO_SLOW: &str = "client too slow";
/// To clients that were held until the outage grace had passed.
pub(crate) const BACKEND_AWAY: &str = "backend unavailable";
/// To clients of a gateway that stops.
pub(crate) const GOING_AWAY: &str = "gateway is shutting down";
/// To a client that an operator closes.
pub(crate) const KICKED: &str = "closed by an operator";
/// Of a backend's `close` with 1011 and no reason.
pub(crate) const BACKEND_WRONG: &str = "Something went wrong on the backend";
/// Of a backend's `close` with another status and no reason.
pub(crate) const BACKEND_INITIATED: &str = "Initiated by backend";

/// `reason` cut to [`REASON_BYTES_MAX`] bytes at a character's edge.
pub(crate) fn cut_reason(reason: &str) -> &str {
    reason.get(..reason.floor_char_boundary(REASON_BYTES_MAX)).unwrap_or_default()
}
