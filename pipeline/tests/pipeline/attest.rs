//! What was acknowledged is attested as soon as nothing more comes, and each start uses up its
//! epoch.

use std::sync::Arc;

use journal::{Expect, Journal, Kind, MemoryStorage, Reader, RecordHeader, RecoverError};
use pipeline::Progress;
use pipeline::limits::ATTEST_AFTER;
use protocol::{Command, CommandId, Role};

use crate::rig::{Rig, SECOND, SEGMENT};

const PAUSE_NS: u64 = ATTEST_AFTER.as_nanos() as u64;

fn headers(disk: &MemoryStorage) -> Vec<RecordHeader> {
    let mut reader = Reader::open(Arc::new(disk.clone()), 1).unwrap();
    let mut headers = Vec::new();
    while let Some((header, _)) = reader.next().unwrap() {
        headers.push(*header);
    }
    headers
}

fn recover(disk: &MemoryStorage) -> Result<journal::Recovery, RecoverError> {
    let storage = Arc::new(disk.copy());
    Journal::recover(storage, SEGMENT, Expect::default()).map(|(_, report)| report)
}

#[test]
fn each_start_uses_up_its_epoch_whatever_becomes_of_it() {
    let mut rig = Rig::new();
    for seed in 0..20 {
        let before = *headers(&rig.disk).last().unwrap();
        (rig, _) = rig.crash(seed);
        let last = *headers(&rig.disk).last().unwrap();
        assert_eq!((last.epoch, last.kind()), (before.epoch + 1, Some(Kind::Blank)));
        assert_eq!(last.durable_index, before.index, "all that was found is attested");
    }
    rig.open_accounts();
    assert_eq!(headers(&rig.disk).last().unwrap().epoch, 22);
}

#[test]
fn an_idle_frame_attests_its_last_commands_once() {
    let mut rig = Rig::new();
    rig.open_accounts();
    rig.pay(1, 3).unwrap();
    rig.turn();
    let commands = *headers(&rig.disk).last().unwrap();
    assert_eq!(commands.kind(), Some(Kind::Commands));
    rig.now_ns += PAUSE_NS - 1;
    assert!(!rig.stages.journal.is_ready(rig.now_ns));
    rig.now_ns += 1;
    assert!(rig.stages.journal.is_ready(rig.now_ns));
    rig.turn();
    let blank = *headers(&rig.disk).last().unwrap();
    assert_eq!((blank.kind(), blank.index), (Some(Kind::Blank), commands.index + 1));
    assert_eq!(blank.durable_index, commands.index);
    let executed = rig.stages.marks.boundary();
    let carried = (blank.executed_sequence, blank.run_digest);
    assert_eq!(carried, (executed.sequence, executed.run_digest));
    assert_eq!(executed.sequence + 1, blank.first_sequence);
    for _ in 0..10 {
        rig.now_ns += SECOND;
        assert!(!rig.stages.journal.is_ready(rig.now_ns));
        rig.turn();
    }
    let now = rig.now();
    rig.stages.journal.conclude(now);
    assert_eq!(rig.stages.sync.step(), Progress::Idle, "a clean end adds no second one");
    assert_eq!(*headers(&rig.disk).last().unwrap(), blank);
    // Cuts and places go on to name the record of commands.
    let cut = rig.stages.control.open_cut(false).unwrap();
    rig.turn();
    let cut = cut.try_recv().unwrap();
    assert_eq!((cut.epoch, cut.chain_hash), (commands.epoch, commands.hash));
}

#[test]
fn commands_never_wait_for_an_attestation_and_reads_never_delay_it() {
    let mut rig = Rig::new();
    rig.open_accounts();
    // Not before the engine has executed what it attests.
    rig.pay(1, 1).unwrap();
    let now = rig.now();
    rig.stages.journal.step(now);
    rig.now_ns += PAUSE_NS;
    assert!(!rig.stages.journal.is_ready(rig.now_ns));
    rig.stages.sync.step();
    rig.step_engine();
    // Commands that wait when it is due are journaled, and it is due anew after them.
    rig.pay(2, 1).unwrap();
    rig.turn();
    assert_eq!(headers(&rig.disk).last().unwrap().kind(), Some(Kind::Commands));
    let read = Command { asset: 1, ..Command::new(protocol::Kind::ReadSupply, CommandId(0)) };
    for _ in 0..4 {
        rig.now_ns += PAUSE_NS / 3;
        rig.send(Role::Auditor, 7 << 64, &[read]).unwrap();
        let now = rig.now();
        rig.stages.journal.step(now);
        rig.stages.sync.step();
        rig.step_engine();
    }
    assert_eq!(headers(&rig.disk).last().unwrap().kind(), Some(Kind::Blank));
}

#[test]
fn a_journal_without_room_goes_without() {
    let mut rig = Rig::new();
    rig.open_accounts();
    rig.disk.set_capacity(0);
    loop {
        let request = rig.pay(1, 1).unwrap();
        rig.turn();
        if rig.replies()[&request].refused.is_some() {
            break;
        }
    }
    let full = headers(&rig.disk).len();
    for _ in 0..5 {
        rig.now_ns += PAUSE_NS;
        rig.turn();
        assert!(rig.stages.journal.halt().is_none());
        assert!(!rig.stages.journal.is_ready(rig.now_ns), "it is not tried without a pause");
    }
    assert_eq!(headers(&rig.disk).len(), full);
    // Found again without room, the frame starts all the same and makes up for it later.
    let (mut rig, _) = rig.crash(3);
    assert_eq!(headers(&rig.disk).len(), full);
    rig.disk.set_capacity(u64::MAX);
    rig.now_ns += PAUSE_NS;
    rig.turn();
    let headers = headers(&rig.disk);
    let last = headers.last().unwrap();
    assert_eq!(last.kind(), Some(Kind::Blank));
    assert!(last.epoch > headers[full - 1].epoch);
}

/// The last acknowledged record has nobody behind it; a blank record is somebody.
#[test]
fn damage_to_the_last_acknowledged_record_is_known_once_the_frame_was_idle() {
    let mut rig = Rig::new();
    rig.open_accounts();
    rig.pay(1, 3).unwrap();
    rig.turn();
    let last = *headers(&rig.disk).last().unwrap();
    let damaged = |rig: &Rig| {
        let disk = rig.disk.copy();
        disk.flip(last.segment, last.offset + 300, 1);
        recover(&disk)
    };
    // A moment after its acknowledgement it looks like what a power cut leaves.
    let report = damaged(&rig).unwrap();
    assert_eq!(report.truncated.unwrap().index, last.index);
    rig.now_ns += PAUSE_NS;
    rig.turn();
    let Err(RecoverError::Corrupt(damage)) = damaged(&rig) else {
        panic!("an attested record is damaged, not torn");
    };
    let place = (damage.offset, damage.index, damage.sequence);
    assert_eq!(place, (last.offset, last.index, last.first_sequence));
    // A start attests what it finds, even if it never serves anybody.
    let mut rig = Rig::recover(rig.disk, rig.now_ns, rig.requests).0;
    rig.pay(1, 1).unwrap();
    rig.turn();
    let last = *headers(&rig.disk).last().unwrap();
    let (rig, _) = Rig::recover(rig.disk, rig.now_ns, rig.requests);
    rig.disk.flip(last.segment, last.offset + 300, 1);
    assert!(matches!(recover(&rig.disk), Err(RecoverError::Corrupt(_))));
}
