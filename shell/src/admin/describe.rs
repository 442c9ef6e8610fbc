//! Answers as JSON, in the shapes of `docs/openapi.json`.

use serde_json::{Map, Value, json};

use super::Admin;
use crate::{
    clock::unix_millis,
    endpoint::{Closed, SessionInfo},
    metrics::{DROP_CAUSES, END_CAUSES, FAULTS, PHASES, Process, end_name},
    series::Shares,
    server::Gate,
};
use trunkline_core::SessionId;

pub(super) fn gateway(admin: &Admin) -> Value {
    let front = &admin.front;
    let process = Process::now();
    let places = &front.places;
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "started_at": admin.started_at,
        "now": unix_millis(),
        "draining": front.door.drains(),
        "connections": places.taken(),
        "connections_max": places.max(),
        "resident_bytes": process.resident_bytes,
        "open_descriptors": process.open_descriptors,
        "max_descriptors": process.max_descriptors,
        "cpu_seconds": process.cpu_seconds,
    })
}

/// An endpoint.
pub(super) fn endpoint(gate: &Gate) -> Value {
    let (config, metrics) = (&gate.config, &gate.desk.metrics);
    let (load, settings) = (&metrics.load, &config.settings);
    let [there, back] = gate.desk.series.borrow().recent();
    json!({
        "name": config.name,
        "path": config.path,
        "backend": config.backend.to_string(),
        "accepting": gate.desk.status.borrow().accepting,
        "keys": config.verifier.has_keys(),
        "link": link(gate),
        "sessions": load.live.get(),
        "sessions_max": settings.sessions_max,
        "owed": load.owed.get(),
        "stopped": load.stopped.get(),
        "all_stopped": load.all_stopped.get() > 0,
        "parked_bytes": load.parked_bytes.get(),
        "queued_bytes": load.client_bytes.get(),
        "latency": { "client_to_link": shares(there), "link_to_client": shares(back) },
        "totals": totals(gate),
    })
}

fn link(gate: &Gate) -> Value {
    let (metrics, now) = (&gate.desk.metrics, unix_millis());
    let (load, times) = (&metrics.load, &metrics.link);
    json!({
        "state": PHASES.get(times.phase()).map_or("down", |(_, state)| state),
        "since": times.since(),
        "dials": metrics.dials.get(),
        "connects": metrics.connects.get(),
        "outage_since": times.outage_since(),
        "outage_seconds": times.outage_seconds(now),
        "queued_bytes": load.link_queued_bytes.get(),
        "unconfirmed_bytes": load.link_unconfirmed_bytes.get(),
        "full": load.link_full.get() > 0,
    })
}

fn totals(gate: &Gate) -> Value {
    let metrics = &gate.desk.metrics;
    let refused: Map<_, _> = gate
        .desk
        .answers
        .refused()
        .into_iter()
        .map(|(answer, count)| (answer.to_owned(), count.into()))
        .collect();
    json!({
        "opens": metrics.opens.get(),
        "closes": by_cause(&END_CAUSES, metrics.closes.all()),
        "refused": refused,
        "messages_from_clients": metrics.from_clients.messages.get(),
        "bytes_from_clients": metrics.from_clients.bytes.get(),
        "messages_to_clients": metrics.to_clients.messages.get(),
        "bytes_to_clients": metrics.to_clients.bytes.get(),
        "actions_ignored": by_cause(&FAULTS, metrics.ignored.all()),
        "messages_dropped": by_cause(&DROP_CAUSES, metrics.dropped.all()),
    })
}

fn by_cause<const N: usize>(causes: &[&str; N], counts: [u64; N]) -> Map<String, Value> {
    causes.iter().zip(counts).map(|(cause, count)| ((*cause).to_owned(), count.into())).collect()
}

fn shares(shares: Shares) -> Value {
    json!({ "p50": shares.p50, "p99": shares.p99 })
}

pub(super) fn session(endpoint: &str, info: &SessionInfo) -> Value {
    // It is written by the gateway itself, as its backend gets it.
    let fields: Value = serde_json::from_str(&format!("{{{}}}", info.fields)).unwrap_or_default();
    json!({
        "endpoint": endpoint,
        "id": id(info.id),
        "user": info.user,
        "params": fields["params"],
        "announced": info.announced,
        "client": info.client,
        "since": info.since,
        "age_seconds": seconds(info.age),
        "last_activity": info.last_activity,
        "expires_at": info.expires_at,
        "messages_from_client": info.from_client.messages,
        "bytes_from_client": info.from_client.bytes,
        "messages_to_client": info.to_client.messages,
        "bytes_to_client": info.to_client.bytes,
        "queued_bytes": info.queued_bytes,
        "parked_bytes": info.parked_bytes,
        "stopped": info.stopped,
        "times_stopped": info.times_stopped,
    })
}

pub(super) fn closed(endpoint: &str, closed: &Closed) -> Value {
    json!({
        "endpoint": endpoint,
        "id": id(closed.session),
        "user": closed.user,
        "cause": end_name(closed.cause),
        "code": closed.code.map(trunkline_core::CloseCode::get),
        "reason": closed.reason,
        "at": closed.at,
        "age_seconds": seconds(closed.age),
    })
}

/// A session's id, as operators see it.
fn id(session: SessionId) -> String {
    format!("{}-{}", session.slot, session.generation)
}

/// The session that an operator names.
pub(super) fn parse_id(text: &str) -> Option<SessionId> {
    let (slot, generation) = text.split_once('-')?;
    let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?;
    Some(SessionId { slot: number(slot)?, generation: number(generation)? })
}

fn seconds(millis: u64) -> f64 {
    millis as f64 / 1e3
}
