//! Each backend on real files.
//!
//! Refuses to leave anything outside its temporary directory. Invariant: what holds on the
//! simulated disk holds for files, locks and modes.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

use journal::{
    AppendError, Backend, Entry, Expect, FaultKind, FileStorage, Journal, Source, Storage,
    StorageError, verify,
};

use crate::kit::{
    Bench, CONFIG, FRAME, Record, create, genesis, on_each_backend, records, recover, refused,
};

const AT_ONCE: fn(u64) -> ControlFlow<()> = |_| ControlFlow::Continue(());
const CHILD_DIR: &str = "BEZANT_JOURNAL_TEST_DIR";

fn open(dir: &Path, backend: Backend) -> FileStorage {
    FileStorage::with_backend(dir.join("journal"), backend)
}

on_each_backend!(
    records_roll_through_many_segments_and_come_back,
    syncing_and_preparing_overlap_appending,
    a_torn_tail_is_wiped_on_disk,
    a_second_writer_is_refused_by_name,
    directories_are_private_and_leftovers_go,
    a_segment_has_one_writer,
    a_segment_is_written_in_pieces_with_pauses_between_them,
    a_segment_that_is_given_up_leaves_nothing_behind,
    another_segment_size_applies_to_the_next_segment,
);

fn records_roll_through_many_segments_and_come_back(backend: Backend) {
    let dir = tempfile::tempdir().unwrap();
    let mut model = Vec::new();
    let mut bench = create(open(dir.path(), backend));
    for round in 0..3 {
        for at in 0..40_usize {
            bench.preparer.prepare().unwrap();
            model.push(bench.append(at * 997 % 30_000).unwrap());
            if at % 5 == 0 {
                bench.syncer.sync().unwrap();
            }
        }
        bench.syncer.sync().unwrap();
        drop(bench);
        let (again, recovery) = recover(open(dir.path(), backend), Expect::default()).unwrap();
        assert_eq!(recovery.records, recovery.last.index);
        assert!(recovery.truncated.is_none(), "round {round}");
        bench = again;
    }
    let hashes: Vec<_> = model.iter().map(|(hash, _)| *hash).collect();
    let found: Vec<_> = records(open(dir.path(), backend)).iter().map(|(hash, _)| *hash).collect();
    assert!(hashes.iter().all(|hash| found.contains(hash)));
    let summary = verify(Arc::new(open(dir.path(), backend))).unwrap();
    assert_eq!(summary.records_by_kind[1], model.len() as u64);
    assert!(summary.segments > 10);
}

fn syncing_and_preparing_overlap_appending(backend: Backend) {
    let dir = tempfile::tempdir().unwrap();
    let journal =
        Journal::create(Arc::new(open(dir.path(), backend)), CONFIG, FRAME, &genesis(), &[])
            .unwrap();
    let marks = journal.watermarks();
    let (mut appender, mut syncer, mut preparer) = journal.split();
    let total = 1_500;
    thread::scope(|scope| {
        let (syncing, preparing) = (marks.clone(), marks.clone());
        scope.spawn(move || {
            let mut last = 0;
            while syncing.durable() < total {
                let durable = syncer.sync().unwrap();
                assert!(durable >= last);
                last = durable;
                thread::yield_now();
            }
        });
        scope.spawn(move || {
            while preparing.durable() < total {
                preparer.prepare().unwrap();
                thread::yield_now();
            }
        });
        scope.spawn(move || {
            let payload = [9; 4_096];
            while appender.last().index < total {
                let entry = Entry {
                    first_sequence: appender.next_sequence(),
                    commands: 1,
                    timestamp_ns: appender.last().index,
                    ..Entry::default()
                };
                let len = (appender.last().index % 256) as usize * 16;
                match appender.append(&entry, &[&payload[..len], &payload[..16]]) {
                    Ok(_) => {}
                    Err(AppendError::Full { .. }) => thread::yield_now(),
                    Err(error) => panic!("{error}"),
                }
            }
        });
    });
    assert_eq!(marks.durable(), marks.appended());
    let (_, recovery) = recover(open(dir.path(), backend), Expect::default()).unwrap();
    assert_eq!(recovery.last.index, marks.durable());
}

