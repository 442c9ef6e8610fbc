//! Keys that cannot be used, and what is said about them.

use serde_json::{Value, json};
use trunkline::token::{Algorithm, KeyFault, KeySource, TokenSettings, Verifier};

use crate::keys::*;

/// What is said about the keys, a line for each problem.
fn said(settings: &TokenSettings) -> Vec<String> {
    let problems = Verifier::new(settings).err().unwrap_or_default();
    problems.iter().map(ToString::to_string).collect()
}

/// The faults of one key, for an algorithm that it would serve.
fn faults(algorithm: Algorithm, key: KeySource) -> Vec<KeyFault> {
    let problems = Verifier::new(&settings(&[algorithm], vec![key])).err().unwrap_or_default();
    problems
        .into_iter()
        .map(|problem| problem.fault)
        .filter(|fault| *fault != KeyFault::NoKeyFor(algorithm))
        .collect()
}

#[test]
fn secrets_that_protect_nothing_are_refused() {
    let pem = pem("PUBLIC KEY", &RSA.public);
    assert_eq!(faults(Algorithm::HS256, KeySource::Secret(Vec::new())), [KeyFault::EmptySecret]);
    assert_eq!(faults(Algorithm::HS256, KeySource::Secret(pem.into_bytes())), [KeyFault::SecretIsPem]);
    assert_eq!(
        faults(Algorithm::HS256, jwk_file(&json!({ "kty": "oct", "k": "" }))),
        [KeyFault::EmptySecret]
    );
}

#[test]
fn pem_files_that_are_not_one_public_key_are_refused() {
    let good = pem("PUBLIC KEY", &RSA.public);
    let rows = [
        (String::new(), KeyFault::NoPem),
        ("ssh-ed25519 AAAA ann".to_owned(), KeyFault::NoPem),
        (format!("{good}{good}"), KeyFault::SeveralPemBlocks),
        (pem("PRIVATE KEY", &RSA.private), KeyFault::PrivateKey),
        (pem("RSA PRIVATE KEY", &RSA.private), KeyFault::PrivateKey),
        (pem("CERTIFICATE REQUEST", &RSA.public), KeyFault::NotAKey),
        (good.replace("-----END", "----END"), KeyFault::NotAKey),
        (pem("PUBLIC KEY", &RSA.public[..100]), KeyFault::NotAKey),
        (pem("PUBLIC KEY", b""), KeyFault::NotAKey),
        (pem("RSA PUBLIC KEY", &P256.bare), KeyFault::NotAKey),
    ];
    for (text, fault) in rows {
        assert_eq!(faults(Algorithm::RS256, pem_key(text.clone())), [fault], "{text}");
    }
    assert_eq!(faults(Algorithm::RS256, pem_key(vec![0xff, 0xfe])), [KeyFault::NoPem]);
    assert_eq!(faults(Algorithm::RS256, pem_key(good.replace('\n', "\r\n"))), []);
    assert_eq!(faults(Algorithm::RS256, pem_key(format!("Made by hand.\n\n{good}"))), []);
}

#[test]
fn rsa_keys_that_are_too_small_are_refused() {
    let n = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, [0xff; 128]);
    assert_eq!(
        faults(Algorithm::RS256, jwk_file(&json!({ "kty": "RSA", "n": n, "e": "AQAB" }))),
        [KeyFault::RsaSize]
    );
}

