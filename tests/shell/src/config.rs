//! Configurations: any text is taken or refused with words that help, what is taken can be run, and neither depends
//! on how the same document is written.

use std::path::Path;

use trunkline::config::{Config, EndpointConfig, Problems, ServerUrl};
use trunkline_core::{Endpoint, Input, Output, Time};

/// What must never be shown, long enough for every algorithm.
const SECRET: &str = "hush-hush-hush-hush-hush-hush-hush-hush-hush-hush-hush-hush-hush-hush";

/// What says what to do, or how it should be, somewhere in each text about a problem.
const REMEDIES: &[&str] = &[
    "write ",
    "take ",
    "give ",
    "add ",
    "allow ",
    "lower ",
    "rename ",
    "change ",
    "put it ",
    "leave ",
    "round it",
    "percent-encode it",
    "check ",
    "did you mean ",
    "it may ",
    "there are ",
    "anyone could sign",
    "this is not TOML",
    "the standard alphabet",
    "has no closing brace",
    "does not begin with a slash",
    "a name is made of ",
    "only the last segment",
];

/// Reads the bytes, with and without a secret for all endpoints in the environment.
///
/// # Panics
///
/// What is said is of no help, or shows the secret; or what is taken is not sound.
pub fn check(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let document = text.parse::<toml::Table>().ok();
    if document.as_ref().is_some_and(|table| table.iter().any(|(_, value)| names_a_file(value))) {
        return;
    }
    let rewritten = document.and_then(|table| toml::to_string(&table).ok());
    for secret in [None, Some(SECRET)] {
        let judged = judge(text, secret);
        if let Some(rewritten) = &rewritten {
            assert_eq!(
                judge(rewritten, secret),
                judged,
                "{text}\n, and the same written otherwise:\n{rewritten}"
            );
        }
    }
}

/// Whether a file elsewhere is named: what this machine holds is no part of the text.
fn names_a_file(value: &toml::Value) -> bool {
    match value {
        toml::Value::String(text) => text.starts_with('/') && !text.contains('{') || text.contains(".."),
        toml::Value::Array(values) => values.iter().any(names_a_file),
        toml::Value::Table(table) => table.iter().any(|(_, value)| names_a_file(value)),
        _ => false,
    }
}

/// What the text becomes, without line numbers: what it says if it is taken, else which keys are at fault.
fn judge(text: &str, secret: Option<&str>) -> Result<String, Vec<String>> {
    let env = |name: &str| secret.filter(|_| name == "TRUNKLINE_TOKEN_SECRET").map(str::to_owned);
    match Config::parse(text, Path::new("nowhere"), env) {
        Ok(config) => {
            is_sound(&config);
            let shown = format!("{config:?}");
            assert!(!shown.contains(SECRET), "{shown}");
            Ok(shown)
        }
        Err(problems) => {
            help(text, &problems);
            let mut keys: Vec<_> = problems.list.into_iter().map(|problem| problem.key).collect();
            keys.sort();
            Err(keys)
        }
    }
}

/// Each problem is one line that names a key and says what to do about it.
fn help(text: &str, problems: &Problems) {
    assert!(!problems.list.is_empty(), "refused without a reason: {text}");
    let lines = text.split('\n').count();
    for problem in &problems.list {
        let shown = problem.to_string();
        assert!(!shown.contains(char::is_control), "more than a line: {problem:?}");
        assert!(!shown.contains(SECRET), "the secret is shown: {problem:?}");
        assert!(
            !problem.key.is_empty() || problem.text.contains("this is not TOML"),
            "of which key? {problem:?}"
        );
        assert!(
            problem.line.is_none_or(|line| 1 <= line && line <= lines),
            "there is no such line: {problem:?}"
        );
        assert!(REMEDIES.iter().any(|remedy| problem.text.contains(remedy)), "and now? {problem:?}");
    }
}

/// What is taken keeps what docs/configuration.md promises, and a machine can be made of it.
fn is_sound(config: &Config) {
    assert!(!config.listen.is_empty() && !config.endpoints.is_empty());
    let limits = &config.limits;
    assert!(limits.connections_max > 0 && limits.headers_max > 0 && limits.header_bytes_max > 0);
    for (at, endpoint) in config.endpoints.iter().enumerate() {
        let others = &config.endpoints[..at];
        assert!(others.iter().all(|other| other.name != endpoint.name), "{} is there twice", endpoint.name);
        assert_eq!(config.routes.find(&a_path(endpoint)).ok().flatten().map(|found| found.index), Some(at));
        endpoint_is_sound(endpoint);
        assert_eq!(endpoint.settings.drain, config.drain);
    }
}

fn endpoint_is_sound(endpoint: &EndpointConfig) {
    let (settings, link) = (&endpoint.settings, &endpoint.settings.link);
    assert!(settings.sessions_max > 0 && endpoint.message_bytes_max > 0);
    assert!(settings.parked_bytes_max <= settings.parked_bytes_total_max);
    assert!(settings.client_queue_bytes_max <= settings.client_queue_bytes_total_max);
    assert!(link.low_bytes < link.high_bytes);
    assert!(link.backoff_first.max(link.redial_min) <= link.backoff_max && link.redial_min.0 > 0);
    assert!(link.pong_timeout.0 > 0 && link.ping_interval.0 > 0);

    let url = &endpoint.backend;
    let written = format!("ws://{}{}", url.authority(), url.path_and_query);
    assert_eq!(ServerUrl::websocket(&written).as_ref(), Ok(url), "{written}");

    assert!(!endpoint.token.algorithms.is_empty() && !endpoint.token.sources.is_empty());
    assert!(endpoint.verifier.verify("e30.e30.", 0).is_err());
    let mut machine = Endpoint::new(settings.clone(), Time(0));
    machine.handle(Time(0), Input::Deadline, &mut |_: Output<'_, String>| 0);
    machine.check_invariants();
}

/// A path that the endpoint's template matches.
fn a_path(endpoint: &EndpointConfig) -> String {
    let segments =
        endpoint.path.split('/').map(|segment| if segment.starts_with('{') { "x" } else { segment });
    segments.collect::<Vec<_>>().join("/")
}
