//! Issuer, audience and user.

use serde_json::json;
use trunkline::token::{TokenFault, TokenSettings};

use crate::keys::*;

fn strings(all: &[&str]) -> Vec<String> {
    all.iter().map(|one| (*one).to_owned()).collect()
}

#[test]
fn an_issuer_is_one_of_the_accepted() {
    let any = plain();
    let two = TokenSettings { issuers: strings(&["us", "ours"]), ..plain() };
    let rows = [
        ("", true, false),
        (r#","iss":"us""#, true, true),
        (r#","iss":"\u0075s""#, true, true),
        (r#","iss":"ours""#, true, true),
        (r#","iss":"Us""#, true, false),
        (r#","iss":"us ""#, true, false),
        (r#","iss":"""#, true, false),
        (r#","iss":["us"]"#, true, false),
        (r#","iss":null"#, true, false),
        (r#","iss":7"#, true, false),
    ];
    for (iss, with_any, with_two) in rows {
        let claims = format!(r#"{{"sub":"ann"{iss}}}"#);
        let expect = |accepted| if accepted { Ok("ann".to_owned()) } else { Err(TokenFault::WrongIssuer) };
        assert_eq!(judge(&any, &claims), expect(with_any), "{claims}, any");
        assert_eq!(judge(&two, &claims), expect(with_two), "{claims}, two");
    }
}

#[test]
fn an_audience_is_one_of_the_accepted() {
    let any = plain();
    let two = TokenSettings { audiences: strings(&["gateway", "chat"]), ..plain() };
    let rows = [
        ("", false),
        (r#","aud":"gateway""#, true),
        (r#","aud":["gateway"]"#, true),
        (r#","aud":["door","chat"]"#, true),
        (r#","aud":[7,null,"chat"]"#, true),
        (r#","aud":["door"]"#, false),
        (r#","aud":[]"#, false),
        (r#","aud":[["gateway"]]"#, false),
        (r#","aud":"gateway chat""#, false),
        (r#","aud":{"gateway":true}"#, false),
        (r#","aud":null"#, false),
    ];
    for (aud, accepted) in rows {
        let claims = format!(r#"{{"sub":"ann"{aud}}}"#);
        assert_eq!(judge(&any, &claims).as_deref(), Ok("ann"), "{claims}, any");
        let expected = if accepted { Ok("ann".to_owned()) } else { Err(TokenFault::WrongAudience) };
        assert_eq!(judge(&two, &claims), expected, "{claims}, two");
    }
}

#[test]
fn any_string_that_is_not_empty_nor_too_long_is_a_user() {
    let long = "é".repeat(128);
    let users = [
        "ann",
        "__proto__",
        "constructor",
        " ",
        "\0",
        "a\0b",
        "👩‍🚀",
        "\u{7f}\n\"\\",
        "null",
        "\u{feff}",
        &long,
    ];
    for user in users {
        assert_eq!(judge(&plain(), &json!({ "sub": user }).to_string()).as_deref(), Ok(user));
    }
    assert_eq!(judge(&plain(), r#"{"sub":"\ud83d\ude00"}"#).as_deref(), Ok("😀"));
}

#[test]
fn what_is_no_user_is_refused() {
    let too_long = json!({ "sub": format!("{}x", "é".repeat(128)) }).to_string();
    let rows = [
        "{}",
        r#"{"sub":""}"#,
        r#"{"sub":7}"#,
        r#"{"sub":null}"#,
        r#"{"sub":["ann"]}"#,
        r#"{"sub":{"name":"ann"}}"#,
        r#"{"sub":"\ud800"}"#,
        r#"{"Sub":"ann"}"#,
        r#"{"user":{"sub":"ann"}}"#,
        &too_long,
    ];
    for claims in rows {
        assert_eq!(judge(&plain(), claims), Err(TokenFault::NoUser), "{claims}");
    }
}

#[test]
fn the_user_claim_may_have_any_name() {
    for name in [
        "username",
        "__proto__",
        "constructor",
        "https://example.com/user.name",
        "",
        "a\"b",
        "é",
        "iss",
        "aud",
    ] {
        let settings = TokenSettings { user_claim: name.to_owned(), ..plain() };
        assert_eq!(judge(&settings, &json!({ name: "ann" }).to_string()).as_deref(), Ok("ann"), "{name:?}");
        assert_eq!(judge(&settings, r#"{"sub":"ann"}"#), Err(TokenFault::NoUser), "{name:?}");
    }
    let settings = TokenSettings { user_claim: "exp".to_owned(), ..plain() };
    assert_eq!(judge(&settings, r#"{"exp":"ann"}"#), Err(TokenFault::Malformed));
    assert_eq!(judge(&settings, r#"{"exp":1900000000}"#), Err(TokenFault::NoUser));
}
