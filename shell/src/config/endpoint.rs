//! The keys of an endpoint, each of which but `path` and `backend` may stand in `[defaults]` too.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use trunkline_core::{
    Binary, DrainSettings, Duplicates, Expiry, LinkSettings, OutagePolicy, OutageSettings, Redeliver,
    Settings, door,
    origin::AllowedOrigin,
    path::{Routes, Template},
    rate::{OnExcess, Rate, Rates},
};

use super::{
    Section, ServerUrl, gateway,
    kinds::units::{GIB, HOUR, KIB, MIB, MINUTE, MS_10, MS_100, SECOND, ZERO},
    kinds::{Choice, Parsed, count, list, one_or_list, quote, seconds, size, span, span_or_off},
    reader::{Order, Place},
    tls, token,
};
use crate::{
    tls::{ClientFiles, ClientTls},
    token::{TokenSettings, Verifier},
};

/// What an operator has decided about an endpoint. `Debug` shows no secret.
#[derive(Clone)]
pub struct EndpointConfig {
    /// What logs and metrics call it: 1 to 64 of `a-z`, `0-9`, `-` and `_`.
    pub name: String,
    /// The path template as it is written.
    pub path: String,
    /// The path template as it is understood.
    pub template: Template,
    /// Where the backend is.
    pub backend: ServerUrl,
    /// What the machine is to know; `seed` is left at 0.
    pub settings: Settings,
    /// How tokens are found, checked and read.
    pub token: TokenSettings,
    /// What checks and reads them, made of `token`.
    pub verifier: Arc<Verifier>,
    /// Pages of which origins may connect; `None`: it is not said.
    pub origins: Option<Vec<AllowedOrigin>>,
    /// The subprotocols that clients may ask for.
    pub subprotocols: Vec<String>,
    /// How often a user may come.
    pub attempts_per_user: door::Rate,
    /// What is done with binary messages of clients.
    pub binary: Binary,
    /// How long a client's closing may take, what is queued for it included.
    pub close_timeout: Duration,
    /// What `Retry-After` says, in whole seconds: at least one.
    pub retry_after: Duration,
    /// Bytes that a client's message, and each of its frames, may have.
    pub message_bytes_max: usize,
    /// A client from which no message came for this long is closed.
    pub idle_timeout: Option<Duration>,
    /// How fast a client may send.
    pub rates: Rates,
    /// How dead clients are found.
    pub keepalive: Keepalive,
    /// What the machine need not know of the link.
    pub link: LinkConfig,
    /// Bytes of steps that the flight recorder holds; 0: it is off. The gateway's, for each endpoint.
    pub recording_bytes_max: usize,
    /// Whether it is held against the laws; set when the gateway starts.
    pub watched: bool,
    /// What the backend is met with, where it speaks TLS.
    pub link_tls: Option<ClientTls>,
}

/// How dead clients are found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Keepalive {
    /// A client from which nothing came for this long is pinged; `None`: never.
    pub interval: Option<Duration>,
    /// A client from which nothing comes for this long after the Ping is closed.
    pub timeout: Duration,
}

/// What the machine need not know of the link.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LinkConfig {
    /// How long a dial may take: name, TCP and WebSocket handshake together.
    pub connect_timeout: Duration,
    /// Bytes that a backend's message, and each of its frames, may have.
    pub message_bytes_max: usize,
}

/// All of an endpoint's values that may have defaults.
struct Common {
    settings: Settings,
    token: Option<(TokenSettings, Arc<Verifier>)>,
    origins: Option<Vec<AllowedOrigin>>,
    subprotocols: Vec<String>,
    attempts_per_user: door::Rate,
    binary: Binary,
    close_timeout: Duration,
    retry_after: Duration,
    message_bytes_max: usize,
    idle_timeout: Option<Duration>,
    rates: Rates,
    keepalive: Keepalive,
    link: LinkConfig,
    link_tls: ClientFiles,
}

const DUPLICATES: Choice<Duplicates> =
    Choice(&[("take_over", Duplicates::TakeOver), ("reject", Duplicates::Reject)]);
const EXPIRY: Choice<Expiry> = Choice(&[("close", Expiry::Close), ("ignore", Expiry::Ignore)]);
const ON_EXCESS: Choice<OnExcess> = Choice(&[("slow", OnExcess::Slow), ("close", OnExcess::Close)]);
const BINARY: Choice<Binary> =
    Choice(&[("text", Binary::Text), ("base64", Binary::Base64), ("reject", Binary::Reject)]);
const REDELIVER: Choice<Redeliver> =
    Choice(&[("never", Redeliver::Never), ("unconfirmed", Redeliver::Unconfirmed)]);
const POLICY: Choice<OutagePolicy> = Choice(&[("hold", OutagePolicy::Hold), ("close", OutagePolicy::Close)]);

