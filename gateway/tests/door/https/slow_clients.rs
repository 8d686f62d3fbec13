//! A client that stalls is cut off in time and harms nobody else.

use std::time::Duration;

use bytes::Bytes;
use client::query;
use http_body_util::BodyExt;
use protocol::request::flags::READ;
use ring::PoolConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::https::*;
use crate::support::*;

const SOON: Duration = Duration::from_millis(150);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_that_is_not_finished_is_dropped() {
    let frame = Frame::with(PoolConfig::default(), |config| config.handshake_timeout = SOON);
    let mut socket = TcpStream::connect(frame.https).await.unwrap();
    socket.write_all(&[22, 3, 1]).await.unwrap();
    let mut bytes = Vec::new();
    let _ = socket.read_to_end(&mut bytes).await;
    assert_eq!(bytes, b"");
    until(|| frame.metric("refused_timeout") == 1).await;
    frame.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_drips_is_cut_off() {
    let frame = Frame::with(PoolConfig::default(), |config| config.header_timeout = SOON);
    let mut raw = Raw::open(&frame).await;
    raw.write("GET / HTTP/1.1\r\nhost: fr").await;
    let mut cut = false;
    for _ in 0..500 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        if raw.0.write_all(b"a").await.is_err() || raw.0.flush().await.is_err() {
            cut = true;
            break;
        }
    }
    assert!(cut);
    assert_eq!(frame.metric("read_timeouts"), 1);
    until(|| frame.metric("https_connections_open") == 0).await;
    frame.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_does_not_come_holds_no_envelope() {
    let frame = Frame::with(PoolConfig::default(), |config| config.frame_timeout = SOON);
    let body = batch(1, 0, &transfers(8_190, 1));
    let mut raw = Raw::open(&frame).await;
    raw.write(format!("{}\r\n", head(body.len()))).await;
    raw.write(&body[..body.len() / 2]).await;
    let answer = raw.rest().await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert_eq!(frame.pool.in_flight(), 0);
    frame.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_connection_ends() {
    let frame = Frame::with(PoolConfig::default(), |config| config.idle_timeout = SOON);
    for alpn in [H1, H2] {
        let http = Http::open(&frame, alpn).await;
        assert_eq!(http.batch(&transfers(1, 1)).await.unwrap().status, 200);
        until(|| http.is_closed()).await;
    }
    until(|| frame.metric("https_connections_open") == 0).await;
    frame.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_is_cut_off() {
    let frame = Frame::with(PoolConfig::default(), |config| {
        config.write_timeout = SOON;
        config.call_timeout = 4 * SOON;
    });
    let reads = vec![*query::account(5, 1).command(); 8_190];
    let body = batch(1, READ, &reads);
    // HTTP/1.1: the socket fills.
    let mut raw = Raw::open(&frame).await;
    let flood = async {
        loop {
            let request = [format!("{}\r\n", head(body.len())).as_bytes(), &body].concat();
            if raw.0.write_all(&request).await.is_err() {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), flood).await.unwrap();
    // HTTP/2: the windows of its streams stay full.
    let http = Http::open(&frame, H2).await;
    let mut unread = Vec::new();
    for _ in 0..8 {
        match http.begin(post(body.clone())).await {
            Ok(answer) => unread.push(answer),
            Err(_) => break,
        }
    }
    let other = Http::open(&frame, H1).await;
    assert_eq!(other.batch(&transfers(8_190, 1)).await.unwrap().status, 200);
    until(|| http.is_closed()).await;
    assert!(frame.metric("write_timeouts") >= 2);
    for answer in unread {
        let _ = answer.into_body().collect().await.map(|body| -> Bytes { body.to_bytes() });
    }
    until(|| frame.pool.in_flight() == 0).await;
    frame.stop().await;
}
