//! All figures in Prometheus' text format (version 0.0.4).

use prometheus::{
    Encoder, TEXT_FORMAT, TextEncoder,
    proto::{self, LabelPair, Metric, MetricFamily, MetricType},
};

use super::{
    BOUNDS_MICROS, Counters, DROP_CAUSES, END_CAUSES, EndpointMetrics, FAULTS, Histogram, PHASES, Process,
};
use crate::{config::EndpointConfig, reload::Reloads};
use trunkline_laws::Law;

/// What is scraped.
pub(crate) struct Scraped<'a> {
    pub(crate) endpoints: Vec<(&'a EndpointConfig, &'a EndpointMetrics)>,
    /// Answers to handshakes: on which endpoint (an empty name where none is known), which, how many.
    pub(crate) handshakes: Vec<(&'a str, &'static str, u64)>,
    pub(crate) connections: usize,
    pub(crate) connections_max: usize,
    pub(crate) draining: bool,
    /// Spans that a collector has taken, and that none will.
    pub(crate) spans: (u64, u64),
    pub(crate) reloads: &'a Reloads,
    /// In milliseconds of Unix time.
    pub(crate) started_at: u64,
    pub(crate) now: u64,
    pub(crate) process: Process,
}

/// Writes everything. Returns it with its content type.
pub(crate) fn write(scraped: &Scraped<'_>) -> (Vec<u8>, &'static str) {
    let mut families = Vec::new();
    of_gateway(scraped, &mut families);
    of_sessions(scraped, &mut families);
    of_queues(scraped, &mut families);
    of_links(scraped, &mut families);
    of_laws(scraped, &mut families);
    of_recordings(scraped, &mut families);
    of_process(scraped, &mut families);
    // Whoever encodes a family without a metric gets an error.
    families.retain(|family| !family.get_metric().is_empty());
    let mut text = Vec::new();
    // A vector takes all that is written to it, and what is written is named.
    let _ = TextEncoder::new().encode(&families, &mut text);
    (text, TEXT_FORMAT)
}

type Families = Vec<MetricFamily>;
type Labels<'a> = &'a [(&'static str, &'a str)];

fn of_gateway(s: &Scraped<'_>, to: &mut Families) {
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    let mut build = gauge("trunkline_build_info", "The version that runs; always 1.");
    add(&mut build, &version, 1.0);
    to.push(build);
    single(to, gauge("trunkline_draining", "Whether the gateway has been told to stop."), s.draining.into());
    let connections = gauge("trunkline_connections", "Sockets of clients that were let in.");
    single(to, connections, s.connections as f64);
    let most = gauge("trunkline_connections_limit", "How many there may be: limits.connections_max.");
    single(to, most, s.connections_max as f64);
    let (exported, dropped) = s.spans;
    let taken = counter("trunkline_spans_exported_total", "Spans that the collector has taken.");
    single(to, taken, exported as f64);
    let lost = "Spans that were dropped: too many waited, or the collector did not take them.";
    single(to, counter("trunkline_spans_dropped_total", lost), dropped as f64);
    of_reloads(s.reloads, to);
    let mut handshakes = counter(
        "trunkline_handshakes_total",
        "Handshakes by their answer; without an endpoint where none was found yet.",
    );
    for (endpoint, answer, count) in &s.handshakes {
        add(&mut handshakes, &[("endpoint", endpoint), ("answer", answer)], *count as f64);
    }
    to.push(handshakes);
}

