//! What the keeper keeps, and what it raises alarm at: a database that was restored to an older
//! copy, a replay that does not agree, a snapshot that cannot be used. Invariant: nothing goes that
//! SQL would have to catch up with, and what was found shows until it is gone.

use std::sync::Arc;

use journal::DirLock;
use loadgen::{Driver, Load};
use protocol::ids::NATIVE;
use rusqlite::Connection;
use rustix::process::{Pid, Signal, kill_process};

use crate::books;
use crate::frame::{Frame, must, until};
use crate::medium;
use crate::upkeep::{LEAN, TAKEN, drive_until};

const DISAGREES: &str = "bezant_snapshots_total{result=\"disagrees\"}";
const HELD: &str = "bezant_retention_held_by{holder=\"settlement\"}";
const FIRST: &str = "bezant_journal_first_record";
const FEW: Load = Load { accounts: 100, ..books::SMALL };

/// Whether `/readyz` is content with the upkeep.
fn is_kept_up(frame: &Frame) -> bool {
    let (_, body) = frame.page("/readyz");
    let at = body.find("\"upkeep\"").unwrap_or_else(|| panic!("no such check: {body}"));
    body[at..].split('}').next().unwrap().contains("\"ok\":true")
}

/// Names of the snapshots that can be used, newest first.
fn names(frame: &Frame) -> Vec<String> {
    let listed = frame.ends_with(0, &["snapshot", "list"]);
    let lines = listed.lines().filter_map(|line| line.strip_prefix("snapshot "));
    lines.map(|name| name.trim().to_owned()).collect()
}

/// Does something while nothing of the frame runs.
fn paused(frame: &mut Frame, work: impl FnOnce(&Frame)) {
    let id = frame.process().id();
    let pid = Pid::from_raw(id.try_into().unwrap()).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    until("every thread stands still", || {
        let threads = std::fs::read_dir(format!("/proc/{id}/task")).unwrap();
        threads.flatten().all(|thread| {
            let state = std::fs::read_to_string(thread.path().join("stat")).unwrap();
            state.rsplit(')').next().unwrap().starts_with(" T")
        })
    });
    work(frame);
    kill_process(pid, Signal::CONT).unwrap();
}

/// Executes one command.
async fn open_one(frame: &Frame, owner: u128) {
    let north = frame.client("registry", "north").await;
    must(&north, client::Command::open(north.ids().next_id(), owner, NATIVE)).await;
}

/// Takes so many snapshots of the stopped frame, each of another state.
fn snapshots(frame: &mut Frame, count: u128) {
    for owner in 0..count {
        frame.start();
        books::run(open_one(frame, OWNER + owner));
        frame.wait_settled();
        frame.stop();
        frame.ends_with(0, &["snapshot", "create"]);
    }
}

const OWNER: u128 = 0x0190_0000_0000_7000_8000_0000_0000_0100;

#[test]
fn nothing_goes_that_a_restored_database_needs() {
    books::run(async {
        let settings = ["snapshot.interval_s=0", "snapshot.journal_mib=8", "retention.keep_h=0"];
        let mut frame = Frame::with(&[], &settings);
        frame.start();
        let mut driver = Driver::prepare(&frame.target(), LEAN).await.unwrap();
        drive_until(&frame, &mut driver, TAKEN, 2.0).await;
        until("no snapshot is under way or due", || {
            frame.figure("bezant_snapshot_running_seconds") == 0.0
                && frame.figure("bezant_snapshot_behind_bytes") < f64::from(8 << 20)
        });
        frame.wait_settled();
        let newest = names(&frame)[0].clone();
        let record: f64 =
            newest.trim_end_matches(".bzs").split('-').nth(2).unwrap().parse().unwrap();
        let older = frame.beside("older.sqlite");
        let connection = Connection::open(frame.sqlite()).unwrap();
        connection.execute("VACUUM INTO ?1", [older.to_str().unwrap()]).unwrap();
        drop(connection);
        // It can be read, and no batch can be settled to it.
        let stuck = "CREATE TRIGGER stuck BEFORE INSERT ON settlement_watermark \
                     BEGIN SELECT RAISE(ABORT, 'stuck'); END";
        Connection::open(&older).unwrap().execute_batch(stuck).unwrap();
        open_one(&frame, OWNER).await;
        frame.wait_settled();
        let aside = frame.beside("aside");
        std::fs::create_dir(&aside).unwrap();
        // The frame sees all of it or nothing.
        paused(&mut frame, |frame| {
            for tail in ["", "-wal", "-shm"] {
                let name = format!("settlement.sqlite{tail}");
                let _is_missing =
                    std::fs::rename(frame.home.data_dir.join(&name), aside.join(&name));
            }
            std::fs::rename(&older, frame.sqlite()).unwrap();
        });
        open_one(&frame, OWNER + 1).await;
        until("it is noticed", || frame.figure("bezant_settlement_alarm") == 1.0);
        let taken = frame.figure(TAKEN);
        drive_until(&frame, &mut driver, TAKEN, taken + 3.0).await;
        until("it is told who holds it", || frame.figure(HELD) == 1.0);
        assert!(frame.figure(FIRST) <= record, "{newest} and what lies behind it stay");
        assert!(names(&frame).contains(&newest));
        let connection = Connection::open(frame.sqlite()).unwrap();
        connection.busy_timeout(crate::frame::PATIENCE).unwrap();
        connection.execute_batch("DROP TRIGGER stuck").unwrap();
        drop(connection);
        until("it is caught up", || frame.figure("bezant_settlement_alarm") == 0.0);
        drive_until(&frame, &mut driver, FIRST, record + 1.0).await;
        books::agree(&frame, &mut driver).await;
        frame.wait_settled();
        frame.stop();
        frame.is_sound();
    });
}

