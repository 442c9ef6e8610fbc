//! The keys of `[token]`: which tokens are accepted, and the keys that they are verified with.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
    time::Duration,
};

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

use trunkline_core::{Millis, refresh::RefreshSettings};

use super::{
    Section,
    kinds::units::{HOUR, KIB, MIB, MINUTE, MS_100, SECOND, ZERO},
    kinds::{Parsed, Text, list, one_or_list, quote, size, span, span_or_off},
    reader::Place,
    tls,
    url::KeysAt,
};
use crate::{
    files,
    tls::{ClientFiles, ClientTls, TlsFault},
    token::{
        Algorithm, BoundKeys, FetchSettings, KeyFault, KeyOrigin, KeyProblem, KeySource, Source,
        TokenSettings, Verifier,
    },
};

/// The most bytes of a file that holds a secret or keys.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The keys that give keys: an endpoint that has one of them inherits none, so that whose tokens it accepts can be
/// read in one place.
const KEYS: [&str; 7] =
    ["secret", "secret_base64", "secret_file", "public_key_file", "jwks_file", "jwks_url", "issuers"];
/// Those of them that an issuer's table may have.
const ISSUER_KEYS: [&str; 4] = ["secret_file", "public_key_file", "jwks_file", "jwks_url"];
/// The most tables of issuers.
const ISSUERS_MAX: usize = 64;

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

const ISSUER: Text = Text { bytes_max: 1024 };

/// Keys, and where each was given.
type GivenKeys = Vec<(Given, KeySource)>;

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
    let Keys { keys, bound, given } = s.group(&KEYS, "secret", all_keys);
    let mut settings = TokenSettings {
        algorithms: algorithms.unwrap_or_default(),
        keys,
        issuers: s.optional("issuer", one_or_list(ISSUER)).unwrap_or_default(),
        bound,
        fetch: s.table("jwks", fetch),
        audiences: s.optional("audience", one_or_list(ISSUER)).unwrap_or_default(),
        leeway: s.get("leeway", span(ZERO, MINUTE * 10), Default::default()),
        user_claim: s.get("user_claim", Text { bytes_max: 128 }, "sub".to_owned()),
        user_bytes_max: s.get("user_bytes_max", size(1, 4096), 256),
        sources: s.get("sources", list(SOURCE), vec![Source::Header]),
    };
    s.contradiction(!settings.bound.is_empty() && !settings.issuers.is_empty(), &["issuer"], || {
        "issuer stands beside issuers, which say by themselves whom they are for; leave it out".to_owned()
    });
    trust_system(s, &mut settings);
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
struct Keys {
    keys: Vec<KeySource>,
    bound: Vec<BoundKeys>,
    /// Where each was given, those of `keys` first.
    given: Vec<Given>,
}

/// The keys of the table itself, and those of its tables of issuers.
fn all_keys(s: &Section<'_>) -> Keys {
    let (mut given, keys): (Vec<_>, Vec<_>) = keys(s).into_iter().unzip();
    let tables = s.tables("issuers", |name, s| (s.here(), issuer(name, s)));
    s.contradiction(tables.len() > ISSUERS_MAX, &["issuers"], || {
        format!("there are {} tables; there may be {ISSUERS_MAX}", tables.len())
    });
    s.contradiction(!tables.is_empty() && !given.is_empty(), &["issuers"], || {
        let beside = given[0].place.name.clone();
        format!(
            "{beside} stands beside it and would vouch for all of them; put it into the table of its issuer"
        )
    });
    if tables.is_empty() {
        return Keys { keys, bound: Vec::new(), given };
    }
    given.clear();
    let mut bound = Vec::new();
    let mut seen = BTreeMap::new();
    for (place, issuer) in tables {
        let Some((issuers, its_keys)) = issuer else {
            s.mark_unsound("issuers");
            continue;
        };
        for issuer in &issuers {
            if let Some(other) = seen.insert(issuer.clone(), place.name.clone()) {
                let text =
                    format!("{} is the issuer of {other} too; write its keys into one table", quote(issuer));
                s.unsound(&place, "issuers", text);
            }
        }
        let (places, keys): (Vec<_>, Vec<_>) = its_keys.into_iter().unzip();
        given.extend(places);
        bound.push(BoundKeys { issuers, keys });
    }
    Keys { keys: Vec::new(), bound, given }
}

/// The values of `iss` of an issuer, and its keys; `None`: something is wrong, and put down.
fn issuer(name: &str, s: &Section<'_>) -> Option<(Vec<String>, GivenKeys)> {
    let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    let named = (1..=64).contains(&name.len()) && name.bytes().all(good);
    if !named && !s.partial {
        let text = format!("{} cannot be a name; take 1 to 64 of a-z, 0-9, - and _", quote(name));
        s.reader.problem(&s.here(), text);
    }
    let issuers = s.required("issuer", one_or_list(ISSUER), "\"https://issuer.example\"");
    let keys = public_and_files(s);
    let sound = !ISSUER_KEYS.iter().any(|key| s.is_unsound(key));
    if keys.is_empty() && sound && !s.partial {
        s.reader.problem(&s.here(), format!("has no key; write one of {}", ISSUER_KEYS.join(", ")));
    }
    issuers.filter(|_| sound && !keys.is_empty()).map(|issuers| (issuers, keys))
}

