//! SQL may be down, crash in the middle of a transaction, be older than it was, be another frame's
//! or be ahead of the journal: payments go on, nothing is settled twice, and what does not belong
//! together is refused.
//!
//! `BEZANT_TEST_OUTAGE_S` says how long SQL is down (30), `BEZANT_TEST_POSTGRES_ROUNDS` how often
//! it crashes in the middle of the load (6).

use std::sync::Arc;
use std::time::Duration;

use loadgen::{Driver, Load};
use rusqlite::Connection;

use crate::books;
use crate::cluster::Cluster;
use crate::frame::{Frame, copy_dir, number, until};
use crate::rounds::Rounds;
use crate::upkeep::EAGER;

/// A load that leaves the machine to others.
const LIGHT: Load = Load { batch: 8, connections: 1, in_flight: 1, ..books::SMALL };

fn on_postgres(cluster: &Cluster) -> Frame {
    let address = format!("settlement.postgres={}", cluster.address());
    let settings = ["settlement.sink=postgres", &address, "settlement.interval_ms=20"];
    Frame::with(&[], &settings)
}

/// Waits until the settled state is young again.
async fn caught_up(frame: &Frame) {
    until("the lag is gone", || {
        let lag = frame.figure("bezant_settlement_lag_seconds");
        lag < 2.0 && frame.figure("bezant_settlement_alarm") == 0.0
    });
}

#[test]
fn sql_stopped_under_load_stops_nobody_and_is_caught_up() {
    let outage = Duration::from_secs(number("BEZANT_TEST_OUTAGE_S", 30));
    let cluster = Cluster::start();
    books::run(async {
        let mut frame = on_postgres(&cluster);
        frame.start();
        let mut driver = Driver::prepare(&frame.target(), LIGHT).await.unwrap();
        let progress = Arc::clone(&driver.progress);
        books::drive_until(&frame, &mut driver, async {
            books::executed(&progress, 100).await;
            until("something is settled", || frame.figure("bezant_settled_sequence") > 0.0);
            cluster.crash();
            let settled = frame.figure("bezant_settled_sequence");
            books::executed(&progress, 200).await;
            tokio::time::sleep(outage).await;
            let lag = frame.figure("bezant_settlement_lag_seconds");
            assert!(lag >= outage.as_secs_f64(), "the lag shows: {lag}");
            assert!(frame.figure("bezant_settlement_failures_total") > 0.0);
            assert!(frame.figure("bezant_settled_sequence") <= settled + 2_000.0);
            books::executed(&progress, 200).await;
            assert_eq!(frame.page("/livez").0, 200);
            cluster.go();
            caught_up(&frame).await;
            books::executed(&progress, 200).await;
        })
        .await;
        books::agree(&frame, &mut driver).await;
        frame.wait_settled();
        frame.stop();
        frame.is_sound();
    });
}

#[test]
fn sql_crashing_in_mid_transaction_settles_nothing_twice() {
    let rounds = Rounds::of("postgres", 6);
    let cluster = Cluster::start();
    books::run(async {
        let mut frame = on_postgres(&cluster);
        EAGER.iter().for_each(|setting| frame.set(setting));
        frame.set("settlement.history=full");
        frame.start();
        let mut driver = Driver::prepare(&frame.target(), LIGHT).await.unwrap();
        let progress = Arc::clone(&driver.progress);
        books::drive_until(&frame, &mut driver, async {
            for crash in 0..rounds.count() {
                books::executed(&progress, 50 + crash % 8 * 37).await;
                if crash % 2 == 0 {
                    cluster.crash();
                } else {
                    crash_inside_a_transaction(&cluster);
                }
                books::executed(&progress, 50).await;
                cluster.go();
                caught_up(&frame).await;
            }
        })
        .await;
        books::agree(&frame, &mut driver).await;
        frame.wait_settled();
        frame.stop();
        frame.is_sound();
        let doubled = cluster.ask(
            "SELECT count(*) FROM (SELECT lag(through_sequence) OVER (ORDER BY batch) AS before, \
             from_sequence AS first FROM bezant.settlement_batches) AS runs \
             WHERE first <> before + 1",
        );
        assert_eq!(doubled, "0", "batches follow one another without a gap");
        let batches = cluster.ask("SELECT max(batch) FROM bezant.settlement_batches");
        rounds.passed(driver.measured.executed, &format!("{batches} transactions of settlement"));
    });
}

/// Crashes the server while the settler's transaction is open: it waits for a lock.
fn crash_inside_a_transaction(cluster: &Cluster) {
    let mut lock = cluster.holds_lock("bezant.account_balances");
    until("the settler's transaction is open", || {
        let waiting = "SELECT count(*) FROM pg_locks JOIN pg_class ON relation = pg_class.oid \
                       WHERE relname = 'account_balances' AND NOT granted \
                       AND mode = 'RowExclusiveLock'";
        cluster.ask(waiting) != "0"
    });
    cluster.crash();
    let _ = lock.wait();
}

