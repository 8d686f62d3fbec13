//! What of the past may go by the operator's word and by what SQL holds: the claims that the
//! running frame and the command make.
//!
//! It removes nothing. Invariant: what is young by the frame's own running stays young, whatever
//! the wall clock did between two runs.

use std::time::Duration;

use pipeline::{Claims, Kept};
use protocol::Sequence;
use snapshot::Meta;

use crate::config::{Config, SinkConfig};

/// Longer than this between the journal's last record and a start, the wall clock may have been
/// set.
const AWAY_MAX_NS: u64 = 5 * 60 * 1_000_000_000;

/// What has to stay of these snapshots, which verify, when SQL holds everything through `stored`.
pub(crate) fn plan(
    config: &Config,
    snapshots: &[Meta],
    stored: Sequence,
    keep_after_ns: u64,
) -> Kept {
    let is_settling = config.sink != SinkConfig::None;
    let settled = is_settling.then_some(stored);
    pipeline::plan(&Claims { snapshots, settled, keep_after_ns, followers: &[] })
}

/// The floor below which snapshots may go while the journal stays as it is, from record `first`:
/// the oldest one that it continues stays too.
pub(crate) fn floor_beside_journal(snapshots: &[Meta], floor: u64, first: u64) -> u64 {
    if first <= 1 {
        return floor;
    }
    let is_continued = |meta: &&Meta| meta.index.saturating_add(1) >= first;
    let oldest = snapshots.iter().rfind(is_continued);
    oldest.map_or(0, |meta| floor.min(meta.index))
}

/// When this run of the frame began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    /// Time of the journal's last record before it.
    pub(crate) last_ns: u64,
    /// Journal time at its beginning.
    pub(crate) began_ns: u64,
}

/// Journal time before which what lies behind may go, by age alone; `u64::MAX` when age does not
/// count. As long as a run is shorter than `keep`, a long absence before it counts as no time:
/// nobody can tell it from a clock that was set.
pub(crate) fn keep_after_ns(keep: Duration, now_ns: u64, run: Run) -> u64 {
    let keep_ns = u64::try_from(keep.as_nanos()).unwrap_or(u64::MAX);
    if keep_ns == 0 {
        return u64::MAX;
    }
    let away_ns = run.began_ns.saturating_sub(run.last_ns);
    let is_short = now_ns.saturating_sub(run.began_ns) < keep_ns;
    let discounted_ns = if is_short && away_ns > AWAY_MAX_NS { away_ns } else { 0 };
    now_ns.saturating_sub(keep_ns).saturating_sub(discounted_ns)
}

/// The same for a frame that does not run, whose journal ends at `last_ns`: a wall clock that is
/// far from it says nothing.
pub(crate) fn keep_after_stopped_ns(keep: Duration, wall_ns: u64, last_ns: u64) -> u64 {
    let now_ns = wall_ns.min(last_ns.saturating_add(AWAY_MAX_NS));
    keep_after_ns(keep, now_ns, Run { last_ns, began_ns: last_ns })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    const HOUR_NS: u64 = 3_600 * 1_000_000_000;
    const DAY: Duration = Duration::from_secs(24 * 3_600);

    fn meta(sequence: u64) -> Meta {
        Meta {
            frame: 1,
            sequence: Sequence(sequence),
            index: sequence / 10,
            epoch: 1,
            timestamp_ns: sequence,
            chain_hash: [0; 32],
            run_digest: [0; 16],
            image_digest: [0; 32],
        }
    }

    #[test]
    fn what_sql_holds_now_bounds_the_floor() {
        let snapshots = [meta(400), meta(300), meta(200), meta(100)];
        let config = |sink: &str| {
            let mut settings = Settings::defaults();
            settings.flags(&[format!("settlement.sink={sink}")]).unwrap();
            Config::from_settings(&settings).unwrap()
        };
        let floor =
            |sink, stored| plan(&config(sink), &snapshots, Sequence(stored), u64::MAX).floor;
        assert_eq!(floor("sqlite", 400), 30);
        assert_eq!(floor("sqlite", 250), 10, "an older copy");
        assert_eq!(floor("sqlite", 0), 0, "an emptied one");
        assert_eq!(floor("none", 0), 30);
    }

    #[test]
    fn a_journal_that_stays_keeps_its_beginning() {
        let snapshots = [meta(400), meta(300), meta(200), meta(100)];
        let floor = |first| floor_beside_journal(&snapshots, 30, first);
        assert_eq!((floor(1), floor(11), floor(12), floor(21), floor(41)), (30, 10, 20, 20, 30));
        assert_eq!(floor(42), 0, "nothing reaches back to it");
    }

    #[test]
    fn age_is_the_frames_own() {
        let began_ns = 100 * HOUR_NS;
        let after = |keep, hours: u64, away: u64| {
            let run = Run { last_ns: began_ns - away * HOUR_NS, began_ns };
            keep_after_ns(keep, began_ns + hours * HOUR_NS, run) / HOUR_NS
        };
        assert_eq!(keep_after_ns(Duration::ZERO, 5, Run { last_ns: 1, began_ns: 1 }), u64::MAX);
        assert_eq!(after(DAY, 1, 0), 77);
        // 23 hours away, or a clock that was set: what was an hour old is an hour old.
        assert_eq!((after(DAY, 0, 23), after(DAY, 23, 23)), (53, 76));
        assert_eq!(
            after(DAY, 24, 23),
            100,
            "all of it is older than the run, which is long enough"
        );
        assert_eq!(after(DAY, 0, 99), 0);
        // Years ahead.
        let run = Run { last_ns: HOUR_NS, began_ns: 1_000_000 * HOUR_NS };
        assert!(keep_after_ns(DAY, run.began_ns + HOUR_NS, run) < HOUR_NS);
        // Behind: journal time waits for it.
        let run = Run { last_ns: began_ns, began_ns };
        assert_eq!(keep_after_ns(DAY, began_ns + HOUR_NS, run) / HOUR_NS, 77);
    }

    #[test]
    fn a_stopped_frame_does_not_age() {
        let last_ns = 100 * HOUR_NS;
        for wall_ns in [u64::MAX, 1_000 * HOUR_NS, last_ns + AWAY_MAX_NS] {
            let after_ns = keep_after_stopped_ns(DAY, wall_ns, last_ns);
            assert_eq!(after_ns, 76 * HOUR_NS + AWAY_MAX_NS);
        }
        assert_eq!(keep_after_stopped_ns(DAY, 90 * HOUR_NS, last_ns), 66 * HOUR_NS);
        assert_eq!(keep_after_stopped_ns(Duration::ZERO, last_ns, last_ns), u64::MAX);
    }
}
