//! What is removed goes on the word of snapshots that a start can use, read just now; and wherever
//! it is stopped, everything that was needed before is found again.

use engine::Engine;
use journal::{Storage as _, retire};
use pipeline::{Claims, Kept, Sources, plan, recover, retain, retain_known, usable};
use snapshot::{Catalogue, MemoryFiles, Meta};

use crate::medium::Medium;
use crate::rig::SEGMENT;
use crate::shelf::{OPTIONS, Shelf, catalogue, digests, start};

fn claims(snapshots: &[Meta]) -> Claims<'_> {
    Claims { snapshots, settled: None, keep_after_ns: u64::MAX, followers: &[] }
}

/// What may go by the catalogue.
fn planned(shelf: &Shelf, catalogue: &Catalogue) -> Kept {
    plan(&claims(&usable(&shelf.disk, catalogue).unwrap()))
}

/// A start gives this state, with any one snapshot damaged too.
fn finds_all(disk: &journal::MemoryStorage, files: &MemoryFiles, expected: &Engine, case: &str) {
    for bad in files.names().iter().map(Some).chain([None]) {
        let files = files.copy();
        if let Some(name) = bad {
            files.flip(name, 300, 1);
        }
        let (recovered, _) = start(&disk.copy(), &files, None)
            .unwrap_or_else(|error| panic!("{case}, without {bad:?}: {error}"));
        assert_eq!(digests(&recovered.engine), digests(expected), "{case}, without {bad:?}");
    }
}

/// A snapshot with right hashes in which no engine finds its state.
fn of_another_form(shelf: &Shelf, catalogue: &Catalogue) -> String {
    let meta = Meta { index: shelf.last(), ..shelf.take(shelf.last() - 2).meta };
    catalogue.create(&meta, |sink| sink(&[0x5a; 4_000]), |_| Ok(())).unwrap()
}

#[test]
fn a_snapshot_that_no_start_can_use_lets_nothing_go() {
    let shelf = Shelf::of(60);
    let whole = shelf.at(shelf.last());
    let older = shelf.take(shelf.last() / 2).meta;
    let known = shelf.catalogue();
    // The newer good one, and one in front of it that a newer program has written.
    let strange = of_another_form(&shelf, &known);
    known.verify_unknown().unwrap();
    assert_eq!(planned(&shelf, &known).floor, shelf.last() - 2, "by its hashes it counts");
    let sources = || Sources {
        storage: std::sync::Arc::new(shelf.disk.copy()),
        catalogue: &known,
        config: SEGMENT,
        options: OPTIONS,
    };
    let recovered = recover(sources(), None, &mut |_| ()).unwrap();
    assert_eq!(recovered.refused[0].name, strange);
    known.verify(&strange).expect("its hashes are right");
    let kept = planned(&shelf, &known);
    assert_eq!(kept.floor, older.index, "the older of the two that a start can use");
    let retained = retain(&shelf.disk, &known, kept).unwrap();
    assert!(retained.journal.segments > 0);
    assert_eq!(retained.snapshots.kept.len(), 2);
    assert_eq!(retained.snapshots.suspect[0].0, strange);
    let names = shelf.files.names();
    assert_eq!(names.len(), 3, "{names:?}");
    finds_all(&shelf.disk, &shelf.files, whole.engine().unwrap(), "beside another form");
}

#[test]
fn nothing_goes_on_the_word_of_what_was_verified_long_ago() {
    let shelf = Shelf::of(60);
    for index in [shelf.last() / 3, shelf.last() * 2 / 3, shelf.last()] {
        shelf.take(index);
    }
    let known = shelf.catalogue();
    known.verify_unknown().unwrap();
    let kept = planned(&shelf, &known);
    let names = shelf.files.names();
    let segments = shelf.disk.list().unwrap();
    for bad in &names[1..] {
        shelf.files.flip(bad, 300, 1);
        let retained = retain(&shelf.disk, &known, kept).unwrap();
        assert_eq!(retained.journal.segments, 0);
        let suspect: Vec<_> = retained.snapshots.suspect.iter().map(|(name, _)| name).collect();
        assert_eq!(suspect, [bad]);
        assert_eq!(
            (shelf.files.names(), shelf.disk.list().unwrap()),
            (names.clone(), segments.clone())
        );
        shelf.files.flip(bad, 300, 1);
        known.verify(bad).unwrap();
    }
    let retained = retain(&shelf.disk, &known, kept).unwrap();
    assert!(retained.journal.segments > 0 && retained.snapshots.removed.len() == 1);
}

