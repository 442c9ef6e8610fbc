//! How clients come in: a token each, and the request of their handshake.

use std::net::SocketAddr;

use trunkline::{
    clock::unix_seconds,
    token::{self, Algorithm, NewToken},
};

use super::{error::Failure, wire::HANDSHAKE_KEY};

/// How long a token is valid: longer than any load lasts.
const TOKEN_SECONDS: u64 = 24 * 60 * 60;

/// What the gateway's tokens are signed with. Everyone may know it: the gateway listens on loopback, and only for as
/// long as a load lasts.
pub(super) const SECRET: &str = "a secret of the load tool, which guards nothing";

/// The user of a client.
pub(super) fn user(client: u32) -> String {
    format!("user{client}")
}

/// The request of a user's handshake.
pub(super) fn request(address: SocketAddr, user: &str) -> Result<String, Failure> {
    let new = NewToken::of(user, unix_seconds(), TOKEN_SECONDS);
    let token = token::make(SECRET.as_bytes(), Algorithm::HS256, &new).map_err(Failure::Token)?;
    Ok(format!(
        "GET /load/1 HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {HANDSHAKE_KEY}\r\n\
         Authorization: Bearer {}\r\n\r\n",
        &*token
    ))
}