#[test]
fn a_frame_starts_pays_and_stops_without_sql() {
    let cluster = Cluster::start();
    books::run(async {
        let mut frame = on_postgres(&cluster);
        frame.start();
        let mut driver = Driver::prepare(&frame.target(), LIGHT).await.unwrap();
        cluster.crash();
        frame.stop();
        frame.start();
        let progress = Arc::clone(&driver.progress);
        books::drive_until(&frame, &mut driver, books::executed(&progress, 300)).await;
        books::agree(&frame, &mut driver).await;
        frame.stop();
        cluster.go();
        frame.start();
        frame.wait_settled();
        frame.stop();
        frame.is_sound();
    });
}

#[test]
fn a_database_of_another_frame_is_refused_and_left_alone() {
    let cluster = Cluster::start();
    books::run(async {
        let mut first = on_postgres(&cluster);
        first.start();
        let _client = first.client("registry", "north").await;
        first.wait_settled();
        first.stop();
        let watermark = "SELECT frame, next_sequence, batch FROM bezant.settlement_watermark";
        let before = cluster.ask(watermark);
        let second = on_postgres(&cluster);
        let (code, log) = second.refuses_to_start();
        assert_eq!(code, 76, "{log}");
        assert!(log.contains("frame"), "{log}");
        assert_eq!(cluster.ask(watermark), before);
        first.start();
        first.stop();
        first.is_sound();
    });
}

#[test]
fn a_database_ahead_of_the_journal_is_refused() {
    books::run(async {
        let mut frame = Frame::new();
        let mut driver = some_load(&mut frame, None).await;
        let journal = frame.journal_dir();
        let older = frame.beside("older-journal");
        copy_dir(&journal, &older);
        driver = some_load(&mut frame, Some(driver)).await;
        drop(driver);
        let newer = frame.beside("newer-journal");
        std::fs::rename(&journal, &newer).unwrap();
        copy_dir(&older, &journal);
        let (code, log) = frame.refuses_to_start();
        assert_eq!(code, 65, "{log}");
        assert!(log.contains("durable"), "{log}");
        frame.ends_with(1, &["verify-settlement"]);
        std::fs::remove_dir_all(&journal).unwrap();
        std::fs::rename(&newer, &journal).unwrap();
        frame.start();
        frame.stop();
        frame.is_sound();
    });
}

#[test]
fn an_older_database_is_brought_up_by_a_complete_cut() {
    books::run(async {
        let mut frame = Frame::new();
        let driver = some_load(&mut frame, None).await;
        let older = frame.beside("older.sqlite");
        std::fs::copy(frame.sqlite(), &older).unwrap();
        let complete_before = complete_cuts(&frame);
        let mut driver = some_load(&mut frame, Some(driver)).await;
        std::fs::copy(&older, frame.sqlite()).unwrap();
        frame.start();
        books::agree(&frame, &mut driver).await;
        frame.wait_settled();
        frame.stop();
        frame.is_sound();
        assert!(complete_cuts(&frame) > complete_before);
    });
}

/// Some load from start to stop, settled at the end.
async fn some_load(frame: &mut Frame, driver: Option<Driver>) -> Driver {
    frame.start();
    let mut driver = match driver {
        Some(driver) => driver,
        None => Driver::prepare(&frame.target(), LIGHT).await.unwrap(),
    };
    let progress = Arc::clone(&driver.progress);
    books::drive_until(frame, &mut driver, books::executed(&progress, 300)).await;
    books::agree(frame, &mut driver).await;
    frame.wait_settled();
    frame.stop();
    driver
}

fn complete_cuts(frame: &Frame) -> i64 {
    let sql = "SELECT count(*) FROM settlement_batches WHERE complete = 1";
    let database = Connection::open(frame.sqlite()).unwrap();
    database.query_row(sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn settlement_makes_way_for_the_engine_unless_it_writes_a_history() {
    for (history, niceness) in [("none", "10"), ("full", "0")] {
        let setting = format!("settlement.history={history}");
        let mut frame = Frame::with(&[], &[&setting]);
        frame.start();
        let id = frame.process().id();
        until("the settler has its niceness", || niceness_of(id, "settler") == niceness);
        assert_eq!(niceness_of(id, "engine"), "0");
        frame.stop();
    }
}

/// Of the thread of this name.
fn niceness_of(process: u32, name: &str) -> String {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let stat = |thread: std::fs::DirEntry| std::fs::read_to_string(thread.path().join("stat"));
    let stats = threads.flatten().filter_map(|thread| stat(thread).ok());
    let found = stats.filter_map(|stat| {
        let (head, rest) = stat.rsplit_once(") ")?;
        // The state is the third field, the niceness the nineteenth.
        head.ends_with(&format!("({name}")).then(|| rest.split(' ').nth(16).unwrap().to_owned())
    });
    found.last().unwrap_or_else(|| panic!("no thread {name}"))
}
