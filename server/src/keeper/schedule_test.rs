//! When snapshots, retention and scrubbing are due.

use super::*;

const MIB: u64 = 1 << 20;
const RULES: Rules =
    Rules { interval_ms: Some(900_000), journal_bytes: Some(100 * MIB), scrub_bytes_per_s: None };

fn seen(sequence: u64, mib: u64) -> Seen {
    Seen { sequence, journal_bytes: mib * MIB }
}

/// The first thing that is due, retention aside.
fn due(schedule: &mut Schedule, now_ms: u64, seen: Seen) -> Option<Action> {
    match schedule.step(now_ms, seen) {
        Some(Action::Retain) => schedule.step(now_ms, seen),
        other => other,
    }
}

#[test]
fn a_snapshot_is_due_by_age_or_by_bytes_and_only_of_something_new() {
    let by_age = Rules { journal_bytes: None, ..RULES };
    let by_size = Rules { interval_ms: None, ..RULES };
    let never = Rules { interval_ms: None, journal_bytes: None, ..RULES };
    let usual = Some(Action::Snapshot { nice: NICE });
    let hurried = Some(Action::Snapshot { nice: 0 });
    for (rules, after_ms, sequence, mib, expected) in [
        (RULES, 899_999, 8, 99, None),
        (RULES, 900_000, 8, 0, usual),
        (RULES, 900_000, 7, 0, None),
        (RULES, u64::MAX / 2, 7, 1_000, None),
        (RULES, 0, 8, 100, usual),
        (RULES, 0, 8, 399, usual),
        (RULES, 0, 8, 400, hurried),
        (RULES, 900_000, 8, 400, hurried),
        (by_age, 899_999, 8, 1_000_000, None),
        (by_age, 900_000, 8, 1_000_000, usual),
        (by_size, u64::MAX / 2, 8, 99, None),
        (by_size, 0, 8, 100, usual),
        (never, u64::MAX / 2, 8, 1_000_000, None),
    ] {
        let mut schedule = Schedule::new(rules, 5_000, seen(7, 0), 0);
        let case = (rules, after_ms, sequence, mib);
        assert_eq!(due(&mut schedule, 5_000 + after_ms, seen(sequence, mib)), expected, "{case:?}");
    }
}

#[test]
fn the_age_at_the_start_counts() {
    for (age_ms, after_ms, is_due) in [
        (0, 899_999, false),
        (600_000, 299_999, false),
        (600_000, 300_000, true),
        (u64::MAX, 0, true),
    ] {
        let mut schedule = Schedule::new(RULES, 50, seen(7, 0), age_ms);
        assert_eq!(due(&mut schedule, 50 + after_ms, seen(8, 1)).is_some(), is_due, "{age_ms}");
    }
}

#[test]
fn one_at_a_time_and_the_next_from_where_this_one_began() {
    let mut schedule = Schedule::new(RULES, 0, seen(0, 0), 0);
    let begun = seen(50, 120);
    assert!(due(&mut schedule, 1_000, begun).is_some());
    assert_eq!(due(&mut schedule, 2_000, seen(90, 500)), None, "one is under way");
    schedule.taken(40_000, 1_000, begun);
    assert_eq!(schedule.step(40_000, seen(90, 219)), Some(Action::Retain), "and then retention");
    assert_eq!(due(&mut schedule, 40_000, seen(90, 219)), None);
    assert!(due(&mut schedule, 40_000, seen(90, 220)).is_some());
    schedule.taken(50_000, 40_000, seen(90, 220));
    assert_eq!(due(&mut schedule, 939_999, seen(91, 220)), None);
    assert!(due(&mut schedule, 940_000, seen(91, 220)).is_some());
}

#[test]
fn failures_wait_twice_as_long_each_up_to_an_hour() {
    let mut schedule = Schedule::new(RULES, 0, seen(0, 0), 0);
    let (mut now_ms, mut waits) = (1_000_000, Vec::new());
    for _ in 0..80 {
        assert!(due(&mut schedule, now_ms, seen(9, 0)).is_some());
        let wait_ms = schedule.failed(now_ms);
        assert_eq!(due(&mut schedule, now_ms + wait_ms - 1, seen(99, 9_999)), None);
        now_ms += wait_ms;
        waits.push(wait_ms);
    }
    assert_eq!(waits[..4], [1_000, 2_000, 4_000, 8_000]);
    assert_eq!(*waits.last().unwrap(), RETRY_MAX_MS);
    assert!(due(&mut schedule, now_ms, seen(9, 0)).is_some());
    schedule.taken(now_ms, now_ms, seen(9, 0));
    assert!(due(&mut schedule, now_ms + 900_000, seen(10, 0)).is_some());
    assert_eq!(schedule.failed(now_ms), RETRY_MIN_MS, "a success forgives");
}

#[test]
fn retention_is_looked_at_once_a_minute() {
    let mut schedule = Schedule::new(RULES, 100, seen(0, 0), 0);
    let acts = (0..=120_000).step_by(1_000);
    let acts: Vec<_> =
        acts.filter(|now_ms| schedule.step(100 + now_ms, seen(0, 0)).is_some()).collect();
    assert_eq!(acts, [0, 60_000, 120_000]);
}

#[test]
fn scrubbing_keeps_its_rate_and_rests_after_a_pass() {
    let rules = Rules { scrub_bytes_per_s: Some(8 * MIB), ..RULES };
    let mut schedule = Schedule::new(rules, 0, seen(0, 0), 0);
    let (mut bytes, mut now_ms) = (0, 0);
    while now_ms < 10_000 {
        if let Some(Action::Scrub { bytes_max }) = due(&mut schedule, now_ms, seen(0, 0)) {
            assert_eq!(bytes_max, 2 * MIB);
            // Whole chunks are read: more than was asked for.
            bytes += 3 * MIB;
            schedule.scrubbed(now_ms, 3 * MIB, false);
        }
        now_ms += 100;
    }
    assert!((75 * MIB..=83 * MIB).contains(&bytes), "{bytes}");
    schedule.scrubbed(now_ms, 0, true);
    assert_eq!(due(&mut schedule, now_ms + SCRUB_PAUSE_MS - 1, seen(0, 0)), None);
    assert!(due(&mut schedule, now_ms + SCRUB_PAUSE_MS, seen(0, 0)).is_some());
    let mut off = Schedule::new(RULES, 0, seen(0, 0), 0);
    assert_eq!(due(&mut off, 1_000_000_000, seen(0, 0)), None);
}
