//! The keys of `[token]`: which tokens are accepted, and the keys that they are verified with.

use std::{fmt, path::PathBuf, sync::Arc};

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

use super::{
    Section, files,
    kinds::units::MINUTE,
    kinds::{Parsed, Text, list, one_or_list, quote, size, span},
    reader::Place,
};
use crate::token::{Algorithm, KeyFault, KeyOrigin, KeyProblem, KeySource, Source, TokenSettings, Verifier};

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

/// Where a key was given.
struct Given {
    place: Place,
    key: &'static str,
    /// The file, in quotes; nothing where the value itself is the key.
    shown: String,
}

/// Reads `[token]`, and makes what verifies by it; `None` if something in it is missing or wrong.
pub(super) fn read(s: &Section<'_>) -> Option<(TokenSettings, Arc<Verifier>)> {
    let algorithms = s.required("algorithms", list(ALGORITHM), "[\"HS256\"]");
    let (given, keys): (Vec<_>, Vec<_>) = s.group(&KEYS, "secret", keys).into_iter().unzip();
    let settings = TokenSettings {
        algorithms: algorithms.unwrap_or_default(),
        keys,
        issuers: s.optional("issuer", one_or_list(Text { bytes_max: 1024 })).unwrap_or_default(),
        audiences: s.optional("audience", one_or_list(Text { bytes_max: 1024 })).unwrap_or_default(),
        leeway: s.get("leeway", span(std::time::Duration::ZERO, MINUTE * 10), Default::default()),
        user_claim: s.get("user_claim", Text { bytes_max: 128 }, "sub".to_owned()),
        user_bytes_max: s.get("user_bytes_max", size(1, 4096), 256),
        sources: s.get("sources", list(SOURCE), vec![Source::Header]),
    };
    check_there(s, &given);
    match Verifier::new(&settings) {
        Ok(verifier) => {
            warn(s, &settings, &given);
            Some((settings, Arc::new(verifier)))
        }
        Err(problems) => {
            problems.iter().for_each(|problem| put_down(s, &settings, &given, problem));
            None
        }
    }
}

/// All keys, from wherever they are given.
fn keys(s: &Section<'_>) -> Vec<(Given, KeySource)> {
    let mut keys = Vec::new();
    if let Some((place, text)) = s.secret("secret", "string", true) {
        let given = Given { place, key: "secret", shown: String::new() };
        keys.push((given, KeySource::Secret(text.into_bytes())));
    }
    if let Some((place, text)) = s.secret("secret_base64", "string", false) {
        let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
        let given = Given { place, key: "secret_base64", shown: String::new() };
        match GeneralPurpose::new(&alphabet::STANDARD, config).decode(text) {
            Ok(bytes) => keys.push((given, KeySource::Secret(bytes))),
            // Not the decoder's own words: they hold a character of the secret.
            Err(_) => {
                let text = "is not base64 (the standard alphabet, as of RFC 4648, 4)";
                s.unsound(&given.place, given.key, text);
            }
        }
    }
    let secret = |_, bytes: Vec<u8>| {
        let end = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        KeySource::Secret(end.strip_suffix(b"\r").unwrap_or(end).to_vec())
    };
    keys.extend(read_files(s, "secret_file", secret));
    keys.extend(read_files(s, "public_key_file", |file, text| KeySource::Pem { file, text }));
    keys.extend(read_files(s, "jwks_file", |file, text| KeySource::Jwks { file, text }));
    keys
}

/// Reads the files that a key names.
fn read_files(
    s: &Section<'_>,
    key: &'static str,
    source: impl Fn(PathBuf, Vec<u8>) -> KeySource,
) -> Vec<(Given, KeySource)> {
    let names = s.optional(key, one_or_list(Text { bytes_max: 4096 })).unwrap_or_default();
    let Some(place) = s.place(key) else {
        return Vec::new();
    };
    let mut read = Vec::new();
    for name in names {
        let file = s.reader.dir.join(name);
        let shown = quote(&file.to_string_lossy());
        match files::read(&file, FILE_BYTES_MAX) {
            Ok(bytes) => read.push((Given { place: place.clone(), key, shown }, source(file, bytes))),
            Err(fault) => s.unsound(&place, key, format!("{shown} {fault}")),
        }
    }
    read
}

/// Without a key, nobody could come in.
fn check_there(s: &Section<'_>, given: &[Given]) {
    if given.is_empty() && !s.partial && !KEYS.iter().any(|key| s.is_unsound(key)) {
        let text = format!("has no key; write one of {}, or set {}", KEYS.join(", "), s.variable("secret"));
        s.reader.problem(&s.here(), text);
    }
}

/// Puts down what the verifier finds wrong. It names keys before algorithms that lack one.
fn put_down(s: &Section<'_>, settings: &TokenSettings, given: &[Given], problem: &KeyProblem) {
    let KeyProblem { origin, fault } = problem;
    // In `[defaults]`, and beside algorithms that are wrong, nothing needs to fit yet.
    if fault.is_of_fit() && (s.partial || settings.algorithms.is_empty()) {
        return;
    }
    let algorithms = s.place("algorithms").unwrap_or_else(|| s.here());
    let Some(of) = origin.source().and_then(|source| given.get(source)) else {
        // A key that is wrong in itself might have been the one that fits; that there is none has been said.
        if !given.is_empty() && !KEYS.iter().any(|key| s.is_unsound(key)) {
            s.reader.problem(&algorithms, fault.to_string());
        }
        return;
    };
    let text = match (origin, of.shown.as_str()) {
        (KeyOrigin::Secret { .. }, "") => fault.to_string(),
        (KeyOrigin::Secret { .. }, file) => format!("{file}: {fault}"),
        _ => problem.to_string(),
    };
    match fault {
        // The key may be right for all others who inherit it.
        KeyFault::FitsNone { .. } if of.place.inherited && !algorithms.inherited => {
            s.reader.problem(&algorithms, format!("{}: {text}", of.place.name));
        }
        KeyFault::FitsNone { .. } => s.reader.problem(&of.place, text),
        _ => s.unsound(&of.place, of.key, text),
    }
}

fn warn(s: &Section<'_>, settings: &TokenSettings, given: &[Given]) {
    let hash = settings.algorithms.iter().filter_map(|algorithm| match algorithm {
        Algorithm::HS256 => Some((32, "HS256")),
        Algorithm::HS384 => Some((48, "HS384")),
        Algorithm::HS512 => Some((64, "HS512")),
        _ => None,
    });
    let Some((least, name)) = hash.max() else { return };
    for (given, key) in given.iter().zip(&settings.keys) {
        if let KeySource::Secret(bytes) = key
            && bytes.len() < least
            && !s.partial
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

/// Whether it is a token in the sense of HTTP (RFC 9110, section 5.6.2), and not long.
pub(super) fn is_name(name: &str) -> bool {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    (1..=64).contains(&name.len()) && name.bytes().all(token)
}

fn source(text: &str) -> Result<Source, String> {
    let name = is_name;
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
