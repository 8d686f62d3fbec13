//! Writes that land elsewhere: every block over every other, every segment over every other.
//!
//! Refuses a third outcome. Invariant: what was acknowledged is found unchanged, or the start is
//! refused.

use journal::{Expect, FaultKind, MemoryStorage, Storage};

use crate::kit::{Record, SEGMENT, base, behind, create, records, recover, replayed, small};

const BLOCK: u64 = 4096;

/// Recovers from the beginning and behind record `index`; says whether both were refused.
fn judge(disk: &MemoryStorage, all: &[Record], index: u64, what: &str) -> bool {
    // The last record only says that the others are durable.
    let acked = all.len() - 1;
    let known = base(all, index);
    let (whole, late) = (disk.copy(), disk.copy());
    let is_whole = match replayed(whole.clone(), Expect::default()) {
        Ok((seen, _)) => {
            assert!(seen.len() >= acked, "{what}: {} records", seen.len());
            assert_eq!(seen[..], all[..seen.len()], "{what}");
            assert_eq!(records(whole), seen, "{what}: what was shown is what is left");
            true
        }
        Err(error) => {
            assert_eq!(error.kind(), FaultKind::Corrupt, "{what}: {error}");
            false
        }
    };
    let is_late = match replayed(late, behind(known)) {
        Ok((seen, _)) => {
            let from = index as usize;
            assert!(from + seen.len() >= acked, "{what}: {} records", seen.len());
            assert_eq!(seen[..], all[from..from + seen.len()], "{what}");
            true
        }
        Err(error) => {
            assert_eq!(error.kind(), FaultKind::Corrupt, "{what}: {error}");
            false
        }
    };
    assert!(is_late || !is_whole, "{what}: a start that reads less refuses no more");
    !is_whole && !is_late
}

#[test]
fn every_block_over_every_other() {
    let (disk, all) = small(20);
    let blocks = |number| (0..SEGMENT / BLOCK).map(move |at| (number, at * BLOCK));
    let places: Vec<_> = (1..=3).flat_map(blocks).collect();
    let mut refused = 0;
    for &from in &places {
        for &to in &places {
            let copy = disk.copy();
            if copy.misdirect(from, to, BLOCK) {
                let index = 1 + (from.1 + to.1) / BLOCK % 22;
                let what = format!("{from:?} over {to:?} behind {index}");
                refused += u64::from(judge(&copy, &all, index, &what));
            }
        }
    }
    assert!(refused > 300, "{refused}");
}

#[test]
fn parts_of_long_records_over_others() {
    let disk = MemoryStorage::new();
    let mut bench = create(disk.clone());
    for at in 0..18_usize {
        bench.preparer.prepare().unwrap();
        bench.append(at * 1_777 % 14_000).unwrap();
        bench.syncer.sync().unwrap();
    }
    bench.blank();
    bench.syncer.sync().unwrap();
    let (live, blank) = (bench.appender.last().segment, bench.appender.last().offset);
    drop(bench);
    let all = records(disk.clone());
    let last = *disk.list().unwrap().last().unwrap();
    for step in 0..1_500_u64 {
        let place = |draw: u64| (1 + draw % last, draw / last * 512 % SEGMENT);
        let (from, to) = (place(step * 7_919), place(step * 104_729 + step / 11));
        let len = [512, 4_096, 12_288][step as usize % 3].min(SEGMENT - from.1.max(to.1));
        // One write that takes the last records and the blank that vouches for them.
        let takes_both = to.0 == live && to.1 < blank && to.1 + len > blank;
        let copy = disk.copy();
        if !takes_both && copy.misdirect(from, to, len) {
            let index = 1 + step % (all.len() as u64 - 1);
            judge(&copy, &all, index, &format!("{len} bytes of {from:?} over {to:?}"));
        }
    }
}

#[test]
fn every_segment_over_every_other() {
    let (disk, all) = small(40);
    for from in 1..=4 {
        for to in 1..=4 {
            for index in [2, 20, 36] {
                let copy = disk.copy();
                if !copy.misdirect((from, 0), (to, 0), SEGMENT) {
                    continue;
                }
                let what = format!("{from} over {to} behind {index}");
                // A blank segment over the last one with records is a journal that ends before
                // it: only who knows better can tell.
                let is_cut_off = from == 4 && to == 3;
                if !is_cut_off {
                    judge(&copy, &all, index, &what);
                    continue;
                }
                assert_eq!(recover(copy.copy(), Expect::default()).unwrap().1.last.index, 32);
                let known = Expect { durable_index_floor: 40, ..behind(base(&all, index)) };
                let error = recover(copy, known).err().unwrap();
                assert_eq!(error.kind(), FaultKind::Corrupt, "{what}: {error}");
            }
        }
    }
}

#[test]
fn a_pending_write_hides_what_lies_below_until_it_is_lost() {
    let disk = MemoryStorage::new();
    let mut bench = create(disk.clone());
    bench.append(160).unwrap();
    let durable = bench.syncer.sync().unwrap();
    let all = records(disk.clone());
    bench.append(160).unwrap();
    assert!(disk.misdirect((1, 0), (1, 2 * BLOCK), BLOCK));
    assert_eq!(records(disk.clone()).len(), 3, "the cache has the record");
    bench.syncer.sync().unwrap();
    assert!(!disk.misdirect((7, 0), (1, 0), BLOCK) && !disk.misdirect((1, 0), (7, 0), BLOCK));
    assert!(!disk.misdirect((1, 0), (1, SEGMENT), BLOCK) && !disk.misdirect((1, 0), (1, 0), 512));
    disk.crash(1);
    assert_eq!(records(disk.clone())[..durable as usize], all[..]);
    assert_eq!(records(disk).len(), 3, "and a sync puts it where it belongs");
}
