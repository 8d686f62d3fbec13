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
        (by_age, 900_000, 8, 16_383, usual),
        (by_age, 900_000, 8, 16_384, hurried),
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
fn a_lost_snapshot_is_replaced_although_nothing_happened() {
    let mut schedule = Schedule::new(RULES, 0, seen(7, 0), 0);
    assert_eq!(due(&mut schedule, 1_000, seen(7, 0)), None);
    schedule.lost();
    assert!(due(&mut schedule, 1_000, seen(7, 0)).is_some());
    let wait_ms = schedule.failed(1_000);
    assert_eq!(due(&mut schedule, 999 + wait_ms, seen(7, 0)), None);
    assert!(due(&mut schedule, 1_000 + wait_ms, seen(7, 0)).is_some(), "until there is one");
    schedule.taken(5_000, 4_000, seen(7, 0));
    assert_eq!(due(&mut schedule, 2_000_000, seen(7, 0)), None);
    let never = Rules { interval_ms: None, journal_bytes: None, ..RULES };
    let mut schedule = Schedule::new(never, 0, seen(7, 0), 0);
    schedule.lost();
    assert_eq!(due(&mut schedule, 1_000, seen(9, 0)), None, "who wants none gets none");
}

#[test]
fn patience_is_an_hour_and_the_work_and_more_after_failures() {
    const HOUR_MS: u64 = 3_600_000;
    let mut schedule = Schedule::new(RULES, 0, seen(7, 0), 0);
    assert_eq!(schedule.patience_ms(seen(7, 0), 0), HOUR_MS);
    assert_eq!(schedule.patience_ms(seen(9, 4_000), 100 * MIB), HOUR_MS + 1_075_000);
    schedule.failed(0);
    assert_eq!(schedule.patience_ms(seen(7, 0), 0), 2 * HOUR_MS);
    for _ in 0..40 {
        schedule.failed(0);
    }
    assert_eq!(schedule.patience_ms(seen(7, 0), 0), 16 * HOUR_MS);
}

#[test]
fn failures_with_much_behind_are_told_until_one_succeeds() {
    let mut schedule = Schedule::new(RULES, 0, seen(7, 0), 0);
    assert!(!schedule.is_starved(seen(9, 1_000)), "it has not failed");
    schedule.failed(0);
    assert!(!schedule.is_starved(seen(9, 399)) && schedule.is_starved(seen(9, 400)));
    schedule.taken(1, 0, seen(9, 400));
    assert!(!schedule.is_starved(seen(9, 900)));
    assert_eq!(schedule.behind(seen(9, 900)), 500 * MIB);
    let by_age = Rules { journal_bytes: None, ..RULES };
    let mut schedule = Schedule::new(by_age, 0, seen(7, 0), 0);
    schedule.failed(0);
    assert!(!schedule.is_starved(seen(9, 1_000_000)));
}

#[test]
fn scrubbing_keeps_its_rate_and_rests_after_a_pass() {
    for (rate, slice, found) in [(8, 2, 3), (16, 4, 4), (37, 4, 5), (1_000, 4, 4)] {
        let rules = Rules { scrub_bytes_per_s: Some(rate * MIB), ..RULES };
        let mut schedule = Schedule::new(rules, 0, seen(0, 0), 0);
        let (mut bytes, mut now_ms) = (0, 0);
        while now_ms < 10_000 {
            // As long as something is due it is done without a pause.
            while let Some(Action::Scrub { bytes_max }) = due(&mut schedule, now_ms, seen(0, 0)) {
                assert_eq!(bytes_max, slice * MIB);
                // Whole chunks are read: more than was asked for.
                bytes += found * MIB;
                schedule.scrubbed(now_ms, found * MIB, false);
            }
            now_ms += 70;
        }
        let wanted = 10 * rate * MIB;
        assert!(bytes.abs_diff(wanted) <= wanted / 50 + found * MIB, "{rate}: {bytes}");
        schedule.scrubbed(now_ms, 0, true);
        assert_eq!(due(&mut schedule, now_ms + SCRUB_PAUSE_MS - 1, seen(0, 0)), None);
        assert!(due(&mut schedule, now_ms + SCRUB_PAUSE_MS + 400, seen(0, 0)).is_some());
    }
    // What was slept through is not made up for.
    let rules = Rules { scrub_bytes_per_s: Some(MIB), ..RULES };
    let mut schedule = Schedule::new(rules, 0, seen(0, 0), 0);
    let mut slices = 0;
    while due(&mut schedule, 1_000_000, seen(0, 0)).is_some() {
        schedule.scrubbed(1_000_000, MIB / 4, false);
        slices += 1;
    }
    assert_eq!(slices, 5);
    let mut off = Schedule::new(RULES, 0, seen(0, 0), 0);
    assert_eq!(due(&mut off, 1_000_000_000, seen(0, 0)), None);
}
