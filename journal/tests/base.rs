//! Recovery behind a snapshot's record: the same end as from the genesis, read from its segment.
//!
//! Refuses a record of another history. Invariant: whatever base is accepted, what is shown is
//! exactly the records behind it.

use std::sync::Arc;

use journal::{Base, Evidence, Expect, FaultKind, MemoryStorage, RecoverError, Storage, segments};

use crate::kit::{base, behind, create, records, recover, refused, replayed, small};

const BLOCK: u64 = 4096;

/// Segments 1 and 2 are sealed with 16 records each, 3 is live, 4 prepared.
fn three_segments() -> (MemoryStorage, Vec<crate::kit::Record>) {
    let (disk, all) = small(40);
    let begins: Vec<_> = segments(&disk).unwrap().iter().map(|s| s.first.index).collect();
    assert_eq!((begins, all.len()), (vec![1, 17, 33], 44));
    (disk, all)
}

#[test]
fn every_base_leads_to_the_same_end() {
    let (disk, all) = three_segments();
    let (_, whole) = replayed(disk.copy(), Expect::default()).unwrap();
    for index in 1..=all.len() as u64 {
        let (seen, recovery) = replayed(disk.copy(), behind(base(&all, index))).unwrap();
        assert_eq!(seen, all[index as usize..], "behind record {index}");
        assert_eq!((recovery.last, recovery.next_sequence), (whole.last, whole.next_sequence));
        assert_eq!(recovery.records, all.len() as u64 - index);
        assert_eq!(recovery.first.index, (index - 1) / 16 * 16 + 1, "its segment is read whole");
    }
}

#[test]
fn a_journal_goes_on_behind_a_base() {
    let (disk, mut all) = three_segments();
    for index in [3, 20, 40] {
        let (mut bench, _) = recover(disk.clone(), behind(base(&all, index))).unwrap();
        bench.append(700).unwrap();
        bench.syncer.sync().unwrap();
        drop(bench);
        let found = records(disk.clone());
        assert_eq!(found[..all.len()], all[..]);
        assert_eq!(found.len(), all.len() + 1);
        all = found;
    }
}

#[test]
fn segments_before_the_base_are_not_read() {
    let (disk, all) = three_segments();
    disk.put(1, vec![0xff; 65_536]);
    disk.fail_read(2, 0..65_536);
    let (seen, recovery) = replayed(disk.clone(), behind(base(&all, 34))).unwrap();
    assert_eq!((&seen[..], recovery.segments), (&all[34..], 1));
    let error = refused(disk.clone(), behind(base(&all, 32)));
    assert_eq!(error.kind(), FaultKind::Io);
    // They have to be there all the same.
    disk.remove(2).unwrap();
    let error = refused(disk, behind(base(&all, 34)));
    assert!(matches!(error, RecoverError::MissingSegment { .. }), "{error}");
}

#[test]
fn another_history_is_refused() {
    let (disk, all) = three_segments();
    let before: Vec<_> = (1..=4).map(|number| disk.image(number)).collect();
    for index in [1, 2, 17, 32, 33, 44] {
        let mut other = base(&all, index);
        other.hash[31] ^= 1;
        let error = refused(disk.clone(), behind(other));
        let RecoverError::OtherHistory { file, offset, index: found } = &error else {
            panic!("{error}")
        };
        assert_eq!((*offset, *found), ((index - 1) % 16 * BLOCK, index));
        assert_eq!(*file, format!("memory segment {}", (index - 1) / 16 + 1));
        assert_eq!(error.kind(), FaultKind::Corrupt);
    }
    assert_eq!((1..=4).map(|number| disk.image(number)).collect::<Vec<_>>(), before);
}

#[test]
fn a_journal_that_ends_before_its_base_is_refused() {
    let (disk, all) = three_segments();
    let beyond = Base { index: 45, hash: all[43].0 };
    let RecoverError::Corrupt(damage) = refused(disk.copy(), behind(beyond)) else {
        panic!("record 45 was durable")
    };
    assert_eq!((damage.index, damage.evidence), (45, Evidence::Floor { durable_index: 45 }));
    // The base's own record is the last one, and rotten.
    disk.flip(3, 11 * BLOCK + 8, 1);
    let RecoverError::Corrupt(damage) = refused(disk.copy(), behind(base(&all, 44))) else {
        panic!("record 44 was durable")
    };
    assert_eq!((damage.index, damage.offset), (44, 11 * BLOCK));
    let (seen, recovery) = replayed(disk, behind(base(&all, 43))).unwrap();
    assert!(seen.is_empty());
    assert_eq!((recovery.last.index, recovery.records), (43, 0));
    assert_eq!(recovery.truncated.unwrap().index, 44, "without a base behind it, it is torn");
}

