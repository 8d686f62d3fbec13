//! A full pool or a silent engine stops the senders; nothing is dropped.

use std::sync::atomic::Ordering;

use ring::{Pool, PoolConfig};

use crate::support::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_of_one_envelope_serves_everybody_in_turn() {
    let one = PoolConfig { bytes_max: Pool::bytes_max_floor(), requests_max: 1 };
    let frame = Frame::with(one, |_| {});
    let mut tasks = tokio::task::JoinSet::new();
    for salt in 1..=4_u64 {
        let client = frame.connect().await;
        tasks.spawn(async move {
            let mut pending = Vec::new();
            for at in 0..25 {
                let commands = transfers(1 + (salt * at * 37) % 600, salt * 100 + at);
                pending.push((commands.len(), client.submit(&commands).await.unwrap()));
            }
            for (len, reply) in pending {
                assert_eq!(reply.await.unwrap().outcomes().len(), len);
            }
        });
    }
    tasks.join_all().await;
    assert!(frame.metric("pool_waits") > 0);
    frame.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_in_flight_are_bounded_and_the_rest_waits() {
    let frame = Frame::start();
    // The client keeps no limit of its own here: a raw stream.
    let (_endpoint, connection) = frame.raw().await;
    let (mut send, mut recv) = connection.open_bi().await.unwrap();
    let warm = [hello_bytes(), request_bytes(0, 0, &transfers(1, 1))].concat();
    send.write_all(&warm).await.unwrap();
    for _ in 0..2 {
        next_frame(&mut recv).await.unwrap();
    }
    frame.switches.is_held.store(true, Ordering::SeqCst);
    for number in 1..=200 {
        let request = request_bytes(number, 0, &transfers(1, number + 1));
        send.write_all(&request).await.unwrap();
    }
    let most = u64::from(gateway::limits::STREAM_IN_FLIGHT_MAX);
    // The identification and the first request are answered already.
    until(|| frame.metric("requests") == 2 + most).await;
    assert_eq!(frame.pool.in_flight() as u64, most);
    frame.switches.is_held.store(false, Ordering::SeqCst);
    for number in 1..=200_u64 {
        let (_, body) = next_frame(&mut recv).await.unwrap();
        assert_eq!(body[..8], number.to_le_bytes());
    }
    drop(connection);
    frame.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_are_never_finished_hold_up_nobody() {
    let frame = Frame::start();
    let whole = [hello_bytes(), request_bytes(1, 0, &transfers(8_190, 1))].concat();
    let half = &whole[..whole.len() / 2];
    // More of them than there are buffers for long requests.
    let mut halves = Vec::new();
    for _ in 0..4 {
        let (endpoint, connection) = frame.raw().await;
        for _ in 0..gateway::limits::SHELF_BUFFERS_MAX / 4 + 1 {
            let (mut send, recv) = connection.open_bi().await.unwrap();
            send.write_all(half).await.unwrap();
            halves.push((endpoint.clone(), connection.clone(), send, recv));
        }
    }
    assert!(halves.len() > gateway::limits::SHELF_BUFFERS_MAX);
    until(|| frame.metric("bytes_in") >= (halves.len() * half.len()) as u64).await;
    assert_eq!(frame.pool.in_flight(), 0, "half a request holds no envelope");
    let other = frame.connect().await;
    for salt in 2..6 {
        let reply = other.request(&transfers(8_190, salt)).await.unwrap();
        assert_eq!(reply.outcomes().len(), 8_190);
    }
    // One that goes on after all is answered like any other.
    let (_, _, send, recv) = &mut halves[0];
    send.write_all(&whole[half.len()..]).await.unwrap();
    next_frame(recv).await.unwrap();
    let (_, body) = next_frame(recv).await.unwrap();
    assert_eq!(body[..8], 1_u64.to_le_bytes());
    drop(halves);
    frame.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn far_more_than_there_is_room_for_is_answered_once_each() {
    const CLIENTS: u64 = 8;
    const REQUESTS: u64 = 100;
    let four = PoolConfig { bytes_max: 2 * Pool::bytes_max_floor(), requests_max: 4 };
    let frame = Frame::with(four, |_| {});
    let first = frame.connect().await;
    assert!(first.request(&transfers(1, 1_000_000)).await.unwrap().is_all_ok());
    let before = frame.seen().len() as u64;
    let mut tasks = tokio::task::JoinSet::new();
    for client in 0..CLIENTS {
        let connected = frame.connect().await;
        tasks.spawn(async move {
            let mut pending = Vec::new();
            for at in 0..REQUESTS {
                let commands = transfers(1, 1 + client * REQUESTS + at);
                pending.push(connected.submit(&commands).await.unwrap());
            }
            for reply in pending {
                assert!(reply.await.unwrap().is_all_ok());
            }
        });
    }
    tasks.join_all().await;
    // Nothing was dropped, executed twice or left over.
    assert_eq!(frame.seen().len() as u64, before + CLIENTS * REQUESTS);
    until(|| frame.pool.in_flight() == 0).await;
    drop(first);
    frame.stop().await;
}
