//! Keys that are made when first needed, settings around them, and a signer that is not the code under test.

use std::{path::PathBuf, sync::LazyLock, time::Duration};

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der},
    rsa::{self, KeySize},
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
        KeyPair,
    },
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::{EncodingKey, jwk::Jwk};
use serde_json::{Value, json};
use trunkline::token::{Algorithm, FetchSettings, KeySource, Source, TokenFault, TokenSettings, Verifier};

/// The time at which all tests take place, in seconds since 1970.
pub(crate) const NOW: u64 = 1_800_000_000;

pub(crate) const SECRET: &[u8] = b"a secret of thirty-two bytes, yes";

/// A private key, and what is public of it.
pub(crate) struct Pair {
    pub(crate) signer: EncodingKey,
    /// `SubjectPublicKeyInfo` in DER.
    pub(crate) public: Vec<u8>,
    pub(crate) private: Vec<u8>,
    /// `RSAPublicKey` in DER, a point, or the 32 bytes of Ed25519.
    pub(crate) bare: Vec<u8>,
}

pub(crate) static RSA: LazyLock<Pair> = LazyLock::new(|| rsa_pair(KeySize::Rsa2048));
pub(crate) static OTHER_RSA: LazyLock<Pair> = LazyLock::new(|| rsa_pair(KeySize::Rsa2048));

pub(crate) static P256: LazyLock<Pair> = LazyLock::new(|| {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("P-256 keys can be made");
    ec_pair(&pair)
});
pub(crate) static P384: LazyLock<Pair> = LazyLock::new(|| {
    let pair = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).expect("P-384 keys can be made");
    ec_pair(&pair)
});
pub(crate) static ED: LazyLock<Pair> = LazyLock::new(|| {
    let pair = Ed25519KeyPair::generate().expect("Ed25519 keys can be made");
    let private = pair.to_pkcs8v1().expect("the key has a form").as_ref().to_vec();
    let public: PublicKeyX509Der<'_> = pair.public_key().as_der().expect("the public key has a form");
    Pair {
        signer: EncodingKey::from_ed_der(&private),
        public: public.as_ref().to_vec(),
        private,
        bare: pair.public_key().as_ref().to_vec(),
    }
});

fn rsa_pair(size: KeySize) -> Pair {
    let pair = rsa::KeyPair::generate(size).expect("RSA keys can be made");
    let private: Pkcs8V1Der<'_> = pair.as_der().expect("the key has a form");
    let public: PublicKeyX509Der<'_> = pair.public_key().as_der().expect("the public key has a form");
    let text = pem("PRIVATE KEY", private.as_ref());
    Pair {
        signer: EncodingKey::from_rsa_pem(text.as_bytes()).expect("the signer reads the key"),
        public: public.as_ref().to_vec(),
        private: private.as_ref().to_vec(),
        bare: pair.public_key().as_ref().to_vec(),
    }
}

fn ec_pair(pair: &EcdsaKeyPair) -> Pair {
    let private = pair.to_pkcs8v1().expect("the key has a form").as_ref().to_vec();
    let public: PublicKeyX509Der<'_> = pair.public_key().as_der().expect("the public key has a form");
    Pair {
        signer: EncodingKey::from_ec_der(&private),
        public: public.as_ref().to_vec(),
        private,
        bare: pair.public_key().as_ref().to_vec(),
    }
}

/// The pair that an algorithm takes; `None`: it takes the secret.
pub(crate) fn pair(algorithm: Algorithm) -> Option<&'static Pair> {
    use Algorithm::*;
    match algorithm {
        RS256 | RS384 | RS512 | PS256 | PS384 | PS512 => Some(&RSA),
        ES256 => Some(&P256),
        ES384 => Some(&P384),
        EdDSA => Some(&ED),
        _ => None,
    }
}

/// What signs for an algorithm.
pub(crate) fn signer(algorithm: Algorithm) -> EncodingKey {
    pair(algorithm).map_or_else(|| EncodingKey::from_secret(SECRET), |pair| pair.signer.clone())
}

pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| str::from_utf8(line).expect("base64 is ASCII")).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

pub(crate) fn pem_key(text: impl Into<Vec<u8>>) -> KeySource {
    KeySource::Pem { file: PathBuf::from("/etc/trunkline/issuer.pem"), text: text.into() }
}

pub(crate) fn jwk_file(json: &Value) -> KeySource {
    KeySource::Jwks { file: PathBuf::from("/etc/trunkline/jwks.json"), text: json.to_string().into_bytes() }
}

/// The public key of an algorithm (of HS: the secret) as a JWK, with these members on top.
pub(crate) fn jwk(algorithm: Algorithm, extra: Value) -> Value {
    let key = Jwk::from_encoding_key(&signer(algorithm), algorithm).expect("the signer knows its JWK");
    let mut json = serde_json::to_value(key).expect("a JWK is JSON");
    for (name, value) in extra.as_object().expect("the extra members are an object") {
        json[name] = value.clone();
    }
    json
}

/// The key of an algorithm as a file or a secret.
pub(crate) fn key(algorithm: Algorithm) -> KeySource {
    match pair(algorithm) {
        Some(pair) => pem_key(pem("PUBLIC KEY", &pair.public)),
        None => KeySource::Secret(SECRET.to_vec()),
    }
}

pub(crate) fn settings(algorithms: &[Algorithm], keys: Vec<KeySource>) -> TokenSettings {
    TokenSettings {
        algorithms: algorithms.to_vec(),
        keys,
        issuers: Vec::new(),
        bound: Vec::new(),
        fetch: FetchSettings::default(),
        audiences: Vec::new(),
        leeway: Duration::ZERO,
        user_claim: "sub".to_owned(),
        user_bytes_max: 256,
        sources: vec![Source::Header],
    }
}

/// Settings for HS256 with the secret.
pub(crate) fn plain() -> TokenSettings {
    settings(&[Algorithm::HS256], vec![key(Algorithm::HS256)])
}

/// A verifier, of settings that are right.
pub(crate) fn verifier(settings: &TokenSettings) -> Verifier {
    match Verifier::new(settings) {
        Ok(verifier) => verifier,
        Err(problems) => panic!("the keys should be usable: {problems:?}"),
    }
}

/// A token with this header and these claims, whatever they are, signed as `algorithm` says.
pub(crate) fn sign_text(header: &str, claims: &str, algorithm: Algorithm, key: &EncodingKey) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature =
        jsonwebtoken::crypto::sign(message.as_bytes(), key, algorithm).expect("the signer can sign");
    format!("{message}.{signature}")
}

/// A token with these claims, signed with the key of the algorithm.
pub(crate) fn sign(algorithm: Algorithm, claims: &Value) -> String {
    let header = json!({ "alg": algorithm, "typ": "JWT" }).to_string();
    sign_text(&header, &claims.to_string(), algorithm, &signer(algorithm))
}

/// What `settings` make of claims (as JSON text) in a token with a good signature: the user, or the fault.
pub(crate) fn judge(settings: &TokenSettings, claims: &str) -> Result<String, TokenFault> {
    let token = sign_text(r#"{"alg":"HS256"}"#, claims, Algorithm::HS256, &signer(Algorithm::HS256));
    verifier(settings).verify(&token, NOW).map(|claims| claims.user)
}
