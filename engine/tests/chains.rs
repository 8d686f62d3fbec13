//! Chains: all legs or none, whatever they touch. It refuses to look inside the undo log.
//! Invariant: after a failed chain the state is that of a frame where other refused commands ran.

use protocol::command::flags;
use protocol::parameter::{Parameter, Parameters};
use protocol::reply::Outcome;
use protocol::{Command, Kind, Role, Status};

use crate::frame::*;

fn linked(commands: &[Command]) -> Vec<Command> {
    let mut commands = commands.to_vec();
    let last = commands.len() - 1;
    for command in &mut commands[..last] {
        command.flags |= flags::LINKED;
    }
    commands
}

fn statuses(outcomes: &[Outcome]) -> Vec<Status> {
    outcomes.iter().map(|outcome| outcome.status).collect()
}

#[test]
fn legs_see_earlier_ones_and_stand_or_fall_together() {
    let mut frame = Frame::new();
    let hold = frame.held(ALICE, BOB, 1_000);
    let legs = [hold, frame.pay(ALICE, BOB, 5_000)];
    let chain = linked(&legs);
    let outcomes = frame.send(Role::Registry, NORTH, &chain);
    assert_eq!(statuses(&outcomes), [Status::Ok; 2]);
    assert_eq!(outcomes[1].sequence, outcomes[0].sequence + 1);
    let again = frame.send(Role::Registry, NORTH, &chain);
    assert!(again.iter().all(|outcome| outcome.repeat));
    assert_eq!(again[1].sequence, outcomes[1].sequence);
    let alone = frame.send(Role::Registry, NORTH, &chain[1..]);
    assert_eq!(alone[0].status, Status::IdReused, "a leg is not known without its chain");
    let mut other = chain.clone();
    other[1] = frame.pay(ALICE, BOB, 5_000);
    let outcomes = frame.send(Role::Registry, NORTH, &other);
    assert_eq!(statuses(&outcomes), [Status::IdReused; 2]);
}

/// Everything a chain can do, by a new registry: binding it, opening, paying, holding, capturing.
fn everything(frame: &mut Frame, last: u128) -> Vec<Command> {
    let hold = Command { flags: flags::KEEP, ..frame.held(ALICE, BOB, 1_000) };
    let second = frame.held(ALICE, BOB, 500);
    let part = Command { flags: flags::KEEP, ..Command::capture(frame.id(), &hold, Some(300)) };
    let legs = [
        Command::open(frame.id(), ALICE, 2),
        hold,
        part,
        second,
        Command::release(frame.id(), &second),
        Command::capture(frame.id(), &hold, None),
        frame.pay(ALICE, BOB, 70_000),
        frame.pay(BOB, ALICE, last),
    ];
    linked(&legs)
}

/// Everything but what a refused command changes too: sequences, digest, ids.
fn seen(frame: &Frame) -> String {
    let deadline = frame.engine.next_deadline_ns();
    let (accounts, supply) = (frame.engine.accounts(), frame.engine.supply());
    format!("{accounts:?} {supply:?} {deadline:?}")
}

#[test]
fn a_failed_leg_undoes_everything() {
    let mut frame = Frame::new();
    assert_eq!(frame.set(Parameter::HoldMaxMs, 30 * 86_400_000), Status::Ok);
    let before = seen(&frame);
    let chain = everything(&mut frame, 10 * GIVEN);
    let outcomes = frame.send(Role::Registry, NORTH, &chain);
    let mut expected = [Status::LinkedFailed; 8];
    expected[7] = Status::InsufficientFunds;
    assert_eq!(statuses(&outcomes), expected);
    assert_eq!(seen(&frame), before);
    frame.engine.open_cut(false);
    let cut = std::iter::from_fn(|| Some(frame.engine.cut_step(1))).flatten().next().unwrap();
    let protocol::cut::Effects::All(effects) = cut.effects else {
        panic!("history is on");
    };
    assert!(effects.iter().all(|effect| effect.sequence < outcomes[0].sequence));
    let again = frame.send(Role::Registry, NORTH, &chain);
    assert!(again.iter().all(|outcome| outcome.repeat));
    assert_eq!(statuses(&again), expected);

    let chain = everything(&mut frame, 1_000);
    let outcomes = frame.send(Role::Registry, NORTH, &chain);
    assert_eq!(statuses(&outcomes), [Status::Ok; 8]);
    assert_eq!(outcomes[6].rate, 5_000, "failed payments were not counted");
    assert_eq!(frame.engine.recount(), frame.engine.supply());
}

