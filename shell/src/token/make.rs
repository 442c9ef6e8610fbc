//! Tokens for development: `trunkline token --user ann`.

use std::fmt;

use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Map, Value};

use super::{Algorithm, Token, public::Kind};

/// What a new token is to say.
#[derive(Clone, PartialEq, Debug)]
pub struct NewToken {
    /// The claim that names the user: `sub`, unless the endpoint is configured otherwise.
    pub user_claim: String,
    /// The user.
    pub user: String,
    /// `iat`: when the token is made, in seconds since 1970.
    pub issued: u64,
    /// `exp`, in seconds since 1970; `None`: it never expires.
    pub expires: Option<u64>,
    /// `iss`.
    pub issuer: Option<String>,
    /// `aud`: left out where there is none, a string where there is one, else an array.
    pub audiences: Vec<String>,
    /// Further claims; none of those above.
    pub extra: Map<String, Value>,
}

impl NewToken {
    /// A token that names `user` in `sub` and is valid for so many seconds from `issued` on; no other claims.
    pub fn of(user: &str, issued: u64, valid_seconds: u64) -> Self {
        NewToken {
            user_claim: "sub".to_owned(),
            user: user.to_owned(),
            issued,
            expires: Some(issued.saturating_add(valid_seconds)),
            issuer: None,
            audiences: Vec::new(),
            extra: Map::new(),
        }
    }
}

/// Why no token was made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MakeFault {
    /// Only HS256, HS384 and HS512 sign with a secret.
    NotForSecrets(Algorithm),
    /// The secret has no bytes.
    EmptySecret,
    /// The user's name has no bytes.
    EmptyUser,
    /// This claim would be there twice: once as itself, and once as the user claim or as a further one.
    ClaimTwice(String),
    /// The signature could not be computed.
    Signing,
}

impl fmt::Display for MakeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MakeFault::NotForSecrets(algorithm) => {
                write!(f, "algorithm: {algorithm:?} does not sign with a secret; use HS256, HS384 or HS512")
            }
            MakeFault::EmptySecret => f.write_str("secret: it is empty; give the one from the configuration"),
            MakeFault::EmptyUser => {
                f.write_str("user: it is empty, and no endpoint accepts that; give a name")
            }
            MakeFault::ClaimTwice(name) => {
                write!(f, "claims: {name:?} would be there twice; leave it out of the further claims")
            }
            MakeFault::Signing => f.write_str("the signature could not be computed; try again"),
        }
    }
}

impl std::error::Error for MakeFault {}

/// A token, signed with a secret.
///
/// # Errors
///
/// See [`MakeFault`].
pub fn make(secret: &[u8], algorithm: Algorithm, new: &NewToken) -> Result<Token<'static>, MakeFault> {
    if !Kind::Secret.serves().contains(&algorithm) {
        return Err(MakeFault::NotForSecrets(algorithm));
    }
    if secret.is_empty() {
        return Err(MakeFault::EmptySecret);
    }
    let claims = new.claims()?;
    jsonwebtoken::encode(&Header::new(algorithm), &claims, &EncodingKey::from_secret(secret))
        .map(Token::new)
        .map_err(|_| MakeFault::Signing)
}

impl NewToken {
    fn claims(&self) -> Result<Map<String, Value>, MakeFault> {
        if self.user.is_empty() {
            return Err(MakeFault::EmptyUser);
        }
        let audience = match self.audiences.as_slice() {
            [] => None,
            [one] => Some(Value::from(one.as_str())),
            several => Some(Value::from(several)),
        };
        let own = [
            ("iat", Some(Value::from(self.issued))),
            ("exp", self.expires.map(Value::from)),
            ("iss", self.issuer.as_deref().map(Value::from)),
            ("aud", audience),
            (self.user_claim.as_str(), Some(Value::from(self.user.as_str()))),
        ];
        let mut claims = self.extra.clone();
        for (name, value) in own {
            let Some(value) = value else { continue };
            if claims.insert(name.to_owned(), value).is_some() {
                return Err(MakeFault::ClaimTwice(name.to_owned()));
            }
        }
        Ok(claims)
    }
}
