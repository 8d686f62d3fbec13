//! Every posting row of the rules with exact numbers, and every effect that it leaves. It refuses
//! to compute a fee: all figures are written out. Invariant: what one side loses the others gain.

use protocol::command::{flags, reason};
use protocol::cut::Effects;
use protocol::effect::{Effect, Event};
use protocol::parameter::{Parameter, Parameters};
use protocol::system::{GRANT_POOL, STAKING_POOL, fee_collector, treasury};
use protocol::{Command, Kind, OwnerId, Role, Status};

use crate::frame::*;

/// What changed, as (owner, liquid, held), and the events.
fn changes(
    frame: &mut Frame,
    run: impl FnOnce(&mut Frame),
) -> (Vec<(OwnerId, i128, i128)>, Vec<Event>) {
    let owners = [ALICE, BOB, CAROL, fee_collector(1), fee_collector(2), treasury(0), treasury(2)];
    let see = |frame: &Frame| {
        owners.map(|owner| {
            let row = frame.engine.account(owner, 1);
            row.map_or((0, 0), |row| (row.liquid, row.held.cast_signed()))
        })
    };
    frame.engine.discard_changes();
    let before = see(frame);
    run(frame);
    let after = see(frame);
    let moved = owners
        .iter()
        .zip(before.iter().zip(&after))
        .map(|(&owner, (before, after))| (owner, after.0 - before.0, after.1 - before.1))
        .filter(|&(_, liquid, held)| (liquid, held) != (0, 0))
        .collect();
    (moved, effects(frame).iter().map(event).collect())
}

fn effects(frame: &mut Frame) -> Vec<Effect> {
    frame.engine.open_cut(false);
    loop {
        if let Some(cut) = frame.engine.cut_step(3) {
            let Effects::All(rows) = cut.effects else {
                panic!("history is on");
            };
            return rows;
        }
    }
}

fn event(effect: &Effect) -> Event {
    use Event as E;
    let all = [
        E::TokensIssued,
        E::TokensTransferred,
        E::TransactionFeeCollected,
        E::TokensBurned,
        E::BalanceCorrected,
        E::DisputeCompensationMinted,
        E::ProjectionSnapshot,
        E::CrossRegistryTransferCompleted,
        E::HoldPlaced,
        E::HoldCaptured,
        E::HoldReleased,
        E::HoldExpired,
        E::AccountOpened,
        E::AccountClosed,
        E::AccountFrozen,
        E::AccountUnfrozen,
        E::AccountLimitsSet,
        E::OwnerRehosted,
        E::ConfigurationChanged,
        E::AssetCreated,
        E::MintHalted,
        E::MintResumed,
        E::PrincipalIdentified,
    ];
    all.into_iter().find(|event| event.number() == effect.event).expect("every event is listed")
}

const PAID: [Event; 2] = [Event::TokensTransferred, Event::TransactionFeeCollected];

#[test]
fn a_transfer_pays_the_base_fee_out_of_the_amount() {
    let mut frame = Frame::new();
    let pay = frame.pay(ALICE, BOB, 1_000_001);
    let (moved, events) = changes(&mut frame, |frame| {
        assert_eq!(frame.must(Role::Agent, ALICE, pay).rate, 5_000);
    });
    let expected = [(ALICE, -1_000_001, 0), (BOB, 995_000, 0), (fee_collector(1), 5_001, 0)];
    assert_eq!((moved.as_slice(), events.as_slice()), (&expected[..], &PAID[..]));
}

#[test]
fn a_busy_pair_pays_the_velocity_part_on_top() {
    let mut frame = Frame::new();
    for _ in 0..60 {
        let pay = frame.pay(ALICE, BOB, 100);
        frame.must(Role::Agent, ALICE, pay);
    }
    let pay = frame.pay(ALICE, BOB, 1_000_000);
    let (moved, _) = changes(&mut frame, |frame| {
        assert_eq!(frame.must(Role::Agent, ALICE, pay).rate, 27_500);
    });
    let expected = [(ALICE, -1_022_500, 0), (BOB, 995_000, 0), (fee_collector(1), 27_500, 0)];
    assert_eq!(moved, expected);
    let back = frame.pay(BOB, ALICE, 1_000_000);
    assert_eq!(frame.must(Role::Agent, BOB, back).rate, 5_000, "pairs are ordered");
}

