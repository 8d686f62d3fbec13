//! Pinned parameters: they hold against commands and announced changes, and nothing is pinned that
//! cannot be. Invariant: pinning what is so already changes nothing.

use engine::PinError;
use protocol::genesis::Genesis;
use protocol::parameter::{Bounds, FEE_NOTICE_MS, Parameter};
use protocol::{Command, Kind, Role, Status};

use crate::agreement::Bench;
use crate::frame::{ADMIN, ALICE, BOB, Frame, NORTH};
use crate::generators::{self, Dice, Record, Stream};

/// What Bob gets of a payment of 1 000 000.
fn gets(frame: &mut Frame) -> i128 {
    let before = frame.liquid(BOB);
    let pay = frame.pay(ALICE, BOB, 1_000_000);
    frame.must(Role::Agent, ALICE, pay);
    frame.liquid(BOB) - before
}

#[test]
fn a_pinned_fee_outlives_changes_announced_before_and_after() {
    let mut frame = Frame::new();
    assert_eq!(frame.set(Parameter::FeeBase, 9_000), Status::Ok);
    assert_eq!(gets(&mut frame), 995_000);
    frame.engine.pin(&[(Parameter::FeeBase, 7_000)]).unwrap();
    assert_eq!(gets(&mut frame), 993_000);
    assert_eq!(frame.set(Parameter::FeeBase, 8_000), Status::Ok, "answered as ever");
    frame.now_ms += 2 * FEE_NOTICE_MS;
    assert_eq!(gets(&mut frame), 993_000);
    // What is not pinned changes.
    assert_eq!(frame.set(Parameter::FeeMax, 10_000), Status::Ok);
    frame.now_ms += 2 * FEE_NOTICE_MS;
    for _ in 0..200 {
        gets(&mut frame);
    }
    // A rate at the ceiling: the base out of the amount, the rest on top.
    let before = frame.liquid(ALICE);
    assert_eq!(gets(&mut frame), 993_000);
    assert_eq!(before - frame.liquid(ALICE), 1_003_000);
}

#[test]
fn every_hosts_limit_is_pinned() {
    let mut frame = Frame::new();
    frame.engine.pin(&[(Parameter::HostDebitLimit, 500)]).unwrap();
    let more = Command {
        code: Parameter::HostDebitLimit.number(),
        amount: 5_000,
        credit: NORTH,
        ..Command::new(Kind::Configure, frame.id())
    };
    assert_eq!(frame.ask(Role::Admin, ADMIN, more), Status::Ok);
    let pay = frame.pay(ALICE, BOB, 501);
    assert_eq!(frame.ask(Role::Registry, NORTH, pay), Status::HostLimit);
}

#[test]
fn what_cannot_be_pinned_is_named_and_nothing_changes() {
    let mut frame = Frame::new();
    let before = frame.engine.image_digest();
    let refused = [
        (vec![(Parameter::FeeBase, 4_999)], PinError::Bounds(Parameter::FeeBase)),
        (
            vec![(Parameter::FeeBase, 9_000), (Parameter::FeeMax, 8_000)],
            PinError::Bounds(Parameter::FeeBase),
        ),
        (
            vec![(Parameter::FeeBase, 6_000), (Parameter::PairsCapacity, 512)],
            PinError::InUse { parameter: Parameter::PairsCapacity, least: 1_024 },
        ),
    ];
    for (values, error) in refused {
        assert_eq!(frame.engine.pin(&values), Err(error));
        assert_eq!(frame.engine.image_digest(), before);
    }
    let refused = frame.engine.pin(&[(Parameter::AccountsCapacity, 16)]).unwrap_err();
    assert!(refused.to_string().contains("accounts.capacity cannot be less than"), "{refused}");
    // At the beginning, a table may be of any size.
    let mut newborn =
        Frame::empty(protocol::genesis::Mode::Frame, protocol::parameter::Parameters::default());
    newborn
        .engine
        .pin(&[(Parameter::PairsCapacity, 8), (Parameter::AccountsCapacity, 16)])
        .unwrap();
}

/// A parameter that no command of the stream sets.
fn free(records: &[Record], seed: u64) -> Option<Parameter> {
    let is_free = |parameter: &Parameter| {
        let is_set = |command: &Command| command.code == parameter.number();
        let mut requests = records.iter().flat_map(|record| &record.requests);
        !requests.any(|sent| sent.slots.iter().any(is_set))
    };
    let mut all = Parameter::ALL;
    all.rotate_left(seed as usize % Parameter::ALL.len());
    all.into_iter().find(is_free)
}

#[test]
fn pinning_what_is_so_already_changes_nothing() {
    generators::check(60, 24, |plan| {
        let Stream { genesis, records } = generators::stream(plan);
        let mut one = Bench::new(&genesis, false);
        let mut other = Bench::new(&genesis, false);
        let Some(free) = free(&records, plan.seed) else { return };
        other.engine.pin(&[(free, genesis.parameters.value(free))]).unwrap();
        for record in &records {
            assert_eq!(one.record(record), other.record(record));
        }
        assert_eq!(one.engine.image_digest(), other.engine.image_digest());
    });
}

#[test]
fn a_frame_with_a_pin_is_one_that_was_born_so() {
    generators::check(200, 24, |plan| {
        let Stream { genesis, records } = generators::stream(plan);
        let Some(free) = free(&records, plan.seed) else { return };
        let Bounds { min, max, .. } = free.bounds();
        let present = genesis.parameters.value(free);
        let half = present.midpoint(if plan.seed % 2 == 0 { min } else { max });
        let parameters = genesis.parameters.with(free, half.min(1 << 40));
        if parameters.validate().is_err() {
            return;
        }
        let mut born = Bench::new(&Genesis { parameters, ..genesis.clone() }, false);
        let mut pinned = Bench::new(&genesis, false);
        pinned.engine.pin(&[(free, parameters.value(free))]).unwrap();
        for (place, record) in records.iter().enumerate() {
            assert_eq!(born.record(record), pinned.record(record), "record {place}, {free:?}");
            assert_eq!(born.engine.run_digest(), pinned.engine.run_digest());
        }
        assert_eq!(born.engine.accounts(), pinned.engine.accounts());
        assert_eq!(born.engine.supply(), pinned.engine.recount());
    });
}

#[test]
fn whatever_is_pinned_wherever_the_books_balance() {
    generators::check(400, 24, |plan| {
        let Stream { genesis, records } = generators::stream(plan);
        let mut bench = Bench::new(&genesis, false);
        let mut dice = Dice::new(plan.seed);
        let at = dice.roll() as usize % (records.len() + 1);
        let (past, future) = records.split_at(at);
        for record in past {
            bench.record(record);
        }
        let values: Vec<_> = (0..1 + dice.roll() % 4)
            .map(|_| {
                let parameter = Parameter::ALL[dice.roll() as usize % Parameter::ALL.len()];
                let Bounds { min, max, default } = parameter.bounds();
                // Capacities stay small enough for a test.
                let value = [min, max.min(1 << 12), default.min(1 << 14)][dice.roll() as usize % 3];
                (parameter, value.max(min))
            })
            .collect();
        let before = bench.engine.image_digest();
        if bench.engine.pin(&values).is_err() {
            assert_eq!(bench.engine.image_digest(), before, "{values:?}");
            return;
        }
        for record in future {
            bench.record(record);
        }
        for (parameter, value) in values.iter().rev().take(1) {
            assert_eq!(bench.engine.parameter(*parameter), *value);
        }
        assert_eq!(bench.engine.supply(), bench.engine.recount());
    });
}
