//! What the journal adds to a group: hashing and copying it (`append`, memory storage, no device),
//! and the whole way to the device with the sync on the same thread (`append_sync`, each backend
//! in the system's temporary directory: set TMPDIR to choose the disk).
//! Workload: groups of 1, 64 and 8 190 commands.

use std::sync::Arc;

use benches::BATCH;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use journal::{Backend, Config, Entry, FileStorage, Journal, Kind, MemoryStorage, Storage};

const GROUPS: [usize; 3] = [1, 64, BATCH];

fn open(storage: Arc<dyn Storage>) -> Journal {
    let genesis =
        Entry { kind: Kind::Genesis, first_sequence: 1, timestamp_ns: 1, ..Entry::default() };
    let config = Config { segment_size: 64 << 20 };
    Journal::create(storage, config, 1, &genesis, &[&[0; 64]]).expect("an empty storage")
}

fn append(criterion: &mut Criterion, name: &str, storage: impl Fn() -> Arc<dyn Storage>) {
    let mut group = criterion.benchmark_group(name);
    for commands in GROUPS {
        let (mut appender, mut syncer, mut preparer) = open(storage()).split();
        let payload = vec![7_u8; 64 + commands * 128];
        let mut entry = Entry {
            first_sequence: 1,
            commands: commands as u32,
            timestamp_ns: 2,
            ..Entry::default()
        };
        group.throughput(Throughput::Elements(commands as u64));
        group.bench_function(BenchmarkId::from_parameter(commands), |bencher| {
            bencher.iter(|| {
                if preparer.needed() {
                    preparer.prepare().expect("the disk has room");
                }
                appender.append(&entry, &[&payload]).expect("a segment was prepared");
                entry.first_sequence += commands as u64;
                entry.timestamp_ns += 1;
                syncer.sync().expect("the disk syncs")
            });
        });
    }
    group.finish();
}

fn journal(criterion: &mut Criterion) {
    append(criterion, "journal_append", || Arc::new(MemoryStorage::new()));
    let dir = tempfile::tempdir().expect("a temporary directory");
    let places = std::cell::Cell::new(0);
    for (name, backend) in
        [("journal_append_sync", Backend::Direct), ("journal_append_sync_mapped", Backend::Mapped)]
    {
        append(criterion, name, || {
            places.set(places.get() + 1);
            let place = dir.path().join(places.get().to_string());
            Arc::new(FileStorage::with_backend(place, backend))
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = journal
}
criterion_main!(benches);
