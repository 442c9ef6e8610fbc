//! Keys that issuers publish: what of a set is used, when newer ones might help, and for whom they vouch.

use serde_json::{Value, json};
use trunkline::{
    config::ServerUrl,
    token::{
        Algorithm::{self, *},
        BoundKeys, Denied, KeySet, KeySource, SetFault, TokenFault, TokenSettings, Verifier,
    },
};

use crate::keys::*;

fn url(text: &str) -> KeySource {
    KeySource::Url(ServerUrl::http(text).expect("it is the URL of keys"))
}

fn set(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

fn read(text: &str, allowed: &[Algorithm]) -> Result<usize, SetFault> {
    KeySet::read(text.as_bytes(), allowed).map(|set| set.passed_over)
}

/// What is published at the URL of this place is this now.
fn publish(verifier: &Verifier, place: usize, keys: &[Value]) {
    let published = &verifier.published()[place];
    published.put(&KeySet::read(set(keys).as_bytes(), published.algorithms()).expect("the set is of use"));
}

/// A token with a header of its own.
fn named(algorithm: Algorithm, kid: Option<&str>, claims: &Value) -> String {
    let header = json!({ "alg": algorithm, "kid": kid }).to_string();
    sign_text(&header, &claims.to_string(), algorithm, &signer(algorithm))
}

fn ann() -> Value {
    json!({ "sub": "ann", "iss": "a" })
}

#[track_caller]
fn denies(verifier: &Verifier, token: &str, fault: TokenFault, lacking: &[usize]) {
    let expected = Denied { fault, lacking: lacking.to_vec() };
    assert_eq!(verifier.judge(token, NOW), Err(expected));
}

#[test]
fn keys_of_no_use_are_passed_over_as_long_as_one_is_of_use() {
    let good = jwk(ES256, json!({ "kid": "good" }));
    let none = [
        jwk(HS256, json!({})),
        jwk(EdDSA, json!({ "d": "AAAA" })),
        jwk(EdDSA, json!({ "use": "enc" })),
        jwk(EdDSA, json!({ "x": "AAAA" })),
        jwk(EdDSA, json!({ "alg": "HS256" })),
        jwk(ES384, json!({})),
        json!({ "kty": "OKP", "crv": "X25519", "x": "AAAA" }),
        json!({ "kty": 7 }),
        json!("key"),
        json!(null),
    ];
    let allowed = [HS256, ES256, EdDSA];
    for key in &none {
        assert_eq!(read(&set(std::slice::from_ref(key)), &allowed), Err(SetFault::NoneFits(1)), "{key}");
    }
    let with_good: Vec<_> = none.iter().cloned().chain([good]).collect();
    assert_eq!(read(&set(&with_good), &allowed), Ok(none.len()));
}

#[test]
fn what_is_no_set_is_refused_without_a_word_of_what_is_in_it() {
    let one = jwk(ES256, json!({})).to_string();
    let texts = ["", "[]", "hush-hush", "{}", r#"{"keys":{}}"#, r#"{"keys":null}"#, "{\"keys\":[hush", &one];
    for text in texts {
        let fault = read(text, &[ES256]).expect_err(text);
        assert!(matches!(fault, SetFault::NotASet { .. }), "{text}: {fault:?}");
        assert!(!fault.to_string().contains("hush"), "{fault}");
    }
    assert_eq!(read(r#"{"keys":[]}"#, &[ES256]), Err(SetFault::NoneFits(0)));
    assert!(KeySet::read(b"{\"keys\":[\"\xff\"]}", &[ES256]).is_err());
}

#[test]
fn a_set_may_have_sixty_four_keys() {
    let keys = |count| set(&vec![jwk(EdDSA, json!({})); count]);
    assert_eq!(read(&keys(64), &[EdDSA]), Ok(0));
    assert_eq!(read(&keys(65), &[EdDSA]), Err(SetFault::TooMany(65)));
}

#[test]
fn a_set_takes_the_place_of_the_one_before_as_a_whole() {
    let verifier = verifier(&settings(&[ES256, EdDSA], vec![url("https://a/")]));
    assert!(!verifier.has_keys());
    let (one, other) = (named(ES256, Some("1"), &ann()), named(EdDSA, Some("2"), &ann()));
    denies(&verifier, &one, TokenFault::UnknownKey, &[0]);

    publish(&verifier, 0, &[jwk(ES256, json!({ "kid": "1" }))]);
    assert!(verifier.has_keys());
    assert!(verifier.verify(&one, NOW).is_ok());
    denies(&verifier, &other, TokenFault::UnknownKey, &[0]);

    publish(&verifier, 0, &[jwk(EdDSA, json!({ "kid": "2" }))]);
    assert!(verifier.verify(&other, NOW).is_ok());
    denies(&verifier, &one, TokenFault::UnknownKey, &[0]);

    verifier.published()[0].forget();
    assert!(!verifier.has_keys());
    denies(&verifier, &other, TokenFault::UnknownKey, &[0]);
}

#[test]
fn newer_keys_might_help_only_where_the_named_one_is_not_known_and_the_token_would_do_otherwise() {
    let verifier = verifier(&settings(&[HS256, ES256], vec![key(HS256), url("https://a/")]));
    publish(&verifier, 0, &[jwk(ES256, json!({ "kid": "1" }))]);
    let es256 = |kid: Option<&str>, claims: Value| named(ES256, kid, &claims);
    denies(&verifier, &es256(Some("2"), ann()), TokenFault::UnknownKey, &[0]);
    denies(&verifier, &es256(Some("2"), json!({ "sub": "ann", "exp": NOW })), TokenFault::UnknownKey, &[]);
    denies(&verifier, &es256(Some("2"), json!({})), TokenFault::UnknownKey, &[]);

    // One that names a known key, or none, has been looked at; and no secret is ever published.
    let mut forged = es256(Some("1"), ann());
    forged.replace_range(forged.len() - 4.., "AAAA");
    denies(&verifier, &forged, TokenFault::BadSignature, &[]);
    let mut forged = es256(None, ann());
    forged.replace_range(forged.len() - 4.., "AAAA");
    denies(&verifier, &forged, TokenFault::BadSignature, &[]);
    let mut forged = named(HS256, Some("2"), &ann());
    forged.replace_range(forged.len() - 4.., "AAAA");
    denies(&verifier, &forged, TokenFault::BadSignature, &[]);
}

#[test]
fn a_secret_that_is_published_signs_nothing() {
    let other = TokenSettings {
        keys: vec![KeySource::Secret(b"a secret that is not published anywhere".to_vec()), url("https://a/")],
        ..settings(&[HS256, ES256], Vec::new())
    };
    let verifier = verifier(&other);
    publish(&verifier, 0, &[jwk(HS256, json!({ "kid": "1" })), jwk(ES256, json!({ "kid": "2" }))]);
    denies(&verifier, &named(HS256, Some("1"), &ann()), TokenFault::BadSignature, &[]);
}

#[test]
fn keys_that_are_bound_to_an_issuer_vouch_for_no_other() {
    let bound = |issuers: &[&str], keys| BoundKeys {
        issuers: issuers.iter().map(|&issuer| issuer.to_owned()).collect(),
        keys,
    };
    let settings = TokenSettings {
        bound: vec![
            bound(&["a", "also a"], vec![key(ES256)]),
            bound(&["b"], vec![url("https://b/")]),
            bound(&["c"], vec![url("https://c/"), key(HS256)]),
        ],
        ..settings(&[HS256, ES256, EdDSA], Vec::new())
    };
    let verifier = verifier(&settings);
    publish(&verifier, 0, &[jwk(EdDSA, json!({ "kid": "1" }))]);
    let token = |algorithm, iss: Value| named(algorithm, Some("1"), &json!({ "sub": "ann", "iss": iss }));
    for (algorithm, iss) in [(ES256, "a"), (ES256, "also a"), (EdDSA, "b"), (HS256, "c")] {
        assert!(verifier.verify(&token(algorithm, json!(iss)), NOW).is_ok(), "{algorithm:?} {iss}");
    }
    denies(&verifier, &token(EdDSA, json!("a")), TokenFault::UnknownKey, &[]);
    denies(&verifier, &token(ES256, json!("b")), TokenFault::UnknownKey, &[0]);
    denies(&verifier, &token(EdDSA, json!("c")), TokenFault::UnknownKey, &[1]);
    denies(&verifier, &token(HS256, json!("b")), TokenFault::UnknownKey, &[]);
    for iss in [json!("d"), json!(null), json!(["a"]), json!("")] {
        denies(&verifier, &token(ES256, iss), TokenFault::WrongIssuer, &[]);
    }
    denies(&verifier, &named(ES256, None, &json!({ "sub": "ann" })), TokenFault::WrongIssuer, &[]);
}

#[test]
fn a_url_promises_public_keys_but_no_secrets() {
    let said = |algorithms: &[Algorithm]| {
        let problems =
            Verifier::new(&settings(algorithms, vec![url("https://a/")])).err().unwrap_or_default();
        problems.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(said(&[RS256, ES384]), [""; 0]);
    assert_eq!(said(&[RS256, HS256]), ["keys: no key fits HS256; add secret_file, or do not allow HS256"]);
}
