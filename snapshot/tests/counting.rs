//! What counts as a snapshot, and what is removed on the word of those that do.
//! Invariant: a file that does not count is never removed and never lets another one go.

use snapshot::{Catalogue, MemoryFiles, Pruning, SnapshotError};

use crate::disk::{body, catalogue, take};

fn indexes(catalogue: &Catalogue) -> Vec<u64> {
    let verified = catalogue.verified().expect("the directory can be read");
    verified.into_iter().map(|meta| meta.index).collect()
}

#[test]
fn what_is_rejected_counts_only_when_it_is_taken_anew() {
    let disk = MemoryFiles::new();
    let catalogue = catalogue(&disk);
    let names: Vec<_> = [10, 20, 30, 40].map(|at| take(&catalogue, at, &body(90)).unwrap()).into();
    let all = indexes(&catalogue);
    catalogue.distrust(&names[0]);
    assert_eq!(indexes(&catalogue), all[..3]);
    catalogue.verify(&names[0]).unwrap();
    assert_eq!(indexes(&catalogue), all, "its hashes are right");
    catalogue.reject(&names[3]);
    for _ in 0..2 {
        assert_eq!(indexes(&catalogue), all[1..]);
        catalogue.trust(&names[3]);
        catalogue.verify(&names[3]).expect("its hashes are right");
    }
    let pruned = catalogue.prune(u64::MAX).unwrap();
    assert_eq!(pruned.kept, [names[2].clone(), names[1].clone()], "two that count stay");
    assert_eq!(pruned.removed, names[..1]);
    let [(name, SnapshotError::Unusable { .. })] = &pruned.suspect[..] else {
        panic!("{:?}", pruned.suspect)
    };
    assert!(*name == names[3] && disk.names().contains(name));
    take(&catalogue, 40, &body(91)).unwrap();
    assert_eq!(indexes(&catalogue), all[..3]);
}

#[test]
fn what_the_journal_does_not_meet_or_nobody_has_read_is_left_alone() {
    let disk = MemoryFiles::new();
    let full = catalogue(&disk);
    let names: Vec<_> = [10, 20, 30, 40, 50].map(|at| take(&full, at, &body(90)).unwrap()).into();
    let indexes = indexes(&full);
    // The journal begins behind the second: three count, and the last of them is the base.
    let first = indexes[3] + 2;
    let pruning = Pruning { floor: indexes[3], first, is_unknown_read: false };
    let pruned = full.prune_with(pruning).unwrap();
    assert_eq!(pruned.kept, [names[4].clone(), names[3].clone(), names[2].clone()]);
    assert!(pruned.removed.is_empty() && pruned.suspect.is_empty());
    assert_eq!(disk.names().len(), 5);
    let fresh = catalogue(&disk);
    fresh.verify(&names[4]).unwrap();
    let pruning = Pruning { floor: u64::MAX, first: 0, is_unknown_read: false };
    let pruned = fresh.prune_with(pruning).unwrap();
    assert_eq!((pruned.kept, pruned.removed.len()), (vec![names[4].clone()], 0));
    assert_eq!(fresh.prune(u64::MAX).unwrap().removed.len(), 3, "told to, it reads them");
}

#[test]
fn a_name_is_durable_before_anything_goes_on_its_word() {
    let mut met = 0;
    for steps in 0..12 {
        let disk = MemoryFiles::new();
        let old: Vec<_> = [10, 20].map(|at| take(&catalogue(&disk), at, &body(90)).unwrap()).into();
        // Another process is ended while it takes one.
        disk.stop_after(Some(steps));
        let _ended_or_not = take(&catalogue(&disk), 30, &body(90));
        disk.stop_after(None);
        let names = disk.names();
        let Some(new) = names.iter().find(|name| name.contains("30-")) else {
            continue;
        };
        for floor in [0, u64::MAX] {
            for seed in 0..24 {
                let copy = disk.copy();
                let pruned = catalogue(&copy).prune(floor).unwrap();
                assert_eq!(&pruned.kept[0], new);
                copy.crash(seed);
                let left = copy.names();
                assert!(left.contains(new) && left.contains(&old[1]), "{steps}, {seed}: {left:?}");
                met += 1;
            }
        }
    }
    assert!(met > 48, "one of them was not durable");
}
