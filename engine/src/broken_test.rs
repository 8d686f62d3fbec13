//! What only a broken state can reach: the recount that does not give zero, and units in a bucket
//! that nothing open explains. It refuses to end the record, which would abort on such a state.

use protocol::genesis::{Genesis, Mode};
use protocol::parameter::{Parameter, Parameters};
use protocol::reply::Outcomes;
use protocol::{Command, CommandId, Kind, Request, Role, Sequence, Status};

use crate::engine::{Engine, Options, RecordStart};

pub(crate) const ALICE: u128 = 0xa11ce << 64;

/// Alice's account is open, and a record has begun.
pub(crate) fn engine() -> Engine {
    let genesis = Genesis {
        frame: 1,
        hash_seed: 2,
        mode: Mode::Frame,
        scale: 6,
        name: "AVT".into(),
        trust_domain: "frame.test".into(),
        parameters: Parameters::default().with(Parameter::PairsCapacity, 8),
    };
    let mut engine = Engine::new(&genesis, Options::default()).unwrap();
    engine.begin_record(RecordStart {
        first_sequence: Sequence(1),
        timestamp_ns: 1_000_000_000,
        settled: Sequence(0),
    });
    let open = Command::open(CommandId::new(1_000, 1), ALICE, 1);
    assert_eq!(ask(&mut engine, Role::Agent, open), Status::Ok);
    engine
}

pub(crate) fn ask(engine: &mut Engine, role: Role, command: Command) -> Status {
    let mut outcomes = Outcomes::default();
    let request = Request { principal: ALICE, role: role as u16, slots: 1, ..Request::default() };
    engine.execute(&request, &[command], &mut outcomes);
    let mut bytes = alloc::vec::Vec::new();
    outcomes.encode(protocol::reply::Reply::default(), &mut bytes);
    protocol::reply::decode(&bytes).unwrap().outcomes[0].status
}

#[test]
fn minting_stays_halted_while_a_unit_is_missing() {
    let mut engine = engine();
    engine.assets.row_mut(0).sums.issued.add(1);
    let resume = Command::new(Kind::ResumeMint, CommandId::new(1_000, 2));
    assert_eq!(ask(&mut engine, Role::Mint, resume), Status::DeltaNotZero);
    assert!(engine.mint_halted());
    engine.assets.row_mut(0).sums.destroyed.add(1);
    let resume = Command { id: resume.id + 1, ..resume };
    assert_eq!(ask(&mut engine, Role::Mint, resume), Status::Ok);
    assert!(!engine.mint_halted());
}

#[test]
fn an_account_with_held_units_does_not_close() {
    let mut engine = engine();
    let number = engine.account_number(ALICE, 1).unwrap();
    engine.accounts.cold_mut(number).held = 1;
    let close =
        Command { debit: ALICE, asset: 1, ..Command::new(Kind::Close, CommandId::new(1_000, 2)) };
    assert_eq!(ask(&mut engine, Role::Agent, close), Status::BucketNotZero);
}

#[test]
#[should_panic(expected = "INV1")]
fn a_record_that_lost_a_unit_does_not_end() {
    let mut engine = engine();
    engine.assets.row_mut(0).sums.issued.add(1);
    engine.end_record();
}

#[test]
#[should_panic(expected = "without gaps")]
fn a_record_that_does_not_follow_aborts() {
    let mut engine = engine();
    engine.end_record();
    engine.begin_record(RecordStart {
        first_sequence: Sequence(3),
        timestamp_ns: 2_000_000_000,
        settled: Sequence(0),
    });
}
