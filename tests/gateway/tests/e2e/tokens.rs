//! Tokens over real sockets: which are refused, and where they may be carried (language.md, "Handshake").

use serde_json::json;
use trunkline::token::{Algorithm, NewToken};
use trunkline_gateway_tests::rig::{Backend, Client, Gateway, Handshake, Setup, closed, opened, tokens};

/// A token that is refused, and how that is called.
type Wrong = (&'static str, String);

fn wrong_tokens() -> Vec<Wrong> {
    let mut other_claims = tokens::claims("ann");
    other_claims.issuer = Some("the issuer".to_owned());
    other_claims.audiences = vec!["lobbies".to_owned()];
    let right = &other_claims;
    let signed = |change: &dyn Fn(&mut NewToken)| {
        let mut claims = right.clone();
        change(&mut claims);
        tokens::signed(&claims)
    };
    let hour = 3_600;
    vec![
        ("token_malformed", "no-jwt".to_owned()),
        ("token_malformed", "a.b".to_owned()),
        ("token_malformed", "a.b.c".to_owned()),
        ("token_malformed", format!("{}.x", tokens::signed(right))),
        ("token_signature_invalid", tokens::signed_with("another secret", Algorithm::HS256, right)),
        ("token_signature_invalid", tokens::forged("HS256", "ann", "c2ln")),
        ("token_algorithm_not_allowed", tokens::signed_with(tokens::SECRET, Algorithm::HS512, right)),
        ("token_algorithm_not_allowed", tokens::forged("RS256", "ann", "c2ln")),
        ("token_expired", signed(&|claims| claims.expires = Some(tokens::now() - hour))),
        (
            "token_not_yet_valid",
            signed(&|claims| drop(claims.extra.insert("nbf".to_owned(), json!(tokens::now() + hour)))),
        ),
        ("token_issuer_not_accepted", signed(&|claims| claims.issuer = None)),
        ("token_issuer_not_accepted", signed(&|claims| claims.issuer = Some("somebody".to_owned()))),
        ("token_audience_not_accepted", signed(&|claims| claims.audiences.clear())),
        ("token_audience_not_accepted", signed(&|claims| claims.audiences = vec!["elsewhere".to_owned()])),
        ("token_user_missing", signed(&|claims| claims.user_claim = "name".to_owned())),
        ("token_user_missing", signed(&|claims| claims.user = "a".repeat(257))),
    ]
}

#[tokio::test]
async fn a_token_that_is_wrong_in_any_way_is_refused_and_the_backend_hears_nothing() {
    let mut backend = Backend::start().await;
    let setup = Setup::new(backend.address())
        .lobby("token.issuer", "the issuer")
        .lobby("token.audience", json!(["lobbies", "halls"]));
    let gateway = Gateway::start(&setup).await;
    backend.linked(1).await;

    for (error, token) in wrong_tokens() {
        let answer = Handshake::to("/lobby/7").token(&token).refused(&gateway).await;
        assert_eq!((answer.status, answer.error().as_str()), (401, error), "{token}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer error=\"invalid_token\""));
        let shown = token
            .split('.')
            .any(|part| part.len() > 4 && format!("{}{}", answer.head, answer.body).contains(part));
        assert!(!shown, "{answer:?} shows {token}");
    }
    let none = Handshake::to("/lobby/7").refused(&gateway).await;
    assert_eq!((none.status, none.error().as_str()), (401, "token_missing"));
    assert_eq!(none.header("www-authenticate"), Some("Bearer"));

    let mut claims = tokens::claims("ann");
    claims.issuer = Some("the issuer".to_owned());
    claims.audiences = vec!["halls".to_owned(), "more".to_owned()];
    let _ann = Handshake::to("/lobby/7").token(&tokens::signed(&claims)).enter(&gateway).await;
    backend.expect(&opened("ann")).await;
}

#[tokio::test]
async fn the_algorithm_none_is_never_accepted() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&Setup::new(backend.address())).await;

    for (name, signature) in [("none", ""), ("None", ""), ("NONE", "c2ln"), ("none", "c2ln")] {
        let token = tokens::forged(name, "ann", signature);
        let answer = Handshake::to("/lobby/7").token(&token).refused(&gateway).await;
        assert_eq!(answer.status, 401, "{answer:?}");
        assert!(answer.error().starts_with("token_"), "{answer:?}");
    }
}

#[tokio::test]
async fn a_token_without_user_claim_is_refused_and_any_other_string_is_a_user() {
    let mut backend = Backend::start().await;
    let gateway = Gateway::start(&Setup::new(backend.address()).lobby("token.user_claim", "name")).await;

    let answer = Handshake::of("ann").refused(&gateway).await;
    assert_eq!((answer.status, answer.error().as_str()), (401, "token_user_missing"));

    for user in ["__proto__", "constructor", " ", "ann\u{0}", "Ann 🦊", "\"quoted\\\""] {
        let claims = NewToken { user_claim: "name".to_owned(), ..tokens::claims(user) };
        let client = Handshake::to("/lobby/7").token(&tokens::signed(&claims)).enter(&gateway).await;
        backend.expect(&opened(user)).await;
        client.leave().await;
        backend.expect(&closed(user)).await;
    }
}

