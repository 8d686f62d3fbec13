//! A disk that fails, fills up or cannot be read.
//!
//! Refuses retries of a sync. Invariant: after a failure nothing more is acknowledged, and what
//! was acknowledged before is found again.

use journal::{
    AppendError, Entry, Expect, FaultKind, Journal, Kind, MemoryStorage, PrepareError, SyncError,
};

use crate::kit::{CONFIG, FRAME, create, disks, genesis, records, recover, refused, small};

#[test]
fn the_first_failed_sync_is_final() {
    for (disk, is_direct) in disks().into_iter().zip([false, true]) {
        fail_a_sync(disk, is_direct);
    }
}

fn fail_a_sync(disk: MemoryStorage, is_direct: bool) {
    let mut bench = create(disk.clone());
    bench.append(100).unwrap();
    let acked = bench.syncer.sync().unwrap();
    bench.append(100).unwrap();
    disk.fail_sync_in(0);
    assert!(matches!(bench.syncer.sync(), Err(SyncError::Failed(_))));
    let syncs = disk.syncs();
    assert!(matches!(bench.syncer.sync(), Err(SyncError::Poisoned)));
    assert_eq!(disk.syncs(), syncs, "a failed sync is not tried again");
    let refused = bench.append(100).unwrap_err();
    assert!(matches!(refused, AppendError::Poisoned) && refused.is_fatal());
    assert!(!bench.preparer.needed());
    disk.crash(3);
    let floor = Expect { durable_index_floor: acked, ..Expect::default() };
    let (_, recovery) = recover(disk, floor).unwrap();
    // A direct write that failed may have reached the medium all the same.
    assert!((acked..=acked + u64::from(is_direct)).contains(&recovery.last.index));
}

/// With every buffer waiting, the appender writes what waits itself; a failure then is as final.
#[test]
fn a_failed_write_is_final_for_the_appender_too() {
    let disk = MemoryStorage::direct();
    let config = journal::Config { segment_size: 4 << 20 };
    let made = Journal::create(std::sync::Arc::new(disk.clone()), config, FRAME, &genesis(), &[]);
    let mut bench = crate::kit::Bench::new(made.unwrap());
    let mut buffers = 0;
    while disk.syncs() == 0 {
        bench.append(100_000).unwrap();
        buffers += 1;
    }
    assert_eq!(buffers, 9, "eight wait, the ninth writes them");
    assert_eq!(bench.syncer.sync().unwrap(), bench.appender.last().index);
    while disk.syncs() == 2 {
        disk.fail_sync_in(0);
        if let Err(error) = bench.append(100_000) {
            assert!(matches!(error, AppendError::Storage(_)) && error.is_fatal(), "{error}");
        }
    }
    assert!(matches!(bench.syncer.sync(), Err(SyncError::Poisoned)));
    assert!(matches!(bench.append(64), Err(AppendError::Poisoned)));
    assert_eq!(disk.syncs(), 3, "a failed write is not tried again");
}

#[test]
fn a_full_disk_refuses_cleanly_and_resumes() {
    for disk in disks() {
        fill_up(disk);
    }
}

fn fill_up(disk: MemoryStorage) {
    let mut bench = create(disk.clone());
    disk.set_capacity(64 * 1024);
    let full = bench.preparer.prepare().unwrap_err();
    assert!(matches!(full, PrepareError::Full(_)), "{full}");
    let mut written = 1;
    let refusal = loop {
        match bench.append(4_000) {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refusal, AppendError::Full { needed: 2 }) && !refusal.is_fatal());
    assert_eq!(bench.syncer.sync().unwrap(), written, "what fitted is durable");
    bench.append(64).unwrap_err();
    disk.set_capacity(u64::MAX);
    assert!(bench.preparer.prepare().unwrap());
    assert!(!bench.preparer.prepare().unwrap(), "only one segment ahead");
    bench.append(4_000).unwrap();
    bench.syncer.sync().unwrap();
    let (_, recovery) = recover(disk, Expect::default()).unwrap();
    assert_eq!(recovery.records, written + 2, "and a seal");
    assert_eq!((recovery.segments, recovery.last.segment), (2, 2));
}

#[test]
fn a_segment_waits_while_too_much_is_not_synced() {
    for disk in disks() {
        sync_late(disk);
    }
}

fn sync_late(disk: MemoryStorage) {
    let mut bench = create(disk);
    while bench.preparer.prepare().unwrap() {
        while bench.append(40_000).is_ok() {}
    }
    assert!(bench.appender.last().segment >= 4, "{}", bench.appender.last().segment);
    bench.syncer.sync().unwrap();
    assert!(bench.preparer.prepare().unwrap());
}

#[test]
fn an_unreadable_sector_is_an_error_not_an_end() {
    let (disk, _) = small(3);
    disk.fail_read(1, 4_096..4_608);
    let error = refused(disk, Expect::default());
    assert_eq!(error.kind(), FaultKind::Io);
    assert!(error.to_string().contains("memory segment 1"), "{error}");
}

#[test]
fn a_journal_is_not_made_over_another() {
    let (disk, before) = small(2);
    let made = Journal::create(std::sync::Arc::new(disk.clone()), CONFIG, FRAME, &genesis(), &[]);
    assert!(made.is_err());
    assert_eq!(records(disk), before);
}

#[test]
fn a_disorderly_record_is_refused_and_changes_nothing() {
    for disk in disks() {
        disorder(disk);
    }
}

fn disorder(disk: MemoryStorage) {
    let mut bench = create(disk.clone());
    let image = disk.image(1);
    let good = Entry { first_sequence: 1, commands: 1, timestamp_ns: 1, ..Entry::default() };
    let part: &[u8] = &[1; 128];
    let bad = [
        (Entry { first_sequence: 2, ..good }, part),
        (Entry { timestamp_ns: 0, ..good }, part),
        (Entry { kind: Kind::Seal, ..good }, part),
        (Entry { kind: Kind::Genesis, ..good }, part),
        (good, &part[..100]),
        (good, &[0; 61_456]),
    ];
    for (entry, part) in bad {
        let error = bench.appender.append(&entry, &[part]).unwrap_err();
        assert!(!error.is_fatal(), "{error}");
    }
    assert_eq!(disk.image(1), image);
    bench.appender.append(&good, &[part]).unwrap();
}

#[test]
fn the_longest_record_fits_and_an_older_epoch_does_not() {
    let mut bench = create(MemoryStorage::new());
    assert_eq!(bench.appender.payload_len_max(), 65_536 - 4_096 - 256);
    bench.preparer.prepare().unwrap();
    let longest = vec![7; 61_184];
    let mut entry = Entry { first_sequence: 1, commands: 9, timestamp_ns: 5, ..Entry::default() };
    bench.appender.append(&entry, &[&longest]).unwrap();
    bench.preparer.prepare().unwrap();
    (entry.first_sequence, entry.epoch) = (10, 4);
    bench.appender.append(&entry, &[&longest]).unwrap();
    (entry.first_sequence, entry.epoch) = (19, 3);
    let error = bench.appender.append(&entry, &[]);
    assert!(matches!(error, Err(AppendError::Order { field: "epoch", .. })));
}
