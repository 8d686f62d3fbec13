//! A power cut under load loses nothing that was acknowledged: the file system below the frame is
//! shut down, so that nothing more reaches the disk, and mounted again from what the disk has.
//!
//! Needs root, loop devices and `python3`, for the shutdown; says so where it is not run.
//! `BEZANT_TEST_POWER_ROUNDS` says how often (4).

use std::time::Duration;

use loadgen::{Driver, Load, Random};

use crate::books;
use crate::disk::{Cut, Disk};
use crate::frame::Frame;
use crate::rounds::Rounds;
use crate::upkeep::{EAGER, NEVER};

/// Load before a cut, in milliseconds.
const LOAD_MS: std::ops::Range<u64> = 100..500;
/// Size of a disk: room for journal and database of its rounds.
const MIB: u64 = 256;
/// Rounds on one disk, so that both kinds of disk get theirs.
const ROUNDS_ON_ONE: u64 = 2;
/// A load that rolls a segment now and then and does not fill the disk.
const STEADY: Load = Load { batch: 64, connections: 1, in_flight: 4, ..books::SMALL };

#[test]
fn a_power_cut_under_load_loses_nothing() {
    let mut rounds = Rounds::of("power", 4);
    let trial = tempfile::tempdir().unwrap();
    if let Err(why) = Disk::can_be_cut(&trial.path().join("trial")) {
        return rounds.not_run(&why);
    }
    books::run(async move {
        let mut random = Random::new(0xdead_beef);
        let (mut acknowledged, mut done) = (0, 0);
        while done < rounds.count() {
            let some = ROUNDS_ON_ONE.min(rounds.count() - done);
            // Half of the disks with snapshots and retention, the other half without.
            let has_snapshots = (done / ROUNDS_ON_ONE).is_multiple_of(2);
            acknowledged += on_one_disk(&mut rounds, some, has_snapshots, &mut random).await;
            done += some;
        }
        assert!(rounds.unanswered() > 0, "no cut met a request under way");
        rounds.passed(acknowledged, "ext4 shut down, mounted again");
    });
}

/// Cuts the power of one frame again and again; returns how many commands it acknowledged.
async fn on_one_disk(
    rounds: &mut Rounds,
    count: u64,
    has_snapshots: bool,
    random: &mut Random,
) -> u64 {
    // The database lies on the same disk: it may not know more than the journal either.
    let mut frame = Frame::unmade(&["settlement.interval_ms=20", "settlement.history=full"]);
    let upkeep: &[&str] = if has_snapshots { &EAGER } else { &NEVER };
    upkeep.iter().for_each(|setting| frame.set(setting));
    let mut disk = Disk::ext4(&frame.home.data_dir, MIB).unwrap();
    frame.home.init(&[]).unwrap();
    frame.start();
    let mut driver = Driver::prepare(&frame.target(), STEADY).await.unwrap();
    // Identities are issued by hand, and not durable before their file system says so.
    disk.flush();
    for round in 1..=count {
        let cut = if round % 2 == 0 { Cut::LogFlushed } else { Cut::AtOnce };
        let after_ms = LOAD_MS.start + random.below(LOAD_MS.end - LOAD_MS.start);
        let (target, process) = (frame.target(), frame.take());
        books::drive_to_the_end(&target, &mut driver, async {
            tokio::time::sleep(Duration::from_millis(after_ms)).await;
            disk.cut(cut).unwrap();
            process.kill();
        })
        .await;
        disk.restore();
        frame.start();
        let what = rounds.resolve(&frame.target(), &mut driver).await;
        println!("round {round}: {cut:?} after {after_ms} ms, snapshots {has_snapshots}; {what}");
        books::agree(&frame, &mut driver).await;
    }
    frame.wait_settled();
    frame.stop();
    frame.is_sound();
    driver.measured.executed
}
