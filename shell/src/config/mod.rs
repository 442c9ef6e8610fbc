//! Configuration: one TOML file becomes plain data, or the complete list of what is wrong with it.
//!
//! `docs/configuration.md` describes every key; a test holds it to the [`keys`] that are read here. Nothing in
//! here opens a socket, starts anything or reads the environment but through the function that it is given.
//!
//! - `reader` takes keys from tables and keeps all problems; `kinds` knows the kinds of values.
//! - `gateway`, `endpoint` and `token` say which keys there are.

mod admin;
mod effect;
mod endpoint;
mod gateway;
mod kinds;
mod problem;
mod reader;
mod tls;
mod token;
mod url;
mod values;

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use toml::de::DeTable;
use tracing::level_filters::LevelFilter;
use trunkline_core::{
    DrainSettings,
    client_address::{Announced, Proxies},
    door::DoorSettings,
    path::Routes,
};

use crate::{
    files,
    tls::{ClientTls, ServerTls},
};

pub use admin::{AdminConfig, AdminToken, Trial};
pub use effect::{Effect, effect, endpoint_of};
pub use endpoint::{EndpointConfig, Keepalive, LinkConfig};
pub use problem::{Problem, Problems};
pub use reader::Key;
pub use url::ServerUrl;
pub use values::{Listing, Printed, Values, hex};

use reader::{Found, Reader, Section};

/// What an operator has decided about a gateway. `Debug` shows no secret.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where clients are listened for: at least one address, none twice.
    pub listen: Vec<SocketAddr>,
    /// How a client's address is known.
    pub client_address: ClientAddress,
    /// What clients are met with; `None`: they come without TLS.
    pub tls: Option<ServerTls>,
    /// Where a successor asks for the listening sockets; `None`: nowhere.
    pub handover: Option<PathBuf>,
    /// Where `/healthz` and `/readyz` are served; `None`: where clients are listened for.
    pub health: Option<SocketAddr>,
    /// Where operators ask and act; `None`: nowhere.
    pub admin: Option<AdminConfig>,
    /// What is logged, and how.
    pub log: LogConfig,
    /// What is recorded.
    pub recording: RecordingConfig,
    /// Which endpoints are held against the laws.
    pub watched: Watched,
    /// Where spans are sent; `None`: there are none.
    pub tracing: Option<TracingConfig>,
    /// What bounds the gateway as a whole.
    pub limits: Limits,
    /// How the gateway stops. It stands in each endpoint's settings too.
    pub drain: DrainSettings,
    /// The endpoints by name: at least one, and no path matches two of them.
    pub endpoints: Vec<EndpointConfig>,
    /// Which endpoint a path belongs to, by its index in `endpoints`.
    pub routes: Routes,
    /// How often the file is looked at, to see whether it has changed; `None`: never.
    pub look_every: Option<Duration>,
    /// What is worth a second look but no problem, one line each, without secrets.
    pub warnings: Vec<String>,
    /// What each key is.
    pub values: Values,
}

/// How a client's address is known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClientAddress {
    /// How proxies say it.
    pub announced: Announced,
    /// Those that are believed. No limit on an address applies to theirs.
    pub proxies: Proxies,
}

/// What the flight recorder keeps.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordingConfig {
    /// Bytes of steps in memory, for each endpoint, about; 0: nothing is recorded.
    pub bytes_max: usize,
    /// Where recordings are written; `None`: nowhere.
    pub folder: Option<PathBuf>,
    /// Files of each endpoint that are written as it happens; 0: none is.
    pub files_max: usize,
    /// Bytes after which the next of them begins.
    pub file_bytes_max: usize,
}

/// Which endpoints are held against the laws while they work.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Watched {
    /// None.
    None,
    /// One of them, by chance, another each time the gateway starts.
    One,
    /// All of them.
    All,
}

/// Where spans are sent, and how many.
#[derive(Clone, Debug)]
pub struct TracingConfig {
    /// Where a collector takes traces: OTLP over HTTP.
    pub endpoint: ServerUrl,
    /// What it is met with, where it speaks TLS.
    pub tls: Option<ClientTls>,
    /// What it is told that this is.
    pub service_name: String,
    /// Of handshakes that bring no decision, how many have a span: 0 to 1.
    pub handshakes: f64,
    /// The same of messages of sessions whose handshake has one.
    pub messages: f64,
    /// How long a request may take.
    pub timeout: Duration,
    /// How long a span may wait for others.
    pub interval: Duration,
    /// Spans that may wait.
    pub queue_max: usize,
}