fn of_sessions(s: &Scraped<'_>, to: &mut Families) {
    s.gauge(to, "trunkline_sessions", "Live sessions.", |_, m| m.load.live.get());
    let limit = "How many there may be: sessions_max.";
    s.gauge(to, "trunkline_sessions_limit", limit, |c, _| c.settings.sessions_max.into());
    let owed = "Sessions that are over and whose close is still to be confirmed.";
    s.gauge(to, "trunkline_sessions_owed", owed, |_, m| m.load.owed.get());
    s.counter(to, "trunkline_sessions_opened_total", "Sessions that began.", |m| m.opens.get());
    let closed = "Sessions that ended, by cause.";
    s.by_cause(to, "trunkline_sessions_closed_total", closed, &END_CAUSES, |m| &m.closes);
    let both = |m: &EndpointMetrics| {
        [("from_clients", &m.from_clients), ("to_clients", &m.to_clients)]
            .map(|(name, traffic)| (name, traffic.messages.get(), traffic.bytes.get()))
    };
    let mut messages =
        counter("trunkline_messages_total", "Messages handed to the link, and queued for clients.");
    let mut bytes = counter("trunkline_message_bytes_total", "Bytes of these messages, as clients see them.");
    for (config, metrics) in &s.endpoints {
        for (direction, count, size) in both(metrics) {
            let labels = [("endpoint", config.name.as_str()), ("direction", direction)];
            add(&mut messages, &labels, count as f64);
            add(&mut bytes, &labels, size as f64);
        }
    }
    to.extend([messages, bytes]);
    let ignored = "Actions of backends that were ignored, by cause.";
    s.by_cause(to, "trunkline_actions_ignored_total", ignored, &FAULTS, |m| &m.ignored);
    let replaced = "Closes by backends whose status may not be sent.";
    s.counter(to, "trunkline_close_statuses_replaced_total", replaced, |m| m.statuses_replaced.get());
    let dropped = "Messages of clients that no backend got, or that none confirmed, by cause.";
    s.by_cause(to, "trunkline_messages_dropped_total", dropped, &DROP_CAUSES, |m| &m.dropped);
    let lost = "Bytes that were queued for clients and did not reach them.";
    s.counter(to, "trunkline_client_queue_dropped_bytes_total", lost, |m| m.queue_dropped_bytes.get());
    let there = "From the turn in which a message was read from its client until the link's socket took it.";
    s.histogram(to, "trunkline_client_to_link_seconds", there, |m| &m.client_to_link);
    let back = "From the turn in which a message was read from the link until its client's socket took it.";
    s.histogram(to, "trunkline_link_to_client_seconds", back, |m| &m.link_to_client);
}

fn of_queues(s: &Scraped<'_>, to: &mut Families) {
    let parked = "Bytes of messages that wait for an open or for the link.";
    s.gauge(to, "trunkline_parked_bytes", parked, |_, m| m.load.parked_bytes.get());
    let limit = "Above this nobody is read from: parked.total_bytes_max.";
    s.gauge(to, "trunkline_parked_limit_bytes", limit, |c, _| c.settings.parked_bytes_total_max as u64);
    let queued = "Bytes that wait for clients.";
    s.gauge(to, "trunkline_client_queue_bytes", queued, |_, m| m.load.client_bytes.get());
    let limit = "Above this the slowest client is closed: client_queue.total_bytes_max.";
    let most = |c: &EndpointConfig, _: &EndpointMetrics| c.settings.client_queue_bytes_total_max as u64;
    s.gauge(to, "trunkline_client_queue_limit_bytes", limit, most);
    let stopped = "Clients that are not read from for now.";
    s.gauge(to, "trunkline_clients_stopped", stopped, |_, m| m.load.stopped.get());
    let all = "Whether nobody is read from, since too much is parked in sum.";
    s.gauge(to, "trunkline_all_clients_stopped", all, |_, m| m.load.all_stopped.get());
    let stops = "How often a client was stopped.";
    s.counter(to, "trunkline_client_stops_total", stops, |m| m.stops.get());
    let stops = "How often all clients were stopped.";
    s.counter(to, "trunkline_all_clients_stops_total", stops, |m| m.stops_of_all.get());
}

