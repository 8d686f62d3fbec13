//! Transfers through the engine in full requests, over a small and a large book; a recount.
//!
//! One thread, no I/O: each request of 8 190 transfers is a record of its own, with fresh ids, fees
//! and velocity on, between random owners. Journal time moves at 3 million transfers a second, so
//! that id slices are as full as in a busy frame. The figure is transfers a second.
//! Ids are remembered for five seconds (15 million of them), and measuring begins when the first
//! have been forgotten, so that their memory is used again as in a frame that has run for a while.
//! Making the commands is part of neither the time nor the figure.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use engine::{Engine, Options, RecordStart};
use protocol::genesis::{Genesis, Mode};
use protocol::parameter::{Parameter, Parameters};
use protocol::reply::Outcomes;
use protocol::{Command, CommandId, OwnerId, Request, Role, Sequence};

/// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BATCH: u64 = 8_190;
const REGISTRY: u128 = 0xbeef << 64;
const MINT: u128 = 0xfeed << 64;
/// 8 190 transfers at 3 million a second.
const RECORD_NS: u64 = 2_730_000;

struct Bench {
    engine: Engine,
    outcomes: Outcomes,
    now_ns: u64,
    ids: u64,
    random: u64,
    accounts: u64,
}

fn owner(number: u64) -> OwnerId {
    // As scattered as UUIDs are.
    let mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (u128::from(mixed) << 64) | u128::from(number)
}

impl Bench {
    fn new(accounts: u64) -> Self {
        let parameters = Parameters::default()
            .with(Parameter::IdsCapacity, 1 << 26)
            .with(Parameter::IdsWindowMs, 5_000)
            .with(Parameter::IdsMinWindowMs, 5_000);
        let genesis = Genesis {
            frame: 1,
            hash_seed: 0x0123_4567_89ab_cdef_0011_2233_4455_6677,
            mode: Mode::Frame,
            scale: 6,
            name: "AVT".into(),
            trust_domain: "frame.test".into(),
            parameters,
        };
        let mut bench = Self {
            engine: Engine::new(&genesis, Options::default()).expect("the genesis is valid"),
            outcomes: Outcomes::with_capacity(BATCH as usize),
            now_ns: 1_700_000_000_000_000_000,
            ids: 0,
            random: 1,
            accounts,
        };
        for first in (0..accounts).step_by(BATCH as usize) {
            let owners = || (first..accounts.min(first + BATCH)).map(owner);
            let opens: Vec<_> = owners().map(|owner| Command::open(bench.id(), owner, 1)).collect();
            bench.record(Role::Registry, REGISTRY, &opens);
            let issues: Vec<_> =
                owners().map(|owner| Command::issue(bench.id(), owner, 1, 1 << 60)).collect();
            bench.record(Role::Mint, MINT, &issues);
        }
        bench
    }

    fn id(&mut self) -> CommandId {
        self.ids += 1;
        CommandId::new(self.now_ns / 1_000_000, u128::from(self.ids))
    }

    fn random(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % below
    }

    /// A request of transfers for the next record.
    fn transfers(&mut self) -> Vec<Command> {
        (0..BATCH)
            .map(|_| {
                let debit = self.random(self.accounts);
                let credit = (debit + 1 + self.random(self.accounts - 1)) % self.accounts;
                let amount = 1_000_000 + u128::from(self.random(1_000_000));
                Command::transfer(self.id(), owner(debit), owner(credit), 1, amount)
            })
            .collect()
    }

    fn record(&mut self, role: Role, principal: u128, slots: &[Command]) {
        self.now_ns += RECORD_NS;
        self.engine.begin_record(RecordStart {
            first_sequence: Sequence(self.engine.executed().0 + 1),
            timestamp_ns: self.now_ns,
            settled: Sequence(0),
        });
        let request = Request {
            principal,
            role: role as u16,
            slots: u32::try_from(slots.len()).expect("a request has few slots"),
            ..Request::default()
        };
        self.engine.execute(&request, slots, &mut self.outcomes);
        self.engine.end_record();
        assert!(
            self.outcomes.encoded_len() < 64 + 4 * slots.len(),
            "the bench measures executed commands, not refusals"
        );
    }
}

fn transfers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("engine");
    group.throughput(Throughput::Elements(BATCH));
    // Longer than the window of ids: a frame that has just started pays for fresh pages.
    group.warm_up_time(std::time::Duration::from_secs(12));
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
    group.finish();
}

/// A recount over a million accounts: how long nothing is executed.
fn recounts(criterion: &mut Criterion) {
    let bench = Bench::new(1_000_000);
    criterion.bench_function("engine/recount of 1M accounts", |bencher| {
        bencher.iter(|| black_box(&bench.engine).recount());
    });
}

criterion_group!(benches, recounts, transfers);
criterion_main!(benches);
