//! A sync or direct write that fails, once or from then on, is never tried again and never
//! believed: of the live segment it ends the process with its code and nothing more is answered; of
//! the next segment it ends the process unless the disk is merely full; of a snapshot it costs the
//! snapshot only. Whatever was acknowledged is there after the next start.
//!
//! `BEZANT_TEST_SYNC_ERROR_ROUNDS` says how often (4).

use std::path::PathBuf;
use std::time::Duration;

use loadgen::{Driver, Load, ProcessError, Random};
use serde_json::Value;

use crate::books;
use crate::frame::{BACKENDS, Frame, until};
use crate::medium;
use crate::rounds::Rounds;
use crate::upkeep::{self, EAGER, FAILED, TAKEN};

/// Rolls a segment soon.
const BULKY: Load = Load { batch: 500, connections: 1, in_flight: 8, ..books::SMALL };
/// Syncs of one thread before one fails.
const SYNCS: u64 = 60;

/// What fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    /// A range of the live segment.
    Live,
    /// The segment that is being prepared.
    Next,
    /// A snapshot.
    Snapshot,
}

const VICTIMS: [(Victim, &str); 6] = [
    (Victim::Live, "EIO"),
    (Victim::Next, "EIO"),
    (Victim::Live, "ENOSPC"),
    (Victim::Snapshot, "EIO"),
    (Victim::Live, "EDQUOT"),
    (Victim::Next, "ENOSPC"),
];

#[test]
fn a_failed_sync_is_never_believed() {
    let mut rounds = Rounds::of("sync-error", 4);
    books::run(async move {
        let mut frame = Frame::with(&[], &EAGER);
        frame.start();
        let mut driver = Driver::prepare(&frame.target(), BULKY).await.unwrap();
        frame.stop();
        let mut random = Random::new(0x0bad_5ec7);
        let mut slowest = Duration::ZERO;
        for round in 0..rounds.count() {
            let (victim, error) = VICTIMS[round as usize % VICTIMS.len()];
            let nth = 1 + random.below(SYNCS);
            let sticky = if random.below(2) == 0 { "" } else { "+" };
            // The only one that leaves it running, and refusing.
            let waits = (victim, error) == (Victim::Next, "ENOSPC");
            let end = match victim {
                Victim::Live => {
                    let (backend, call) = BACKENDS[round as usize / 2 % BACKENDS.len()];
                    frame.write_with(backend);
                    frame.injure(call, &format!("error={error}:when={nth}{sticky}"));
                    run_to_the_end(&mut frame, &mut driver, waits).await
                }
                Victim::Next => {
                    frame.injure_files("fsync", &format!("error={error}"), &nexts(&frame));
                    run_to_the_end(&mut frame, &mut driver, waits).await
                }
                Victim::Snapshot => {
                    let file = frame.home.data_dir.join("snapshots/snapshot.tmp");
                    frame.injure_files("fsync,fdatasync", &format!("error={error}"), &[file]);
                    snapshot_fails(&mut frame, &mut driver).await
                }
            };
            frame.heal();
            slowest = slowest.max(end.took);
            end.judge(victim, error);
            frame.start();
            let what = rounds.resolve(&frame.target(), &mut driver).await;
            println!("round {}: {victim:?} {error}{sticky} at {nth}: {end:?}; {what}", round + 1);
            println!("refused so far: {:?}", driver.measured.refused);
            books::agree(&frame, &mut driver).await;
            frame.stop();
        }
        frame.start();
        frame.wait_settled();
        frame.stop();
        frame.is_sound();
        let acknowledged = driver.measured.executed;
        rounds.passed(acknowledged, &format!("ended at most {slowest:?} after the error"));
    });
}

/// How a process ended, and how long after the first error.
#[derive(Debug)]
struct End {
    code: Option<i32>,
    took: Duration,
}

impl End {
    fn judge(&self, victim: Victim, error: &str) {
        let expected: &[Option<i32>] = match (victim, error) {
            // A sync of the live segment is the journal's; before there are stages it is a file's.
            (Victim::Live, _) => &[Some(80), Some(74)],
            (Victim::Next, "EIO") => &[Some(74)],
            // It waits for room, or goes on without a snapshot, and is stopped by us.
            (Victim::Next | Victim::Snapshot, _) => &[Some(0)],
        };
        assert!(expected.contains(&self.code), "{victim:?} {error}: {self:?}");
    }
}

/// The next segments, as they are called while they are prepared.
fn nexts(frame: &Frame) -> Vec<PathBuf> {
    let number = medium::number(medium::segments(&frame.journal_dir()).last().unwrap());
    let name = |number| frame.journal_dir().join(format!("{number:020}.preparing"));
    (number + 1..number + 4).map(name).collect()
}

/// Starts the doomed process and drives the load until it ends, or until it refuses.
async fn run_to_the_end(frame: &mut Frame, driver: &mut Driver, waits: bool) -> End {
    match frame.home.start() {
        Ok(process) => frame.adopt(process),
        Err(ProcessError::Ended { status, .. }) => {
            let code = status.strip_prefix("exit status: ").and_then(|code| code.parse().ok());
            return End { code, took: frame.end_after_injury() };
        }
        Err(error) => panic!("{error}"),
    }
    let target = frame.target();
    let mut is_over = false;
    let code = books::drive_to_the_end(&target, driver, async {
        let mut code = None;
        while !is_over {
            if let Some(status) = frame.process().ended().unwrap() {
                code = status.code();
                is_over = true;
            } else if waits && frame.page("/readyz").1.contains("journal_full") {
                // No room for the next segment, as it was told: it waits for some.
                code = frame.take().terminate().unwrap().code();
                is_over = true;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        code
    })
    .await;
    let took = if code == Some(0) { Duration::ZERO } else { frame.end_after_injury() };
    End { code, took }
}

/// The snapshot is not taken and the reason is said; the frame goes on as if nothing had been.
async fn snapshot_fails(frame: &mut Frame, driver: &mut Driver) -> End {
    frame.start();
    upkeep::drive_until(frame, driver, FAILED, 1.0).await;
    assert_eq!(frame.figure(TAKEN), 0.0);
    // That much journal is behind the newest snapshot may be told, and nothing else.
    until("nothing else is told", || {
        let ready: Value = serde_json::from_str(&frame.page("/readyz").1).unwrap();
        let mut checks = ready["checks"].as_array().unwrap().iter();
        checks.all(|check| check["ok"] == true || check["name"] == "upkeep")
    });
    let log = frame.log();
    let told = log.lines().rfind(|line| line.contains("no snapshot was taken")).unwrap();
    assert!(told.contains("snapshot.tmp"), "{told}");
    let status = frame.take().terminate().unwrap();
    frame.heal();
    frame.start();
    upkeep::drive_until(frame, driver, TAKEN, 1.0).await;
    frame.stop();
    End { code: status.code(), took: Duration::ZERO }
}
