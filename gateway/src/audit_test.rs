//! What is told to the audit log, and what is not.

use std::sync::Mutex;

use protocol::reply::Outcome;
use protocol::{Command, CommandId, Request};

use super::*;

#[derive(Debug, Default)]
struct Kept(Mutex<Vec<Event>>);

impl AuditSink for Kept {
    fn note(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

/// A request of `role` whose commands got these statuses.
fn answered(role: Role, commands: &[(Kind, Status)]) -> Box<Envelope> {
    let slots: Vec<_> = commands
        .iter()
        .zip(1..)
        .map(|(&(kind, _), id)| Command { debit: 7, ..Command::new(kind, CommandId(id)) })
        .collect();
    let count = u32::try_from(slots.len()).unwrap();
    let mut envelope = Envelope::with_slots(count);
    let head = Request { slots: count, ..Request::default() };
    envelope.mark = mark(Door::Https, protocol::request::survey(&head, &slots).unwrap());
    envelope.head = Request { principal: 9, role: role as u16, ..head };
    envelope.slots = slots;
    envelope.outcomes.clear(100);
    for (&(_, status), sequence) in commands.iter().zip(100..) {
        envelope.outcomes.push(Outcome { sequence, status, rate: 0, repeat: false });
    }
    envelope
}

fn told(envelope: &Envelope) -> Vec<Audited> {
    let kept = Arc::new(Kept::default());
    let auditor = Auditor::new(Arc::clone(&kept) as Arc<_>, Arc::default());
    auditor.look(envelope);
    let events = std::mem::take(&mut *kept.0.lock().unwrap());
    let command = |event| match event {
        Event::Command(audited) => *audited,
        other => panic!("{other:?}"),
    };
    events.into_iter().map(command).collect()
}

#[test]
fn every_privileged_command_is_told_with_its_outcome() {
    for kind in Kind::ALL.into_iter().filter(|kind| kind.is_privileged()) {
        let envelope = answered(Role::Admin, &[(kind, Status::Ok), (kind, Status::MintHalted)]);
        let told = told(&envelope);
        assert_eq!(told.len(), 2, "{kind:?}");
        assert_eq!((told[0].kind, told[0].sequence, told[0].status), (kind, 100, Status::Ok));
        assert_eq!((told[1].id, told[1].sequence), (2, 101));
        assert_eq!((told[0].principal, told[0].role, told[0].door), (9, "admin", Door::Https));
    }
}

#[test]
fn payments_are_told_only_when_nobody_had_a_right_to_them() {
    let paid = [(Kind::Transfer, Status::Ok), (Kind::Hold, Status::InsufficientFunds)];
    assert!(told(&answered(Role::Agent, &paid)).is_empty());
    let trespass = [(Kind::Transfer, Status::Ok), (Kind::Hold, Status::NotFound)];
    let told = told(&answered(Role::Agent, &trespass));
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].kind, told[0].status), (Kind::Hold, Status::NotFound));
}

#[test]
fn an_agent_may_close_its_own_account_quietly() {
    assert!(told(&answered(Role::Agent, &[(Kind::Close, Status::Ok)])).is_empty());
    assert_eq!(told(&answered(Role::Agent, &[(Kind::Close, Status::NotFound)])).len(), 1);
    assert_eq!(told(&answered(Role::Admin, &[(Kind::Close, Status::Ok)])).len(), 1);
}

#[test]
fn a_request_that_was_refused_as_a_whole_is_told_too() {
    let mut envelope = answered(Role::Mint, &[(Kind::Issue, Status::Ok)]);
    envelope.refused = Some(Status::JournalFull);
    let told = told(&envelope);
    assert_eq!((told[0].sequence, told[0].status), (0, Status::JournalFull));
}

#[test]
fn a_flood_of_refusals_in_one_request_is_counted() {
    let many = vec![(Kind::Freeze, Status::NotFound); 1_000];
    let told = told(&answered(Role::Agent, &many));
    assert_eq!(told.len() as u32, AUDITED_REFUSALS_MAX);
    let more: u32 = told.iter().map(|audited| audited.more).sum();
    assert_eq!(more + AUDITED_REFUSALS_MAX, 1_000);
}
