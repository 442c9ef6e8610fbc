//! The command line of the load tool.

use std::{env, ffi::OsString, net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand};

use super::{settings::Rates, subject::Kind, tokens::Signing};

/// Measures a gateway, and others beside it. Everything runs on loopback and ends by itself.
#[derive(Parser, Debug)]
#[command(version, name = "trunkline-load")]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
    /// The gateway's program; without it, `trunkline` beside this one.
    #[arg(long, global = true, value_name = "FILE")]
    gateway: Option<PathBuf>,
    /// Say the result in JSON.
    #[arg(long, global = true)]
    pub(super) json: bool,
}

impl Cli {
    pub(super) fn gateway(&self) -> PathBuf {
        let beside = || env::current_exe().map(|exe| exe.with_file_name("trunkline")).unwrap_or_default();
        self.gateway.clone().unwrap_or_else(beside)
    }
}

#[derive(Subcommand, Debug)]
pub(super) enum Command {
    /// The gateway and others in turns: the median of each, the gateway's ratio to each, and the targets.
    Compare {
        /// Whom to measure; those that are not installed are left out.
        #[arg(long, value_enum, value_delimiter = ',', default_values_t = Kind::ALL)]
        subjects: Vec<Kind>,
        /// How long each loop is measured.
        #[arg(long, default_value_t = 3)]
        seconds: u64,
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
        runs: u32,
        /// Of the open loop, in messages per second; 0: none.
        #[arg(long, default_value_t = 5000)]
        rate: u32,
    },
    /// One subject, once, with its process id, for a profiler.
    Fast {
        #[arg(long, value_enum, default_value_t = Kind::Gateway)]
        subject: Kind,
        #[command(flatten)]
        crowding: Crowding,
        #[arg(long, default_value_t = 10)]
        seconds: u64,
        #[arg(long, default_value_t = 0)]
        rate: u32,
        /// Each message of one client goes to so many, instead of back; 0: none does.
        #[arg(long, default_value_t = 0)]
        fan: u32,
    },
    /// What a message costs, with few clients and with many.
    Scale {
        #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Kind::Gateway, Kind::Floor])]
        subjects: Vec<Kind>,
        /// How many clients.
        #[arg(long, value_delimiter = ',', default_values_t = [100, 1000, 5000, 15_000])]
        clients: Vec<u32>,
        #[arg(long, default_value_t = 128, value_parser = payload)]
        payload: usize,
        #[arg(long, default_value_t = 3)]
        seconds: u64,
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
        runs: u32,
    },
    /// What clients cost that do nothing.
    Idle {
        #[arg(long, value_enum, default_value_t = Kind::Gateway)]
        subject: Kind,
        #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=CLIENTS_MAX))]
        clients: u32,
        /// They come over TLS; to the gateway only.
        #[arg(long)]
        tls: bool,
    },
    /// Large messages, then a backend that does not read: what memory is held once all are silent.
    Burst {
        #[arg(long, value_enum, default_value_t = Kind::Gateway)]
        subject: Kind,
        #[command(flatten)]
        crowding: Crowding,
        /// How long each lasts.
        #[arg(long, default_value_t = 5)]
        seconds: u64,
    },
    /// An endpoint with little to do, while another has more than it can.
    Quiet {
        #[arg(long, default_value_t = 5)]
        seconds: u64,
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
        runs: u32,
    },
    /// Very many clients that exchange messages: is each echo right?
    Soak {
        #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=CLIENTS_MAX))]
        clients: u32,
        #[arg(long, default_value_t = 256, value_parser = payload)]
        payload: usize,
        /// Of each client.
        #[arg(long, default_value_t = 20)]
        messages: u32,
    },
    /// A backend that does not read for a while.
    Stall {
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=CLIENTS_MAX))]
        clients: u32,
        #[arg(long, default_value_t = 256, value_parser = payload)]
        payload: usize,
        #[arg(long, default_value_t = 60)]
        seconds: u64,
    },
    /// A client that does not read, among others.
    SlowClient {
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=CLIENTS_MAX))]
        clients: u32,
        #[arg(long, default_value_t = 10)]
        rounds: u32,
    },
    /// Clients that send now and then, beside others that send all that they can.
    Fair {
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=CLIENTS_MAX))]
        clients: u32,
        /// How long each case is measured.
        #[arg(long, default_value_t = 5)]
        seconds: u64,
        #[arg(long, value_enum, default_value_t = Rates::Off)]
        rates: Rates,
        /// What the backend reads in a millisecond, at the most; 0: all that it can.
        #[arg(long, default_value_t = 0)]
        backend_bytes_per_ms: usize,
    },
    /// All clients at once, at a gateway that has just begun, with one in session beside them.
    Storm {
        #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=CLIENTS_MAX))]
        clients: u32,
        /// What tokens are signed with.
        #[arg(long, value_enum, default_value_t = Signing::Hs256)]
        algorithm: Signing,
        /// How often a client comes again, when it is told to or the connection fails.
        #[arg(long, default_value_t = 10)]
        tries: u32,
        /// One more line for the gateway's configuration, such as `limits.handshakes_max = 512`.
        #[arg(long, value_name = "LINE")]
        with: Vec<String>,
        /// The gateway is one that knows no limits on what comes from one address.
        #[arg(long)]
        unlimited: bool,
    },
    /// The echoing backend.
    #[command(hide = true)]
    Backend {
        /// It is that of the floor.
        #[arg(long)]
        bare: bool,
    },
    /// The plain echo server.
    #[command(hide = true)]
    Plain,
    /// The least relay.
    #[command(hide = true)]
    Floor { backend: SocketAddr },
    /// A program, for as long as the standard input is open.
    #[command(hide = true)]
    Keep {
        program: PathBuf,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

/// More than this many clients have no ports, from one address to another.
const CLIENTS_MAX: i64 = 25_000;
/// What a gateway accepts, by default.
const PAYLOAD_BYTES_MAX: usize = 128 << 10;

/// How many clients, and how large their messages.
#[derive(Args, Clone, Copy, Debug)]
pub(super) struct Crowding {
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=CLIENTS_MAX))]
    pub(super) clients: u32,
    /// The size of a message, in bytes.
    #[arg(long, default_value_t = 256, value_parser = payload)]
    pub(super) payload: usize,
}

fn payload(text: &str) -> Result<usize, String> {
    let bytes = text.parse().map_err(|_| "not a number".to_owned())?;
    let range = super::text::HEAD_BYTES..=PAYLOAD_BYTES_MAX;
    if range.contains(&bytes) { Ok(bytes) } else { Err(format!("must be {range:?} bytes")) }
}
