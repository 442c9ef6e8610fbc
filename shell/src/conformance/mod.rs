//! `trunkline conformance`: plays the gateway against somebody's backend, and says what the backend does wrong.
//!
//! Events are written and actions read by the gateway's own code, over the gateway's own link; what a gateway would
//! pass over with a line in its log is a fault here. A backend owes nobody an answer, so some things can be judged only
//! of those that answer: which these are is found out first.

mod checks;
mod report;
mod stage;
mod watch;

use std::{path::PathBuf, time::Duration};

use trunkline_core::Binary;

pub use self::report::{Check, Fault, Found, Report, Verdict};
use self::{
    checks::{CHECKS, NEEDED},
    stage::Stage,
};
use crate::{
    config::ServerUrl,
    tls::{ClientFiles, ClientTls, TlsFault},
};

/// What is asked of a backend.
#[derive(Debug)]
pub struct Plan {
    /// Where it is.
    pub backend: ServerUrl,
    /// What it is met with, where it speaks TLS.
    pub tls: Option<ClientTls>,
    /// The parameters of the path that its endpoint will have.
    pub params: Vec<(String, String)>,
    /// What a user says whose message is to be answered.
    pub say: String,
    /// What its endpoint will do with binary messages.
    pub binary: Binary,
    /// Bytes that a client's message may have.
    pub message_bytes_max: usize,
    /// What lies between a user's `close` and the next `open`.
    pub reopen_gap: Duration,
    /// How long anything may take that is waited for.
    pub patience: Duration,
    /// What is looked at, besides what the rest needs to know; empty: everything.
    pub only: Vec<String>,
}

impl Plan {
    /// As an endpoint has it that says no more than where its backend is. The CAs are those in the file, or the system's.
    ///
    /// # Errors
    ///
    /// There are no CAs, and the backend speaks TLS.
    pub fn new(backend: ServerUrl, ca: Option<PathBuf>) -> Result<Plan, TlsFault> {
        let files = ClientFiles { ca, identity: None };
        let tls = backend.secure.then(|| ClientTls::load(files)).transpose()?;
        Ok(Plan {
            backend,
            tls,
            params: Vec::new(),
            say: "hello".to_owned(),
            binary: Binary::Text,
            message_bytes_max: 128 << 10,
            reopen_gap: Duration::from_millis(100),
            patience: Duration::from_secs(10),
            only: Vec::new(),
        })
    }
}

/// What can be looked at, in its order.
pub fn names() -> impl Iterator<Item = &'static str> {
    CHECKS.iter().map(|(name, _)| *name)
}

/// Carries out the checks, one after the other. Must run on a local runtime.
pub async fn run(plan: &Plan) -> Report {
    let wanted =
        |name| plan.only.is_empty() || NEEDED.contains(&name) || plan.only.iter().any(|only| only == name);
    let mut stage = Stage::new(plan);
    let (mut checks, mut linked) = (Vec::new(), true);
    for (name, check) in CHECKS.iter().filter(|(name, _)| wanted(*name)) {
        if !linked {
            checks.push(Check::not_judged(name, "there was no link"));
            continue;
        }
        // What has broken a link was a fault of the check before; this one gets a new link.
        linked = stage.link_up().await.is_ok();
        if linked && check(&mut stage).await.is_ok() {
            // A link that breaks now is a fault of this check too.
            let _ = stage.clear().await;
        }
        checks.push(stage.conclude(name));
    }
    Report { backend: plan.backend.to_string(), checks }
}