const PATH: Parsed<(String, Template)> = Parsed {
    range: "a template such as `\"/lobby/{lobby_id}\"`",
    parse: template,
    show: |(text, _)| text.clone(),
};
const BACKEND: Parsed<ServerUrl> = Parsed {
    range: "`ws://host:port/path` or `wss://host:port/path`, port 80 or 443 unless said",
    parse: ServerUrl::websocket,
    show: ServerUrl::to_string,
};

const ORIGIN: Parsed<AllowedOrigin> = Parsed {
    range: "`\"https://app.example.com\"`, `\"https://*.example.com\"` for its subdomains, `\"null\"`",
    parse: |text| AllowedOrigin::parse(text).map_err(|fault| format!("{} {fault}", quote(text))),
    show: AllowedOrigin::to_string,
};
const SUBPROTOCOL: Parsed<String> = Parsed {
    range: "1 to 64 characters of an HTTP token",
    parse: |text| {
        let wrong = "cannot be a subprotocol; take 1 to 64 letters, digits, -, _ and .";
        if token::is_name(text) { Ok(text.to_owned()) } else { Err(format!("{} {wrong}", quote(text))) }
    },
    show: String::clone,
};

/// How often a user may come: who reloads a page in anger is let in, who does it by a program is not.
const ATTEMPTS_PER_USER: door::Rate = door::Rate { burst: 30, per_minute: 60 };

/// The most endpoints of a gateway.
const ENDPOINTS_MAX: usize = 1_000;

/// Reads all endpoints, and which paths are theirs. One that has problems may be missing.
pub(super) fn read_all(root: &Section<'_>, drain: &DrainSettings) -> (Vec<EndpointConfig>, Routes) {
    let defaults = root.defaults();
    root.reader.section(vec![defaults.clone()], true, |s| (address(s), common(s, drain)));
    let tables = root.layers("endpoints");
    if tables.is_empty() || tables.len() > ENDPOINTS_MAX {
        root.reader.problem(
            &root.place_of("endpoints"),
            match tables.len() {
                0 => "there is none; write [endpoints.NAME] with path and backend".to_owned(),
                many => format!("there are {many}; a gateway may have {ENDPOINTS_MAX}"),
            },
        );
        return (Vec::new(), Routes::default());
    }
    let mut endpoints: Vec<(Place, EndpointConfig)> = Vec::new();
    let mut variables = BTreeMap::new();
    for (name, table) in tables {
        root.reader.section(vec![table, defaults.clone()], false, |s| {
            if let Some(problem) = name_problem(name) {
                root.reader.problem(&s.here(), problem);
            }
            let variable = s.variable("token_secret");
            if let Some(other) =
                variables.insert(variable.clone(), name).filter(|_| s.reader.is_set(&variable))
            {
                root.reader.problem(&s.here(), format!("shares {variable} with {other}; rename one of them"));
            }
            let endpoint = endpoint(name, s, drain);
            endpoints.extend(s.place("path").zip(endpoint));
        });
    }
    let routes = routes(root, &endpoints);
    (endpoints.into_iter().map(|(_, endpoint)| endpoint).collect(), routes)
}

/// Asks for every key of an endpoint, once.
pub(super) fn keys(s: &Section<'_>) {
    address(s);
    common(s, &DrainSettings::default());
}

fn endpoint(name: &str, s: &Section<'_>, drain: &DrainSettings) -> Option<EndpointConfig> {
    let (address, common) = (address(s), common(s, drain));
    let ((path, template), backend) = address?;
    let (token, verifier) = common.token?;
    let link_tls = if backend.secure { Some(link_tls(s, common.link_tls)?) } else { None };
    Some(EndpointConfig {
        name: name.to_owned(),
        path,
        template,
        backend,
        settings: common.settings,
        token,
        verifier,
        origins: common.origins,
        subprotocols: common.subprotocols,
        attempts_per_user: common.attempts_per_user,
        binary: common.binary,
        close_timeout: common.close_timeout,
        retry_after: common.retry_after,
        message_bytes_max: common.message_bytes_max,
        idle_timeout: common.idle_timeout,
        rates: common.rates,
        keepalive: common.keepalive,
        link: common.link,
        recording_bytes_max: 0,
        watched: false,
        link_tls,
    })
}

fn address(s: &Section<'_>) -> Option<((String, Template), ServerUrl)> {
    let path = s.own("path", PATH, "\"/lobby/{lobby_id}\"");
    let backend = s.own("backend", BACKEND, "\"ws://localhost:9000/\"");
    // Its query is not shown.
    backend.iter().for_each(|backend| s.hide("backend", backend.whole().as_bytes()));
    path.zip(backend)
}

