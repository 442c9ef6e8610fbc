//! What operators do.

use std::collections::BTreeMap;

use hyper::StatusCode;
use serde::Deserialize;
use serde_json::json;
use tracing::level_filters::LevelFilter;

use super::{
    Admin, describe,
    read::{ask, find, log as tell_log},
    reply::{Answered, Fault, json, json_with},
};
use crate::{
    endpoint::{Question, Whose},
    log::{self, LEVELS, TARGETS},
    reload::{Report, diff::Change},
};

/// Whose sessions are to be closed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CloseUser {
    user: String,
    endpoint: Option<String>,
}

/// What is to be logged. What is left out stays as it is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LogChange {
    level: Option<String>,
    targets: Option<BTreeMap<String, String>>,
}

pub(super) async fn close_session(admin: &Admin, name: &str, id: &str) -> Result<Answered, Fault> {
    let gate = find(admin, name)?;
    let whose = Whose::Session(describe::parse_id(id).ok_or(Fault::NotFound)?);
    match ask(&gate, |answer| Question::Close { whose, answer }).await? {
        0 => Err(Fault::NotFound),
        closed => Ok(json(&json!({ "closed": closed }))),
    }
}

pub(super) async fn close_user(admin: &Admin, wanted: CloseUser) -> Result<Answered, Fault> {
    if wanted.user.is_empty() {
        return Err(Fault::Bad("user is empty; nobody is called that".to_owned()));
    }
    let gates = match wanted.endpoint.as_deref() {
        Some(name) => vec![find(admin, name)?],
        None => admin.front.table().all().cloned().collect(),
    };
    let mut closed = 0;
    for gate in gates {
        let whose = Whose::User(wanted.user.clone());
        closed += ask(&gate, |answer| Question::Close { whose, answer }).await?;
    }
    Ok(json(&json!({ "closed": closed })))
}

/// Has the configuration read again, and says what came of it.
pub(super) async fn reload(admin: &Admin) -> Result<Answered, Fault> {
    match admin.reloads.ask().await {
        None => Err(Fault::Busy),
        Some(Report::Refused(why)) => Err(Fault::NotNow(why)),
        Some(Report::Wrong(problems)) => Ok(json_with(
            StatusCode::UNPROCESSABLE_ENTITY,
            &json!({
                "error": "wrong_configuration",
                "message": "Nothing has changed.",
                "problems": problems,
            }),
        )),
        Some(Report::Done { changes, warnings }) => Ok(json(&json!({
            "changes": changes.iter().map(Change::json).collect::<Vec<_>>(),
            "needs_restart": changes.iter().any(Change::needs_restart),
            "warnings": warnings,
        }))),
    }
}

pub(super) fn drain(admin: &Admin) -> Answered {
    admin.drain.notify_one();
    json_with(StatusCode::ACCEPTED, &json!({ "draining": true }))
}

pub(super) fn set_log(change: LogChange) -> Result<Answered, Fault> {
    let mut levels = log::levels().ok_or(Fault::Busy)?;
    if let Some(text) = change.level {
        levels.level = level(&text)?;
    }
    if let Some(targets) = change.targets {
        let read = |(target, text): (String, String)| match TARGETS.contains(&target.as_str()) {
            true => Ok((target, level(&text)?)),
            false => Err(Fault::Bad(format!("{target:?} is no target; there are {}", TARGETS.join(", ")))),
        };
        levels.targets = targets.into_iter().map(read).collect::<Result<_, Fault>>()?;
    }
    if !log::set_levels(levels) {
        return Err(Fault::Busy);
    }
    tell_log()
}

fn level(text: &str) -> Result<LevelFilter, Fault> {
    let known = LEVELS.iter().find(|(name, _)| *name == text);
    known.map(|(_, level)| *level).ok_or_else(|| {
        let names = LEVELS.map(|(name, _)| name).join(", ");
        Fault::Bad(format!("{text:?} is no level; there are {names}"))
    })
}
