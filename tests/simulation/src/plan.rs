//! What a seed stands for: the gateway's configuration, who the clients and the backends are, what fails and when.

use rand::{Rng, RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};

use crate::record::EndpointIndex;

/// The host of the gateway.
pub(crate) const GATEWAY: &str = "gateway";
/// The hosts of the backends, by their endpoints.
pub(crate) const BACKENDS: [&str; 2] = ["backend-0", "backend-1"];
/// The hosts of the clients.
pub(crate) const CLIENTS: [&str; 3] = ["clients-0", "clients-1", "clients-2"];
/// What gateway and clients share.
pub(crate) const SECRET: &str = "a secret of the simulation, which is long enough";
/// The names of users, whatever they contain.
pub(crate) const USERS: [&str; 4] = ["ann", "__proto__", "b\u{f6}b \"\\\u{1}", "\u{1f980}"];

/// Clients on a host.
const CLIENTS_PER_HOST: usize = 3;
/// When the first thing fails, when the last, and how long it takes at most.
const FAULTS_FROM_MS: u64 = 2_000;
const TROUBLE_MS: u64 = 14_000;
const FAULT_MS_MAX: u64 = 3_500;
/// How long after the last fault everything has come to rest: longer than any patience of gateway and clients, one after
/// the other.
pub(crate) const REST_MS: u64 = 16_000;
/// How long clients then wait for the answer to one more message.
pub(crate) const LAST_WORD_MS: u64 = 3_000;
/// How long the gateway may take to stop: its drain's times, and what it gives clients to answer a close frame.
pub(crate) const STOP_MS_MAX: u64 = 6_000;

/// What may wait for a client.
pub(crate) const CLIENT_QUEUE_BYTES: usize = 16_384;
/// The gap between a `close` and the next `open`.
pub(crate) const REOPEN_GAP_MS: u64 = 100;

/// A run, before it has begun.
#[derive(Clone, PartialEq, Debug)]
pub struct Plan {
    /// What it was made of.
    pub seed: u64,
    /// Of the endpoints.
    pub(crate) endpoints: [EndpointPlan; 2],
    pub(crate) backends: [BackendPlan; 2],
    /// For each host, a seed for each client.
    pub(crate) clients: Vec<Vec<u64>>,
    /// When something begins to fail, for how long, and what.
    pub(crate) faults: Vec<(u64, u64, Fault)>,
    /// How long clients are held while the backend is away.
    pub(crate) grace_ms: u64,
    /// How long a segment takes from host to host, at least and at most.
    pub(crate) latency_ms: (u64, u64),
    /// When nothing fails any more, and no new client comes.
    pub(crate) heals_at: u64,
}

/// How an endpoint is configured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct EndpointPlan {
    /// Who comes while the user is there is refused.
    pub(crate) rejects: bool,
    /// What was not confirmed is sent again.
    pub(crate) redelivers: bool,
}

/// How a backend behaves while things may fail.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct BackendPlan {
    pub(crate) seed: u64,
    /// How long its application lags behind its library.
    pub(crate) lag_ms: u64,
    /// Whether its users survive its process.
    pub(crate) keeps: bool,
    /// How likely it is, event by event, to close the event's user, to send it more than it can take, to stop reading
    /// for a while, to end the link, to send what is no action.
    pub(crate) closes: f64,
    pub(crate) floods: f64,
    pub(crate) stalls: f64,
    pub(crate) ends_link: f64,
    pub(crate) misbehaves: f64,
}

