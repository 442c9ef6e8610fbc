//! Tokens: right ones, and wrong in one way each.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use trunkline::token::{self, Algorithm, NewToken};

/// The secret that gateway and issuer share.
pub const SECRET: &str = "a secret of the tests, long enough for the longest hash of them all: SHA-512";
/// How long a token is valid unless it says otherwise, in seconds.
const VALID_SECONDS: u64 = 3_600;

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_secs()
}

/// What a valid token of `user` says; a test changes what it is about.
pub fn claims(user: &str) -> NewToken {
    NewToken::of(user, now(), VALID_SECONDS)
}

/// A valid token of `user`.
pub fn of(user: &str) -> String {
    signed(&claims(user))
}

/// A valid token of `user` that expires at `expires`.
pub fn until(user: &str, expires: u64) -> String {
    signed(&NewToken { expires: Some(expires), ..claims(user) })
}

/// A token with these claims, signed as the gateway expects it.
pub fn signed(claims: &NewToken) -> String {
    signed_with(SECRET, Algorithm::HS256, claims)
}

/// A token with these claims, signed otherwise.
pub fn signed_with(secret: &str, algorithm: Algorithm, claims: &NewToken) -> String {
    token::make(secret.as_bytes(), algorithm, claims).expect("the claims are those of a token").to_string()
}

/// A token that names `algorithm` in its header, with a signature that is none.
pub fn forged(algorithm: &str, user: &str, signature: &str) -> String {
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = part(json!({ "alg": algorithm, "typ": "JWT" }));
    let claims = part(json!({ "sub": user, "exp": now() + VALID_SECONDS }));
    format!("{header}.{claims}.{signature}")
}
