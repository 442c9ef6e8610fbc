//! The command line.

use std::{env, path::PathBuf, str::FromStr, time::Duration};

use clap::{Args, Parser, Subcommand, builder::PossibleValuesParser, value_parser};
use clap_complete::Shell;
use serde_json::{Map, Value};
use trunkline::{
    clock::unix_seconds,
    config::{Config, ServerUrl},
    conformance::{self, Plan},
    token::{Algorithm, KeySource, NewToken, Token, make},
};
use trunkline_core::Binary;

/// A WebSocket API gateway: many clients, one link to each backend.
///
/// Without a command it runs a demo on loopback.
#[derive(Parser)]
#[command(version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run the gateway; without a configuration, the demo.
    Run {
        /// The configuration (docs/configuration.md).
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Look at a configuration and say everything that is wrong with it, or what a reload of it would change.
    ///
    /// The exit status is 1 where something is wrong. With --against it is 0 where a reload would change nothing, 2 where it
    /// would change something, 3 where some of that needs a restart.
    Check {
        /// The configuration.
        file: PathBuf,
        /// The admin listener of a gateway that runs, such as http://127.0.0.1:9090; its token, where it asks for one, is
        /// taken from TRUNKLINE_ADMIN_TOKEN.
        #[arg(long, value_name = "URL")]
        against: Option<String>,
        /// The CA that a gateway at https:// must have its certificate from, as a file in PEM; without it, the system's.
        #[arg(long, value_name = "FILE", requires = "against")]
        ca: Option<PathBuf>,
    },
    /// Tell what a recording holds, and whether this version would have done the same.
    Replay {
        /// The recording, as the gateway wrote it into recording.folder.
        file: PathBuf,
        /// Tell only what concerns this user.
        #[arg(long)]
        user: Option<String>,
    },
    /// Make a token for development.
    Token(Wanted),
    /// Play the gateway against a backend, and say what the backend does wrong (docs/backends.md).
    Conformance(Probe),
    /// Talk to an endpoint from the terminal.
    Connect {
        /// Such as ws://127.0.0.1:8080/lobby/1
        url: String,
        /// Sent as Authorization: Bearer.
        #[arg(long)]
        token: Option<String>,
        /// The CA that a gateway at wss:// must have its certificate from, as a file in PEM; without it, the system's.
        #[arg(long, value_name = "FILE")]
        ca: Option<PathBuf>,
    },
    /// Ask a running gateway whether it is well: for containers, which may have no other program.
    Health {
        /// /healthz says that it is alive, /readyz that it lets clients in.
        #[arg(default_value = "http://127.0.0.1:8080/healthz")]
        url: String,
        /// The CA that a gateway at https:// must have its certificate from, as a file in PEM; without it, the system's.
        #[arg(long, value_name = "FILE")]
        ca: Option<PathBuf>,
    },
    /// Print what makes a shell complete these commands.
    Completions {
        /// Which shell.
        shell: Shell,
    },
    /// Print the manual page, or write one for each command.
    Man {
        /// Where to write them.
        #[arg(value_name = "FOLDER")]
        folder: Option<PathBuf>,
    },
}

/// A backend that is to be tried.
#[derive(Args)]
pub(crate) struct Probe {
    /// Where it is, such as ws://127.0.0.1:9000/
    #[arg(long, value_name = "URL")]
    backend: String,
    /// A parameter of its endpoint's path, once for each.
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_param)]
    param: Vec<(String, String)>,
    /// What a user says that it answers.
    #[arg(long, value_name = "TEXT", default_value = "hello")]
    say: String,
    /// What its endpoint says of binary messages.
    #[arg(long, value_parser = ["text", "base64", "reject"], default_value = "text")]
    binary: String,
    /// What its endpoint says of messages: how many bytes they may have, up to 2097152.
    #[arg(long, value_name = "BYTES", default_value_t = 131_072, value_parser = value_parser!(u32).range(1..=2_097_152))]
    message_bytes_max: u32,
    /// What its endpoint says of the gap between a user's close and the next open.
    #[arg(long, value_name = "TIME", default_value = "100ms", value_parser = humantime::parse_duration)]
    reopen_gap: Duration,
    /// How long it may take to connect, to answer a Ping, to answer a message.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration)]
    patience: Duration,
    /// The CA that a backend at wss:// must have its certificate from, as a file in PEM; without it, the system's.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Look at this only, and at what it rests on; may be given more than once.
    #[arg(long, value_name = "CHECK", value_parser = PossibleValuesParser::new(conformance::names()))]
    only: Vec<String>,
    /// Report in JSON.
    #[arg(long)]
    json: bool,
}

