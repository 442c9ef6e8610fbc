//! How clients come in: a token each, and the request of their handshake.

use std::net::SocketAddr;

use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    rand::SystemRandom,
    rsa::{KeyPair as RsaKeyPair, KeySize},
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use clap::ValueEnum;
use serde_json::json;
use trunkline::{
    clock::unix_seconds,
    token::{self, Algorithm, MakeFault, NewToken},
};

use super::{error::Failure, wire::HANDSHAKE_KEY};

/// How long a token is valid: longer than any load lasts.
const TOKEN_SECONDS: u64 = 24 * 60 * 60;

/// What the gateway's tokens are signed with. Everyone may know it: the gateway listens on loopback, and only for as
/// long as a load lasts.
pub(super) const SECRET: &str = "a secret of the load tool, which guards nothing";

/// What tokens are signed with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum Signing {
    Hs256,
    Rs256,
    Es256,
}

impl Signing {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Signing::Hs256 => "HS256",
            Signing::Rs256 => "RS256",
            Signing::Es256 => "ES256",
        }
    }
}

/// Whoever issues the tokens of a load.
pub(super) enum Issuer {
    Secret,
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
}

impl Issuer {
    pub(super) fn new(signing: Signing) -> Result<Issuer, Failure> {
        let made = match signing {
            Signing::Hs256 => Ok(Issuer::Secret),
            Signing::Rs256 => RsaKeyPair::generate(KeySize::Rsa2048).map(Issuer::Rsa),
            Signing::Es256 => EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map(Issuer::Ec),
        };
        made.map_err(|_| Failure::Token(MakeFault::Signing))
    }

    /// Its public key in PEM, if it has one.
    pub(super) fn public_key(&self) -> Option<String> {
        let key: PublicKeyX509Der<'_> = match self {
            Issuer::Secret => return None,
            Issuer::Rsa(pair) => pair.public_key().as_der().ok()?,
            Issuer::Ec(pair) => pair.public_key().as_der().ok()?,
        };
        let text = STANDARD.encode(key.as_ref());
        let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
        Some(format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n")))
    }

    /// A token of a user.
    pub(super) fn token(&self, user: &str) -> Result<String, Failure> {
        let new = NewToken::of(user, unix_seconds(), TOKEN_SECONDS);
        let signing = match self {
            Issuer::Secret => {
                let token = token::make(SECRET.as_bytes(), Algorithm::HS256, &new).map_err(Failure::Token)?;
                return Ok(token.to_string());
            }
            Issuer::Rsa(_) => Signing::Rs256,
            Issuer::Ec(_) => Signing::Es256,
        };
        let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let header = part(json!({ "alg": signing.name(), "typ": "JWT" }));
        let claims = part(json!({ "sub": user, "iat": new.issued, "exp": new.expires }));
        let signed = format!("{header}.{claims}");
        let signature = self.sign(signed.as_bytes()).ok_or(Failure::Token(MakeFault::Signing))?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let random = SystemRandom::new();
        match self {
            Issuer::Secret => None,
            Issuer::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).ok()?;
                Some(signature)
            }
            Issuer::Ec(pair) => Some(pair.sign(&random, message).ok()?.as_ref().to_vec()),
        }
    }
}

/// The user of a client.
pub(super) fn user(client: u32) -> String {
    format!("user{client}")
}

/// The client that a user is, whose name is a string of JSON.
pub(super) fn number(user: &str) -> Option<u32> {
    user.trim_matches('"').strip_prefix("user")?.parse().ok()
}

/// Where the clients of a load come to.
pub(super) const PATH: &str = "/load/1";

/// The request of a user's handshake.
pub(super) fn request(address: SocketAddr, user: &str) -> Result<String, Failure> {
    request_at(address, PATH, user)
}

/// The same, to this path. It says the client's number too, which the floor needs and all others ignore.
pub(super) fn request_at(address: SocketAddr, path: &str, user: &str) -> Result<String, Failure> {
    let number = number(user).unwrap_or_default();
    let token = Issuer::Secret.token(user)?;
    Ok(write_request(address, path, &token, &format!("{CLIENT_NUMBER}{number}\r\n")))
}

/// The request of a handshake with this token.
pub(super) fn request_with(address: SocketAddr, token: &str) -> String {
    write_request(address, PATH, token, "")
}

const CLIENT_NUMBER: &str = "Client-Number: ";

/// The number that the head of a request says.
pub(super) fn client_number(head: &[u8]) -> Option<u32> {
    let head = str::from_utf8(head).ok()?;
    head.lines().find_map(|line| line.strip_prefix(CLIENT_NUMBER))?.parse().ok()
}

fn write_request(address: SocketAddr, path: &str, token: &str, more: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {HANDSHAKE_KEY}\r\n\
         Authorization: Bearer {token}\r\n{more}\r\n"
    )
}
