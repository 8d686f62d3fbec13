//! After any crash: what was acknowledged is there, and what is there was appended.
//!
//! Refuses fixed scripts only. Invariant: recovered = a prefix of appended, at least as long as
//! acknowledged, again and again on the same disk, of which the beginning may be removed.

use journal::{Base, Expect, Kind, MemoryStorage, Source, Storage};
use proptest::prelude::*;

use crate::kit::{Bench, Record, create, disks, records, recover};

#[derive(Clone, Debug)]
enum Step {
    Append(usize),
    Sync,
    Prepare,
    Crash(u64),
    Kill,
    /// Takes a state behind an acknowledged record and removes what lies before it.
    Retire(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => prop_oneof![16_usize..600, 3_000_usize..5_000, 20_000_usize..50_000]
            .prop_map(Step::Append),
        3 => Just(Step::Sync),
        3 => Just(Step::Prepare),
        1 => any::<u64>().prop_map(Step::Crash),
        1 => Just(Step::Kill),
        1 => any::<usize>().prop_map(Step::Retire),
    ]
}

/// What a reader must find: everything appended, of which the first `acked` are acknowledged.
struct Model {
    appended: Vec<Record>,
    acked: usize,
    /// The state at hand, and how many of the records lie before it.
    base: Option<(Base, usize)>,
}

/// Every record that is no seal, from the first that is kept, with its index.
fn without_seals(disk: &MemoryStorage) -> (Vec<u64>, Vec<Record>) {
    let mut reader = journal::Reader::open_first(std::sync::Arc::new(disk.clone())).unwrap();
    let (mut indexes, mut found) = (Vec::new(), Vec::new());
    while let Some((header, payload)) = reader.next().unwrap() {
        if header.kind() != Some(Kind::Seal) {
            indexes.push(header.index);
            found.push((header.hash, payload.to_vec()));
        }
    }
    (indexes, found)
}

/// Removes what lies before one of the acknowledged records that are left.
fn retire_before(disk: &MemoryStorage, model: &mut Model, choice: usize) {
    let (indexes, found) = without_seals(disk);
    let is_first = |record: &Record| record.0 == found[0].0;
    let gone = model.appended.iter().position(is_first).expect("what is found was appended");
    let first = model.base.map_or(gone, |(_, at)| at);
    let at = first + choice % (model.acked - first);
    let base = Base { index: indexes[at - gone], hash: model.appended[at].0 };
    journal::retire(disk, base.index).unwrap();
    model.base = Some((base, at));
}

/// Behind the last record there must be nothing but zeros, in every segment.
fn assert_wiped(disk: &MemoryStorage, segment: u64, end: u64) {
    for number in disk.list().unwrap() {
        let from = if number == segment { end } else { 0 };
        if number >= segment {
            let image = disk.image(number).unwrap();
            assert!(image[from as usize..].iter().all(|&b| b == 0), "segment {number} is wiped");
        }
    }
}

fn restart(disk: &MemoryStorage, model: &mut Model, keeps_all: bool) -> Bench {
    let base = model.base.map(|(base, _)| base);
    let expect = Expect { durable_index_floor: 1, base, ..Expect::default() };
    let (bench, recovery) = recover(disk.clone(), expect).unwrap();
    let (_, found) = without_seals(disk);
    let is_first = |record: &Record| record.0 == found[0].0;
    let gone = model.appended.iter().position(is_first).expect("what is found was appended");
    assert!(gone <= model.base.map_or(0, |(_, at)| at), "the base's own record is kept");
    let end = gone + found.len();
    assert!(end >= model.acked, "an acknowledged record is lost");
    assert_eq!(found[..], model.appended[gone..end], "a prefix of what was appended");
    assert!(!keeps_all || end == model.appended.len(), "a kill loses nothing");
    let last = recovery.last;
    assert_wiped(disk, last.segment, last.offset + last.record_len());
    assert_eq!(disk.open_read(last.segment, Source::Cache).unwrap().len(), crate::kit::SEGMENT);
    model.acked = end;
    model.appended.truncate(end);
    bench
}

/// `kept_by_kill`: what was appended is out of the process.
fn run(steps: &[Step], disk: &MemoryStorage, kept_by_kill: bool) {
    let mut bench = create(disk.clone());
    let mut model = Model { appended: records(disk.clone()), acked: 1, base: None };
    for step in steps {
        match step {
            Step::Append(len) => match bench.append(*len) {
                Ok(record) => model.appended.push(record),
                Err(error) => assert!(!error.is_fatal(), "{error}"),
            },
            Step::Sync => {
                bench.syncer.sync().unwrap();
                model.acked = model.appended.len();
            }
            Step::Prepare => {
                bench.preparer.prepare().unwrap();
            }
            Step::Retire(choice) => retire_before(disk, &mut model, *choice),
            Step::Crash(seed) => {
                disk.crash(*seed);
                bench = restart(disk, &mut model, false);
            }
            Step::Kill => {
                disk.kill();
                bench = restart(disk, &mut model, kept_by_kill);
            }
        }
    }
    drop(bench);
    disk.kill();
    restart(disk, &mut model, kept_by_kill);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 192, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn acknowledged_records_survive(steps in prop::collection::vec(step(), 1..80)) {
        let [mapped, direct] = disks();
        run(&steps, &mapped, true);
        run(&steps, &direct, false);
    }
}

#[test]
fn many_crashes_of_one_journal() {
    let mut steps = Vec::new();
    for seed in 0..120_u64 {
        for at in 0..(seed % 7) {
            steps.push(Step::Append((seed * 977 + at * 4_099) as usize % 9_000));
            if at % 3 == 1 {
                steps.push(Step::Sync);
            }
            steps.push(Step::Prepare);
        }
        if seed % 5 == 4 {
            steps.push(Step::Retire(seed as usize * 31));
        }
        steps.push(Step::Crash(seed));
    }
    let [mapped, direct] = disks();
    run(&steps, &mapped, true);
    run(&steps, &direct, false);
}

/// The power goes while a write of several records is under way.
#[test]
fn a_direct_write_may_be_torn_anywhere() {
    let mut survivors = Vec::new();
    for seed in 0..100_u64 {
        let disk = MemoryStorage::direct();
        let mut bench = create(disk.clone());
        let mut model = Model { appended: records(disk.clone()), acked: 1, base: None };
        for at in 0..6_u64 {
            model.appended.push(bench.append((seed * 977 + at * 4_099) as usize % 9_000).unwrap());
            if at == 2 {
                bench.syncer.sync().unwrap();
                model.acked = model.appended.len();
            }
        }
        disk.fail_sync_in(0);
        bench.syncer.sync().unwrap_err();
        disk.crash(seed);
        bench = restart(&disk, &mut model, false);
        survivors.push(model.acked);
        model.appended.push(bench.append(100).unwrap());
        bench.syncer.sync().unwrap();
        model.acked = model.appended.len();
        disk.crash(seed + 1);
        drop(restart(&disk, &mut model, true));
    }
    let is_torn = |count: &usize| (5..7).contains(count);
    assert!(survivors.contains(&4) && survivors.contains(&7) && survivors.iter().any(is_torn));
}
