//! Room on the disk: what a day and the kept past need, by how fast the journal has grown lately.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use journal::FileStorage;

use super::{Finding, size};
use crate::config::Config;

/// Segments without which nothing is written: the one that is filled, the next, and a spare.
const SEGMENTS_MIN: u64 = 3;
const DAY_NS: u64 = 24 * 3_600 * 1_000_000_000;
const DAY_S: u64 = 24 * 3_600;
/// Snapshots beside those of the days that are kept.
const SNAPSHOTS_MORE: u64 = 3;

/// What the frame has and needs, in bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Need {
    segment: u64,
    /// Journal written in the last day of journal time; 0 when nothing is known.
    day: u64,
    /// Days of the past that are kept.
    days: u64,
    /// Newest snapshot.
    snapshot: u64,
    /// What journal and snapshots take up already.
    used: u64,
}

impl Need {
    /// Below this the frame may stand still at once.
    const fn least(self) -> u64 {
        self.segment.saturating_mul(SEGMENTS_MIN).saturating_add(self.snapshot)
    }

    /// Growth until what is kept no longer grows, a day on top.
    const fn steady(self) -> u64 {
        let days = self.days.saturating_add(1);
        let journal = self.day.saturating_mul(days);
        let snapshots = self.snapshot.saturating_mul(days.saturating_add(SNAPSHOTS_MORE));
        let all = journal.saturating_add(snapshots).saturating_sub(self.used);
        if all > self.least() { all } else { self.least() }
    }
}

pub(super) fn examine(config: &Config) -> Vec<Finding> {
    let (journal_dir, snapshot_dir) = (config.journal_dir(), config.snapshot_dir());
    let Ok(disk) =
        rustix::fs::statvfs(&journal_dir).or_else(|_| rustix::fs::statvfs(&config.data_dir))
    else {
        return Vec::new();
    };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let mut need = Need {
        segment: config.segment_bytes,
        days: config.upkeep.retention_keep.as_secs().div_ceil(DAY_S),
        ..Need::default()
    };
    let segments = journal::segments(&FileStorage::new(&journal_dir)).unwrap_or_default();
    need.used = segments.iter().map(|segment| segment.bytes).sum();
    let newest_ns = segments.last().map_or(0, |segment| segment.first.timestamp_ns);
    let is_of_the_day = |at_ns: u64| newest_ns.saturating_sub(at_ns) < DAY_NS;
    // The newest one has just been begun.
    let ended = segments.iter().rev().skip(1);
    let of_the_day = ended.filter(|segment| is_of_the_day(segment.first.timestamp_ns));
    need.day = of_the_day.map(|segment| segment.bytes).sum();
    let snapshots: Vec<_> = fs::read_dir(&snapshot_dir)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().extension().is_some_and(|ending| ending == "bzs"))
        .filter_map(|entry| entry.metadata().ok())
        .collect();
    need.used += snapshots.iter().map(fs::Metadata::len).sum::<u64>();
    need.snapshot = snapshots.iter().map(fs::Metadata::len).max().unwrap_or(0);
    let mut findings = vec![judge(free, need)];
    if !config.upkeep.retention_enabled {
        let cure = "the journal grows for ever: archive it by hand, or turn retention on";
        let found = "no segment is ever removed (retention.enabled=false)";
        findings.push(Finding::warn("retention", found, cure));
    }
    let device = |dir| fs::metadata(dir).map(|metadata| metadata.dev()).ok();
    findings.extend(devices(device(&journal_dir), device(&snapshot_dir)));
    findings
}

fn judge(free: u64, need: Need) -> Finding {
    let check = "free space";
    let found = format!("{} free", size(free));
    if free < need.least() {
        let cure = format!("a start needs {}: free some, or move data.dir", size(need.least()));
        return Finding::fail(check, found, cure);
    }
    let grown = if need.day == 0 {
        "how fast the journal grows is not known yet: 128 bytes and more for each payment"
            .to_owned()
    } else {
        format!("the journal grew by {} in the last day of its time", size(need.day))
    };
    let found = format!("{found}; {grown}");
    if free < need.steady() {
        let cure = format!(
            "{} days of it and their snapshots need {} more: free some, or lower retention.keep_h",
            need.days,
            size(need.steady())
        );
        return Finding::warn(check, found, cure);
    }
    Finding::ok(check, found)
}

/// Whether the snapshots share the journal's disk.
fn devices(journal: Option<u64>, snapshots: Option<u64>) -> Option<Finding> {
    let (journal, snapshots) = (journal?, snapshots?);
    let found = if journal == snapshots {
        "journal and snapshots share one: a snapshot writes beside the payments' syncs"
    } else {
        "journal and snapshots have one each"
    };
    Some(Finding::ok("devices", found))
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn room_is_judged_by_what_a_day_has_taken() {
        let gib = 1 << 30;
        let new = Need { segment: gib / 8, days: 7, ..Need::default() };
        let busy = Need { day: 10 * gib, snapshot: gib, used: 5 * gib, ..new };
        for (free, need, verdict) in [
            (gib / 4, new, Verdict::Fail),
            (gib, new, Verdict::Ok),
            (gib, busy, Verdict::Fail),
            (50 * gib, busy, Verdict::Warn),
            // Eight days, eleven snapshots, less what is there.
            (86 * gib, busy, Verdict::Ok),
            (85 * gib, busy, Verdict::Warn),
        ] {
            assert_eq!(judge(free, need).verdict, verdict, "{free} of {need:?}");
        }
    }
}
