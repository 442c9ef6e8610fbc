//! The keys of `[token]`: which tokens are accepted, and the keys that they are verified with.

use std::{fmt, path::PathBuf};

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use serde_json::Value;

use super::{
    Section, files,
    gateway::MINUTE,
    kinds::{Parsed, Text, list, one_or_list, quote, size, span},
    reader::Place,
};
use crate::token::{KeySource, Source, TokenSettings};

/// The most bytes of a file that holds a secret or keys.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The keys that give keys: an endpoint that has one of them inherits none, so that whose tokens it accepts can be
/// read in one place.
const KEYS: [&str; 5] = ["secret", "secret_base64", "secret_file", "public_key_file", "jwks_file"];

const ALGORITHM: Parsed<Algorithm> = Parsed {
    range: "`\"HS256\"`, `\"HS384\"`, `\"HS512\"`, `\"RS256\"`, `\"RS384\"`, `\"RS512\"`, `\"PS256\"`, `\"PS384\"`, `\"PS512\"`, `\"ES256\"`, `\"ES384\"`, `\"EdDSA\"`",
    parse: algorithm,
    show: |algorithm| format!("{algorithm:?}"),
};

const SOURCE: Parsed<Source> = Parsed {
    range: "`\"header\"`, `\"query:NAME\"`, `\"cookie:NAME\"`, `\"subprotocol:NAME\"`",
    parse: source,
    show: |source| match source {
        Source::Header => "header".to_owned(),
        Source::Query(name) => format!("query:{name}"),
        Source::Cookie(name) => format!("cookie:{name}"),
        Source::Subprotocol(name) => format!("subprotocol:{name}"),
    },
};

/// A key with where it comes from and what it fits.
struct Given {
    place: Place,
    /// What a problem calls it: the file in quotes; nothing for a secret.
    shown: String,
    source: KeySource,
    fits: Fits,
}

/// Which algorithms a key may be used with.
enum Fits {
    Family(AlgorithmFamily),
    /// An elliptic curve whose points have this many bytes.
    Curve(usize),
    /// Those of a set of JWKs, each by `kty`, `crv` and `alg`.
    Jwks(Vec<Value>),
}

/// Reads `[token]`; `None` if something in it is missing or wrong.
pub(super) fn read(s: &Section<'_>) -> Option<TokenSettings> {
    let algorithms = s.required("algorithms", list(ALGORITHM), "[\"HS256\"]");
    let given = s.group(&KEYS, "secret", keys);
    let issuers = s.optional("issuer", one_or_list(Text { bytes_max: 1024 }));
    let audiences = s.optional("audience", one_or_list(Text { bytes_max: 1024 }));
    let leeway = s.get("leeway", span(std::time::Duration::ZERO, MINUTE * 10), Default::default());
    let user_claim = s.get("user_claim", Text { bytes_max: 128 }, "sub".to_owned());
    let user_bytes_max = s.get("user_bytes_max", size(1, 4096), 256);
    let sources = s.get("sources", list(SOURCE), vec![Source::Header]);
    check_there(s, &given);
    let algorithms = algorithms?;
    check_fit(s, &algorithms, &given);
    warn(s, &algorithms, &given);
    Some(TokenSettings {
        algorithms,
        keys: given.into_iter().map(|given| given.source).collect(),
        issuers: issuers.unwrap_or_default(),
        audiences: audiences.unwrap_or_default(),
        leeway,
        user_claim,
        user_bytes_max,
        sources,
    })
}

/// All keys, from wherever they are given.
fn keys(s: &Section<'_>) -> Vec<Given> {
    let mut given = Vec::new();
    if let Some((place, text)) = s.secret("secret", "string", true) {
        given.push(secret(place, String::new(), text.into_bytes()));
    }
    if let Some((place, text)) = s.secret("secret_base64", "string", false) {
        let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
        match GeneralPurpose::new(&alphabet::STANDARD, config).decode(text) {
            Ok(bytes) if !bytes.is_empty() => given.push(secret(place, String::new(), bytes)),
            // Not the decoder's own words: they hold a character of the secret.
            _ => {
                s.unsound(&place, "secret_base64", "is not base64 (the standard alphabet, as of RFC 4648, 4)")
            }
        }
    }
    for (place, file, bytes) in read_files(s, "secret_file") {
        let end = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        let end = end.strip_suffix(b"\r").unwrap_or(end);
        match end {
            [] => s.unsound(
                &place,
                "secret_file",
                format!("{} is empty; anyone could sign with it", show(&file)),
            ),
            bytes => given.push(secret(place, show(&file), bytes.to_vec())),
        }
    }
    for (place, file, text) in read_files(s, "public_key_file") {
        match pem_fits(&text) {
            Err(problem) => s.unsound(&place, "public_key_file", format!("{} {problem}", show(&file))),
            Ok(fits) => {
                given.push(Given { place, shown: show(&file), source: KeySource::Pem { file, text }, fits })
            }
        }
    }
    for (place, file, text) in read_files(s, "jwks_file") {
        match jwks_fits(&text) {
            Err(problem) => s.unsound(&place, "jwks_file", format!("{} {problem}", show(&file))),
            Ok(fits) => {
                given.push(Given { place, shown: show(&file), source: KeySource::Jwks { file, text }, fits })
            }
        }
    }
    given
}

