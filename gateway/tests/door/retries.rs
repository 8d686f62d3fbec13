//! A lost connection never turns into a second payment or a false failure.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use client::{Error, Options, Sequence, Session};
use protocol::Status;

use crate::support::*;

fn options() -> Options {
    let mut options = Options::default();
    options.connect_timeout = Duration::from_millis(500);
    options.retry_pause = Duration::from_millis(5);
    options
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_outcome_is_resolved_by_the_same_ids() {
    let mut frame = Frame::start();
    let session = Arc::new(Session::new(frame.connector(options())));
    assert!(session.execute(&transfers(1, 1)).await.unwrap().is_all_ok());
    frame.switches.is_held.store(true, Ordering::SeqCst);
    let paying = tokio::spawn({
        let session = Arc::clone(&session);
        async move { session.execute(&transfers(5, 2)).await }
    });
    until(|| frame.metric("requests") == 3).await;
    // The front door dies with the request in the ring; another opens at the same address.
    let gateway = frame.gateway.take().unwrap();
    assert!(!gateway.shutdown(Duration::ZERO).await);
    frame.switches.is_held.store(false, Ordering::SeqCst);
    until(|| frame.seen().len() == 3).await;
    let addr = frame.addr;
    until(|| std::net::UdpSocket::bind(addr).is_ok()).await;
    frame.open(2, 1, |_| {});
    let reply = paying.await.unwrap().unwrap();
    assert_eq!(reply.first_refusal(), None);
    assert!(reply.outcomes().iter().all(|outcome| outcome.repeat));
    let sequences: Vec<_> = reply.outcomes().iter().map(|outcome| outcome.sequence).collect();
    assert_eq!(sequences, [3, 4, 5, 6, 7], "the outcomes of the first attempt");
    assert_ne!(reply.first_sequence(), Sequence(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_deadline_it_says_unknown_or_unavailable() {
    let frame = Frame::start();
    let mut short = options();
    short.retry_deadline = Duration::from_millis(200);
    let session = Session::new(frame.connector(short.clone()));
    assert!(session.execute(&transfers(1, 1)).await.unwrap().is_all_ok());
    frame.switches.is_held.store(true, Ordering::SeqCst);
    let error = session.execute(&transfers(1, 2)).await.unwrap_err();
    assert!(matches!(error, Error::Unknown { .. }), "{error}");
    assert!(error.is_unknown());
    frame.switches.is_held.store(false, Ordering::SeqCst);
    let reply = session.execute(&transfers(1, 2)).await.unwrap();
    assert!(reply.outcomes()[0].repeat, "it had been executed");

    let connector = frame.connector(short);
    frame.stop().await;
    let nobody = Session::new(connector);
    let error = nobody.execute(&transfers(1, 3)).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    assert!(!error.is_unknown());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_journal_is_waited_for() {
    let frame = Frame::start();
    frame.switches.is_full.store(true, Ordering::SeqCst);
    let session = Arc::new(Session::new(frame.connector(options())));
    let paying = tokio::spawn({
        let session = Arc::clone(&session);
        async move { session.execute(&transfers(1, 1)).await }
    });
    until(|| frame.metric("requests_refused") >= 2).await;
    frame.switches.is_full.store(false, Ordering::SeqCst);
    assert!(paying.await.unwrap().unwrap().is_all_ok());

    frame.switches.is_full.store(true, Ordering::SeqCst);
    let mut short = options();
    // The next attempt would begin after the deadline, so the first answer stands.
    short.retry_pause = Duration::from_secs(60);
    let session = Session::new(frame.connector(short));
    let reply = session.execute(&transfers(1, 2)).await.unwrap();
    assert_eq!(reply.refused(), Some(Status::JournalFull), "known not to be executed");
    drop(session);
}
