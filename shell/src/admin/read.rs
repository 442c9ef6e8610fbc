//! Questions of operators.

use std::rc::Rc;

use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::{
    Admin, describe,
    reply::{Answered, Fault, bytes, json},
    routes::Query,
};
use crate::{
    clock::unix_millis,
    config::hex,
    endpoint::{Command, Question, Wanted},
    log,
    metrics::{Process, Scraped, write},
    series::Point,
    server::Gate,
    spans::Tracer,
};

/// The description of all that is served.
pub(super) const OPENAPI: &str = include_str!("../../../docs/openapi.json");
/// Entries of a page.
const LIMIT: u64 = 100;
const LIMIT_MAX: u64 = 500;
/// Questions to endpoints for one page of sessions.
const LOOKS_MAX: usize = 32;

pub(super) fn metrics(admin: &Admin) -> Answered {
    let front = &admin.front;
    let table = front.table();
    let known = table.all().map(|gate| (gate.config.name.as_str(), &gate.desk.answers));
    let handshakes = known.chain([("", &front.answers)]).flat_map(|(endpoint, answers)| {
        answers.all().into_iter().map(move |(answer, count)| (endpoint, answer, count))
    });
    let (text, content_type) = write(&Scraped {
        endpoints: table.all().map(|gate| (&gate.config, &*gate.desk.metrics)).collect(),
        handshakes: handshakes.collect(),
        connections: front.places.taken(),
        connections_max: front.places.max(),
        draining: front.door.drains(),
        spans: front.tracer.as_ref().map(Tracer::counts).unwrap_or_default(),
        reloads: &admin.reloads,
        started_at: admin.started_at,
        now: unix_millis(),
        process: Process::now(),
    });
    bytes(text, content_type)
}

pub(super) fn overview(admin: &Admin) -> Answered {
    json(&json!({ "gateway": describe::gateway(admin), "endpoints": all(admin) }))
}

pub(super) fn endpoints(admin: &Admin) -> Answered {
    json(&json!({ "endpoints": all(admin) }))
}

fn all(admin: &Admin) -> Vec<Value> {
    admin.front.table().all().map(|gate| describe::endpoint(gate)).collect()
}

pub(super) fn endpoint(admin: &Admin, name: &str) -> Result<Answered, Fault> {
    let gate = find(admin, name)?;
    Ok(json(&describe::endpoint(&gate)))
}

pub(super) fn series(admin: &Admin, name: &str, query: &Query) -> Result<Answered, Fault> {
    let gate = find(admin, name)?;
    let since = query.number("since", 0, u64::MAX, 0)?;
    let series = gate.desk.series.borrow();
    let (from, until, points) = series.points(since);
    let count = |get: fn(&Point) -> u64| points.clone().map(get).collect::<Vec<u64>>();
    let time = |get: fn(&Point) -> Option<f64>| points.clone().map(get).collect::<Vec<Option<f64>>>();
    Ok(json(&json!({
        "endpoint": name,
        "step_seconds": 1,
        "from": from,
        "until": until,
        "points": {
            "sessions": count(|point| point.sessions),
            "opens": count(|point| point.happened.opens),
            "closes": count(|point| point.happened.closes),
            "refused": count(|point| point.happened.refused),
            "messages_from_clients": count(|point| point.happened.messages_from_clients),
            "messages_to_clients": count(|point| point.happened.messages_to_clients),
            "bytes_from_clients": count(|point| point.happened.bytes_from_clients),
            "bytes_to_clients": count(|point| point.happened.bytes_to_clients),
            "client_to_link_p50": time(|point| point.client_to_link.p50),
            "client_to_link_p99": time(|point| point.client_to_link.p99),
            "link_to_client_p50": time(|point| point.link_to_client.p50),
            "link_to_client_p99": time(|point| point.link_to_client.p99),
        },
    })))
}

/// What has happened to an endpoint lately, as a file of it would say.
pub(super) async fn recording(admin: &Admin, name: &str) -> Result<Answered, Fault> {
    let gate = find(admin, name)?;
    let recording = ask(&gate, |answer| Question::Recording { answer }).await?.ok_or(Fault::NotFound)?;
    let name = name.to_owned();
    let told = tokio::task::spawn_blocking(move || {
        let mut text = Vec::new();
        recording.write(&name, &mut text).map(|()| text)
    });
    let text = told.await.ok().and_then(Result::ok).ok_or(Fault::Busy)?;
    Ok(bytes(text, "application/x-ndjson"))
}

pub(super) async fn session(admin: &Admin, name: &str, id: &str) -> Result<Answered, Fault> {
    let gate = find(admin, name)?;
    let id = describe::parse_id(id).ok_or(Fault::NotFound)?;
    let found = ask(&gate, |answer| Question::Session { id, answer }).await?;
    Ok(json(&describe::session(name, &found.ok_or(Fault::NotFound)?)))
}

