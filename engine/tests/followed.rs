//! What is followed is what the history says of it, and following changes nothing. It refuses to
//! say what an effect should be. Invariant: effects have the same numbers whoever is told of them.

use engine::{Engine, Options};
use protocol::effect::{Effect, Event, TIMER_LEG};
use protocol::feed::{Interest, Place};
use protocol::genesis::Mode;
use protocol::parameter::{Parameter, Parameters};
use protocol::system::fee_collector;
use protocol::{Command, OwnerId, Role, Status, flags};

use crate::frame::*;

/// A frame that keeps no history and follows `interest`.
fn following(interest: Option<Interest>) -> Frame {
    let parameters = Parameters::default().with(Parameter::PairsCapacity, 1 << 10);
    let mut frame = Frame::empty(Mode::Frame, parameters);
    let history = interest.is_none();
    let options = Options { history, ..Options::default() };
    frame.engine =
        Engine::new(&genesis(Mode::Frame, parameters), options).expect("the genesis is valid");
    frame.engine.follow(interest);
    frame
}

fn of(owners: &[OwnerId]) -> Interest {
    Interest::Owners(owners.iter().copied().collect())
}

/// Payments, a chain that stands and one that falls, a hold that expires before a payment.
fn live(frame: &mut Frame) {
    for (host, owner) in [(NORTH, ALICE), (NORTH, BOB), (SOUTH, CAROL)] {
        let open = Command::open(frame.id(), owner, 1);
        frame.must(Role::Registry, host, open);
        let issue = Command::issue(frame.id(), owner, 1, GIVEN);
        frame.must(Role::Mint, MINT, issue);
    }
    for (debit, credit) in [(ALICE, BOB), (BOB, CAROL), (CAROL, ALICE), (ALICE, CAROL)] {
        let pay = frame.pay(debit, credit, 10_000);
        frame.must(Role::Agent, debit, pay);
    }
    for last in [1_000, GIVEN * 9] {
        let mut first = frame.pay(ALICE, BOB, 5_000);
        first.flags |= flags::LINKED;
        let second = frame.pay(ALICE, BOB, last);
        let status = if last > GIVEN { Status::InsufficientFunds } else { Status::Ok };
        assert_eq!(frame.send(Role::Registry, NORTH, &[first, second])[1].status, status);
    }
    let hold = frame.held(ALICE, BOB, 1_000);
    frame.must(Role::Agent, ALICE, hold);
    frame.now_ms += 100_000;
    let several = [frame.pay(BOB, ALICE, 700), frame.pay(BOB, ALICE, 800)];
    assert!(frame.send(Role::Agent, BOB, &several).iter().all(|one| one.status.is_ok()));
}

/// The history of that, and what the engine is then.
fn history() -> (Vec<Effect>, [u8; 16], [u8; 32]) {
    let mut frame = following(None);
    live(&mut frame);
    let told = frame.engine.postings().expect("history is on").to_vec();
    (told, frame.engine.run_digest(), frame.engine.image_digest())
}

#[test]
fn following_everything_tells_the_whole_history() {
    let (told, run, image) = history();
    let mut frame = following(Some(Interest::All));
    live(&mut frame);
    assert_eq!(frame.engine.followed(), told);
    assert_eq!((frame.engine.run_digest(), frame.engine.image_digest()), (run, image));
    assert!(told.iter().any(|effect| effect.event == Event::HoldExpired.number()));
    assert!(told.iter().any(|effect| effect.leg >= TIMER_LEG));
    let places = told.iter().map(|effect| Place::of(effect.sequence, effect.leg));
    assert!(places.collect::<Vec<_>>().is_sorted_by(|one, next| one < next));
}

#[test]
fn following_some_owners_tells_their_part_under_the_same_numbers() {
    let (told, run, image) = history();
    for owners in [&[ALICE][..], &[CAROL], &[BOB, CAROL], &[fee_collector(1)], &[MINT]] {
        let interest = of(owners);
        let mut frame = following(Some(interest.clone()));
        live(&mut frame);
        let part: Vec<_> =
            told.iter().filter(|effect| interest.wants_effect(effect)).copied().collect();
        assert_eq!(frame.engine.followed(), part, "{owners:?}");
        assert_eq!((frame.engine.run_digest(), frame.engine.image_digest()), (run, image));
    }
}

