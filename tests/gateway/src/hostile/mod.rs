//! Hostile connections by the thousand, generated from a seed, against a gateway in a process of its own, while
//! well-behaved clients go on beside them.
//!
//! Each connection is made of its number and the seed, and nothing else: `--from N --count 1` makes the same bytes again.

mod attack;
mod campaign;
mod frames;
mod heads;
mod report;
mod tally;

use std::{
    env,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::{Parser, Subcommand};
use tokio::{
    runtime::{Builder, LocalOptions},
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};
use trunkline::{config::Config, gateway::Gateway, log, reload::Source};

use crate::rig::Program;

pub use self::{
    campaign::{Plan, run},
    report::{Footprint, Report},
};

/// Makes hostile connections to a gateway that it starts, and says what became of it.
#[derive(Parser, Debug)]
#[command(version, name = "trunkline-hostile")]
struct Cli {
    #[command(subcommand)]
    command: Option<Verb>,
    /// How many connections.
    #[arg(long, default_value_t = 100_000)]
    count: u64,
    /// What they are made from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The number of the first.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// How many at once.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1024))]
    at_once: u32,
    /// The run fails if it has not ended after this many seconds.
    #[arg(long, default_value_t = 3600)]
    seconds: u64,
    /// The gateway's program, such as `target/release/trunkline`; without it, the library that this one was built with.
    #[arg(long, value_name = "FILE")]
    gateway: Option<PathBuf>,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// A gateway, from the library that this program was built with.
    #[command(hide = true)]
    Serve {
        #[arg(long)]
        config: PathBuf,
    },
}

/// The program `trunkline-hostile`.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let ended_well = match &cli.command {
        Some(Verb::Serve { config }) => serve(config),
        None => campaign(&cli),
    };
    match ended_well {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Where there is nobody to tell, the exit code says it.
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn campaign(cli: &Cli) -> io::Result<bool> {
    let program = match &cli.gateway {
        Some(gateway) => Program::real(gateway),
        None => Program::library(&env::current_exe()?),
    };
    let plan = Plan {
        program,
        count: cli.count,
        seed: cli.seed,
        from: cli.from,
        at_once: cli.at_once as usize,
        limit: Duration::from_secs(cli.seconds),
    };
    let report = run(&plan);
    writeln!(io::stdout(), "{report}")?;
    Ok(report.faults().is_empty())
}

/// Runs a gateway until it is killed; at SIGHUP it reads its configuration again.
fn serve(file: &Path) -> io::Result<bool> {
    let config = Config::load(file, |_| None).map_err(|problems| io::Error::other(problems.to_string()))?;
    log::start(&config.log);
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    runtime.block_on(async {
        let mut hangups = signal(SignalKind::hangup())?;
        let (wanted, come) = mpsc::channel(1);
        tokio::task::spawn_local(async move {
            while hangups.recv().await.is_some() && wanted.send(()).await.is_ok() {}
        });
        let source = Source { file: file.to_owned(), wanted: come, begins: || {}, ends: || {} };
        Gateway::new(config).reloaded_from(source).run(|_| {}, std::future::pending()).await
    })?;
    Ok(true)
}