fn secret(place: Place, shown: String, bytes: Vec<u8>) -> Given {
    Given { place, shown, source: KeySource::Secret(bytes), fits: Fits::Family(AlgorithmFamily::Hmac) }
}

/// Reads the files that a key names, each with where the key stands.
fn read_files(s: &Section<'_>, key: &'static str) -> Vec<(Place, PathBuf, Vec<u8>)> {
    let names = s.optional(key, one_or_list(Text { bytes_max: 4096 })).unwrap_or_default();
    let Some(place) = s.place(key) else {
        return Vec::new();
    };
    let mut read = Vec::new();
    for name in names {
        let file = s.reader.dir.join(name);
        match files::read(&file, FILE_BYTES_MAX) {
            Ok(bytes) => read.push((place.clone(), file, bytes)),
            Err(fault) => s.unsound(&place, key, format!("{} {fault}", show(&file))),
        }
    }
    read
}

fn show(file: &std::path::Path) -> String {
    quote(&file.to_string_lossy())
}

/// Without a key, nobody could come in.
fn check_there(s: &Section<'_>, given: &[Given]) {
    if given.is_empty() && !s.partial && !KEYS.iter().any(|key| s.is_unsound(key)) {
        let text = format!("has no key; write one of {}, or set {}", KEYS.join(", "), s.variable("secret"));
        s.reader.problem(&s.here(), text);
    }
}

/// Each algorithm needs a key, and each key an algorithm: what fits nothing is a mistake that would be found by
/// those who are turned away.
fn check_fit(s: &Section<'_>, algorithms: &[Algorithm], given: &[Given]) {
    if s.partial {
        return;
    }
    for given in given {
        if !algorithms.iter().any(|algorithm| given.fits.fits(*algorithm)) {
            let what = if given.shown.is_empty() { String::new() } else { format!("{} ", given.shown) };
            let names: Vec<_> = algorithms.iter().map(|algorithm| format!("{algorithm:?}")).collect();
            let text = format!(
                "{what}fits none of the algorithms ({}); take out one or the other",
                names.join(", ")
            );
            s.reader.problem(&given.place, text);
        }
    }
    // A key that is wrong in itself might have been the one that fits.
    if given.is_empty() || KEYS.iter().any(|key| s.is_unsound(key)) {
        return;
    }
    for algorithm in algorithms.iter().filter(|one| !given.iter().any(|given| given.fits.fits(**one))) {
        let place = s.place("algorithms").unwrap_or_else(|| s.here());
        let keys = match algorithm {
            Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => "secret_file",
            _ => "public_key_file or jwks_file",
        };
        let text = format!("\"{algorithm:?}\" has no key that fits; add {keys}, or take it out of the list");
        s.reader.problem(&place, text);
    }
}

fn warn(s: &Section<'_>, algorithms: &[Algorithm], given: &[Given]) {
    let hash = algorithms.iter().filter_map(|algorithm| match algorithm {
        Algorithm::HS256 => Some((32, "HS256")),
        Algorithm::HS384 => Some((48, "HS384")),
        Algorithm::HS512 => Some((64, "HS512")),
        _ => None,
    });
    let longest = hash.max();
    for given in given.iter().filter(|_| !s.partial) {
        if let (KeySource::Secret(bytes), Some((least, name))) = (&given.source, longest)
            && bytes.len() < least
        {
            let what = if given.shown.is_empty() { String::new() } else { format!("{} ", given.shown) };
            let len = bytes.len();
            let text = format!("{what}has {len} bytes; take at least {least} for {name} (RFC 7518, 3.2)");
            s.reader.warn(&given.place, &text);
        }
    }
}

fn algorithm(text: &str) -> Result<Algorithm, String> {
    let shown = quote(text);
    if text.eq_ignore_ascii_case("none") {
        return Err(format!(
            "{shown} would accept tokens that nobody signed; write what your issuer signs with"
        ));
    }
    text.parse().map_err(|_| {
        let known = ALGORITHM.range.replace('`', "");
        format!("{shown} is not an algorithm that is known; write one of {known}")
    })
}