impl Probe {
    /// What came of it, as it is to be printed; whether nothing is wrong.
    pub(crate) async fn run(self) -> Result<(String, bool), String> {
        let backend = ServerUrl::websocket(&self.backend).map_err(|what| format!("--backend: {what}"))?;
        let plan = Plan {
            params: self.param,
            say: self.say,
            binary: match &*self.binary {
                "base64" => Binary::Base64,
                "reject" => Binary::Reject,
                _ => Binary::Text,
            },
            message_bytes_max: self.message_bytes_max as usize,
            reopen_gap: self.reopen_gap,
            patience: self.patience,
            only: self.only,
            ..Plan::new(backend, self.ca).map_err(|fault| format!("--ca: {fault}"))?
        };
        let report = conformance::run(&plan).await;
        let text = if self.json { report.json().to_string() } else { report.to_string() };
        Ok((text, report.passed()))
    }
}

fn parse_param(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE, such as lobby_id=7")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// A token that is wanted.
#[derive(Args)]
pub(crate) struct Wanted {
    /// Whom it names.
    #[arg(long)]
    user: String,
    /// The configuration whose secret, algorithm, issuer and audience it is to fit.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Which of its endpoints; needed where there are several.
    #[arg(long, value_name = "NAME", requires = "config")]
    endpoint: Option<String>,
    /// The secret, where no configuration is given; else it is taken from TRUNKLINE_TOKEN_SECRET.
    #[arg(long, conflicts_with = "config")]
    secret: Option<String>,
    /// HS256, HS384 or HS512.
    #[arg(long)]
    algorithm: Option<String>,
    /// How long it is valid, such as 1h.
    #[arg(long, default_value = "1h", value_parser = humantime::parse_duration)]
    expires: Duration,
    /// A further claim, as NAME=JSON.
    #[arg(long, value_name = "NAME=JSON")]
    claim: Vec<String>,
}

/// What a token is to be signed with, and to say besides its user.
struct Signing {
    secret: Vec<u8>,
    algorithm: Algorithm,
    user_claim: String,
    issuer: Option<String>,
    audiences: Vec<String>,
}

impl Wanted {
    pub(crate) fn make(self) -> Result<Token<'static>, String> {
        let mut signing = match &self.config {
            Some(file) => self.signing_of(file)?,
            None => Signing {
                secret: self.own_secret()?,
                algorithm: Algorithm::HS256,
                user_claim: "sub".to_owned(),
                issuer: None,
                audiences: Vec::new(),
            },
        };
        if let Some(name) = &self.algorithm {
            signing.algorithm = Algorithm::from_str(name).map_err(|_| {
                format!("--algorithm {name:?}: there is none of this name; write HS256, HS384 or HS512")
            })?;
        }
        let new = NewToken {
            user_claim: signing.user_claim,
            issuer: signing.issuer,
            audiences: signing.audiences,
            extra: self.claim.iter().map(|claim| parse_claim(claim)).collect::<Result<Map<_, _>, _>>()?,
            ..NewToken::of(&self.user, unix_seconds(), self.expires.as_secs())
        };
        make(&signing.secret, signing.algorithm, &new).map_err(|fault| fault.to_string())
    }

    fn own_secret(&self) -> Result<Vec<u8>, String> {
        let secret = self.secret.clone().or_else(|| env::var("TRUNKLINE_TOKEN_SECRET").ok());
        let secret = secret.ok_or("no secret: give --config FILE, --secret, or TRUNKLINE_TOKEN_SECRET")?;
        Ok(secret.into_bytes())
    }

    fn signing_of(&self, file: &std::path::Path) -> Result<Signing, String> {
        let config =
            Config::load(file, |name| env::var(name).ok()).map_err(|problems| problems.to_string())?;
        let names =
            || config.endpoints.iter().map(|endpoint| endpoint.name.as_str()).collect::<Vec<_>>().join(", ");
        let endpoint = match (&self.endpoint, config.endpoints.as_slice()) {
            (None, [only]) => only,
            (None, _) => return Err(format!("which endpoint? --endpoint takes one of: {}", names())),
            (Some(name), all) => all.iter().find(|endpoint| endpoint.name == *name).ok_or_else(|| {
                format!("--endpoint {name:?}: there is none of this name, but: {}", names())
            })?,
        };
        let token = &endpoint.token;
        let secret = token.keys.iter().find_map(|key| match key {
            KeySource::Secret(secret) => Some(secret.clone()),
            _ => None,
        });
        let secret_algorithms = [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
        let algorithm = token.algorithms.iter().find(|algorithm| secret_algorithms.contains(algorithm));
        match (secret, algorithm) {
            (Some(secret), Some(&algorithm)) => Ok(Signing {
                secret,
                algorithm,
                user_claim: token.user_claim.clone(),
                issuer: token.issuers.first().cloned(),
                audiences: token.audiences.first().cloned().into_iter().collect(),
            }),
            _ => Err(format!(
                "endpoints.{}.token has no shared secret: only whoever holds the private key can make tokens for it",
                endpoint.name
            )),
        }
    }
}

fn parse_claim(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| format!("--claim {text:?}: write NAME=JSON, such as admin=true"))?;
    let value = serde_json::from_str(value).map_err(|error| {
        format!("--claim {name}: not JSON ({error}); text goes in quotes, as in {name}='\"x\"'")
    })?;
    Ok((name.to_owned(), value))
}
