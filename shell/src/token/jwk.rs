//! Keys in JSON: a JWK, or a set of them (RFC 7517, and RFC 7518 and RFC 8037 for the kinds).

use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    signature::RsaPublicKeyComponents,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;

use super::{Algorithm, KeyFault, public::Kind};

/// The members of a JWK that count. It may hold a secret, so it is not printable.
#[derive(Deserialize)]
pub(super) struct Jwk {
    kty: String,
    pub(super) kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    k: Option<String>,
    d: Option<IgnoredAny>,
}

/// A file: one key, or several.
pub(super) enum File {
    One(Box<Jwk>),
    Set(Vec<Jwk>),
}

/// A key as a JWK gives it.
pub(super) struct Parsed {
    pub(super) kind: Kind,
    /// The secret, or the public key as [`kind`](super::public::kind) takes it.
    pub(super) bytes: Vec<u8>,
    /// The one algorithm that the key is for, where it says so.
    pub(super) only: Option<Algorithm>,
}

/// Reads a file. An object with `keys` is a set, whatever else it has.
pub(super) fn read(file: &[u8]) -> Result<File, KeyFault> {
    #[derive(Deserialize)]
    struct Probe {
        keys: Option<IgnoredAny>,
    }
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<Jwk>,
    }
    // Not the error's own text: it quotes the file, and there may be secrets in it.
    let not_jwk = |error: serde_json::Error| KeyFault::NotJwk { line: error.line(), column: error.column() };
    let probe: Probe = serde_json::from_slice(file).map_err(not_jwk)?;
    if probe.keys.is_some() {
        let set: Set = serde_json::from_slice(file).map_err(not_jwk)?;
        Ok(File::Set(set.keys))
    } else {
        Ok(File::One(Box::new(serde_json::from_slice(file).map_err(not_jwk)?)))
    }
}

/// The keys of a set, each for itself: one that cannot be read is passed over, so that it does not take the others
/// along (RFC 7517, section 5). The error says where the text is no set.
pub(super) fn read_set(text: &[u8]) -> Result<Vec<Option<Jwk>>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Set<'t> {
        #[serde(borrow)]
        keys: Vec<&'t RawValue>,
    }
    let set: Set<'_> = serde_json::from_slice(text)?;
    Ok(set.keys.into_iter().map(|key| serde_json::from_str(key.get()).ok()).collect())
}

impl Jwk {
    /// The key; `None` if it is not for signatures, or of a kind or for an algorithm that is not understood:
    /// such keys are passed over (RFC 7517, section 5).
    pub(super) fn parse(&self) -> Result<Option<Parsed>, KeyFault> {
        let Some(kind) = self.kind().filter(|_| self.is_for_signatures()) else {
            return Ok(None);
        };
        let only = match &self.alg {
            None => None,
            Some(name) => match name.parse() {
                Ok(algorithm) => Some(algorithm),
                Err(_) => return Ok(None),
            },
        };
        if let Some(algorithm) = only.filter(|algorithm| !kind.serves().contains(algorithm)) {
            return Err(KeyFault::JwkAlgorithm(algorithm));
        }
        if self.d.is_some() {
            return Err(KeyFault::PrivateKey);
        }
        Ok(Some(Parsed { kind, bytes: self.bytes(kind)?, only }))
    }

    fn kind(&self) -> Option<Kind> {
        match (self.kty.as_str(), self.crv.as_deref()) {
            ("oct", _) => Some(Kind::Secret),
            ("RSA", _) => Some(Kind::Rsa),
            ("EC", Some("P-256")) => Some(Kind::P256),
            ("EC", Some("P-384")) => Some(Kind::P384),
            ("OKP", Some("Ed25519")) => Some(Kind::Ed25519),
            _ => None,
        }
    }

    fn is_for_signatures(&self) -> bool {
        self.purpose.as_ref().is_none_or(|purpose| purpose == "sig")
            && self.key_ops.as_ref().is_none_or(|operations| operations.iter().any(|one| one == "verify"))
    }

    fn bytes(&self, kind: Kind) -> Result<Vec<u8>, KeyFault> {
        match kind {
            Kind::Secret => member("k", &self.k),
            Kind::Ed25519 => sized("x", &self.x, 32),
            Kind::P256 => self.point(32),
            Kind::P384 => self.point(48),
            Kind::Rsa => {
                let components =
                    RsaPublicKeyComponents { n: member("n", &self.n)?, e: member("e", &self.e)? };
                let der: PublicKeyX509Der<'_> = components.as_der().map_err(|_| KeyFault::NotAKey)?;
                Ok(der.as_ref().to_vec())
            }
        }
    }

    /// The point, uncompressed: 4, then both coordinates (SEC 1, section 2.3.3).
    fn point(&self, coordinate_bytes: usize) -> Result<Vec<u8>, KeyFault> {
        let mut point = vec![4];
        point.extend(sized("x", &self.x, coordinate_bytes)?);
        point.extend(sized("y", &self.y, coordinate_bytes)?);
        Ok(point)
    }
}

fn member(name: &'static str, value: &Option<String>) -> Result<Vec<u8>, KeyFault> {
    let text = value.as_ref().ok_or(KeyFault::JwkMember(name))?;
    URL_SAFE_NO_PAD.decode(text).map_err(|_| KeyFault::JwkMember(name))
}

fn sized(name: &'static str, value: &Option<String>, bytes: usize) -> Result<Vec<u8>, KeyFault> {
    member(name, value)
        .and_then(|value| if value.len() == bytes { Ok(value) } else { Err(KeyFault::JwkMember(name)) })
}
