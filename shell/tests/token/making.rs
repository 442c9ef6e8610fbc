//! Tokens for development.

use serde_json::{Map, Value, json};
use trunkline::token::{Algorithm, MakeFault, NewToken, TokenSettings, make};

use crate::keys::*;

fn ann() -> NewToken {
    NewToken {
        user_claim: "sub".to_owned(),
        user: "ann".to_owned(),
        issued: NOW,
        expires: Some(NOW + 60),
        issuer: None,
        audiences: Vec::new(),
        extra: Map::new(),
    }
}

fn object(json: Value) -> Map<String, Value> {
    json.as_object().expect("the row is an object").clone()
}

fn claims_of(new: &NewToken) -> Value {
    let token = make(SECRET, Algorithm::HS256, new).expect("the token can be made");
    let decoded = jsonwebtoken::dangerous::insecure_decode::<Value>(&*token).expect("it can be read");
    decoded.claims
}

#[test]
fn a_made_token_verifies() {
    for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
        let new = NewToken {
            user_claim: "name".to_owned(),
            issuer: Some("us".to_owned()),
            audiences: vec!["door".to_owned(), "gateway".to_owned()],
            ..ann()
        };
        let settings = TokenSettings {
            user_claim: "name".to_owned(),
            issuers: vec!["us".to_owned()],
            audiences: vec!["gateway".to_owned()],
            ..settings(&[algorithm], vec![key(algorithm)])
        };
        let token = make(SECRET, algorithm, &new).expect("the token can be made");
        let claims = verifier(&settings).verify(&token, NOW).expect("it is valid");
        assert_eq!((claims.user.as_str(), claims.expires), ("ann", Some(NOW + 60)));
    }
}

#[test]
fn a_made_token_says_what_was_asked_and_no_more() {
    assert_eq!(claims_of(&ann()), json!({ "sub": "ann", "iat": NOW, "exp": NOW + 60 }));
    let full = NewToken {
        expires: None,
        issuer: Some("us".to_owned()),
        audiences: vec!["gateway".to_owned()],
        extra: object(json!({ "nbf": NOW, "roles": ["admin"] })),
        ..ann()
    };
    let expected =
        json!({ "sub": "ann", "iat": NOW, "iss": "us", "aud": "gateway", "nbf": NOW, "roles": ["admin"] });
    assert_eq!(claims_of(&full), expected);
}

#[test]
fn what_cannot_be_signed_is_refused() {
    let fault = |secret: &[u8], algorithm, new: &NewToken| make(secret, algorithm, new).err();
    assert_eq!(fault(SECRET, Algorithm::RS256, &ann()), Some(MakeFault::NotForSecrets(Algorithm::RS256)));
    assert_eq!(fault(b"", Algorithm::HS256, &ann()), Some(MakeFault::EmptySecret));
    let nobody = NewToken { user: String::new(), ..ann() };
    assert_eq!(fault(SECRET, Algorithm::HS256, &nobody), Some(MakeFault::EmptyUser));
    for name in ["sub", "iat", "exp"] {
        let twice = NewToken { extra: object(json!({ name: 1 })), ..ann() };
        assert_eq!(fault(SECRET, Algorithm::HS256, &twice), Some(MakeFault::ClaimTwice(name.to_owned())));
    }
    let clash = NewToken { user_claim: "exp".to_owned(), ..ann() };
    assert_eq!(fault(SECRET, Algorithm::HS256, &clash), Some(MakeFault::ClaimTwice("exp".to_owned())));
}
