//! However a connection ends, what was taken is answered, and nothing is left behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use client::HeldSource;
use gateway::Allotment;
use identity::{Role, UnixTime};
use ring::PoolConfig;

use crate::https::*;
use crate::support::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_answers_what_was_taken() {
    let mut frame = Frame::start();
    let mut connections = Vec::new();
    for alpn in [H1, H2, H1, H2] {
        let http = Http::open(&frame, alpn).await;
        assert_eq!(http.batch(&transfers(1, 1)).await.unwrap().status, 200);
        connections.push(http);
    }
    let idle = Http::open(&frame, H2).await;
    let before = frame.metric("requests");
    frame.switches.is_held.store(true, Ordering::SeqCst);
    let mut pending = tokio::task::JoinSet::new();
    for (salt, http) in connections.into_iter().enumerate() {
        let salt = salt as u64 + 2;
        pending.spawn(async move { http.batch(&transfers(3, salt)).await.unwrap().status });
    }
    until(|| frame.metric("requests") == before + 4).await;
    let gateway = frame.gateway.take().unwrap();
    let closing = tokio::spawn(gateway.shutdown(Duration::from_secs(20)));
    until(|| idle.is_closed()).await;
    assert!(Http::open_is_refused(&frame).await);
    frame.switches.is_held.store(false, Ordering::SeqCst);
    assert!(pending.join_all().await.into_iter().all(|status| status == 200));
    assert!(closing.await.unwrap());
    frame.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_cuts_off_what_is_not_done() {
    let mut frame = Frame::start();
    let http = Http::open(&frame, H2).await;
    assert_eq!(http.batch(&transfers(1, 1)).await.unwrap().status, 200);
    frame.switches.is_held.store(true, Ordering::SeqCst);
    let pending = tokio::spawn({
        let http = http.clone();
        async move { http.batch(&transfers(3, 2)).await.is_err() }
    });
    until(|| frame.metric("requests") == 3).await;
    let gateway = frame.gateway.take().unwrap();
    assert!(!gateway.shutdown(Duration::ZERO).await);
    assert!(pending.await.unwrap());
    // Nothing of the door holds the ring: it ends after the engine's late reply.
    frame.switches.is_held.store(false, Ordering::SeqCst);
    frame.ring_ends().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_goes_leaves_nothing_behind() {
    let frame = Frame::with(PoolConfig::default(), |config| {
        let few = Allotment { in_flight: 2, ..config.limits.of(Role::Agent) };
        config.limits.set(Role::Agent, few);
    });
    for (salt, alpn) in [(1, H1), (2, H2)] {
        let http = Http::open(&frame, alpn).await;
        assert_eq!(http.batch(&transfers(1, salt)).await.unwrap().status, 200);
        frame.switches.is_held.store(true, Ordering::SeqCst);
        let before = frame.metric("requests");
        let pending = tokio::spawn(async move { http.batch(&transfers(3, salt + 10)).await });
        until(|| frame.metric("requests") == before + 1).await;
        pending.abort();
        until(|| frame.metric("https_connections_open") == 0).await;
        assert_eq!(frame.pool.in_flight(), 1, "what was published is executed");
        // Its place is free again while the engine has not answered.
        let other = Http::open(&frame, H2).await;
        let both = [20, 30].map(|next| {
            let other = other.clone();
            tokio::spawn(
                async move { other.batch(&transfers(1, salt + next)).await.unwrap().status },
            )
        });
        until(|| frame.metric("requests") == before + 3).await;
        frame.switches.is_held.store(false, Ordering::SeqCst);
        for pending in both {
            assert_eq!(pending.await.unwrap(), 200);
        }
        until(|| frame.pool.in_flight() == 0).await;
        drop(other);
        until(|| frame.metric("https_connections_open") == 0).await;
    }
    frame.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_aged_connection_says_that_it_ends() {
    let frame = Frame::with(PoolConfig::default(), |config| {
        config.check_interval = Duration::from_millis(10);
        config.connection_age_max = Duration::from_secs(1);
    });
    let one = Http::open(&frame, H1).await;
    let two = Http::open(&frame, H2).await;
    let (mut asked, mut last) = (0_u64, String::new());
    while last != "close" {
        asked += 1;
        let answer = one.batch(&transfers(1, asked)).await.unwrap();
        assert_eq!(answer.status, 200);
        last = answer.header("connection").to_owned();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    until(|| one.is_closed() && two.is_closed()).await;
    assert_eq!(frame.metric("identities_ended"), 0);
    frame.stop().await;
}

/// Whether the request was never sent, because the connection had ended or a GOAWAY came first.
fn is_unsent(error: &hyper::Error) -> bool {
    error.is_canceled() || format!("{error:?}").contains("GoAway(b\"\", NO_ERROR, Remote)")
}

/// A client that follows what connections say, and asks without a pause until told to stop.
async fn follow(
    frame: (std::net::SocketAddr, Arc<HeldSource>),
    alpn: &'static [u8],
    salt: u64,
    is_done: Arc<AtomicBool>,
) -> (u64, u64) {
    let (addr, source) = frame;
    let (mut asked, mut opened) = (0, 0);
    while !is_done.load(Ordering::SeqCst) {
        let http = Http::with(addr, &source, alpn).await.unwrap();
        opened += 1;
        while !http.is_closed() && !is_done.load(Ordering::SeqCst) {
            let answer = match http.batch(&transfers(2, salt * 1_000 + asked)).await {
                Ok(answer) => answer,
                Err(error) if is_unsent(&error) => break,
                Err(error) => panic!("request {asked} lost: {error:?}"),
            };
            asked += 1;
            assert_eq!(answer.status, 200);
            if answer.header("connection") == "close" {
                break;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    (asked, opened)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_loses_no_request() {
    let frame = Frame::with(PoolConfig::default(), |config| {
        config.check_interval = Duration::from_millis(20);
    });
    let short = |ca: &identity::DevCa| {
        let issued = ca.issue(Role::Agent, AGENT, Duration::from_secs(2), UnixTime::now());
        issued.unwrap().material().unwrap()
    };
    let source = Arc::new(HeldSource::new(short(&frame.ca)));
    let is_done = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = [H1, H2, H1, H2]
        .into_iter()
        .enumerate()
        .map(|(salt, alpn)| {
            let of = (frame.https, Arc::clone(&source));
            tokio::spawn(follow(of, alpn, salt as u64 + 1, Arc::clone(&is_done)))
        })
        .collect();
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(5) {
        tokio::time::sleep(Duration::from_millis(100)).await;
        source.replace(short(&frame.ca));
        let own = frame.ca.issue(Role::Peer, "engine", Duration::from_secs(60), UnixTime::now());
        frame.source.replace(own.unwrap().material().unwrap());
    }
    is_done.store(true, Ordering::SeqCst);
    let mut all = 0;
    for client in clients {
        let (asked, opened) = client.await.unwrap();
        assert!(opened > 2, "{opened} connections");
        all += asked;
    }
    // Connections that come at once are identified at once.
    let is_asked = |kinds: &[u16]| kinds[0] != protocol::Kind::Identify.number();
    let seen = frame.seen().iter().filter(|(_, kinds)| is_asked(kinds)).count();
    assert_eq!(seen as u64, all, "each request was executed once");
    frame.stop().await;
}
