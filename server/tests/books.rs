//! A load with its own book, for tests that break the frame under it. Invariant: nothing is booked
//! that was not answered, and the comparison at the end covers every account.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use loadgen::run::Progress;
use loadgen::{Door, Driver, Load, Mix, Skew, Target};

use crate::frame::Frame;

/// A small load of transfers and holds that goes on until it is ended.
pub(crate) const SMALL: Load = Load {
    door: Door::Quic,
    seed: 7,
    accounts: 200,
    skew: Skew::Zipfian,
    mix: Mix { holds: 30, reads: 2 },
    batch: 32,
    connections: 2,
    in_flight: 8,
    open: None,
    commands_max: u64::MAX,
    time_max: Duration::from_secs(600),
    warm_up: Duration::ZERO,
};

/// Ends the load when `before` has happened.
pub(crate) async fn drive_until<T>(
    frame: &Frame,
    driver: &mut Driver,
    before: impl Future<Output = T>,
) -> T {
    drive_at(&frame.target(), driver, before).await
}

/// The same with a target of its own: books that are kept at the same time need a host each, whose
/// fees nobody else pays into.
pub(crate) async fn drive_at<T>(
    target: &Target,
    driver: &mut Driver,
    before: impl Future<Output = T>,
) -> T {
    let progress = Arc::clone(&driver.progress);
    progress.stop.store(false, Ordering::Relaxed);
    let ended = async {
        let result = before.await;
        progress.stop.store(true, Ordering::Relaxed);
        result
    };
    let (driven, result) = tokio::join!(driver.drive(target), ended);
    driven.unwrap();
    driver.progress.stop.store(false, Ordering::Relaxed);
    result
}

/// Drives the load until `end` has come over the frame, which says no goodbye. An error of the load
/// says that the end came before the connections.
pub(crate) async fn drive_to_the_end<T>(
    target: &Target,
    driver: &mut Driver,
    end: impl Future<Output = T>,
) -> T {
    let progress = Arc::clone(&driver.progress);
    let ended = async {
        let result = end.await;
        progress.disconnect();
        result
    };
    let (driven, result) = tokio::join!(driver.drive(target), ended);
    if let Err(error) = driven {
        println!("no load: {error}");
    }
    result
}

/// Waits until `count` more commands are executed.
pub(crate) async fn executed(progress: &Progress, count: u64) {
    let enough = progress.executed.load(Ordering::Relaxed) + count;
    while progress.executed.load(Ordering::Relaxed) < enough {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Resolves what is unknown; then every account must be as the book says.
pub(crate) async fn agree(frame: &Frame, driver: &mut Driver) {
    agree_at(&frame.target(), driver).await;
}

/// The same with a target of its own.
pub(crate) async fn agree_at(target: &Target, driver: &mut Driver) {
    driver.resolve(target).await.unwrap();
    let agreement = driver.compare(target).await.unwrap();
    assert_eq!(agreement.differences, 0, "{:#?}", agreement.examples);
    assert_eq!(agreement.supply_delta, "0");
}

/// Runs a test's future on threads of its own.
pub(crate) fn run(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(work);
}
