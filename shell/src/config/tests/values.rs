//! What a configuration that is right becomes.

use std::{path::Path, time::Duration};

use trunkline_core::{
    Duplicates, Millis, Settings,
    door::{DoorSettings, Rate},
};

use super::{
    super::{Config, EndpointConfig},
    SECRET, lobby, parse,
};
use crate::token::{KeySource, Source};

fn endpoint(more: &str) -> EndpointConfig {
    let config = parse(&lobby(more)).unwrap_or_else(|problems| panic!("{problems}"));
    config.endpoints.into_iter().next().expect("it has one")
}

fn secrets(endpoint: &EndpointConfig) -> Vec<&[u8]> {
    let secrets = endpoint.token.keys.iter().filter_map(|key| match key {
        KeySource::Secret(bytes) => Some(bytes.as_slice()),
        KeySource::Pem { .. } | KeySource::Jwks { .. } | KeySource::Url(_) => None,
    });
    secrets.collect()
}

#[test]
fn what_is_left_out_is_the_machines_default() {
    assert_eq!(endpoint("").settings, Settings::default());
}

#[test]
fn an_endpoints_own_value_wins_over_the_default_key_by_key() {
    let lobby = endpoint(
        "on_duplicate = \"reject\"\nlink.queue_high = \"8MiB\"\n\
         [defaults]\non_duplicate = \"take_over\"\nreopen_gap = \"1s 500ms\"\nlink = { queue_high = 5000000, queue_low = \"1MB\" }",
    );
    assert_eq!(lobby.settings.duplicates, Duplicates::Reject);
    assert_eq!(lobby.settings.reopen_gap, Millis(1500));
    assert_eq!((lobby.settings.link.high_bytes, lobby.settings.link.low_bytes), (8 << 20, 1_000_000));
}

#[test]
fn the_drain_of_the_gateway_is_that_of_each_endpoint() {
    assert_eq!(endpoint("[drain]\ntime = \"1m\"").settings.drain.time, Millis(60_000));
}

#[test]
fn zero_is_off_where_that_means_something() {
    let lobby = endpoint("idle_timeout = \"5s\"\nkeepalive.interval = \"0s\"");
    assert_eq!((lobby.idle_timeout, lobby.keepalive.interval), (Some(Duration::from_secs(5)), None));
}

#[test]
fn a_backend_is_host_port_and_path() {
    let of = |url: &str| {
        let text = lobby("").replace("ws://localhost:9000/", url);
        let config = parse(&text).unwrap_or_else(|problems| panic!("{problems}"));
        config.endpoints.into_iter().next().expect("it has one").backend
    };
    let plain = of("ws://backend.example");
    assert_eq!(
        (plain.host.as_str(), plain.port, plain.path_and_query.as_str()),
        ("backend.example", 80, "/")
    );
    let six = of("WS://[::1]:9000/a?key=hush");
    assert_eq!((six.host.as_str(), six.port, six.path_and_query.as_str()), ("::1", 9000, "/a?key=hush"));
    assert_eq!(
        (six.authority().as_str(), format!("{six:?}").as_str()),
        ("[::1]:9000", "ws://[::1]:9000/a?…")
    );
    assert_eq!(of("ws://h?a=b").path_and_query, "/?a=b");
}

#[test]
fn the_environment_wins_over_the_file_each_for_its_own_table() {
    let env = |name: &str| {
        let own = name == "TRUNKLINE_ENDPOINTS_THE_LOBBY_TOKEN_SECRET";
        own.then(|| "own".to_owned()).or_else(|| (name == "TRUNKLINE_TOKEN_SECRET").then(|| "all".to_owned()))
    };
    let text = lobby("token.secret = \"file\"").replace("lobby]", "the-lobby]");
    let other = "[endpoints.chat]\npath = \"/chat\"\nbackend = \"ws://h\"\ntoken.algorithms = [\"HS256\"]\n\
                 [endpoints.shop]\npath = \"/shop\"\nbackend = \"ws://h\"\ntoken = { algorithms = [\"HS256\"], secret = \"shop\" }";
    let config = Config::parse(&format!("{text}{other}"), Path::new("."), env).expect("it is right");
    let all: Vec<_> =
        config.endpoints.iter().map(|endpoint| (endpoint.name.as_str(), secrets(endpoint))).collect();
    let expected: [(&str, Vec<&[u8]>); 3] =
        [("chat", vec![b"all"]), ("shop", vec![b"shop"]), ("the-lobby", vec![b"own"])];
    assert_eq!(all, expected);
}

