//! Requests, reads and what is refused before it is sequenced.

use client::{CloseCode, Command, Error, Options, Sequence, query};
use identity::Role;
use protocol::frame::{BODY_LEN_MAX, FrameKind, Head, decode_close};
use protocol::request::StructureError;
use protocol::{CommandId, Kind};
use zerocopy::IntoBytes;

use crate::support::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hello_says_who_is_who() {
    let frame = Frame::start();
    let client = frame.connect().await;
    let hello = client.hello();
    assert_eq!((hello.frame, hello.epoch, hello.timestamp), (FRAME, 3, JOURNAL_NS));
    assert_eq!(hello.principal, protocol::ids::parse_uuid(AGENT).unwrap());
    assert_eq!(hello.role, Role::Agent.number());
    assert_eq!((hello.slots_max, hello.in_flight_max), (8_190, 128));
    assert_eq!(client.ids().next_id().unix_ms(), JOURNAL_NS / 1_000_000);

    let mut options = Options::default();
    options.frame = Some(0xbad);
    let error = frame.connect_with(options).await.unwrap_err();
    assert!(matches!(error, Error::Frame { expected: 0xbad, found: FRAME }), "{error}");
    drop(client);
    frame.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_of_every_size_are_answered_in_order() {
    let frame = Frame::start();
    let client = frame.connect().await;
    let mut pending = Vec::new();
    let sizes = [1, 16, 17, 512, 513, 8_190, 1, 3];
    for round in 0..12_u64 {
        for (at, size) in sizes.into_iter().enumerate() {
            let commands = transfers(size, round * 10 + at as u64 + 1);
            pending.push((size, client.submit(&commands).await.unwrap()));
        }
    }
    // The identification took sequence 1.
    let mut sequence = 2;
    for (size, reply) in pending {
        let reply = reply.await.unwrap();
        assert!(reply.is_all_ok());
        assert_eq!(reply.outcomes().len() as u64, size);
        assert_eq!(reply.first_sequence(), Sequence(sequence));
        assert_eq!(reply.outcomes()[0].rate, RATE);
        assert_eq!(reply.head().stamps[..3], [1, 2, 3]);
        sequence += size;
    }
    assert_eq!(frame.metric("commands"), sequence - 1);
    drop(client);
    frame.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_streams_share_a_connection() {
    let frame = Frame::start();
    let mut options = Options::default();
    options.streams = 16;
    let client = frame.connect_with(options).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for salt in 1..=100 {
        let client = client.clone();
        tasks.spawn(async move { client.request(&transfers(7, salt)).await.unwrap().is_all_ok() });
    }
    assert!(tasks.join_all().await.into_iter().all(|is_ok| is_ok));
    assert_eq!(frame.metric("quic_streams"), 16);
    drop(client);
    frame.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_skip_the_journal_and_answer_in_order() {
    let frame = Frame::start();
    let client = frame.connect().await;
    let account = client.ask(query::account(77, 1)).await.unwrap();
    assert_eq!(account.liquid, 77);
    let reads: Vec<Command> = (0..8_190).map(|owner| *query::account(owner, 1).command()).collect();
    let answers = client.read(&reads).await.unwrap();
    assert!(answers.iter().map(|answer| answer.value).eq(0..8_190));
    assert!(frame.seen().is_empty());
    drop(client);
    frame.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_client_sends_nothing_that_cannot_be_read() {
    let frame = Frame::start();
    let client = frame.connect().await;
    let error = client.request(&[]).await.unwrap_err();
    assert!(matches!(error, Error::Structure(StructureError::Empty)), "{error}");
    let tick = Command::new(Kind::Tick, CommandId(0));
    let error = client.request(&[tick]).await.unwrap_err();
    assert!(!error.is_unknown());
    assert!(client.request(&transfers(1, 1)).await.unwrap().is_all_ok());
    drop(client);
    frame.stop().await;
}

/// Sends `bytes` on a stream of its own and returns the close that answers them.
async fn close_after(frame: &Frame, bytes: &[u8]) -> (CloseCode, String) {
    let (_endpoint, connection) = frame.raw().await;
    let (mut send, mut recv) = connection.open_bi().await.unwrap();
    send.write_all(bytes).await.unwrap();
    loop {
        let (kind, body) = next_frame(&mut recv).await.expect("a close comes before the end");
        if kind == FrameKind::Close {
            let (code, text) = decode_close(&body).unwrap();
            return (code, text.to_owned());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_is_answered_with_a_close() {
    let frame = Frame::start();
    let good = request_bytes(4, 0, &transfers(2, 1));
    let mut forged = good.clone();
    forged[16] = 1;
    let tick = [Command::new(Kind::Tick, CommandId(0))];
    let read_bit = protocol::request::flags::READ;
    let long = Head::new(FrameKind::Request, BODY_LEN_MAX as u32 + 1);
    let long = long.as_bytes().to_vec();
    let mut version = hello_bytes();
    version[6] = 2;
    for (bytes, words) in [
        ([hello_bytes(), forged].concat(), "must be sent as zero"),
        ([hello_bytes(), request_bytes(4, 0, &[])].concat(), "request 4: the request has no slots"),
        ([hello_bytes(), request_bytes(4, 0, &tick)].concat(), "only the frame itself"),
        ([hello_bytes(), request_bytes(4, read_bit, &transfers(1, 1))].concat(), "READ flag"),
        ([hello_bytes(), long].concat(), "too long"),
        (good, "must be a hello"),
        (version, "wire version 2"),
    ] {
        let (code, text) = close_after(&frame, &bytes).await;
        assert_eq!(code, CloseCode::Protocol, "{text}");
        assert!(text.contains(words), "{text}");
    }
    assert_eq!(frame.metric("quic_protocol_errors"), 7);
    assert!(frame.seen().iter().all(|(_, kinds)| kinds[0] == Kind::Identify.number()));
    frame.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_came_before_a_broken_frame_is_answered_before_the_close() {
    let frame = Frame::start();
    let (_endpoint, connection) = frame.raw().await;
    let (mut send, mut recv) = connection.open_bi().await.unwrap();
    let good = request_bytes(1, 0, &transfers(2, 1));
    let bytes = [hello_bytes(), good, hello_bytes()].concat();
    send.write_all(&bytes).await.unwrap();
    let mut kinds = Vec::new();
    while let Some((kind, _)) = next_frame(&mut recv).await {
        kinds.push(kind);
    }
    assert_eq!(kinds, [FrameKind::Hello, FrameKind::Reply, FrameKind::Close]);
    drop(connection);
    frame.stop().await;
}
