//! What the configuration says about tokens, files read already.

use std::{path::PathBuf, time::Duration};

use jsonwebtoken::Algorithm;

/// How an endpoint finds, checks and reads tokens.
#[derive(Clone)]
pub struct TokenSettings {
    /// The algorithms that are accepted: at least one; `none` is not among the values.
    pub algorithms: Vec<Algorithm>,
    /// The keys: at least one that fits one of the algorithms.
    pub keys: Vec<KeySource>,
    /// The values of `iss` that are accepted; empty: any, or none.
    pub issuers: Vec<String>,
    /// The values of `aud` of which the token must have one; empty: any, or none.
    pub audiences: Vec<String>,
    /// How far the clocks of issuer and gateway may be apart, for `exp` and `nbf`.
    pub leeway: Duration,
    /// The claim that names the user.
    pub user_claim: String,
    /// The most bytes of a user's name.
    pub user_bytes_max: usize,
    /// Where a handshake may carry its token, in the order in which they are looked at.
    pub sources: Vec<Source>,
}

/// A key, as the configuration gives it.
#[derive(Clone)]
pub enum KeySource {
    /// A shared secret, for HS256, HS384 and HS512.
    Secret(Vec<u8>),
    /// A public key or certificate in PEM, for RS, PS, ES and EdDSA.
    Pem {
        /// Where it was read.
        file: PathBuf,
        /// What was read.
        text: Vec<u8>,
    },
    /// A JWK or a set of them in JSON.
    Jwks {
        /// Where it was read.
        file: PathBuf,
        /// What was read.
        text: Vec<u8>,
    },
}

/// Where a handshake may carry its token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    /// `Authorization: Bearer <jwt>`, or the bare token.
    Header,
    /// The query parameter of this name.
    Query(String),
    /// The cookie of this name.
    Cookie(String),
    /// The entry of `Sec-WebSocket-Protocol` that follows the entry of this name; the answer selects the name.
    Subprotocol(String),
}
