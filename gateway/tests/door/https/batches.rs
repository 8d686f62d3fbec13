//! Binary batches over HTTP are the requests of the QUIC door.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use client::query;
use gateway::Allotment;
use http_body_util::Full;
use hyper::{Method, Request, StatusCode};
use identity::Role;
use protocol::request::flags::READ;
use protocol::{Kind, Status};
use ring::PoolConfig;

use crate::https::*;
use crate::support::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_of_every_size_are_answered_over_both_versions() {
    let frame = Frame::start();
    // The identification takes sequence 1.
    let mut sequence = 2;
    for (salt, alpn) in [(1, H1), (2, H2)] {
        let http = Http::open(&frame, alpn).await;
        for (at, size) in [1, 16, 17, 512, 513, 8_190, 3].into_iter().enumerate() {
            let answer = http.batch(&transfers(size, salt * 100 + at as u64)).await.unwrap();
            assert_eq!(answer.header("content-type"), "application/octet-stream");
            assert_eq!(answer.header("cache-control"), "no-store");
            assert!(answer.header("bezant-request-id").parse::<u64>().is_ok());
            assert_eq!(answer.header("bezant-sequence"), sequence.to_string());
            assert_eq!(answer.header("bezant-epoch"), "3");
            assert!(answer.header("server-timing").starts_with("seq;dur=0.001, durable;"));
            let decoded = answer.decoded();
            assert_eq!(decoded.outcomes.len() as u64, size);
            assert!(decoded.outcomes.iter().all(|one| one.status == Status::Ok));
            assert_eq!(decoded.head.first_sequence, sequence);
            assert_eq!(
                (decoded.head.request, decoded.head.stamps[..3].to_vec()),
                (1, vec![1, 2, 3])
            );
            sequence += size;
        }
    }
    assert_eq!(frame.metric("commands"), sequence - 1);
    assert_eq!(frame.metric("http_requests"), 14);
    assert_eq!(frame.seen()[0].1, [Kind::Identify.number()]);
    let agent = protocol::ids::parse_uuid(AGENT).unwrap();
    assert!(frame.seen().iter().all(|(head, _)| head.principal == agent));
    frame.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_of_the_largest_size_come_whole() {
    let frame = Frame::start();
    let reads: Vec<_> = (0..8_190).map(|owner| *query::account(owner, 1).command()).collect();
    for alpn in [H1, H2] {
        let http = Http::open(&frame, alpn).await;
        let answer = http.ask(post(batch(7, READ, &reads))).await.unwrap();
        let decoded = answer.decoded();
        assert!(decoded.answers.iter().map(|answer| answer.value).eq(0..8_190));
    }
    assert!(frame.seen().is_empty(), "reads skip the journal");
    frame.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_streams_share_a_connection() {
    let frame = Frame::start();
    let http = Http::open(&frame, H2).await;
    let mut tasks = tokio::task::JoinSet::new();
    for salt in 1..=100 {
        let http = http.clone();
        tasks.spawn(async move {
            let answer = http.batch(&transfers(300, salt)).await.unwrap();
            answer.decoded().outcomes.len()
        });
    }
    assert!(tasks.join_all().await.into_iter().all(|count| count == 300));
    frame.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_doors_know_the_same_ids() {
    let frame = Frame::start();
    let quic = frame.connect().await;
    let commands = transfers(3, 1);
    let first = quic.request(&commands).await.unwrap();
    let http = Http::open(&frame, H1).await;
    let again = http.batch(&commands).await.unwrap().decoded();
    let sequences: Vec<_> = again.outcomes.iter().map(|one| one.sequence).collect();
    assert!(again.outcomes.iter().all(|one| one.repeat));
    assert_eq!(sequences[0], first.first_sequence().0);
    assert_eq!(frame.metric("identified"), 1);
    drop(quic);
    frame.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_request_is_answered_as_over_quic() {
    let frame = Frame::start();
    let http = Http::open(&frame, H1).await;
    frame.switches.is_full.store(true, Ordering::SeqCst);
    let refused = http.ask(post(batch(9, 0, &transfers(2, 1)))).await.unwrap().decoded();
    assert_eq!((refused.refused, refused.head.request), (Some(Status::JournalFull), 9));
    frame.switches.is_full.store(false, Ordering::SeqCst);
    assert_eq!(http.batch(&transfers(2, 1)).await.unwrap().decoded().outcomes.len(), 2);
    frame.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_is_refused_and_the_connection_goes_on() {
    let frame = Frame::start();
    let good = batch(4, 0, &transfers(2, 1));
    let mut forged = good.to_vec();
    forged[0] = 1;
    let tick = [protocol::Command::new(Kind::Tick, protocol::CommandId(0))];
    let mut miscounted = good.to_vec();
    miscounted[48] = 1;
    let bodies: Vec<Bytes> = vec![
        Bytes::new(),
        good.slice(..64),
        good.slice(..100),
        forged.into(),
        miscounted.into(),
        batch(1, 0, &tick),
        batch(1, READ, &transfers(1, 1)),
    ];
    for alpn in [H1, H2] {
        let mut http = Http::open(&frame, alpn).await;
        for (at, body) in bodies.iter().enumerate() {
            let answer = http.ask(post(body.clone())).await.unwrap();
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "body {at}");
            assert_eq!(answer.header("cache-control"), "no-store");
            assert_eq!(answer.header("content-type"), "application/problem+json");
            // Its length alone showed that it is no batch.
            if answer.header("connection") == "close" {
                assert!(alpn == H1 && (at == 1 || at == 2), "body {at}");
                http = Http::open(&frame, alpn).await;
            }
        }
        let mut other = post(good.clone());
        other.headers_mut().insert("content-type", "application/json".parse().unwrap());
        let answer = http.ask(other).await.unwrap();
        assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
        http = Http::open(&frame, alpn).await;
        let request = |method, path: &str| {
            let uri = format!("https://frame{path}");
            let request = Request::builder().method(method).uri(uri).header("host", "frame");
            request.body(Full::new(Bytes::new())).unwrap()
        };
        let answer = http.ask(request(Method::GET, "/v1/batches")).await.unwrap();
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
        assert!(answer.header("allow").contains("POST"), "{:?}", answer.headers);
        let answer = http.ask(request(Method::GET, "/nothing")).await.unwrap();
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
        assert_eq!(http.batch(&transfers(1, 1)).await.unwrap().decoded().outcomes.len(), 1);
    }
    assert_eq!(frame.metric("http_responses_4xx"), 20);
    frame.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_too_often_is_told_when_to_come_again() {
    let frame = Frame::with(PoolConfig::default(), |config| {
        let modest = Allotment { requests_per_s: 1, ..config.limits.of(Role::Agent) };
        config.limits.set(Role::Agent, modest);
    });
    let http = Http::open(&frame, H1).await;
    assert_eq!(http.batch(&transfers(1, 1)).await.unwrap().status, StatusCode::OK);
    let answer = http.batch(&transfers(1, 2)).await.unwrap();
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
    frame.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_frame_says_so_in_time() {
    // One request of the largest size is all there is room for.
    let pool = PoolConfig { bytes_max: ring::Pool::bytes_max_floor(), requests_max: 64 };
    let frame = Frame::with(pool, |_| {});
    let http = Http::open(&frame, H2).await;
    assert_eq!(http.batch(&transfers(1, 1)).await.unwrap().status, StatusCode::OK);
    frame.switches.is_held.store(true, Ordering::SeqCst);
    let held = tokio::spawn({
        let http = http.clone();
        async move { http.batch(&transfers(8_190, 2)).await.unwrap().decoded().outcomes.len() }
    });
    until(|| frame.metric("requests") == 3).await;
    let answer = http.batch(&transfers(1, 3)).await.unwrap();
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(!answer.header("retry-after").is_empty());
    frame.switches.is_held.store(false, Ordering::SeqCst);
    assert_eq!(held.await.unwrap(), 8_190);
    assert_eq!(http.batch(&transfers(1, 3)).await.unwrap().status, StatusCode::OK);
    frame.stop().await;
}
