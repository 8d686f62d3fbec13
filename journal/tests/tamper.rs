//! Blocks and segments in the wrong place, other frames, newer programs.
//!
//! Refuses plausible-looking histories. Invariant: each case has its own error, and the journal's
//! bytes are as before.

use std::sync::Arc;

use journal::{Expect, FaultKind, Flaw, HEADER_LEN, MemoryStorage, RecordHeader, RecoverError};
use journal::{Storage, at};

use crate::kit::{Bench, CONFIG, FRAME, create, genesis, records, recover, refused, small};

const BLOCK: usize = 4096;

fn swap_blocks(disk: &MemoryStorage, number: u64, a: usize, b: usize) {
    let mut image = disk.image(number).unwrap();
    for at in 0..BLOCK {
        image.swap(a * BLOCK + at, b * BLOCK + at);
    }
    disk.put(number, image);
}

#[test]
fn swapped_and_copied_blocks_are_refused() {
    let (disk, _) = small(6);
    for (a, b) in [(0, 1), (1, 2), (2, 5), (5, 6), (6, 7), (3, 12)] {
        let copy = disk.copy();
        swap_blocks(&copy, 1, a, b);
        let error = refused(copy, Expect::default());
        assert_eq!(error.kind(), FaultKind::Corrupt, "blocks {a} and {b}: {error}");
    }
    for (from, to) in [(1, 2), (2, 1), (5, 6), (3, 8)] {
        let copy = disk.copy();
        let mut image = copy.image(1).unwrap();
        image.copy_within(from * BLOCK..(from + 1) * BLOCK, to * BLOCK);
        copy.put(1, image);
        let error = refused(copy, Expect::default());
        assert_eq!(error.kind(), FaultKind::Corrupt, "block {from} over {to}: {error}");
    }
}

#[test]
fn missing_segments_are_named() {
    let (disk, _) = small(40);
    let copy = disk.copy();
    copy.remove(2).unwrap();
    let error = refused(copy.copy(), Expect::default());
    assert_eq!(error.kind(), FaultKind::Missing);
    assert!(error.to_string().contains("segment 2 is missing"), "{error}");
    copy.remove(1).unwrap();
    let error = refused(copy, Expect::default());
    assert_eq!(error.kind(), FaultKind::Missing);
    assert!(error.to_string().contains("segment 3 is the oldest"), "{error}");
    let empty = refused(MemoryStorage::new(), Expect::default());
    assert!(matches!(empty, RecoverError::NoJournal { .. }));
    let last = disk.copy();
    last.remove(4).unwrap();
    last.remove(3).unwrap();
    let floor = Expect { durable_index_floor: 40, ..Expect::default() };
    assert_eq!(refused(last, floor).kind(), FaultKind::Corrupt, "only the floor can tell");
}

#[test]
fn swapped_and_duplicated_segments_are_named() {
    let (disk, _) = small(40);
    let (one, two) = (disk.image(1).unwrap(), disk.image(2).unwrap());
    let swapped = disk.copy();
    swapped.put(1, two.clone());
    swapped.put(2, one.clone());
    let error = refused(swapped, Expect::default());
    assert!(matches!(error, RecoverError::SwappedSegment { expected: 1, found: 2, .. }), "{error}");
    let doubled = disk.copy();
    doubled.put(2, one);
    let error = refused(doubled, Expect::default());
    assert!(matches!(error, RecoverError::SwappedSegment { expected: 2, found: 1, .. }), "{error}");
    let behind = disk.copy();
    behind.put(4, two);
    let error = recover(behind.clone(), Expect::default());
    assert!(error.is_ok(), "an old segment where nothing is due yet is removed");
    assert_ne!(behind.image(4), disk.image(2));
}

#[test]
fn yesterdays_segment_is_refused() {
    let disk = MemoryStorage::new();
    let mut bench = create(disk.clone());
    bench.append(64).unwrap();
    bench.syncer.sync().unwrap();
    let yesterday = disk.image(1).unwrap();
    let mut sealed = false;
    while !sealed {
        bench.preparer.prepare().unwrap();
        bench.append(3_000).unwrap();
        bench.syncer.sync().unwrap();
        sealed = bench.appender.last().segment == 2;
    }
    bench.append(64).unwrap();
    bench.syncer.sync().unwrap();
    disk.put(1, yesterday);
    assert_eq!(refused(disk, Expect::default()).kind(), FaultKind::Corrupt);
}