fn common(s: &Section<'_>, drain: &DrainSettings) -> Common {
    let d = Settings::default();
    let duplicates = s.get("on_duplicate", DUPLICATES, d.duplicates);
    let expiry = s.get("on_expiry", EXPIRY, d.expiry);
    let binary = s.get("binary", BINARY, Binary::default());
    let redeliver = s.get("redeliver", REDELIVER, d.redeliver);
    let reopen_gap = s.get("reopen_gap", span(ZERO, MINUTE), d.reopen_gap);
    let crossing_window = s.get("crossing_window", span(ZERO, MINUTE), d.crossing_window);
    let sessions_max = s.get("sessions_max", count(1, 10_000_000), d.sessions_max);
    let close_timeout = s.get("close_timeout", span(MS_100, MINUTE), SECOND * 5);
    let retry_after = s.get("retry_after", seconds(1, 3_600), SECOND * 5);
    let message_bytes_max = s.get("message_bytes_max", size(128, 64 * MIB), 128 << 10);
    let idle_timeout = s.get("idle_timeout", span_or_off(MS_100, HOUR * 24), None);
    let rates = s.table("rate", |s| rates(s, message_bytes_max));
    let keepalive = s.table("keepalive", keepalive);
    let parked = (d.parked_bytes_max, d.parked_bytes_total_max);
    let (parked_bytes_max, parked_bytes_total_max) = s.table("parked", |s| bounds(s, parked));
    let queue = (d.client_queue_bytes_max, d.client_queue_bytes_total_max);
    let (client_queue_bytes_max, client_queue_bytes_total_max) =
        s.table("client_queue", |s| bounds(s, queue));
    let (of_machine, link, link_tls) = s.table("link", |s| link(s, d.link));
    let outage = s.table("outage", |s| outage(s, d.outage));
    let token = s.table("token", token::read);
    let origins = s.optional("origins", one_or_list(ORIGIN));
    let subprotocols = s.optional("subprotocols", list(SUBPROTOCOL)).unwrap_or_default();
    let attempts_per_user = s.table("per_user", |s| gateway::rate(s, ATTEMPTS_PER_USER));
    let settings = Settings {
        sessions_max,
        duplicates,
        reopen_gap,
        crossing_window,
        expiry,
        redeliver,
        parked_bytes_max,
        parked_bytes_total_max,
        client_queue_bytes_max,
        client_queue_bytes_total_max,
        link: of_machine,
        outage,
        drain: drain.clone(),
        seed: 0,
    };
    Common {
        settings,
        token,
        origins,
        subprotocols,
        attempts_per_user,
        binary,
        close_timeout,
        retry_after,
        message_bytes_max,
        idle_timeout,
        rates,
        keepalive,
        link,
        link_tls,
    }
}

/// The most that the header of a client's frame takes (RFC 6455, section 5.2).
const FRAME_HEADER_BYTES: u64 = 14;

fn rates(s: &Section<'_>, message_bytes_max: usize) -> Rates {
    let d = Rates::default();
    let messages = s.get("messages_per_second", count(0, 1_000_000), d.messages.per_second);
    let bytes = s.get("bytes_per_second", size(0, GIB), d.bytes.per_second as usize);
    let burst = s.get("burst", span(MS_100, MINUTE), d.messages.burst);
    let on_excess = s.get("on_excess", ON_EXCESS, d.on_excess);
    // One that is only slowed down can send its largest message all the same.
    let at_once = (bytes as u64).saturating_mul(burst.0) / 1_000;
    let largest = message_bytes_max as u64 + FRAME_HEADER_BYTES;
    let broken = on_excess == OnExcess::Close && bytes > 0 && at_once < largest;
    s.contradiction(broken, &["on_excess", "bytes_per_second", "burst"], || {
        format!(
            "on_excess = \"close\" would close whoever sends a message of message_bytes_max, {largest} bytes with its \
             header, as bytes_per_second times burst is {at_once}; raise one of these or lower message_bytes_max"
        )
    });
    Rates {
        messages: Rate { per_second: messages, burst },
        bytes: Rate { per_second: bytes as u64, burst },
        on_excess,
    }
}

fn keepalive(s: &Section<'_>) -> Keepalive {
    Keepalive {
        interval: s.get("interval", span_or_off(MS_100, HOUR), Some(SECOND * 30)),
        timeout: s.get("timeout", span(MS_100, HOUR), SECOND * 30),
    }
}

/// What bounds one session and all of them: `[parked]` and `[client_queue]`.
fn bounds(s: &Section<'_>, (one, all): (usize, usize)) -> (usize, usize) {
    let one = s.get("bytes_max", size(KIB, GIB), one);
    let all = s.get("total_bytes_max", size(KIB, 64 * GIB), all);
    s.ordered(("bytes_max", one), ("total_bytes_max", all), size(KIB, GIB), Order::AtMost);
    (one, all)
}

