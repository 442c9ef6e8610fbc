//! The load tool: starts a gateway with an echoing backend, and a plain echo server as baseline, on loopback, and
//! measures what they cost and whether every echo comes back to its sender, whole, once and in order.
//!
//! Who is who: a `subject` is what is measured, a process of its own; the `backend` behind a gateway is another; a
//! `crowd` is all clients, in one thread of the tool; a course is what they do. `docs/performance.md` says how to use
//! it, and what it found.

mod backend;
mod cli;
mod client;
mod compare;
mod crowd;
mod crowded;
mod error;
mod fair;
mod plain;
mod process;
mod report;
mod settings;
mod slow_client;
mod stall;
mod storm;
mod subject;
mod text;
mod tokens;
mod window;
mod wire;

use std::{
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use clap::Parser;

use self::{
    cli::{Cli, Command, Crowding},
    compare::Run,
    error::Failure,
};

/// Runs the tool. It fails if anything was wrong with a single echo.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // There is nobody else to tell.
            let _ = writeln!(io::stderr(), "trunkline-load: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<(), Failure> {
    let (gateway, json) = (cli.gateway(), cli.json);
    // The gateway and the plain server raise theirs.
    trunkline::sys::raise_descriptor_limit();
    match cli.command {
        Command::Compare { crowding, seconds, runs, rate } => {
            let time = Duration::from_secs(seconds);
            compare::compare(&gateway, Run { crowding, time, rate, json }, runs)
        }
        Command::Fast { subject, crowding, seconds, rate } => {
            let time = Duration::from_secs(seconds);
            compare::fast(subject, &gateway, Run { crowding, time, rate, json })
        }
        Command::Idle { subject, clients } => {
            crowded::idle(subject, &gateway, Crowding { clients, payload: text::HEAD_BYTES }, json)
        }
        Command::Soak { clients, payload, messages } => {
            crowded::soak(&gateway, Crowding { clients, payload }, messages, json)
        }
        Command::Stall { clients, payload, seconds } => {
            stall::stall(&gateway, Crowding { clients, payload }, Duration::from_secs(seconds), json)
        }
        Command::SlowClient { clients, rounds } => {
            slow_client::slow_client(&gateway, Crowding { clients, payload: 256 }, rounds, json)
        }
        Command::Fair { clients, seconds, rates, backend_bytes_per_ms } => {
            let plan =
                fair::Plan { clients, time: Duration::from_secs(seconds), rates, backend_bytes_per_ms };
            fair::fair(&gateway, plan, json)
        }
        Command::Storm { clients, algorithm, tries, ref with, unlimited } => {
            storm::storm(&gateway, &storm::Storm { clients, algorithm, tries, with, unlimited }, json)
        }
        Command::Backend => Ok(backend::run()?),
        Command::Plain => Ok(plain::run()?),
        Command::Keep { ref program, ref config } => Ok(subject::keep(program, config)?),
    }
}

/// Says a line to whoever has started this process.
fn say(line: &str) {
    let mut out = io::stdout().lock();
    // Whoever does not listen any more does not need to hear it.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