/// What is told of one payment of each to the next.
fn heard(frame: &mut Frame) -> Vec<Effect> {
    frame.engine.clear_followed();
    for (debit, credit) in [(ALICE, BOB), (BOB, CAROL), (CAROL, ALICE)] {
        let pay = frame.pay(debit, credit, 10_000);
        frame.must(Role::Agent, debit, pay);
    }
    frame.engine.followed().to_vec()
}

#[test]
fn who_is_followed_changes_between_records() {
    let mut frame = following(Some(Interest::All));
    live(&mut frame);
    let collector = fee_collector(1);
    for interest in [
        Some(of(&[ALICE])),
        Some(of(&[ALICE, BOB])),
        Some(of(&[CAROL, BOB, collector])),
        Some(of(&[collector])),
        Some(Interest::All),
        Some(of(&[MINT])),
        None,
        Some(of(&[BOB])),
    ] {
        frame.engine.follow(Some(Interest::All));
        let all = heard(&mut frame);
        frame.engine.follow(interest.clone());
        let told = heard(&mut frame);
        frame.engine.follow(None);
        assert!(heard(&mut frame).is_empty());
        // The same three payments, between the same accounts.
        let sides = |effect: &Effect| (effect.event, effect.leg, effect.debit, effect.credit);
        let wants = |effect: &&Effect| interest.as_ref().is_some_and(|it| it.wants_effect(effect));
        let expected: Vec<_> = all.iter().filter(wants).map(sides).collect();
        assert_eq!(told.iter().map(sides).collect::<Vec<_>>(), expected, "{interest:?}");
    }
}

/// An owner has an account in each asset, and may open another while it is followed.
#[test]
fn an_owner_is_followed_in_every_asset() {
    let mut frame = following(Some(Interest::All));
    live(&mut frame);
    assert_eq!(frame.create_asset(2), Status::Ok);
    let hold = |frame: &mut Frame, host, owner| {
        let open = Command::open(frame.id(), owner, 2);
        frame.must(Role::Registry, host, open);
        let issue = Command::issue(frame.id(), owner, 2, GIVEN);
        frame.must(Role::Mint, MINT, issue);
    };
    hold(&mut frame, NORTH, ALICE);
    hold(&mut frame, SOUTH, CAROL);
    frame.engine.follow(Some(of(&[ALICE, BOB])));
    frame.engine.clear_followed();
    hold(&mut frame, NORTH, BOB);
    let paid = [(1, ALICE, CAROL), (2, ALICE, CAROL), (2, CAROL, BOB), (1, CAROL, BOB)];
    for (asset, debit, credit) in paid {
        let pay = Command { asset, ..frame.pay(debit, credit, 10_000) };
        frame.must(Role::Agent, debit, pay);
    }
    let told = frame.engine.followed().iter();
    let told = told.filter(|effect| effect.event == Event::TokensTransferred.number());
    let told: Vec<_> = told.map(|effect| (effect.asset, effect.debit, effect.credit)).collect();
    assert_eq!(told, paid);
}

#[test]
fn what_was_taken_is_not_told_again_and_nothing_is_told_to_nobody() {
    let mut frame = following(Some(Interest::All));
    live(&mut frame);
    frame.engine.clear_followed();
    let pay = frame.pay(ALICE, BOB, 10);
    frame.must(Role::Agent, ALICE, pay);
    assert_eq!(frame.engine.followed().len(), 2);
    assert!(frame.engine.postings().is_none());
    frame.engine.clear_followed();
    frame.engine.follow(None);
    let pay = frame.pay(ALICE, BOB, 10);
    frame.must(Role::Agent, ALICE, pay);
    assert!(frame.engine.followed().is_empty());
}
