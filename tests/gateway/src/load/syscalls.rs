//! How many system calls a message takes, where `perf` can count them.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use super::{
    crowd::Crowd,
    error::Failure,
    process::Probe,
    report::Figures,
    window::{self, latency},
};

/// How long they are counted, and how long the clients go on about it.
const COUNTED: Duration = Duration::from_secs(1);
const MARGIN: Duration = Duration::from_millis(200);

/// Counts them in a closed loop; nothing where they cannot be counted. It is not done while anything else is
/// measured, for counting costs time.
pub(super) fn closed(name: &str, crowd: &mut Crowd, probe: &Probe) -> Result<Figures, Failure> {
    let counter = Command::new("perf")
        .args(["stat", "-x,", "-e", "raw_syscalls:sys_enter", "-p", &probe.pids(), "sleep"])
        .arg(COUNTED.as_secs().to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let mut figures = Figures::default();
    let Ok(counter) = counter else { return Ok(figures) };
    let mut course = window::Closed::new(latency()?);
    let (began, before) = (Instant::now(), crowd.received());
    crowd.begin(&mut course);
    crowd.run(COUNTED + MARGIN, &mut course)?;
    let per_second = (crowd.received() - before) as f64 / began.elapsed().as_secs_f64();
    course.stop();
    crowd.settle(&mut course)?;
    crowd.faults.check()?;
    let said = counter.wait_with_output()?;
    let said = String::from_utf8_lossy(&said.stderr);
    let count = said.lines().find_map(|line| {
        let (count, event) = line.split_once(',')?;
        event.contains("sys_enter").then(|| count.parse::<f64>().ok())?
    });
    if let Some(count) = count.filter(|_| per_second > 0.0) {
        figures.add(format!("{name}.syscalls"), count / COUNTED.as_secs_f64() / per_second);
    }
    Ok(figures)
}