fn of_links(s: &Scraped<'_>, to: &mut Families) {
    let mut states = gauge("trunkline_link_state", "1 for the state that the link is in.");
    for (config, metrics) in &s.endpoints {
        for (place, (_, state)) in PHASES.into_iter().enumerate() {
            let labels = [("endpoint", config.name.as_str()), ("state", state)];
            add(&mut states, &labels, f64::from(metrics.link.phase() == place));
        }
    }
    to.push(states);
    let dials = "Attempts to connect to the backend.";
    s.counter(to, "trunkline_link_dials_total", dials, |m| m.dials.get());
    s.counter(to, "trunkline_link_connects_total", "Connections to the backend.", |m| m.connects.get());
    let timeouts = "Links that broke for want of a Pong.";
    s.counter(to, "trunkline_link_pong_timeouts_total", timeouts, |m| m.pong_timeouts.get());
    let mut outage = counter(
        "trunkline_link_outage_seconds_total",
        "How long the backend had not heard everything, the present outage included.",
    );
    for (config, metrics) in &s.endpoints {
        add(&mut outage, &[("endpoint", &config.name)], metrics.link.outage_seconds(s.now));
    }
    to.push(outage);
    let queued = "Bytes that wait for the link's socket.";
    s.gauge(to, "trunkline_link_queue_bytes", queued, |_, m| m.load.link_queued_bytes.get());
    let unconfirmed = "Bytes of events that the backend has not confirmed.";
    s.gauge(to, "trunkline_link_unconfirmed_bytes", unconfirmed, |_, m| m.load.link_unconfirmed_bytes.get());
    let limit = "Above this, of either, senders are stopped: link.queue_high.";
    s.gauge(to, "trunkline_link_queue_limit_bytes", limit, |c, _| c.settings.link.high_bytes as u64);
    let full = "Whether senders are stopped because the link takes no more.";
    s.gauge(to, "trunkline_link_full", full, |_, m| m.load.link_full.get());
    s.counter(to, "trunkline_link_stalls_total", "How often the link was full.", |m| m.link_full.get());
}

fn of_recordings(s: &Scraped<'_>, to: &mut Families) {
    let missed = "Steps that the recording on disk does not have.";
    s.counter(to, "trunkline_recording_missed_steps_total", missed, |m| m.recording_missed.get());
}

fn of_reloads(r: &Reloads, to: &mut Vec<MetricFamily>) {
    let mut reloads =
        counter("trunkline_config_reloads_total", "Reloads of the configuration, by what came of them.");
    for (result, count) in [("applied", &r.applied), ("unchanged", &r.unchanged), ("failed", &r.failed)] {
        add(&mut reloads, &[("result", result)], count.get() as f64);
    }
    to.push(reloads);
    let last = "Whether the last reload found a configuration that is right.";
    single(to, gauge("trunkline_config_last_reload_successful", last), r.successful.get().into());
    let last = "When the configuration that is in force was read.";
    let at = gauge("trunkline_config_last_reload_success_timestamp_seconds", last);
    single(to, at, r.succeeded_at.get() as f64 / 1e3);
}

/// Of the endpoints that are watched; a family without any is left out.
fn of_laws(s: &Scraped<'_>, to: &mut Families) {
    let mut steps = counter("trunkline_law_steps_total", "Steps that were held against the laws.");
    let mut breaches = counter("trunkline_law_breaches_total", "Steps that broke a law, by law.");
    for (config, metrics) in s.endpoints.iter().filter(|(config, _)| config.watched) {
        let endpoint = ("endpoint", config.name.as_str());
        add(&mut steps, &[endpoint], metrics.law_steps.get() as f64);
        for (law, count) in Law::WATCHED.iter().zip(metrics.law_breaches.all()) {
            add(&mut breaches, &[endpoint, ("law", law.name())], count as f64);
        }
    }
    to.extend([steps, breaches]);
}

/// By the names that Prometheus' own libraries give them.
fn of_process(s: &Scraped<'_>, to: &mut Families) {
    let p = &s.process;
    let figures = [
        (gauge("process_resident_memory_bytes", "Resident memory size in bytes."), p.resident_bytes),
        (gauge("process_virtual_memory_bytes", "Virtual memory size in bytes."), p.virtual_bytes),
        (gauge("process_open_fds", "Number of open file descriptors."), p.open_descriptors),
        (gauge("process_max_fds", "Maximum number of open file descriptors."), p.max_descriptors),
        (gauge("process_threads", "Number of OS threads in the process."), p.threads),
    ];
    for (family, value) in figures {
        if let Some(value) = value {
            single(to, family, value as f64);
        }
    }
    if let Some(seconds) = p.cpu_seconds {
        let family = counter("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.");
        single(to, family, seconds);
    }
    let started = "Start time of the process since unix epoch in seconds.";
    single(to, gauge("process_start_time_seconds", started), s.started_at as f64 / 1e3);
}

