//! What the system says of a process: `/proc/PID`.

use std::{fs, io, path::PathBuf};

/// A process that is measured.
#[derive(Clone, Debug)]
pub(super) struct Probe {
    place: PathBuf,
    /// For a person who wants to attach a profiler.
    pub(super) pid: u32,
}

/// What a process has used up so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Usage {
    /// Time on a processor, in nanoseconds, of all threads that still run.
    pub(super) cpu_ns: u64,
    /// How often a thread has gone to sleep.
    pub(super) sleeps: u64,
}

impl Probe {
    pub(super) fn new(pid: u32) -> Self {
        Probe { place: PathBuf::from(format!("/proc/{pid}")), pid }
    }

    /// What it has used up. The nanoseconds of `schedstat` rather than the hundredths of a second of `stat`: a
    /// thousand handshakes take only a few of the latter.
    pub(super) fn usage(&self) -> io::Result<Usage> {
        let mut usage = Usage { cpu_ns: 0, sleeps: 0 };
        for thread in fs::read_dir(self.place.join("task"))? {
            let thread = thread?.path();
            let read = |name| fs::read_to_string(thread.join(name));
            // A thread may have ended since it was listed.
            let (Ok(schedstat), Ok(status)) = (read("schedstat"), read("status")) else { continue };
            usage.cpu_ns += schedstat.split(' ').next().and_then(|ns| ns.parse::<u64>().ok()).unwrap_or(0);
            usage.sleeps += field(&status, "voluntary_ctxt_switches:");
        }
        Ok(usage)
    }

    /// Resident now, in bytes.
    pub(super) fn resident(&self) -> io::Result<u64> {
        fs::read_to_string(self.place.join("smaps_rollup")).map(|text| field(&text, "Rss:") << 10)
    }

    /// Resident at most so far, in bytes.
    pub(super) fn resident_peak(&self) -> io::Result<u64> {
        fs::read_to_string(self.place.join("status")).map(|text| field(&text, "VmHWM:") << 10)
    }
}

/// The number of the line that begins with `name`.
fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()).and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_used_something() {
        let probe = Probe::new(std::process::id());
        assert!(probe.usage().expect("/proc is there").cpu_ns > 0);
        let resident = probe.resident().expect("/proc is there");
        assert!(resident > 0 && probe.resident_peak().expect("/proc is there") >= resident / 2);
    }
}