/// What is logged, and how.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogConfig {
    /// The form of a line.
    pub format: LogFormat,
    /// The least important level that is logged.
    pub level: LevelFilter,
    /// The same for single targets, such as `link`.
    pub targets: BTreeMap<String, LevelFilter>,
}

/// The form of a line of the log.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LogFormat {
    /// Text on a terminal, else JSON.
    Auto,
    /// Text.
    Text,
    /// JSON.
    Json,
}

/// What bounds the gateway as a whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    /// The sockets of clients at most that have been let in.
    pub connections_max: usize,
    /// Who is let in to the handshake; `seed` is left at 0.
    pub door: DoorSettings,
    /// What `Retry-After` says at least where no endpoint is known, in whole seconds.
    pub retry_after: Duration,
    /// How long a client may take for its handshake.
    pub handshake_timeout: Duration,
    /// Bytes that the head of a request may have.
    pub header_bytes_max: usize,
    /// Headers that a request may have.
    pub headers_max: usize,
    /// Threads that drive endpoints; 0: as many as there are cores. Never more than endpoints are of use.
    pub workers: usize,
}

/// The most bytes that a configuration may have.
pub const CONFIG_BYTES_MAX: u64 = 1 << 20;

impl Config {
    /// Reads a file. Relative paths in it begin at its directory.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, with the file's name.
    pub fn load(path: &Path, env: impl Fn(&str) -> Option<String>) -> Result<Config, Problems> {
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let of_file = |line, text| Problems::new(vec![Problem { line, key: String::new(), text }]);
        let bytes = files::read(path, CONFIG_BYTES_MAX).map_err(|fault| of_file(None, fault.to_string()));
        let text = bytes.and_then(|bytes| {
            String::from_utf8(bytes).map_err(|error| {
                let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
                let line = 1 + good.iter().filter(|byte| **byte == b'\n').count();
                of_file(Some(line), "is not UTF-8; save it as such".to_owned())
            })
        });
        text.and_then(|text| Config::parse(&text, dir, env))
            .map_err(|problems| Problems { file: Some(path.to_owned()), ..problems })
    }

    /// Reads a text. Relative paths in it begin at `dir`, and variables of the environment come from `env`.
    ///
    /// # Errors
    ///
    /// Everything that is wrong; where the text is no TOML, the first place at which it is none.
    pub fn parse(text: &str, dir: &Path, env: impl Fn(&str) -> Option<String>) -> Result<Config, Problems> {
        let document = DeTable::parse(text).map_err(|error| Problems::new(vec![syntax(text, &error)]))?;
        let reader = Reader::new(text, dir, &env);
        let root = reader.root(Some(document.get_ref()));
        let config = reader.section(vec![root], false, gateway::read);
        let Found { problems, warnings, values, .. } = reader.finish();
        if problems.is_empty() {
            Ok(Config { warnings, values, ..config })
        } else {
            Err(Problems::new(problems))
        }
    }
}

/// Every key that there is, in the order in which they are documented. Those of an endpoint, which may stand in
/// `[defaults]` too, are without `endpoints.NAME`.
pub fn keys() -> Vec<Key> {
    let reader = Reader::new("", Path::new("."), &|_| None);
    reader.section(vec![reader.root(None)], true, gateway::keys);
    reader.finish().keys
}

/// What is wrong with a text that is no TOML. The parser's own display would show the line, which may hold a secret.
fn syntax(text: &str, error: &toml::de::Error) -> Problem {
    let start = error.span().map_or(text.len(), |span| span.start).min(text.len());
    let before = &text.as_bytes()[..start];
    let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
    let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let column = 1 + String::from_utf8_lossy(&before[line_start..]).chars().count();
    let what = error.message();
    Problem {
        line: Some(line),
        key: String::new(),
        text: format!("column {column}: this is not TOML: {what}"),
    }
}
