//! Transfers through the engine in full requests, over a small and a large book, and with holds
//! among them; a recount.
//!
//! One thread, no I/O: each request of 8 190 transfers is a record of its own, with fresh ids, fees
//! and velocity on, between random owners. Journal time moves at 3 million transfers a second, so
//! that id slices are as full as in a busy frame. The figure is transfers a second.
//! Ids are remembered for five seconds (15 million of them), and measuring begins when the first
//! have been forgotten, so that their memory is used again as in a frame that has run for a while;
//! the allocator keeps what is freed, as in the binary.
//! Making the commands is part of neither the time nor the figure.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, Throughput, criterion_group};
use protocol::Role;

#[path = "support/book.rs"]
mod book;
#[path = "support/mix.rs"]
mod mix;

use book::{BATCH, Bench, REGISTRY};
use mix::Mix;

/// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn transfers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("engine");
    group.throughput(Throughput::Elements(BATCH));
    // Longer than the window of ids: a frame that has just started pays for fresh pages.
    group.warm_up_time(Duration::from_secs(12));
    for (name, accounts) in [("10k", 10_000), ("1M", 1_000_000)] {
        let bench = std::cell::RefCell::new(Bench::new(accounts));
        group.bench_function(format!("transfers over {name} accounts"), |bencher| {
            bencher.iter_batched(
                || bench.borrow_mut().transfers(),
                |slots| {
                    bench.borrow_mut().record(Role::Registry, REGISTRY, black_box(&slots));
                },
                BatchSize::PerIteration,
            );
        });
    }
    let (mut bench, mut mix) = (Bench::new(10_000), Mix::default());
    group.bench_function("30 % holds over 10k accounts", |bencher| {
        bencher.iter_custom(|rounds| {
            let mut taken = Duration::ZERO;
            for _ in 0..rounds {
                let slots = mix.request(&mut bench);
                let begun = Instant::now();
                bench.record(Role::Registry, REGISTRY, black_box(&slots));
                taken += begun.elapsed();
            }
            taken
        });
    });
    group.finish();
}

/// A recount over a million accounts: how long nothing is executed.
fn recounts(criterion: &mut Criterion) {
    let bench = Bench::new(1_000_000);
    criterion.bench_function("engine/recount of 1M accounts", |bencher| {
        bencher.iter(|| black_box(&bench.engine).recount());
    });
}

criterion_group!(transfers_and_recounts, recounts, transfers);

fn main() {
    benches::keep_freed();
    transfers_and_recounts();
    Criterion::default().configure_from_args().final_summary();
}
