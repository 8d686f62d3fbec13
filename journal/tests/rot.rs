//! Bit rot: every byte of a small journal, one at a time.
//!
//! Refuses "a little shorter". Invariant: the outcome is the identical history or a refusal.

use journal::{Expect, FaultKind, MemoryStorage, Reader};

use crate::kit::{create, records, recover, refused, small};

const BLOCK: u64 = 4096;

#[test]
fn every_flipped_byte_is_harmless_or_refused() {
    let (disk, before) = small(2);
    let acked = before.len() as u64 - 1;
    for at in 0..acked * BLOCK {
        let copy = disk.copy();
        copy.flip(1, at, 1 << (at % 8));
        let error = refused(copy, Expect::default());
        assert_eq!(error.kind(), FaultKind::Corrupt, "byte {at}: {error}");
    }
    // The last record only says that the others are durable; behind it there is nothing.
    for at in (acked * BLOCK..(acked + 1) * BLOCK).chain(((acked + 1) * BLOCK..65_536).step_by(61))
    {
        let copy = disk.copy();
        copy.flip(1, at, 0x80);
        recover(copy.clone(), Expect::default()).unwrap();
        let found = records(copy);
        assert!(found.len() as u64 >= acked, "byte {at}");
        assert_eq!(found[..], before[..found.len()], "byte {at}");
    }
}

#[test]
fn rot_in_a_sealed_segment_is_refused() {
    let (disk, before) = small(40);
    assert!(disk.image(4).is_some(), "three segments and one ahead");
    for at in (0..65_536).step_by(509) {
        for number in 1..=2 {
            let copy = disk.copy();
            copy.flip(number, at, 0x10);
            match recover(copy.clone(), Expect::default()) {
                Ok(_) => assert_eq!(records(copy), before, "segment {number} byte {at}"),
                Err(error) => assert_eq!(error.kind(), FaultKind::Corrupt, "{error}"),
            }
        }
    }
}

#[test]
fn the_refusal_names_file_offset_index_and_sequence() {
    let (disk, _) = small(4);
    disk.flip(1, 2 * BLOCK + 300, 1);
    let text = refused(disk.clone(), Expect::default()).to_string();
    for part in ["memory segment 1", "offset 8192", "record 3", "sequence 11", "payload"] {
        assert!(text.contains(part), "{part:?} is in {text:?}");
    }
    let mut reader = Reader::open(std::sync::Arc::new(disk), 1).unwrap();
    assert!(reader.next().unwrap().is_some());
    assert!(reader.next().unwrap().is_some());
    assert!(reader.next().is_err(), "a reader refuses it too");
}

#[test]
fn a_floor_from_outside_protects_the_last_record() {
    let disk = MemoryStorage::new();
    let mut bench = create(disk.clone());
    bench.append(64).unwrap();
    let acked = bench.syncer.sync().unwrap();
    disk.flip(1, BLOCK + 256, 1);
    let floor = Expect { durable_index_floor: acked, ..Expect::default() };
    let error = refused(disk.copy(), floor);
    assert_eq!(error.kind(), FaultKind::Corrupt);
    assert!(error.to_string().contains("outside"), "{error}");
    // The lost record held the sequences 1 to 4.
    for sequence in [1, 4] {
        let floor = Expect { durable_sequence_floor: sequence, ..Expect::default() };
        assert_eq!(refused(disk.copy(), floor).kind(), FaultKind::Corrupt);
    }
    let (_, recovery) = recover(disk, Expect::default()).unwrap();
    assert_eq!(recovery.last.index, acked - 1, "without it, this is a torn tail");
    assert_eq!(recovery.truncated.unwrap().index, acked);
}

#[test]
fn a_sequence_floor_that_is_met_refuses_nothing() {
    let (disk, _) = small(2);
    let met = Expect { durable_sequence_floor: 20, ..Expect::default() };
    let (_, recovery) = recover(disk.copy(), met).unwrap();
    assert_eq!(recovery.next_sequence, 21);
    let beyond = Expect { durable_sequence_floor: 21, ..Expect::default() };
    assert_eq!(refused(disk, beyond).kind(), FaultKind::Corrupt);
}