/// A page of sessions: endpoint by endpoint, and in each slot by slot, from where the page before has ended.
pub(super) async fn sessions(admin: &Admin, query: &Query) -> Result<Answered, Fault> {
    let gates = wanted_gates(admin, query)?;
    let wanted = match (query.get("user"), query.get("contains")) {
        (Some(_), Some(_)) => return Err(Fault::Bad("give user or contains, not both".to_owned())),
        (Some(user), None) => Wanted::Of(user.to_owned()),
        (None, Some(part)) => Wanted::Containing(part.to_owned()),
        (None, None) => Wanted::All,
    };
    let limit = query.number("limit", 1, LIMIT_MAX, LIMIT)? as usize;
    let (number, mut from) = match query.get("after") {
        None => (0, 0),
        Some(text) => place(text).ok_or_else(|| Fault::Bad(format!("after = {text:?} is no page's next")))?,
    };
    // Where the endpoint of the page before is gone, the one after it follows.
    let mut left = gates.iter().skip_while(|gate| gate.desk.number < number).peekable();
    if left.peek().is_some_and(|gate| gate.desk.number > number) {
        from = 0;
    }
    let mut found = Vec::new();
    for _ in 0..LOOKS_MAX {
        let Some(gate) = left.peek().filter(|_| found.len() < limit) else { break };
        let (wanted, limit) = (wanted.clone(), limit - found.len());
        let page = ask(gate, |answer| Question::Sessions { from, wanted, limit, answer }).await?;
        found.extend(page.sessions.iter().map(|info| describe::session(&gate.config.name, info)));
        from = page.next.unwrap_or(0);
        if page.next.is_none() {
            left.next();
        }
    }
    let next = left.peek().map(|gate| format!("{}.{from}", gate.desk.number));
    Ok(json(&json!({ "sessions": found, "next": next })))
}

/// Where a page begins: the number of an endpoint, and a slot in it.
fn place(text: &str) -> Option<(u64, u32)> {
    let (number, slot) = text.split_once('.')?;
    Some((number.parse().ok()?, slot.parse().ok()?))
}

/// The endpoint that the query names, or all, in the order of their numbers.
fn wanted_gates(admin: &Admin, query: &Query) -> Result<Vec<Rc<Gate>>, Fault> {
    if let Some(name) = query.get("endpoint") {
        return Ok(vec![find(admin, name)?]);
    }
    let mut gates: Vec<_> = admin.front.table().all().cloned().collect();
    gates.sort_by_key(|gate| gate.desk.number);
    Ok(gates)
}

/// Sessions that ended lately, the newest first.
pub(super) async fn closes(admin: &Admin, query: &Query) -> Result<Answered, Fault> {
    let limit = query.number("limit", 1, LIMIT_MAX, LIMIT)? as usize;
    let mut found = Vec::new();
    for gate in wanted_gates(admin, query)? {
        let closes = ask(&gate, |answer| Question::Closes { answer }).await?;
        let wanted =
            closes.into_iter().filter(|closed| query.get("user").is_none_or(|user| *closed.user == *user));
        found.extend(wanted.map(|closed| (gate.config.name.clone(), closed)));
    }
    // Of one millisecond, too, the newest comes first.
    found.reverse();
    found.sort_by_key(|(_, closed)| std::cmp::Reverse(closed.at));
    let newest: Vec<Value> =
        found.iter().take(limit).map(|(endpoint, closed)| describe::closed(endpoint, closed)).collect();
    Ok(json(&json!({ "closes": newest })))
}

pub(super) fn log() -> Result<Answered, Fault> {
    let levels = log::levels().ok_or(Fault::Busy)?;
    let targets: serde_json::Map<_, _> =
        levels.targets.iter().map(|(target, level)| (target.clone(), level.to_string().into())).collect();
    Ok(json(&json!({ "level": levels.level.to_string(), "targets": targets })))
}

/// What is in force, key by key.
pub(super) fn configuration(admin: &Admin) -> Answered {
    let (salt, values) = admin.reloads.listing();
    json(&json!({ "salt": hex(salt), "values": values }))
}

pub(super) fn openapi() -> Answered {
    bytes(OPENAPI, "application/json")
}

/// The endpoint of this name.
pub(super) fn find(admin: &Admin, name: &str) -> Result<Rc<Gate>, Fault> {
    let table = admin.front.table();
    table.all().find(|gate| gate.config.name == name).cloned().ok_or(Fault::NotFound)
}

/// Asks an endpoint's driver.
pub(super) async fn ask<T>(
    gate: &Gate,
    question: impl FnOnce(oneshot::Sender<T>) -> Question,
) -> Result<T, Fault> {
    let (answer, answered) = oneshot::channel();
    gate.desk.commands.send(Command::Inspect(question(answer))).await.map_err(|_| Fault::Busy)?;
    answered.await.map_err(|_| Fault::Busy)
}
