//! Tokens: whatever a handshake carries, only what the configured key has signed is accepted, with the claims that it
//! must have; and nothing of it is logged.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hyper::header::{AUTHORIZATION, COOKIE, HeaderMap, HeaderValue, SEC_WEBSOCKET_PROTOCOL};
use serde::de::IgnoredAny;
use serde_json::{Value, value::RawValue};
use tracing::{
    Event, Metadata, Subscriber,
    span::{Attributes, Id, Record},
};
use trunkline::token::{
    Algorithm, Claims, FetchSettings, KeySource, Source, TOKEN_BYTES_MAX, TokenFault, TokenSettings,
    Verifier, find,
};

/// When all of it takes place, in seconds since 1970.
const NOW: u64 = 1_800_000_000;

const SECRET: &[u8] = b"a secret of thirty-two bytes, yes";

/// Public keys whose private halves nobody has kept.
const EC_KEY: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEu31Gb8GFZaFYrH9JRtoRelsgi4gO
QqQEZnofrmL1xru68WHDw+JtbZa3ivZBRoRwV2Nx6bJ1A9kqpQlYZWsezg==
-----END PUBLIC KEY-----
";
const ED_KEY: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAqRz27Ssjq11Dh+gYN+Yq2H/6sOgU7X6jcuFOBTPYNrU=
-----END PUBLIC KEY-----
";

/// What a verifier demands beyond a signature.
struct Rules {
    issuer: Option<&'static str>,
    audience: Option<&'static str>,
    /// Whether the secret is among its keys.
    shared: bool,
}

/// Verifiers, each with what it must demand: one that knows only the secret, one that knows all keys, one that asks
/// for more, and one to which nobody can have signed anything.
static VERIFIERS: LazyLock<Vec<(Rules, Verifier)>> = LazyLock::new(|| {
    use Algorithm::{ES256, EdDSA, HS256};
    let rules = |issuer, audience, shared| Rules { issuer, audience, shared };
    vec![
        (rules(None, None, true), &[HS256][..]),
        (rules(None, None, true), &[HS256, ES256, EdDSA]),
        (rules(Some("us"), Some("gateway"), true), &[HS256]),
        (rules(None, None, false), &[ES256, EdDSA]),
    ]
    .into_iter()
    .map(|(rules, algorithms)| {
        let verifier = Verifier::new(&settings(&rules, algorithms));
        (rules, verifier.unwrap_or_else(|problems| panic!("{problems:?}")))
    })
    .collect()
});

fn settings(rules: &Rules, algorithms: &[Algorithm]) -> TokenSettings {
    let pem = |text: &str| KeySource::Pem { file: "key.pem".into(), text: text.into() };
    let mut keys = Vec::new();
    if algorithms.contains(&Algorithm::HS256) {
        keys.push(KeySource::Secret(SECRET.to_vec()));
    }
    if algorithms.contains(&Algorithm::ES256) {
        keys.extend([pem(EC_KEY), pem(ED_KEY)]);
    }
    TokenSettings {
        algorithms: algorithms.to_vec(),
        keys,
        issuers: rules.issuer.map(str::to_owned).into_iter().collect(),
        bound: Vec::new(),
        fetch: FetchSettings::default(),
        audiences: rules.audience.map(str::to_owned).into_iter().collect(),
        leeway: Duration::ZERO,
        user_claim: "sub".to_owned(),
        user_bytes_max: 16,
        sources: vec![Source::Header],
    }
}

/// The lines of the bytes are: a token's header and its claims; a request's query; and then in turn an `Authorization`,
/// a `Cookie` and a `Sec-WebSocket-Protocol`. In the request `$0` to `$6` stand for tokens made of the first two.
///
/// # Panics
///
/// A token is accepted that should not be, or refused that is as it should be, or something is logged.
pub fn check(bytes: &[u8]) {
    let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    let line = |at: usize| lines.get(at).copied().unwrap_or_default();
    let tokens = tokens(line(0), line(1));
    in_silence(|| {
        tokens.iter().for_each(|token| judge(token));
        judge(&String::from_utf8_lossy(line(0)));
        let query = String::from_utf8_lossy(&filled(line(2), &tokens)).into_owned();
        let mut headers = HeaderMap::new();
        let names = [AUTHORIZATION, COOKIE, SEC_WEBSOCKET_PROTOCOL];
        for (value, name) in lines.iter().skip(3).zip(names.iter().cycle()) {
            if let (false, Ok(value)) = (value.is_empty(), HeaderValue::from_bytes(&filled(value, &tokens))) {
                headers.append(name, value);
            }
        }
        ask(&headers, &query);
    });
}

/// Tokens of this header and these claims. Only the first is signed with the secret.
fn tokens(header: &[u8], claims: &[u8]) -> [String; 7] {
    let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let signed = format!("{}.{}", part(header), part(claims));
    let good = signature(SECRET, &signed);
    let (most, last) = good.split_at(good.len() - 1);
    [
        format!("{signed}.{good}"),
        format!("{signed}."),
        format!("{signed}.{}", signature(EC_KEY.as_bytes(), &signed)),
        format!("{signed}.{}", signature(b"another secret of thirty-two byte", &signed)),
        format!("{signed}.{most}{}", if last == "A" { "E" } else { "A" }),
        format!("{signed}.{good}="),
        format!("{}.{}.{good}", part(header), part(&[claims, b" "].concat())),
    ]
}

fn signature(secret: &[u8], signed: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes()))
}

