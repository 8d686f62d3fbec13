//! What the kernel counts of this process. It says nothing where that cannot be read.

use std::fs;

use rustix::time::{ClockId, clock_gettime};

/// Processor time of all threads so far, in milliseconds.
pub(super) fn cpu_ms() -> u64 {
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    let milliseconds = |seconds: i64, ns: i64| seconds * 1_000 + ns / 1_000_000;
    u64::try_from(milliseconds(spent.tv_sec, spent.tv_nsec)).unwrap_or(0)
}

/// Memory in use, in bytes.
pub(super) fn resident_bytes() -> Option<u64> {
    resident_of(&fs::read_to_string("/proc/self/status").ok()?)
}

/// `VmRSS:      1234 kB`, on a line of its own.
fn resident_of(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_found_among_the_other_lines() {
        let status = "Name:\tbezant\nVmHWM:\t     900 kB\nVmRSS:\t     700 kB\nThreads:\t9\n";
        assert_eq!(resident_of(status), Some(700 * 1_024));
        assert_eq!(resident_of("Name:\tbezant\n"), None);
        assert!(resident_bytes().is_some_and(|bytes| bytes > 0));
    }
}
