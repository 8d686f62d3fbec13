//! Every cell of the table of authority: the engine answers `not_found` exactly where no rule
//! allows, whoever asks and however they stand to what they ask for.

use std::collections::{BTreeMap, BTreeSet};

use engine::authority::{Relation, TABLE, permits, rules};
use protocol::answer::{ANSWER_SIZE, Answer};
use protocol::data::TAG_SPIFFE_ID;
use protocol::genesis::Mode;
use protocol::kind::Kind;
use protocol::parameter::{Parameter, Parameters};
use protocol::request::{Request, Role, flags};
use protocol::{Command, CommandId, Status};
use zerocopy::FromBytes;

use crate::frame::{Frame, START_MS, head};
use crate::scene::{self, Person, Scene};

/// The scene in a frame of its own.
fn staged() -> (Scene, Frame) {
    let parameters = Parameters::default().with(Parameter::PairsCapacity, 1 << 10);
    let mut frame = Frame::empty(Mode::Frame, parameters);
    let principal = |name: &str, _| u128::from_le_bytes(*b"authority-------") ^ hash(name);
    let mut scene = Scene::new(START_MS, principal);
    for (name, command) in scene.making() {
        let person = scene.people.iter().find(|person| person.name == name);
        let person = person.expect("the scene has this person");
        frame.must(person.role, person.principal, command);
    }
    scene.people.push(Person { name: "frame", role: Role::Engine, principal: 1 << 100 });
    (scene, frame)
}

fn hash(name: &str) -> u128 {
    let mix = |sum: u128, byte| (sum ^ u128::from(byte)).wrapping_mul(0x0100_0193);
    name.bytes().fold(0x811c_9dc5, mix) << 32
}

fn answer(frame: &mut Frame, person: &Person, slots: &[Command]) -> Status {
    if slots[0].kind < 0x100 {
        return frame.send(person.role, person.principal, slots)[0].status;
    }
    let head = head(person.role, person.principal, slots);
    let mut bytes = Vec::new();
    frame.engine.read(&Request { flags: flags::READ, ..head }, slots, &mut bytes);
    let last = &bytes[bytes.len() - ANSWER_SIZE..];
    let answer = Answer::read_from_bytes(last).expect("it is one answer");
    Status::from_number(answer.status).expect("answers have statuses")
}

#[test]
fn not_found_is_answered_exactly_where_the_table_says_no() {
    let (mut scene, mut frame) = staged();
    let mut commands = scene.commands();
    // What only the frame itself sends.
    let internal = |kind| Command::new(kind, CommandId(0));
    commands.push(scene::with_text(internal(Kind::Identify), TAG_SPIFFE_ID));
    commands.push(vec![internal(Kind::Tick)]);
    // What became of each cell: whether it was allowed at least once, and refused at least once.
    let mut cells: BTreeMap<(Kind, Role), BTreeSet<bool>> = BTreeMap::new();
    for person in &scene.people {
        for slots in &commands {
            let command = &slots[0];
            let kind = Kind::try_from(command.kind).expect("the kind is known");
            let is_allowed = scene.permits(person, command);
            let status = answer(&mut frame, person, slots);
            assert_eq!(status != Status::NotFound, is_allowed, "{status}: {person:?} {command:?}");
            assert!(status >= Status::NotFound || status.is_ok(), "{status}: {command:?}");
            cells.entry((kind, person.role)).or_default().insert(is_allowed);
        }
    }
    for kind in Kind::ALL {
        for role in Role::ALL {
            let cell = &cells[&(kind, role)];
            let mine: Vec<_> =
                rules(kind).iter().filter(|rule| rule.roles.contains(&role)).collect();
            // Everybody may ask for what they sent; nobody else reads as the frame's own engine.
            let is_met = !mine.is_empty();
            assert_eq!(cell.contains(&true), is_met, "{kind:?} by {role:?} is allowed");
            let is_certain = mine.iter().any(|rule| rule.needs.is_empty());
            assert_eq!(cell.contains(&false), !is_certain, "{kind:?} by {role:?} is refused");
        }
    }
}

/// A need that could be dropped without a cell changing would be a need that nobody tests.
#[test]
fn every_need_of_every_rule_decides_some_cell() {
    let (mut scene, _) = staged();
    let commands = scene.commands();
    for row in &TABLE {
        for rule in row.rules {
            for &need in rule.needs {
                let decides = commands.iter().any(|slots| {
                    slots[0].kind == row.kind.number()
                        && scene.people.iter().any(|person| {
                            let stands = |relation| scene.stands(person, relation, &slots[0]);
                            let without = |relation| relation == need || stands(relation);
                            rule.roles.contains(&person.role)
                                && permits(row.kind, person.role, without)
                                && !permits(row.kind, person.role, stands)
                        })
                });
                // Belt and braces: no agent is one of the frame's own, and a burn by the
                // mint has one of two reasons, of which the other is allowed anyway.
                let is_belt = need == Relation::DebtorIsOrdinary
                    || (need == Relation::IsOrdinary && rule.roles == [Role::Mint]);
                assert_eq!(decides, !is_belt, "{need:?} of {rule:?} of {:?}", row.kind);
            }
        }
    }
}

#[test]
fn an_agent_that_calls_itself_one_of_the_frames_own_reads_and_pays_nothing() {
    let (_, mut frame) = staged();
    let treasury = protocol::system::treasury(1);
    let impostor = Person { name: "impostor", role: Role::Agent, principal: treasury };
    let read = Command::new(Kind::ReadAccount, CommandId(0));
    let read = Command { debit: treasury, asset: 1, ..read };
    assert_eq!(answer(&mut frame, &impostor, &[read]), Status::NotFound);
    let pay = Command::transfer(frame.id(), treasury, 1 << 90, 1, 0);
    assert_eq!(answer(&mut frame, &impostor, &[pay]), Status::NotFound);
}

#[test]
fn every_kind_has_rules_and_a_role_that_does_not_exist_has_none() {
    for row in &TABLE {
        assert!(!row.rules.is_empty(), "{:?} is for nobody", row.kind);
    }
    let (mut scene, mut frame) = staged();
    for slots in scene.commands().iter().filter(|slots| slots[0].kind < 0x100) {
        for number in [0, 8, u16::MAX] {
            let request = Request { role: number, ..head(Role::Agent, slots[0].debit, slots) };
            frame.begin();
            let mut outcomes = protocol::reply::Outcomes::default();
            frame.engine.execute(&request, slots, &mut outcomes);
            frame.engine.end_record();
            assert_eq!(outcomes.to_vec()[0].status, Status::NotFound, "{:?}", slots[0]);
        }
    }
}
