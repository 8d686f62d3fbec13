//! Ids: each takes effect at most once for ever, in bounded memory. It refuses to depend on how
//! the rows are kept. Invariant: below the floor nothing is executed, above it nothing is
//! forgotten.

use protocol::parameter::{Parameter, Parameters};
use protocol::{Command, CommandId, Kind, Role, Status};

use crate::frame::*;

#[test]
fn a_repeat_answers_as_before_and_changes_nothing() {
    let mut frame = Frame::new();
    let pay = frame.pay(ALICE, BOB, 1_000);
    let first = frame.must(Role::Agent, ALICE, pay);
    assert_eq!(frame.close(CAROL), Status::Ok);
    let balance = frame.liquid(ALICE);
    let again = frame.send(Role::Registry, NORTH, &[pay])[0];
    assert!(again.repeat, "host and agent share the agent's scope");
    assert_eq!((again.sequence, again.status, again.rate), (first.sequence, Status::Ok, 5_000));
    assert_eq!(frame.liquid(ALICE), balance);
    let other = Command { amount: 1_001, ..pay };
    assert_eq!(frame.ask(Role::Agent, ALICE, other), Status::IdReused);
    assert!(frame.send(Role::Agent, ALICE, &[pay])[0].repeat, "the first still stands");
}

#[test]
fn refusals_by_state_are_remembered_and_others_are_not() {
    let mut frame = Frame::new();
    let poor = frame.pay(ALICE, BOB, GIVEN + 1);
    assert_eq!(frame.ask(Role::Agent, ALICE, poor), Status::InsufficientFunds);
    let issue = Command::issue(frame.id(), ALICE, 1, GIVEN);
    frame.must(Role::Mint, MINT, issue);
    let again = frame.send(Role::Agent, ALICE, &[poor])[0];
    assert_eq!((again.status, again.repeat), (Status::InsufficientFunds, true));
    let pay = frame.pay(ALICE, BOB, 1_000);
    assert_eq!(frame.ask(Role::Agent, CAROL, pay), Status::NotFound);
    frame.must(Role::Agent, ALICE, pay);
}

#[test]
fn scopes_do_not_meet() {
    let mut frame = Frame::new();
    let id = frame.id();
    for (debit, credit) in [(ALICE, BOB), (BOB, ALICE), (CAROL, ALICE)] {
        let pay = Command::transfer(id, debit, credit, 1, 1_000);
        assert!(!frame.send(Role::Agent, debit, &[pay])[0].repeat);
    }
    let freeze = Command { id: id.0, ..frame.about(Kind::Freeze, ALICE) };
    assert_eq!(frame.ask(Role::Registry, NORTH, freeze), Status::Ok);
}

#[test]
fn the_window_has_a_future_and_a_floor() {
    let mut frame = Frame::new();
    let at = |frame: &mut Frame, unix_ms| {
        let pay = Command::transfer(CommandId::new(unix_ms, 1), ALICE, BOB, 1, 1_000);
        frame.ask(Role::Agent, ALICE, pay)
    };
    let now = START_MS + 10_000_500;
    frame.now_ms = now - 1;
    assert_eq!(at(&mut frame, now + 5_001), Status::IdInFuture);
    assert_eq!(at(&mut frame, now + 5_001), Status::Ok, "a millisecond later");
    let floor = now - 500 - 120_000;
    assert_eq!(at(&mut frame, floor - 1), Status::IdTooOld);
    assert_eq!(at(&mut frame, floor), Status::Ok);
    frame.now_ms = now + 500;
    assert_eq!(at(&mut frame, floor), Status::IdTooOld, "the floor rose");
    assert_eq!(frame.set(Parameter::IdsWindowMs, 86_400_000), Status::Ok);
    assert_eq!(at(&mut frame, floor), Status::IdTooOld, "and never falls");
}

#[test]
fn a_full_window_shrinks_to_its_minimum_and_then_refuses() {
    let parameters = Parameters::default()
        .with(Parameter::IdsCapacity, 64)
        .with(Parameter::IdsMinWindowMs, 2_000);
    let mut frame = Frame::with(parameters);
    frame.now_ms += 10_000;
    let mut first = None;
    for _ in 0..64 {
        let pay = frame.pay(ALICE, BOB, 1_000);
        first = first.or(Some(pay));
        frame.must(Role::Agent, ALICE, pay);
    }
    let first = first.unwrap();
    let next = frame.pay(ALICE, BOB, 1_000);
    assert_eq!(frame.ask(Role::Agent, ALICE, next), Status::Busy);
    assert!(frame.send(Role::Agent, ALICE, &[first])[0].repeat, "a repeat needs no room");
    frame.now_ms = (frame.now_ms / 1_000 + 3) * 1_000;
    assert_eq!(frame.ask(Role::Agent, ALICE, next), Status::IdTooOld, "its own slice went");
    let fresh = frame.pay(ALICE, BOB, 1_000);
    frame.must(Role::Agent, ALICE, fresh);
    assert_eq!(frame.ask(Role::Agent, ALICE, first), Status::IdTooOld);
}