/// Something that fails for a while, or at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// What is sent between the gateway and the host of this name waits, and arrives in the end.
    Held(&'static str),
    /// What is sent between them is lost, and so is all that would have followed it on the same connection.
    CutOff(&'static str),
    /// The process on this host ends, and begins again.
    Crash(&'static str),
    /// The gateway's process ends, without having said anything, and begins again.
    Killed,
    /// The wall clock is set forward by so many milliseconds.
    ClockSet(i64),
}

impl Plan {
    /// The plan that a seed stands for.
    pub fn of(seed: u64) -> Plan {
        let mut chance = StdRng::seed_from_u64(seed);
        let is_calm = chance.random_bool(0.1);
        let faults = if is_calm { Vec::new() } else { faults(&mut chance) };
        let endpoints = [(); 2]
            .map(|()| EndpointPlan { rejects: chance.random_bool(0.3), redelivers: chance.random_bool(0.5) });
        let backends = [(); 2].map(|()| backend(&mut chance));
        let clients = CLIENTS.map(|_| (0..CLIENTS_PER_HOST).map(|_| chance.next_u64()).collect());
        Plan {
            seed,
            endpoints,
            backends,
            clients: clients.to_vec(),
            faults,
            grace_ms: *[1_500, 60_000].choose(&mut chance).unwrap_or(&60_000),
            latency_ms: *[(1, 1), (1, 10), (10, 60)].choose(&mut chance).unwrap_or(&(1, 1)),
            heals_at: TROUBLE_MS + FAULT_MS_MAX,
        }
    }

    /// Nothing fails, and no backend is slow to read: what happens is seen when it happens.
    pub fn is_calm(&self) -> bool {
        self.faults.is_empty() && !self.backends.iter().any(BackendPlan::is_slow_to_read)
    }

    /// The gateway's configuration.
    pub(crate) fn config(&self) -> String {
        let endpoint = |(index, endpoint): (usize, &EndpointPlan)| {
            let duplicate = if endpoint.rejects { "reject" } else { "take_over" };
            let redeliver = if endpoint.redelivers { "unconfirmed" } else { "never" };
            format!(
                r#"
                [endpoints.e{index}]
                path = "/e{index}/{{room}}"
                backend = "ws://{}:9000/"
                on_duplicate = "{duplicate}"
                redeliver = "{redeliver}"
                "#,
                BACKENDS[index]
            )
        };
        let endpoints: String = self.endpoints.iter().enumerate().map(endpoint).collect();
        // The crossing window is longer than a fault and a lag together.
        format!(
            r#"
            listen.address = "0.0.0.0:8080"
            limits.workers = 2
            laws.endpoints = "all"
            limits.per_address.attempts_burst = 1000000
            drain = {{ time = "2s", confirm_timeout = "1s" }}
            [defaults]
            per_user.attempts_burst = 1000000
            reopen_gap = "{REOPEN_GAP_MS}ms"
            crossing_window = "10s"
            close_timeout = "2s"
            keepalive = {{ interval = "3s", timeout = "3s" }}
            client_queue = {{ bytes_max = {CLIENT_QUEUE_BYTES}, total_bytes_max = "64KiB" }}
            parked = {{ bytes_max = "4KiB", total_bytes_max = "16KiB" }}
            outage = {{ grace = "{}ms", spread = "500ms" }}
            [defaults.link]
            backoff_first = "250ms"
            backoff_max = "1s"
            queue_high = "16KiB"
            queue_low = "8KiB"
            ping_interval = "2s"
            pong_timeout = "4s"
            connect_timeout = "2s"
            [defaults.token]
            algorithms = ["HS256"]
            secret = "{SECRET}"
            {endpoints}
            "#,
            self.grace_ms
        )
    }

    /// The gateway is killed at some time.
    pub(crate) fn kills_gateway(&self) -> bool {
        self.faults.iter().any(|(.., fault)| *fault == Fault::Killed)
    }

    /// The host of an endpoint's backend fails, or the way to it, in these times.
    pub(crate) fn disturbs(&self, endpoint: EndpointIndex, from: u64, to: u64) -> bool {
        self.disturbs_host(BACKENDS[endpoint], from, to)
    }

    /// A host fails, or the way to it, or the gateway, in these times.
    pub(crate) fn disturbs_host(&self, host: &str, from: u64, to: u64) -> bool {
        self.faults.iter().any(|(at, span, fault)| {
            let concerns = match fault {
                Fault::Held(failing) | Fault::CutOff(failing) | Fault::Crash(failing) => *failing == host,
                Fault::Killed => true,
                Fault::ClockSet(_) => false,
            };
            concerns && *at <= to && from <= at + span
        })
    }
}

impl BackendPlan {
    /// It may not read for a while, in itself or while it sends very much.
    pub(crate) fn is_slow_to_read(&self) -> bool {
        self.stalls > 0.0 || self.floods > 0.0
    }

    /// Its link may break by its own doing.
    pub(crate) fn is_unsteady(&self) -> bool {
        self.ends_link > 0.0
    }
}

fn faults(chance: &mut StdRng) -> Vec<(u64, u64, Fault)> {
    let mut faults = Vec::new();
    let mut at = FAULTS_FROM_MS;
    loop {
        at += chance.random_range(0..4_000);
        if at >= TROUBLE_MS {
            return faults;
        }
        let anybody = [BACKENDS[0], BACKENDS[0], BACKENDS[1], BACKENDS[1], CLIENTS[0], CLIENTS[1]];
        let host = anybody.choose(chance).copied().unwrap_or(BACKENDS[0]);
        let fault = match chance.random_range(0..20) {
            0..6 => Fault::Held(host),
            6..12 => Fault::CutOff(host),
            12..17 => Fault::Crash(host),
            17 => Fault::Killed,
            _ => Fault::ClockSet(chance.random_range(-30_000..30_000)),
        };
        let span = if let Fault::ClockSet(_) = fault { 0 } else { chance.random_range(50..FAULT_MS_MAX) };
        // One thing at a time on a host: what one fault mends, another must not have broken.
        let is_free = |other: &(u64, u64, Fault)| other.0 + other.1 < at || !fault.shares_with(other.2);
        if faults.iter().all(is_free) {
            faults.push((at, span, fault));
        }
    }
}

impl Fault {
    /// Whether two faults are about the same host.
    fn shares_with(self, other: Fault) -> bool {
        let host = |fault| match fault {
            Fault::Held(host) | Fault::CutOff(host) | Fault::Crash(host) => Some(host),
            Fault::Killed => Some(GATEWAY),
            Fault::ClockSet(_) => None,
        };
        host(self).is_some() && host(self) == host(other)
    }
}

fn backend(chance: &mut StdRng) -> BackendPlan {
    let mut sometimes = |often: f64| if chance.random_bool(0.4) { often } else { 0.0 };
    let (closes, floods, stalls) = (sometimes(0.02), sometimes(0.02), sometimes(0.01));
    let (ends_link, misbehaves) = (sometimes(0.01), sometimes(0.03));
    let keeps = chance.random_bool(0.5);
    BackendPlan {
        seed: chance.next_u64(),
        // What its library has and its application has not handled is lost with the process, confirmed or not: a backend
        // that keeps its users must not lag, or a `close` is lost to it for ever.
        lag_ms: if keeps { 0 } else { *[0, 5, 300].choose(chance).unwrap_or(&0) },
        keeps,
        closes,
        floods,
        stalls,
        ends_link,
        misbehaves,
    }
}

/// The text of a client's message: who says it, and something that depends on both numbers, whatever characters that
/// has.
pub(crate) fn words(conn: u32, number: u32) -> String {
    const FILLERS: [&str; 6] =
        ["", "\"quoted\\\"", "\u{0}\u{1f}\r\n\t", "\u{1f600}\u{e9}\u{2028}", "{\"json\":[1]}", "</script>"];
    let index = conn.wrapping_mul(31).wrapping_add(number) as usize;
    let times = if index.is_multiple_of(17) { 200 } else { 1 + index % 3 };
    format!("{conn}.{number} {}", FILLERS[index % FILLERS.len()].repeat(times))
}