#[test]
fn another_frame_is_refused() {
    let (disk, before) = small(2);
    let expect = Expect { frame: Some(FRAME + 1), ..Expect::default() };
    let error = refused(disk.clone(), expect);
    assert_eq!(error.kind(), FaultKind::WrongFrame);
    assert_eq!(records(disk.clone()), before);
    recover(disk.copy(), Expect { frame: Some(FRAME), ..Expect::default() }).unwrap();
    let other = MemoryStorage::new();
    let made =
        journal::Journal::create(Arc::new(other.clone()), CONFIG, FRAME + 1, &genesis(), &[]);
    let mut bench = Bench::new(made.unwrap());
    bench.append(64).unwrap();
    let mut image = disk.image(1).unwrap();
    image[BLOCK..2 * BLOCK].copy_from_slice(&other.image(1).unwrap()[BLOCK..2 * BLOCK]);
    disk.put(1, image);
    assert_eq!(refused(disk, Expect::default()).kind(), FaultKind::WrongFrame);
}

/// Changes a header field and makes the header's own hash right again.
fn forge(disk: &MemoryStorage, block: usize, field: usize, bytes: &[u8]) {
    let mut image = disk.image(1).unwrap();
    let header = &mut image[block * BLOCK..block * BLOCK + HEADER_LEN as usize];
    header[field..field + bytes.len()].copy_from_slice(bytes);
    let hash = blake3::hash(&header[..at::HASH]);
    header[at::HASH..].copy_from_slice(hash.as_bytes());
    RecordHeader::parse(header).unwrap();
    disk.put(1, image);
}

#[test]
fn newer_format_and_rules_are_refused_as_such() {
    let (disk, _) = small(2);
    let newer = disk.copy();
    forge(&newer, 2, at::FORMAT, &2_u16.to_le_bytes());
    let error = refused(newer, Expect::default());
    assert_eq!(error.kind(), FaultKind::Format);
    assert!(error.to_string().contains("format 2 is newer than 1"), "{error}");
    let newer = disk.copy();
    forge(&newer, 2, at::RULES, &9_u32.to_le_bytes());
    let error = refused(newer, Expect { rules_max: 8, ..Expect::default() });
    assert!(error.to_string().contains("rules 9 is newer than 8"), "{error}");
}

#[test]
fn impossible_headers_are_refused() {
    let (disk, _) = small(2);
    let forgeries: [(usize, &[u8]); 9] = [
        (at::KIND, &[1, 0]),
        (at::KIND, &[77, 0]),
        (at::FIRST_SEQUENCE, &[3]),
        (at::PAYLOAD_LEN, &[1]),
        (at::PAYLOAD_LEN, &[0, 0, 0x3f, 0]),
        (at::TIMESTAMP_NS, &[0]),
        (at::DURABLE_INDEX, &[3]),
        (at::RESERVED_A, &[1]),
        (at::INDEX, &[9]),
    ];
    for (field, bytes) in forgeries {
        let copy = disk.copy();
        forge(&copy, 2, field, bytes);
        let RecoverError::Corrupt(damage) = refused(copy, Expect::default()) else {
            panic!("field at {field} is corrupt")
        };
        assert!(matches!(damage.flaw, Flaw::Field(_) | Flaw::Index(_)), "{damage}");
        assert_eq!((damage.offset, damage.index), (8_192, 3));
    }
}

#[test]
fn a_rewritten_record_breaks_the_chain_behind_it() {
    let (disk, _) = small(3);
    forge(&disk, 1, at::RUN_DIGEST, &[9]);
    let RecoverError::Corrupt(damage) = refused(disk, Expect::default()) else {
        panic!("a rewritten record is corrupt")
    };
    assert_eq!((damage.flaw, damage.offset, damage.index), (Flaw::Chain, 8_192, 3));
}
