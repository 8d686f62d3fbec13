//! A start gives the same frame whatever it begins with, and begins with the newest that it can
//! believe; when there is nothing to begin with, it says what was tried.

use std::sync::Arc;

use journal::{RecoverError, Storage as _, StorageError, retire};
use pipeline::{Met, Sources, StartError, recover};
use protocol::Sequence;

use crate::medium::Medium;
use crate::rig::SEGMENT;
use crate::shelf::{OPTIONS, Shelf, digests};

#[test]
fn a_snapshot_and_what_is_behind_it_are_the_whole_replay_at_every_record() {
    let shelf = Shelf::new();
    let whole = shelf.at(shelf.last());
    let expected = digests(whole.engine().unwrap());
    for index in 1..=shelf.last() {
        let taken = shelf.take(index);
        assert!(taken.meta.index <= index);
        let (recovered, seen) = shelf.start(None).unwrap();
        assert_eq!(digests(&recovered.engine), expected, "behind record {index}");
        assert_eq!((recovered.boundary, recovered.index), (whole.boundary(), whole.index()));
        assert_eq!(recovered.report.last, shelf.records.last().unwrap().0);
        let snapshot = recovered.snapshot.unwrap();
        assert_eq!((snapshot.name, snapshot.meta), (taken.name, taken.meta));
        assert!(seen.into_iter().eq(taken.meta.index + 1..=shelf.last()), "only what is behind it");
    }
}

#[test]
fn a_start_goes_back_from_newest_to_older_to_genesis_and_then_refuses() {
    let shelf = Shelf::new();
    let expected = digests(shelf.at(shelf.last()).engine().unwrap());
    let names: Vec<_> = [shelf.last() / 3, shelf.last() / 2, shelf.last() - 4]
        .map(|index| shelf.take(index).name)
        .into();
    let mut bad = Vec::new();
    // A body, a header, and the whole file.
    for (at, name) in [(700, &names[2]), (33, &names[1]), (0, &names[0])] {
        let (recovered, _) = shelf.start(None).unwrap();
        assert_eq!(&recovered.snapshot.unwrap().name, name);
        let refused: Vec<_> = recovered.refused.iter().map(|one| one.name.clone()).collect();
        assert_eq!(refused, bad);
        assert_eq!(digests(&recovered.engine), expected);
        shelf.files.flip(name, at, 0x10);
        bad.push(name.clone());
    }
    let (recovered, seen) = shelf.start(None).unwrap();
    assert!(recovered.snapshot.is_none() && seen.len() as u64 == shelf.last());
    assert_eq!(digests(&recovered.engine), expected);
    // Now the genesis record goes too.
    assert!(retire(&shelf.disk, shelf.last()).unwrap().segments > 0);
    let error = shelf.start(None).err().expect("nothing reaches");
    assert!(matches!(error, StartError::NoBase { .. }), "{error}");
    let told = error.to_string();
    assert!(bad.iter().all(|name| told.contains(name)), "{told}");
}

#[test]
fn a_snapshot_before_the_oldest_record_is_no_beginning() {
    let shelf = Shelf::new();
    let old = shelf.take(3);
    retire(&shelf.disk, shelf.last()).unwrap();
    let error = shelf.start(None).err().expect("a gap lies between");
    let told = error.to_string();
    assert!(told.contains(&old.name), "{told}");
    let missing = matches!(
        error,
        StartError::NoBase { source: RecoverError::Shortened { first_index, .. }, .. }
            if first_index > old.meta.index + 1
    );
    assert!(missing);
    // The whole journal was needed for nothing but its newest part.
    let new = shelf.take(shelf.last());
    let (recovered, _) = shelf.start(None).unwrap();
    assert_eq!(recovered.snapshot.unwrap().name, new.name);
}

