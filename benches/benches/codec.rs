//! What the front door pays for a full batch: judging its structure, collecting its outcomes,
//! encoding and decoding its reply. Workload: 8 190 transfers; outcomes all ok at one rate (the
//! common case), and with one rate in ten differing.

use std::hint::black_box;

use benches::{BATCH, Random, transfers};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use protocol::reply::{Outcome, Outcomes, Reply};
use protocol::{Request, Status, request};

fn outcomes(collected: &mut Outcomes, mixed: bool) {
    collected.clear(1);
    for sequence in 1..=BATCH as u64 {
        let rate = if mixed && sequence % 10 == 0 { 6_000 } else { 5_000 };
        collected.push(Outcome { sequence, status: Status::Ok, rate, repeat: false });
    }
}

fn codec(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("codec");
    group.throughput(Throughput::Elements(BATCH as u64));
    let commands = transfers(&mut Random(1), &mut 0, 10_000, BATCH, 1);
    let head = Request { slots: BATCH as u32, ..Request::default() };
    group.bench_function("request_check", |bencher| {
        bencher.iter(|| request::check(black_box(&head), black_box(&commands)));
    });
    let mut collected = Outcomes::with_capacity(BATCH);
    for (name, mixed) in [("uniform", false), ("mixed", true)] {
        group.bench_function(format!("outcomes_{name}"), |bencher| {
            bencher.iter(|| outcomes(black_box(&mut collected), mixed));
        });
        let mut bytes = Vec::new();
        group.bench_function(format!("reply_encode_{name}"), |bencher| {
            bencher.iter(|| {
                bytes.clear();
                collected.encode(Reply::default(), black_box(&mut bytes));
            });
        });
        group.bench_function(format!("reply_decode_{name}"), |bencher| {
            bencher.iter(|| protocol::reply::decode(black_box(&bytes)));
        });
    }
    group.finish();
}

criterion_group!(benches, codec);
criterion_main!(benches);
