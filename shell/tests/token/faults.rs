//! What is malformed, and which fault is reported where several apply.

use serde_json::json;
use trunkline::token::{Algorithm, TOKEN_BYTES_MAX, TokenFault};

use crate::keys::*;

#[test]
fn what_is_no_token_is_malformed() {
    let good = sign(Algorithm::HS256, &json!({ "sub": "ann" }));
    let (message, signature) = good.rsplit_once('.').expect("a token has dots");
    let rows = [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        "...".to_owned(),
        "ann".to_owned(),
        message.to_owned(),
        format!("{good}."),
        format!(".{good}"),
        format!("{good}.{signature}"),
        format!("{good}="),
        format!(" {good}"),
        format!("{good}\n"),
        format!("{good}\0"),
        format!("{message}.{signature}%"),
        format!("{message}.é"),
    ];
    let verifier = verifier(&plain());
    for token in rows {
        assert_eq!(verifier.verify(&token, NOW), Err(TokenFault::Malformed), "{token:?}");
    }
}

#[test]
fn a_signature_has_one_spelling() {
    let good = sign(Algorithm::HS256, &json!({ "sub": "ann" }));
    // 32 bytes leave two bits of the last character unused.
    let last = good.chars().last().expect("a token is not empty");
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let place = alphabet.find(last).expect("it is base64url");
    let respelled = format!("{}{}", &good[..good.len() - 1], &alphabet[place + 1..place + 2]);
    assert_eq!(verifier(&plain()).verify(&respelled, NOW), Err(TokenFault::Malformed));
}