/// How keys are fetched that are published.
fn fetch(s: &Section<'_>) -> FetchSettings {
    let d = RefreshSettings::default();
    let day = HOUR * 24;
    let every: Millis = s.get("refresh", span(MS_100, day), d.every);
    let early_every = s.get("early_refresh", span(MS_100, HOUR), d.early_every);
    let keep: Option<Duration> =
        s.get("keep", span_or_off(SECOND, day * 30), d.keep.map(|keep| Duration::from_millis(keep.0)));
    let keep = keep.map(|keep| Millis(u64::try_from(keep.as_millis()).unwrap_or(u64::MAX)));
    s.contradiction(keep.is_some_and(|keep| keep <= every), &["keep", "refresh"], || {
        "keep must be above refresh, or keys would be forgotten before newer ones are asked for; raise it, or write \"0s\" to keep them for ever".to_owned()
    });
    let ca_file = tls::file(s, "ca_file");
    FetchSettings {
        refresh: RefreshSettings { every, early_every, keep },
        timeout: s.get("timeout", span(MS_100, MINUTE), SECOND * 5),
        bytes_max: s.get("bytes_max", size(KIB, 16 * MIB), 256 << 10),
        tls: ca_file.as_ref().and_then(|file| trusting(s, file)),
        ca_file,
    }
}

/// What issuers are met with whose certificates come from the CAs in this file.
fn trusting(s: &Section<'_>, file: &Path) -> Option<ClientTls> {
    ClientTls::load(ClientFiles { ca: Some(file.to_owned()), identity: None })
        .map_err(|fault| {
            s.unsound(&s.place("ca_file").unwrap_or_else(|| s.here()), "ca_file", fault.to_string());
        })
        .ok()
}

/// The same with the system's CAs, if there are none in a file, and a URL needs it.
fn trust_system(s: &Section<'_>, settings: &mut TokenSettings) {
    let needs_tls = |key: &KeySource| matches!(key, KeySource::Url(url) if url.secure);
    let bound = settings.bound.iter().flat_map(|bound| &bound.keys);
    if s.partial || settings.fetch.ca_file.is_some() || !settings.keys.iter().chain(bound).any(needs_tls) {
        return;
    }
    /// Read once: each endpoint may ask.
    static SYSTEM: LazyLock<Result<ClientTls, TlsFault>> =
        LazyLock::new(|| ClientTls::load(ClientFiles::default()));
    match &*SYSTEM {
        Ok(tls) => settings.fetch.tls = Some(tls.clone()),
        Err(fault) => {
            let place = s.place("jwks_url").or_else(|| s.place("issuers")).unwrap_or_else(|| s.here());
            s.reader.problem(&place, fault.to_string());
        }
    }
}

/// The keys of the table itself.
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
    keys.extend(public_and_files(s));
    keys
}

/// The keys that an issuer's table may have too.
fn public_and_files(s: &Section<'_>) -> Vec<(Given, KeySource)> {
    let secret = |_, bytes: Vec<u8>| {
        let end = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        KeySource::Secret(end.strip_suffix(b"\r").unwrap_or(end).to_vec())
    };
    let mut keys = read_files(s, "secret_file", secret);
    keys.extend(read_files(s, "public_key_file", |file, text| KeySource::Pem { file, text }));
    keys.extend(read_files(s, "jwks_file", |file, text| KeySource::Jwks { file, text }));
    let urls = s.optional("jwks_url", one_or_list(KeysAt)).unwrap_or_default();
    for (url, place) in urls.into_iter().filter_map(|url| Some((url, s.place("jwks_url")?))) {
        let shown = format!("\"{url}\"");
        if !url.secure && !url.is_loopback() {
            let text = format!(
                "{shown} is asked without TLS, so whoever is on the way can put in keys; use https://"
            );
            s.reader.warn(&place, &text);
        }
        keys.push((Given { place, key: "jwks_url", shown }, KeySource::Url(url)));
    }
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
            Ok(bytes) => {
                s.hide(key, &bytes);
                read.push((Given { place: place.clone(), key, shown }, source(file, bytes)));
            }
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
    let bound = settings.bound.iter().flat_map(|bound| &bound.keys);
    for (given, key) in given.iter().zip(settings.keys.iter().chain(bound)) {
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
            KeySource::Url(url) => url.to_string(),
        };
        let keys_of = |keys: &[KeySource]| keys.iter().map(key).collect::<Vec<_>>();
        let TokenSettings {
            algorithms,
            keys,
            issuers,
            bound,
            fetch,
            audiences,
            leeway,
            user_claim,
            user_bytes_max,
            sources,
        } = self.0;
        f.debug_struct("TokenSettings")
            .field("algorithms", algorithms)
            .field("keys", &keys_of(keys))
            .field("issuers", issuers)
            .field("bound", &bound.iter().map(|of| (&of.issuers, keys_of(&of.keys))).collect::<Vec<_>>())
            .field("fetch", fetch)
            .field("audiences", audiences)
            .field("leeway", leeway)
            .field("user_claim", user_claim)
            .field("user_bytes_max", user_bytes_max)
            .field("sources", sources)
            .finish()
    }
}
