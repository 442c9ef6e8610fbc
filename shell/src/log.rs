//! The log: text for people, JSON for machines.
//!
//! What peers send is only ever logged as a field, and fields are escaped, so no peer can forge a line.

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal},
    sync::{Mutex, OnceLock, PoisonError},
};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    Layer, Registry, filter::Targets, fmt, layer::SubscriberExt, reload, util::SubscriberInitExt,
};

use crate::config::{LogConfig, LogFormat};

/// What a line can be about: an action that was ignored, the gateway as a whole, a handshake, an issuer's keys, a link, a
/// session.
pub const TARGETS: [&str; 6] = ["action", "gateway", "handshake", "keys", "link", "session"];

/// From what is so important, or more so, up.
pub(crate) const LEVELS: [(&str, LevelFilter); 6] = [
    ("off", LevelFilter::OFF),
    ("error", LevelFilter::ERROR),
    ("warn", LevelFilter::WARN),
    ("info", LevelFilter::INFO),
    ("debug", LevelFilter::DEBUG),
    ("trace", LevelFilter::TRACE),
];

/// What is logged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Levels {
    /// The least important level.
    pub level: LevelFilter,
    /// The same for single targets.
    pub targets: BTreeMap<String, LevelFilter>,
}

impl Levels {
    fn filter(&self) -> Targets {
        Targets::new().with_default(self.level).with_targets(self.targets.clone())
    }
}

/// The log of this process, once it has begun.
static STARTED: OnceLock<Started> = OnceLock::new();

struct Started {
    filter: reload::Handle<Targets, Registry>,
    levels: Mutex<Levels>,
}

/// Sends the log to standard error, as `config` says. Only the first call has an effect.
pub fn start(config: &LogConfig) {
    let levels = Levels { level: config.level, targets: config.targets.clone() };
    let (filter, handle) = reload::Layer::new(levels.filter());
    let terminal = io::stderr().is_terminal();
    let text = match config.format {
        LogFormat::Auto => terminal,
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    let layer = fmt::layer().with_writer(io::stderr);
    let layer = if text {
        layer.with_ansi(terminal).boxed()
    } else {
        layer.json().flatten_event(true).with_ansi(false).boxed()
    };
    // A second gateway in one process, as in tests, goes to the same log.
    if tracing_subscriber::registry().with(layer.with_filter(filter)).try_init().is_ok() {
        let _ = STARTED.set(Started { filter: handle, levels: Mutex::new(levels) });
    }
}

/// What is logged now; `None`: this process has another log, or none.
pub fn levels() -> Option<Levels> {
    let started = STARTED.get()?;
    Some(started.levels.lock().unwrap_or_else(PoisonError::into_inner).clone())
}

/// Changes what is logged, for as long as the process runs. Whether there is a log to change.
pub fn set_levels(levels: Levels) -> bool {
    let Some(started) = STARTED.get() else { return false };
    let mut current = started.levels.lock().unwrap_or_else(PoisonError::into_inner);
    let changed = started.filter.reload(levels.filter()).is_ok();
    if changed {
        *current = levels;
    }
    changed
}