impl Scraped<'_> {
    fn gauge(
        &self,
        to: &mut Families,
        name: &str,
        help: &str,
        get: impl Fn(&EndpointConfig, &EndpointMetrics) -> u64,
    ) {
        let mut family = gauge(name, help);
        for (config, metrics) in &self.endpoints {
            add(&mut family, &[("endpoint", &config.name)], get(config, metrics) as f64);
        }
        to.push(family);
    }

    fn counter(&self, to: &mut Families, name: &str, help: &str, get: impl Fn(&EndpointMetrics) -> u64) {
        let mut family = counter(name, help);
        for (config, metrics) in &self.endpoints {
            add(&mut family, &[("endpoint", &config.name)], get(metrics) as f64);
        }
        to.push(family);
    }

    fn by_cause<const N: usize>(
        &self,
        to: &mut Families,
        name: &str,
        help: &str,
        causes: &[&str; N],
        get: impl Fn(&EndpointMetrics) -> &Counters<N>,
    ) {
        let mut family = counter(name, help);
        for (config, metrics) in &self.endpoints {
            for (cause, count) in causes.iter().zip(get(metrics).all()) {
                add(&mut family, &[("endpoint", &config.name), ("cause", cause)], count as f64);
            }
        }
        to.push(family);
    }

    fn histogram(
        &self,
        to: &mut Families,
        name: &str,
        help: &str,
        get: impl Fn(&EndpointMetrics) -> &Histogram,
    ) {
        let mut family = family(name, help, MetricType::HISTOGRAM);
        for (config, metrics) in &self.endpoints {
            let mut metric = Metric::from_label(pairs(&[("endpoint", &config.name)]));
            metric.set_histogram(summed_up(get(metrics)));
            family.mut_metric().push(metric);
        }
        to.push(family);
    }
}

/// As Prometheus counts: each bucket with all that is below it.
fn summed_up(histogram: &Histogram) -> proto::Histogram {
    let (mut sum, mut buckets) = (0, Vec::with_capacity(BOUNDS_MICROS.len()));
    let counts = histogram.buckets();
    for (count, bound) in counts.iter().zip(BOUNDS_MICROS) {
        sum += count;
        let mut bucket = proto::Bucket::default();
        bucket.set_cumulative_count(sum);
        bucket.set_upper_bound(bound as f64 / 1e6);
        buckets.push(bucket);
    }
    let mut summed = proto::Histogram::default();
    summed.set_bucket(buckets);
    summed.set_sample_count(counts.iter().sum());
    summed.set_sample_sum(histogram.seconds());
    summed
}

fn counter(name: &str, help: &str) -> MetricFamily {
    family(name, help, MetricType::COUNTER)
}

fn gauge(name: &str, help: &str) -> MetricFamily {
    family(name, help, MetricType::GAUGE)
}

fn family(name: &str, help: &str, kind: MetricType) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family
}

fn single(to: &mut Families, mut family: MetricFamily, value: f64) {
    add(&mut family, &[], value);
    to.push(family);
}

fn add(family: &mut MetricFamily, labels: Labels<'_>, value: f64) {
    let mut metric = Metric::from_label(pairs(labels));
    if family.get_field_type() == MetricType::COUNTER {
        let mut counter = proto::Counter::default();
        counter.set_value(value);
        metric.set_counter(counter);
    } else {
        let mut gauge = proto::Gauge::default();
        gauge.set_value(value);
        metric.set_gauge(gauge);
    }
    family.mut_metric().push(metric);
}

fn pairs(labels: Labels<'_>) -> Vec<LabelPair> {
    let pair = |(name, value): &(&'static str, &str)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    };
    labels.iter().map(pair).collect()
}
