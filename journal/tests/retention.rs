//! A journal whose first segments are removed.
//!
//! Refuses to lose what was to be kept. Invariant: wherever removal stops, a reader and a start
//! from the record named find everything from there on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use journal::{
    Backend, Expect, FaultKind, FileStorage, Live, MemoryStorage, Pause, Reader, RecoverError,
    Retired, Scrub, SegmentRead, Source, Storage, StorageError, durable_seen, first_record,
    retirable, retire, segments, stat, verify,
};

use crate::kit::{
    Record, SEGMENT, base, behind, create, on_each_backend, records, recover, replayed, small,
};

fn numbers(storage: &dyn Storage) -> Vec<u64> {
    segments(storage).unwrap().iter().map(|segment| segment.number).collect()
}

#[test]
fn whole_segments_before_the_record_go() {
    let (disk, all) = small(40);
    for (keep_from, kept) in [
        (0, vec![1, 2, 3]),
        (1, vec![1, 2, 3]),
        (16, vec![1, 2, 3]),
        (17, vec![2, 3]),
        (32, vec![2, 3]),
        (33, vec![3]),
        (44, vec![3]),
        (u64::MAX, vec![3]),
    ] {
        let copy = disk.copy();
        let retirable = retirable(&copy, keep_from).unwrap();
        let retired = retire(&copy, keep_from).unwrap();
        assert_eq!(retired, retirable);
        let gone = 3 - kept.len() as u64;
        assert_eq!(retired, Retired { segments: gone, bytes: gone * SEGMENT });
        assert_eq!(numbers(&copy), kept, "from record {keep_from}");
        assert_eq!(retire(&copy, keep_from).unwrap(), Retired::default(), "nothing is left to do");
        let index = keep_from.clamp(1, 44);
        let (seen, _) = replayed(copy, behind(base(&all, index))).unwrap();
        assert_eq!(seen, all[index as usize..]);
    }
}

#[test]
fn a_running_journal_loses_its_oldest_segments_only() {
    let disk = MemoryStorage::new();
    let mut bench = create(disk.clone());
    let mut kept: Vec<Record> = Vec::new();
    for round in 0..200 {
        bench.preparer.prepare().unwrap();
        kept.push(bench.append(round * 211 % 20_000).unwrap());
        let durable = bench.syncer.sync().unwrap();
        retire(&disk, durable).unwrap();
        assert!(numbers(&disk).len() <= 2, "the live one, and the one behind its seal");
        let first = first_record(&disk).unwrap();
        assert!(first.index <= durable);
        let mut reader = Reader::open_range(Arc::new(disk.clone()), durable, durable).unwrap();
        let (_, payload) = reader.next().unwrap().unwrap();
        assert_eq!(payload, kept.last().unwrap().1);
    }
    let last = *bench.appender.last();
    drop(bench);
    disk.crash(7);
    let last = journal::Base { index: last.index, hash: last.hash };
    let (mut bench, recovery) = recover(disk, behind(last)).unwrap();
    assert!(recovery.last.segment > 20, "segments keep their numbers");
    bench.append(64).unwrap();
}

/// Passes everything on until a removal is one too many; then the process is as good as dead.
struct Stopping {
    inner: MemoryStorage,
    removals_left: AtomicU64,
    /// Listings still to come that pass over the second segment.
    torn_listings: AtomicU64,
}

impl Storage for Stopping {
    fn init(&self) -> Result<(), StorageError> {
        self.inner.init()
    }
    fn lock(&self) -> Result<(), StorageError> {
        self.inner.lock()
    }
    fn name(&self, number: u64) -> String {
        self.inner.name(number)
    }
    fn list(&self) -> Result<Vec<u64>, StorageError> {
        let mut numbers = self.inner.list()?;
        let is_torn = self
            .torn_listings
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        if is_torn.is_ok() {
            numbers.remove(1);
        }
        Ok(numbers)
    }
    fn prepare(
        &self,
        number: u64,
        len: u64,
        head: &[u8],
        pause: &Pause<'_>,
    ) -> Result<bool, StorageError> {
        self.inner.prepare(number, len, head, pause)
    }
    fn open_live(&self, number: u64) -> Result<Live, StorageError> {
        self.inner.open_live(number)
    }
    fn open_read(&self, number: u64, source: Source) -> Result<Box<dyn SegmentRead>, StorageError> {
        self.inner.open_read(number, source)
    }
    fn wipe(&self, number: u64, from: u64) -> Result<(), StorageError> {
        self.inner.wipe(number, from)
    }
    fn remove(&self, number: u64) -> Result<(), StorageError> {
        let left = self.removals_left.load(Ordering::Relaxed);
        let Some(left) = left.checked_sub(1) else {
            let (name, source) = (self.name(number), std::io::Error::from_raw_os_error(5));
            return Err(StorageError::Io { action: "removing", name, offset: 0, source });
        };
        self.removals_left.store(left, Ordering::Relaxed);
        self.inner.remove(number)
    }
}