fn source(text: &str) -> Result<Source, String> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let name = |name: &str| (1..=64).contains(&name.len()) && name.bytes().all(token);
    match text.split_once(':') {
        None if text == "header" => Ok(Source::Header),
        Some(("query", of)) if name(of) && !of.contains(['&', '#', '+', '%']) => {
            Ok(Source::Query(of.to_owned()))
        }
        Some(("cookie", of)) if name(of) => Ok(Source::Cookie(of.to_owned())),
        Some(("subprotocol", of)) if name(of) => Ok(Source::Subprotocol(of.to_owned())),
        Some(("query" | "cookie" | "subprotocol", _)) => {
            Err(format!("{} has a bad name; take 1 to 64 letters, digits, - and _", quote(text)))
        }
        _ => Err(format!("{} is not a source; write one of {}", quote(text), SOURCE.range.replace('`', ""))),
    }
}

impl Fits {
    fn fits(&self, algorithm: Algorithm) -> bool {
        match self {
            Fits::Family(family) => family.algorithms().contains(&algorithm),
            Fits::Curve(bytes) => match algorithm {
                Algorithm::ES256 => *bytes == 65,
                Algorithm::ES384 => *bytes == 97,
                _ => false,
            },
            Fits::Jwks(keys) => keys.iter().any(|key| jwk_fits(key, algorithm)),
        }
    }
}

fn pem_fits(text: &[u8]) -> Result<Fits, &'static str> {
    const PRIVATE: &[u8] = b"PRIVATE KEY-----";
    if text.windows(PRIVATE.len()).any(|window| window == PRIVATE) {
        return Err("holds a private key, which belongs to the issuer alone; write the public one");
    }
    if let Ok(key) = DecodingKey::from_ec_pem(text) {
        let point = key.try_get_as_bytes().map_or(0, |point| point.len());
        return if point == 65 || point == 97 {
            Ok(Fits::Curve(point))
        } else {
            Err("holds a key on a curve that no algorithm here uses; take P-256 or P-384")
        };
    }
    let other = DecodingKey::from_rsa_pem(text).or_else(|_| DecodingKey::from_ed_pem(text));
    match other {
        Ok(key) => Ok(Fits::Family(key.family())),
        Err(_) => Err("holds no public key or certificate in PEM (RSA, P-256, P-384 or Ed25519)"),
    }
}

fn jwks_fits(text: &[u8]) -> Result<Fits, &'static str> {
    let wrong = "is neither a JWK nor a set of them (RFC 7517)";
    let mut json: Value = serde_json::from_slice(text).map_err(|_| wrong)?;
    match json.get_mut("keys").map(Value::take) {
        Some(Value::Array(keys)) if keys.is_empty() => Err("holds no key; add one"),
        Some(Value::Array(keys)) => Ok(Fits::Jwks(keys)),
        None if json.get("kty").is_some() => Ok(Fits::Jwks(vec![json])),
        _ => Err(wrong),
    }
}

fn jwk_fits(key: &Value, algorithm: Algorithm) -> bool {
    let field = |name: &str| key.get(name).and_then(Value::as_str);
    let family = match field("kty") {
        Some("oct") => AlgorithmFamily::Hmac,
        Some("RSA") => AlgorithmFamily::Rsa,
        Some("EC") => AlgorithmFamily::Ec,
        Some("OKP") => AlgorithmFamily::Ed,
        _ => return false,
    };
    let curve = match algorithm {
        Algorithm::ES256 => field("crv") == Some("P-256"),
        Algorithm::ES384 => field("crv") == Some("P-384"),
        Algorithm::EdDSA => field("crv") == Some("Ed25519"),
        _ => true,
    };
    let named = field("alg").is_none_or(|name| name.parse() == Ok(algorithm));
    let signs = field("use").is_none_or(|of| of == "sig");
    family.algorithms().contains(&algorithm) && curve && named && signs
}

/// Shows settings without what is secret in them.
pub(super) struct Shown<'a>(pub(super) &'a TokenSettings);

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = |key: &KeySource| match key {
            KeySource::Secret(_) => "secret".to_owned(),
            KeySource::Pem { file, .. } | KeySource::Jwks { file, .. } => file.display().to_string(),
        };
        let TokenSettings {
            algorithms,
            keys,
            issuers,
            audiences,
            leeway,
            user_claim,
            user_bytes_max,
            sources,
        } = self.0;
        f.debug_struct("TokenSettings")
            .field("algorithms", algorithms)
            .field("keys", &keys.iter().map(key).collect::<Vec<_>>())
            .field("issuers", issuers)
            .field("audiences", audiences)
            .field("leeway", leeway)
            .field("user_claim", user_claim)
            .field("user_bytes_max", user_bytes_max)
            .field("sources", sources)
            .finish()
    }
}
