//! The `trunkline` command.
// This is where the program talks to people.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod cli;
mod memory;
mod pages;

use std::{
    env,
    fs::File,
    io, panic,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Parser;
use tokio::{
    runtime::{Builder, LocalOptions},
    signal::unix::{Signal, SignalKind, signal},
    sync::{mpsc, oneshot},
};
use trunkline::{
    config::Config,
    connect,
    demo::Demo,
    gateway::Gateway,
    health, log,
    recording::replay::{Outcome, replay},
    reload::{Source, against::against, diff::Change},
    service,
};

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        Some(Command::Run { config: Some(file) }) => {
            load(&file).and_then(|config| block_on(serve(file, config)))
        }
        Some(Command::Run { config: None }) | None => block_on(demo()),
        Some(Command::Check { file, against: None, .. }) => {
            load(&file).map(|_| println!("{}: nothing wrong", file.display()))
        }
        Some(Command::Check { file, against: Some(url), ca }) => {
            match load(&file).and_then(|config| block_on(compare(&config, &url, ca))) {
                Ok(code) => return code,
                Err(message) => Err(message),
            }
        }
        Some(Command::Conformance(probe)) => block_on(async {
            let (report, passed) = probe.run().await?;
            println!("{report}");
            if passed { Ok(()) } else { Err("the backend does not conform".to_owned()) }
        }),
        Some(Command::Replay { file, user }) => tell(&file, user.as_deref()),
        Some(Command::Token(wanted)) => wanted.make().map(|token| println!("{}", &*token)),
        Some(Command::Health { url, ca }) => {
            block_on(async { health::ask(&url, ca).await.map(|answer| println!("{answer}")) })
        }
        Some(Command::Completions { shell }) => pages::completions(shell, &mut io::stdout()),
        Some(Command::Man { folder }) => pages::manual(folder.as_deref(), &mut io::stdout()),
        Some(Command::Connect { url, token, ca }) => block_on(async {
            connect::run(&url, token.as_deref(), ca, &mut io::stdout())
                .await
                .map_err(|fault| fault.to_string())
        }),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{}", message.trim_end());
            ExitCode::FAILURE
        }
    }
}

fn block_on<T>(future: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
    runtime.map_err(|error| format!("no runtime: {error}"))?.block_on(future)
}

/// Reads and checks a configuration, and says what is worth a second look in it.
fn load(file: &Path) -> Result<Config, String> {
    let config = Config::load(file, |name| env::var(name).ok()).map_err(|problems| problems.to_string())?;
    for warning in &config.warnings {
        eprintln!("{}: warning: {warning}", file.display());
    }
    Ok(config)
}

/// Says what a gateway that runs would change if it read this configuration again.
async fn compare(config: &Config, url: &str, ca: Option<PathBuf>) -> Result<ExitCode, String> {
    let token = env::var("TRUNKLINE_ADMIN_TOKEN").ok();
    let changes = against(config, url, token.as_deref(), ca).await?;
    for change in &changes {
        println!("{change}");
    }
    if changes.is_empty() {
        println!("a reload would change nothing");
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ExitCode::from(if changes.iter().any(Change::needs_restart) { 3 } else { 2 }))
}

/// Tells a recording. Fails where this version says something else than it does, or breaks a law.
fn tell(file: &Path, user: Option<&str>) -> Result<(), String> {
    let of_file = |error: String| format!("{}: {error}", file.display());
    let opened = File::open(file).map_err(|error| of_file(error.to_string()))?;
    // Whatever a panic does in this build, it ends with words.
    let name = file.display().to_string();
    panic::set_hook(Box::new(move |panic| {
        eprintln!("{name}: the machine finds that it is broken, or the recording was made up; {panic}");
        std::process::exit(1);
    }));
    let told = replay(&mut io::BufReader::new(opened), user, &mut io::stdout().lock());
    let Outcome { steps, differences, breaches } = told.map_err(of_file)?;
    let differs =
        format!("in {differences} of {steps} steps this version says something else, marked with ≠");
    let breaks = format!("in {breaches} of {steps} steps it breaks a law, marked with ✗");
    match (differences, breaches) {
        (0, 0) => {
            eprintln!("{steps} steps: this version says what was said then, and keeps the laws");
            Ok(())
        }
        (_, 0) => Err(of_file(differs)),
        (0, _) => Err(of_file(breaks)),
        _ => Err(of_file(format!("{differs}; {breaks}"))),
    }
}

async fn serve(file: PathBuf, config: Config) -> Result<(), String> {
    log::start(&config.log);
    let source = Source {
        file,
        wanted: signals(SignalKind::hangup())?,
        begins: service::reloading,
        ends: service::reloaded,
    };
    let gateway = Gateway::new(config)
        .recorded_when(signals(SignalKind::user_defined1())?)
        .reloaded_from(source)
        .says_when_it_stops(service::stopping);
    tokio::task::spawn_local(service::feed_watchdog(gateway.pulse()));
    gateway.run(|at| service::ready(&at), stop_signal()?).await.map_err(|error| error.to_string())
}

async fn demo() -> Result<(), String> {
    let demo = Demo::prepare().await.map_err(|error| format!("no demo: {error}"))?;
    let config = demo.config().map_err(|problems| problems.to_string())?;
    log::start(&config.log);
    let program = env::args().next().unwrap_or_else(|| "trunkline".to_owned());
    let (listening, address) = oneshot::channel();
    tokio::task::spawn_local(async move {
        if let Ok((Some(address), admin)) = address.await {
            println!("{}", demo.greet(address, admin, &program));
        }
        demo.serve().await;
    });
    let ready = |at: trunkline::gateway::Listening| {
        // The task above waits for it.
        let _ = listening.send((at.clients.first().copied(), at.admin));
    };
    let gateway = Gateway::new(config).recorded_when(signals(SignalKind::user_defined1())?);
    gateway.run(ready, stop_signal()?).await.map_err(|error| error.to_string())
}

/// Resolves at the first SIGTERM or SIGINT; the second ends the process at once.
fn stop_signal() -> Result<impl Future<Output = ()>, String> {
    let catch = |kind| signal(kind).map_err(|error| format!("signals cannot be caught: {error}"));
    let (mut term, mut int) = (catch(SignalKind::terminate())?, catch(SignalKind::interrupt())?);
    Ok(async move {
        either(&mut term, &mut int).await;
        tokio::task::spawn_local(async move {
            either(&mut term, &mut int).await;
            eprintln!("stopped at once");
            std::process::exit(1);
        });
    })
}

/// Says so whenever a signal comes; of several at once, one counts.
fn signals(kind: SignalKind) -> Result<mpsc::Receiver<()>, String> {
    let mut signals = signal(kind).map_err(|error| format!("signals cannot be caught: {error}"))?;
    let (wanted, come) = mpsc::channel(1);
    tokio::task::spawn_local(async move {
        while signals.recv().await.is_some() && wanted.send(()).await.is_ok() {}
    });
    Ok(come)
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}
