//! Questions of operators.

use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::{
    Admin, describe,
    reply::{Answered, Fault, bytes, json},
    routes::Query,
    series::Point,
};
use crate::{
    clock::unix_millis,
    endpoint::{Command, Question, Wanted},
    log,
    metrics::{Process, Scraped, write},
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
    let max = front.limits.connections_max;
    let known = front.gates.iter().map(|gate| (gate.config.name.as_str(), &gate.answers));
    let handshakes = known.chain([("", &front.answers)]).flat_map(|(endpoint, answers)| {
        answers.all().into_iter().map(move |(answer, count)| (endpoint, answer, count))
    });
    let (text, content_type) = write(&Scraped {
        endpoints: front.gates.iter().map(|gate| (&gate.config, &*gate.metrics)).collect(),
        handshakes: handshakes.collect(),
        connections: max.saturating_sub(front.connections.available_permits()),
        connections_max: max,
        draining: front.draining.get(),
        spans: front.tracer.as_ref().map(Tracer::counts).unwrap_or_default(),
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
    let gates = admin.front.gates.iter().enumerate();
    gates.map(|(index, gate)| describe::endpoint(admin, index, gate)).collect()
}

pub(super) fn endpoint(admin: &Admin, name: &str) -> Result<Answered, Fault> {
    let (index, gate) = find(admin, name)?;
    Ok(json(&describe::endpoint(admin, index, gate)))
}

pub(super) fn series(admin: &Admin, name: &str, query: &Query) -> Result<Answered, Fault> {
    let (index, _) = find(admin, name)?;
    let since = query.number("since", 0, u64::MAX, 0)?;
    let all = admin.series.borrow();
    let (from, until, points) = all.get(index).ok_or(Fault::NotFound)?.points(since);
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
    let (_, gate) = find(admin, name)?;
    let recording = ask(gate, |answer| Question::Recording { answer }).await?.ok_or(Fault::NotFound)?;
    let name = name.to_owned();
    let told = tokio::task::spawn_blocking(move || {
        let mut text = Vec::new();
        recording.write(&name, &mut text).map(|()| text)
    });
    let text = told.await.ok().and_then(Result::ok).ok_or(Fault::Busy)?;
    Ok(bytes(text, "application/x-ndjson"))
}

pub(super) async fn session(admin: &Admin, name: &str, id: &str) -> Result<Answered, Fault> {
    let (_, gate) = find(admin, name)?;
    let id = describe::parse_id(id).ok_or(Fault::NotFound)?;
    let found = ask(gate, |answer| Question::Session { id, answer }).await?;
    Ok(json(&describe::session(name, &found.ok_or(Fault::NotFound)?)))
}

/// A page of sessions: endpoint by endpoint, and in each slot by slot, from where the page before has ended.
pub(super) async fn sessions(admin: &Admin, query: &Query) -> Result<Answered, Fault> {
    let only = query.get("endpoint").map(|name| find(admin, name)).transpose()?.map(|(index, _)| index);
    let wanted = match (query.get("user"), query.get("contains")) {
        (Some(_), Some(_)) => return Err(Fault::Bad("give user or contains, not both".to_owned())),
        (Some(user), None) => Wanted::Of(user.to_owned()),
        (None, Some(part)) => Wanted::Containing(part.to_owned()),
        (None, None) => Wanted::All,
    };
    let limit = query.number("limit", 1, LIMIT_MAX, LIMIT)? as usize;
    let begin = match query.get("after") {
        None => (only.unwrap_or(0), 0),
        Some(text) => place(text).ok_or_else(|| Fault::Bad(format!("after = {text:?} is no page's next")))?,
    };
    let (mut next, mut found) = (Some(begin), Vec::new());
    for _ in 0..LOOKS_MAX {
        let Some((index, from)) = next.filter(|_| found.len() < limit) else { break };
        let Some(gate) = admin.front.gates.get(index).filter(|_| only.is_none_or(|only| only == index))
        else {
            next = None;
            break;
        };
        let (wanted, limit) = (wanted.clone(), limit - found.len());
        let page = ask(gate, |answer| Question::Sessions { from, wanted, limit, answer }).await?;
        let of_endpoint = |info| describe::session(&gate.config.name, info);
        found.extend(page.sessions.iter().map(of_endpoint));
        next = page.next.map(|slot| (index, slot)).or(Some((index + 1, 0)));
    }
    let more = |(index, _): &(usize, u32)| {
        *index < admin.front.gates.len() && only.is_none_or(|only| only == *index)
    };
    let next = next.filter(more).map(|(index, slot)| format!("{index}.{slot}"));
    Ok(json(&json!({ "sessions": found, "next": next })))
}

/// Where a page begins: an endpoint, and a slot in it.
fn place(text: &str) -> Option<(usize, u32)> {
    let (index, slot) = text.split_once('.')?;
    Some((index.parse().ok()?, slot.parse().ok()?))
}

/// Sessions that ended lately, the newest first.
pub(super) async fn closes(admin: &Admin, query: &Query) -> Result<Answered, Fault> {
    let only = query.get("endpoint").map(|name| find(admin, name)).transpose()?.map(|(index, _)| index);
    let limit = query.number("limit", 1, LIMIT_MAX, LIMIT)? as usize;
    let mut found = Vec::new();
    for (index, gate) in admin.front.gates.iter().enumerate() {
        if only.is_some_and(|only| only != index) {
            continue;
        }
        let closes = ask(gate, |answer| Question::Closes { answer }).await?;
        let wanted =
            closes.into_iter().filter(|closed| query.get("user").is_none_or(|user| *closed.user == *user));
        found.extend(wanted.map(|closed| (gate.config.name.as_str(), closed)));
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

pub(super) fn openapi() -> Answered {
    bytes(OPENAPI, "application/json")
}

/// The endpoint of this name, and its place in the front's order.
pub(super) fn find<'a>(admin: &'a Admin, name: &str) -> Result<(usize, &'a Gate), Fault> {
    let mut gates = admin.front.gates.iter().enumerate();
    gates.find(|(_, gate)| gate.config.name == name).ok_or(Fault::NotFound)
}

/// Asks an endpoint's driver.
pub(super) async fn ask<T>(
    gate: &Gate,
    question: impl FnOnce(oneshot::Sender<T>) -> Question,
) -> Result<T, Fault> {
    let (answer, answered) = oneshot::channel();
    gate.commands.send(Command::Inspect(question(answer))).await.map_err(|_| Fault::Busy)?;
    answered.await.map_err(|_| Fault::Busy)
}
