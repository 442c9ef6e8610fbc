//! Keys that issuers publish: they rotate, are away, and answer whatever they like.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use tokio::{sync::watch, time::sleep};
use trunkline_gateway_tests::rig::{
    Answer, Backend, Gateway, Handshake, Issuer, Publish, Setup, SigningKey, jwks, opened, tls::Authority,
    tokens, within,
};

/// Between two looks at what nobody tells.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// A gateway whose endpoint takes the keys that this issuer publishes.
fn setup(backend: &Backend, issuer: &Issuer) -> Setup {
    Setup::new(backend.address())
        .lobby("token.algorithms", json!(["EdDSA"]))
        .lobby("token.jwks_url", issuer.url())
}

/// The same, asking often.
fn eager(backend: &Backend, issuer: &Issuer) -> Setup {
    setup(backend, issuer).lobby("token.jwks.refresh", "100ms").lobby("token.jwks.timeout", "400ms")
}

fn with_token(token: &str) -> Handshake {
    Handshake::to("/lobby/7").token(token)
}

fn said(answer: &Answer) -> (u16, String) {
    (answer.status, answer.error())
}

const UNKNOWN: &str = "token_key_unknown";

/// Asks until the answer has this status.
async fn comes_to(gateway: &Gateway, token: &str, status: u16) -> Answer {
    let asked = async {
        loop {
            let (_, answer) = with_token(token).ask(gateway.address()).await;
            if answer.status == status {
                return answer;
            }
            sleep(LOOK_AGAIN).await;
        }
    };
    within(&format!("the answer is {status}"), asked).await
}

#[tokio::test]
async fn a_client_with_a_fresh_key_is_let_in_and_one_with_a_withdrawn_key_is_not() {
    let mut backend = Backend::start().await;
    let (old, new) = (SigningKey::new("old"), SigningKey::new("new"));
    let issuer = Issuer::start(Publish::Body(jwks(&[&old]))).await;
    let gateway = Gateway::start(&setup(&backend, &issuer)).await;

    let _ann = with_token(&old.token("ann")).enter(&gateway).await;
    backend.expect(&opened("ann")).await;
    issuer.publish(Publish::Body(jwks(&[&new])));
    let _bob = with_token(&new.token("bob")).enter(&gateway).await;
    backend.expect(&opened("bob")).await;

    let answer = with_token(&old.token("cleo")).refused(&gateway).await;
    assert_eq!(said(&answer), (401, UNKNOWN.to_owned()));
    assert_eq!(issuer.asked(), 2);
}

#[tokio::test]
async fn a_storm_of_unknown_keys_costs_the_issuer_one_fetch() {
    let backend = Backend::start().await;
    let (known, unknown) = (SigningKey::new("known"), SigningKey::new("unknown"));
    let issuer = Issuer::start(Publish::Body(jwks(&[&known]))).await;
    let gateway = Gateway::start(&setup(&backend, &issuer)).await;
    let _ann = with_token(&known.token("ann")).enter(&gateway).await;

    let token = unknown.token("eve");
    let request = with_token(&token);
    for answer in join_all((0..100).map(|_| request.refused(&gateway))).await {
        assert_eq!(said(&answer), (401, UNKNOWN.to_owned()));
    }
    for _ in 0..20 {
        let other = SigningKey::new("yet another").token("eve");
        assert_eq!(said(&with_token(&other).refused(&gateway).await), (401, UNKNOWN.to_owned()));
    }
    assert_eq!(issuer.asked(), 2, "the first fetch, and one for the storm");
}

#[tokio::test]
async fn those_who_wait_for_newer_keys_are_bounded_and_keep_nobody_else_out() {
    const PLACES: usize = 256;
    const BEYOND: usize = 20;
    let mut backend = Backend::start().await;
    let (known, unknown) = (SigningKey::new("known"), SigningKey::new("unknown"));
    let issuer = Issuer::start(Publish::Body(jwks(&[&known]))).await;
    let setup =
        setup(&backend, &issuer).with("limits.handshake_timeout", "2m").lobby("token.jwks.timeout", "1m");
    let gateway = Gateway::start(&setup).await;
    let _ann = with_token(&known.token("ann")).enter(&gateway).await;
    backend.expect(&opened("ann")).await;

    issuer.hold(true);
    let request = with_token(&unknown.token("eve"));
    let answered = watch::Sender::new(0);
    let storm = (0..PLACES + BEYOND).map(|_| async {
        let answer = request.refused(&gateway).await;
        answered.send_modify(|answered| *answered += 1);
        said(&answer)
    });
    let mut told_at_once = answered.subscribe();
    let meanwhile = async {
        let beyond = told_at_once.wait_for(|answered| *answered >= BEYOND);
        within("whoever finds no place is told at once", beyond).await.expect("the storm is there");
        let _bob = with_token(&known.token("bob")).enter(&gateway).await;
        backend.expect(&opened("bob")).await;
        issuer.hold(false);
    };
    let (answers, ()) = tokio::join!(join_all(storm), meanwhile);

    let count =
        |status, error: &str| answers.iter().filter(|said| **said == (status, error.to_owned())).count();
    assert_eq!((count(401, UNKNOWN), count(503, "keys_unavailable")), (PLACES, BEYOND));
    assert_eq!(issuer.asked(), 2);
}

