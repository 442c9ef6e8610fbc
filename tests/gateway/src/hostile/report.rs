//! What a campaign has seen, and what of that is wrong.

use std::{fmt, time::Duration};

use super::tally::{Outcome, Tally};

/// How much more memory may be resident at the end than after the first tenth: what an allocator moves by itself, and
/// less for each connection than the smallest thing that could be left behind.
const GROWTH_BYTES_MAX: u64 = 1 << 20;
const GROWTH_BYTES_MAX_EACH: u64 = 32;
/// What must have happened at least once, or the campaign has not tried what it is for.
const REACHED: [Outcome; 9] = [
    Outcome::Answered(400),
    Outcome::Answered(401),
    Outcome::Answered(404),
    Outcome::Answered(426),
    Outcome::Answered(431),
    Outcome::Closed(1002),
    Outcome::Closed(1007),
    Outcome::Closed(1009),
    Outcome::Reset,
];

/// What the system says of the gateway.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Footprint {
    /// Bytes of memory that are resident.
    pub resident: u64,
    /// Open descriptors.
    pub descriptors: usize,
}

/// What a campaign has seen.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub(super) tally: Tally,
    /// How many there should have been.
    pub(super) planned: u64,
    pub(super) took: Duration,
    /// Before the first, after a tenth of them, and after the last.
    pub(super) footprints: [Footprint; 3],
    /// Round trips of the client that stays.
    pub(super) trips: Vec<Duration>,
    /// What each newcomer has taken to be let in, announced and answered.
    pub(super) newcomers: Vec<Duration>,
    /// Links that the backend has seen.
    pub(super) links: usize,
    /// Those who, to the backend, are still there at the end, though they are not.
    pub(super) ghosts: Vec<String>,
    pub(super) log_lines: usize,
    /// Lines of the log that tell of a panic, are no JSON, or tell a token.
    pub(super) bad_lines: Vec<String>,
    /// How the gateway has ended; it should not have.
    pub(super) ended: Option<String>,
}

impl Report {
    /// What is wrong.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let [begin, warm, end] = self.footprints;
        if let Some(how) = &self.ended {
            faults.push(format!("the gateway has ended: {how}"));
        }
        if self.tally.count() < self.planned {
            faults.push(format!("only {} connections of {} in time", self.tally.count(), self.planned));
        }
        if let Some(first) = self.tally.suspects.first() {
            let count = self.tally.suspects.len();
            faults.push(format!("{count} connections were not ended, or not accepted; the first is {first}"));
        }
        if end.descriptors != begin.descriptors {
            faults.push(format!("{} descriptors became {}", begin.descriptors, end.descriptors));
        }
        let growth_max = GROWTH_BYTES_MAX + GROWTH_BYTES_MAX_EACH * self.planned;
        if end.resident.saturating_sub(warm.resident) > growth_max {
            faults.push(format!("{} bytes resident became {}", warm.resident, end.resident));
        }
        if self.links != 1 {
            faults.push(format!("{} links, and not one", self.links));
        }
        if !self.ghosts.is_empty() {
            faults.push(format!("the backend believes in {:?}", self.ghosts));
        }
        if let Some(line) = self.bad_lines.first() {
            faults.push(format!("{} bad lines in the log, such as {line}", self.bad_lines.len()));
        }
        if self.trips.is_empty() || self.newcomers.is_empty() {
            faults.push("no well-behaved client was watched".to_owned());
        }
        faults
    }

    /// What should have happened to some, and happened to none. A few hundred connections may miss something.
    pub fn unreached(&self) -> Vec<String> {
        let missing = REACHED.iter().filter(|outcome| !self.tally.outcomes.contains_key(outcome));
        missing.map(ToString::to_string).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.tally.count();
        let per_second = count as f64 / self.took.as_secs_f64().max(f64::EPSILON);
        writeln!(
            f,
            "{count} hostile connections in {:.1} s, {per_second:.0} per second",
            self.took.as_secs_f64()
        )?;
        for (kind, count) in &self.tally.kinds {
            writeln!(f, "  {count:>7}  {kind}")?;
        }
        writeln!(f, "what became of them")?;
        for (outcome, count) in &self.tally.outcomes {
            writeln!(f, "  {count:>7}  {outcome}")?;
        }
        for (who, times) in
            [("round trips of a client", &self.trips), ("newcomers, until answered", &self.newcomers)]
        {
            let [half, most, all] = [0.5, 0.99, 1.0].map(|share| milliseconds(quantile(times, share)));
            writeln!(
                f,
                "{}: {who}; median {half:.2} ms, 99 % within {most:.2} ms, worst {all:.2} ms",
                times.len()
            )?;
        }
        let [begin, warm, end] = self.footprints;
        let kib = |bytes: u64| bytes >> 10;
        let growth = (end.resident as i64 - warm.resident as i64) as f64;
        let (a, b, c) = (kib(begin.resident), kib(warm.resident), kib(end.resident));
        writeln!(f, "resident: {a} KiB before, {b} KiB after a tenth, {c} KiB after all")?;
        writeln!(
            f,
            "  {:.1} bytes for each connection after the first tenth",
            growth / (count as f64 * 0.9)
        )?;
        let [a, b, c] = self.footprints.map(|footprint| footprint.descriptors);
        writeln!(f, "descriptors: {a} before, {b} after a tenth, {c} after all")?;
        writeln!(f, "links: {}; lines in the log: {}", self.links, self.log_lines)?;
        for outcome in self.unreached() {
            writeln!(f, "never seen: {outcome}")?;
        }
        for fault in self.faults() {
            writeln!(f, "WRONG: {fault}")?;
        }
        f.write_str(if self.faults().is_empty() { "nothing wrong" } else { "failed" })
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn quantile(times: &[Duration], share: f64) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let last = sorted.len().saturating_sub(1);
    sorted.get((last as f64 * share) as usize).copied().unwrap_or_default()
}
