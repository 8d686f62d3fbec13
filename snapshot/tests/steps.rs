//! Taking and pruning, stopped at every step: what was there stays, what is there verifies.
//! Invariant: after any crash every file under a final name is whole.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use snapshot::{
    Catalogue, DirFiles, FileRead, FileWrite, Files, MemoryFiles, Meta, SYNC_BYTES, SnapshotError,
    TEMPORARY,
};

use crate::disk::{FRAME, body, catalogue, edit, read, take};

fn names(catalogue: &Catalogue) -> Vec<String> {
    let entries = catalogue.list().expect("the directory can be read");
    entries.into_iter().map(|entry| entry.name).collect()
}

/// What a stop of the process and some power cuts leave.
fn crashes(disk: &MemoryFiles) -> Vec<MemoryFiles> {
    let after = (0..24).map(|seed| {
        let after = disk.copy();
        after.crash(seed);
        after
    });
    after.chain([disk.copy()]).collect()
}

#[test]
fn a_crash_at_any_step_leaves_the_older_ones_and_no_half() {
    let mut steps = 0;
    loop {
        let disk = MemoryFiles::new();
        let old = take(&catalogue(&disk), 10, &body(700)).unwrap();
        disk.stop_after(Some(steps));
        let taken = take(&catalogue(&disk), 20, &body(900));
        for after in crashes(&disk) {
            let catalogue = catalogue(&after);
            assert_eq!(read(&catalogue, &old).unwrap(), body(700), "after {steps}");
            for name in names(&catalogue) {
                catalogue.verify(&name).unwrap_or_else(|error| panic!("after {steps}: {error}"));
            }
            let again = take(&catalogue, 30, &body(1_000)).unwrap();
            assert_eq!(read(&catalogue, &again).unwrap(), body(1_000));
            assert!(!after.names().iter().any(|name| name == TEMPORARY));
        }
        if let Ok(name) = taken {
            for after in crashes(&disk) {
                assert!(names(&catalogue(&after)).contains(&name), "what is said is kept");
            }
            assert!(steps > 4, "there are steps to stop at");
            break;
        }
        steps += 1;
    }
}

#[test]
fn a_full_disk_costs_only_the_new_one() {
    let disk = MemoryFiles::new();
    let catalogue = catalogue(&disk);
    let old = take(&catalogue, 10, &body(100)).unwrap();
    for room in [0, 300, 5_000] {
        disk.set_capacity(Some(disk.bytes() + room));
        match take(&catalogue, 20, &body(5_000)) {
            Err(SnapshotError::Io { action: "writing", source, .. }) => {
                assert_eq!(source.kind(), io::ErrorKind::StorageFull);
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(disk.names(), std::slice::from_ref(&old), "the space is free again");
    }
    disk.set_capacity(None);
    assert!(take(&catalogue, 20, &body(5_000)).is_ok());
}

#[test]
fn what_the_check_refuses_is_not_kept() {
    let disk = MemoryFiles::new();
    let hand_over = |sink: &mut dyn FnMut(&[u8])| sink(b"some");
    let refused = catalogue(&disk).create(&crate::disk::meta(5), hand_over, |_| Err("no".into()));
    assert!(matches!(refused, Err(SnapshotError::Rejected { .. })));
    assert!(disk.names().is_empty());
}

#[test]
fn pruning_keeps_two_that_verify_and_touches_no_suspect() {
    let disk = MemoryFiles::new();
    let catalogue = catalogue(&disk);
    let all: Vec<_> =
        [10, 20, 30, 40, 50].map(|at| take(&catalogue, at, &body(50)).unwrap()).into();
    edit(&disk, &all[3], |file| file[300] ^= 1);
    // What was verified once is looked at again only when told.
    catalogue.verify(&all[3]).unwrap_err();
    let pruned = catalogue.prune(u64::MAX).unwrap();
    assert_eq!(pruned.kept, [all[4].clone(), all[2].clone()]);
    assert_eq!(pruned.removed, [all[1].clone(), all[0].clone()]);
    assert_eq!(pruned.suspect.len(), 1);
    assert_eq!(names(&catalogue), [all[4].clone(), all[3].clone(), all[2].clone()]);
    assert!(catalogue.prune(u64::MAX).unwrap().removed.is_empty());
    assert_eq!(catalogue.verified().unwrap().len(), 2);
}

#[test]
fn pruning_keeps_the_base_and_the_first_of_each_day() {
    const HOUR_NS: u64 = 3_600_000_000_000;
    let days = |floor| {
        let disk = MemoryFiles::new();
        let catalogue = catalogue(&disk);
        // Every eight hours; the record is the hour.
        for hour in (0..80).step_by(8) {
            let at = crate::disk::meta(hour);
            let meta = Meta { index: hour, timestamp_ns: hour * HOUR_NS, ..at };
            catalogue.create(&meta, |sink| sink(b"body"), |_| Ok(())).unwrap();
        }
        // Whoever has verified nothing himself removes nothing that he should keep.
        let pruned = crate::disk::catalogue(&disk).prune(floor).unwrap();
        let left = catalogue.verified().unwrap();
        assert_eq!(left.len(), pruned.kept.len());
        left.into_iter().map(|meta| meta.index).collect::<Vec<_>>()
    };
    assert_eq!(days(u64::MAX), [72, 64]);
    assert_eq!(days(64), [72, 64]);
    assert_eq!(days(63), [72, 64, 56]);
    assert_eq!(days(40), [72, 64, 56, 48, 40], "the base is kept wherever it lies in its day");
    assert_eq!(days(31), [72, 64, 48, 40, 32, 24], "and the next two");
    assert_eq!(days(0), [72, 64, 48, 24, 16, 8, 0]);
}

/// With SQL five snapshots behind, each was gone before SQL had settled it: the floor stood still,
/// and the journal grew for as long as SQL did not catch up.
#[test]
fn a_floor_far_behind_the_newest_snapshots_rises() {
    let disk = MemoryFiles::new();
    let catalogue = catalogue(&disk);
    let mut floor = 0;
    for at in (10..=200).step_by(10) {
        take(&catalogue, at, &body(50)).unwrap();
        let known = catalogue.verified().unwrap();
        let settled = known.iter().filter(|meta| meta.sequence.0 + 50 <= at);
        floor = settled.map(|meta| meta.index).nth(1).unwrap_or(0);
        catalogue.prune(floor).unwrap();
    }
    assert!(floor >= crate::disk::meta(50).index, "{floor}");
    assert!(catalogue.verified().unwrap().len() <= 5, "none is kept in vain");
}

#[test]
fn pruning_stopped_at_any_step_leaves_two() {
    for steps in 0..5 {
        let disk = MemoryFiles::new();
        let full = catalogue(&disk);
        for at in [10, 20, 30, 40] {
            take(&full, at, &body(50)).unwrap();
        }
        disk.stop_after(Some(steps));
        let _stopped_or_not = full.prune(u64::MAX);
        for after in crashes(&disk) {
            let kept = catalogue(&after).prune(u64::MAX).unwrap().kept;
            assert_eq!(kept.len(), 2);
            assert!(kept[0].contains("40") && kept[1].contains("30"));
        }
    }
}

#[test]
fn real_files_are_their_owners_alone() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("snapshots");
    let catalogue = Catalogue::new(DirFiles::new(&place), FRAME);
    assert!(catalogue.list().unwrap().is_empty(), "there is no directory yet");
    let bytes = body(3_000_000);
    let older = take(&catalogue, 10, &bytes).unwrap();
    let newer = take(&catalogue, 30, &bytes).unwrap();
    std::fs::write(place.join("notes.txt"), "not ours").unwrap();
    assert_eq!(names(&catalogue), [newer.clone(), older]);
    assert_eq!(read(&catalogue, &newer).unwrap(), bytes);
    let mode = |path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(place.clone()), mode(place.join(newer))), (0o700, 0o600));
}

