//! Tokens and secrets do not show.

use std::fmt::{Debug, Display};

use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use serde_json::json;
use trunkline::token::{Algorithm, Found, KeySource, Source, Token, TokenSettings, Verifier, find};

use crate::keys::*;

/// Compiles only if the type lacks the trait: otherwise two implementations of the helper apply, and the
/// compiler cannot choose.
macro_rules! assert_lacks {
    ($type:ty: $($trait:path),+) => {$({
        trait AmbiguousIf<A> {
            fn one() {}
        }
        impl<T: ?Sized> AmbiguousIf<()> for T {}
        struct HasTrait;
        impl<T: ?Sized + $trait> AmbiguousIf<HasTrait> for T {}
        <$type as AmbiguousIf<_>>::one();
    })+};
}

#[test]
fn what_holds_a_token_or_a_key_cannot_be_formatted() {
    assert_lacks!(Token<'_>: Debug, Display);
    assert_lacks!(Found<'_>: Debug, Display);
    assert_lacks!(Verifier: Debug, Display);
    assert_lacks!(TokenSettings: Debug, Display);
    assert_lacks!(KeySource: Debug, Display);
}

#[test]
fn a_verifier_can_be_shared_between_threads() {
    fn shareable<T: Send + Sync + 'static>() {}
    shareable::<Verifier>();
}

#[test]
fn what_can_be_formatted_shows_no_part_of_a_token() {
    let token = sign(Algorithm::HS256, &json!({ "sub": "ann", "exp": NOW + 60 }));
    let mut headers = HeaderMap::new();
    let value = HeaderValue::from_str(&format!("Bearer {token}")).expect("a token is a header's value");
    headers.insert(AUTHORIZATION, value);
    let sources = [Source::Header, Source::Query("token".to_owned())];
    let found = find(&sources, &headers, None).expect("the header is there");
    let verifier = verifier(&plain());

    let mut shown = format!("{sources:?} {:?}", found.subprotocol);
    for (claims, now) in
        [(&*found.token, NOW), (&*found.token, NOW + 60), (&token[1..], NOW), (&token[..60], NOW)]
    {
        shown += &format!(" {:?}", verifier.verify(claims, now));
    }
    for part in token.split('.') {
        assert!(!shown.contains(part), "{shown}");
    }
}

#[test]
fn what_is_said_about_keys_shows_no_part_of_them() {
    let secret = "correct-horse-battery-staple";
    let broken = format!(r#"{{"kty":"oct","k":7,"{secret}":"{secret}","kid":["{secret}"]}}"#);
    let sources = [
        KeySource::Secret(secret.as_bytes().to_vec()),
        pem_key(format!("-----BEGIN PRIVATE KEY-----\n{secret}\n")),
        pem_key(format!("-----BEGIN PUBLIC KEY-----\n{secret}\n-----END PUBLIC KEY-----")),
        KeySource::Secret(format!("-----BEGIN PUBLIC KEY-----\n{secret}").into_bytes()),
        KeySource::Jwks { file: "a.json".into(), text: broken.into_bytes() },
        KeySource::Jwks { file: "b.json".into(), text: secret.into() },
        jwk_file(&json!({ "kty": "oct", "k": format!("{secret}=") })),
        jwk_file(&json!({ "kty": "oct", "k": secret, "d": secret })),
        jwk_file(&json!({ "kty": secret, "alg": secret })),
        jwk_file(&json!({ "kty": "RSA", "n": secret, "e": "AQAB" })),
    ];
    for source in sources {
        let problems = Verifier::new(&settings(&[Algorithm::ES256], vec![source])).err().unwrap_or_default();
        assert!(!problems.is_empty());
        for problem in problems {
            let shown = format!("{problem} {problem:?}");
            assert!(!shown.contains("horse"), "{shown}");
        }
    }
}