fn a_torn_tail_is_wiped_on_disk(backend: Backend) {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = create(open(dir.path(), backend));
    bench.append(100).unwrap();
    let last = bench.append(9_000).unwrap();
    bench.syncer.sync().unwrap();
    let (offset, file) = (bench.appender.last().offset, open(dir.path(), backend).name(1));
    drop(bench);
    let mut bytes = fs::read(&file).unwrap();
    bytes[offset as usize + 5_000] ^= 1;
    fs::write(&file, &bytes).unwrap();
    let (mut bench, recovery) = recover(open(dir.path(), backend), Expect::default()).unwrap();
    assert_eq!(recovery.truncated.unwrap().blocks, 3);
    assert!(fs::read(&file).unwrap()[offset as usize..].iter().all(|&b| b == 0));
    let again = bench.append(50).unwrap();
    bench.syncer.sync().unwrap();
    drop(bench);
    let found = records(open(dir.path(), backend));
    assert_eq!(found.last(), Some(&again));
    assert!(!found.contains(&last));
}

fn a_second_writer_is_refused_by_name(backend: Backend) {
    let dir = tempfile::tempdir().unwrap();
    let bench = create(open(dir.path(), backend));
    let error = refused(open(dir.path(), backend), Expect::default());
    assert_eq!(error.kind(), FaultKind::Locked);
    let holder = format!("process {}", std::process::id());
    assert!(error.to_string().contains(&holder), "{error}");
    let child = |expected: &str| {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "disk::in_a_second_process", "--nocapture"])
            .env(CHILD_DIR, dir.path())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains(expected), "{text}");
    };
    child("second: Some(Locked)");
    assert!(verify(Arc::new(open(dir.path(), backend))).is_ok(), "a reader needs no lock");
    drop(bench);
    child("second: None");
}

/// Does nothing unless the test above starts it.
#[test]
fn in_a_second_process() {
    if let Some(dir) = std::env::var_os(CHILD_DIR) {
        let outcome = recover(open(Path::new(&dir), Backend::Auto), Expect::default());
        println!("second: {:?}", outcome.err().map(|e| e.kind()));
    }
}

fn directories_are_private_and_leftovers_go(backend: Backend) {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("journal");
    fs::create_dir(&place).unwrap();
    fs::write(place.join("notes.txt"), "mine").unwrap();
    let made = Journal::create(Arc::new(open(dir.path(), backend)), CONFIG, FRAME, &genesis(), &[]);
    let error = made.err().unwrap().to_string();
    assert!(error.contains("notes.txt"), "{error}");
    assert_eq!(fs::read(place.join("notes.txt")).unwrap(), b"mine");
    fs::remove_dir_all(&place).unwrap();

    drop(create(open(dir.path(), backend)));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&place), 0o700);
    for entry in fs::read_dir(&place).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
    let leftover = place.join("00000000000000000002.preparing");
    fs::write(&leftover, [0; 100]).unwrap();
    let (bench, _) = recover(open(dir.path(), backend), Expect::default()).unwrap();
    assert!(!leftover.exists());
    drop(bench);
    let absent = refused(FileStorage::new(dir.path().join("elsewhere")), Expect::default());
    assert_eq!(absent.kind(), FaultKind::Missing);
}

fn a_segment_has_one_writer(backend: Backend) {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(dir.path(), backend);
    storage.init().unwrap();
    storage.lock().unwrap();
    assert!(storage.prepare(1, 65_536, &[], &AT_ONCE).unwrap());
    assert!(matches!(open(dir.path(), backend).open_live(1), Err(StorageError::Writer { .. })));
    storage.open_live(1).map(drop).unwrap();
    assert!(matches!(storage.open_live(1), Err(StorageError::Writer { .. })));
    assert!(matches!(storage.prepare(1, 65_536, &[], &AT_ONCE), Err(StorageError::Writer { .. })));
}

fn a_segment_is_written_in_pieces_with_pauses_between_them(backend: Backend) {
    const LEN: u64 = 2 << 20;
    let dir = tempfile::tempdir().unwrap();
    let storage = open(dir.path(), backend);
    storage.init().unwrap();
    storage.lock().unwrap();
    let paused = Mutex::new(Vec::new());
    let note = |made| {
        paused.lock().unwrap().push(made);
        ControlFlow::Continue(())
    };
    assert!(storage.prepare(1, LEN, &[7; 4096], &note).unwrap());
    let paused = paused.into_inner().unwrap();
    assert!(paused.len() >= 3 && paused.is_sorted() && paused.last() < Some(&LEN), "{paused:?}");
    let mut bytes = vec![1; LEN as usize];
    storage.open_read(1, Source::Medium).unwrap().read_at(0, &mut bytes).unwrap();
    let (head, rest) = bytes.split_at(4096);
    assert!(head.iter().all(|&byte| byte == 7) && rest.iter().all(|&byte| byte == 0));
}