#[test]
fn the_directory_is_made_once_and_an_unfinished_file_is_cleared() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("snapshots");
    let files = DirFiles::new(&path);
    let catalogue = Catalogue::new(files.clone(), FRAME);
    assert!(!catalogue.clear().unwrap(), "there is no directory yet");
    files.make().unwrap();
    files.make().unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    let name = take(&catalogue, 1, &body(10)).unwrap();
    drop(files.create(TEMPORARY).unwrap());
    assert!(catalogue.clear().unwrap());
    assert!(!catalogue.clear().unwrap() && files.list().unwrap() == [name]);
}

#[test]
fn a_sync_that_fails_costs_only_the_new_one() {
    let disk = MemoryFiles::new();
    let catalogue = catalogue(&disk);
    let old = take(&catalogue, 10, &body(700)).unwrap();
    disk.fail_sync_in(0);
    let failed = take(&catalogue, 20, &body(900));
    assert!(matches!(failed, Err(SnapshotError::Io { .. })), "{failed:?}");
    assert_eq!(disk.names(), [old]);
}

#[test]
fn what_cannot_be_read_back_is_not_named() {
    let disk = MemoryFiles::new();
    let catalogue = catalogue(&disk);
    disk.fail_read(Some((TEMPORARY.to_owned(), 300..301)));
    assert!(take(&catalogue, 20, &body(900)).is_err());
    disk.fail_read(None);
    assert!(names(&catalogue).is_empty());
}

/// Real files that count what is written and not synced.
#[derive(Clone)]
struct Counting {
    files: DirFiles,
    most: Arc<AtomicU64>,
}

struct Counted {
    file: Box<dyn FileWrite>,
    unsynced: u64,
    most: Arc<AtomicU64>,
}

impl FileWrite for Counted {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.unsynced += bytes.len() as u64;
        self.most.fetch_max(self.unsynced, Ordering::Relaxed);
        self.file.write_at(offset, bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.unsynced = 0;
        self.file.sync()
    }
}

impl Files for Counting {
    fn list(&self) -> io::Result<Vec<String>> {
        self.files.list()
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn FileWrite>> {
        let (file, most) = (self.files.create(name)?, Arc::clone(&self.most));
        Ok(Box::new(Counted { file, unsynced: 0, most }))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn FileRead>> {
        self.files.open(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.files.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.files.remove(name)
    }

    fn sync(&self) -> io::Result<()> {
        self.files.sync()
    }

    fn place(&self, name: &str) -> String {
        self.files.place(name)
    }
}

#[test]
fn no_sync_has_much_to_write_and_a_slow_reader_reads_all() {
    let dir = tempfile::tempdir().unwrap();
    let files = Counting { files: DirFiles::new(dir.path()), most: Arc::default() };
    let catalogue = Catalogue::new(files.clone(), FRAME);
    let large = body(3 * SYNC_BYTES as usize + 77);
    let name = take(&catalogue, 10, &large).unwrap();
    assert!(files.most.load(Ordering::Relaxed) <= SYNC_BYTES);
    let mut reader = catalogue.open(&name).unwrap();
    let (mut read, mut steps) = (0, 0);
    loop {
        let bytes = reader.verify_step(3_000_000).unwrap();
        if bytes == 0 {
            break;
        }
        read += bytes;
        steps += 1;
    }
    assert_eq!((read, steps), (large.len() as u64, 9));
    reader.finish().unwrap();
}