#[test]
fn between_hosts_the_payees_treasury_gets_its_half_percent() {
    let parameters = Parameters::default()
        .with(Parameter::FeeBase, 10_000)
        .with(Parameter::VelocityFree, 1)
        .with(Parameter::VelocityCap, 2);
    let mut frame = Frame::with(parameters);
    let pay = frame.pay(ALICE, CAROL, 1_000);
    let (moved, events) = changes(&mut frame, |frame| {
        frame.must(Role::Agent, ALICE, pay);
    });
    assert_eq!(moved, [(ALICE, -1_000, 0), (CAROL, 995, 0), (treasury(2), 5, 0)]);
    let cross = Event::CrossRegistryTransferCompleted;
    assert_eq!(events, [PAID[0], PAID[1], cross]);
    for _ in 0..2 {
        let pay = frame.pay(ALICE, CAROL, 1_000);
        frame.must(Role::Agent, ALICE, pay);
    }
    let pay = frame.pay(ALICE, CAROL, 1_000_000);
    let (moved, events) = changes(&mut frame, |frame| {
        assert_eq!(frame.must(Role::Agent, ALICE, pay).rate, 50_000);
    });
    let expected = [
        (ALICE, -1_040_000, 0),
        (CAROL, 995_000, 0),
        (fee_collector(1), 40_000, 0),
        (treasury(2), 5_000, 0),
    ];
    assert_eq!(moved, expected);
    assert_eq!(events, [PAID[0], PAID[1], PAID[1], cross]);
}

#[test]
fn payments_to_the_frame_are_free_and_not_counted() {
    let mut frame = Frame::new();
    for _ in 0..200 {
        let pay = Command { value: 1, ..frame.pay(ALICE, treasury(0), 1) };
        assert_eq!(frame.must(Role::Agent, ALICE, pay).rate, 0);
    }
    for pool in [STAKING_POOL, GRANT_POOL, treasury(2)] {
        let pay = frame.pay(ALICE, pool, 7);
        frame.must(Role::Agent, ALICE, pay);
    }
    assert_eq!(frame.liquid(treasury(0)), 200);
    assert_eq!(frame.liquid(ALICE), 1_000_000_000 - 221);
}

#[test]
fn the_frames_own_units_go_their_routes() {
    let mut frame = Frame::new();
    let pay = frame.pay(ALICE, BOB, 1_000_000);
    frame.must(Role::Agent, ALICE, pay);
    let routes = [
        (fee_collector(1), treasury(0), 5_000),
        (treasury(0), STAKING_POOL, 1_000),
        (treasury(0), GRANT_POOL, 1_000),
        (treasury(0), CAROL, 3_000),
    ];
    for (debit, credit, amount) in routes {
        let command = frame.move_units(debit, credit, amount);
        assert_eq!(frame.must(Role::Admin, ADMIN, command).rate, 0);
    }
    assert_eq!(frame.liquid(fee_collector(1)), 0);
    assert_eq!(frame.liquid(treasury(0)), 0);
    assert_eq!(frame.liquid(CAROL), 1_000_003_000);
}

