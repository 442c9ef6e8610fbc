//! Each algorithm, by each way of giving its key; and what must never pass for a signature.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::EncodingKey;
use serde_json::json;
use trunkline::token::{Algorithm, KeySource, TokenFault, TokenSettings};

use crate::keys::*;

const ALL: [Algorithm; 12] = [
    Algorithm::HS256,
    Algorithm::HS384,
    Algorithm::HS512,
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// A good token is accepted; with any byte of its signature or its claims changed it is refused.
fn assert_protects(settings: &TokenSettings, algorithm: Algorithm) {
    let verifier = verifier(settings);
    let token = sign(algorithm, &json!({ "sub": "ann" }));
    let user = verifier.verify(&token, NOW).map(|claims| claims.user);
    assert_eq!(user.as_deref(), Ok("ann"), "{algorithm:?}");

    let (message, signature) = token.rsplit_once('.').expect("a token has dots");
    let (header, _) = message.split_once('.').expect("a token has two");
    let signature_bytes = URL_SAFE_NO_PAD.decode(signature).expect("the signer writes base64url");
    for place in [0, signature_bytes.len() / 2, signature_bytes.len() - 1] {
        let mut bytes = signature_bytes.clone();
        bytes[place] ^= 1;
        let tampered = format!("{message}.{}", URL_SAFE_NO_PAD.encode(bytes));
        assert_eq!(
            verifier.verify(&tampered, NOW),
            Err(TokenFault::BadSignature),
            "{algorithm:?}, byte {place}"
        );
    }
    for bytes in [&signature_bytes[..signature_bytes.len() - 1], &[]] {
        let cut = format!("{message}.{}", URL_SAFE_NO_PAD.encode(bytes));
        assert_eq!(verifier.verify(&cut, NOW), Err(TokenFault::BadSignature), "{algorithm:?}, cut short");
    }
    let other = format!("{header}.{}.{signature}", URL_SAFE_NO_PAD.encode(r#"{"sub":"bob"}"#));
    assert_eq!(verifier.verify(&other, NOW), Err(TokenFault::BadSignature), "{algorithm:?}, other claims");
}

#[test]
fn each_algorithm_verifies_with_its_secret_or_pem() {
    for algorithm in ALL {
        assert_protects(&settings(&[algorithm], vec![key(algorithm)]), algorithm);
    }
}

#[test]
fn each_algorithm_verifies_with_a_jwk_and_with_a_set() {
    for algorithm in ALL {
        let one = jwk(algorithm, json!({}));
        assert_protects(&settings(&[algorithm], vec![jwk_file(&one)]), algorithm);
        let encryption = jwk(Algorithm::RS256, json!({ "use": "enc", "alg": "RSA-OAEP" }));
        let unknown = json!({ "kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA" });
        let set = json!({ "keys": [encryption, unknown, one] });
        assert_protects(&settings(&[algorithm], vec![jwk_file(&set)]), algorithm);
    }
}

#[test]
fn all_algorithms_verify_side_by_side() {
    let keys =
        [Algorithm::HS256, Algorithm::RS256, Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA].map(key);
    let settings = settings(&ALL, keys.to_vec());
    for algorithm in ALL {
        assert_protects(&settings, algorithm);
    }
}

#[test]
fn rsa_keys_are_taken_as_pkcs1_too() {
    let text = pem("RSA PUBLIC KEY", &RSA.bare);
    assert_protects(&settings(&[Algorithm::RS256], vec![pem_key(text)]), Algorithm::RS256);
}

#[test]
fn keys_are_taken_from_certificates_too() {
    for algorithm in [Algorithm::RS256, Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA] {
        let public = &pair(algorithm).expect("these have pairs").public;
        let text = pem("CERTIFICATE", &certificate(public));
        assert_protects(&settings(&[algorithm], vec![pem_key(text)]), algorithm);
    }
}

#[test]
fn the_examples_of_rfc_7515_verify() {
    let secret = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
    let hs256 = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6\
                 Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let es256 = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc\
                 19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    let keys = json!({ "keys": [
        { "kty": "oct", "k": secret },
        { "kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
          "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0" },
    ] });
    let mut settings = settings(&[Algorithm::HS256, Algorithm::ES256], vec![jwk_file(&keys)]);
    settings.user_claim = "iss".to_owned();
    let verifier = verifier(&settings);
    for token in [hs256, es256] {
        let claims = verifier.verify(token, 1_300_819_379).expect("the example is valid until then");
        assert_eq!((claims.user.as_str(), claims.expires), ("joe", Some(1_300_819_380)));
        assert_eq!(verifier.verify(token, 1_300_819_380), Err(TokenFault::Expired));
    }
}

#[test]
fn a_public_key_is_never_a_secret() {
    let text = pem("PUBLIC KEY", &RSA.public);
    let settings =
        settings(&[Algorithm::RS256, Algorithm::HS256], vec![pem_key(text.clone()), key(Algorithm::HS256)]);
    let verifier = verifier(&settings);
    let without_newline = text.trim_end().as_bytes();
    for forged_with in [text.as_bytes(), without_newline, &RSA.public, &RSA.bare] {
        let forged_key = EncodingKey::from_secret(forged_with);
        let token = sign_text(r#"{"alg":"HS256"}"#, r#"{"sub":"ann"}"#, Algorithm::HS256, &forged_key);
        assert_eq!(verifier.verify(&token, NOW), Err(TokenFault::BadSignature));
        let relabelled = sign_text(r#"{"alg":"RS256"}"#, r#"{"sub":"ann"}"#, Algorithm::HS256, &forged_key);
        assert_eq!(verifier.verify(&relabelled, NOW), Err(TokenFault::BadSignature));
    }
}

#[test]
fn the_forms_of_rsa_do_not_stand_in_for_one_another() {
    let verifier = verifier(&settings(&[Algorithm::RS256, Algorithm::PS256], vec![key(Algorithm::RS256)]));
    let relabelled = sign_text(r#"{"alg":"PS256"}"#, r#"{"sub":"ann"}"#, Algorithm::RS256, &RSA.signer);
    assert_eq!(verifier.verify(&relabelled, NOW), Err(TokenFault::BadSignature));
}

#[test]
fn a_jwk_with_an_algorithm_serves_that_one_alone() {
    let keys = json!({ "keys": [
        jwk(Algorithm::RS256, json!({ "alg": "RS256" })),
        { "kty": "RSA", "alg": "RS512", "n": jwk_of(&OTHER_RSA)["n"], "e": "AQAB" },
    ] });
    let verifier = verifier(&settings(&[Algorithm::RS256, Algorithm::RS512], vec![jwk_file(&keys)]));
    assert!(verifier.verify(&sign(Algorithm::RS256, &json!({ "sub": "ann" })), NOW).is_ok());
    let token = sign(Algorithm::RS512, &json!({ "sub": "ann" }));
    assert_eq!(verifier.verify(&token, NOW), Err(TokenFault::BadSignature));
}

#[test]
fn none_is_never_an_algorithm() {
    let verifier = verifier(&settings(&ALL, ALL.map(key).to_vec()));
    for name in ["none", "None", "NONE", "nOnE", "none ", "", "hs256", "HS256 ", "ES512", "Ed25519", "null"] {
        let header = json!({ "alg": name }).to_string();
        let signed = sign_text(&header, r#"{"sub":"ann"}"#, Algorithm::HS256, &signer(Algorithm::HS256));
        let (message, _) = signed.rsplit_once('.').expect("a token has dots");
        for token in [&signed, &format!("{message}.")] {
            assert_eq!(verifier.verify(token, NOW), Err(TokenFault::AlgorithmNotAllowed), "{name:?}");
        }
    }
}

#[test]
fn an_algorithm_that_is_not_allowed_is_refused_with_a_good_signature_too() {
    let verifier = verifier(&plain());
    for algorithm in ALL.into_iter().filter(|algorithm| *algorithm != Algorithm::HS256) {
        let token = sign(algorithm, &json!({ "sub": "ann" }));
        assert_eq!(verifier.verify(&token, NOW), Err(TokenFault::AlgorithmNotAllowed), "{algorithm:?}");
    }
}

#[test]
fn a_kid_chooses_among_keys_that_have_one() {
    let secret = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let keys = json!({ "keys": [
        { "kty": "oct", "kid": "old", "k": secret("the old secret") },
        { "kty": "oct", "kid": "new", "k": secret("the new secret") },
    ] });
    let signed = |kid: Option<&str>, with: &str| {
        let header = json!({ "alg": "HS256", "kid": kid }).to_string();
        sign_text(&header, r#"{"sub":"ann"}"#, Algorithm::HS256, &EncodingKey::from_secret(with.as_bytes()))
    };
    let named = verifier(&settings(&[Algorithm::HS256], vec![jwk_file(&keys)]));
    let mixed = verifier(&settings(
        &[Algorithm::HS256],
        vec![jwk_file(&keys), KeySource::Secret(b"the nameless secret".to_vec())],
    ));
    let bad = Err(TokenFault::BadSignature);
    let rows = [
        (Some("old"), "the old secret", Ok(()), Ok(())),
        (Some("new"), "the new secret", Ok(()), Ok(())),
        (Some("new"), "the old secret", bad, bad),
        (None, "the old secret", Ok(()), Ok(())),
        (None, "the new secret", Ok(()), Ok(())),
        (Some("other"), "the old secret", Err(TokenFault::UnknownKey), bad),
        (Some("other"), "the nameless secret", Err(TokenFault::UnknownKey), Ok(())),
        (Some("old"), "the nameless secret", bad, Ok(())),
        (Some(""), "the old secret", Err(TokenFault::UnknownKey), bad),
    ];
    for (kid, with, from_named, from_mixed) in rows {
        let token = signed(kid, with);
        assert_eq!(named.verify(&token, NOW).map(drop), from_named, "{kid:?}, {with}, keys with names");
        assert_eq!(mixed.verify(&token, NOW).map(drop), from_mixed, "{kid:?}, {with}, and one without");
    }
}

fn jwk_of(pair: &Pair) -> serde_json::Value {
    let key =
        jsonwebtoken::jwk::Jwk::from_encoding_key(&pair.signer, Algorithm::RS512).expect("it has a JWK");
    serde_json::to_value(key).expect("a JWK is JSON")
}

/// A certificate (RFC 5280, section 4.1) for this key, with a signature by nobody: nobody looks at it.
fn certificate(public: &[u8]) -> Vec<u8> {
    let version = der(0xa0, &[&der(0x02, &[&[2]])]);
    let serial = der(0x02, &[&[1]]);
    let sha256_with_rsa =
        der(0x30, &[&[0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 0x0b], &[0x05, 0]]);
    let common_name = der(0x30, &[&[0x06, 3, 0x55, 4, 3], &der(0x0c, &[b"test only"])]);
    let name = der(0x30, &[&der(0x31, &[&common_name])]);
    let dates = der(0x30, &[&der(0x17, &[b"200101000000Z"]), &der(0x17, &[b"300101000000Z"])]);
    let body = der(0x30, &[&version, &serial, &sha256_with_rsa, &name, &dates, &name, public]);
    der(0x30, &[&body, &sha256_with_rsa, &der(0x03, &[&[0; 65]])])
}

/// A value in DER: tag, length, contents.
fn der(tag: u8, contents: &[&[u8]]) -> Vec<u8> {
    let contents = contents.concat();
    let length = u16::try_from(contents.len()).expect("test certificates are small");
    let [high, low] = length.to_be_bytes();
    let mut value = match length {
        0..128 => vec![tag, low],
        _ => vec![tag, 0x82, high, low],
    };
    value.extend(contents);
    value
}