#[test]
fn a_snapshot_that_the_journal_does_not_meet_holds_and_thins_nothing() {
    let shelf = Shelf::of(60);
    let stray = shelf.take(3).name;
    let base = shelf.take(shelf.last() / 2).meta;
    assert!(retire(&shelf.disk, base.index).unwrap().segments > 0);
    let taken = [shelf.last() - 6, shelf.last()].map(|index| shelf.take(index).meta);
    let known = shelf.catalogue();
    known.verify_unknown().unwrap();
    let all = usable(&shelf.disk, &known).unwrap();
    assert_eq!(all, [taken[1], taken[0], base]);
    // SQL stands before everything that is kept.
    let settled = Some(protocol::Sequence(base.sequence.0 - 1));
    for snapshots in [&all, &known.verified().unwrap()] {
        let kept = plan(&Claims { settled, ..claims(snapshots) });
        let retained = retain(&shelf.disk, &known, kept).unwrap();
        assert_eq!(retained.journal.segments, 0);
        assert!(retained.snapshots.removed.is_empty(), "{:?}", retained.snapshots);
        assert!(shelf.files.names().contains(&stray));
    }
    let whole = shelf.at(shelf.last());
    finds_all(&shelf.disk, &shelf.files, whole.engine().unwrap(), "beside a stray one");
}

#[test]
fn what_nobody_has_read_counts_as_none_when_told_so() {
    let shelf = Shelf::of(60);
    let taken = [shelf.last() / 2, shelf.last() - 4, shelf.last()].map(|index| shelf.take(index));
    let known = shelf.catalogue();
    known.verify(&taken[2].name).unwrap();
    known.verify(&taken[0].name).unwrap();
    let kept = Kept { floor: taken[1].meta.index, holder: None };
    let retained = retain_known(&shelf.disk, &known, kept).unwrap();
    assert_eq!(retained.snapshots.kept, [taken[2].name.clone(), taken[0].name.clone()]);
    assert_eq!(journal::first_record(&shelf.disk).unwrap().index, {
        let segments = journal::segments(&shelf.disk).unwrap();
        segments[0].first.index
    });
    let names: Vec<_> = taken.iter().map(|one| one.name.clone()).collect();
    assert_eq!(shelf.files.names(), names);
    let first = journal::first_record(&shelf.disk).unwrap().index;
    assert!(first <= taken[0].meta.index, "the one at the floor is unknown");
}

#[test]
fn a_crash_anywhere_in_retention_leaves_what_is_needed() {
    let shelf = Shelf::of(60);
    for index in [shelf.last() / 4, shelf.last() / 2, shelf.last() * 3 / 4, shelf.last() - 2] {
        shelf.take(index);
    }
    let whole = shelf.at(shelf.last());
    let known = shelf.catalogue();
    known.verify_unknown().unwrap();
    let kept = planned(&shelf, &known);
    let segments = journal::retirable(&shelf.disk, kept.floor).unwrap().segments;
    assert!(segments > 1, "there is a stop between two segments");
    let in_prune = (0..=4).map(|steps| (Some(steps), u64::MAX));
    let behind = (0..=segments).map(|removals| (None, removals));
    let mut ended = 0;
    for (steps, removals) in in_prune.chain(behind) {
        let (disk, files) = (shelf.disk.copy(), shelf.files.copy());
        let known = catalogue(&files);
        known.verify_unknown().unwrap();
        files.stop_after(steps);
        let retained = retain(&Medium::stopping(disk.clone(), removals), &known, kept);
        ended += u64::from(retained.is_ok());
        files.stop_after(None);
        for seed in 0..4 {
            let (disk, files) = (disk.copy(), files.copy());
            disk.crash(seed);
            files.crash(seed);
            let case = format!("{steps:?} steps, {removals} removals, seed {seed}");
            finds_all(&disk, &files, whole.engine().unwrap(), &case);
            // The next process goes on with it.
            let again = retain(&disk, &catalogue(&files), kept).unwrap();
            assert_eq!(again.snapshots.kept.len(), 2, "{case}");
            finds_all(&disk, &files, whole.engine().unwrap(), &case);
        }
    }
    assert!((2..=3).contains(&ended), "{ended} went to the end");
}
