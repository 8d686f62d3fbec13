//! Reads by engine and naive model after every record of random streams: the same answers, for
//! those who may read and for those who may not. It refuses to compare when an account last
//! changed, which the rules leave open. Invariant: a read changes nothing.

use protocol::answer::{ANSWER_SIZE, Answer};
use protocol::ids::CommandId;
use protocol::kind::Kind;
use protocol::parameter::Parameter;
use protocol::request::{Request, Role, flags};
use protocol::{Command, Status, system};
use zerocopy::FromBytes;

use engine::Recount;

use crate::agreement::{Bench, agree_on};
use crate::frame::{ALICE, BOB, Frame, head};
use crate::generators::{self, ADMIN, Dice, MINT, Record, Stream, agent, registry};
use crate::lists;
use crate::model::Model;

fn reader(dice: &mut Dice, about: &Command) -> (Role, u128) {
    let host = registry(u128::from(dice.below(3)));
    match dice.below(10) {
        0 | 1 => (Role::Auditor, 5 << 70),
        2 | 3 => (Role::Agent, about.debit),
        4 => (Role::Agent, about.credit),
        5 | 6 => (Role::Registry, host),
        7 => dice.pick(&[(Role::Mint, MINT), (Role::Mint, about.debit)]),
        8 => (Role::Admin, ADMIN),
        _ => (Role::Agent, agent(u128::from(dice.below(6)))),
    }
}

/// A read about something that was sent.
fn read_about(dice: &mut Dice, about: &Command) -> Command {
    let kind = dice.pick(&Kind::ALL[20..28]);
    let mut read = Command::new(kind, CommandId(0));
    let owner = match dice.below(8) {
        0 => system::treasury(dice.below(3) as u32),
        1 => system::fee_collector(dice.below(3) as u32),
        2 => about.credit,
        _ => about.debit,
    };
    match kind {
        Kind::ReadAccount => (read.debit, read.asset) = (owner, about.asset),
        Kind::ReadOutcome => (read.debit, read.reference) = (owner, about.id),
        Kind::ReadHold => {
            read.debit = about.debit;
            read.asset = about.asset;
            read.reference = dice.pick(&[about.id, about.id, about.reference]);
        }
        Kind::Quote => {
            read.debit = about.debit;
            read.credit = about.credit;
            read.asset = about.asset;
            read.amount = about.amount;
        }
        Kind::ReadParameter => {
            read.code = dice.below(20) as u16;
            if read.code == Parameter::HostDebitLimit.number() {
                read.credit = dice.pick(&[0, registry(0), registry(1), registry(9)]);
            }
        }
        _ => read.asset = dice.pick(&[1, 1, 2, about.asset]),
    }
    if dice.below(60) == 0 {
        read.user_data = 1;
        read.peer = 1;
    }
    read
}

/// Also says whether something was told.
fn same_answers(dice: &mut Dice, bench: &Bench, model: &Model, record: &Record) -> u32 {
    let mut told = 0;
    for sent in &record.requests {
        let about = &sent.slots[dice.below(sent.slots.len() as u64) as usize];
        let (role, principal) = reader(dice, about);
        let count = dice.pick(&[1, 1, 3, 6]);
        let reads: Vec<Command> = (0..count).map(|_| read_about(dice, about)).collect();
        let request = Request {
            principal,
            role: role as u16,
            flags: flags::READ,
            slots: count,
            ..Request::default()
        };
        let mut bytes = Vec::new();
        bench.engine.read(&request, &reads, &mut bytes);
        assert_eq!(bytes.len(), count as usize * ANSWER_SIZE);
        for (read, bytes) in reads.iter().zip(bytes.chunks_exact(ANSWER_SIZE)) {
            let mut answer = Answer::read_from_bytes(bytes).expect("it is one answer");
            let is_account = read.kind == Kind::ReadAccount.number();
            if is_account && answer.status == 0 {
                assert!(answer.sequence <= model.sequence());
                answer.sequence = 0;
            }
            let expected = model.read(&request, read);
            assert_eq!(answer, expected, "left: engine, {request:?} {read:#?}");
            told += u32::from(answer.status == 0);
        }
    }
    told
}

#[test]
fn engine_and_model_answer_reads_alike() {
    let told = std::cell::Cell::new(0);
    generators::check(600, 24, |plan| {
        let Stream { genesis, records } = generators::stream(plan);
        let mut dice = Dice::new(plan.seed);
        let mut bench = Bench::new(&genesis, false);
        let mut model = Model::new(&genesis);
        for record in &records {
            agree_on(record, &mut bench, &mut model);
            let before = bench.engine.image_digest();
            told.set(told.get() + same_answers(&mut dice, &bench, &model, record));
            assert_eq!(bench.engine.image_digest(), before);
        }
        let rows = model.accounts();
        let limit = u128::from(1 + dice.below(7));
        for (host, principal) in model.hosts().into_iter().enumerate() {
            for asset in [0, 1] {
                let answers = lists::walk(&bench.engine, principal, asset, limit);
                lists::expect_rows(&answers, &rows, host as u32, asset);
            }
        }
    });
    assert!(told.get() > 1_000, "hardly anything was told");
}

#[test]
fn a_recount_stands_alone_walks_when_it_may_and_is_kept_until_something_happens() {
    let mut frame = Frame::new();
    let recount = Command { asset: 1, ..Command::new(Kind::ReadRecount, CommandId(0)) };
    let supply = Command { asset: 1, ..Command::new(Kind::ReadSupply, CommandId(0)) };
    let read = |frame: &Frame, kept: &mut Recount, role, reads: &[Command]| {
        let request = Request { flags: flags::READ, ..head(role, 7 << 64, reads) };
        let mut bytes = Vec::new();
        frame.engine.read_with(&request, reads, kept, &mut bytes);
        let answers = bytes.chunks_exact(ANSWER_SIZE);
        answers.map(|bytes| Answer::read_from_bytes(bytes).unwrap()).collect::<Vec<_>>()
    };
    let mut kept = Recount::default();
    let crowd = read(&frame, &mut kept, Role::Auditor, &[recount; 100]);
    assert!(crowd.iter().all(|answer| answer.status == Status::ListShape.number()));
    let stranger = read(&frame, &mut kept, Role::Agent, &[recount]);
    assert_eq!(stranger[0].status, Status::NotFound.number());
    assert!(!kept.take_walked(), "a refusal costs nothing");

    let sums = read(&frame, &mut kept, Role::Auditor, &[supply])[0];
    let counted = read(&frame, &mut kept, Role::Auditor, &[recount])[0];
    assert_eq!(counted, Answer { kind: recount.kind, ..sums });
    assert!(kept.take_walked());
    kept.allow(false);
    assert_eq!(read(&frame, &mut kept, Role::Auditor, &[recount]), [counted]);
    assert!(!kept.take_walked());

    let pay = frame.pay(ALICE, BOB, 5);
    frame.must(Role::Agent, ALICE, pay);
    let busy = read(&frame, &mut kept, Role::Auditor, &[recount]);
    assert_eq!(busy[0].status, Status::Busy.number(), "what was counted is no longer true");
    kept.allow(true);
    let sums = read(&frame, &mut kept, Role::Auditor, &[supply])[0];
    let counted = read(&frame, &mut kept, Role::Auditor, &[recount])[0];
    assert_eq!(counted, Answer { kind: recount.kind, ..sums });
    assert!(kept.take_walked());
}
