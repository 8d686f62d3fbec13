//! String keys: each takes effect at most once for ever, in bounded memory, whatever the settled
//! history is said to be. It refuses to depend on how the rows are kept. Invariant: a key that may
//! have been used and forgotten is executed only when the history was asked late enough.

use protocol::answer::Answer;
use protocol::cut::{Cut, Effects};
use protocol::effect::{Effect, Event};
use protocol::parameter::{Parameter, Parameters};
use protocol::reply::Outcome;
use protocol::{
    Command, CommandId, Kind, OwnerId, Request, Role, Sequence, Status, data, flags, key,
};

use zerocopy::FromBytes;

use crate::frame::*;

const DAY_MS: u64 = 86_400_000;

/// `command` of `principal` under a string key, with an id beside it or without.
pub(crate) fn keyed(
    principal: u128,
    text: &str,
    own: Option<CommandId>,
    command: Command,
) -> Vec<Command> {
    let own_bytes = own.map(|id| id.0.to_le_bytes());
    let mut entries = vec![(data::TAG_KEY, text.as_bytes())];
    entries.extend(own_bytes.iter().map(|bytes| (data::TAG_ID, &bytes[..])));
    let slots = data::encode(&entries);
    let mut all = vec![Command {
        id: key::id(principal, text.as_bytes()),
        flags: flags::KEYED,
        data: u16::try_from(slots.len()).expect("a key is short"),
        ..command
    }];
    all.extend(slots);
    all
}

fn payment(text: &str, amount: u128) -> Vec<Command> {
    let pay = Command::transfer(CommandId(0), ALICE, BOB, 1, amount);
    keyed(ALICE, text, None, pay)
}

fn send(frame: &mut Frame, slots: &[Command]) -> Outcome {
    frame.send(Role::Agent, ALICE, slots)[0]
}

/// A frame in which everything so far is settled a day later.
fn settle_a_day(frame: &mut Frame) {
    frame.now_ms += DAY_MS;
    frame.settled = frame.engine.executed().0;
}

fn tick(frame: &mut Frame) {
    frame.send(Role::Engine, 1 << 90, &[Command::new(Kind::Tick, CommandId(0))]);
}

fn cut(frame: &mut Frame) -> Cut {
    frame.engine.open_cut(false);
    frame.engine.cut_step(1_000).expect("a small cut is done at once")
}

