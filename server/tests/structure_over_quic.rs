//! What is no request is answered by a close that names the protocol, and the frame serves on.

use client::framing::{encode_request, request_len};
use client::{Command, CommandId, Request, query};
use protocol::frame::{CloseCode, FrameKind, HEAD_SIZE, Head};
use protocol::{Kind, ids::NATIVE};
use zerocopy::IntoBytes as _;

use crate::books;
use crate::frame::Frame;
use crate::quic::{self, Heard};

fn framed(slots: &[Command], change: impl FnOnce(&mut Request)) -> Vec<u8> {
    let mut head = Request { request: 1, ..Request::default() };
    change(&mut head);
    let mut bytes = Vec::new();
    encode_request(head, slots, &mut bytes);
    assert_eq!(bytes.len(), request_len(slots.len()));
    bytes
}

fn head(kind: u16, length: u32, version: u16) -> Vec<u8> {
    let mut head = Head::new(FrameKind::Request, length);
    (head.kind, head.version) = (kind, version);
    head.as_bytes().to_vec()
}

/// Bytes that no client sends after its greeting.
fn mistakes() -> Vec<(&'static str, Vec<u8>)> {
    let id = CommandId::new(1, 1);
    let pay = Command::transfer(id, 1 << 70, 1 << 71, NATIVE, 5);
    let read = *query::supply(NATIVE).command();
    let mut cut = framed(&[pay], |_| {});
    cut[..HEAD_SIZE].copy_from_slice(&head(2, 64 + 100, 1));
    vec![
        ("a frame of 4 GiB", head(2, u32::MAX, 1)),
        ("a frame just too long", head(2, 1 << 20, 1)),
        ("another version", head(2, 192, 2)),
        ("an unknown kind", head(9, 192, 1)),
        ("a reply", head(3, 0, 1)),
        ("no whole slots", cut),
        ("no slots", framed(&[], |_| {})),
        ("a principal", framed(&[pay], |head| head.principal = 7)),
        ("a role", framed(&[pay], |head| head.role = 4)),
        ("an unknown flag", framed(&[pay], |head| head.flags = 2)),
        ("reads without the flag", framed(&[read], |_| {})),
        ("commands with the flag", framed(&[pay], |head| head.flags = 1)),
        ("data that does not follow", framed(&[Command { data: 3, ..pay }], |_| {})),
        ("a tick", framed(&[Command::new(Kind::Tick, id)], |_| {})),
        ("noise", vec![0xa5; 300]),
    ]
}

#[test]
fn unreadable_requests_end_their_stream_and_nothing_else() {
    books::run(async {
        let mut frame = Frame::new();
        frame.start();
        let honest = frame.client("registry", "north").await;
        let dir = frame.identity("registry", "south");
        let executed = honest.ask(query::supply(NATIVE)).await.unwrap().executed;
        for (mistake, bytes) in mistakes() {
            let raw = quic::connect(frame.quic(), quic::tls(&dir)).await.unwrap();
            let mut talk = raw.greeted().await;
            talk.say(&bytes).await;
            let code = match talk.next().await {
                Heard::Close(code, text) => {
                    assert!(!text.is_empty(), "{mistake} is told in words");
                    Some(code)
                }
                Heard::Gone(code) => code,
                other => panic!("{mistake}: {other:?}"),
            };
            assert_eq!(code, Some(CloseCode::Protocol), "{mistake}");
        }
        let supply = honest.ask(query::supply(NATIVE)).await.unwrap();
        let identified = supply.executed.0 - executed.0;
        assert!(identified <= 1, "only who they are was journaled");
        frame.stop();
        frame.is_sound();
    });
}