#[test]
fn a_replay_that_does_not_agree_is_an_alarm_while_it_lasts() {
    books::run(async {
        let settings = ["snapshot.interval_s=0", "snapshot.journal_mib=0", "scrub.mib_per_s=0"];
        let mut frame = Frame::with(&[], &settings);
        let dir = frame.home.data_dir.join("snapshots");
        frame.start();
        let mut driver = Driver::prepare(&frame.target(), FEW).await.unwrap();
        let progress = Arc::clone(&driver.progress);
        books::drive_until(&frame, &mut driver, books::executed(&progress, 1_000)).await;
        frame.stop();
        frame.set("snapshot.interval_s=1");
        std::fs::create_dir(&dir).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(&dir, mode).unwrap();
        let unfinished = dir.join("snapshot.tmp");
        std::fs::write(&unfinished, "half").unwrap();
        // No snapshot is taken until the journal is damaged.
        let nobody_else = DirLock::take(&dir).unwrap();
        frame.start();
        assert!(is_kept_up(&frame));
        let victim = medium::records(&frame.journal_dir())[5];
        let file = &medium::segments(&frame.journal_dir())[0];
        let flip = || medium::change(file, victim.offset + 300, 1, |bytes| bytes[0] ^= 4);
        flip();
        drop(nobody_else);
        until("it is an alarm", || frame.figure(DISAGREES) >= 1.0 && !is_kept_up(&frame));
        assert_eq!(frame.page("/readyz").0, 503);
        let log = frame.log();
        let told = log.lines().find(|line| line.contains("does not agree")).unwrap();
        assert!(told.contains("ERROR") && told.contains("exit status: 65"), "{told}");
        until("what was not finished is removed", || !unfinished.exists());
        flip();
        until("the next one agrees", || frame.figure(TAKEN) >= 1.0 && is_kept_up(&frame));
        books::agree(&frame, &mut driver).await;
        frame.stop();
        frame.is_sound();
    });
}

#[test]
fn a_newest_snapshot_that_cannot_be_used_is_replaced_on_an_idle_frame() {
    let mut frame = Frame::with(&[], &["snapshot.journal_mib=0", "scrub.mib_per_s=1024"]);
    snapshots(&mut frame, 2);
    let newest = names(&frame)[0].clone();
    let file = frame.home.data_dir.join("snapshots").join(&newest);
    medium::change(&file, 700, 1, |bytes| bytes[0] ^= 4);
    frame.start();
    until("another one is taken", || frame.figure(TAKEN) >= 1.0);
    assert!(is_kept_up(&frame), "{}", frame.log());
    assert_eq!(frame.figure("bezant_snapshots_kept"), 2.0, "{}", frame.log());
    frame.stop();
    // Nothing happened: the new one has the name of the damaged one, and its place.
    assert_eq!(names(&frame)[0], newest);
    frame.ends_with(0, &["snapshot", "verify"]);
    frame.is_sound();
}

#[test]
fn without_retention_snapshots_are_pruned_all_the_same() {
    let mut frame = Frame::with(&[], &["retention.enabled=false", "retention.keep_h=0"]);
    snapshots(&mut frame, 4);
    assert_eq!(names(&frame).len(), 2);
    frame.is_sound();
}

#[test]
fn a_snapshot_of_a_journal_that_lost_what_sql_settled_is_refused() {
    let mut frame = Frame::new();
    frame.start();
    books::run(open_one(&frame, OWNER));
    frame.wait_settled();
    frame.take().kill();
    let records = medium::records(&frame.journal_dir());
    let last = records.iter().rfind(|record| record.commands > 0).unwrap();
    let file = &medium::segments(&frame.journal_dir())[0];
    let whole = std::fs::read(file).unwrap();
    let wipe = whole.len() - usize::try_from(last.offset).unwrap();
    medium::change(file, last.offset, wipe, |bytes| bytes.fill(0));
    let before = medium::content(&frame.journal_dir());
    frame.ends_with(65, &["snapshot", "create"]);
    assert!(medium::content(&frame.journal_dir()) == before, "the evidence stays");
    assert!(names(&frame).is_empty());
    std::fs::write(file, whole).unwrap();
    frame.ends_with(0, &["snapshot", "create"]);
    frame.is_sound();
}
