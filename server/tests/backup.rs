//! A copy of a running frame, made as `docs/operations.md` says: it starts, whatever retention
//! removes meanwhile. Invariant: a copy that is called good has been replayed.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use journal::DirLock;
use loadgen::Driver;

use crate::books;
use crate::frame::{Frame, PATIENCE, copy_dir, until};
use crate::medium;
use crate::upkeep::LEAN;

/// A snapshot each second or segment, and nothing kept that is not needed.
const EAGER: [&str; 3] = ["snapshot.interval_s=1", "snapshot.journal_mib=8", "retention.keep_h=0"];
/// Copies made before one must be good: the end of a segment that is written meanwhile may be no
/// prefix.
const COPIES_MAX: u32 = 5;
/// Snapshots that were refused, among others because of the lock.
const FAILED: &str = "bezant_snapshots_total{result=\"failed\"}";
/// Between two looks at a figure.
const LOOK: Duration = Duration::from_millis(50);

/// Waits, while the load goes on, until a figure is at least `enough`.
async fn reaches(frame: &Frame, name: &str, enough: f64) {
    let started = Instant::now();
    while frame.figure(name) < enough {
        assert!(started.elapsed() < PATIENCE, "{name} never reached {enough}");
        tokio::time::sleep(LOOK).await;
    }
}

fn make(dir: &Path) {
    DirBuilder::new().mode(0o700).create(dir).unwrap();
}

/// Copies snapshots, then segments, the newest first, while no snapshot is taken.
async fn copy(frame: &Frame, to: &Path) {
    let from = &frame.home.data_dir;
    make(to);
    copy_dir(&from.join("identity"), &to.join("identity"));
    let mut lock = None;
    until("no snapshot is being taken", || {
        lock = DirLock::take(&from.join("snapshots")).ok();
        lock.is_some()
    });
    make(&to.join("snapshots"));
    for entry in std::fs::read_dir(from.join("snapshots")).unwrap() {
        let file = entry.unwrap().path();
        // One that retention has just removed is not needed.
        let _ = std::fs::copy(&file, to.join("snapshots").join(file.file_name().unwrap()));
    }
    // The load goes on, and the frame wants a snapshot that would let the copied ones' past go.
    reaches(frame, FAILED, frame.figure(FAILED) + 1.0).await;
    make(&to.join("journal"));
    for file in medium::segments(&frame.journal_dir()).iter().rev() {
        let _ = std::fs::copy(file, to.join("journal").join(file.file_name().unwrap()));
    }
    drop(lock);
}

#[test]
fn a_copy_of_a_running_frame_with_retention_starts() {
    books::run(async {
        let mut frame = Frame::with(&[], &EAGER);
        frame.start();
        let mut driver = Driver::prepare(&frame.target(), LEAN).await.unwrap();
        let mut copied = Frame::unmade(&EAGER);
        let work = async {
            reaches(&frame, "bezant_retired_segments_total", 2.0).await;
            for number in 1..=COPIES_MAX {
                copied.home.data_dir = copied.beside(&format!("copy-{number}"));
                copy(&frame, &copied.home.data_dir).await;
                let proof = copied.run(&["audit", "--set", "settlement.sink=none"]);
                if proof.status.code() == Some(0) {
                    return proof.stdout;
                }
                assert_eq!(proof.status.code(), Some(65), "{}{}", proof.stdout, proof.stderr);
            }
            panic!("none of {COPIES_MAX} copies is good");
        };
        let proof = books::drive_until(&frame, &mut driver, work).await;
        assert!(proof.contains("from snapshot-"), "the journal's beginning is gone: {proof}");
        books::agree(&frame, &mut driver).await;
        copied.start();
        copied.wait_settled();
        copied.stop();
        copied.is_sound();
        frame.stop();
        frame.is_sound();
    });
}
