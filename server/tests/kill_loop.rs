//! SIGKILL at any moment loses nothing that was acknowledged and doubles nothing that was repeated:
//! the frame is killed under load again and again, and an outside book that knows only the answers
//! finds every account as it must be.
//!
//! `BEZANT_TEST_KILL_ROUNDS` says how often (30).

use std::sync::Arc;
use std::time::{Duration, Instant};

use loadgen::{Driver, Load, Mix, Random};

use crate::books;
use crate::frame::{Frame, number};
use crate::medium;

/// Accounts are compared after each so many rounds, and after the last.
const COMPARE_EVERY: u64 = 5;
/// Load before a kill, in milliseconds.
const LOAD_MS: std::ops::Range<u64> = 200..800;

#[test]
fn kills_under_load_lose_and_double_nothing() {
    let rounds = number("BEZANT_TEST_KILL_ROUNDS", 30);
    books::run(async move {
        let mut frame = Frame::with(&[], &["settlement.history=full"]);
        frame.start();
        let mut driver = Driver::prepare(&frame.target(), books::SMALL).await.unwrap();
        let mut random = Random::new(0x5eed);
        let mut lost = 0;
        for round in 1..=rounds {
            let after_ms = LOAD_MS.start + random.below(LOAD_MS.end - LOAD_MS.start);
            kill_under_load(&mut frame, &mut driver, Duration::from_millis(after_ms)).await;
            let unknown = driver.unknown();
            lost += unknown;
            let started = Instant::now();
            frame.start();
            let recovery = started.elapsed();
            let (repeated, fresh) = driver.resolve(&frame.target()).await.unwrap();
            println!(
                "round {round}: killed after {after_ms} ms with {unknown} requests unanswered; \
                 serving after {} ms; {repeated} commands had been executed, {fresh} had not; \
                 {} executed so far",
                recovery.as_millis(),
                driver.measured.executed,
            );
            if round % COMPARE_EVERY == 0 || round == rounds {
                books::agree(&frame, &mut driver).await;
            }
        }
        assert!(lost > 0, "no kill met a request under way");
        assert!(driver.measured.executed > rounds * 100, "there was load");
        frame.wait_settled();
        frame.stop();
        frame.is_sound();
        let segments = medium::records(&frame.journal_dir()).last().unwrap().segment;
        assert!(segments > rounds / 10, "{segments} segments: kills met few rolls");
    });
}

/// Drives the load and kills the frame in the middle of it.
async fn kill_under_load(frame: &mut Frame, driver: &mut Driver, after: Duration) {
    let target = frame.target();
    let process = frame.take();
    let progress = Arc::clone(&driver.progress);
    let kill = async move {
        tokio::time::sleep(after).await;
        tokio::task::spawn_blocking(move || process.kill()).await.unwrap();
        progress.disconnect();
    };
    // An error says that the kill came before the connections: a round without load.
    let (driven, ()) = tokio::join!(driver.drive(&target), kill);
    if let Err(error) = driven {
        println!("no load: {error}");
    }
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