#[test]
fn a_new_host_is_taken_back_with_its_accounts() {
    let mut frame = Frame::new();
    let west = 0x999 << 64;
    let before = frame.engine.accounts();
    let legs = [Command::open(frame.id(), DAVE, 1), Command::open(frame.id(), DAVE, 9)];
    let outcomes = frame.send(Role::Registry, west, &linked(&legs));
    assert_eq!(statuses(&outcomes), [Status::LinkedFailed, Status::AssetNotFound]);
    assert_eq!(frame.engine.accounts(), before);
    let legs = [Command::open(frame.id(), DAVE, 1), Command::open(frame.id(), DAVE, 2)];
    let outcomes = frame.send(Role::Registry, west, &linked(&legs));
    assert_eq!(statuses(&outcomes), [Status::Ok; 2]);
    assert_eq!(frame.engine.account(DAVE, 2).unwrap().host, 3);
    assert_eq!(frame.engine.accounts().len(), before.len() + 6);
}

#[test]
fn host_windows_are_taken_back() {
    let mut frame = Frame::new();
    let limit = Command {
        credit: NORTH,
        amount: 1_000,
        code: Parameter::HostDebitLimit.number(),
        ..Command::new(Kind::Configure, frame.id())
    };
    frame.must(Role::Admin, ADMIN, limit);
    for _ in 0..3 {
        let legs = [frame.pay(ALICE, BOB, 900), frame.pay(ALICE, BOB, 200)];
        let outcomes = frame.send(Role::Registry, NORTH, &linked(&legs));
        assert_eq!(statuses(&outcomes), [Status::LinkedFailed, Status::HostLimit]);
    }
    let pay = frame.pay(ALICE, BOB, 1_000);
    frame.must(Role::Registry, NORTH, pay);
    let pay = frame.pay(ALICE, BOB, 1);
    assert_eq!(frame.ask(Role::Registry, NORTH, pay), Status::HostLimit);
    frame.now_ms += 86_400_000;
    let pay = frame.pay(ALICE, BOB, 1_000);
    frame.must(Role::Registry, NORTH, pay);
}

#[test]
fn what_is_no_chain_says_so_in_every_leg() {
    let mut frame = Frame::with(Parameters::default().with(Parameter::ChainLength, 3));
    let pay = |frame: &mut Frame| frame.pay(ALICE, BOB, 1_000);
    let mut open = [pay(&mut frame), pay(&mut frame)];
    open[1].flags = flags::LINKED;
    let outcomes = frame.send(Role::Agent, ALICE, &open);
    assert_eq!(statuses(&outcomes), [Status::Ok, Status::ChainOpen]);
    let four: Vec<_> = (0..4).map(|_| pay(&mut frame)).collect();
    let outcomes = frame.send(Role::Agent, ALICE, &linked(&four));
    assert_eq!(statuses(&outcomes), [Status::ChainTooLong; 4]);
    let legs = [pay(&mut frame), frame.about(Kind::Close, ALICE)];
    let outcomes = frame.send(Role::Agent, ALICE, &linked(&legs));
    assert_eq!(statuses(&outcomes), [Status::LinkedFailed, Status::ChainKind]);
    let twin = pay(&mut frame);
    let outcomes = frame.send(Role::Agent, ALICE, &linked(&[twin, twin]));
    assert_eq!(statuses(&outcomes), [Status::IdReused; 2]);
    frame.must(Role::Agent, ALICE, twin);
}
