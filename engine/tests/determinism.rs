//! Determinism: the same records give the same digests, and a scripted journal gives the digests
//! pinned here for ever. It refuses to be updated lightly: another value means that journals of
//! this version replay to another state.

use protocol::parameter::{Parameter, Parameters};
use protocol::{Command, CommandId, Kind, Role, Status, flags};

use crate::frame::*;
use crate::keys::keyed;

/// A journal with something of everything.
fn script(frame: &mut Frame) {
    for round in 0..150_u128 {
        let pay = frame.pay(ALICE, BOB, 1_000 + round);
        let across = frame.pay(BOB, CAROL, 500 + round * 7);
        let hold = frame.held(ALICE, CAROL, 300 + round);
        frame.send(Role::Agent, ALICE, &[pay, hold, across]);
        frame.send(Role::Registry, NORTH, &[across, pay]);
        if round % 3 == 0 {
            let capture = Command::capture(frame.id(), &hold, Some(100));
            frame.send(Role::Agent, CAROL, &[capture]);
        }
        let chain = [
            Command { flags: flags::LINKED, ..frame.pay(CAROL, ALICE, 40 + round) },
            frame.pay(CAROL, BOB, if round % 5 == 0 { GIVEN * 2 } else { 9 }),
        ];
        frame.send(Role::Registry, SOUTH, &chain);
        let text = format!("order {}", round / 2);
        let own = (round % 3 == 0).then(|| frame.id());
        let ordered = Command::transfer(CommandId(0), ALICE, BOB, 1, 700 + round % 4);
        frame.settled = frame.engine.executed().0 / 3;
        frame.history_checked = frame.engine.executed().0 - 1;
        frame.send(Role::Agent, ALICE, &keyed(ALICE, &text, own, ordered));
        frame.now_ms += 977;
    }
    assert_eq!(frame.set(Parameter::FeeBase, 7_000), Status::Ok);
    assert_eq!(frame.set(Parameter::PairsCapacity, 1 << 12), Status::Ok);
    frame.now_ms += 4_000_000;
    let pay = frame.pay(ALICE, BOB, 1_000_000);
    assert_eq!(frame.must(Role::Agent, ALICE, pay).rate, 7_000);
    assert_eq!(frame.by_admin(Kind::Freeze, BOB), Status::Ok);
    assert_eq!(frame.close(CAROL), Status::Ok);
}

#[test]
fn the_digests_of_a_scripted_journal_are_pinned() {
    let parameters = Parameters::default()
        .with(Parameter::PairsCapacity, 1 << 10)
        .with(Parameter::KeysWindowMs, 60_000);
    let (mut one, mut other) = (Frame::with(parameters), Frame::with(parameters));
    script(&mut one);
    script(&mut other);
    assert!(one.engine.keys() > 0 && one.engine.keys_forgotten_through().0 > 0);
    assert_eq!(one.engine.image_digest(), other.engine.image_digest());
    let run = u128::from_le_bytes(one.engine.run_digest());
    let image = blake3_head(one.engine.image_digest());
    assert_eq!((run, image), PINNED, "{run:#x} {image:#x}");
}

const PINNED: (u128, u128) =
    (0x68ef_d047_1eda_2b7f_d35f_25e5_c219_b4c0, 0x9d3f_8773_b00d_f5ad_91af_5f26_d6bf_0837);

fn blake3_head(digest: [u8; 32]) -> u128 {
    u128::from_le_bytes(*digest.first_chunk().expect("a digest is longer"))
}

#[test]
fn one_unit_more_is_another_digest() {
    let digests = [1_000, 1_001].map(|amount| {
        let mut frame = Frame::new();
        let pay = frame.pay(ALICE, BOB, amount);
        frame.must(Role::Agent, ALICE, pay);
        (frame.engine.run_digest(), frame.engine.image_digest())
    });
    assert_ne!(digests[0].0, digests[1].0);
    assert_ne!(digests[0].1, digests[1].1);
}

#[test]
fn how_a_record_is_cut_into_requests_changes_no_balance() {
    let parameters = Parameters::default().with(Parameter::PairsCapacity, 64);
    let runs = [1, 7, 300].map(|len| {
        let mut frame = Frame::with(parameters);
        let slots: Vec<_> =
            (0..300).map(|n| frame.pay([ALICE, BOB][n % 2], CAROL, 1_000 + n as u128)).collect();
        frame.begin();
        for request in slots.chunks(len) {
            frame.execute(Role::Registry, NORTH, request);
        }
        frame.engine.end_record();
        (frame.engine.accounts(), frame.engine.run_digest(), frame.engine.image_digest())
    });
    assert_eq!(runs[0], runs[1]);
    assert_eq!(runs[0], runs[2]);
}