#[test]
fn a_journal_of_another_history_or_that_ends_before_a_snapshot_is_refused() {
    let shelf = Shelf::new();
    shelf.take(shelf.last());
    shelf.disk.wipe(1, 4096 * 3).unwrap();
    for number in shelf.disk.list().unwrap().into_iter().skip(1) {
        shelf.disk.remove(number).unwrap();
    }
    let error = shelf.start(None).err().expect("a snapshot says that more was durable");
    assert!(matches!(error, StartError::Journal(RecoverError::Corrupt(_))), "{error}");
    let forged = Shelf::new();
    let replayer = forged.at(forged.last());
    let (mut boundary, index) = (replayer.boundary(), replayer.index());
    boundary.chain_hash[5] ^= 1;
    let engine = replayer.into_engine().unwrap();
    pipeline::take(&forged.catalogue(), engine, boundary, index, OPTIONS).unwrap();
    let error = forged.start(None).err().expect("the journal says another hash");
    assert!(
        matches!(error, StartError::Journal(RecoverError::OtherHistory { index: at, .. })
            if at == index),
        "{error}"
    );
}

#[test]
fn another_process_is_met_before_a_snapshot_is_chosen() {
    let shelf = Shelf::new();
    let name = shelf.take(shelf.last()).name;
    shelf.files.flip(&name, 700, 1);
    let catalogue = shelf.catalogue();
    catalogue.trust(&name);
    let storage = Arc::new(Medium::held(shelf.disk.clone()));
    let sources = Sources { storage, catalogue: &catalogue, config: SEGMENT, options: OPTIONS };
    let error = recover(sources, None, &mut |_| ()).err().expect("somebody has the lock");
    let is_locked =
        matches!(error, StartError::Journal(RecoverError::Storage(StorageError::Locked { .. })));
    assert!(is_locked, "{error}");
    assert_eq!(catalogue.verified().unwrap().len(), 1, "nothing was read");
}

#[test]
fn a_start_that_is_refused_names_what_was_passed_over() {
    let shelf = Shelf::new();
    let name = shelf.take(shelf.last() / 2).name;
    shelf.files.flip(&name, 700, 1);
    shelf.disk.flip(1, 4096 + 300, 1);
    let error = shelf.start(None).err().expect("the journal is damaged too");
    assert_eq!(error.refused()[0].name, name);
    let told = error.to_string();
    assert!(told.contains("is damaged: memory segment 1") && told.contains(&name), "{told}");
}

#[test]
fn what_is_settled_is_met_before_at_and_behind_a_snapshot() {
    let shelf = Shelf::new();
    let (early, middle, late) = (6, shelf.last() / 2, shelf.last() - 3);
    let base = shelf.take(middle).meta;
    let expected = digests(shelf.at(shelf.last()).engine().unwrap());
    for (index, is_met) in [(early, false), (middle, true), (late, true)] {
        let settled = shelf.settled(index);
        let (mut recovered, _) = shelf.start(Some(&settled)).unwrap();
        assert_eq!(recovered.snapshot.as_ref().unwrap().meta, base, "SQL does not choose");
        assert_eq!(digests(&recovered.engine), expected);
        assert_eq!(recovered.is_settled_met, is_met, "record {index}");
        // What settlement cuts first.
        recovered.engine.open_cut(false);
        let cut = recovered.engine.cut_step(usize::MAX).unwrap();
        if is_met {
            assert_eq!(cut.after, settled.through);
        } else {
            assert!(cut.after > settled.through, "the cut is not complete");
            let next = Sequence(settled.through.0 + 1);
            let met = shelf.past().boundary_at(next, shelf.last()).unwrap();
            assert!(matches!(met, Met::Record(header) if header.hash == settled.chain_hash));
        }
    }
    let mut strange = shelf.settled(late);
    strange.run_digest[0] ^= 1;
    assert!(!shelf.start(Some(&strange)).unwrap().0.is_settled_met);
    // A database ahead of the journal proves that something is lost; another frame's says nothing.
    let mut ahead = shelf.settled(late);
    ahead.through = Sequence(ahead.through.0 + 1_000);
    assert!(shelf.start(Some(&ahead)).is_err());
    ahead.frame += 1;
    assert!(shelf.start(Some(&ahead)).is_ok());
}
