//! Whatever a client sends: nothing panics, and nothing verifies that the issuer has not signed.

use std::sync::LazyLock;

use hyper::header::{AUTHORIZATION, COOKIE, HeaderMap, HeaderValue, SEC_WEBSOCKET_PROTOCOL};
use proptest::prelude::*;
use serde_json::json;
use trunkline::token::{Algorithm, Source, Verifier, find};

use crate::keys::*;

const ALGORITHMS: [Algorithm; 4] = [Algorithm::HS256, Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];

static VERIFIER: LazyLock<Verifier> =
    LazyLock::new(|| verifier(&settings(&ALGORITHMS, ALGORITHMS.map(key).to_vec())));

static GOOD: LazyLock<Vec<String>> = LazyLock::new(|| {
    ALGORITHMS
        .map(|algorithm| sign(algorithm, &json!({ "sub": "ann", "exp": NOW + 60, "aud": ["a"] })))
        .to_vec()
});

/// A change of a token's text at a place.
#[derive(Clone, Debug)]
enum Change {
    Replace(u8),
    Insert(u8),
    Remove,
    Cut,
}

fn change() -> impl Strategy<Value = Change> {
    let byte = prop_oneof![proptest::sample::select(b"ABCxyz019-_.=%\"{}".to_vec()), 0..128u8,];
    prop_oneof![
        byte.clone().prop_map(Change::Replace),
        byte.prop_map(Change::Insert),
        Just(Change::Remove),
        Just(Change::Cut),
    ]
}

fn apply(token: &str, place: proptest::sample::Index, change: &Change) -> String {
    let mut bytes = token.as_bytes().to_vec();
    let place = place.index(bytes.len());
    match change {
        Change::Replace(byte) => bytes[place] = *byte,
        Change::Insert(byte) => bytes.insert(place, *byte),
        Change::Remove => drop(bytes.remove(place)),
        Change::Cut => bytes.truncate(place),
    }
    String::from_utf8(bytes).expect("all of it is ASCII")
}

/// Bytes that may stand in a header.
fn header_value() -> impl Strategy<Value = HeaderValue> {
    let likely = "(Bearer|bearer|token|x|=|;|,| |\"|%|a\\.b\\.c){0,12}";
    let any = proptest::collection::vec(any::<u8>(), 0..40);
    prop_oneof![likely.prop_map(String::into_bytes), any]
        .prop_filter_map("not a header's value", |bytes| HeaderValue::from_bytes(&bytes).ok())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn random_text_never_verifies(text in ".{0,200}") {
        prop_assert!(VERIFIER.verify(&text, NOW).is_err());
    }

    #[test]
    fn random_parts_under_a_good_signature_never_panic(header in ".{0,40}", claims in any::<Vec<u8>>()) {
        let claims = String::from_utf8_lossy(&claims);
        let token = sign_text(&header, &claims, Algorithm::HS256, &signer(Algorithm::HS256));
        prop_assert!(VERIFIER.verify(&token, NOW).is_err());
    }

    #[test]
    fn changed_tokens_never_verify(
        which in 0..ALGORITHMS.len(),
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), change()), 1..4),
    ) {
        let good = &GOOD[which];
        let mut token = good.clone();
        for (place, change) in &changes {
            if !token.is_empty() {
                token = apply(&token, *place, change);
            }
        }
        prop_assume!(token != *good);
        prop_assert!(VERIFIER.verify(&token, NOW).is_err());
    }

    #[test]
    fn random_requests_never_panic(
        values in proptest::collection::vec((0..3usize, header_value()), 0..5),
        query in proptest::option::of("(token|=|&|%|%4|a\\.b|\\PC){0,12}"),
    ) {
        let mut headers = HeaderMap::new();
        for (name, value) in values {
            headers.append([AUTHORIZATION, COOKIE, SEC_WEBSOCKET_PROTOCOL][name].clone(), value);
        }
        let name = || "token".to_owned();
        let sources = [Source::Header, Source::Query(name()), Source::Cookie(name()), Source::Subprotocol(name())];
        for source in &sources {
            if let Some(found) = find(std::slice::from_ref(source), &headers, query.as_deref()) {
                prop_assert!(VERIFIER.verify(&found.token, NOW).is_err());
                prop_assert_eq!(found.subprotocol.is_some(), matches!(source, Source::Subprotocol(_)));
            }
        }
    }
}
