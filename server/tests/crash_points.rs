//! SIGKILL at chosen system calls, those that make things durable or visible among them: whatever
//! was acknowledged before is there after, and the start itself may be killed as well, and a
//! snapshot being written, and retention in the middle of what it removes.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use loadgen::{Driver, Load, Mix, ProcessError, Target};

use crate::books;
use crate::frame::Frame;
use crate::medium;
use crate::upkeep::{self, EAGER, FAILED, TAKEN};

/// System calls that are about to happen when the process dies, and which of its thread's
/// calls it is.
const POINTS: &[(&str, u32)] = &[
    ("msync", 1),
    ("msync", 2),
    ("msync", 3),
    ("msync", 5),
    ("msync", 8),
    ("pwritev", 1),
    ("pwritev", 2),
    ("pwritev", 3),
    ("pwritev", 5),
    ("pwritev", 8),
    ("fsync", 1),
    ("fsync", 2),
    ("fsync", 4),
    ("fsync", 8),
    ("rename", 1),
    ("fallocate", 1),
    ("pwrite64", 1),
    ("pwrite64", 3),
    ("pwrite64", 6),
    ("pwrite64", 12),
    ("unlink", 1),
];
/// A load that rolls a segment.
const BULKY: Load = Load {
    mix: Mix { holds: 0, reads: 0 },
    batch: 2_000,
    connections: 1,
    in_flight: 4,
    commands_max: 70_000,
    ..books::SMALL
};

#[test]
fn a_kill_at_any_of_these_calls_loses_nothing() {
    books::run(async {
        let mut frame = Frame::new();
        frame.start();
        let mut driver = Driver::prepare(&frame.target(), BULKY).await.unwrap();
        frame.stop();
        let mut met = 0;
        for &(call, nth) in POINTS {
            frame.write_with(if call == "msync" { "mapped" } else { "direct" });
            frame.injure(call, &format!("signal=KILL:when={nth}"));
            let end = run_to_the_point(&frame, &mut driver).await;
            met += usize::from(end != End::NotMet);
            println!("{call} {nth}: {end:?}, {} unknown", driver.unknown());
            frame.heal();
            frame.start();
            books::agree(&frame, &mut driver).await;
            frame.stop();
        }
        assert!(met > POINTS.len() / 2, "only {met} points were met");
        frame.is_sound();
    });
}

/// What is about to happen to a snapshot, in the process that takes it.
const SNAPSHOT_POINTS: &[(&str, u32)] = &[
    ("openat", 1),
    ("pwrite64", 1),
    ("pwrite64", 2),
    ("fsync,fdatasync", 1),
    ("pread64", 1),
    ("rename", 1),
];
/// Which of the files that nobody needs is about to be removed.
const RETENTION_POINTS: &[u32] = &[1, 2, 3, 5];
/// A load during which segments are retired.
const LONG: Load =
    Load { batch: 500, commands_max: u64::MAX, time_max: Duration::from_secs(10), ..BULKY };

#[test]
fn a_kill_inside_a_snapshot_costs_that_snapshot_only() {
    books::run(async {
        let mut frame = Frame::with(&[], &EAGER);
        let file = frame.home.data_dir.join("snapshots/snapshot.tmp");
        frame.start();
        let mut driver = Driver::prepare(&frame.target(), books::SMALL).await.unwrap();
        upkeep::drive_until(&frame, &mut driver, TAKEN, 1.0).await;
        frame.stop();
        for &(call, nth) in SNAPSHOT_POINTS {
            let injury = format!("signal=KILL:when={nth}");
            frame.injure_files(call, &injury, std::slice::from_ref(&file));
            frame.start();
            upkeep::drive_until(&frame, &mut driver, FAILED, 1.0).await;
            println!("{call} {nth}: {} taken", frame.figure(TAKEN));
            frame.take().kill();
            frame.heal();
            frame.start();
            upkeep::drive_until(&frame, &mut driver, TAKEN, 1.0).await;
            books::agree(&frame, &mut driver).await;
            frame.stop();
            frame.ends_with(0, &["snapshot", "verify"]);
        }
        frame.is_sound();
    });
}

#[test]
fn a_kill_while_the_past_is_removed_loses_nothing() {
    books::run(async {
        let mut frame = Frame::with(&[], &EAGER);
        frame.start();
        let mut driver = Driver::prepare(&frame.target(), LONG).await.unwrap();
        upkeep::drive_until(&frame, &mut driver, TAKEN, 2.0).await;
        frame.stop();
        for &nth in RETENTION_POINTS {
            let injury = format!("signal=KILL:when={nth}");
            frame.injure_files("unlink", &injury, &past_files(&frame));
            let end = run_to_the_point(&frame, &mut driver).await;
            println!("unlink {nth}: {end:?}, {} unknown", driver.unknown());
            assert_ne!(end, End::NotMet, "unlink {nth}");
            frame.heal();
            frame.start();
            books::agree(&frame, &mut driver).await;
            frame.stop();
            frame.ends_with(0, &["snapshot", "verify"]);
        }
        frame.is_sound();
        let oldest = medium::number(&medium::segments(&frame.journal_dir())[0]);
        assert!(oldest > 1, "nothing was retired");
    });
}

/// The segments that there are and will be, and the snapshots that there are.
fn past_files(frame: &Frame) -> Vec<PathBuf> {
    let journal = frame.journal_dir();
    let oldest = medium::number(&medium::segments(&journal)[0]);
    let segment = |number| journal.join(format!("{number:020}.segment"));
    let snapshots = std::fs::read_dir(frame.home.data_dir.join("snapshots")).unwrap();
    let taken = snapshots.map(|entry| entry.unwrap().path());
    (oldest..oldest + 30).map(segment).chain(taken).collect()
}

#[derive(Debug, PartialEq, Eq)]
enum End {
    WhileStarting,
    UnderLoad,
    NotMet,
}

/// Starts the doomed process and drives the load until it dies or the load is over.
async fn run_to_the_point(frame: &Frame, driver: &mut Driver) -> End {
    let mut process = match frame.home.start() {
        Ok(process) => process,
        Err(ProcessError::Ended { status, log }) => {
            assert!(status.contains("SIGKILL"), "{status}: {log}");
            return End::WhileStarting;
        }
        Err(error) => panic!("{error}"),
    };
    let target = Target {
        addr: process.quic,
        https: process.https,
        registry: frame.identity("registry", "north"),
        mint: frame.identity("mint", "treasury"),
    };
    let progress = Arc::clone(&driver.progress);
    let is_over = AtomicBool::new(false);
    let watch = async {
        loop {
            if process.ended().unwrap().is_some() {
                progress.disconnect();
                return End::UnderLoad;
            }
            if is_over.load(Ordering::Relaxed) {
                return End::NotMet;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let drive = async {
        // An error says that the kill came before the connections.
        if let Err(error) = driver.drive(&target).await {
            println!("no load: {error}");
        }
        is_over.store(true, Ordering::Relaxed);
    };
    let (end, ()) = tokio::join!(watch, drive);
    end
}
