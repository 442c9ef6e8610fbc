//! What the system says of a process and its children: `/proc/PID`.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// A subject that is measured: a process, and those that it has started.
#[derive(Clone, Debug)]
pub(super) struct Probe {
    places: Vec<PathBuf>,
    /// For a person who wants to attach a profiler.
    pub(super) pid: u32,
}

/// What the processes have used up so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Usage {
    /// Time on a processor, in nanoseconds, of all threads that still run.
    pub(super) cpu_ns: u64,
    /// How often a thread has gone to sleep.
    pub(super) sleeps: u64,
}

impl Probe {
    /// Of a process, and of the children that it has by now.
    pub(super) fn new(pid: u32) -> Self {
        let places = family(pid).into_iter().map(|pid| PathBuf::from(format!("/proc/{pid}"))).collect();
        Probe { places, pid }
    }

    /// All that is measured, as `perf` takes it.
    pub(super) fn pids(&self) -> String {
        let names = self.places.iter().filter_map(|place| place.file_name());
        names.map(|name| name.to_string_lossy()).collect::<Vec<_>>().join(",")
    }

    /// What they have used up. The nanoseconds of `schedstat` rather than the hundredths of a second of `stat`: a
    /// thousand handshakes take only a few of the latter.
    pub(super) fn usage(&self) -> io::Result<Usage> {
        let mut usage = Usage { cpu_ns: 0, sleeps: 0 };
        let threads = self.each(|place| fs::read_dir(place.join("task"))?.collect::<io::Result<Vec<_>>>())?;
        for thread in threads.iter().flatten() {
            let read = |name| fs::read_to_string(thread.path().join(name));
            // A thread may have ended since it was listed.
            let (Ok(schedstat), Ok(status)) = (read("schedstat"), read("status")) else { continue };
            usage.cpu_ns += schedstat.split(' ').next().and_then(|ns| ns.parse::<u64>().ok()).unwrap_or(0);
            usage.sleeps += field(&status, "voluntary_ctxt_switches:");
        }
        Ok(usage)
    }

    /// Resident now, in bytes.
    pub(super) fn resident(&self) -> io::Result<u64> {
        self.sum("smaps_rollup", "Rss:")
    }

    /// Resident at most so far, in bytes.
    pub(super) fn resident_peak(&self) -> io::Result<u64> {
        self.sum("status", "VmHWM:")
    }

    /// What is read of the process, and of those children of it that have not ended meanwhile.
    fn each<T>(&self, read: impl Fn(&Path) -> io::Result<T>) -> io::Result<Vec<T>> {
        let read = self.places.iter().map(|place| read(place)).enumerate();
        read.filter(|(index, read)| *index == 0 || read.is_ok()).map(|(_, read)| read).collect()
    }

    fn sum(&self, file: &str, name: &str) -> io::Result<u64> {
        let texts = self.each(|place| fs::read_to_string(place.join(file)))?;
        Ok(texts.iter().map(|text| field(text, name) << 10).sum())
    }
}

/// A process and all that descend from it.
fn family(pid: u32) -> Vec<u32> {
    let parent = |pid: u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        u32::try_from(field(&status, "PPid:")).ok()
    };
    let names = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = names.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let pairs: Vec<_> = pids.filter_map(|pid| Some((pid, parent(pid)?))).collect();
    let mut family = vec![pid];
    let mut next = 0;
    while let Some(&elder) = family.get(next) {
        family.extend(pairs.iter().filter(|(_, parent)| *parent == elder).map(|(pid, _)| pid));
        next += 1;
    }
    family
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

    #[test]
    fn a_child_counts_with_its_parent() {
        let mut child = std::process::Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .expect("every system has cat");
        let family = family(std::process::id());
        drop(child.stdin.take());
        child.wait().expect("cat ends with its input");
        assert!(family.contains(&child.id()), "{family:?}");
    }
}
