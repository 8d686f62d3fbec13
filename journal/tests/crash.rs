//! After any crash: what was acknowledged is there, and what is there was appended.
//!
//! Refuses fixed scripts only. Invariant: recovered = a prefix of appended, at least as long as
//! acknowledged, again and again on the same disk.

use journal::{Expect, Kind, MemoryStorage, Source, Storage};
use proptest::prelude::*;

use crate::kit::{Bench, Record, create, records, recover};

#[derive(Clone, Debug)]
enum Step {
    Append(usize),
    Sync,
    Prepare,
    Crash(u64),
    Kill,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => prop_oneof![16_usize..600, 3_000_usize..5_000, 20_000_usize..50_000]
            .prop_map(Step::Append),
        3 => Just(Step::Sync),
        3 => Just(Step::Prepare),
        1 => any::<u64>().prop_map(Step::Crash),
        1 => Just(Step::Kill),
    ]
}

/// What a reader must find: everything appended, of which the first `acked` are acknowledged.
struct Model {
    appended: Vec<Record>,
    acked: usize,
}

fn without_seals(disk: &MemoryStorage) -> Vec<Record> {
    let mut reader = journal::Reader::open(std::sync::Arc::new(disk.clone()), 1).unwrap();
    let mut found = Vec::new();
    while let Some((header, payload)) = reader.next().unwrap() {
        if header.kind() != Some(Kind::Seal) {
            found.push((header.hash, payload.to_vec()));
        }
    }
    found
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
    let expect = Expect { durable_index_floor: 1, ..Expect::default() };
    let (bench, recovery) = recover(disk.clone(), expect).unwrap();
    let found = without_seals(disk);
    assert!(found.len() >= model.acked, "an acknowledged record is lost");
    assert_eq!(found[..], model.appended[..found.len()], "a prefix of what was appended");
    assert!(!keeps_all || found.len() == model.appended.len(), "a kill loses nothing");
    let last = recovery.last;
    assert_wiped(disk, last.segment, last.offset + last.record_len());
    assert_eq!(disk.open_read(1, Source::Cache).unwrap().len(), crate::kit::SEGMENT);
    model.acked = found.len();
    model.appended = found;
    bench
}

fn run(steps: &[Step]) {
    let disk = MemoryStorage::new();
    let mut bench = create(disk.clone());
    let mut model = Model { appended: records(disk.clone()), acked: 1 };
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
            Step::Crash(seed) => {
                disk.crash(*seed);
                bench = restart(&disk, &mut model, false);
            }
            Step::Kill => {
                disk.kill();
                bench = restart(&disk, &mut model, true);
            }
        }
    }
    drop(bench);
    disk.kill();
    restart(&disk, &mut model, true);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 192, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn acknowledged_records_survive(steps in prop::collection::vec(step(), 1..80)) {
        run(&steps);
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
        steps.push(Step::Crash(seed));
    }
    run(&steps);
}
