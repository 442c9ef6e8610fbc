//! What takes long, or many: a rolling restart under thousands of clients, and an hour of steady load with faults.
//!
//! The gateway is a process of its own, the clients and the backend are here and hold what they see against the laws:
//! nothing from inside the gateway is looked at but its memory and its descriptors.

mod backend;
mod gateway;
mod restart;
mod soak;
mod visitor;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::{Parser, Subcommand};
use tokio::runtime::Builder;

use self::backend::Backend;

/// Puts a gateway to tests that take long. Everything runs on loopback and ends by itself.
#[derive(Parser, Debug)]
#[command(version, name = "trunkline-endure")]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// The gateway's program; without it, `trunkline` beside this one.
    #[arg(long, global = true, value_name = "FILE")]
    gateway: Option<PathBuf>,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// A gateway is replaced by another, under clients that are there and clients that come.
    Restart {
        /// Clients that are there.
        #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..=8_000))]
        clients: u32,
        /// Clients that come while it is replaced.
        #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=8_000))]
        newcomers: u32,
        /// Over how long the old one spreads the ends of its sessions, in seconds.
        #[arg(long, default_value_t = 10)]
        drain: u64,
    },
    /// A steady load, with faults put in, for as long as is said.
    Soak {
        #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(2..=8_000))]
        clients: u32,
        /// For how long, in minutes.
        #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=1_440))]
        minutes: u64,
    },
}

/// Runs the tool. It fails if a law was broken, or what has to stay flat did not.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let beside = || std::env::current_exe().map(|exe| exe.with_file_name("trunkline")).unwrap_or_default();
    let program = cli.gateway.unwrap_or_else(beside);
    trunkline::sys::raise_descriptor_limit();
    let runtime = Builder::new_current_thread().enable_all().build();
    let outcome = runtime.map_err(|error| error.to_string()).and_then(|runtime| {
        runtime.block_on(async {
            match cli.command {
                Command::Restart { clients, newcomers, drain } => {
                    restart::run(&program, clients, newcomers, Duration::from_secs(drain)).await
                }
                Command::Soak { clients, minutes } => {
                    soak::run(&program, clients, Duration::from_secs(60 * minutes)).await
                }
            }
        })
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            say(&format!("FAILED: {what}"));
            ExitCode::FAILURE
        }
    }
}

#[allow(clippy::print_stdout)]
fn say(line: &str) {
    println!("{line}");
}

/// Nothing that the backend has seen may break a law, and all that it was told of must have ended.
fn judge(backend: &Backend) -> Result<(), String> {
    let seen = backend.seen();
    say(&format!(
        "the backend saw {} open, {} message, {} close on {} links",
        seen.opens, seen.messages, seen.closes, seen.links
    ));
    match (seen.broken.first(), seen.live()) {
        (Some(first), _) => Err(format!("{} laws broken, first: {first}", seen.broken.len())),
        (None, 0) => Ok(()),
        (None, live) => Err(format!("{live} users are there for the backend, and gone")),
    }
}
