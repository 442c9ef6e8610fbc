//! What can be wrong with the keys of the configuration, said so that a person can mend it.

use std::{fmt, path::PathBuf};

use super::{Algorithm, public};

/// Something wrong with the keys: where, what, and (in its `Display`) what to do. It holds no key material.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyProblem {
    /// Which key it is about.
    pub origin: KeyOrigin,
    /// What is wrong.
    pub fault: KeyFault,
}

/// Where a key was given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeyOrigin {
    /// A secret.
    Secret {
        /// Its place among the keys of the settings, from zero.
        source: usize,
    },
    /// A file.
    File {
        /// Its place among the keys of the settings, from zero.
        source: usize,
        /// Where it was read.
        file: PathBuf,
    },
    /// A key in a set, in a file.
    InSet {
        /// The file's place among the keys of the settings, from zero.
        source: usize,
        /// Where it was read.
        file: PathBuf,
        /// The key's place in the set, from zero.
        place: usize,
        /// The key's name, if it has one.
        kid: Option<String>,
    },
    /// The list of keys as a whole.
    AllKeys,
}

/// What is wrong with a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeyFault {
    /// A secret of no bytes: anyone could sign with it.
    EmptySecret,
    /// A secret that is the text of a PEM file: often a public key, which anyone may have and could sign with.
    SecretIsPem,
    /// A PEM file without a block in it.
    NoPem,
    /// A PEM file with more than one block; only one is meant, and it is not said which.
    SeveralPemBlocks,
    /// A private key, where the public one suffices.
    PrivateKey,
    /// No public key of a kind that is understood, or a damaged one.
    NotAKey,
    /// An RSA key of fewer than 2048 or more than 8192 bits.
    RsaSize,
    /// A JWK file that is no JSON, or neither a key nor a set of keys; where in the file that shows.
    NotJwk {
        /// The line, from one.
        line: usize,
        /// The column, from one.
        column: usize,
    },
    /// A JWK without a member that its kind needs, or with one that does not decode.
    JwkMember(&'static str),
    /// A JWK file none of whose keys is for signatures and of a kind that is understood.
    NoJwkForSignatures,
    /// A JWK whose `alg` is not for keys of its `kty` and `crv`.
    JwkAlgorithm(Algorithm),
    /// A key for other algorithms than those that are allowed, or a set of none but such.
    FitsNone {
        /// The algorithms that it would serve, none twice.
        serves: Vec<Algorithm>,
    },
    /// An allowed algorithm for which there is no key.
    NoKeyFor(Algorithm),
    /// No algorithm is allowed at all.
    NoAlgorithm,
}

impl KeyOrigin {
    /// The place among the keys of the settings, from zero; `None`: it is about all of them.
    pub fn source(&self) -> Option<usize> {
        match *self {
            KeyOrigin::Secret { source }
            | KeyOrigin::File { source, .. }
            | KeyOrigin::InSet { source, .. } => Some(source),
            KeyOrigin::AllKeys => None,
        }
    }
}

impl KeyFault {
    /// Whether keys and algorithms are right in themselves, and only do not go together.
    pub fn is_of_fit(&self) -> bool {
        matches!(self, KeyFault::FitsNone { .. } | KeyFault::NoKeyFor(_) | KeyFault::NoAlgorithm)
    }
}

impl fmt::Display for KeyProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.origin, self.fault)
    }
}

impl std::error::Error for KeyProblem {}

impl fmt::Display for KeyOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyOrigin::Secret { source } => write!(f, "keys[{source}] (secret)"),
            KeyOrigin::File { file, .. } => write!(f, "{file:?}"),
            KeyOrigin::InSet { file, place, kid: None, .. } => write!(f, "{file:?}, key {place} of the set"),
            KeyOrigin::InSet { file, place, kid: Some(kid), .. } => {
                write!(f, "{file:?}, key {place} of the set (kid {kid:?})")
            }
            KeyOrigin::AllKeys => f.write_str("keys"),
        }
    }
}

impl fmt::Display for KeyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyFault::EmptySecret => f.write_str(
                "the secret is empty; give the one that the issuer signs with, of 32 bytes or more",
            ),
            KeyFault::SecretIsPem => f.write_str(
                "the secret is the text of a PEM file, with which anyone who has that file could sign; \
                 give a public key as a file, and use its algorithm",
            ),
            KeyFault::NoPem => f.write_str(
                "there is no PEM block in it; it needs a line `-----BEGIN PUBLIC KEY-----` and what follows \
                 (a key in DER becomes PEM with `openssl pkey -pubin -inform DER -in FILE`)",
            ),
            KeyFault::SeveralPemBlocks => f.write_str(
                "there are several PEM blocks in it; put each key into a file of its own, \
                 and of a chain of certificates only the first",
            ),
            KeyFault::PrivateKey => f.write_str(
                "it is a private key, which belongs to the issuer alone; give the public one \
                 (`openssl pkey -in FILE -pubout`)",
            ),
            KeyFault::NotAKey => f.write_str(
                "it is damaged, or not of a kind that is understood; give a public key or certificate of RSA \
                 (PKCS#1 or SPKI), of the curves P-256 or P-384, or Ed25519",
            ),
            KeyFault::RsaSize => {
                f.write_str("the RSA key is too small or too large; give one of 2048 to 8192 bits")
            }
            KeyFault::NotJwk { line, column } => write!(
                f,
                "it is no JWK or set of JWKs at line {line}, column {column}; \
                 give an object with `kty`, or one with `keys`",
            ),
            KeyFault::JwkMember(member) => {
                write!(f, "`{member}` is missing or does not decode; get the file from the issuer again")
            }
            KeyFault::NoJwkForSignatures => f.write_str(
                "no key in it serves to verify signatures; give keys with `kty` RSA, EC, OKP or oct, \
                 `crv` P-256, P-384 or Ed25519, and `use` absent or `sig`",
            ),
            KeyFault::JwkAlgorithm(algorithm) => {
                write!(
                    f,
                    "its `alg` is {algorithm:?}, which is not for keys of its kind; correct or remove `alg`"
                )
            }
            KeyFault::FitsNone { serves } => write!(
                f,
                "it serves {}, and none of that is allowed; allow it, or remove the key",
                names(serves)
            ),
            KeyFault::NoKeyFor(algorithm) => {
                let key = match public::scheme(*algorithm) {
                    Some(_) => "public_key_file, jwks_file or jwks_url",
                    None => "secret_file",
                };
                write!(f, "no key fits {algorithm:?}; add {key}, or do not allow {algorithm:?}")
            }
            KeyFault::NoAlgorithm => {
                f.write_str("no algorithm is allowed; allow the one that the issuer uses")
            }
        }
    }
}

fn names(algorithms: &[Algorithm]) -> String {
    let names: Vec<_> = algorithms.iter().map(|algorithm| format!("{algorithm:?}")).collect();
    names.join(", ")
}
