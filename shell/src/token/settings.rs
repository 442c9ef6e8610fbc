//! What the configuration says about tokens, files read already.

use std::{path::PathBuf, time::Duration};

use jsonwebtoken::Algorithm;
use trunkline_core::refresh::RefreshSettings;

use crate::{config::ServerUrl, tls::ClientTls};

/// How an endpoint finds, checks and reads tokens.
#[derive(Clone)]
pub struct TokenSettings {
    /// The algorithms that are accepted: at least one; `none` is not among the values.
    pub algorithms: Vec<Algorithm>,
    /// The keys, whoever issued a token: at least one that fits one of the algorithms, unless keys are `bound`.
    pub keys: Vec<KeySource>,
    /// The values of `iss` that are accepted; empty: any, or none.
    pub issuers: Vec<String>,
    /// Keys that vouch for the tokens of one issuer and no other's. Where there are any, `keys` and `issuers` are
    /// empty, and a token of none of these issuers is not accepted.
    pub bound: Vec<BoundKeys>,
    /// How keys are fetched that are published.
    pub fetch: FetchSettings,
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

/// The keys of one issuer.
#[derive(Clone)]
pub struct BoundKeys {
    /// The values of `iss` that they vouch for: at least one.
    pub issuers: Vec<String>,
    /// The keys: at least one.
    pub keys: Vec<KeySource>,
}

/// How keys are fetched that are published.
#[derive(Clone, Debug)]
pub struct FetchSettings {
    /// When.
    pub refresh: RefreshSettings,
    /// How long a fetch may take, from the name's lookup to the last byte.
    pub timeout: Duration,
    /// The most bytes of what is published.
    pub bytes_max: usize,
    /// The CAs of whoever is asked over TLS; `None`: those of the system.
    pub ca_file: Option<PathBuf>,
    /// What they are met with, made of `ca_file`; it is there if one of the URLs needs it.
    pub tls: Option<ClientTls>,
}

impl FetchSettings {
    /// Whether keys are fetched in the same way.
    pub fn is_as(&self, other: &FetchSettings) -> bool {
        (self.refresh, self.timeout, self.bytes_max, &self.ca_file)
            == (other.refresh, other.timeout, other.bytes_max, &other.ca_file)
    }
}

impl Default for FetchSettings {
    fn default() -> Self {
        FetchSettings {
            refresh: RefreshSettings::default(),
            timeout: Duration::from_secs(5),
            bytes_max: 256 << 10,
            ca_file: None,
            tls: None,
        }
    }
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
    /// A set of JWKs that is published, and fetched while the gateway runs. Only public keys are taken from it.
    Url(ServerUrl),
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