/// A gateway whose endpoint takes tokens from everywhere, in this order.
async fn takes_all(backend: &Backend) -> Gateway {
    let sources = json!(["header", "query:token", "cookie:session", "subprotocol:bearer"]);
    Gateway::start(&Setup::new(backend.address()).lobby("token.sources", sources)).await
}

#[tokio::test]
async fn a_token_may_come_in_the_header_with_its_scheme_in_any_case_or_bare() {
    let mut backend = Backend::start().await;
    let gateway = Gateway::start(&Setup::new(backend.address())).await;

    for (index, scheme) in ["Bearer ", "bearer ", "BEARER   ", ""].into_iter().enumerate() {
        let user = format!("user-{index}");
        let value = format!("{scheme}{}", tokens::of(&user));
        let client = Handshake::to("/lobby/7").with("Authorization", &value).enter(&gateway).await;
        backend.expect(&opened(&user)).await;
        client.leave().await;
        backend.expect(&closed(&user)).await;
    }
    for value in ["Basic YTpi".to_owned(), "Bearer".to_owned(), format!("Token {}", tokens::of("ann"))] {
        let answer = Handshake::to("/lobby/7").with("Authorization", &value).refused(&gateway).await;
        assert_eq!((answer.status, answer.error().as_str()), (401, "token_malformed"));
    }
}

#[tokio::test]
async fn a_token_may_come_in_the_query_a_cookie_or_a_subprotocol_where_that_is_configured() {
    let mut backend = Backend::start().await;
    let gateway = takes_all(&backend).await;
    let (q, c, s) = (tokens::of("in-query"), tokens::of("in-cookie"), tokens::of("in-subprotocol"));

    let _in_query = Handshake::to(&format!("/lobby/7?a=b&token={q}&c")).enter(&gateway).await;
    backend.expect(&opened("in-query")).await;

    let cookies = format!("other=1; session={c}; more=2");
    let _in_cookie = Handshake::to("/lobby/7").with("Cookie", &cookies).enter(&gateway).await;
    backend.expect(&opened("in-cookie")).await;

    let offered = Handshake::to("/lobby/7").with("Sec-WebSocket-Protocol", &format!("chat, bearer, {s}"));
    let (_in_subprotocol, answer) = offered.ask(gateway.address()).await;
    assert_eq!(answer.status, 101);
    assert_eq!(answer.header("sec-websocket-protocol"), Some("bearer"));
    assert!(!answer.head.contains(&s), "the token is not echoed");
    backend.expect(&opened("in-subprotocol")).await;
}

#[tokio::test]
async fn where_only_the_header_is_configured_nothing_else_counts() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&Setup::new(backend.address())).await;
    let token = tokens::of("ann");

    let elsewhere = [
        Handshake::to(&format!("/lobby/7?token={token}")),
        Handshake::to("/lobby/7").with("Cookie", &format!("token={token}")),
        Handshake::to("/lobby/7").with("Sec-WebSocket-Protocol", &format!("token, {token}")),
    ];
    for request in elsewhere {
        let answer = request.refused(&gateway).await;
        assert_eq!((answer.status, answer.error().as_str()), (401, "token_missing"));
    }
}

#[tokio::test]
async fn the_first_source_that_is_present_counts_even_when_it_is_wrong_and_a_later_one_right() {
    let mut backend = Backend::start().await;
    let gateway = takes_all(&backend).await;
    let token = tokens::of("ann");
    let cookie = format!("session={token}");

    let wrong_first = [
        Handshake::to(&format!("/lobby/7?token={token}")).with("Authorization", "Bearer wrong"),
        Handshake::to("/lobby/7?token=wrong").with("Cookie", &cookie),
        Handshake::to("/lobby/7?token").with("Cookie", &cookie),
        Handshake::to("/lobby/7?token=%").with("Cookie", &cookie),
        Handshake::to("/lobby/7?token=%"),
        Handshake::to("/lobby/7?token=%ff"),
        Handshake::to("/lobby/7")
            .with("Cookie", "session=")
            .with("Sec-WebSocket-Protocol", &format!("bearer, {token}")),
        Handshake::to("/lobby/7").with("Sec-WebSocket-Protocol", "bearer"),
    ];
    for request in wrong_first {
        let answer = request.refused(&gateway).await;
        assert_eq!((answer.status, answer.error().as_str()), (401, "token_malformed"), "{request:?}");
        assert!(!answer.body.contains(&token));
    }
    let right_first = Handshake::to("/lobby/7?token=wrong").token(&token);
    let _ann = right_first.enter(&gateway).await;
    backend.expect(&opened("ann")).await;
}

#[tokio::test]
async fn the_same_user_may_be_on_two_endpoints_at_once() {
    let mut lobby = Backend::echo().await;
    let mut news = Backend::echo().await;
    let setup = Setup::new(lobby.address()).endpoint("news", "/news", news.address());
    let gateway = Gateway::start(&setup).await;

    let mut in_lobby = Client::enter(&gateway, "ann").await;
    let mut in_news = Handshake::to("/news").token(&tokens::of("ann")).enter(&gateway).await;

    lobby.expect(&opened("ann")).await;
    news.expect(r#"{"event":"open","user":{"username":"ann"},"params":{}}"#).await;
    in_lobby.say("to the lobby").await;
    in_news.say("to the news").await;
    assert_eq!(in_lobby.hear().await, "to the lobby");
    assert_eq!(in_news.hear().await, "to the news");
}
