//! The bytes of version 1. A change here strands clients and journals: it needs a new version.

use protocol::effect::{Effect, Event};
use protocol::feed::{Followed, Place};
use protocol::follow::{Follow, Progress, Unfollowed};
use protocol::frame::{FrameKind, Head};
use protocol::genesis::{Genesis, Mode};
use protocol::parameter::Parameters;
use protocol::reply::{Outcome, Outcomes, Reply};
use protocol::{Command, CommandId, Request, Status, data, flags};
use zerocopy::IntoBytes;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_command() {
    let command = Command {
        value: 0x0102_0304_0506_0708,
        user_data: 0x1112_1314_1516_1718,
        timeout_ms: 0x2122_2324,
        flags: flags::LINKED | flags::KEEP,
        code: 0x3132,
        data: 2,
        reference: 9,
        ..Command::hold(CommandId::new(0x0102_0304_0506, 7), 0xd, 0xc, 1, 0xff, 0)
    };
    let expected = concat!(
        "07000000000000000000060504030201", // id
        "0d000000000000000000000000000000", // debit
        "0c000000000000000000000000000000", // credit
        "ff000000000000000000000000000000", // amount
        "09000000000000000000000000000000", // reference
        "08070605040302011817161514131211", // value, user_data
        "01000000000000002423222111000900", // asset, peer, timeout_ms, kind, flags
        "32310200000000000000000000000000", // code, data, zero
    );
    assert_eq!(hex(command.as_bytes()), expected);
}

#[test]
fn a_request_head() {
    let head = Request {
        principal: 1,
        trace: 2,
        request: 3,
        history_checked: 4,
        slots: 5,
        role: 6,
        flags: 1,
        peer: 7,
        reserved: 0,
    };
    let expected = concat!(
        "01000000000000000000000000000000",
        "02000000000000000000000000000000",
        "03000000000000000400000000000000",
        "05000000060001000700000000000000",
    );
    assert_eq!(hex(head.as_bytes()), expected);
}

#[test]
fn a_reply_with_one_refusal() {
    let mut outcomes = Outcomes::with_capacity(2);
    outcomes.clear(0x10);
    outcomes.push(Outcome { sequence: 0x10, status: Status::Ok, rate: 5_000, repeat: false });
    let refused = Status::InsufficientFunds;
    outcomes.push(Outcome { sequence: 0x11, status: refused, rate: 0, repeat: false });
    let head =
        Reply { request: 3, epoch: 1, timestamp: 0x0a0b, stamps: [1, 2, 3, 4], ..Reply::default() };
    let mut bytes = Vec::new();
    outcomes.encode(head, &mut bytes);
    let expected = concat!(
        "03000000000000001000000000000000", // request, first_sequence
        "01000000000000000b0a000000000000", // epoch, timestamp
        "01000000020000000300000004000000", // stamps
        "02000000010000008813000000000000", // count, exceptions, rate, flags
        "11000000000000000100210300000100", // sequence, index, status 801, rate, remembered
    );
    assert_eq!(hex(&bytes), expected);
}

#[test]
fn a_frame_head_and_an_effect() {
    assert_eq!(
        hex(Head::new(FrameKind::Request, 192).as_bytes()),
        "c0000000020001000000000000000000"
    );
    let effect = Effect {
        sequence: 1,
        leg: 2,
        event: Event::TokensTransferred.number(),
        asset: 3,
        debit: 4,
        credit: 5,
        amount: 6,
        debit_after: -1,
        credit_after: 7,
        reference: 8,
        user_data: 9,
        rate: 5_000,
        debit_bucket: 1,
        credit_bucket: 2,
        reserved: 0,
    };
    let expected = concat!(
        "01000000000000000200020003000000",
        "04000000000000000000000000000000",
        "05000000000000000000000000000000",
        "06000000000000000000000000000000",
        "ffffffffffffffffffffffffffffffff",
        "07000000000000000000000000000000",
        "08000000000000000000000000000000",
        "09000000000000008813000001020000",
    );
    assert_eq!(hex(effect.as_bytes()), expected);
}

#[test]
fn a_genesis_head_and_tail() {
    let genesis = Genesis {
        frame: 1,
        hash_seed: 2,
        mode: Mode::Frame,
        scale: 6,
        name: "AVT".into(),
        trust_domain: "frame.test".into(),
        parameters: Parameters::default(),
    };
    let bytes = genesis.encode();
    let head = concat!(
        "01000000000000000000000000000000",
        "02000000000000000000000000000000",
        "0100060014000300",
        "0a00000000000000",
        "00000000000000000000000000000000",
        "01000000000000000000000000000000", // fee.base …
        "88130000000000000000000000000000", // … 5 000
    );
    assert_eq!(hex(&bytes[..96]), head);
    assert_eq!(&bytes[64 + 20 * 32..], b"AVTframe.test\0\0\0");
}

#[test]
fn a_key_and_a_body() {
    let key = protocol::key::id(1 << 64, b"order-1");
    let slots = data::encode(&[(data::TAG_KEY, b"order-1")]);
    let pay = Command {
        flags: flags::KEYED,
        data: 1,
        ..Command::transfer(CommandId(key), 1 << 64, 2 << 64, 1, 5)
    };
    let digest = protocol::key::body_digest(&pay, &slots);
    assert_eq!(format!("{key:032x}"), "92763205e58726ae5ca886d9d0ac8f56");
    assert_eq!(format!("{digest:032x}"), "b5174bf581262a29c6b34be79d877eaa");
}

#[test]
fn the_frames_of_a_feed() {
    let follow = Follow {
        account: 1,
        events: 1 << Event::TokensTransferred.number(),
        sequence: 3,
        leg: 4,
        flags: 0,
        asset: 5,
        reserved: 0,
    };
    let expected = concat!(
        "01000000000000000000000000000000",
        "04000000000000000000000000000000",
        "03000000000000000400000005000000",
        "00000000000000000000000000000000",
    );
    assert_eq!(hex(follow.as_bytes()), expected);
    let progress = Progress::at(Place::after(0x0102));
    assert_eq!(hex(progress.as_bytes()), "0201000000000000ff7f000000000000");
    let gone = Unfollowed::Gone { first: 5 }.frame();
    assert_eq!(hex(gone.as_bytes()), "05000000000000000300000000000000");
    let followed = Followed { command: 1, timestamp_ns: 2, epoch: 3, ..Followed::default() };
    let head = &followed.as_bytes()[128..];
    assert_eq!(hex(head), "0100000000000000000000000000000002000000000000000300000000000000");
    let head = Head::new(FrameKind::Follow, 64);
    assert_eq!(hex(head.as_bytes()), "40000000050001000000000000000000");
}
