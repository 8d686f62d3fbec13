//! A full disk refuses payments and nothing else, says so, and is over by itself when space comes
//! back, whatever was being written when it came. Invariant: no signal, no lost unit.
//!
//! Needs root, for a file system of its own. `BEZANT_TEST_FULL_DISK_ROUNDS` says how often it is
//! filled (6: once at every stage).

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use client::{Client, Command, query};
use loadgen::run::Progress;
use loadgen::{Driver, Load, owner};
use protocol::ids::NATIVE;

use crate::books;
use crate::disk::{Disk, Filler};
use crate::frame::{Frame, PATIENCE, must, until};
use crate::rounds::Rounds;
use crate::upkeep::{EAGER, FAILED, NEVER, TAKEN};

/// Fills a segment of 8 MiB quickly.
const BULKY: Load =
    Load { accounts: 500, batch: 1_000, connections: 1, in_flight: 4, ..books::SMALL };
/// How long the snapshot under way has taken.
const RUNNING: &str = "bezant_snapshot_running_seconds";
/// Commands that show that it goes on.
const SOME: u64 = 5_000;

/// When the disk is filled.
#[derive(Clone, Copy, Debug)]
enum Stage {
    /// Before a load that needs a new segment.
    Roll,
    /// While the next segment is being prepared.
    Preparing,
    /// Before a snapshot is taken.
    Snapshot,
    /// While a snapshot is being written.
    Snapshotting,
    /// To the last byte of the logs' last blocks.
    Logs,
    /// And the process is killed while it refuses.
    Killed,
}

const STAGES: [Stage; 6] = [
    Stage::Roll,
    Stage::Preparing,
    Stage::Snapshot,
    Stage::Snapshotting,
    Stage::Logs,
    Stage::Killed,
];

#[test]
fn a_full_disk_refuses_payments_only_and_passes() {
    let rounds = Rounds::of("full-disk", STAGES.len() as u64);
    books::run(async move {
        let (mut acknowledged, mut seen) = (0, "");
        for round in 0..rounds.count() {
            let stage = STAGES[round as usize % STAGES.len()];
            match fill_at(stage).await {
                Ok((count, kind)) => {
                    acknowledged += count;
                    seen = kind;
                }
                Err(why) => return rounds.not_run(&why),
            }
        }
        rounds.passed(acknowledged, &format!("each on a disk of its own: {seen}"));
    });
}

impl Stage {
    /// Size of its disk in MiB: three snapshots, another one and the journal behind them must find
    /// room, or the frame fills it by itself for good. A snapshot of a million remembered ids takes
    /// 50 MiB, and on a busy machine seconds of the load go by while one is written.
    const fn mib(self) -> u64 {
        if self.has_snapshots() { 1_024 } else { 64 }
    }

    const fn upkeep(self) -> &'static [&'static str] {
        if self.has_snapshots() { &EAGER } else { &NEVER }
    }

    const fn has_snapshots(self) -> bool {
        matches!(self, Self::Snapshot | Self::Snapshotting)
    }
}

/// Fills a disk at `stage` and makes room again; returns the commands acknowledged, and
/// what kind of disk it was.
async fn fill_at(stage: Stage) -> Result<(u64, &'static str), String> {
    let mut frame = Frame::unmade(stage.upkeep());
    let sqlite = frame.beside("settlement.sqlite");
    frame.set(&format!("settlement.sqlite={}", sqlite.display()));
    let disk = Disk::any(&frame.home.data_dir, stage.mib())?;
    frame.home.init(&[]).unwrap();
    frame.start();
    frame.identity("auditor", "reader");
    let payee = Payee::open(&frame).await;
    let mut driver = Driver::prepare(&frame.target(), BULKY).await.unwrap();
    match stage {
        Stage::Killed => killed(&mut frame, &disk, &mut driver).await,
        Stage::Snapshot => {
            let filler = disk.fill();
            until_async("a snapshot has failed", &frame, async || {
                payee.issue().await;
                frame.figure(FAILED) > 0.0
            })
            .await;
            refuses_and_resumes(&frame, &mut driver, async || filler).await;
        }
        Stage::Snapshotting => {
            let fill = async || {
                let dir = frame.home.data_dir.join("snapshots");
                appears(&dir, |name| name == "snapshot.tmp").await;
                let filler = disk.fill();
                // It fails, or was done just before; either way it holds no room any more.
                let is_over = async || frame.figure(RUNNING) == 0.0;
                until_async("the snapshot under way has ended", &frame, is_over).await;
                filler
            };
            refuses_and_resumes(&frame, &mut driver, fill).await;
        }
        Stage::Logs => {
            let filler = disk.fill();
            disk.fill_up("serve.log");
            audit_log_fails(&frame, &payee).await;
            refuses_and_resumes(&frame, &mut driver, async || filler).await;
        }
        Stage::Roll => refuses_and_resumes(&frame, &mut driver, async || disk.fill()).await,
        Stage::Preparing => {
            let fill = async || {
                appears(&frame.journal_dir(), |name| name.ends_with(".preparing")).await;
                disk.fill()
            };
            refuses_and_resumes(&frame, &mut driver, fill).await;
        }
    }
    if stage.has_snapshots() {
        let before = frame.figure(TAKEN);
        until_async("a snapshot is taken", &frame, async || {
            payee.issue().await;
            frame.figure(TAKEN) > before
        })
        .await;
    }
    let refused = &driver.measured.refused;
    assert!(refused.contains_key("journal_full"), "{stage:?}: {refused:?}");
    // A limit that the load may reach by itself.
    let others = |name: &&str| !["journal_full", "holds_per_debtor"].contains(name);
    assert_eq!(refused.keys().copied().find(others), None, "{stage:?}");
    books::agree(&frame, &mut driver).await;
    frame.wait_settled();
    frame.stop();
    frame.is_sound();
    frame.ends_with(0, &["audit-log", "verify"]);
    println!("{stage:?}: {} acknowledged", driver.measured.executed);
    Ok((driver.measured.executed, disk.kind()))
}

