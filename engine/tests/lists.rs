//! The list of accounts: pages that together give every account of a host once, and nothing else.

use std::collections::BTreeMap;

use protocol::answer::{ANSWER_SIZE, Answer, trailer_flags};
use protocol::cut::AccountRow;
use protocol::kind::Kind;
use protocol::request::{Request, Role, flags};
use protocol::{AssetId, Command, CommandId, OwnerId, Status};
use zerocopy::FromBytes;

use engine::Engine;

use crate::frame::{ADMIN, ALICE, BOB, CAROL, Frame, NORTH, SOUTH, head};

const AUDITOR: u128 = 0x105 << 64;

fn list(host: u128, asset: AssetId, cursor: u64, limit: u128) -> Command {
    Command {
        credit: host,
        asset,
        value: cursor,
        amount: limit,
        ..Command::new(Kind::ReadAccounts, CommandId(0))
    }
}

fn read(engine: &Engine, role: Role, principal: u128, reads: &[Command]) -> Vec<Answer> {
    let request = Request { flags: flags::READ, ..head(role, principal, reads) };
    let mut bytes = Vec::new();
    engine.read(&request, reads, &mut bytes);
    let answers = bytes.chunks_exact(ANSWER_SIZE);
    answers.map(|bytes| Answer::read_from_bytes(bytes).expect("it is one answer")).collect()
}

/// One page: its accounts, and the cursor of the next if more may come.
fn page(engine: &Engine, role: Role, principal: u128, list: Command) -> (Vec<Answer>, Option<u64>) {
    let mut answers = read(engine, role, principal, &[list]);
    let trailer = answers.pop().expect("a page has a trailer");
    assert_eq!(trailer.status, 0, "{list:?}");
    assert!(answers.len() as u128 <= list.amount);
    assert!(trailer.time >= list.value);
    let is_last = trailer.flags & trailer_flags::MORE == 0;
    (answers, (!is_last).then_some(trailer.time))
}

/// Every account of a host, as an admin sees it.
pub(crate) fn walk(engine: &Engine, host: u128, asset: AssetId, limit: u128) -> Vec<Answer> {
    let mut found = Vec::new();
    let mut cursor = Some(0);
    while let Some(from) = cursor {
        let (answers, next) = page(engine, Role::Admin, ADMIN, list(host, asset, from, limit));
        assert!(next.is_none_or(|next| next > from), "a walk ends");
        found.extend(answers);
        cursor = next;
    }
    found
}

fn names(answers: &[Answer]) -> Vec<(OwnerId, AssetId)> {
    answers.iter().map(|answer| (answer.owner(), answer.asset)).collect()
}

fn refusal(engine: &Engine, role: Role, principal: u128, list: Command) -> Status {
    let answers = read(engine, role, principal, &[list]);
    assert_eq!(answers.len(), 1, "a refused list has one answer");
    assert_eq!(answers[0].kind, Kind::ReadAccounts.number());
    Status::from_number(answers[0].status).expect("answers have statuses")
}

/// What a walk must give, by the rows of all accounts.
pub(crate) fn expect_rows(answers: &[Answer], rows: &[AccountRow], host: u32, asset: AssetId) {
    let found: BTreeMap<_, _> =
        answers.iter().map(|answer| ((answer.owner(), answer.asset), answer)).collect();
    assert_eq!(found.len(), answers.len(), "no account comes twice");
    let rows: Vec<_> =
        rows.iter().filter(|row| row.host == host && (asset == 0 || row.asset == asset)).collect();
    assert_eq!(found.len(), rows.len());
    for row in rows {
        let answer = found[&(row.owner, row.asset)];
        assert_eq!(answer.kind, Kind::ReadAccounts.number());
        assert_eq!((answer.liquid(), answer.held), (row.liquid, row.held));
        assert_eq!((answer.minimum, answer.credit), (row.minimum, row.credit_limit));
        assert_eq!((answer.host, answer.flags), (row.host, row.flags));
    }
}

#[test]
fn pages_give_the_accounts_of_a_host_in_the_order_of_their_opening() {
    let mut frame = Frame::new();
    let open = Command::open(frame.id(), ALICE, 2);
    frame.must(Role::Registry, NORTH, open);
    let engine = &frame.engine;
    let all = [(ALICE, 1), (BOB, 1), (ALICE, 2)];
    for limit in [1, 2, 3, 1_000] {
        assert_eq!(names(&walk(engine, NORTH, 0, limit)), all);
        assert_eq!(names(&walk(engine, NORTH, 1, limit)), all[..2]);
        assert_eq!(names(&walk(engine, SOUTH, 0, limit)), [(CAROL, 1)]);
    }
    let (first, next) = page(engine, Role::Registry, NORTH, list(NORTH, 0, 0, 2));
    assert_eq!(names(&first), all[..2]);
    let (second, _) = page(engine, Role::Registry, NORTH, list(NORTH, 0, next.unwrap(), 2));
    assert_eq!(names(&second), all[2..]);
    expect_rows(&walk(engine, NORTH, 0, 2), &engine.accounts(), 1, 0);
    expect_rows(&walk(engine, 0, 0, 7), &engine.accounts(), 0, 0);
    expect_rows(&walk(engine, 0, 2, 1), &engine.accounts(), 0, 2);
}

