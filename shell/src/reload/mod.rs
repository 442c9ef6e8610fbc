//! The configuration is read again while the gateway runs: at SIGHUP, when an operator asks, when its file has changed.
//!
//! `diff` says what is otherwise; here that is carried out, one reload at a time. What decides what becomes of sessions is
//! core's: an endpoint is told its settings, and that its backend has moved. What cannot change while the gateway runs is
//! said, and all else holds; a file with anything wrong in it changes nothing (docs/decisions/reload.md).

pub mod against;
pub mod diff;

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    env,
    future::pending,
    path::{Path, PathBuf},
    rc::Rc,
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    time::{sleep, timeout},
};

use self::diff::{Change, diff, of_endpoints};
use crate::{
    admin::Admin,
    clock::unix_millis,
    config::{Config, EndpointConfig, Listing, Problems, Values, Watched},
    crew::Crew,
    endpoint::Command,
    files::Stamp,
    log::{self, Levels},
    random::Random,
    server::{Front, Gate, Table},
};

/// Operators who may wait for a reload; who comes beyond is told to try again.
const ASKS_MAX: usize = 16;
/// How long an endpoint may take to be told. It takes a turn.
const TELL_TIME: Duration = Duration::from_secs(5);

/// Where a gateway's configuration is read again, and who is to know of it.
#[derive(Debug)]
pub struct Source {
    /// The file.
    pub file: PathBuf,
    /// Says that it is to be read.
    pub wanted: mpsc::Receiver<()>,
    /// Told before it is read.
    pub begins: fn(),
    /// Told once what it says holds, or is known to be wrong.
    pub ends: fn(),
}

/// What came of a reload.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Report {
    /// What was otherwise, which holds now but for what needs a restart. Nothing may have been otherwise.
    Done { changes: Vec<Change>, warnings: Vec<String> },
    /// What is wrong with the file. Nothing has changed.
    Wrong(Vec<String>),
    /// Why nothing could be changed now.
    Refused(String),
}

/// What is known of reloads, for all who ask.
pub(crate) struct Reloads {
    /// That changed something, that changed nothing, and that failed.
    pub(crate) applied: Cell<u64>,
    pub(crate) unchanged: Cell<u64>,
    pub(crate) failed: Cell<u64>,
    /// When the configuration in force was read, in milliseconds of Unix time, and whether none failed since.
    pub(crate) succeeded_at: Cell<u64>,
    pub(crate) successful: Cell<bool>,
    /// What is in force.
    values: RefCell<Values>,
    /// Makes prints of what is not shown, which are of no use in another gateway.
    salt: [u8; 16],
    ask: mpsc::Sender<oneshot::Sender<Report>>,
    asked: RefCell<Option<mpsc::Receiver<oneshot::Sender<Report>>>>,
}

impl Reloads {
    pub(crate) fn new(values: Values) -> Rc<Self> {
        let (ask, asked) = mpsc::channel(ASKS_MAX);
        Rc::new(Reloads {
            applied: Cell::new(0),
            unchanged: Cell::new(0),
            failed: Cell::new(0),
            succeeded_at: Cell::new(unix_millis()),
            successful: Cell::new(true),
            values: RefCell::new(values),
            salt: Random::new().bytes(),
            ask,
            asked: RefCell::new(Some(asked)),
        })
    }

    /// What is in force, and the salt of its prints.
    pub(crate) fn listing(&self) -> (&[u8], Listing) {
        (&self.salt, self.values.borrow().printed(&self.salt))
    }

    /// Asks for a reload, and waits for what comes of it; `None`: there is no file, or too many ask.
    pub(crate) async fn ask(&self) -> Option<Report> {
        let (answer, answered) = oneshot::channel();
        self.ask.try_send(answer).ok()?;
        answered.await.ok()
    }

    fn count(&self, report: &Report) {
        let count = match report {
            Report::Done { changes, .. } if changes.is_empty() => &self.unchanged,
            Report::Done { .. } => &self.applied,
            Report::Wrong(_) | Report::Refused(_) => &self.failed,
        };
        count.set(count.get() + 1);
        let successful = matches!(report, Report::Done { .. });
        self.successful.set(successful);
        if successful {
            self.succeeded_at.set(unix_millis());
        }
    }
}