#[test]
fn a_stop_between_removals_leaves_a_journal() {
    let (disk, all) = small(100);
    let keep_from = 70;
    for removals in 0..4 {
        let inner = disk.copy();
        let stopping = Stopping {
            inner: inner.clone(),
            removals_left: removals.into(),
            torn_listings: 0.into(),
        };
        let error = retire(&stopping, keep_from).unwrap_err();
        assert_eq!(error.kind(), FaultKind::Io);
        inner.crash(removals);
        assert_eq!(numbers(&inner)[0], removals + 1);
        for index in [keep_from, keep_from + 30] {
            let (seen, _) = replayed(inner.copy(), behind(base(&all, index))).unwrap();
            assert_eq!(seen, all[index as usize..]);
        }
        retire(&inner, keep_from).unwrap();
        assert_eq!(numbers(&inner)[0], 5, "the next one goes on");
    }
}

#[test]
fn a_listing_that_retention_has_torn_is_made_again() {
    let (disk, all) = small(100);
    let stopping = |torn: u64| Stopping {
        inner: disk.clone(),
        removals_left: 0.into(),
        torn_listings: torn.into(),
    };
    let whole = segments(&disk).unwrap();
    assert_eq!(segments(&stopping(1)).unwrap(), whole);
    let (seen, _) = replayed(stopping(1), Expect::default()).unwrap();
    assert_eq!(seen, all);
    let error = segments(&stopping(2)).unwrap_err();
    assert!(matches!(error, RecoverError::MissingSegment { .. }), "a gap that stays is one");
}

#[test]
fn places_at_the_end_of_all_numbers_are_refused() {
    let (disk, all) = small(40);
    let far = journal::Base { index: u64::MAX, ..base(&all, 3) };
    let error = replayed(disk.copy(), behind(far)).unwrap_err();
    assert_eq!(error.kind(), FaultKind::Corrupt, "{error}");
    retire(&disk, 20).unwrap();
    let error = replayed(disk, behind(far)).unwrap_err();
    assert_eq!(error.kind(), FaultKind::Corrupt, "{error}");
}

#[test]
fn what_cannot_be_told_is_not_removed() {
    let (disk, _) = small(100);
    for number in 1..=5 {
        let damaged = disk.copy();
        damaged.flip(number, 70, 1);
        let error = retire(&damaged, 70).unwrap_err();
        assert_eq!(error.kind(), FaultKind::Corrupt);
        assert!(error.to_string().contains(&format!("memory segment {number} ")), "{error}");
        let oldest = damaged.list().unwrap()[0];
        assert!(oldest < number || oldest == 1, "segment {number} and the one before it stay");
        assert!(damaged.list().unwrap().contains(&number));
    }
    let swapped = disk.copy();
    swapped.put(3, disk.image(2).unwrap());
    let error = retire(&swapped, 70).unwrap_err();
    assert!(matches!(error, RecoverError::SwappedSegment { found: 2, expected: 3, .. }), "{error}");
    let gap = disk.copy();
    gap.remove(3).unwrap();
    let error = retire(&gap, 70).unwrap_err();
    assert!(matches!(error, RecoverError::MissingSegment { .. }), "{error}");
    assert_eq!(gap.list().unwrap()[0], 1);
    // Damage behind what has to be told is no reason to keep anything.
    let behind = disk.copy();
    behind.flip(6, 70, 1);
    assert_eq!(retire(&behind, 60).unwrap().segments, 3);
}

#[test]
fn readers_begin_where_the_journal_does() {
    let (disk, all) = small(40);
    let whole = verify(Arc::new(disk.clone())).unwrap();
    assert_eq!(first_record(&disk).unwrap(), whole.first);
    retire(&disk, 20).unwrap();
    assert_eq!(first_record(&disk).unwrap().index, 17);
    for from in 0..=16 {
        let Err(error) = Reader::open(Arc::new(disk.clone()), from) else {
            panic!("record {from} is gone")
        };
        assert!(matches!(error, RecoverError::Shortened { first_index: 17, .. }), "{error}");
        assert_eq!(error.kind(), FaultKind::Missing);
    }
    for from in 17..=44 {
        let mut reader = Reader::open(Arc::new(disk.clone()), from).unwrap();
        for (hash, payload) in &all[from as usize - 1..] {
            let (header, found) = reader.next().unwrap().unwrap();
            assert_eq!((&header.hash, found), (hash, &payload[..]));
        }
        assert!(reader.next().unwrap().is_none());
    }
    let mut reader = Reader::open_first(Arc::new(disk.clone())).unwrap();
    assert_eq!(reader.next().unwrap().unwrap().0.index, 17);
    let deep = verify(Arc::new(disk.clone())).unwrap();
    assert_eq!(stat(Arc::new(disk.clone())).unwrap().records, deep.records);
    assert_eq!((deep.first.index, deep.records, deep.last), (17, 28, whole.last));
    assert_eq!(deep.records_by_kind[0], 0, "the genesis is gone");
    disk.flip(2, 200, 1);
    let error = verify(Arc::new(disk)).unwrap_err();
    assert!(matches!(error, RecoverError::NoBeginning { .. }), "{error}");
}

