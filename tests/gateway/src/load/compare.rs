//! One subject measured from its start to its end, and two of them in turns.

use std::{path::Path, thread, time::Duration};

use super::{
    cli::Crowding,
    crowd::{Arrival, Crowd},
    error::Failure,
    report::{Comparison, Figures, note},
    settings::Settings,
    subject::{Kind, Subject},
    text::{Charset, Texts},
    window,
};

/// How long a process is left alone before its memory is read.
const SETTLE: Duration = Duration::from_secs(1);

/// How one run goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) crowding: Crowding,
    /// Of each loop.
    pub(super) time: Duration,
    /// Of the open loop; 0: there is none.
    pub(super) rate: u32,
    pub(super) json: bool,
}

/// Measures both subjects in turns, `runs` times each, each time in fresh processes.
pub(super) fn compare(gateway: &Path, run: Run, runs: u32) -> Result<(), Failure> {
    let mut comparison = Comparison::default();
    for _ in 0..runs {
        comparison.gateway.push(measure(Kind::Gateway, gateway, run)?);
        comparison.plain.push(measure(Kind::Plain, gateway, run)?);
    }
    comparison.print(run.json);
    Ok(())
}

/// Measures one subject once, and says which process it is, for a profiler.
pub(super) fn fast(kind: Kind, gateway: &Path, run: Run) -> Result<(), Failure> {
    measure(kind, gateway, run)?.print(run.json);
    Ok(())
}

fn measure(kind: Kind, gateway: &Path, run: Run) -> Result<Figures, Failure> {
    let subject = Subject::start(kind, gateway, &Settings::of(run.crowding.clients))?;
    note(run.json, &format!("{}: process {}", kind.name(), subject.probe.pid));
    let (mut crowd, mut figures) = arrive(&subject, run.crowding)?;
    figures.append(window::closed(&mut crowd, &subject.probe, run.time)?);
    if run.rate > 0 {
        figures.append(window::open(&mut crowd, &subject.probe, run.rate, run.time)?);
    }
    figures.add("peak_resident_mib", mib(subject.probe.resident_peak()?));
    Ok(figures)
}

/// Lets the clients in, and measures what that costs.
pub(super) fn arrive(subject: &Subject, crowding: Crowding) -> Result<(Crowd, Figures), Failure> {
    let Crowding { clients, payload } = crowding;
    let (empty, before) = (subject.probe.resident()?, subject.probe.usage()?);
    let arrival = Arrival { address: subject.address, clients, send_buffer: None };
    let crowd = Crowd::connect(arrival, Texts::new(payload, Charset::Plain))?;
    let shaken = subject.probe.usage()?;
    thread::sleep(SETTLE);
    let idle = subject.probe.resident()?;
    let per_client = |amount: u64| amount as f64 / f64::from(clients);
    let mut figures = Figures::default();
    figures.add("handshake.cpu_us", per_client(shaken.cpu_ns - before.cpu_ns) / 1e3);
    figures.add("idle.bytes_per_client", per_client(idle.saturating_sub(empty)));
    Ok((crowd, figures))
}

pub(super) fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
