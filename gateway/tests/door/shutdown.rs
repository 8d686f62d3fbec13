//! A shutdown answers what was read, tells the clients, and lets the ring end.

use std::sync::atomic::Ordering;
use std::time::Duration;

use client::{CloseCode, Error, Options};

use crate::support::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_read_is_answered_before_the_goodbye() {
    let mut frame = Frame::start();
    let client = frame.connect().await;
    assert!(client.request(&transfers(1, 1)).await.unwrap().is_all_ok());
    frame.switches.is_held.store(true, Ordering::SeqCst);
    let mut pending = Vec::new();
    for salt in 2..12 {
        pending.push(client.submit(&transfers(3, salt)).await.unwrap());
    }
    until(|| frame.metric("requests") == 12).await;
    let gateway = frame.gateway.take().unwrap();
    let closing = tokio::spawn(gateway.shutdown(Duration::from_secs(20)));
    let refused = async {
        // New connections are refused from now on.
        while frame.connect_with(Options::default()).await.is_ok() {}
    };
    tokio::time::timeout(Duration::from_secs(20), refused).await.unwrap();
    frame.switches.is_held.store(false, Ordering::SeqCst);
    for reply in pending {
        assert!(reply.await.unwrap().is_all_ok());
    }
    assert!(closing.await.unwrap());
    until(|| client.ended().is_some()).await;
    assert_eq!(client.ended().unwrap().code(), Some(CloseCode::ShuttingDown));
    let error = client.request(&transfers(1, 99)).await.unwrap_err();
    assert!(matches!(error, Error::Closed { .. }), "{error}");
    drop(client);
    frame.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_cuts_off_what_is_not_done() {
    let mut frame = Frame::start();
    let client = frame.connect().await;
    assert!(client.request(&transfers(1, 1)).await.unwrap().is_all_ok());
    frame.switches.is_held.store(true, Ordering::SeqCst);
    let pending = client.submit(&transfers(3, 2)).await.unwrap();
    until(|| frame.metric("requests") == 3).await;
    let gateway = frame.gateway.take().unwrap();
    assert!(!gateway.shutdown(Duration::ZERO).await);
    let error = pending.await.unwrap_err();
    assert!(error.is_unknown(), "{error}");
    drop(client);
    // The engine's late reply finds nobody: the ring still ends.
    frame.switches.is_held.store(false, Ordering::SeqCst);
    let seen = || frame.seen().len() == 3;
    until(seen).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_never_pauses_cannot_hold_up_the_shutdown() {
    let mut frame = Frame::start();
    let client = frame.connect().await;
    let busy = tokio::spawn(async move {
        let mut pending = std::collections::VecDeque::new();
        let (mut answered, mut unknown) = (0, 0);
        for salt in 1.. {
            match client.submit(&transfers(500, salt)).await {
                Ok(reply) => pending.push_back(reply),
                Err(_) => break,
            }
            if pending.len() > 30 {
                match pending.pop_front().unwrap().await {
                    Ok(_) => answered += 1,
                    Err(_) => unknown += 1,
                }
            }
        }
        for reply in pending {
            match reply.await {
                Ok(_) => answered += 1,
                Err(error) => {
                    assert!(error.is_unknown(), "{error}");
                    unknown += 1;
                }
            }
        }
        (answered, unknown)
    });
    until(|| frame.metric("requests") > 50).await;
    let gateway = frame.gateway.take().unwrap();
    assert!(gateway.shutdown(Duration::from_secs(20)).await);
    let (answered, _) = busy.await.unwrap();
    // All that was published was answered, the identification aside.
    assert_eq!(frame.seen().len(), answered + 1);
    frame.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_never_reads_cannot_hold_up_the_shutdown() {
    let mut frame = Frame::with(ring::PoolConfig::default(), |config| {
        config.write_timeout = Duration::from_secs(3_600);
        config.drain_timeout = Duration::from_millis(200);
    });
    let (_endpoint, connection) = frame.raw().await;
    let (mut send, _recv) = connection.open_bi().await.unwrap();
    let reads = vec![*client::query::account(5, 1).command(); 8_190];
    send.write_all(&hello_bytes()).await.unwrap();
    send.write_all(&request_bytes(1, protocol::request::flags::READ, &reads)).await.unwrap();
    until(|| frame.metric("replies") == 1).await;
    let gateway = frame.gateway.take().unwrap();
    assert!(gateway.shutdown(Duration::from_secs(20)).await);
    let ended = connection.closed().await;
    assert!(matches!(ended, quinn::ConnectionError::ApplicationClosed(_)), "{ended:?}");
    frame.stop().await;
}