fn effects(frame: &mut Frame) -> Vec<Effect> {
    match cut(frame).effects {
        Effects::All(effects) => effects,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_repeat_answers_as_before_and_another_body_is_refused() {
    let mut frame = Frame::new();
    let pay = payment("order 1", 1_000);
    let first = send(&mut frame, &pay);
    assert_eq!((first.status, first.repeat), (Status::Ok, false));
    let balance = frame.liquid(ALICE);
    frame.now_ms += DAY_MS - 10;
    let again = send(&mut frame, &pay);
    assert_eq!((again.sequence, again.repeat, again.rate), (first.sequence, true, first.rate));
    assert_eq!(send(&mut frame, &payment("order 1", 1_001)).status, Status::IdReused);
    assert_eq!(frame.liquid(ALICE), balance);
    assert_eq!(send(&mut frame, &payment("order 2", 1_000)).status, Status::Ok);
    assert_eq!(frame.engine.keys(), 2);
}

#[test]
fn a_key_belongs_to_its_principal_alone() {
    let mut frame = Frame::new();
    let pay = Command::transfer(CommandId(0), ALICE, BOB, 1, 1_000);
    let alices = keyed(ALICE, "order 1", None, pay);
    send(&mut frame, &alices);
    let stolen = frame.send(Role::Registry, NORTH, &alices)[0];
    assert_eq!(stolen.status, Status::DataMalformed, "not the hash of this principal's key");
    let hosts = keyed(NORTH, "order 1", None, pay);
    let outcome = frame.send(Role::Registry, NORTH, &hosts)[0];
    assert_eq!((outcome.status, outcome.repeat), (Status::Ok, false), "another key");
    let mut forged = payment("order 3", 1_000);
    forged[0].id ^= 1;
    assert_eq!(send(&mut frame, &forged).status, Status::DataMalformed);
}

#[test]
fn a_forgotten_key_is_never_executed_on_stale_knowledge() {
    let mut frame = Frame::new();
    let pay = payment("order 1", 1_000);
    let first = send(&mut frame, &pay);
    settle_a_day(&mut frame);
    tick(&mut frame);
    assert_eq!(frame.engine.keys(), 0);
    assert_eq!(frame.engine.keys_forgotten_through(), Sequence(first.sequence));
    let balance = frame.liquid(ALICE);
    for stale in [0, 1, first.sequence - 1] {
        frame.history_checked = stale;
        let outcome = send(&mut frame, &pay);
        assert_eq!(outcome.status, Status::KeyUnchecked, "paid twice");
        assert!(!outcome.status.is_remembered());
    }
    assert_eq!(frame.liquid(ALICE), balance);
    // Whoever asks at or after the last key forgotten has seen its row; a key without one is new.
    frame.history_checked = first.sequence;
    let fresh = send(&mut frame, &payment("order 2", 1_000));
    assert_eq!((fresh.status, fresh.repeat), (Status::Ok, false));
    // The engine takes the word of the history: only the row keeps a forgotten key from running.
    assert_eq!(send(&mut frame, &pay).status, Status::Ok);
}

#[test]
fn what_is_not_settled_is_not_forgotten() {
    let mut frame = Frame::new();
    let (one, two) = (payment("order 1", 1_000), payment("order 2", 1_000));
    let first = send(&mut frame, &one);
    send(&mut frame, &two);
    frame.now_ms += 3 * DAY_MS;
    frame.settled = first.sequence;
    assert!(send(&mut frame, &two).repeat);
    assert_eq!(frame.engine.keys(), 1);
    assert_eq!(frame.engine.keys_forgotten_through(), Sequence(first.sequence));
    frame.settled = 0;
    assert!(send(&mut frame, &two).repeat, "a record that knows less takes nothing back");
    assert_eq!(send(&mut frame, &one).status, Status::KeyUnchecked);
    assert_eq!(frame.engine.keys_forgotten_through(), Sequence(first.sequence));
}

#[test]
fn refusals_by_state_are_remembered_and_others_are_not() {
    let mut frame = Frame::new();
    let poor = payment("order 1", GIVEN + 1);
    assert_eq!(send(&mut frame, &poor).status, Status::InsufficientFunds);
    let issue = Command::issue(frame.id(), ALICE, 1, GIVEN);
    frame.must(Role::Mint, MINT, issue);
    let again = send(&mut frame, &poor);
    assert_eq!((again.status, again.repeat), (Status::InsufficientFunds, true));
    let not_hers = Command::transfer(CommandId(0), CAROL, BOB, 1, 5);
    let not_hers = keyed(ALICE, "order 2", None, not_hers);
    assert_eq!(send(&mut frame, &not_hers).status, Status::NotFound);
    assert_eq!(frame.engine.keys(), 1);
}

#[test]
fn a_key_and_an_id_agree_for_ever() {
    let mut frame = Frame::new();
    let own = frame.id();
    let with = |own, amount| {
        keyed(ALICE, "order 1", own, Command::transfer(CommandId(0), ALICE, BOB, 1, amount))
    };
    let both = with(Some(own), 1_000);
    let first = send(&mut frame, &both);
    assert_eq!(first.status, Status::Ok);
    assert!(send(&mut frame, &both).repeat);
    let other_id = Some(frame.id());
    assert_eq!(send(&mut frame, &with(other_id, 1_000)).status, Status::IdReused);
    assert_eq!(send(&mut frame, &with(None, 1_000)).status, Status::IdReused);
    let other_key =
        keyed(ALICE, "order 2", Some(own), Command::transfer(CommandId(0), ALICE, BOB, 1, 1_000));
    assert_eq!(send(&mut frame, &other_key).status, Status::IdReused);
    let bare = Command::transfer(own, ALICE, BOB, 1, 1_000);
    assert_eq!(send(&mut frame, &[bare]).status, Status::IdReused);
    // The scope of the id is that of the kind: her host cannot use it up either.
    assert_eq!(frame.ask(Role::Registry, NORTH, bare), Status::IdReused);
    let zero = with(Some(CommandId(0)), 1_000);
    assert_eq!(send(&mut frame, &zero).status, Status::IdZero);
    let later = CommandId::new(frame.now_ms + 6_000, 1);
    let pay = Command::transfer(CommandId(0), ALICE, BOB, 1, 1_000);
    let future = keyed(ALICE, "order 3", Some(later), pay);
    assert_eq!(send(&mut frame, &future).status, Status::IdInFuture);
    frame.now_ms += 130_000;
    let fresh = keyed(ALICE, "order 4", Some(own), pay);
    assert_eq!(send(&mut frame, &fresh).status, Status::IdTooOld);
}

#[test]
fn a_retry_after_the_window_of_its_id_gets_the_stored_answer() {
    let mut frame = Frame::new();
    let own = frame.id();
    let pay = Command::transfer(CommandId(0), ALICE, BOB, 1, 1_000);
    let both = keyed(ALICE, "order 1", Some(own), pay);
    let lost = send(&mut frame, &both);
    assert_eq!(lost.status, Status::Ok);
    let balance = frame.liquid(ALICE);
    // Nothing is settled meanwhile, so that nobody but the engine knows what became of it.
    for age_ms in [130_000, DAY_MS, 3 * DAY_MS] {
        frame.now_ms += age_ms;
        let again = send(&mut frame, &both);
        assert_eq!(again, Outcome { repeat: true, ..lost });
        let other = Command { amount: 1_001, ..pay };
        let other = keyed(ALICE, "order 1", Some(own), other);
        assert_eq!(send(&mut frame, &other).status, Status::IdReused);
    }
    assert_eq!(frame.liquid(ALICE), balance);
}

#[test]
fn what_became_of_a_key_can_be_read_by_its_hash() {
    let mut frame = Frame::new();
    let pay = payment("order 1", GIVEN + 1);
    let id = pay[0].id;
    let sent = send(&mut frame, &pay);
    assert_eq!(sent.status, Status::InsufficientFunds);
    let read = |frame: &Frame, role, principal, owner, id| {
        let read = Command {
            debit: owner,
            reference: id,
            ..Command::new(Kind::ReadOutcome, CommandId(0))
        };
        let request =
            Request { flags: protocol::request::flags::READ, ..head(role, principal, &[read]) };
        let mut bytes = Vec::new();
        frame.engine.read(&request, &[read], &mut bytes);
        Answer::read_from_bytes(&bytes).expect("it is one answer")
    };
    for (role, principal) in [(Role::Agent, ALICE), (Role::Registry, NORTH), (Role::Auditor, 7)] {
        let answer = read(&frame, role, principal, ALICE, id);
        assert_eq!((answer.status, answer.flags), (0, 1), "{role:?}");
        assert_eq!(answer.sequence, sent.sequence);
        assert_eq!(answer.host, u32::from(Status::InsufficientFunds.number()));
    }
    let refused = read(&frame, Role::Agent, BOB, ALICE, id);
    assert_eq!(refused.status, Status::NotFound.number());
    let bobs = read(&frame, Role::Agent, BOB, BOB, id);
    assert_eq!((bobs.status, bobs.flags), (0, 0), "a key belongs to its principal");
    let other = read(&frame, Role::Agent, ALICE, ALICE, id ^ 1);
    assert_eq!((other.status, other.flags), (0, 0));
}

#[test]
fn an_id_that_outlives_its_key_still_answers() {
    let parameters = Parameters::default().with(Parameter::KeysWindowMs, 1_000);
    let mut frame = Frame::with(parameters);
    let own = frame.id();
    let pay = Command::transfer(CommandId(0), ALICE, BOB, 1, 1_000);
    let both = keyed(ALICE, "order 1", Some(own), pay);
    let first = send(&mut frame, &both);
    frame.now_ms += 2_000;
    frame.settled = frame.engine.executed().0;
    tick(&mut frame);
    assert_eq!(frame.engine.keys(), 0);
    let again = send(&mut frame, &both);
    assert_eq!((again.sequence, again.repeat), (first.sequence, true));
}

#[test]
fn a_full_table_forgets_early_what_is_settled_and_then_refuses() {
    let parameters = Parameters::default()
        .with(Parameter::KeysCapacity, 64)
        .with(Parameter::IdsMinWindowMs, 2_000);
    let mut frame = Frame::with(parameters);
    for number in 0..64 {
        assert_eq!(send(&mut frame, &payment(&format!("order {number}"), 5)).status, Status::Ok);
    }
    let next = payment("next", 5);
    frame.history_checked = u64::MAX;
    assert_eq!(send(&mut frame, &next).status, Status::KeysFull);
    frame.now_ms += 5_000;
    assert_eq!(send(&mut frame, &next).status, Status::KeysFull, "nothing is settled");
    assert!(send(&mut frame, &payment("order 0", 5)).repeat, "a repeat needs no room");
    let by_id = frame.pay(ALICE, BOB, 5);
    frame.must(Role::Agent, ALICE, by_id);
    frame.settled = frame.engine.executed().0;
    assert_eq!(send(&mut frame, &next).status, Status::Ok);
    assert_eq!(frame.engine.keys(), 64, "one was forgotten");
    frame.history_checked = frame.engine.keys_forgotten_through().0 - 1;
    assert_eq!(send(&mut frame, &payment("order 0", 5)).status, Status::KeyUnchecked);
    assert_eq!(frame.set(Parameter::KeysCapacity, 65), Status::Ok);
    assert_eq!(frame.set(Parameter::KeysCapacity, 64), Status::CapacityShrinks);
}

#[test]
fn an_id_beside_a_key_needs_room_and_a_time_that_is_left() {
    let parameters = Parameters::default()
        .with(Parameter::IdsCapacity, 64)
        .with(Parameter::IdsMinWindowMs, 2_000);
    let mut frame = Frame::with(parameters);
    frame.now_ms += 10_000;
    for _ in 0..64 {
        let pay = frame.pay(ALICE, BOB, 5);
        frame.must(Role::Agent, ALICE, pay);
    }
    let pay = Command::transfer(CommandId(0), ALICE, BOB, 1, 5);
    let own = frame.id();
    let both = keyed(ALICE, "order 1", Some(own), pay);
    assert_eq!(send(&mut frame, &both).status, Status::Busy);
    assert_eq!(send(&mut frame, &payment("order 2", 5)).status, Status::Ok, "a key needs none");
    frame.now_ms = (frame.now_ms / 1_000 + 3) * 1_000;
    assert_eq!(send(&mut frame, &both).status, Status::IdTooOld, "its own slice went");
    assert_eq!(frame.engine.keys(), 1);
    let own = frame.id();
    let later = keyed(ALICE, "order 1", Some(own), pay);
    assert_eq!(send(&mut frame, &later).status, Status::Ok);
}

#[test]
fn every_used_key_is_an_effect_of_its_command() {
    let mut frame = Frame::new();
    effects(&mut frame);
    let (good, poor) = (payment("order 1", 1_000), payment("order 2", GIVEN));
    let (paid, refused) = (send(&mut frame, &good), send(&mut frame, &poor));
    send(&mut frame, &good);
    send(&mut frame, &payment("order 1", 7));
    let all = effects(&mut frame);
    let used = |effect: &&Effect| effect.event == Event::KeyUsed.number();
    let used: Vec<_> = all.iter().filter(used).collect();
    assert_eq!(used.len(), 2, "repeats and unremembered refusals use no key");
    for (effect, outcome, slots) in [(used[0], paid, &good), (used[1], refused, &poor)] {
        let expected = Effect {
            sequence: outcome.sequence,
            leg: effect.leg,
            event: Event::KeyUsed.number(),
            debit: ALICE,
            amount: key::body_digest(&slots[0], &slots[1..]),
            reference: slots[0].id,
            user_data: u64::from(outcome.status.number()),
            rate: u32::from(outcome.rate),
            ..Effect::default()
        };
        assert_eq!(*effect, expected);
        let legs = |one: &&Effect| one.sequence == outcome.sequence;
        let legs: Vec<_> = all.iter().filter(legs).map(|one| one.leg).collect();
        assert!(legs.iter().copied().eq(0..legs.len() as u16), "legs without gaps: {legs:?}");
        assert_eq!(Some(effect.leg), legs.last().copied());
    }
}

#[test]
fn a_hold_under_a_key_is_named_by_its_hash() {
    let mut frame = Frame::new();
    let hold = Command::hold(CommandId(0), ALICE, BOB, 1, 1_000, 60_000);
    let slots = keyed(ALICE, "booking", None, hold);
    assert_eq!(send(&mut frame, &slots).status, Status::Ok);
    let capture = Command::capture(frame.id(), &slots[0], None);
    frame.must(Role::Agent, BOB, capture);
    assert!(send(&mut frame, &slots).repeat, "a hold that has ended is not placed again");
}

#[test]
fn a_hold_that_is_open_is_not_placed_again_whatever_the_history_says() {
    let mut frame = Frame::new();
    let hold = Command::hold(CommandId(0), ALICE, BOB, 1, 1_000, 2_000_000_000);
    let slots = keyed(ALICE, "booking", None, hold);
    assert_eq!(send(&mut frame, &slots).status, Status::Ok);
    settle_a_day(&mut frame);
    frame.history_checked = u64::MAX;
    assert_eq!(send(&mut frame, &slots).status, Status::IdReused);
    assert_eq!(frame.row(ALICE).held, 1_000);
}

#[test]
fn a_chain_has_no_keys() {
    let mut frame = Frame::new();
    let first = Command { flags: flags::LINKED, ..frame.pay(ALICE, BOB, 5) };
    let mut chain = vec![first];
    chain.extend(payment("order 1", 5));
    let statuses: Vec<_> =
        frame.send(Role::Agent, ALICE, &chain).iter().map(|outcome| outcome.status).collect();
    assert_eq!(statuses, [Status::LinkedFailed, Status::Malformed]);
    assert_eq!(frame.engine.keys(), 0);
}

#[test]
fn keys_are_part_of_the_image() {
    let images = ["order 1", "order 2"].map(|text| {
        let mut frame = Frame::new();
        send(&mut frame, &payment(text, 1_000));
        (frame.engine.run_digest(), frame.engine.image_digest())
    });
    assert_eq!(images[0].0, images[1].0, "what was done is the same");
    assert_ne!(images[0].1, images[1].1, "what is remembered is not");
}

/// Everybody's commands of every kind may have a key.
#[test]
fn any_kind_may_have_a_key() {
    let mut frame = Frame::new();
    let open = Command::open(CommandId(0), DAVE, 1);
    let as_registry =
        |frame: &mut Frame, slots: &[Command]| frame.send(Role::Registry, NORTH, slots)[0].status;
    assert_eq!(as_registry(&mut frame, &keyed(NORTH, "dave", None, open)), Status::Ok);
    let freeze = |owner: OwnerId| Command {
        debit: owner,
        asset: 1,
        ..Command::new(Kind::Freeze, CommandId(0))
    };
    assert_eq!(as_registry(&mut frame, &keyed(NORTH, "cold", None, freeze(DAVE))), Status::Ok);
    assert!(frame.send(Role::Registry, NORTH, &keyed(NORTH, "dave", None, open))[0].repeat);
}