#[test]
fn damage_between_the_base_and_the_end_is_refused() {
    let (disk, all) = three_segments();
    for (index, segment, block) in [(3, 1, 7), (3, 2, 0), (18, 2, 9), (18, 3, 0), (35, 3, 4)] {
        let copy = disk.copy();
        copy.flip(segment, block * BLOCK + 40, 4);
        let RecoverError::Corrupt(damage) = refused(copy, behind(base(&all, index))) else {
            panic!("a damaged record is corrupt")
        };
        assert_eq!(damage.file, format!("memory segment {segment}"));
        assert_eq!(damage.offset, block * BLOCK);
    }
}

#[test]
fn without_its_first_segments_a_journal_needs_a_base() {
    let (disk, all) = three_segments();
    disk.remove(1).unwrap();
    let shortened = |error: RecoverError| {
        assert_eq!(error.kind(), FaultKind::Missing);
        let text = error.to_string();
        assert!(text.contains("memory segment 2 is the oldest"), "{text}");
        assert!(text.contains("begins at record 17") && text.contains("of record 16 or"), "{text}");
        assert!(matches!(error, RecoverError::Shortened { first_index: 17, .. }));
    };
    shortened(refused(disk.copy(), Expect::default()));
    for index in [1, 15] {
        shortened(refused(disk.copy(), behind(base(&all, index))));
    }
    for index in 16..=44 {
        let (seen, _) = replayed(disk.copy(), behind(base(&all, index))).unwrap();
        assert_eq!(seen, all[index as usize..]);
    }
    // Record 16 is gone; the link of record 17 still tells whether it is the same.
    let other = Base { index: 16, hash: all[14].0 };
    assert!(matches!(
        refused(disk.copy(), behind(other)),
        RecoverError::OtherHistory { index: 16, offset: 0, .. }
    ));
    disk.remove(3).unwrap();
    let gap = refused(disk, behind(base(&all, 20)));
    assert!(matches!(gap, RecoverError::MissingSegment { .. }), "{gap}");
}

#[test]
fn an_oldest_segment_that_cannot_be_begun_with_is_refused() {
    let (disk, all) = three_segments();
    disk.remove(1).unwrap();
    let before = disk.image(2);
    for (at, mask) in [(0, 1), (300, 1)] {
        let copy = disk.copy();
        copy.flip(2, at, mask);
        for index in [16, 20] {
            let error = refused(copy.copy(), behind(base(&all, index)));
            assert_eq!(error.kind(), FaultKind::Corrupt, "{error}");
            assert!(error.to_string().contains("memory segment 2"), "{error}");
        }
    }
    // Nothing but its torn first record.
    let alone = MemoryStorage::new();
    let mut image = before.unwrap();
    image[4_096..].fill(0);
    image[300] ^= 1;
    alone.put(2, image.clone());
    let error = refused(alone.copy(), behind(base(&all, 16)));
    assert!(matches!(error, RecoverError::NoBeginning { .. }), "{error}");
    assert_eq!(alone.image(2), Some(image), "nothing was changed");
    alone.put(2, disk.image(3).unwrap());
    let error = refused(alone, behind(base(&all, 20)));
    assert!(matches!(error, RecoverError::SwappedSegment { found: 3, expected: 2, .. }), "{error}");
}

#[test]
fn a_torn_tail_is_cut_off_behind_a_base() {
    let disk = MemoryStorage::new();
    let mut bench = create(disk.clone());
    for _ in 0..20 {
        bench.append(160).unwrap();
        bench.preparer.prepare().unwrap();
    }
    let durable = bench.syncer.sync().unwrap();
    let all = records(disk.clone());
    bench.append(9_000).unwrap();
    drop(bench);
    disk.flip(2, 12_000 + BLOCK * 5, 1);
    let last = base(&all, durable);
    let (bench, recovery) = recover(disk.clone(), behind(last)).unwrap();
    assert_eq!((recovery.last.index, recovery.last.hash), (last.index, last.hash));
    assert_eq!(recovery.truncated.unwrap().index, durable + 1);
    drop(bench);
    assert_eq!(records(disk), all);
}

#[test]
fn a_frame_that_was_named_is_asked_for() {
    let (disk, all) = three_segments();
    let expect = Expect { frame: Some(1), ..behind(base(&all, 20)) };
    assert_eq!(refused(disk.clone(), expect).kind(), FaultKind::WrongFrame);
    let reader = journal::Reader::open(Arc::new(disk), 1);
    assert!(reader.is_ok(), "a refusal changes nothing");
}