#[test]
fn jwks_that_are_damaged_are_refused() {
    let without = |name: &str| {
        let mut key = jwk(Algorithm::ES256, json!({}));
        key.as_object_mut().expect("a JWK is an object").remove(name);
        key
    };
    let with = |extra: Value| jwk(Algorithm::ES256, extra);
    let rows = [
        (without("x"), KeyFault::JwkMember("x")),
        (with(json!({ "y": "====" })), KeyFault::JwkMember("y")),
        (with(json!({ "y": "AAAA" })), KeyFault::JwkMember("y")),
        (with(json!({ "y": jwk(Algorithm::ES256, json!({}))["x"] })), KeyFault::NotAKey),
        (with(json!({ "alg": "RS256" })), KeyFault::JwkAlgorithm(Algorithm::RS256)),
        (with(json!({ "alg": "HS256" })), KeyFault::JwkAlgorithm(Algorithm::HS256)),
        (with(json!({ "d": "AAAA" })), KeyFault::PrivateKey),
        (with(json!({ "use": "enc" })), KeyFault::NoJwkForSignatures),
        (with(json!({ "use": "SIG" })), KeyFault::NoJwkForSignatures),
        (with(json!({ "key_ops": ["encrypt"] })), KeyFault::NoJwkForSignatures),
        (with(json!({ "crv": "secp256k1" })), KeyFault::NoJwkForSignatures),
        (json!({ "keys": [] }), KeyFault::NoJwkForSignatures),
    ];
    for (file, fault) in rows {
        assert_eq!(faults(Algorithm::ES256, jwk_file(&file)), [fault], "{file}");
    }
    for good in [json!({ "use": "sig" }), json!({ "key_ops": ["verify"] }), json!({ "alg": "ES256" })] {
        assert_eq!(faults(Algorithm::ES256, jwk_file(&with(good))), []);
    }
    for text in ["", "{", "[]", "{}", r#"{"keys":7}"#, r#"{"keys":[{"kid":"a"}]}"#] {
        let key = KeySource::Jwks { file: "/etc/trunkline/jwks.json".into(), text: text.into() };
        assert!(matches!(faults(Algorithm::ES256, key)[..], [KeyFault::NotJwk { .. }]), "{text}");
    }
}

#[test]
fn a_key_for_nothing_and_an_algorithm_without_a_key_are_named() {
    let damaged = jwk(Algorithm::ES384, json!({ "kid": "k1", "x": "AAAA" }));
    let set = json!({ "keys": [jwk(Algorithm::ES256, json!({})), damaged] });
    let settings = settings(
        &[Algorithm::ES384, Algorithm::PS256, Algorithm::EdDSA],
        vec![key(Algorithm::HS256), key(Algorithm::ES384), jwk_file(&set), pem_key("nothing")],
    );
    assert_eq!(
        said(&settings),
        [
            "keys[0] (secret): it serves HS256, HS384, HS512, and none of that is allowed; allow it, or remove the key",
            "\"/etc/trunkline/jwks.json\", key 1 of the set (kid \"k1\"): `x` is missing or does not \
             decode; get the file from the issuer again",
            "\"/etc/trunkline/issuer.pem\": there is no PEM block in it; it needs a line `-----BEGIN PUBLIC \
             KEY-----` and what follows (a key in DER becomes PEM with `openssl pkey -pubin -inform DER -in FILE`)",
            "keys: no key fits PS256; add public_key_file, jwks_file or jwks_url, or do not allow PS256",
            "keys: no key fits EdDSA; add public_key_file, jwks_file or jwks_url, or do not allow EdDSA",
        ]
    );
}

#[test]
fn a_set_may_hold_keys_that_fit_nothing_if_another_fits() {
    let keys = |algorithms: &[Algorithm]| {
        let keys: Vec<_> = algorithms.iter().map(|algorithm| jwk(*algorithm, json!({}))).collect();
        jwk_file(&json!({ "keys": keys }))
    };
    let mixed = [Algorithm::RS256, Algorithm::HS256, Algorithm::ES256, Algorithm::EdDSA];
    let verifier = verifier(&settings(&[Algorithm::ES256], vec![keys(&mixed)]));
    assert!(verifier.verify(&sign(Algorithm::ES256, &json!({ "sub": "ann" })), NOW).is_ok());

    let fits_none = |serves: &[Algorithm]| [KeyFault::FitsNone { serves: serves.to_vec() }];
    let two = [Algorithm::ES256, Algorithm::EdDSA];
    assert_eq!(faults(Algorithm::ES384, keys(&two)), fits_none(&two));
    // Each file has to be of use by itself.
    let both = settings(&[Algorithm::ES256], vec![keys(&[Algorithm::ES256]), keys(&[Algorithm::EdDSA])]);
    let problems = Verifier::new(&both).err().unwrap_or_default();
    assert_eq!(
        problems.into_iter().map(|problem| problem.fault).collect::<Vec<_>>(),
        fits_none(&[Algorithm::EdDSA])
    );
    // What is no set was meant as it stands.
    assert_eq!(
        faults(Algorithm::ES384, jwk_file(&jwk(Algorithm::ES256, json!({})))),
        fits_none(&[Algorithm::ES256])
    );
}

#[test]
fn no_algorithm_is_a_problem() {
    assert_eq!(
        said(&settings(&[], vec![])),
        ["keys: no algorithm is allowed; allow the one that the issuer uses"]
    );
}
