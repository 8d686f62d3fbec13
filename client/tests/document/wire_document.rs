//! The worked example of the wire document is what the code reads and writes.

use client::framing::{Frames, encode_hello, encode_request};
use client::{Command, CommandId, Hello, Request, Status};
use protocol::frame::FrameKind;
use protocol::reply::{self, Outcome};
use zerocopy::{FromBytes, IntoBytes};

const DOCUMENT: &str = include_str!("../../../docs/wire-protocol.md");
const FROM: u128 = 0x0190_0000_0000_7000_8000_0000_0000_000a;
const TO: u128 = 0x0190_0000_0000_7000_8000_0000_0000_000b;
const NS: u64 = 1_700_000_000_000_000_000;

/// The bytes of the block that is marked `hex <name>`.
fn block(name: &str) -> Vec<u8> {
    let mark = format!("```hex {name}\n");
    let start = DOCUMENT.find(&mark).unwrap() + mark.len();
    let rest = &DOCUMENT[start..];
    let text = &rest[..rest.find("```").unwrap()];
    text.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

/// The one frame in `bytes`.
fn frame(bytes: &[u8]) -> (FrameKind, Vec<u8>) {
    let mut frames = Frames::default();
    frames.push(bytes);
    let (kind, body) = frames.next_frame().unwrap().unwrap();
    assert_eq!(frames.next_frame(), Ok(None));
    (kind, body.to_vec())
}

#[test]
fn the_hellos_are_those_of_the_page() {
    let mut bytes = Vec::new();
    encode_hello(&mut bytes);
    assert_eq!(bytes, block("client-hello"));
    let (kind, body) = frame(&block("frame-hello"));
    assert_eq!(kind, FrameKind::Hello);
    let expected = Hello {
        frame: 0x0190_f0f0_0000_7000_8000_0000_0000_0001,
        principal: FROM,
        timestamp: NS,
        epoch: 1,
        slots_max: protocol::limits::REQUEST_SLOTS_MAX,
        in_flight_max: 128,
        role: 1,
        reserved: [0; 3],
    };
    assert_eq!(body, expected.as_bytes());
    assert_eq!(Hello::read_from_bytes(&body).unwrap(), expected);
}

#[test]
fn the_request_is_that_of_the_page() {
    let id = CommandId::new(NS / 1_000_000, 7);
    let pay = Command::transfer(id, FROM, TO, 1, 12_500_000);
    let head = Request { request: 1, ..Request::default() };
    let mut bytes = Vec::new();
    encode_request(head, &[pay], &mut bytes);
    assert_eq!(bytes, block("request"));
}

#[test]
fn the_reply_is_that_of_the_page() {
    let (kind, body) = frame(&block("reply"));
    assert_eq!(kind, FrameKind::Reply);
    let decoded = reply::decode(&body).unwrap();
    let head = decoded.head;
    assert_eq!((head.request, head.first_sequence, head.epoch), (1, 42, 1));
    assert_eq!(head.timestamp, NS + 123_000_000);
    assert_eq!(head.stamps, [35, 180, 190, 230]);
    let refusal =
        Outcome { sequence: 42, status: Status::InsufficientFunds, rate: 0, repeat: false };
    assert_eq!(decoded.outcomes, [refusal]);
    let mut outcomes = reply::Outcomes::default();
    outcomes.clear(42);
    outcomes.push(refusal);
    let mut bytes = Vec::new();
    outcomes.encode(head, &mut bytes);
    assert_eq!(bytes, body);
}

#[test]
fn the_limits_of_the_page_are_those_of_the_code() {
    for number in ["1 048 560", "2 097 216"] {
        assert!(DOCUMENT.contains(number));
    }
    assert_eq!(protocol::frame::BODY_LEN_MAX, 1_048_560);
    assert_eq!(protocol::frame::REPLY_LEN_MAX, 2_097_216);
}