#[test]
fn what_is_durable_is_said_by_the_last_records() {
    let disk = MemoryStorage::new();
    let mut bench = create(disk.clone());
    assert_eq!(durable_seen(Arc::new(disk.clone())).unwrap(), 1, "a genesis always is");
    let mut said = 0;
    for round in 0..60_usize {
        bench.preparer.prepare().unwrap();
        bench.append(round * 97 % 9_000).unwrap();
        said = said.max(bench.appender.last().durable_index);
        assert_eq!(durable_seen(Arc::new(disk.clone())).unwrap(), said.max(1));
        if round % 3 == 0 {
            bench.syncer.sync().unwrap();
        }
    }
    let last = *bench.appender.last();
    disk.flip(last.segment, last.offset + 8, 1);
    assert!(durable_seen(Arc::new(disk)).unwrap() <= said, "a torn tail is passed over");
    assert!(matches!(
        durable_seen(Arc::new(MemoryStorage::new())),
        Err(RecoverError::NoJournal { .. })
    ));
}

on_each_backend!(
    a_journal_is_looked_at_and_shortened_while_it_is_filled,
    files_go_and_a_start_goes_on_behind_them,
    whoever_holds_the_lock_may_ask_again_and_nobody_else,
);

fn a_journal_is_looked_at_and_shortened_while_it_is_filled(backend: Backend) {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("journal");
    let total = 1_200;
    let mut bench = create(FileStorage::with_backend(&place, backend));
    let open = || Arc::new(FileStorage::with_backend(&place, backend));
    let mut scrub = Scrub::new(open());
    let (mut before, mut retired, mut scrubbed) = (0, 0, 0);
    thread::scope(|scope| {
        let filling = scope.spawn(move || {
            while bench.appender.last().index < total {
                bench.preparer.prepare().unwrap();
                bench.append(bench.appender.last().index as usize * 211 % 6_000).unwrap();
                bench.syncer.sync().unwrap();
            }
            bench
        });
        loop {
            let is_last = filling.is_finished();
            let seen = durable_seen(open()).unwrap();
            assert!(seen >= before, "what was durable stays durable");
            before = seen;
            let mut reader = Reader::open_range(open(), seen, seen).unwrap();
            assert_eq!(reader.next().unwrap().unwrap().0.index, seen);
            retired += retire(&*open(), seen.saturating_sub(60)).unwrap().segments;
            scrubbed += scrub.step(200_000).unwrap().records;
            if is_last {
                break;
            }
        }
        drop(filling.join().unwrap());
    });
    assert_eq!(before, total - 1, "all but the last record have one behind them");
    assert!(retired > 10 && scrubbed > 0);
}

fn files_go_and_a_start_goes_on_behind_them(backend: Backend) {
    let dir = tempfile::tempdir().unwrap();
    let open = || FileStorage::with_backend(dir.path().join("journal"), backend);
    let mut bench = create(open());
    for at in 0..100_usize {
        bench.preparer.prepare().unwrap();
        bench.append(at * 997 % 30_000).unwrap();
        bench.syncer.sync().unwrap();
    }
    bench.blank();
    bench.syncer.sync().unwrap();
    let all = records(open());
    let keep_from = all.len() as u64 - 20;
    let before = numbers(&open());
    let retired = retire(&open(), keep_from).unwrap();
    assert!(retired.segments > 5);
    assert_eq!(numbers(&open()), before[retired.segments as usize..]);
    drop(bench);
    let error = recover(open(), Expect::default()).err().unwrap();
    assert!(matches!(error, RecoverError::Shortened { .. }), "{error}");
    let (seen, _) = replayed(open(), behind(base(&all, keep_from))).unwrap();
    assert_eq!(seen, all[keep_from as usize..]);
}

fn whoever_holds_the_lock_may_ask_again_and_nobody_else(backend: Backend) {
    let dir = tempfile::tempdir().unwrap();
    let open = || FileStorage::with_backend(dir.path().join("journal"), backend);
    drop(create(open()));
    let (holder, other) = (open(), open());
    holder.lock().unwrap();
    holder.lock().unwrap();
    assert!(matches!(other.lock(), Err(StorageError::Locked { .. })));
    drop(holder);
    other.lock().unwrap();
}
