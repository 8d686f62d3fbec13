//! What a running frame does for itself: snapshots in a process of their own, retention, reading
//! again what is on the disk. Invariant: whatever of it fails, the frame goes on serving.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use journal::DirLock;
use loadgen::{Driver, Load};

use crate::books;
use crate::frame::{Frame, PATIENCE, until};
use crate::medium;

/// Fills segments of 8 MiB quickly.
const BULKY: Load =
    Load { accounts: 2_000, batch: 4_000, connections: 1, in_flight: 4, ..books::SMALL };
/// Fills segments with records of one block, so that the state and its snapshots stay small.
pub(crate) const LEAN: Load =
    Load { accounts: 100, batch: 8, connections: 1, in_flight: 2, ..books::SMALL };
/// A snapshot each second or segment, and nothing kept that is not needed.
pub(crate) const EAGER: [&str; 4] = [
    "snapshot.interval_s=1",
    "snapshot.journal_mib=8",
    "retention.keep_h=0",
    "scrub.mib_per_s=1024",
];
/// None by itself.
pub(crate) const NEVER: [&str; 2] = ["snapshot.interval_s=0", "snapshot.journal_mib=0"];
pub(crate) const TAKEN: &str = "bezant_snapshots_total{result=\"ok\"}";
pub(crate) const FAILED: &str = "bezant_snapshots_total{result=\"failed\"}";

