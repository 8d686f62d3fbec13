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
