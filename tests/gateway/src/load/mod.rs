//! The load tool: starts a gateway with an echoing backend, and others beside it to compare it with, on loopback, and
//! measures what they cost and whether every echo comes back to its sender, whole, once and in order.
//!
//! Who is who: a `subject` is what is measured, a process of its own; the `backend` behind a gateway is another; a
//! `crowd` is all clients, in one thread of the tool; a course is what they do. `docs/performance.md` says how to use
//! it, and what it found.

mod backend;
mod burst;
mod cli;
mod client;
mod compare;
mod crowd;
mod crowded;
mod error;
mod fair;
mod floor;
mod plain;
mod process;
mod quiet;
mod report;
mod rivals;
mod scale;
mod secure;
mod settings;
mod slow_client;
mod stall;
mod storm;
mod subject;
mod syscalls;
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
        Command::Compare { ref subjects, seconds, runs, rate } => {
            let plan = compare::Plan { time: Duration::from_secs(seconds), rate };
            compare::compare(&gateway, subjects, plan, runs, json)
        }
        Command::Fast { subject, crowding, seconds, rate, fan } => {
            let plan = compare::Plan { time: Duration::from_secs(seconds), rate };
            compare::fast(subject, &gateway, crowding, plan, fan, json)
        }
        Command::Scale { ref subjects, ref clients, payload, seconds, runs } => {
            let plan = scale::Plan { subjects, clients, payload, time: Duration::from_secs(seconds), runs };
            scale::scale(&gateway, &plan, json)
        }
        Command::Idle { clients, tls: true, .. } => secure::idle(&gateway, clients, json),
        Command::Idle { subject, clients, tls: false } => {
            crowded::idle(subject, &gateway, Crowding { clients, payload: text::HEAD_BYTES }, json)
        }
        Command::Soak { clients, payload, messages } => {
            crowded::soak(&gateway, Crowding { clients, payload }, messages, json)
        }
        Command::Burst { subject, crowding, seconds } => {
            burst::burst(subject, &gateway, crowding, Duration::from_secs(seconds), json)
        }
        Command::Quiet { seconds, runs } => quiet::quiet(&gateway, Duration::from_secs(seconds), runs, json),
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
        Command::Backend { bare: false } => Ok(backend::run(backend::Tongue::Events)?),
        Command::Backend { bare: true } => Ok(backend::run(backend::Tongue::Bare)?),
        Command::Plain => Ok(plain::run()?),
        Command::Floor { backend } => Ok(floor::run(backend)?),
        Command::Keep { ref program, ref arguments } => Ok(subject::keep(program, arguments)?),
    }
}

/// Ends this process when its standard input does: with whoever has started it.
fn end_with_input() {
    std::thread::spawn(|| {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        std::process::exit(0);
    });
}

/// Says a line to whoever has started this process.
fn say(line: &str) {
    let mut out = io::stdout().lock();
    // Whoever does not listen any more does not need to hear it.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
