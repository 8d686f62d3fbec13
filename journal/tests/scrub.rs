//! Rot in sealed segments is found while the journal runs.
//!
//! Refuses to look at what may still be torn. Invariant: a pass verifies each sealed record once.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use journal::{
    Backend, FaultKind, FileStorage, MemoryStorage, ReadError, RecoverError, Scrub, Scrubbed,
    Storage, retire,
};

use crate::kit::{create, on_each_backend, small};

const BLOCK: u64 = 4096;

/// One pass in steps of at least `bytes`: records, and what was wrong.
fn pass(scrub: &mut Scrub, bytes: u64) -> (u64, Vec<ReadError>) {
    let (mut records, mut errors) = (0, Vec::new());
    for _ in 0..10_000 {
        match scrub.step(bytes) {
            Ok(step) => {
                records += step.records;
                assert!(step.has_finished_pass || step.bytes >= bytes, "a step does its share");
                if step.has_finished_pass {
                    return (records, errors);
                }
            }
            Err(error) => errors.push(error),
        }
    }
    panic!("a pass ends")
}

#[test]
fn sealed_segments_are_read_round_and_round() {
    let (disk, _) = small(40);
    for bytes in [1, BLOCK, 5 * BLOCK, 16 * BLOCK, 1 << 30] {
        let mut scrub = Scrub::new(Arc::new(disk.clone()));
        for _ in 0..3 {
            let (records, errors) = pass(&mut scrub, bytes);
            assert_eq!((records, errors.len()), (32, 0), "segments 1 and 2");
        }
    }
    let (disk, _) = small(3);
    let step = Scrub::new(Arc::new(disk)).step(BLOCK).unwrap();
    assert_eq!(step, Scrubbed { has_finished_pass: true, ..Scrubbed::default() });
}

#[test]
fn a_flipped_byte_is_named_and_the_rest_is_read_too() {
    let (disk, _) = small(100);
    for (number, offset) in [(1, 70), (1, 3 * BLOCK + 300), (4, 20), (5, 15 * BLOCK + 3)] {
        let copy = disk.copy();
        copy.flip(number, offset, 0x20);
        copy.flip(6, 2 * BLOCK + 260, 1);
        let mut scrub = Scrub::new(Arc::new(copy.clone()));
        for _ in 0..2 {
            let (_, errors) = pass(&mut scrub, 3 * BLOCK);
            let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
            assert_eq!(texts.len(), 2, "{texts:?}");
            assert!(errors.iter().all(|error| error.kind() == FaultKind::Corrupt));
            assert!(texts[0].contains(&format!("memory segment {number} ")), "{texts:?}");
            if let RecoverError::Corrupt(damage) = &errors[0] {
                assert_eq!(damage.offset, offset / BLOCK * BLOCK);
            }
            assert!(texts[1].contains("memory segment 6 at offset 8192"), "{texts:?}");
        }
    }
}

#[test]
fn the_live_segment_is_left_alone() {
    let (disk, _) = small(40);
    disk.flip(3, 2 * BLOCK + 300, 1);
    let (records, errors) = pass(&mut Scrub::new(Arc::new(disk)), BLOCK);
    assert_eq!((records, errors.len()), (32, 0));
}

#[test]
fn a_seal_that_nobody_knows_to_be_durable_is_left_alone() {
    let disk = MemoryStorage::new();
    let mut bench = create(disk.clone());
    bench.preparer.prepare().unwrap();
    while bench.appender.last().segment == 1 {
        bench.append(100).unwrap();
    }
    let scrub = || pass(&mut Scrub::new(Arc::new(disk.clone())), BLOCK).0;
    assert_eq!(scrub(), 0);
    bench.syncer.sync().unwrap();
    assert_eq!(scrub(), 0, "no record says so yet");
    bench.append(100).unwrap();
    assert_eq!(scrub(), 16);
}

#[test]
fn retention_may_remove_what_is_being_read() {
    let (disk, all) = small(200);
    let last = all.len() as u64;
    for (before, keep_from) in [(0, 40), (3, 40), (16, 17), (20, 100), (40, last), (90, last)] {
        let copy = disk.copy();
        let mut scrub = Scrub::new(Arc::new(copy.clone()));
        let mut records = 0;
        while records < before {
            records += scrub.step(BLOCK).unwrap().records;
        }
        retire(&copy, keep_from).unwrap();
        let oldest = copy.list().unwrap()[0];
        let mut finished = false;
        for _ in 0..400 {
            let step = scrub.step(BLOCK).unwrap();
            finished |= step.has_finished_pass;
        }
        assert!(finished, "with {before} records read and segments from {oldest} left");
        let (records, errors) = pass(&mut scrub, 1 << 30);
        assert!(errors.is_empty());
        assert!(records <= 16 * (copy.list().unwrap().len() as u64 - 2));
    }
}

#[test]
fn what_cannot_be_read_is_passed_over_once_told() {
    let (disk, _) = small(100);
    disk.fail_read(3, 8_192..8_704);
    let mut scrub = Scrub::new(Arc::new(disk.clone()));
    let (_, errors) = pass(&mut scrub, 1 << 30);
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].kind(), FaultKind::Io);
    // A segment lost between others is no work of retention.
    disk.remove(4).unwrap();
    let error = scrub.step(BLOCK).unwrap_err();
    assert!(matches!(error, RecoverError::MissingSegment { .. }), "{error}");
}

on_each_backend!(files_are_read_from_the_medium);

fn files_are_read_from_the_medium(backend: Backend) {
    let dir = tempfile::tempdir().unwrap();
    let open = || FileStorage::with_backend(dir.path().join("journal"), backend);
    let mut bench = create(open());
    for at in 0..60_usize {
        bench.preparer.prepare().unwrap();
        bench.append(at * 997 % 30_000).unwrap();
        bench.syncer.sync().unwrap();
    }
    let mut scrub = Scrub::new(Arc::new(open()));
    let (records, errors) = pass(&mut scrub, 100_000);
    assert!(records > 30 && errors.is_empty());
    let file = OpenOptions::new().write(true).open(open().name(2)).unwrap();
    file.write_all_at(b"rot", 5_000).unwrap();
    let (_, errors) = pass(&mut scrub, 100_000);
    assert_eq!(errors.len(), 1);
    assert!(errors[0].to_string().contains("00000000000000000002.segment"), "{}", errors[0]);
    retire(&open(), bench.appender.last().index - 1).unwrap();
    let (_, errors) = pass(&mut scrub, 100_000);
    assert!(errors.is_empty(), "the rotten one is gone");
}
