//! The keys of the gateway as a whole.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use tracing::level_filters::LevelFilter;
use trunkline_core::{
    DrainSettings, Settings,
    client_address::{Announced, Proxies},
    door::{DoorSettings, Rate},
    path::Routes,
};

use crate::{
    log::{self, TARGETS},
    tls::{ClientFiles, ClientTls},
};

use super::{
    ClientAddress, Config, Limits, LogConfig, LogFormat, RecordingConfig, Section, ServerUrl, TracingConfig,
    Values, Watched, admin, endpoint,
    kinds::units::{GIB, HOUR, KIB, MIB, MINUTE, MS_10, MS_100, SECOND, ZERO},
    kinds::{Choice, Parsed, Share, Text, count, one_or_list, quote, seconds, size, span, span_or_off},
    tls,
};

const LEVELS: Choice<LevelFilter> = Choice(&log::LEVELS);

const FORMATS: Choice<LogFormat> =
    Choice(&[("auto", LogFormat::Auto), ("text", LogFormat::Text), ("json", LogFormat::Json)]);

const WATCHED: Choice<Watched> =
    Choice(&[("none", Watched::None), ("one", Watched::One), ("all", Watched::All)]);

pub(super) const ADDRESS: Parsed<SocketAddr> = Parsed {
    range: "an IP address and a port, such as `\"[::]:8080\"`",
    parse: |text| {
        let wrong = "is not an IP address and a port; write one such as \"127.0.0.1:8080\" or \"[::]:8080\"";
        text.parse().map_err(|_| format!("{} {wrong}", quote(text)))
    },
    show: SocketAddr::to_string,
};

const ANNOUNCED: Choice<Announced> = Choice(&[
    ("peer", Announced::Peer),
    ("forwarded", Announced::Forwarded),
    ("x_forwarded_for", Announced::XForwardedFor),
    ("proxy_protocol", Announced::ProxyProtocol),
]);

const PROXY: Parsed<IpNet> = Parsed {
    range: "an IP address or network, such as `\"10.0.0.0/8\"`",
    parse: |text| {
        let wrong = "is not an IP address or network; write one such as \"192.0.2.7\" or \"10.0.0.0/8\"";
        let network = text.parse().or_else(|_| text.parse().map(|address: IpAddr| IpNet::from(address)));
        let network: IpNet = network.map_err(|_| format!("{} {wrong}", quote(text)))?;
        match network {
            // Addresses are compared in the form that they have without this prefix.
            IpNet::V6(mapped) if mapped.addr().to_ipv4_mapped().is_some() => {
                Err(format!("{} is an IPv4 address; write it as one", quote(text)))
            }
            _ if network.addr() != network.network() => {
                Err(format!("{} has bits beyond its prefix; write {}", quote(text), network.trunc()))
            }
            _ => Ok(network),
        }
    },
    show: IpNet::to_string,
};

/// Where clients are listened for unless said: only on this machine.
const LISTEN: SocketAddr = SocketAddr::V4(std::net::SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, 8080));

/// Reads everything. What is returned is of use only if no problem was put down.
pub(super) fn read(root: &Section<'_>) -> Config {
    let config = gateway(root);
    let (mut endpoints, routes) = endpoint::read_all(root, &config.drain);
    endpoints.iter_mut().for_each(|endpoint| endpoint.recording_bytes_max = config.recording.bytes_max);
    Config { endpoints, routes, ..config }
}

/// Asks for every key there is, once.
pub(super) fn keys(root: &Section<'_>) {
    gateway(root);
    endpoint::keys(root);
}

fn gateway(root: &Section<'_>) -> Config {
    let (listen, client_address, handover, tls) = root.table("listen", |s| {
        let addresses = s.get("address", one_or_list(ADDRESS), vec![LISTEN]);
        let client_address = client_address(s);
        (addresses, client_address, tls::file(s, "handover_socket"), s.table("tls", tls::listener))
    });
    let health = root.table("health", |s| {
        let health = s.optional("address", ADDRESS);
        let doubled = health.is_some_and(|health| health.port() != 0 && listen.contains(&health));
        s.contradiction(doubled, &["address"], || {
            "is in listen.address too; leave this key out to serve both there".to_owned()
        });
        health
    });
    let others: Vec<SocketAddr> = listen.iter().copied().chain(health).collect();
    Config {
        listen,
        client_address,
        tls,
        handover,
        health,
        admin: root.table("admin", |s| admin::read(s, &others)),
        log: root.table("log", log),
        recording: root.table("recording", recording),
        tracing: root.table("tracing", tracing),
        watched: root.table("laws", |s| s.get("endpoints", WATCHED, Watched::None)),
        look_every: root.table("reload", |s| s.get("look_every", span_or_off(SECOND, HOUR), None)),
        limits: root.table("limits", limits),
        drain: root.table("drain", drain),
        endpoints: Vec::new(),
        routes: Routes::default(),
        warnings: Vec::new(),
        values: Values::default(),
    }
}

