//! `/healthz` and `/readyz`.

use std::rc::Rc;

use http_body_util::Full;
use hyper::{
    Response, StatusCode, Uri,
    body::Bytes,
    header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue},
};
use serde_json::{Map, Value, json};
use trunkline_core::LinkPhase;

use super::{Answered, Front, Gate};

/// The answer to a question about health; `None`: it is none.
pub(super) fn answer(front: &Front, uri: &Uri) -> Option<Answered> {
    match uri.path() {
        "/healthz" => Some(respond(StatusCode::OK, &json!({ "alive": true }))),
        "/readyz" => Some(ready(front, asked_endpoint(uri))),
        _ => None,
    }
}

/// The gateway is ready while it accepts clients on at least one endpoint, and could verify who they are: a restarting
/// backend must not take it out of a load balancer.
fn ready(front: &Front, only: Option<&str>) -> Answered {
    let table = front.table();
    let asked = |gate: &&Rc<Gate>| only.is_none_or(|name| gate.config.name == name);
    let gates: Vec<_> = table.gates.iter().filter(asked).collect();
    if gates.is_empty() {
        return respond(StatusCode::NOT_FOUND, &json!({ "error": "unknown_endpoint" }));
    }
    let draining = front.door.drains();
    let ready = !draining && gates.iter().any(|gate| gate.desk.status.borrow().accepting && has_keys(gate));
    let endpoints: Map<_, _> = gates.iter().map(|gate| (gate.config.name.clone(), describe(gate))).collect();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    respond(status, &json!({ "ready": ready, "draining": draining, "endpoints": endpoints }))
}

fn describe(gate: &Gate) -> Value {
    let status = *gate.desk.status.borrow();
    let link = match status.link {
        LinkPhase::Down => "down",
        LinkPhase::Settling => "settling",
        LinkPhase::Announcing => "announcing",
        LinkPhase::Up => "up",
    };
    match has_keys(gate) {
        true => json!({ "link": link, "accepting": status.accepting }),
        false => json!({ "link": link, "accepting": status.accepting, "keys": "missing" }),
    }
}

/// Whether there is any key to verify a token with: where issuers publish theirs, none may have come yet.
fn has_keys(gate: &Gate) -> bool {
    gate.config.verifier.has_keys()
}

/// `?endpoint=NAME`. Names need no decoding.
fn asked_endpoint(uri: &Uri) -> Option<&str> {
    uri.query()?.split('&').find_map(|pair| pair.strip_prefix("endpoint="))
}

fn respond(status: StatusCode, body: &Value) -> Answered {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