fn link(s: &Section<'_>, d: LinkSettings) -> (LinkSettings, LinkConfig, ClientFiles) {
    let of_machine = LinkSettings {
        redial_min: s.get("redial_min", span(MS_10, MINUTE), d.redial_min),
        backoff_first: s.get("backoff_first", span(MS_10, HOUR), d.backoff_first),
        backoff_max: s.get("backoff_max", span(MS_10, HOUR), d.backoff_max),
        high_bytes: s.get("queue_high", size(KIB, GIB), d.high_bytes),
        low_bytes: s.get("queue_low", size(0, GIB), d.low_bytes),
        share_bytes: s.get("client_share", size(KIB, GIB), d.share_bytes),
        confirm_delay: s.get("confirm_delay", span(ZERO, SECOND * 10), d.confirm_delay),
        ping_interval: s.get("ping_interval", span(MS_100, HOUR), d.ping_interval),
        pong_timeout: s.get("pong_timeout", span(MS_100, HOUR), d.pong_timeout),
    };
    let l = &of_machine;
    let (first, max) = (("backoff_first", l.backoff_first), ("backoff_max", l.backoff_max));
    s.ordered(("redial_min", l.redial_min), max, span(MS_10, HOUR), Order::AtMost);
    s.ordered(first, max, span(MS_10, HOUR), Order::AtMost);
    s.ordered(("queue_low", l.low_bytes), ("queue_high", l.high_bytes), size(0, GIB), Order::Below);
    let link = LinkConfig {
        connect_timeout: s.get("connect_timeout", span(MS_100, MINUTE * 5), SECOND * 5),
        message_bytes_max: s.get("message_bytes_max", size(KIB, GIB), 4 << 20),
    };
    let tls = s.table("tls", |s| ClientFiles { ca: tls::file(s, "ca_file"), identity: tls::identity(s) });
    (of_machine, link, tls)
}

/// Reads what a backend that speaks TLS is met with.
fn link_tls(s: &Section<'_>, files: ClientFiles) -> Option<ClientTls> {
    match ClientTls::load(files) {
        Ok(tls) => Some(tls),
        Err(fault) => {
            let mut place = s.here();
            place.name.push_str(".link.tls");
            s.reader.problem(&place, fault.to_string());
            None
        }
    }
}

fn outage(s: &Section<'_>, d: OutageSettings) -> OutageSettings {
    OutageSettings {
        policy: s.get("policy", POLICY, d.policy),
        grace: s.get("grace", span(ZERO, HOUR * 24), d.grace),
        spread: s.get("spread", span(ZERO, HOUR), d.spread),
    }
}

fn template(text: &str) -> Result<(String, Template), String> {
    if text.len() > PATH_BYTES_MAX {
        return Err(format!("{} is too long; it may have {PATH_BYTES_MAX} bytes", quote(text)));
    }
    match Template::parse(text) {
        Ok(template) => Ok((text.to_owned(), template)),
        Err(problem) => Err(problem.to_string()),
    }
}

/// The most bytes of a path template.
const PATH_BYTES_MAX: usize = 1_024;

/// No path may match two endpoints: which of them counts would be an accident.
fn routes(root: &Section<'_>, endpoints: &[(Place, EndpointConfig)]) -> Routes {
    let templates = endpoints.iter().map(|(_, endpoint)| endpoint.template.clone());
    Routes::new(templates).unwrap_or_else(|overlap| {
        for (left, right) in overlap.pairs {
            let ((other, first), (place, second)) = (&endpoints[left], &endpoints[right]);
            let (mine, theirs) = (quote(&second.path), quote(&first.path));
            let text = format!("{mine} overlaps with {} = {theirs}; change one of them", other.name);
            root.reader.problem(place, text);
        }
        Routes::default()
    })
}

fn name_problem(name: &str) -> Option<String> {
    let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    let fine = (1..=64).contains(&name.len()) && name.bytes().all(good);
    (!fine).then(|| format!("{} cannot be a name; take 1 to 64 of a-z, 0-9, - and _", quote(name)))
}

impl fmt::Debug for EndpointConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointConfig")
            .field("name", &self.name)
            .field("path", &self.path)
            .field("backend", &self.backend)
            .field("settings", &self.settings)
            .field("token", &token::Shown(&self.token))
            .field("origins", &self.origins)
            .field("subprotocols", &self.subprotocols)
            .field("attempts_per_user", &self.attempts_per_user)
            .field("binary", &self.binary)
            .field("close_timeout", &self.close_timeout)
            .field("retry_after", &self.retry_after)
            .field("message_bytes_max", &self.message_bytes_max)
            .field("idle_timeout", &self.idle_timeout)
            .field("rates", &self.rates)
            .field("keepalive", &self.keepalive)
            .field("link", &self.link)
            .field("link_tls", &self.link_tls)
            .finish_non_exhaustive()
    }
}