fn log(s: &Section<'_>) -> LogConfig {
    LogConfig {
        format: s.get("format", FORMATS, LogFormat::Auto),
        level: s.get("level", LEVELS, LevelFilter::INFO),
        targets: s.map("targets", &TARGETS, &LEVELS),
    }
}

fn recording(s: &Section<'_>) -> RecordingConfig {
    let bytes_max = s.get("bytes_max", size(0, GIB), 1 << 20);
    let folder = tls::file(s, "folder");
    let files_max = s.get("files_max", count(0, 1_000), 0);
    let file_bytes_max = s.get("file_bytes_max", size(64 * KIB, GIB), 16 << 20);
    s.contradiction(files_max > 0 && folder.is_none(), &["files_max", "folder"], || {
        "needs a place for the files; write folder = \"/var/lib/trunkline/recordings\", or leave this key out"
            .to_owned()
    });
    s.contradiction(files_max > 0 && bytes_max == 0, &["files_max", "bytes_max"], || {
        "writes down what is recorded, and bytes_max = 0 says that nothing is; leave one of them out"
            .to_owned()
    });
    RecordingConfig { bytes_max, folder, files_max, file_bytes_max }
}

const COLLECTOR: Parsed<ServerUrl> = Parsed {
    range: "`http://host:port/path` or `https://host:port/path`, port 80 or 443 unless said",
    parse: |text| ServerUrl::http(text),
    show: |url| url.to_string(),
};

fn tracing(s: &Section<'_>) -> Option<TracingConfig> {
    let endpoint = s.optional("endpoint", COLLECTOR);
    let ca = tls::file(s, "ca_file");
    let service_name = s.get("service_name", Text { bytes_max: 256 }, "trunkline".to_owned());
    let handshakes = s.get("handshakes", Share, 0.1);
    let messages = s.get("messages", Share, 0.01);
    let timeout = s.get("timeout", span(MS_100, MINUTE), SECOND * 5);
    let interval = s.get("interval", span(MS_10, MINUTE), SECOND);
    let queue_max = s.get("queue_max", count(16, 1_000_000), 4_096);
    let endpoint = endpoint?;
    let tls = if endpoint.secure {
        let loaded = ClientTls::load(ClientFiles { ca, identity: None });
        Some(loaded.map_err(|fault| s.reader.problem(&s.here(), fault.to_string())).ok()?)
    } else {
        None
    };
    Some(TracingConfig { endpoint, tls, service_name, handshakes, messages, timeout, interval, queue_max })
}

fn client_address(s: &Section<'_>) -> ClientAddress {
    let announced = s.get("client_address", ANNOUNCED, Announced::Peer);
    let proxies = s.optional("trusted_proxies", one_or_list(PROXY)).unwrap_or_default();
    s.contradiction(
        announced != Announced::Peer && proxies.is_empty(),
        &["client_address", "trusted_proxies"],
        || {
            let example = "trusted_proxies = \"10.0.0.0/8\"";
            format!("believes nobody without listen.trusted_proxies; write {example}, or leave this key out")
        },
    );
    ClientAddress { announced, proxies: Proxies::new(proxies) }
}

fn limits(s: &Section<'_>) -> Limits {
    let d = DoorSettings::default();
    let per_second = s.get("handshakes_per_second", count(1, 1_000_000), d.attempts.burst);
    let (connections_per_address_max, attempts_per_address) = s.table("per_address", |s| {
        let connections = s.get("connections_max", count(1, 1_000_000), d.connections_per_address_max);
        (connections, rate(s, d.attempts_per_address))
    });
    let door = DoorSettings {
        handshakes_max: s.get("handshakes_max", count(16, 100_000), d.handshakes_max),
        attempts: Rate { burst: per_second, per_minute: per_second * 60 },
        connections_per_address_max,
        attempts_per_address,
        tracked_max: s.get("tracked_max", count(1_000, 10_000_000), d.tracked_max),
        seed: 0,
    };
    Limits {
        connections_max: s.get("connections_max", count(1, 10_000_000), 10_000),
        door,
        retry_after: s.get("retry_after", seconds(1, 3_600), SECOND * 5),
        handshake_timeout: s.get("handshake_timeout", span(MS_100, MINUTE * 5), SECOND * 10),
        header_bytes_max: s.get("header_bytes_max", size(8 * KIB, MIB), 16 << 10),
        headers_max: s.get("headers_max", count(8, 1_000), 64),
        workers: s.get("workers", count(0, 1_024), 0),
    }
}

/// How often somebody may come: `attempts_burst` and `attempts_per_minute`.
pub(super) fn rate(s: &Section<'_>, d: Rate) -> Rate {
    Rate {
        burst: s.get("attempts_burst", count(1, 1_000_000), d.burst),
        per_minute: s.get("attempts_per_minute", count(1, 60_000_000), d.per_minute),
    }
}

fn drain(s: &Section<'_>) -> DrainSettings {
    let d = Settings::default().drain;
    DrainSettings {
        time: s.get("time", span(ZERO, HOUR), d.time),
        confirm_timeout: s.get("confirm_timeout", span(MS_10, MINUTE), d.confirm_timeout),
    }
}
