//! The keys of an endpoint, parsed once, each bound to one algorithm.

use std::path::Path;

use aws_lc_rs::{hmac, signature::ParsedPublicKey};

use super::{
    Algorithm, KeyFault, KeyOrigin, KeyProblem, KeySource, SetFault, TokenFault,
    jwk::{self, Jwk},
    pem,
    public::{self, Kind},
};

/// The most keys of a set that somebody publishes, used or not: each costs time to read, and a token that names no key
/// is tried with all that fit.
const SET_KEYS_MAX: usize = 64;

/// The keys. It holds secrets, so it is not printable.
///
/// A list, not a map by `kid`: there are a handful of keys, and clients choose the `kid` that is looked for.
pub(super) struct KeyRing {
    keys: Vec<Key>,
}

/// A key for one algorithm: what serves several is here several times. So a signature is only ever checked
/// in the way that the key was given for, whatever the token says.
struct Key {
    algorithm: Algorithm,
    kid: Option<String>,
    check: Check,
}

enum Check {
    Secret(Box<hmac::Key>),
    Public(ParsedPublicKey),
}

/// A key that is understood, and not yet bound.
struct Candidate {
    origin: KeyOrigin,
    kid: Option<String>,
    kind: Kind,
    bytes: Vec<u8>,
    /// The one algorithm that the key is for, where it says so itself.
    only: Option<Algorithm>,
}

impl KeyRing {
    /// Parses the keys, and binds each to those of the `allowed` algorithms that it fits; with what is wrong with them.
    /// `first` is the place of the first source among all that there are.
    pub(super) fn new(
        first: usize,
        sources: &[KeySource],
        allowed: &[Algorithm],
    ) -> (KeyRing, Vec<KeyProblem>) {
        let mut ring = KeyRing { keys: Vec::new() };
        let mut problems = Vec::new();
        for (index, source) in (first..).zip(sources) {
            problems.extend(ring.add(index, source, allowed));
        }
        (ring, problems)
    }

    /// Binds the keys of a set that somebody publishes, and counts those that are passed over: damaged ones, those of
    /// unknown kinds, those that serve nothing that is allowed, and secrets and private keys, which are none once they
    /// are published.
    pub(super) fn of_set(text: &[u8], allowed: &[Algorithm]) -> Result<(KeyRing, usize), SetFault> {
        let keys = jwk::read_set(text)
            .map_err(|error| SetFault::NotASet { line: error.line(), column: error.column() })?;
        if keys.len() > SET_KEYS_MAX {
            return Err(SetFault::TooMany(keys.len()));
        }
        let mut ring = KeyRing { keys: Vec::new() };
        let mut passed_over = 0;
        for (place, key) in keys.iter().enumerate() {
            let origin = KeyOrigin::Secret { source: place };
            let candidate = key.as_ref().and_then(|key| from_jwk(origin, key)?.ok());
            let public = candidate.filter(|candidate| candidate.kind != Kind::Secret);
            if public.and_then(|candidate| ring.bind(candidate, allowed).ok()).is_none() {
                passed_over += 1;
            }
        }
        if ring.keys.is_empty() { Err(SetFault::NoneFits(keys.len())) } else { Ok((ring, passed_over)) }
    }

    /// Whether there is a key for this algorithm.
    pub(super) fn serves(&self, algorithm: Algorithm) -> bool {
        self.keys.iter().any(|key| key.algorithm == algorithm)
    }

    /// Whether a key for this algorithm bears just this name.
    pub(super) fn has(&self, algorithm: Algorithm, kid: &str) -> bool {
        self.keys.iter().any(|key| key.algorithm == algorithm && key.kid.as_deref() == Some(kid))
    }

    /// Whether one of the keys for this algorithm signed the message. With a `kid`, only those that bear it, or
    /// none, are tried.
    pub(super) fn verify(
        &self,
        algorithm: Algorithm,
        kid: Option<&str>,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), TokenFault> {
        let mut fault = TokenFault::UnknownKey;
        for key in self.keys.iter().filter(|key| key.algorithm == algorithm && key.answers_to(kid)) {
            if key.check.confirms(message, signature) {
                return Ok(());
            }
            fault = TokenFault::BadSignature;
        }
        Err(fault)
    }

    /// Binds the keys that a source gives, and returns what is wrong with them.
    ///
    /// Issuers publish sets with keys for several algorithms, so those of a set that serve nothing that is
    /// allowed are passed over; but if no other is left, the file is a mistake.
    fn add(&mut self, index: usize, source: &KeySource, allowed: &[Algorithm]) -> Vec<KeyProblem> {
        let bound_before = self.keys.len();
        let (mut problems, mut passed_over) = (Vec::new(), Vec::new());
        for candidate in candidates(index, source) {
            match candidate.and_then(|candidate| self.bind(candidate, allowed)) {
                Ok(()) => {}
                Err(KeyProblem { origin: KeyOrigin::InSet { .. }, fault: KeyFault::FitsNone { serves } }) => {
                    passed_over.extend(serves);
                }
                Err(problem) => problems.push(problem),
            }
        }
        // One that is damaged might have been the one that fits.
        let all_passed_over = self.keys.len() == bound_before && problems.is_empty();
        if let (true, KeySource::Jwks { file, .. }) = (all_passed_over, source) {
            let mut serves = Vec::new();
            for algorithm in passed_over {
                if !serves.contains(&algorithm) {
                    serves.push(algorithm);
                }
            }
            let origin = KeyOrigin::File { source: index, file: file.clone() };
            problems.push(KeyProblem { origin, fault: KeyFault::FitsNone { serves } });
        }
        problems
    }