#[test]
fn a_page_looks_at_a_bounded_number_of_rows_and_may_be_empty() {
    let mut frame = Frame::new();
    let opens: Vec<Command> =
        (1..=8_000_u128).map(|number| Command::open(frame.id(), number << 80, 1)).collect();
    let outcomes = frame.send(Role::Registry, SOUTH, &opens);
    assert!(outcomes.iter().all(|outcome| outcome.status.is_ok()));
    let late = 9_999 << 80;
    let open = Command::open(frame.id(), late, 1);
    frame.must(Role::Registry, NORTH, open);
    let engine = &frame.engine;
    let (first, next) = page(engine, Role::Auditor, AUDITOR, list(NORTH, 0, 0, 1_000));
    assert_eq!((names(&first), next), (vec![(ALICE, 1), (BOB, 1)], Some(4_096)));
    let (second, next) = page(engine, Role::Auditor, AUDITOR, list(NORTH, 0, 100, 1_000));
    assert_eq!((second.len(), next), (0, Some(4_196)));
    assert_eq!(names(&walk(engine, NORTH, 0, 1_000)), [(ALICE, 1), (BOB, 1), (late, 1)]);
    assert_eq!(walk(engine, SOUTH, 0, 999).len(), 8_001);
    let (full, next) = page(engine, Role::Registry, SOUTH, list(SOUTH, 1, 0, 1_000));
    assert_eq!(full.len(), 1_000);
    assert!(next.is_some());
}

#[test]
fn accounts_opened_meanwhile_come_at_the_end_and_none_comes_twice() {
    let mut frame = Frame::new();
    let (first, next) = page(&frame.engine, Role::Registry, NORTH, list(NORTH, 0, 0, 1));
    let late = 7 << 90;
    let open = Command::open(frame.id(), late, 1);
    frame.must(Role::Registry, NORTH, open);
    let rest = list(NORTH, 0, next.unwrap(), 1_000);
    let (second, next) = page(&frame.engine, Role::Registry, NORTH, rest);
    assert_eq!(names(&[first, second].concat()), [(ALICE, 1), (BOB, 1), (late, 1)]);
    assert_eq!(next, None);
    for cursor in [1 << 40, u64::MAX] {
        let beyond = page(&frame.engine, Role::Registry, NORTH, list(NORTH, 0, cursor, 5));
        assert_eq!(beyond, (Vec::new(), None));
    }
}

#[test]
fn a_list_has_a_limit_and_no_company() {
    let frame = Frame::new();
    let engine = &frame.engine;
    for limit in [0, 1_001, u128::MAX] {
        let refused = refusal(engine, Role::Registry, NORTH, list(NORTH, 0, 0, limit));
        assert_eq!(refused, Status::ListShape);
    }
    let supply = Command { asset: 1, ..Command::new(Kind::ReadSupply, CommandId(0)) };
    let good = list(NORTH, 0, 0, 5);
    for reads in [[good, good], [good, supply], [supply, good]] {
        let answers = read(engine, Role::Admin, ADMIN, &reads);
        let statuses = reads.map(|read| if read == good { Status::ListShape.number() } else { 0 });
        assert_eq!(answers.len(), 2);
        assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), statuses);
    }
    let dirty = Command { debit: 1, ..good };
    assert_eq!(refusal(engine, Role::Admin, ADMIN, dirty), Status::Malformed);
}

#[test]
fn a_list_is_for_the_host_itself_auditors_and_admins() {
    let frame = Frame::new();
    let engine = &frame.engine;
    let ask = list(NORTH, 0, 0, 5);
    for (role, principal) in [
        (Role::Registry, SOUTH),
        (Role::Agent, ALICE),
        (Role::Agent, NORTH),
        (Role::Mint, NORTH),
        (Role::Peer, NORTH),
    ] {
        assert_eq!(refusal(engine, role, principal, ask), Status::NotFound, "{role:?}");
    }
    let (east, nowhere) = (0x99 << 64, list(NORTH, 9, 0, 5));
    let none = page(engine, Role::Registry, east, list(east, 0, 0, 5));
    assert_eq!(none, (Vec::new(), None), "a registry that hosts nobody");
    let unknown = refusal(engine, Role::Auditor, AUDITOR, list(east, 0, 0, 5));
    assert_eq!(unknown, Status::CreditorNotFound);
    assert_eq!(refusal(engine, Role::Registry, NORTH, nowhere), Status::AssetNotFound);
}