/// Under load payments are refused when the disk is full, and nothing else; with room it goes on.
async fn refuses_and_resumes(
    frame: &Frame,
    driver: &mut Driver,
    fill: impl AsyncFnOnce() -> Filler,
) {
    let progress = Arc::clone(&driver.progress);
    books::drive_until(frame, driver, async {
        let filler = fill().await;
        refused(frame, &progress).await;
        serves_all_but_payments(frame).await;
        drop(filler);
        books::executed(&progress, SOME).await;
    })
    .await;
    // Not under load, which would soon fill what there is: the logs are tried each second only.
    is_ready_again(frame);
}

/// The process is killed while it refuses, and starts again on the full disk.
async fn killed(frame: &mut Frame, disk: &Disk, driver: &mut Driver) {
    let filler = disk.fill();
    let (target, progress) = (frame.target(), Arc::clone(&driver.progress));
    books::drive_to_the_end(&target, driver, async {
        refused(frame, &progress).await;
        frame.take().kill();
    })
    .await;
    frame.start();
    still_reads(frame).await;
    drop(filler);
    is_ready_again(frame);
    books::drive_until(frame, driver, books::executed(&progress, SOME)).await;
}

/// Everything but payments is as ever.
async fn serves_all_but_payments(frame: &Frame) {
    until("it says that it is not ready", || frame.page("/readyz").0 == 503);
    let (_, body) = frame.page("/readyz");
    assert!(body.contains("journal_full"), "{body}");
    assert_eq!(frame.page("/livez").0, 200);
    assert!(frame.figure("bezant_journal_prepare_failures_total") > 0.0);
    still_reads(frame).await;
    frame.wait_settled();
}

fn is_ready_again(frame: &Frame) {
    let mut page = frame.page("/readyz");
    let started = Instant::now();
    while page.0 != 200 {
        assert!(started.elapsed() < PATIENCE, "never ready: {page:?}\n{}", frame.log());
        std::thread::sleep(Duration::from_millis(20));
        page = frame.page("/readyz");
    }
}

async fn still_reads(frame: &Frame) {
    let reader = frame.client("auditor", "reader").await;
    let account = query::account(owner(BULKY.seed, 0), NATIVE);
    assert!(reader.ask(account).await.unwrap().liquid > 0);
}

/// What would be written to the audit log is counted, and payments go on.
async fn audit_log_fails(frame: &Frame, payee: &Payee) {
    until_async("the audit log cannot be written", frame, async || {
        // A line each time.
        payee.issue().await;
        frame.figure("bezant_audit_log_failing") > 0.0
    })
    .await;
    let (_, body) = frame.page("/readyz");
    assert!(body.contains("audit_log"), "{body}");
}

/// An account that is not in the book.
struct Payee {
    mint: Client,
    owner: u128,
}

impl Payee {
    async fn open(frame: &Frame) -> Self {
        let south = frame.client("registry", "south").await;
        let owner = 0x0190_0000_0000_7000_8000_0000_0001_0000;
        must(&south, Command::open(south.ids().next_id(), owner, NATIVE)).await;
        Self { mint: frame.client("mint", "treasury").await, owner }
    }

    async fn issue(&self) {
        must(&self.mint, Command::issue(self.mint.ids().next_id(), self.owner, NATIVE, 1)).await;
    }
}

/// Does something again and again until it has come to what is wanted.
async fn until_async(what: &str, frame: &Frame, holds: impl AsyncFn() -> bool) {
    let started = Instant::now();
    while !holds().await {
        let is_patient = started.elapsed() < PATIENCE;
        assert!(is_patient, "in {PATIENCE:?} never: {what}\n{}", frame.log());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until a file is there, also for a moment only.
async fn appears(dir: &Path, is_it: impl Fn(&str) -> bool) {
    let started = Instant::now();
    let is_there = || {
        let mut entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        entries.any(|entry| is_it(&entry.file_name().to_string_lossy()))
    };
    while !is_there() {
        assert!(started.elapsed() < PATIENCE, "it never appears in {}", dir.display());
        tokio::task::yield_now().await;
    }
}

async fn refused(frame: &Frame, progress: &Progress) {
    let before = progress.refused.load(Ordering::Relaxed);
    let is_refused = async || progress.refused.load(Ordering::Relaxed) > before;
    until_async("the disk is full", frame, is_refused).await;
}