#[tokio::test]
async fn a_token_that_would_not_do_anyway_makes_nobody_ask() {
    let backend = Backend::start().await;
    let (known, unknown) = (SigningKey::new("known"), SigningKey::new("unknown"));
    let issuer = Issuer::start(Publish::Body(jwks(&[&known]))).await;
    let gateway = Gateway::start(&setup(&backend, &issuer)).await;
    let _ann = with_token(&known.token("ann")).enter(&gateway).await;

    let expired = unknown.sign(&json!({ "sub": "eve", "exp": tokens::now() - 1 }));
    let nobody = unknown.sign(&json!({ "exp": tokens::now() + 60 }));
    for token in [expired, nobody, "a.b.c".to_owned(), tokens::of("eve")] {
        assert_eq!(with_token(&token).refused(&gateway).await.status, 401);
    }
    assert_eq!(issuer.asked(), 1);
    with_token(&unknown.token("eve")).refused(&gateway).await;
    assert_eq!(issuer.asked(), 2, "this one was worth a question");
}

#[tokio::test]
async fn whatever_an_issuer_answers_the_last_good_keys_stay_in_use() {
    let backend = Backend::start().await;
    let (good, evil) = (SigningKey::new("good"), SigningKey::new("evil"));
    let elsewhere = Issuer::start(Publish::Body(jwks(&[&evil]))).await;
    let issuer = Issuer::start(Publish::Body(jwks(&[&good]))).await;
    let gateway = Gateway::start(&eager(&backend, &issuer)).await;
    let _ann = with_token(&good.token("ann")).enter(&gateway).await;

    let evil_set = jwks(&[&evil]);
    let raw = |status: &str, more: &str| {
        let len = evil_set.len();
        Publish::Raw(format!("HTTP/1.1 {status}\r\n{more}Content-Length: {len}\r\n\r\n{evil_set}"))
    };
    let many_headers: String = (0..100).map(|at| format!("X-{at}: x\r\n")).collect();
    let long_header = format!("X: {}\r\n", "x".repeat(40_000));
    let padding = " ".repeat(300 << 10);
    let answers = [
        Publish::Nothing,
        raw("500 Internal Server Error", ""),
        raw("404 Not Found", ""),
        raw("206 Partial Content", ""),
        raw("302 Found", &format!("Location: {}\r\n", elsewhere.url())),
        raw("200 OK", &many_headers),
        raw("200 OK", &long_header),
        Publish::Raw("not HTTP at all\r\n\r\n".to_owned()),
        Publish::Raw(format!("HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n{evil_set}")),
        Publish::Body("<html>Please log in</html>".to_owned()),
        Publish::Body("{\"keys\":{}}".to_owned()),
        Publish::Body("{\"keys\":[]}".to_owned()),
        Publish::Body(String::new()),
        Publish::Body(format!("{padding}{evil_set}")),
        Publish::Raw(format!("HTTP/1.1 200 OK\r\n\r\n{padding}{evil_set}")),
        Publish::Drip(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{evil_set}", evil_set.len())),
        Publish::Drip("HTTP/1.1 200 OK\r\nX: and so it goes on for more than a while\r\n\r\n".to_owned()),
    ];
    for answer in answers {
        issuer.publish(answer.clone());
        // The first of them may have been asked for before; the second has been answered when the third comes.
        issuer.is_asked(issuer.asked() + 3).await;
        let _ann = with_token(&good.token("ann")).enter(&gateway).await;
        let refused = with_token(&evil.token("eve")).refused(&gateway).await;
        assert_eq!(said(&refused), (401, UNKNOWN.to_owned()), "after {answer:?}");
    }
    assert_eq!(elsewhere.asked(), 0, "no redirect is followed");
    assert_eq!(gateway.ask("/readyz").await.status, 200);
    issuer.is_dropped(1).await;

    issuer.publish(Publish::Body(jwks(&[&evil])));
    comes_to(&gateway, &evil.token("ann"), 101).await;
}

#[tokio::test]
async fn a_gateway_starts_without_its_issuer_and_says_that_it_cannot_tell_yet() {
    let mut backend = Backend::start().await;
    let key = SigningKey::new("key");
    let issuer = Issuer::start(Publish::Nothing).await;
    let gateway = Gateway::start(&eager(&backend, &issuer).lobby("retry_after", "7s")).await;
    backend.linked(1).await;

    let answer = with_token(&key.token("ann")).refused(&gateway).await;
    assert_eq!(said(&answer), (503, "keys_unavailable".to_owned()));
    let wait: u64 = answer.header("retry-after").and_then(|wait| wait.parse().ok()).expect("it says when");
    assert!((7..=14).contains(&wait), "{wait} s, spread from 7 on");
    assert_eq!(with_token("a.b.c").refused(&gateway).await.status, 401, "this one is bad whatever the keys");
    let ready = gateway.ask("/readyz").await;
    assert_eq!((ready.status, &ready.json()["endpoints"]["lobby"]["keys"]), (503, &json!("missing")));
    assert_eq!(gateway.ask("/healthz").await.status, 200);

    issuer.publish(Publish::Body(jwks(&[&key])));
    comes_to(&gateway, &key.token("ann"), 101).await;
    backend.expect(&opened("ann")).await;
    assert_eq!(gateway.ask("/readyz").await.status, 200);
}

#[tokio::test]
async fn keys_that_are_too_old_are_used_no_longer() {
    let backend = Backend::start().await;
    let key = SigningKey::new("key");
    let issuer = Issuer::start(Publish::Body(jwks(&[&key]))).await;
    let gateway = Gateway::start(&eager(&backend, &issuer).lobby("token.jwks.keep", "1s")).await;
    comes_to(&gateway, &key.token("ann"), 101).await;

    issuer.publish(Publish::Nothing);
    let answer = comes_to(&gateway, &key.token("ann"), 503).await;
    assert_eq!(answer.error(), "keys_unavailable");
    issuer.publish(Publish::Body(jwks(&[&key])));
    comes_to(&gateway, &key.token("ann"), 101).await;
}

#[tokio::test]
async fn two_issuers_cannot_vouch_for_each_other() {
    let mut backend = Backend::start().await;
    let (a, b, b_named_a) = (SigningKey::new("a"), SigningKey::new("b"), SigningKey::new("a"));
    let issuer_a = Issuer::start(Publish::Body(jwks(&[&a]))).await;
    let issuer_b = Issuer::start(Publish::Body(jwks(&[&b, &b_named_a]))).await;
    let setup = Setup::new(backend.address())
        .lobby("token.algorithms", json!(["EdDSA"]))
        .lobby("token.issuers.a.issuer", "https://a")
        .lobby("token.issuers.a.jwks_url", issuer_a.url())
        .lobby("token.issuers.b.issuer", json!(["https://b", "b"]))
        .lobby("token.issuers.b.jwks_url", issuer_b.url());
    let gateway = Gateway::start(&setup).await;

    let mut clients = Vec::new();
    for (key, iss, user) in [(&a, "https://a", "ann"), (&b, "https://b", "bob"), (&b, "b", "ben")] {
        clients.push(with_token(&key.token_from(iss, user)).enter(&gateway).await);
        backend.expect(&opened(user)).await;
    }
    let refused = [
        (b.token_from("https://a", "eve"), UNKNOWN),
        (a.token_from("https://b", "eve"), "token_signature_invalid"),
        (b_named_a.token_from("https://a", "eve"), "token_signature_invalid"),
        (a.token_from("https://c", "eve"), "token_issuer_not_accepted"),
        (a.token("eve"), "token_issuer_not_accepted"),
    ];
    for (token, error) in refused {
        assert_eq!(said(&with_token(&token).refused(&gateway).await), (401, error.to_owned()));
    }
}

#[tokio::test]
async fn endpoints_that_name_the_same_url_ask_once() {
    let backend = Backend::start().await;
    let key = SigningKey::new("key");
    let issuer = Issuer::start(Publish::Body(jwks(&[&key]))).await;
    let setup = Setup::new(backend.address())
        .endpoint("news", "/news", backend.address())
        .with("defaults.token.algorithms", json!(["EdDSA"]))
        .without("defaults.token.secret")
        .with("defaults.token.jwks_url", issuer.url());
    let gateway = Gateway::start(&setup).await;

    let _lobby = with_token(&key.token("ann")).enter(&gateway).await;
    let _news = Handshake::to("/news").token(&key.token("ann")).enter(&gateway).await;
    assert_eq!(issuer.asked(), 1);
}

#[tokio::test]
async fn over_tls_only_an_issuer_counts_whose_certificate_comes_from_the_ca_and_is_for_its_host() {
    let backend = Backend::start().await;
    let key = SigningKey::new("key");
    let (authority, stranger) = (Authority::new("jwks"), Authority::new("jwks-stranger"));
    let cases = [
        ("as it should be", &authority, "127.0.0.1", 101),
        ("of another CA", &stranger, "127.0.0.1", 503),
        ("of another host", &authority, "127.0.0.2", 503),
    ];
    for (name, signer, host, status) in cases {
        let tls = signer.server(&signer.issue(host), false);
        let issuer = Issuer::start_tls(Publish::Body(jwks(&[&key])), tls).await;
        let setup = setup(&backend, &issuer).lobby("token.jwks.ca_file", authority.file());
        let gateway = Gateway::start(&setup).await;
        let (_, answer) = with_token(&key.token("ann")).ask(gateway.address()).await;
        assert_eq!(answer.status, status, "{name}: {answer:?}");
        assert_eq!(issuer.asked(), usize::from(status == 101), "{name}: nothing is asked of a stranger");
    }
}
