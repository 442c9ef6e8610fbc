//! Keys before they are bound to an algorithm: what kind they are, and which algorithms that kind serves.

use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    rsa::PublicEncryptingKey,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey,
        RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
        RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, VerificationAlgorithm,
    },
};

use super::{Algorithm, KeyFault};

/// The kinds of keys; each algorithm is served by exactly one of them, which is what rules out key confusion.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Secret,
    Rsa,
    P256,
    P384,
    Ed25519,
}

impl Kind {
    /// The algorithms that a key of this kind can serve.
    pub(super) fn serves(self) -> &'static [Algorithm] {
        use Algorithm::*;
        match self {
            Kind::Secret => &[HS256, HS384, HS512],
            Kind::Rsa => &[RS256, RS384, RS512, PS256, PS384, PS512],
            Kind::P256 => &[ES256],
            Kind::P384 => &[ES384],
            Kind::Ed25519 => &[EdDSA],
        }
    }
}

/// How signatures of this algorithm are checked with a public key; `None` for those that need a secret.
pub(super) fn scheme(algorithm: Algorithm) -> Option<&'static dyn VerificationAlgorithm> {
    Some(match algorithm {
        Algorithm::RS256 => &RSA_PKCS1_2048_8192_SHA256,
        Algorithm::RS384 => &RSA_PKCS1_2048_8192_SHA384,
        Algorithm::RS512 => &RSA_PKCS1_2048_8192_SHA512,
        Algorithm::PS256 => &RSA_PSS_2048_8192_SHA256,
        Algorithm::PS384 => &RSA_PSS_2048_8192_SHA384,
        Algorithm::PS512 => &RSA_PSS_2048_8192_SHA512,
        Algorithm::ES256 => &ECDSA_P256_SHA256_FIXED,
        Algorithm::ES384 => &ECDSA_P384_SHA384_FIXED,
        Algorithm::EdDSA => &ED25519,
        _ => return None,
    })
}

/// The kind of this public key: an `RSAPublicKey` or a `SubjectPublicKeyInfo` in DER, a point of a curve
/// (SEC 1), or the 32 bytes of Ed25519. Those forms exclude each other, and parsing proves which one it is.
pub(super) fn kind(key: &[u8]) -> Result<Kind, KeyFault> {
    let parse = |scheme| ParsedPublicKey::new(scheme, key).ok();
    if parse(&ED25519).is_some() {
        Ok(Kind::Ed25519)
    } else if parse(&ECDSA_P256_SHA256_FIXED).is_some() {
        Ok(Kind::P256)
    } else if parse(&ECDSA_P384_SHA384_FIXED).is_some() {
        Ok(Kind::P384)
    } else if let Some(rsa) = parse(&RSA_PKCS1_2048_8192_SHA256) {
        // The schemes look at the size only when a signature comes.
        if has_allowed_size(&rsa) { Ok(Kind::Rsa) } else { Err(KeyFault::RsaSize) }
    } else {
        Err(KeyFault::NotAKey)
    }
}

fn has_allowed_size(key: &ParsedPublicKey) -> bool {
    let der: Result<PublicKeyX509Der<'_>, _> = key.as_der();
    let parsed = der.ok().and_then(|der| PublicEncryptingKey::from_der(der.as_ref()).ok());
    parsed.is_some_and(|key| (2048..=8192).contains(&key.key_size_bits()))
}