fn a_segment_that_is_given_up_leaves_nothing_behind(backend: Backend) {
    let dir = tempfile::tempdir().unwrap();
    let storage = Arc::new(open(dir.path(), backend));
    let config = journal::Config { segment_size: 2 << 20 };
    let journal = Journal::create(storage, config, FRAME, &genesis(), &[]).unwrap();
    let mut bench = Bench::new(journal);
    let files = || fs::read_dir(dir.path().join("journal")).unwrap().count();
    let before = files();
    assert!(!bench.preparer.prepare_when_due(&|| true).unwrap());
    assert!(bench.preparer.needed() && files() == before);
    assert!(bench.preparer.prepare_when_due(&|| false).unwrap());
    assert!(!bench.preparer.needed() && files() == before + 1);
}

fn another_segment_size_applies_to_the_next_segment(backend: Backend) {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = create(open(dir.path(), backend));
    bench.preparer.prepare().unwrap();
    bench.append(100).unwrap();
    drop(bench);
    let larger = journal::Config { segment_size: 128 * 1024 };
    let (journal, _) =
        Journal::recover(Arc::new(open(dir.path(), backend)), larger, Expect::default()).unwrap();
    let mut bench = Bench::new(journal);
    assert!(bench.preparer.prepare().unwrap(), "the old prepared one was not used");
    while bench.appender.last().segment == 1 {
        bench.append(10_000).unwrap();
    }
    assert_eq!(fs::metadata(open(dir.path(), backend).name(2)).unwrap().len(), 128 * 1024);
}

/// Bytes of every file of a journal, by name; the lock says who held it.
fn content(dir: &Path) -> BTreeMap<OsString, Vec<u8>> {
    let entries = fs::read_dir(dir.join("journal")).unwrap().map(Result::unwrap);
    let files = entries.map(|entry| (entry.file_name(), fs::read(entry.path()).unwrap()));
    files.filter(|(name, _)| name != "lock").collect()
}

#[test]
fn each_backend_makes_the_same_bytes() {
    let make = |backend| {
        let dir = tempfile::tempdir().unwrap();
        let mut bench = create(open(dir.path(), backend));
        for at in 0..60_usize {
            bench.preparer.prepare().unwrap();
            bench.append(at * 997 % 30_000).unwrap();
            if at % 7 == 0 {
                bench.syncer.sync().unwrap();
            }
        }
        bench.syncer.sync().unwrap();
        drop(bench);
        content(dir.path())
    };
    let (direct, mapped) = (make(Backend::Direct), make(Backend::Mapped));
    assert!(direct.len() > 5);
    assert!(direct == mapped);
}

/// Each takes over what another has left: a journal in order, a torn tail, a prepared segment.
#[test]
fn backends_take_turns_over_the_same_files() {
    let dir = tempfile::tempdir().unwrap();
    let mut model = records_of(&mut create(open(dir.path(), Backend::Mapped)), 5);
    let turns = [Backend::Direct, Backend::Mapped, Backend::Auto, Backend::Mapped];
    for (turn, backend) in turns.into_iter().cycle().take(8).enumerate() {
        let (mut bench, recovery) = recover(open(dir.path(), backend), Expect::default()).unwrap();
        assert_eq!(recovery.truncated.is_some(), turn > 0, "turn {turn}");
        model.extend(records_of(&mut bench, 20));
        let torn = bench.append(6_000).unwrap();
        bench.syncer.sync().unwrap();
        let (last, file) = (*bench.appender.last(), open(dir.path(), backend));
        drop(bench);
        let path = file.name(last.segment);
        let mut bytes = fs::read(&path).unwrap();
        bytes[last.offset as usize + 5_000] ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert!(!model.contains(&torn));
    }
    let (bench, _) = recover(open(dir.path(), Backend::Auto), Expect::default()).unwrap();
    drop(bench);
    let found = records(open(dir.path(), Backend::Auto));
    let commands: Vec<_> = found.into_iter().filter(|record| model.contains(record)).collect();
    assert!(commands == model, "{} of {}", commands.len(), model.len());
}

fn records_of(bench: &mut Bench, count: usize) -> Vec<Record> {
    let mut made = Vec::new();
    for at in 0..count {
        bench.preparer.prepare().unwrap();
        made.push(bench.append(at * 1_709 % 20_000).unwrap());
        if at % 4 == 3 || at + 1 == count {
            bench.syncer.sync().unwrap();
        }
    }
    made
}
