//! A client that stalls loses its stream and harms nobody else.

use std::time::Duration;

use client::query;
use protocol::frame::{CloseCode, FrameKind, decode_close};
use protocol::request::flags::READ;
use ring::PoolConfig;

use crate::support::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_holds_no_envelope_and_is_closed() {
    let frame = Frame::with(PoolConfig::default(), |config| {
        config.write_timeout = Duration::from_millis(300);
    });
    let (_endpoint, connection) = frame.raw().await;
    let (mut send, recv) = connection.open_bi().await.unwrap();
    let reads = vec![*query::account(5, 1).command(); 8_190];
    let flood = tokio::spawn(async move {
        let _ = send.write_all(&hello_bytes()).await;
        for number in 0..64 {
            if send.write_all(&request_bytes(number, READ, &reads)).await.is_err() {
                return;
            }
        }
    });
    until(|| frame.metric("requests") >= 1).await;
    let other = frame.connect().await;
    assert!(other.request(&transfers(8_190, 1)).await.unwrap().is_all_ok());
    until(|| frame.metric("write_timeouts") == 1).await;
    until(|| frame.pool.in_flight() == 0).await;
    assert!(other.request(&transfers(8_190, 2)).await.unwrap().is_all_ok());
    drop((recv, connection));
    flood.await.unwrap();
    drop(other);
    frame.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_that_is_not_finished_is_closed_in_time() {
    let frame = Frame::with(PoolConfig::default(), |config| {
        config.frame_timeout = Duration::from_millis(100);
    });
    let (_endpoint, connection) = frame.raw().await;
    let (mut send, mut recv) = connection.open_bi().await.unwrap();
    let whole = request_bytes(1, 0, &transfers(8_190, 1));
    let half = [hello_bytes(), whole[..whole.len() / 2].to_vec()].concat();
    send.write_all(&half).await.unwrap();
    let (kind, _) = next_frame(&mut recv).await.unwrap();
    assert_eq!(kind, FrameKind::Hello);
    let (_, body) = next_frame(&mut recv).await.unwrap();
    assert_eq!(decode_close(&body).unwrap().0, CloseCode::Timeout);
    assert_eq!(frame.pool.in_flight(), 0, "half a frame holds no envelope");
    drop(connection);
    frame.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_stream_ends_and_a_silent_peer_is_dropped() {
    let frame = Frame::with(PoolConfig::default(), |config| {
        config.stream_idle_timeout = Duration::from_millis(50);
        config.idle_timeout = Duration::from_millis(300);
    });
    let (endpoint, connection) = frame.raw().await;
    let (_send, mut recv) = {
        let (mut send, recv) = connection.open_bi().await.unwrap();
        send.write_all(&hello_bytes()).await.unwrap();
        (send, recv)
    };
    assert_eq!(next_frame(&mut recv).await.unwrap().0, FrameKind::Hello);
    let (_, body) = next_frame(&mut recv).await.unwrap();
    assert_eq!(decode_close(&body).unwrap().0, CloseCode::Timeout);
    // A peer that is gone without a word: its socket answers no more.
    let deaf = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    endpoint.rebind(deaf).unwrap();
    until(|| frame.metric("connections_open") == 0).await;
    frame.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_frame_keeps_no_silent_connection_alive() {
    let frame = Frame::with(PoolConfig::default(), |config| {
        config.idle_timeout = Duration::from_millis(300);
    });
    // This one sends no keep-alives, as the client library does.
    let (_endpoint, connection) = frame.raw().await;
    let ended = tokio::time::timeout(Duration::from_secs(20), connection.closed()).await;
    assert!(matches!(ended, Ok(quinn::ConnectionError::TimedOut)), "{ended:?}");
    until(|| frame.metric("connections_open") == 0).await;
    frame.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_without_a_stream_is_told_to_end() {
    let frame = Frame::with(PoolConfig::default(), |config| {
        config.stream_idle_timeout = Duration::from_millis(50);
        config.check_interval = Duration::from_millis(20);
    });
    let (_endpoint, connection) = frame.raw().await;
    let ended = tokio::time::timeout(Duration::from_secs(20), connection.closed()).await;
    let Ok(quinn::ConnectionError::ApplicationClosed(close)) = ended else {
        panic!("{ended:?}");
    };
    assert_eq!(close.error_code, quinn::VarInt::from_u32(CloseCode::Timeout as u32));
    frame.stop().await;
}