/// The text with tokens in the places of `$0` to `$6`.
fn filled(text: &[u8], tokens: &[String; 7]) -> Vec<u8> {
    let mut filled = Vec::new();
    let mut pieces = text.split(|byte| *byte == b'$');
    filled.extend_from_slice(pieces.next().unwrap_or_default());
    for piece in pieces {
        match piece.split_first() {
            Some((digit @ b'0'..=b'6', rest)) => {
                filled.extend_from_slice(tokens[usize::from(digit - b'0')].as_bytes());
                filled.extend_from_slice(rest);
            }
            _ => filled.extend_from_slice(piece),
        }
    }
    filled
}

/// Looks for the token of a request in each source alone, then in all in turn, of which the first counts.
fn ask(headers: &HeaderMap, query: &str) {
    let name = || "token".to_owned();
    let sources =
        [Source::Query(name()), Source::Header, Source::Subprotocol(name()), Source::Cookie(name())];
    let mut first = None;
    for source in &sources {
        let Some(found) = find(std::slice::from_ref(source), headers, Some(query)) else { continue };
        assert_eq!(found.subprotocol.is_some(), matches!(source, Source::Subprotocol(_)));
        judge(&found.token);
        first = first.or_else(|| Some((*found.token).to_owned()));
    }
    let found = find(&sources, headers, Some(query)).map(|found| (*found.token).to_owned());
    assert!(found == first, "not the first of the sources that are present");
}

/// Whether two readings agree. Beyond 2^53 seconds, which is for ever, they may round a fraction differently.
fn is_same(one: &Claims, other: &Claims) -> bool {
    let expires = |claims: &Claims| claims.expires.map(|at| at.min(1 << 53));
    one.user == other.user && expires(one) == expires(other)
}

/// Verifies a token, and its claims, with every verifier.
fn judge(token: &str) {
    for (rules, verifier) in &*VERIFIERS {
        let claims = claims_of(token).filter(|_| rules.shared);
        let proven = claims.as_ref().and_then(|claims| proven(claims, rules));
        match verifier.verify(token, NOW) {
            Ok(accepted) => {
                // A number that is out of serde_json's range, or a lone surrogate, keeps it from reading what the
                // verifier may pass over.
                let unreadable = claims.is_some_and(|claims| claims.is_null());
                let is_proven = proven.as_ref().is_some_and(|proven| is_same(proven, &accepted));
                assert!(is_proven || unreadable, "{proven:?} is what it proves: {token}");
            }
            Err(fault) => {
                assert_ne!(fault, TokenFault::Missing);
                assert!(
                    proven.is_none() || !is_plain(token),
                    "{fault:?}, and yet it proves {proven:?}: {token}"
                );
            }
        }
    }
}

/// The claims of a token that is signed with the secret, and says so; null where serde_json cannot read them.
fn claims_of(token: &str) -> Option<Value> {
    let (signed, signed_with) = token.rsplit_once('.')?;
    let (header, claims) = signed.split_once('.')?;
    let header = text_of(header)?;
    let header: BTreeMap<String, &RawValue> = serde_json::from_str(&header).ok()?;
    let is_hs256 = serde_json::from_str(header.get("alg")?.get()).is_ok_and(|name: String| name == "HS256");
    let demands = header.get("crit").is_some_and(|crit| crit.get() != "null");
    if !is_hs256 || demands || signed_with != signature(SECRET, signed) {
        return None;
    }
    let claims = text_of(claims)?;
    serde_json::from_str::<IgnoredAny>(&claims).ok()?;
    Some(serde_json::from_str(&claims).unwrap_or_default())
}

fn text_of(part: &str) -> Option<String> {
    String::from_utf8(URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

/// What the claims prove, read without any care for what is there twice.
fn proven(claims: &Value, rules: &Rules) -> Option<Claims> {
    let is = |name: &str, wanted: &str| match &claims[name] {
        Value::Array(several) => name == "aud" && several.iter().any(|one| one == wanted),
        one => one == wanted,
    };
    let date = |name: &str| claims.get(name).map(|date| date.as_f64());
    let user = claims["sub"].as_str().filter(|user| (1..=16).contains(&user.len()))?;
    let accepted = rules.issuer.is_none_or(|issuer| is("iss", issuer))
        && rules.audience.is_none_or(|audience| is("aud", audience))
        && date("exp").is_none_or(|exp| exp.is_some_and(|exp| exp > NOW as f64))
        && date("nbf").is_none_or(|nbf| nbf.is_some_and(|nbf| nbf <= NOW as f64));
    // It ends with the first whole second that is not before `exp`.
    let expires = date("exp").flatten().map(|exp| claims["exp"].as_u64().unwrap_or(exp.ceil() as u64));
    accepted.then(|| Claims { user: user.to_owned(), expires })
}

/// Whether it is a token as issuers make them: of usual size, with nothing twice, nothing unusual in its header.
fn is_plain(token: &str) -> bool {
    let parts: Vec<_> = token.split('.').collect();
    let parse = |part: &str| serde_json::from_str::<Value>(&text_of(part)?).ok();
    let canonical =
        |part: &str| parse(part).is_some_and(|json| URL_SAFE_NO_PAD.encode(json.to_string()) == part);
    let header = parts.first().and_then(|header| parse(header)).unwrap_or_default();
    let usual =
        header.as_object().is_some_and(|header| header.keys().all(|name| name == "alg" || name == "typ"));
    token.len() <= TOKEN_BYTES_MAX && usual && parts.iter().take(2).all(|part| canonical(part))
}

/// Demands that nothing is logged meanwhile.
fn in_silence(work: impl FnOnce()) {
    let said = Arc::new(AtomicUsize::new(0));
    tracing::subscriber::with_default(Listener(Arc::clone(&said)), work);
    assert_eq!(said.load(Ordering::Relaxed), 0, "something was logged");
}

/// Counts what is logged, at any level.
struct Listener(Arc<AtomicUsize>);

impl Subscriber for Listener {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        self.0.fetch_add(1, Ordering::Relaxed);
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