    fn bind(&mut self, candidate: Candidate, allowed: &[Algorithm]) -> Result<(), KeyProblem> {
        let Candidate { origin, kid, kind, bytes, only } = candidate;
        let mut serves = kind.serves().to_vec();
        serves.retain(|algorithm| only.is_none_or(|only| only == *algorithm));
        if !serves.iter().any(|algorithm| allowed.contains(algorithm)) {
            return Err(KeyProblem { origin, fault: KeyFault::FitsNone { serves } });
        }
        for algorithm in serves.into_iter().filter(|algorithm| allowed.contains(algorithm)) {
            let Some(check) = Check::new(algorithm, &bytes) else {
                return Err(KeyProblem { origin, fault: KeyFault::NotAKey });
            };
            self.keys.push(Key { algorithm, kid: kid.clone(), check });
        }
        Ok(())
    }
}

impl Key {
    fn answers_to(&self, kid: Option<&str>) -> bool {
        match (kid, &self.kid) {
            (Some(asked), Some(own)) => asked == own,
            _ => true,
        }
    }
}

impl Check {
    fn new(algorithm: Algorithm, bytes: &[u8]) -> Option<Check> {
        let hash = match algorithm {
            Algorithm::HS256 => hmac::HMAC_SHA256,
            Algorithm::HS384 => hmac::HMAC_SHA384,
            Algorithm::HS512 => hmac::HMAC_SHA512,
            _ => return ParsedPublicKey::new(public::scheme(algorithm)?, bytes).ok().map(Check::Public),
        };
        Some(Check::Secret(Box::new(hmac::Key::new(hash, bytes))))
    }

    fn confirms(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Check::Secret(key) => hmac::verify(key, message, signature).is_ok(),
            Check::Public(key) => key.verify_sig(message, signature).is_ok(),
        }
    }
}

/// The keys that a source gives, or what is wrong with each.
fn candidates(index: usize, source: &KeySource) -> Vec<Result<Candidate, KeyProblem>> {
    match source {
        KeySource::Secret(bytes) => vec![from_secret(KeyOrigin::Secret { source: index }, bytes.clone())],
        KeySource::Pem { file, text } => {
            vec![from_pem(KeyOrigin::File { source: index, file: file.clone() }, text)]
        }
        KeySource::Jwks { file, text } => from_jwks(index, file, text),
        // They come later.
        KeySource::Url(_) => Vec::new(),
    }
}

fn from_secret(origin: KeyOrigin, bytes: Vec<u8>) -> Result<Candidate, KeyProblem> {
    match secret_fault(&bytes) {
        Some(fault) => Err(KeyProblem { origin, fault }),
        None => Ok(Candidate { origin, kid: None, kind: Kind::Secret, bytes, only: None }),
    }
}

fn secret_fault(bytes: &[u8]) -> Option<KeyFault> {
    if bytes.is_empty() {
        Some(KeyFault::EmptySecret)
    } else if bytes.trim_ascii_start().starts_with(b"-----BEGIN ") {
        Some(KeyFault::SecretIsPem)
    } else {
        None
    }
}

fn from_pem(origin: KeyOrigin, text: &[u8]) -> Result<Candidate, KeyProblem> {
    match pem::read(text).and_then(|bytes| Ok((public::kind(&bytes)?, bytes))) {
        Ok((kind, bytes)) => Ok(Candidate { origin, kid: None, kind, bytes, only: None }),
        Err(fault) => Err(KeyProblem { origin, fault }),
    }
}

fn from_jwks(source: usize, file: &Path, text: &[u8]) -> Vec<Result<Candidate, KeyProblem>> {
    let whole = || KeyOrigin::File { source, file: file.to_owned() };
    let found: Vec<_> = match jwk::read(text) {
        Err(fault) => return vec![Err(KeyProblem { origin: whole(), fault })],
        Ok(jwk::File::One(key)) => from_jwk(whole(), &key).into_iter().collect(),
        Ok(jwk::File::Set(keys)) => {
            let origin = |place, key: &Jwk| {
                let (file, kid) = (file.to_owned(), key.kid.clone());
                KeyOrigin::InSet { source, file, place, kid }
            };
            keys.iter().enumerate().filter_map(|(place, key)| from_jwk(origin(place, key), key)).collect()
        }
    };
    if found.is_empty() {
        return vec![Err(KeyProblem { origin: whole(), fault: KeyFault::NoJwkForSignatures })];
    }
    found
}

/// The key, or what is wrong with it; `None` if it is to be passed over.
fn from_jwk(origin: KeyOrigin, key: &Jwk) -> Option<Result<Candidate, KeyProblem>> {
    let parsed = key.parse().and_then(|parsed| parsed.map(check_kind).transpose());
    match parsed {
        Ok(parsed) => parsed.map(|jwk::Parsed { kind, bytes, only }| {
            Ok(Candidate { origin, kid: key.kid.clone(), kind, bytes, only })
        }),
        Err(fault) => Some(Err(KeyProblem { origin, fault })),
    }
}

/// Makes sure that the key is what it says it is.
fn check_kind(parsed: jwk::Parsed) -> Result<jwk::Parsed, KeyFault> {
    let fault = match parsed.kind {
        Kind::Secret => secret_fault(&parsed.bytes),
        claimed => (public::kind(&parsed.bytes)? != claimed).then_some(KeyFault::NotAKey),
    };
    fault.map_or(Ok(parsed), Err)
}