#[test]
fn an_endpoint_that_gives_any_key_inherits_none() {
    let long = "hush-hush".repeat(4);
    let base64 = format!("secret_base64 = \"{}\"", "aHVzaC1odXNo".repeat(4));
    let own = parse(&lobby(&format!("token.{base64}"))).expect("it is right");
    assert_eq!((secrets(&own.endpoints[0]), own.warnings), (vec![long.as_bytes()], vec![]));

    // The environment's secret stands for one in [defaults.token], and is one of several there.
    let inherited = endpoint(&format!("[defaults.token]\n{base64}\nuser_claim = \"name\""));
    assert_eq!(secrets(&inherited), [SECRET.as_bytes(), long.as_bytes()]);

    // All else is inherited still.
    let text = lobby(&format!(
        "token.secret = \"{SECRET}\"\n[defaults.token]\nsecret_file = \"short.secret\"\nuser_claim = \"name\""
    ));
    let dir = Path::new("src/config/tests/files");
    let config = Config::parse(&text, dir, |_| None).expect("it is right");
    assert_eq!(secrets(&config.endpoints[0]), [SECRET.as_bytes()]);
    assert_eq!(config.endpoints[0].token.user_claim, "name");
}

#[test]
fn an_endpoints_own_variable_keeps_inherited_keys_out_too() {
    let env = |name: &str| (name == "TRUNKLINE_ENDPOINTS_LOBBY_TOKEN_SECRET").then(|| SECRET.to_owned());
    let text = lobby("[defaults.token]\nsecret_file = \"short.secret\"");
    let config = Config::parse(&text, Path::new("src/config/tests/files"), env).expect("it is right");
    assert_eq!(secrets(&config.endpoints[0]), [SECRET.as_bytes()]);
}

#[test]
fn a_secret_file_is_its_content_without_the_newline() {
    let text = lobby("token.secret_file = \"short.secret\"");
    let config = Config::parse(&text, Path::new("src/config/tests/files"), |_| None).expect("it is right");
    assert_eq!(secrets(&config.endpoints[0]), [b"hush-hush"]);
}

#[test]
fn sources_keep_their_order() {
    let sources =
        endpoint("token.sources = [\"query:token\", \"header\", \"cookie:t\", \"subprotocol:bearer\"]");
    let name = |name: &str| name.to_owned();
    let expected = [
        Source::Query(name("token")),
        Source::Header,
        Source::Cookie(name("t")),
        Source::Subprotocol(name("bearer")),
    ];
    assert_eq!(sources.token.sources, expected);
}

#[test]
fn what_is_published_is_host_port_and_path_and_its_query_is_not_shown() {
    let of = |url: &str| {
        let text = lobby(&format!("token.jwks_url = \"{url}\"")).replace("HS256", "ES256");
        let config = parse(&text).unwrap_or_else(|problems| panic!("{problems}"));
        match &config.endpoints[0].token.keys[..] {
            [KeySource::Url(url)] => url.clone(),
            _ => panic!("it is one URL"),
        }
    };
    let plain = of("http://localhost");
    assert_eq!((plain.secure, plain.port, plain.path_and_query.as_str()), (false, 80, "/"));
    let six = of("HTTP://[::1]:9000/a?key=hush");
    assert_eq!((six.host.as_str(), six.port, six.path_and_query.as_str()), ("::1", 9000, "/a?key=hush"));
    assert_eq!(format!("{six} {six:?}"), "http://[::1]:9000/a?… http://[::1]:9000/a?…");
}

#[test]
fn tables_of_issuers_are_inherited_whole_or_not_at_all() {
    let table = |issuer: &str| format!("{{ issuer = \"{issuer}\", jwks_url = \"http://localhost/\" }}");
    let bound = |more: &str| {
        let text = lobby(more).replace("HS256", "ES256");
        let config =
            Config::parse(&text, Path::new("."), |_| None).unwrap_or_else(|problems| panic!("{problems}"));
        let endpoint = config.endpoints.into_iter().next().expect("it has one");
        endpoint.token.bound.into_iter().flat_map(|bound| bound.issuers).collect::<Vec<_>>()
    };
    let defaults = format!("[defaults.token.issuers]\na = {}\nb = {}", table("a"), table("b"));
    assert_eq!(bound(&defaults), ["a", "b"]);
    assert_eq!(bound(&format!("token.issuers.c = {}\n{defaults}", table("c"))), ["c"]);
    assert_eq!(bound(&format!("token.jwks_url = \"http://localhost/\"\n{defaults}")), [""; 0]);
}

#[test]
fn the_door_is_the_machines_default_and_what_is_said_of_it() {
    let limits = |more: &str| parse(&lobby(more)).unwrap_or_else(|problems| panic!("{problems}")).limits;
    assert_eq!(limits("").door, DoorSettings::default());
    let door = limits("[limits]\nhandshakes_per_second = 50\nper_address.attempts_burst = 7").door;
    assert_eq!(door.attempts, Rate { burst: 50, per_minute: 3_000 });
    assert_eq!(door.attempts_per_address, Rate { burst: 7, per_minute: 1_200 });
}

#[test]
fn an_address_is_a_network_of_its_own() {
    let config = parse(&lobby("[listen]\ntrusted_proxies = [\"192.0.2.7\", \"2001:db8::/32\"]"));
    let proxies = config.unwrap_or_else(|problems| panic!("{problems}")).client_address.proxies;
    let trusts = |text: &str| proxies.trusts(text.parse().expect("it is an address"));
    assert!(trusts("192.0.2.7") && trusts("::ffff:192.0.2.7") && trusts("2001:db8:7::1"));
    assert!(!trusts("192.0.2.8") && !trusts("2001:db9::1"));
}