#[test]
fn a_hold_is_captured_in_parts_released_or_expires() {
    let mut frame = Frame::new();
    let hold = Command { flags: flags::KEEP, ..frame.held(ALICE, BOB, 1_000) };
    let (moved, events) = changes(&mut frame, |frame| {
        assert_eq!(frame.must(Role::Agent, ALICE, hold).rate, 5_000);
    });
    assert_eq!((moved, events), (vec![(ALICE, -1_000, 1_000)], vec![Event::HoldPlaced]));
    let part = Command { flags: flags::KEEP, ..Command::capture(frame.id(), &hold, Some(401)) };
    let (moved, events) = changes(&mut frame, |frame| {
        frame.must(Role::Registry, NORTH, part);
    });
    let expected = [(ALICE, 0, -401), (BOB, 398, 0), (fee_collector(1), 3, 0)];
    assert_eq!(moved, expected);
    assert_eq!(events, [PAID[0], PAID[1], Event::HoldCaptured]);
    let last = Command::capture(frame.id(), &hold, Some(200));
    let (moved, events) = changes(&mut frame, |frame| {
        frame.must(Role::Agent, BOB, last);
    });
    let expected = [(ALICE, 399, -599), (BOB, 199, 0), (fee_collector(1), 1, 0)];
    assert_eq!(moved, expected);
    assert_eq!(events, [PAID[0], PAID[1], Event::HoldCaptured, Event::HoldReleased]);

    let hold = frame.held(ALICE, CAROL, 1_000);
    frame.must(Role::Agent, ALICE, hold);
    let all = Command::capture(frame.id(), &hold, None);
    let (moved, _) = changes(&mut frame, |frame| {
        frame.must(Role::Agent, CAROL, all);
    });
    assert_eq!(moved, [(ALICE, 0, -1_000), (CAROL, 995, 0), (treasury(2), 5, 0)]);

    let hold = frame.held(ALICE, CAROL, 1_000);
    frame.must(Role::Agent, ALICE, hold);
    let release = Command::release(frame.id(), &hold);
    let (moved, events) = changes(&mut frame, |frame| {
        frame.must(Role::Registry, SOUTH, release);
    });
    assert_eq!((moved, events), (vec![(ALICE, 1_000, -1_000)], vec![Event::HoldReleased]));
}

#[test]
fn a_hold_is_dead_from_its_expiry_on() {
    let mut frame = Frame::new();
    let hold = frame.held(ALICE, BOB, 1_000);
    frame.must(Role::Agent, ALICE, hold);
    let expiry_ms = frame.now_ms + 60_000;
    assert_eq!(frame.engine.next_deadline_ns(), Some(expiry_ms * 1_000_000));
    frame.now_ms = expiry_ms - 2;
    frame.send(Role::Engine, 0, &[Command { kind: Kind::Tick.number(), ..Command::default() }]);
    assert_eq!(frame.row(ALICE).held, 1_000, "not yet");
    let capture = Command::capture(frame.id(), &hold, None);
    let (moved, events) = changes(&mut frame, |frame| {
        assert_eq!(frame.ask(Role::Agent, BOB, capture), Status::HoldNotFound);
    });
    assert_eq!((moved, events), (vec![(ALICE, 1_000, -1_000)], vec![Event::HoldExpired]));
    assert_eq!(frame.engine.next_deadline_ns(), None);
}

#[test]
fn captures_go_on_for_a_frozen_debtor_and_at_the_old_rate() {
    let mut frame = Frame::new();
    let hold = frame.held(ALICE, BOB, 1_000);
    frame.must(Role::Agent, ALICE, hold);
    assert_eq!(frame.by_admin(Kind::Freeze, ALICE), Status::Ok);
    assert_eq!(frame.set(Parameter::FeeBase, 50_000), Status::Ok);
    frame.now_ms += 50_000;
    let capture = Command::capture(frame.id(), &hold, None);
    assert_eq!(frame.must(Role::Agent, BOB, capture).rate, 5_000);
    assert_eq!(frame.liquid(BOB), 1_000_000_995);
    let pay = frame.pay(BOB, ALICE, 1_000);
    frame.must(Role::Agent, BOB, pay);
}

