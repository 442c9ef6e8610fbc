//! Plays runs of the whole gateway on a simulated network, and judges each.
//!
//! ```text
//! cargo run -p trunkline-simulation -- --runs 1000              seeds 0 to 999, each once
//! cargo run -p trunkline-simulation -- --runs 1000 --from 5000  seeds 5000 to 5999
//! cargo run -p trunkline-simulation -- --seed 17                that one, with its log
//! ```
//!
//! Not with `--release`: there, a panic ends it all, as it does the gateway.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::{
    collections::BTreeMap,
    io::stderr,
    process::ExitCode,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Instant,
};

use clap::Parser;
use trunkline_simulation::{
    Outcome,
    judge::{CASES, Reached},
    record::Entry,
    run,
};

/// Simulates the whole gateway: its clients, its backends, and a network that fails.
#[derive(Parser, Debug)]
struct Cli {
    /// Plays the run of this seed, and shows its log
    #[arg(long, conflicts_with_all = ["runs", "from", "stop"])]
    seed: Option<u64>,
    /// With --seed: shows what the gateway itself logs, too
    #[arg(long, requires = "seed")]
    trace: bool,
    /// How many runs are played; one in 25 is played twice, and must be the same
    #[arg(long, default_value_t = 300)]
    runs: u64,
    /// Ends at the first run that is broken
    #[arg(long)]
    stop: bool,
    /// The first seed
    #[arg(long, default_value_t = 0)]
    from: u64,
}

/// One run in so many is played again.
const TWICE: u64 = 25;
/// From so many runs on, every case must have occurred.
const ENOUGH_RUNS: u64 = 200;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.seed {
        Some(seed) => show(seed, cli.trace),
        None => campaign(&cli),
    }
}

fn show(seed: u64, trace: bool) -> ExitCode {
    if trace {
        let lines = tracing_subscriber::fmt()
            .without_time()
            .with_writer(stderr)
            .with_max_level(tracing::Level::DEBUG);
        lines.init();
    }
    let outcome = run(seed);
    print!("{}", text_of(&outcome.log));
    for (case, count) in &outcome.reached {
        println!("# {case}: {count}");
    }
    report(seed, &outcome.broken)
}

fn text_of(log: &[Entry]) -> String {
    log.iter().map(|entry| format!("{entry}\n")).collect()
}

/// Says what was broken; whether nothing was.
fn report(seed: u64, broken: &[String]) -> ExitCode {
    if broken.is_empty() {
        return ExitCode::SUCCESS;
    }
    for what in broken {
        eprintln!("seed {seed}: {what}");
    }
    eprintln!("play it again: cargo run -p trunkline-simulation -- --seed {seed}");
    ExitCode::FAILURE
}

fn campaign(&Cli { from, runs, stop, .. }: &Cli) -> ExitCode {
    let start = Instant::now();
    let next = AtomicU64::new(from);
    let total = Mutex::new((Reached::new(), BTreeMap::new()));
    let (played, entries) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + runs {
                        return;
                    }
                    let outcome = play(seed);
                    played.fetch_add(1, Ordering::Relaxed);
                    entries.fetch_add(outcome.log.len() as u64, Ordering::Relaxed);
                    let Ok(mut total) = total.lock() else { return };
                    for (case, count) in outcome.reached {
                        *total.0.entry(case).or_default() += count;
                    }
                    if !outcome.broken.is_empty() {
                        report(seed, &outcome.broken);
                        total.1.insert(seed, outcome.broken);
                        if stop {
                            next.store(from + runs, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
    });
    let (reached, broken) = total.into_inner().unwrap_or_default();
    for case in CASES {
        println!("{:>7} {case}", reached.get(case).copied().unwrap_or_default());
    }
    let never = CASES.iter().filter(|case| !reached.contains_key(**case)).count();
    let played = played.into_inner();
    println!(
        "{played} runs from seed {from}, {} of them broken, {} entries, {:.1?}",
        broken.len(),
        entries.into_inner(),
        start.elapsed()
    );
    if played >= ENOUGH_RUNS && never > 0 {
        eprintln!("{never} cases never occurred");
        return ExitCode::FAILURE;
    }
    if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Plays a run, some twice.
fn play(seed: u64) -> Outcome {
    let mut outcome = run(seed);
    if seed.is_multiple_of(TWICE) && run(seed).log != outcome.log {
        outcome.broken.push("law 12: played twice, it is not the same".to_owned());
    }
    outcome
}