/// What a reload needs.
pub(crate) struct Reloader {
    pub(crate) front: Rc<Front>,
    pub(crate) admin: Option<Rc<Admin>>,
    pub(crate) crew: Crew,
    pub(crate) reloads: Rc<Reloads>,
    /// How often the file is looked at.
    pub(crate) look_every: Cell<Option<Duration>>,
    /// Which endpoints are held against the laws.
    pub(crate) watched: Watched,
}

impl Reloader {
    /// Reloads whenever that is wanted, one at a time, for as long as it is polled.
    pub(crate) async fn keep(self: Rc<Self>, mut source: Source, mut seen: Option<Stamp>) {
        let Some(mut asked) = self.reloads.asked.take() else { return };
        loop {
            let (by, answer) = tokio::select! {
                Some(()) = source.wanted.recv() => ("SIGHUP", None),
                Some(answer) = asked.recv() => ("an operator", Some(answer)),
                () = self.changes(&source.file, seen) => ("its file", None),
            };
            (source.begins)();
            // Looked at before it is read: what is written meanwhile is read the next time.
            seen = Stamp::of(&source.file);
            let report = self.reload(&source.file).await;
            self.reloads.count(&report);
            report.log(by);
            (source.ends)();
            // Whoever asked may have gone.
            answer.map(|answer| answer.send(report));
        }
    }

    /// Resolves when the file is another. One that is gone for a moment, while it is replaced, is not.
    async fn changes(&self, file: &Path, seen: Option<Stamp>) {
        let Some(every) = self.look_every.get() else { return pending().await };
        loop {
            sleep(every).await;
            let now = Stamp::of(file);
            if now.is_some() && now != seen {
                return;
            }
        }
    }

    async fn reload(self: &Rc<Self>, file: &Path) -> Report {
        if self.front.door.drains() {
            return Report::Refused("the gateway is stopping".to_owned());
        }
        let file = file.to_owned();
        // Files are read, and keys: this thread has other things to do.
        let read = tokio::task::spawn_blocking(move || Config::load(&file, |name| env::var(name).ok()));
        match read.await {
            Ok(Ok(config)) => self.apply(config).await,
            Ok(Err(Problems { list, .. })) => Report::Wrong(list.iter().map(ToString::to_string).collect()),
            Err(_) => Report::Refused("the file could not be read".to_owned()),
        }
    }

    /// Carries out what is otherwise.
    async fn apply(self: &Rc<Self>, config: Config) -> Report {
        let Config { values, warnings, .. } = &config;
        let (new, warnings) = (values.printed(&self.reloads.salt), warnings.clone());
        let changes = diff(&self.reloads.listing().1, &new);
        let table = self.front.table();
        let returns = |gate: &&Rc<Gate>| is_added(&changes, &gate.config.name);
        if let Some(gate) = table.leaving.iter().find(returns) {
            let name = &gate.config.name;
            let what = "was removed, and its sessions are still being closed; try again when they are";
            return Report::Refused(format!("endpoints.{name} {what}"));
        }
        if changes.is_empty() {
            return Report::Done { changes, warnings };
        }
        let gates = match self.open(&table, &config, &changes, &new) {
            Ok(gates) => gates,
            Err(error) => return Report::Refused(format!("an endpoint cannot be started: {error}")),
        };
        self.tell(&gates, &of_endpoints(&changes, &new)).await;
        self.replace(config, gates, &changes);
        self.crew.sweep();
        Report::Done { changes, warnings }
    }

    /// The gates of all endpoints that there are from now on: those that stay are told later.
    fn open(
        &self,
        table: &Table,
        config: &Config,
        changes: &[Change],
        new: &Listing,
    ) -> std::io::Result<Vec<Rc<Gate>>> {
        let changed = of_endpoints(changes, new);
        let gate = |config: &EndpointConfig| {
            let mut config = config.clone();
            let Some(gate) = table.gates.iter().find(|gate| gate.config.name == config.name) else {
                config.watched = self.watched == Watched::All;
                return self.crew.start(config).map(Rc::new);
            };
            let Some(of) = changed.get(&config.name) else { return Ok(Rc::clone(gate)) };
            config.watched = gate.config.watched;
            if !of.token {
                // The same keys: those that were fetched stay in use.
                config.token.clone_from(&gate.config.token);
                config.verifier.clone_from(&gate.config.verifier);
            }
            Ok(Rc::new(self.crew.change(gate, config)))
        };
        config.endpoints.iter().map(gate).collect()
    }

