//! SIGKILL under load over HTTPS: answers that never came are resolved by their ids, and the books
//! agree. The same over QUIC, more often, is in `kill_loop`.

use std::time::Duration;

use loadgen::{Door, Driver, Load, Mix, Random};

use crate::books;
use crate::frame::Frame;

/// Kills under each form of load.
const KILLS: u64 = 4;
/// Load before a kill, in milliseconds.
const LOAD_MS: std::ops::Range<u64> = 200..600;

fn kills_under(load: Load) {
    books::run(async move {
        let mut frame = Frame::with(&[], &["settlement.history=full"]);
        frame.start();
        let mut driver = Driver::prepare(&frame.target(), load).await.unwrap();
        let mut random = Random::new(load.seed);
        let mut lost = 0;
        for round in 1..=KILLS {
            let (target, process) = (frame.target(), frame.take());
            let after_ms = LOAD_MS.start + random.below(LOAD_MS.end - LOAD_MS.start);
            books::drive_to_the_end(&target, &mut driver, async {
                tokio::time::sleep(Duration::from_millis(after_ms)).await;
                tokio::task::spawn_blocking(move || process.kill()).await.unwrap();
            })
            .await;
            lost += driver.unknown();
            frame.start();
            let (repeated, fresh) = driver.resolve(&frame.target()).await.unwrap();
            println!("round {round}: {repeated} commands had been executed, {fresh} had not");
            books::agree(&frame, &mut driver).await;
        }
        assert!(lost > 0, "no kill met a request under way");
        assert!(driver.measured.executed > 100, "there was load");
        frame.stop();
        frame.is_sound();
    });
}

/// As over QUIC, but for the reads, which do not go over HTTPS.
const MIXED: Load = Load { mix: Mix { holds: 30, reads: 0 }, ..books::SMALL };

#[test]
fn kills_under_batches_over_http1_lose_and_double_nothing() {
    kills_under(Load { door: Door::HttpsBinary, in_flight: 4, ..MIXED });
}

#[test]
fn kills_under_batches_over_http2_lose_and_double_nothing() {
    kills_under(Load { door: Door::HttpsBinaryH2, in_flight: 4, ..MIXED });
}

#[test]
fn kills_under_json_lose_and_double_nothing() {
    kills_under(Load { door: Door::HttpsJson, in_flight: 8, batch: 1, ..MIXED });
}
