//! One subject measured from its start to its end, and several of them in turns.

use std::{path::Path, thread, time::Duration};

use super::{
    cli::Crowding,
    crowd::{Arrival, Crowd},
    error::Failure,
    report::{self, Figures, Series, note, progress},
    rivals,
    settings::Settings,
    subject::{Kind, Subject},
    syscalls,
    text::{Charset, Texts},
    window,
};

/// How long a process is left alone before its memory is read, or before others come.
const SETTLE: Duration = Duration::from_secs(1);

/// What everybody is measured with: many clients, which also send at a fixed rate and in groups, then few.
const MANY: Crowding = Crowding { clients: 1000, payload: 256 };
const FEW: Crowding = Crowding { clients: 100, payload: 64 };
/// The size of a message at a fixed rate, and of one that goes to many.
const PAYLOAD: usize = 128;
/// How many users one message is sent to.
const FAN: u32 = 20;
/// Who would need more of a processor than this for the fixed rate, by what a message costs in a closed loop, would not
/// hold it.
const PROCESSOR_MAX: f64 = 0.75;

/// How one run goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    /// Of each loop.
    pub(super) time: Duration,
    /// Of the open loop; 0: there is none.
    pub(super) rate: u32,
}

/// Measures the subjects in turns, `runs` times each, each time in fresh processes.
pub(super) fn compare(
    gateway: &Path,
    subjects: &[Kind],
    plan: Plan,
    runs: u32,
    json: bool,
) -> Result<(), Failure> {
    let mut all = Vec::new();
    for &kind in subjects {
        match rivals::absence(kind) {
            Some(why) => progress(&format!("{} is left out: {why}", kind.name())),
            None => all.push((kind, Series::new(kind.name()))),
        }
    }
    for run in 0..runs {
        // Nobody is always first.
        let first = run as usize % all.len().max(1);
        for turn in 0..all.len() {
            let at = (first + turn) % all.len();
            let (kind, series) = &mut all[at];
            progress(&format!("run {} of {runs}: {}", run + 1, kind.name()));
            let figures = match measure(*kind, gateway, plan) {
                Err(failure) if !kind.is_ours() => {
                    progress(&format!("{} failed: {failure}", kind.name()));
                    None
                }
                measured => Some(measured?),
            };
            series.runs.push(figures);
        }
    }
    let all: Vec<_> = all.into_iter().map(|(_, series)| series).collect();
    report::compare(&all, json);
    Ok(())
}

fn measure(kind: Kind, gateway: &Path, plan: Plan) -> Result<Figures, Failure> {
    let mut subject = Subject::start(kind, gateway, &Settings::of(MANY.clients))?;
    let (mut crowd, mut figures) = arrive(&subject, MANY)?;
    let name = |crowding: Crowding| format!("closed_{}x{}", crowding.clients, crowding.payload);
    let closed = window::closed(&name(MANY), &mut crowd, &subject.probe, plan.time)?;
    let cpu_us = closed.get(&format!("{}.cpu_us", name(MANY))).unwrap_or_default();
    figures.append(closed);
    figures.append(syscalls::closed(&name(MANY), &mut crowd, &subject.probe)?);
    crowd.texts = Texts::new(PAYLOAD, Charset::Plain);
    if plan.rate > 0 && cpu_us * f64::from(plan.rate) / 1e6 < PROCESSOR_MAX {
        figures.append(window::open(&mut crowd, &subject.probe, plan.rate, plan.time)?);
    }
    if kind.is_relay() {
        figures.append(fan_out(&mut subject, &mut crowd, FAN, plan.time)?);
    }
    drop(crowd);
    thread::sleep(SETTLE);
    let (mut crowd, _) = arrive(&subject, FEW)?;
    if kind.is_relay() {
        set_fan(&mut subject, 1)?;
    }
    figures.append(window::closed(&name(FEW), &mut crowd, &subject.probe, plan.time)?);
    figures.add("peak_resident_mib", mib(subject.probe.resident_peak()?));
    Ok(figures)
}

fn fan_out(subject: &mut Subject, crowd: &mut Crowd, fan: u32, time: Duration) -> Result<Figures, Failure> {
    set_fan(subject, fan)?;
    window::fan_out(crowd, &subject.probe, fan, time)
}

fn set_fan(subject: &mut Subject, fan: u32) -> Result<(), Failure> {
    let backend = subject.backend()?;
    backend.order(&format!("fan {fan}"))?;
    backend.hear().map(drop)
}

/// Measures one subject once, and says which process it is, for a profiler.
pub(super) fn fast(
    kind: Kind,
    gateway: &Path,
    crowding: Crowding,
    plan: Plan,
    fan: u32,
    json: bool,
) -> Result<(), Failure> {
    let mut subject = Subject::start(kind, gateway, &Settings::of(crowding.clients))?;
    note(json, &format!("{}: process {}", kind.name(), subject.probe.pid));
    let (mut crowd, mut figures) = arrive(&subject, crowding)?;
    if fan > 0 {
        figures.append(fan_out(&mut subject, &mut crowd, fan, plan.time)?);
    } else if plan.rate > 0 {
        figures.append(window::open(&mut crowd, &subject.probe, plan.rate, plan.time)?);
    } else {
        figures.append(window::closed("closed", &mut crowd, &subject.probe, plan.time)?);
    }
    figures.add("peak_resident_mib", mib(subject.probe.resident_peak()?));
    figures.print(json);
    Ok(())
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