    /// Tells endpoints of which something has changed, and waits until they know.
    async fn tell(&self, gates: &[Rc<Gate>], changed: &std::collections::BTreeMap<String, diff::OfEndpoint>) {
        let mut told = Vec::new();
        for gate in gates {
            let Some(of) = changed.get(&gate.config.name) else { continue };
            let (done, told_end) = oneshot::channel();
            let config = Box::new(gate.config.clone());
            let change = Command::Change { config, moved: of.moved, done };
            // One that has gone has drained.
            if gate.desk.commands.send(change).await.is_ok() {
                told.push(told_end);
            }
        }
        let all = async {
            for told in told {
                let _ = told.await;
            }
        };
        if timeout(TELL_TIME, all).await.is_err() {
            tracing::warn!(target: "gateway", "an endpoint is busy, and will change a little later");
        }
    }

    /// From here on newcomers meet what the configuration says.
    fn replace(self: &Rc<Self>, config: Config, gates: Vec<Rc<Gate>>, changes: &[Change]) {
        let old = self.front.table();
        let removed = |gate: &&Rc<Gate>| {
            let name = &gate.config.name;
            changes.iter().any(|change| matches!(change, Change::Removed { endpoint } if endpoint == name))
        };
        let leaving: Vec<_> = old.gates.iter().filter(removed).cloned().collect();
        let Config { limits, tls, client_address, routes, recording, drain, log, admin, values, .. } = config;
        self.front.door.change(&limits, client_address);
        self.look_every.set(config.look_every);
        let table = Table {
            limits,
            tls,
            routes,
            gates,
            leaving: old.leaving.iter().chain(&leaving).cloned().collect(),
            folder: recording.folder,
            drain,
        };
        self.front.set_table(table);
        for gate in leaving {
            tokio::task::spawn_local(Rc::clone(self).see_off(gate));
        }
        let has = |begins: &str| {
            let takes_effect = |change: &&Change| !change.needs_restart();
            changes
                .iter()
                .filter(takes_effect)
                .any(|change| matches!(change, Change::Changed { key, .. } if key.starts_with(begins)))
        };
        // What an operator has set by the API stays, where the file says nothing new of it.
        if has("log.") {
            log::set_levels(Levels { level: log.level, targets: log.targets });
        }
        if let (Some(admin), Some(config), true) = (&self.admin, admin, has("admin.")) {
            admin.change(config);
        }
        let kept: BTreeSet<&str> = changes.iter().filter_map(restarts).collect();
        let in_force = values.except(&self.reloads.values.borrow(), |key| kept.contains(key));
        self.reloads.values.replace(in_force);
    }

    /// Ends an endpoint that is not configured any more, and forgets it once it has ended.
    async fn see_off(self: Rc<Self>, gate: Rc<Gate>) {
        // One that has gone has drained.
        let _ = gate.desk.commands.send(Command::Drain).await;
        gate.desk.ended().await;
        tracing::info!(target: "gateway", endpoint = gate.config.name, "an endpoint has ended");
        self.front.forget(&gate.desk);
    }
}

fn is_added(changes: &[Change], name: &str) -> bool {
    changes.iter().any(|change| matches!(change, Change::Added { endpoint } if endpoint == name))
}

/// The key of a change that needs a restart.
fn restarts(change: &Change) -> Option<&str> {
    match change {
        Change::Changed { key, .. } if change.needs_restart() => Some(key),
        _ => None,
    }
}

impl Report {
    fn log(&self, by: &str) {
        match self {
            Report::Done { changes, warnings } => {
                for change in changes {
                    let change_said = change.to_string();
                    match change.needs_restart() {
                        true => tracing::warn!(target: "gateway", change = change_said, "needs a restart"),
                        false => {
                            tracing::info!(target: "gateway", change = change_said, "changed by a reload")
                        }
                    }
                }
                for warning in warnings {
                    tracing::warn!(target: "gateway", warning, "worth a second look in the configuration");
                }
                tracing::info!(target: "gateway", by, changes = changes.len(), "the configuration was read again");
            }
            Report::Wrong(problems) => {
                for problem in problems {
                    tracing::error!(target: "gateway", problem, "wrong in the configuration");
                }
                let problems = problems.len();
                tracing::error!(target: "gateway", by, problems, "the configuration is wrong: nothing has changed");
            }
            Report::Refused(why) => {
                tracing::error!(target: "gateway", by, why, "not reloaded: nothing has changed");
            }
        }
    }
}
