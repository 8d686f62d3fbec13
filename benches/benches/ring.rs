//! One request's way through the ring without any work in the stages: publish, journal stage,
//! engine stage, reply queue, release, all on one thread, so that only the hand-overs are counted.
//! Workload: 64 requests of one command at a time, and of a full batch.

use benches::BATCH;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ring::{Config, Parts, Pool, PoolConfig, ReplyQueue};

const REQUESTS: usize = 64;

fn ring_hops(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ring");
    group.throughput(Throughput::Elements(REQUESTS as u64));
    for (name, slots) in [("requests_of_1", 1), ("requests_of_8190", BATCH as u32)] {
        let pool = Pool::new(PoolConfig { bytes_max: 256 << 20, requests_max: 128 });
        let Parts { mut publisher, mut journal, mut engine, .. } = ring::build(Config::default());
        let replies = ReplyQueue::new(128);
        let mut taken = Vec::with_capacity(REQUESTS);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                for _ in 0..REQUESTS {
                    let envelope = pool.try_acquire(slots).expect("the pool has room for 128");
                    assert!(publisher.try_publish(envelope).is_ok());
                }
                journal.poll(usize::MAX, |group| assert_eq!(group.len(), REQUESTS));
                engine.take_while(&mut taken, |_| true);
                for envelope in taken.drain(..) {
                    replies.push(envelope);
                }
                replies.flush();
                while let Some(envelope) = replies.pop() {
                    pool.release(envelope);
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, ring_hops);
criterion_main!(benches);