#[test]
fn a_header_or_claims_of_the_wrong_form_are_malformed() {
    let rows = [
        ("", r#"{"sub":"ann"}"#),
        ("{}", r#"{"sub":"ann"}"#),
        ("null", r#"{"sub":"ann"}"#),
        (r#"["HS256",null,null]"#, r#"{"sub":"ann"}"#),
        (r#"{"alg":null}"#, r#"{"sub":"ann"}"#),
        (r#"{"alg":256}"#, r#"{"sub":"ann"}"#),
        (r#"{"alg":["HS256"]}"#, r#"{"sub":"ann"}"#),
        (r#"{"alg":"HS256","alg":"HS256"}"#, r#"{"sub":"ann"}"#),
        (r#"{"alg":"none","alg":"HS256"}"#, r#"{"sub":"ann"}"#),
        (r#"{"alg":"HS256","kid":1}"#, r#"{"sub":"ann"}"#),
        (r#"{"alg":"HS256","kid":"a","kid":"a"}"#, r#"{"sub":"ann"}"#),
        (r#"{"alg":"HS256","crit":["b64"],"b64":false}"#, r#"{"sub":"ann"}"#),
        (r#"{"alg":"HS256"} x"#, r#"{"sub":"ann"}"#),
        (r#"{"alg":"HS256"}"#, ""),
        (r#"{"alg":"HS256"}"#, "null"),
        (r#"{"alg":"HS256"}"#, "[]"),
        (r#"{"alg":"HS256"}"#, r#""ann""#),
        (r#"{"alg":"HS256"}"#, r#"{"sub":"ann""#),
        (r#"{"alg":"HS256"}"#, r#"{"sub":"ann"}{}"#),
        (r#"{"alg":"HS256"}"#, r#"{"sub":"ann","sub":"bob"}"#),
        (r#"{"alg":"HS256"}"#, r#"{"sub":"ann","s\u0075b":"bob"}"#),
        (r#"{"alg":"HS256"}"#, r#"{"sub":"ann","exp":1,"exp":2}"#),
    ];
    let verifier = verifier(&plain());
    for (header, claims) in rows {
        let token = sign_text(header, claims, Algorithm::HS256, &signer(Algorithm::HS256));
        assert_eq!(verifier.verify(&token, NOW), Err(TokenFault::Malformed), "{header} {claims}");
    }
}

#[test]
fn claims_that_do_not_count_may_be_anything() {
    let deep = format!(r#"{{"sub":"ann","deep":{}{}}}"#, "[".repeat(2000), "]".repeat(2000));
    let rows = [
        r#"{"sub":"ann","iss":1,"aud":{}}"#,
        r#"{"x":1,"x":2,"sub":"ann"}"#,
        r#"{"sub":"ann","huge":1e999999,"lone":"\ud800"}"#,
        "\u{20}\n{ \"sub\" : \"ann\" }\t",
    ];
    for claims in rows {
        assert_eq!(judge(&plain(), claims).as_deref(), Ok("ann"), "{claims}");
    }
    // A depth that could exhaust the stack may be refused, as long as it is refused.
    assert!(matches!(judge(&plain(), &deep).as_deref(), Ok("ann") | Err(TokenFault::Malformed)));
}

#[test]
fn a_token_is_bounded_in_length() {
    let of_length = |bytes: usize| {
        let empty = sign_text(
            r#"{"alg":"HS256"}"#,
            r#"{"sub":"ann","x":""}"#,
            Algorithm::HS256,
            &signer(Algorithm::HS256),
        );
        let filler = "x".repeat((bytes - empty.len()) / 4 * 3);
        let claims = format!(r#"{{"sub":"ann","x":"{filler}"}}"#);
        sign_text(r#"{"alg":"HS256"}"#, &claims, Algorithm::HS256, &signer(Algorithm::HS256))
    };
    let verifier = verifier(&plain());
    let longest = (TOKEN_BYTES_MAX - 3..=TOKEN_BYTES_MAX)
        .rev()
        .map(of_length)
        .find(|token| token.len() <= TOKEN_BYTES_MAX);
    assert!(verifier.verify(&longest.expect("one of them fits"), NOW).is_ok());
    let too_long = of_length(TOKEN_BYTES_MAX + 4);
    assert!(too_long.len() > TOKEN_BYTES_MAX);
    assert_eq!(verifier.verify(&too_long, NOW), Err(TokenFault::Malformed));
}

#[test]
fn the_first_fault_in_the_order_is_the_one_reported() {
    let mut settings =
        settings(&[Algorithm::HS256], vec![jwk_file(&jwk(Algorithm::HS256, json!({ "kid": "ours" })))]);
    settings.issuers = vec!["us".to_owned()];
    settings.audiences = vec!["gateway".to_owned()];
    let verifier = verifier(&settings);
    let good = signer(Algorithm::HS256);
    let bad = jsonwebtoken::EncodingKey::from_secret(b"another");
    let all_wrong = json!({ "sub": "", "exp": NOW, "nbf": NOW + 1, "iss": "them", "aud": "door" });
    let with = |changes: serde_json::Value| {
        let mut claims = all_wrong.clone();
        for (name, value) in changes.as_object().expect("changes are an object") {
            claims[name] = value.clone();
        }
        claims
    };
    let later = NOW + 1;
    let rows = [
        ("none", "other", with(json!({ "exp": "soon" })), &bad, TokenFault::Malformed),
        ("none", "other", all_wrong.clone(), &bad, TokenFault::AlgorithmNotAllowed),
        ("HS256", "other", all_wrong.clone(), &bad, TokenFault::UnknownKey),
        ("HS256", "ours", all_wrong.clone(), &bad, TokenFault::BadSignature),
        ("HS256", "ours", all_wrong.clone(), &good, TokenFault::Expired),
        ("HS256", "ours", with(json!({ "exp": later })), &good, TokenFault::NotYetValid),
        ("HS256", "ours", with(json!({ "exp": later, "nbf": NOW })), &good, TokenFault::WrongIssuer),
        (
            "HS256",
            "ours",
            with(json!({ "exp": later, "nbf": NOW, "iss": "us" })),
            &good,
            TokenFault::WrongAudience,
        ),
        (
            "HS256",
            "ours",
            with(json!({ "exp": later, "nbf": NOW, "iss": "us", "aud": "gateway" })),
            &good,
            TokenFault::NoUser,
        ),
    ];
    for (algorithm, kid, claims, key, fault) in rows {
        let header = json!({ "alg": algorithm, "kid": kid }).to_string();
        let token = sign_text(&header, &claims.to_string(), Algorithm::HS256, key);
        assert_eq!(verifier.verify(&token, NOW), Err(fault), "{header} {claims}");
    }
}