/// Drives the load until the figure `name` is at least `enough`.
pub(crate) async fn drive_until(frame: &Frame, driver: &mut Driver, name: &str, enough: f64) {
    let reached = async {
        let started = Instant::now();
        while frame.figure(name) < enough {
            assert!(started.elapsed() < PATIENCE, "{name} never reached {enough}: {}", frame.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    books::drive_until(frame, driver, reached).await;
}

/// The word behind `head` in what a command printed.
fn word(said: &str, head: &str) -> String {
    let line = said.lines().find(|line| line.trim_start().starts_with(head));
    let word = line.and_then(|line| line.split_whitespace().nth(1));
    word.unwrap_or_else(|| panic!("no {head} in:\n{said}")).to_owned()
}

#[test]
fn a_frame_under_load_lets_its_past_go_and_starts_from_what_it_kept() {
    books::run(async {
        let mut frame = Frame::with(&[], &EAGER);
        frame.start();
        let mut driver = Driver::prepare(&frame.target(), BULKY).await.unwrap();
        drive_until(&frame, &mut driver, "bezant_retired_segments_total", 2.0).await;
        assert!(frame.figure(TAKEN) >= 2.0 && frame.figure("bezant_snapshot_sequence") > 0.0);
        assert!(frame.figure("bezant_journal_first_record") > 1.0, "what was removed is told");
        // The looking commands work beside it.
        let listed = frame.ends_with(0, &["snapshot", "list"]);
        assert!(listed.contains("snapshot-"), "{listed}");
        frame.ends_with(0, &["snapshot", "verify"]);
        drive_until(&frame, &mut driver, "bezant_retired_segments_total", 3.0).await;
        frame.take().kill();
        let oldest = &medium::segments(&frame.journal_dir())[0];
        let first = frame.journal_dir().join(format!("{:020}.segment", 1));
        assert!(*oldest > first, "the journal's beginning is gone: {}", oldest.display());
        frame.start();
        let log = frame.log();
        let recovered = log.lines().rfind(|line| line.contains("recovered")).unwrap();
        assert!(recovered.contains("snapshot-") && recovered.contains("seconds"), "{recovered}");
        books::agree(&frame, &mut driver).await;
        frame.wait_settled();
        frame.stop();
        frame.is_sound();
    });
}

#[test]
fn damage_in_a_sealed_segment_is_found_while_the_frame_serves() {
    books::run(async {
        let mut frame = Frame::with(&[], &NEVER);
        frame.set("scrub.mib_per_s=1024");
        frame.start();
        let load = Load { commands_max: 200_000, ..BULKY };
        let mut driver = Driver::prepare(&frame.target(), load).await.unwrap();
        driver.drive(&frame.target()).await.unwrap();
        frame.wait_settled();
        frame.stop();
        frame.ends_with(0, &["snapshot", "create"]);
        let oldest = medium::segments(&frame.journal_dir())[0].clone();
        let victim = medium::records(&frame.journal_dir())[3];
        let offset = victim.offset + 700;
        medium::change(&oldest, offset, 1, |bytes| bytes[0] ^= 0x20);
        frame.start();
        until("the damage is found", || frame.figure("bezant_scrub_errors_total") >= 1.0);
        until("the rest is read all the same", || frame.figure("bezant_scrub_passes_total") >= 1.0);
        assert_eq!(frame.figure("bezant_scrub_errors_total"), 1.0, "{}", frame.log());
        let (code, ready) = frame.page("/readyz");
        assert!(code == 503 && ready.contains("cannot be read back"), "{code} {ready}");
        let log = frame.log();
        let found = log.lines().find(|line| line.contains("cannot be read back")).unwrap();
        let name = oldest.file_name().unwrap().to_str().unwrap();
        let place = format!("offset {}, where record {}", victim.offset, victim.index);
        for part in [name, &place] {
            assert!(found.contains(part), "no {part} in {found}");
        }
        books::agree(&frame, &mut driver).await;
        frame.stop();
        medium::change(&oldest, offset, 1, |bytes| bytes[0] ^= 0x20);
        frame.is_sound();
    });
}

#[test]
fn a_frame_whose_snapshots_are_killed_goes_on() {
    books::run(async {
        let mut frame = Frame::with(&[], &["snapshot.interval_s=1"]);
        // Only the process that takes a snapshot asks who started it.
        frame.injure("getppid", "signal=KILL");
        frame.start();
        let mut driver = Driver::prepare(&frame.target(), books::SMALL).await.unwrap();
        drive_until(&frame, &mut driver, FAILED, 2.0).await;
        assert_eq!(frame.figure(TAKEN), 0.0);
        let log = frame.log();
        let told = log.lines().find(|line| line.contains("no snapshot was taken")).unwrap();
        assert!(told.contains("signal: 9"), "{told}");
        books::agree(&frame, &mut driver).await;
        frame.stop();
        // One that hangs does not hold up the end, and no end of the frame leaves one behind.
        frame.set("settlement.postgres=postgres://bezant:canary@127.0.0.1/none");
        frame.injure("getppid", "signal=STOP");
        for is_killed in [false, true] {
            frame.start();
            let progress = Arc::clone(&driver.progress);
            books::drive_until(&frame, &mut driver, books::executed(&progress, 500)).await;
            until("a snapshot is begun", || snapshot_of(&frame).is_some());
            let process = snapshot_of(&frame).unwrap();
            let told = |what| std::fs::read_to_string(process.join(what)).unwrap();
            until("it is the first to go", || told("oom_score_adj").trim() == "1000");
            assert!(!told("cmdline").contains("canary"), "no secret is on its command line");
            assert_eq!(told("environ"), "");
            if is_killed {
                frame.take().kill();
            } else {
                frame.stop();
            }
            until("it has ended with the frame", || has_ended(&process));
        }
        frame.heal();
        frame.start();
        drive_until(&frame, &mut driver, TAKEN, 1.0).await;
        frame.stop();
        frame.is_sound();
    });
}

/// The process that takes a snapshot of `frame`.
pub(crate) fn snapshot_of(frame: &Frame) -> Option<PathBuf> {
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    processes.map(|process| process.path()).find(|process| takes_snapshot_of(frame, process))
}

/// Whether the process there is, right now, the one that takes a snapshot of `frame`.
pub(crate) fn takes_snapshot_of(frame: &Frame, process: &Path) -> bool {
    let dir = frame.home.data_dir.display().to_string();
    let line = std::fs::read(process.join("cmdline")).unwrap_or_default();
    let line = String::from_utf8_lossy(&line).replace('\0', " ");
    line.starts_with("bezant snapshot create") && line.contains(&dir)
}

/// Whether a process is gone, or waits for nobody but whoever inherited it.
fn has_ended(process: &Path) -> bool {
    let stat = std::fs::read_to_string(process.join("stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    matches!(state, None | Some('Z' | 'X'))
}

#[test]
fn a_snapshot_beside_the_running_frame_is_the_one_of_the_stopped_frame() {
    books::run(async {
        let mut frame = Frame::with(&[], &NEVER);
        frame.start();
        let mut driver = Driver::prepare(&frame.target(), books::SMALL).await.unwrap();
        let progress = Arc::clone(&driver.progress);
        books::drive_until(&frame, &mut driver, books::executed(&progress, 3_000)).await;
        // Also while commands come: whatever it is of, it verifies.
        let create = async { frame.ends_with(0, &["snapshot", "create"]) };
        books::drive_until(&frame, &mut driver, create).await;
        books::agree(&frame, &mut driver).await;
        let executed = frame.figure("bezant_executed_sequence");
        let mut beside = String::new();
        until("everything is known to be durable", || {
            beside = frame.ends_with(0, &["snapshot", "create"]);
            word(&beside, "sequence").trim_end_matches(',').parse::<f64>().unwrap() >= executed
        });
        frame.wait_settled();
        frame.stop();
        let stopped = frame.ends_with(0, &["snapshot", "create"]);
        for head in ["snapshot", "run", "image"] {
            assert_eq!(word(&beside, head), word(&stopped, head));
        }
        frame.ends_with(0, &["snapshot", "verify"]);
        let lock = DirLock::take(&frame.home.data_dir.join("snapshots")).unwrap();
        let refused = frame.ends_with(75, &["snapshot", "create"]);
        assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
        drop(lock);
        frame.is_sound();
    });
}
