//! Fixed work for an instruction counter: `instructions WORK ROUNDS` makes one kind of work so many
//! times, each a full request. Counted twice with different rounds, the difference is what a round
//! costs, without the setup. `cargo xtask instructions` does so under callgrind.
//!
//! It measures no time and reads no clock. Invariant: the same arguments do the same work.

use std::hint::black_box;

use benches::{Random, transfers};
use protocol::feed::Interest;
use protocol::parameter::{Parameter, Parameters};
use protocol::reply::{Outcome, Outcomes, Reply};
use protocol::{Command, Request, Role, Status, request};

#[path = "support/book.rs"]
mod book;

use book::{BATCH, Bench, REGISTRY, owner};

/// Few, so that the setup is short: how many there are changes cache misses, not instructions.
const ACCOUNTS: u64 = 2_000;

/// Of the other works, as the rows of the load have them.
const PAYING: u64 = 10_000;
/// Owners who are followed and to whom nothing happens.
const FOLLOWED: u64 = 1_000;

/// A name, and what is done so many rounds.
type Work = (&'static str, fn(u64));

const WORKS: [Work; 10] = [
    ("engine_transfer", engine_transfer),
    ("engine_hold_capture", engine_hold_capture),
    ("transfer_full_pairs", transfer_full_pairs),
    ("transfer_unfollowed", |rounds| transfer_beside(rounds, false)),
    ("transfer_idle_feeds", |rounds| transfer_beside(rounds, true)),
    ("hold_unfollowed", |rounds| hold_beside(rounds, false)),
    ("hold_idle_feeds", |rounds| hold_beside(rounds, true)),
    ("request_check", request_check),
    ("outcomes_encode", outcomes_encode),
    ("reply_decode", reply_decode),
];

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let named = WORKS.iter().find(|(name, _)| words.first().is_some_and(|word| word == name));
    match (named, words.get(1).and_then(|rounds| rounds.parse().ok())) {
        (Some((_, work)), Some(rounds)) => work(rounds),
        // As every benchmark in the smoke: each once.
        _ => WORKS.iter().for_each(|(_, work)| work(1)),
    }
}

fn engine_transfer(rounds: u64) {
    transfer(Bench::new(ACCOUNTS), rounds);
}

fn transfer(mut bench: Bench, rounds: u64) {
    for _ in 0..rounds {
        let slots = bench.transfers();
        bench.record(Role::Registry, REGISTRY, black_box(&slots));
    }
}

/// Each payment is of a new pair, and takes the place of another one, as in a frame that has run
/// for a while.
fn transfer_full_pairs(rounds: u64) {
    let parameters = Parameters::default().with(Parameter::PairsCapacity, BATCH.into());
    transfer(Bench::with(PAYING, parameters), rounds);
}

fn engine_hold_capture(rounds: u64) {
    hold_capture(Bench::new(ACCOUNTS), rounds);
}

/// The same batches, whether somebody follows or not: only the feeds differ.
fn beside(has_feeds: bool) -> Bench {
    let mut bench = Bench::new(PAYING);
    bench.open(PAYING..PAYING + FOLLOWED);
    if has_feeds {
        let owners = (PAYING..PAYING + FOLLOWED).map(owner).collect();
        bench.engine.follow(Some(Interest::Owners(owners)));
    }
    bench
}

fn transfer_beside(rounds: u64, has_feeds: bool) {
    transfer(beside(has_feeds), rounds);
}

fn hold_beside(rounds: u64, has_feeds: bool) {
    hold_capture(beside(has_feeds), rounds);
}

/// Half of the commands are holds, the other half capture them.
fn hold_capture(mut bench: Bench, rounds: u64) {
    for _ in 0..rounds {
        let mut slots = bench.transfers();
        let (holds, captures) = slots.split_at_mut(BATCH as usize / 2);
        for (hold, capture) in holds.iter_mut().zip(captures) {
            let id = protocol::CommandId(hold.id);
            *hold = Command::hold(id, hold.debit, hold.credit, 1, hold.amount, 0);
            *capture = Command::capture(protocol::CommandId(capture.id), hold, None);
        }
        bench.record(Role::Registry, REGISTRY, black_box(&slots));
    }
}

fn request_check(rounds: u64) {
    let commands = transfers(&mut Random(1), &mut 0, 10_000, BATCH as usize, 1);
    let head = Request { slots: BATCH as u32, ..Request::default() };
    for _ in 0..rounds {
        let _ = black_box(request::check(black_box(&head), black_box(&commands)));
    }
}

/// One rate in ten differs, so that every rate is written.
fn collect(outcomes: &mut Outcomes) {
    outcomes.clear(1);
    for sequence in 1..=BATCH {
        let rate = if sequence % 10 == 0 { 6_000 } else { 5_000 };
        outcomes.push(Outcome { sequence, status: Status::Ok, rate, repeat: false });
    }
}

fn outcomes_encode(rounds: u64) {
    let mut outcomes = Outcomes::with_capacity(BATCH as usize);
    let mut bytes = Vec::new();
    for _ in 0..rounds {
        collect(black_box(&mut outcomes));
        bytes.clear();
        outcomes.encode(Reply::default(), black_box(&mut bytes));
    }
}

fn reply_decode(rounds: u64) {
    let mut outcomes = Outcomes::with_capacity(BATCH as usize);
    collect(&mut outcomes);
    let mut bytes = Vec::new();
    outcomes.encode(Reply::default(), &mut bytes);
    for _ in 0..rounds {
        let _ = black_box(protocol::reply::decode(black_box(&bytes)));
    }
}
