//! The keys of the gateway as a whole.

use std::net::SocketAddr;

use tracing::level_filters::LevelFilter;
use trunkline_core::{DrainSettings, Settings, path::Routes};

use crate::log::TARGETS;

use super::{
    Config, Limits, LogConfig, LogFormat, Section, endpoint,
    kinds::units::{HOUR, KIB, MIB, MINUTE, MS_10, MS_100, SECOND, ZERO},
    kinds::{Choice, Parsed, count, one_or_list, quote, size, span},
    tls,
};

const LEVELS: Choice<LevelFilter> = Choice(&[
    ("off", LevelFilter::OFF),
    ("error", LevelFilter::ERROR),
    ("warn", LevelFilter::WARN),
    ("info", LevelFilter::INFO),
    ("debug", LevelFilter::DEBUG),
    ("trace", LevelFilter::TRACE),
]);

const FORMATS: Choice<LogFormat> =
    Choice(&[("auto", LogFormat::Auto), ("text", LogFormat::Text), ("json", LogFormat::Json)]);

const ADDRESS: Parsed<SocketAddr> = Parsed {
    range: "an IP address and a port, such as `\"[::]:8080\"`",
    parse: |text| {
        let wrong = "is not an IP address and a port; write one such as \"127.0.0.1:8080\" or \"[::]:8080\"";
        text.parse().map_err(|_| format!("{} {wrong}", quote(text)))
    },
    show: SocketAddr::to_string,
};

/// Where clients are listened for unless said: only on this machine.
const LISTEN: SocketAddr = SocketAddr::V4(std::net::SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, 8080));

/// Reads everything. What is returned is of use only if no problem was put down.
pub(super) fn read(root: &Section<'_>) -> Config {
    let config = gateway(root);
    let (endpoints, routes) = endpoint::read_all(root, &config.drain);
    Config { endpoints, routes, ..config }
}

/// Asks for every key there is, once.
pub(super) fn keys(root: &Section<'_>) {
    gateway(root);
    endpoint::keys(root);
}

fn gateway(root: &Section<'_>) -> Config {
    let (listen, handover, tls) = root.table("listen", |s| {
        let addresses = s.get("address", one_or_list(ADDRESS), vec![LISTEN]);
        (addresses, tls::file(s, "handover_socket"), s.table("tls", tls::listener))
    });
    let health = root.table("health", |s| {
        let health = s.optional("address", ADDRESS);
        let doubled = health.is_some_and(|health| health.port() != 0 && listen.contains(&health));
        s.contradiction(doubled, &["address"], || {
            "is in listen.address too; leave this key out to serve both there".to_owned()
        });
        health
    });
    Config {
        listen,
        tls,
        handover,
        health,
        log: root.table("log", log),
        limits: root.table("limits", limits),
        drain: root.table("drain", drain),
        endpoints: Vec::new(),
        routes: Routes::default(),
        warnings: Vec::new(),
    }
}

fn log(s: &Section<'_>) -> LogConfig {
    LogConfig {
        format: s.get("format", FORMATS, LogFormat::Auto),
        level: s.get("level", LEVELS, LevelFilter::INFO),
        targets: s.map("targets", &TARGETS, &LEVELS),
    }
}

fn limits(s: &Section<'_>) -> Limits {
    Limits {
        connections_max: s.get("connections_max", count(1, 10_000_000), 10_000),
        handshake_timeout: s.get("handshake_timeout", span(MS_100, MINUTE * 5), SECOND * 10),
        header_bytes_max: s.get("header_bytes_max", size(8 * KIB, MIB), 16 << 10),
        headers_max: s.get("headers_max", count(8, 1_000), 64),
        workers: s.get("workers", count(0, 1_024), 0),
    }
}

fn drain(s: &Section<'_>) -> DrainSettings {
    let d = Settings::default().drain;
    DrainSettings {
        time: s.get("time", span(ZERO, HOUR), d.time),
        confirm_timeout: s.get("confirm_timeout", span(MS_10, MINUTE), d.confirm_timeout),
    }
}
