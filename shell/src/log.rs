//! The log: text for people, JSON for machines.
//!
//! What peers send is only ever logged as a field, and fields are escaped, so no peer can forge a line.

use std::io::{self, IsTerminal};

use tracing_subscriber::{Layer, filter::Targets, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use crate::config::{LogConfig, LogFormat};

/// What a line can be about: an action that was ignored, the gateway as a whole, a handshake, an issuer's keys, a link, a
/// session.
pub const TARGETS: [&str; 6] = ["action", "gateway", "handshake", "keys", "link", "session"];

/// Sends the log to standard error, as `config` says. Only the first call has an effect.
pub fn start(config: &LogConfig) {
    let levels = Targets::new().with_default(config.level).with_targets(config.targets.clone());
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
    let _ = tracing_subscriber::registry().with(layer.with_filter(levels)).try_init();
}
