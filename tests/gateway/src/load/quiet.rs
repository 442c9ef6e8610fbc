//! One endpoint is quiet while another is flooded: how long the quiet one's clients wait. On a machine where all share
//! the processors that says little by itself, so the flood is also aimed at another gateway, a process of its own.

use std::{
    path::Path,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread,
    time::Duration,
};

use super::{
    crowd::{Arrival, Crowd},
    error::Failure,
    fair::{self, POLITE_BYTES, Polite, greedy, measure},
    report::{Figures, Series, progress},
    settings::{Rates, Settings},
    subject::{Kind, Subject},
    text::{Charset, Texts},
    tokens::PATH,
    window::add_latency,
};

/// Who flood, and what each of their messages has.
const GREEDY: u32 = 4;
const GREEDY_BYTES: usize = 32;
/// Where the other endpoint is.
const OTHER_PATH: &str = "/other/1";

/// Where the flood goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Flood {
    Nowhere,
    /// To another process.
    Elsewhere,
    /// To another endpoint of the same gateway.
    Beside,
}

/// Measures the quiet endpoint without a flood, beside one elsewhere, and beside one in the same process.
pub(super) fn quiet(gateway: &Path, time: Duration, runs: u32, json: bool) -> Result<(), Failure> {
    let cases = [("beside", Flood::Beside), ("elsewhere", Flood::Elsewhere), ("nowhere", Flood::Nowhere)];
    let mut all = cases.map(|(name, _)| Series::new(name));
    for run in 1..=runs {
        for ((name, flood), series) in cases.into_iter().zip(&mut all) {
            progress(&format!("run {run} of {runs}: flood {name}"));
            series.runs.push(Some(run_case(gateway, time, flood)?));
        }
    }
    super::report::compare(&all, json);
    Ok(())
}

fn run_case(gateway: &Path, time: Duration, flood: Flood) -> Result<Figures, Failure> {
    const QUIET_CLIENTS: u32 = 100;
    let plan = fair::Plan { clients: QUIET_CLIENTS, time, rates: Rates::Off, backend_bytes_per_ms: 0 };
    let settings = Settings { has_other: true, ..Settings::of(QUIET_CLIENTS) };
    let subject = Subject::start(Kind::Gateway, gateway, &settings)?;
    let elsewhere = match flood {
        Flood::Elsewhere => Some(Subject::start(Kind::Gateway, gateway, &settings)?),
        Flood::Nowhere | Flood::Beside => None,
    };
    let (address, path) = match &elsewhere {
        Some(other) => (other.address, PATH),
        None => (subject.address, OTHER_PATH),
    };
    let arrival = Arrival { address: subject.address, clients: QUIET_CLIENTS, send_buffer: None };
    let mut crowd = Crowd::connect(arrival, Texts::new(POLITE_BYTES, Charset::Plain))?;
    let mut course = Polite::new()?;
    let (stop, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    let floods = if flood == Flood::Nowhere { 0 } else { GREEDY };
    let measured = thread::scope(|scope| {
        for number in 0..floods {
            scope.spawn({
                let (stop, sent) = (&stop, &sent);
                move || greedy(address, path, number, GREEDY_BYTES, stop, sent)
            });
        }
        let measured = measure(&mut crowd, plan, &mut course, &sent);
        stop.store(true, Relaxed);
        measured
    })?;
    crowd.settle(&mut course)?;
    crowd.faults.check()?;
    let mut figures = Figures::default();
    add_latency(&mut figures, "quiet", &measured.0);
    let messages = measured.1 as f64 / (GREEDY_BYTES + 6) as f64;
    figures.add("flood.messages_per_s", messages / time.as_secs_f64());
    Ok(figures)
}
