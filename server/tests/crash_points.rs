//! SIGKILL at chosen system calls, those that make things durable or visible among them: whatever
//! was acknowledged before is there after, and the start itself may be killed as well.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use loadgen::{Driver, Load, Mix, ProcessError, Target};

use crate::books;
use crate::frame::Frame;

/// System calls that are about to happen when the process dies, and which of its thread's
/// calls it is.
const POINTS: &[(&str, u32)] = &[
    ("msync", 1),
    ("msync", 2),
    ("msync", 3),
    ("msync", 5),
    ("msync", 8),
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
