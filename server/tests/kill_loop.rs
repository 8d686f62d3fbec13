//! SIGKILL at any moment loses nothing that was acknowledged and doubles nothing that was repeated:
//! the frame is killed under load again and again, with snapshots, retention and settlement at
//! their busiest, and an outside book that knows only the answers finds every account as it must
//! be. Every third time the process that takes a snapshot is killed before. Each life writes
//! the journal in the other way than the one before.
//!
//! `BEZANT_TEST_KILL_ROUNDS` says how often (20).

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use loadgen::{Driver, Load, Mix, Random};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::books;
use crate::frame::{BACKENDS, Frame};
use crate::medium;
use crate::rounds::Rounds;
use crate::upkeep::{self, EAGER, TAKEN};

/// Accounts are compared after each so many rounds, and after the last.
const COMPARE_EVERY: u64 = 5;
/// Rounds on one frame: its database grows with each.
const ROUNDS_ON_ONE: u64 = 50;
/// Load before a kill, in milliseconds.
const LOAD_MS: std::ops::Range<u64> = 200..800;
/// Segments that this life let go.
const RETIRED: &str = "bezant_retired_segments_total";
/// Longest wait for a snapshot that is to be killed.
const SNAPSHOT_PATIENCE: Duration = Duration::from_secs(2);
/// Life of a snapshot before it is killed, in milliseconds.
const SNAPSHOT_MS: u64 = 60;

#[test]
fn kills_under_load_lose_and_double_nothing() {
    let mut rounds = Rounds::of("kill", 20);
    books::run(async move {
        let mut random = Random::new(0x5eed);
        let mut seen = Seen::default();
        let mut done = 0;
        while done < rounds.count() {
            let some = ROUNDS_ON_ONE.min(rounds.count() - done);
            on_one_frame(&mut rounds, some, &mut random, &mut seen).await;
            done += some;
        }
        assert!(rounds.unanswered() > 0, "no kill met a request under way");
        let Seen { acknowledged, segments, retired, snapshots_killed } = seen;
        assert!(retired > 0 && segments > retired, "{retired} of {segments} segments retired");
        rounds.passed(
            acknowledged,
            &format!("{segments} segments, {retired} retired; {snapshots_killed} snapshots killed"),
        );
    });
}

#[derive(Default)]
struct Seen {
    acknowledged: u64,
    segments: u64,
    retired: u64,
    snapshots_killed: u64,
}

/// Kills one frame again and again; in the end everything about it must agree.
async fn on_one_frame(rounds: &mut Rounds, count: u64, random: &mut Random, seen: &mut Seen) {
    let mut frame = Frame::with(&[], &EAGER);
    frame.set("settlement.history=full");
    frame.start();
    let mut driver = Driver::prepare(&frame.target(), books::SMALL).await.unwrap();
    for round in 1..=count {
        let after_ms = LOAD_MS.start + random.below(LOAD_MS.end - LOAD_MS.start);
        let later_ms = random.below(SNAPSHOT_MS);
        let target = frame.target();
        books::drive_to_the_end(&target, &mut driver, async {
            tokio::time::sleep(Duration::from_millis(after_ms)).await;
            if round % 3 == 0 {
                seen.snapshots_killed += kill_snapshot(&frame, later_ms).await;
            }
            let process = frame.take();
            tokio::task::spawn_blocking(move || process.kill()).await.unwrap();
        })
        .await;
        let started = Instant::now();
        frame.write_with(BACKENDS[round as usize % BACKENDS.len()].0);
        frame.start();
        let ready_ms = started.elapsed().as_millis();
        let what = rounds.resolve(&frame.target(), &mut driver).await;
        println!("round {round}: killed after {after_ms} ms; up after {ready_ms} ms; {what}");
        if round % COMPARE_EVERY == 0 || round == count {
            books::agree(&frame, &mut driver).await;
        }
    }
    // A last life in quiet: however little came of the short ones, now the past is let go.
    upkeep::drive_until(&frame, &mut driver, TAKEN, 1.0).await;
    upkeep::drive_until(&frame, &mut driver, RETIRED, 1.0).await;
    books::agree(&frame, &mut driver).await;
    frame.wait_settled();
    frame.stop();
    frame.is_sound();
    let segments = medium::segments(&frame.journal_dir());
    seen.acknowledged += driver.measured.executed;
    seen.segments += medium::number(&segments[segments.len() - 1]);
    seen.retired += medium::number(&segments[0]) - 1;
}

/// Kills the process that takes a snapshot, if one comes in time, a little later.
async fn kill_snapshot(frame: &Frame, later_ms: u64) -> u64 {
    let started = Instant::now();
    while started.elapsed() < SNAPSHOT_PATIENCE {
        if let Some(process) = held_snapshot_of(frame) {
            tokio::time::sleep(Duration::from_millis(later_ms)).await;
            // It may be done.
            return u64::from(pidfd_send_signal(&process, Signal::KILL).is_ok());
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    0
}

/// A handle of that process and of no other, whoever gets its number after it.
fn held_snapshot_of(frame: &Frame) -> Option<OwnedFd> {
    let process = upkeep::snapshot_of(frame)?;
    let id = Pid::from_raw(process.file_name()?.to_str()?.parse().ok()?)?;
    let held = pidfd_open(id, PidfdFlags::empty()).ok()?;
    // Whoever it was when it was found: it is held, and still it.
    upkeep::takes_snapshot_of(frame, &process).then_some(held)
}

/// The judge itself: a frame that had lost one acknowledged record would be found out.
#[test]
fn a_lost_record_would_be_noticed() {
    books::run(async {
        let mut frame = Frame::with(&[], &["settlement.sink=none"]);
        frame.start();
        let load = Load { mix: Mix::default(), ..books::SMALL };
        let mut driver = Driver::prepare(&frame.target(), load).await.unwrap();
        let progress = Arc::clone(&driver.progress);
        books::drive_until(&frame, &mut driver, books::executed(&progress, 500)).await;
        frame.take().kill();
        let records = medium::records(&frame.journal_dir());
        let lost = records.iter().rfind(|record| record.commands > 0).unwrap();
        let segment = usize::try_from(lost.segment).unwrap();
        let file = &medium::segments(&frame.journal_dir())[segment - 1];
        let rest = std::fs::metadata(file).unwrap().len() - lost.offset;
        medium::change(file, lost.offset, usize::try_from(rest).unwrap(), |bytes| bytes.fill(0));
        frame.start();
        let agreement = driver.compare(&frame.target()).await.unwrap();
        assert!(agreement.differences > 0, "the book did not notice");
        assert_eq!(agreement.supply_delta, "0", "no unit is invented all the same");
        frame.stop();
    });
}
