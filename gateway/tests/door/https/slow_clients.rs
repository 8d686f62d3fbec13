//! A client that stalls is cut off in time and harms nobody else.

use std::time::Duration;

use bytes::Bytes;
use client::query;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
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

/// Over HTTP/2 the end is only asked for, and a client may answer everything but that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_connection_ends_also_when_the_client_ignores_it() {
    let frame = Frame::with(PoolConfig::default(), |config| config.idle_timeout = SOON);
    let mut raw = tls(frame.https, &frame.agent(), &[H2]).await.unwrap();
    // The preface and no settings.
    raw.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    raw.flush().await.unwrap();
    let ends = async {
        let mut has_goaway = false;
        let mut head = [0; 9];
        while raw.read_exact(&mut head).await.is_ok() {
            let mut body = vec![0; usize::from(u16::from_be_bytes([head[1], head[2]]))];
            if raw.read_exact(&mut body).await.is_err() {
                break;
            }
            has_goaway |= head[3] == 7;
            // A ping is answered until the end is announced, whose own ping comes after it.
            if head[3] == 6 && head[4] == 0 && !has_goaway {
                let pong = [b"\0\0\x08\x06\x01\0\0\0\0".as_slice(), &body].concat();
                let _ = raw.write_all(&pong).await;
                let _ = raw.flush().await;
            }
        }
        has_goaway
    };
    assert!(tokio::time::timeout(Duration::from_secs(15), ends).await.unwrap());
    until(|| frame.metric("https_connections_open") == 0).await;
    frame.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_no_window_lets_out_end_the_connection() {
    let frame = Frame::with(PoolConfig::default(), |config| config.call_timeout = SOON);
    let io = TokioIo::new(tls(frame.https, &frame.agent(), &[H2]).await.unwrap());
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(1).initial_max_send_streams(1);
    let (mut send, connection) = builder.handshake::<_, Full<Bytes>>(io).await.unwrap();
    tokio::spawn(connection);
    let mut unread = Vec::new();
    for _ in 0..60 {
        let request = hyper::Request::get("https://frame/openapi.json").body(Full::default());
        if send.ready().await.is_err() {
            break;
        }
        let Ok(answer) = send.send_request(request.unwrap()).await else {
            break;
        };
        unread.push(answer);
    }
    until(|| send.is_closed()).await;
    assert_eq!(frame.metric("write_timeouts"), 1);
    drop(unread);
    until(|| frame.metric("https_connections_open") == 0).await;
    frame.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_are_not_read_keep_no_room_for_bodies() {
    let mib = 1 << 20;
    // Room for one body of the largest size beside the windows.
    let frame = Frame::with(PoolConfig::default(), |config| config.receive_budget_size = 4 * mib);
    let silent = Http::open(&frame, H2).await;
    let reads = vec![*query::account(5, 1).command(); 8_190];
    let unread = silent.begin(post(batch(1, READ, &reads))).await.unwrap();
    assert_eq!(unread.status(), 200);
    let other = Http::open(&frame, H1).await;
    assert_eq!(other.batch(&transfers(8_190, 1)).await.unwrap().status, 200);
    drop(unread);
    frame.stop().await;
}
