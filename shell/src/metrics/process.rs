//! What the system says of this process (proc(5)). Where it says nothing, there are no figures.

use std::fs;

/// The unit of times in `/proc`: on Linux it is the same for all programs, whatever the kernel counts in.
const TICKS_PER_SECOND: f64 = 100.0;

/// Figures of this process.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(crate) struct Process {
    pub(crate) resident_bytes: Option<u64>,
    pub(crate) virtual_bytes: Option<u64>,
    pub(crate) threads: Option<u64>,
    pub(crate) open_descriptors: Option<u64>,
    pub(crate) max_descriptors: Option<u64>,
    pub(crate) cpu_seconds: Option<f64>,
}

impl Process {
    /// As they are now.
    pub(crate) fn now() -> Self {
        let read = |name: &str| fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
        let status = read("status");
        let kib = |key| number_after(&status, key).map(|kib| kib * 1024);
        // This look at the directory has a descriptor of its own.
        let open = fs::read_dir("/proc/self/fd").ok().map(|all| (all.count() as u64).saturating_sub(1));
        Process {
            resident_bytes: kib("VmRSS:"),
            virtual_bytes: kib("VmSize:"),
            threads: number_after(&status, "Threads:"),
            open_descriptors: open,
            max_descriptors: number_after(&read("limits"), "Max open files"),
            cpu_seconds: cpu_seconds(&read("stat")),
        }
    }
}

/// The first number in the line that begins with `key`.
fn number_after(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Time in the program and in the system for it.
fn cpu_seconds(stat: &str) -> Option<f64> {
    // The second field is the program's name in brackets, which may hold anything. The state, the third, follows it.
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ').skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some((ticks()? + ticks()?) as f64 / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_program_may_hold_anything() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 165 0 0 0 150 50 0 0 20 0 1 0 18 2 3";
        assert_eq!(cpu_seconds(stat), Some(2.0));
        assert_eq!(cpu_seconds(""), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_has_memory_descriptors_and_threads() {
        let Process { resident_bytes, open_descriptors, max_descriptors, threads, cpu_seconds, .. } =
            Process::now();
        assert!(resident_bytes > Some(100_000) && threads > Some(0), "{resident_bytes:?} {threads:?}");
        assert!(open_descriptors > Some(0) && open_descriptors < max_descriptors, "{open_descriptors:?}");
        assert!(cpu_seconds.is_some());
    }
}