#[test]
fn closing_sweeps_at_the_base_fee_and_the_last_unit_to_the_collector() {
    let mut frame = Frame::new();
    let close = |frame: &mut Frame| {
        let close = Command { credit: CAROL, ..frame.about(Kind::Close, ALICE) };
        frame.must(Role::Agent, ALICE, close);
    };
    let (moved, events) = changes(&mut frame, close);
    let expected =
        [(ALICE, -1_000_000_000, 0), (CAROL, 995_000_000, 0), (fee_collector(1), 5_000_000, 0)];
    assert_eq!(moved, expected);
    assert_eq!(events, [PAID[0], PAID[1], Event::AccountClosed]);

    let mut frame = Frame::new();
    let pay = frame.pay(ALICE, treasury(0), GIVEN - 1);
    frame.must(Role::Agent, ALICE, pay);
    let (moved, events) = changes(&mut frame, close);
    assert_eq!(moved, [(ALICE, -1, 0), (fee_collector(1), 1, 0)]);
    assert_eq!(events, [PAID[1], Event::AccountClosed]);
}

#[test]
fn units_enter_and_leave_by_the_counters_alone() {
    let mut frame = Frame::new();
    let before = frame.engine.supply()[0].clone();
    for (code, event) in [
        (reason::ORDINARY, Event::TokensIssued),
        (reason::COMPENSATION, Event::DisputeCompensationMinted),
        (reason::CORRECTION, Event::BalanceCorrected),
    ] {
        let issue = Command { code, ..Command::issue(frame.id(), ALICE, 1, 10) };
        let slots = with_text(issue, protocol::data::TAG_REASON, "because");
        let (moved, events) = changes(&mut frame, |frame| {
            assert_eq!(frame.send(Role::Mint, MINT, &slots)[0].status, Status::Ok);
        });
        assert_eq!((moved, events), (vec![(ALICE, 10, 0)], vec![event]));
    }
    for (code, role, principal, event) in [
        (reason::ORDINARY, Role::Agent, ALICE, Event::TokensBurned),
        (reason::CORRECTION, Role::Mint, MINT, Event::BalanceCorrected),
    ] {
        let burn = Command { amount: 4, code, ..frame.about(Kind::Burn, ALICE) };
        let slots = with_text(burn, protocol::data::TAG_REASON, "because");
        let (moved, events) = changes(&mut frame, |frame| {
            assert_eq!(frame.send(role, principal, &slots)[0].status, Status::Ok);
        });
        assert_eq!((moved, events), (vec![(ALICE, -4, 0)], vec![event]));
    }
    let after = frame.engine.supply()[0].clone();
    assert_eq!(after.issued.low - before.issued.low, 30);
    assert_eq!(after.destroyed.low - before.destroyed.low, 8);
    assert_eq!(after.delta(), Some(0));
}

#[test]
fn a_baseline_comes_before_all_other_money() {
    let mut frame = Frame::empty(protocol::genesis::Mode::Frame, Parameters::default());
    let open = Command::open(frame.id(), ALICE, 1);
    frame.must(Role::Agent, ALICE, open);
    let baseline = Command { code: reason::BASELINE, ..Command::issue(frame.id(), ALICE, 1, 10) };
    let (_, events) = changes(&mut frame, |frame| {
        frame.must(Role::Mint, MINT, baseline);
    });
    assert_eq!(events, [Event::ProjectionSnapshot]);
}

#[test]
fn credit_is_counted_and_only_payments_may_use_it() {
    let mut frame = Frame::with(Parameters::default().with(Parameter::CreditTotal, 500));
    let limits = Command { reference: 500, ..frame.about(Kind::Limits, ALICE) };
    frame.must(Role::Admin, ADMIN, limits);
    let pay = frame.pay(ALICE, BOB, GIVEN + 500);
    frame.must(Role::Agent, ALICE, pay);
    assert_eq!(frame.liquid(ALICE), -500);
    let supply = frame.engine.supply()[0].clone();
    assert_eq!((supply.credit_granted, supply.credit_used), (500, 500));
    let burn = Command { amount: 1, code: reason::ORDINARY, ..frame.about(Kind::Burn, ALICE) };
    assert_eq!(frame.ask(Role::Agent, ALICE, burn), Status::InsufficientFunds);
    let back = frame.pay(BOB, ALICE, 10_000);
    frame.must(Role::Agent, BOB, back);
    assert_eq!(frame.engine.supply()[0].credit_used, 0);
    assert_eq!(frame.engine.recount(), frame.engine.supply());
}
