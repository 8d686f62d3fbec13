//! Who is not let in gets no byte of an answer, and what is ambiguous is refused.

use std::sync::Arc;
use std::time::Duration;

use client::HeldSource;
use identity::{DenyList, DevCa, Role, RolePatterns, UnixTime};
use ring::PoolConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::https::*;
use crate::identities::NoCertificate;
use crate::support::*;

/// What a server says to a request over this TLS, if it says anything.
async fn answer_over(frame: &Frame, config: rustls::ClientConfig) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Ok(mut stream) = connect(frame.https, config).await {
        let _ = stream.write_all(b"GET /v1/me HTTP/1.1\r\nhost: frame\r\n\r\n").await;
        let _ = stream.read_to_end(&mut bytes).await;
    }
    bytes
}

fn anonymous(mut config: rustls::ClientConfig) -> rustls::ClientConfig {
    config.client_auth_cert_resolver = Arc::new(NoCertificate);
    config
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_without_an_identity_gets_a_byte() {
    let frame = Frame::with(PoolConfig::default(), |config| {
        config.patterns = RolePatterns::default().admitting(&[Role::Agent]);
    });
    let of = |source: &Arc<HeldSource>, alpn| identity::client_config(source, whom(), &[alpn]);
    let forger = DevCa::in_memory(&domain(), UnixTime::now()).unwrap();
    let forged = forger.issue(Role::Agent, AGENT, Duration::from_secs(60), UnixTime::now());
    let forged = forged.unwrap();
    let forged = identity::Material::from_pem(
        forged.certificate_pem().as_bytes(),
        forged.key_pem().as_bytes(),
        frame.ca.bundle_pem().as_bytes(),
    );
    let forged = Arc::new(HeldSource::new(forged.unwrap()));
    let admin = frame.identity(Role::Admin, "root");
    for (metric, config) in [
        ("refused_no_certificate", anonymous(of(&frame.agent(), H1))),
        ("refused_identity", of(&forged, H1)),
        ("refused_identity", of(&admin, H2)),
        ("refused_alpn", of(&frame.agent(), b"http/1.0")),
    ] {
        let before = frame.metric(metric);
        assert_eq!(answer_over(&frame, config).await, b"", "{metric}");
        until(|| frame.metric(metric) == before + 1).await;
    }
    let mut plain = TcpStream::connect(frame.https).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nhost: frame\r\n\r\n").await.unwrap();
    let mut bytes = Vec::new();
    let _ = plain.read_to_end(&mut bytes).await;
    assert!(!bytes.starts_with(b"HTTP"), "plain text gets no HTTP");
    let welcome = answer_over(&frame, of(&frame.agent(), H1));
    let welcome = tokio::time::timeout(Duration::from_millis(300), welcome).await;
    assert!(welcome.is_err(), "the connection of an agent stays open");
    assert_eq!(frame.metric("http_requests"), 1);
    frame.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_denied_identity_is_cut_off_while_connected() {
    let frame = Frame::with(PoolConfig::default(), |config| {
        config.check_interval = Duration::from_millis(10);
    });
    let one = Http::open(&frame, H1).await;
    let two = Http::open(&frame, H2).await;
    for http in [&one, &two] {
        assert_eq!(http.batch(&transfers(1, 1)).await.unwrap().status, 200);
    }
    let denied = DenyList::parse(&format!("spiffe://frame-a.example/agent/{AGENT}\n")).unwrap();
    let renewed = frame.ca.issue(Role::Peer, "engine", Duration::from_secs(60), UnixTime::now());
    frame.source.replace(renewed.unwrap().material().unwrap().with_denied(denied));
    until(|| one.is_closed() && two.is_closed()).await;
    assert_eq!(frame.metric("identities_ended"), 2);
    assert!(Http::open_is_refused(&frame).await);
    frame.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_principal_has_a_bounded_number_of_connections_to_both_doors() {
    let frame = Frame::with(PoolConfig::default(), |config| {
        let few = gateway::Allotment { connections: 2, ..config.limits.of(Role::Agent) };
        config.limits.set(Role::Agent, few);
    });
    let quic = frame.connect().await;
    let http = Http::open(&frame, H1).await;
    assert_eq!(http.batch(&transfers(1, 1)).await.unwrap().status, 200);
    assert!(Http::open_is_refused(&frame).await);
    assert_eq!(frame.metric("refused_limit"), 1);
    assert_eq!(frame.metric("https_connections_open"), 1);
    drop(quic);
    frame.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_of_two_lengths_is_refused() {
    let frame = Frame::start();
    let chunk = "5\r\nhello\r\n0\r\n\r\n";
    let start = "POST /v1/batches HTTP/1.1\r\nhost: frame\r\n";
    let both = "content-length: 5\r\ntransfer-encoding: chunked\r\n";
    for (blank, lines) in [
        ("\r\n\r\n", both),
        ("\n\r\n\n", both),
        ("", both),
        ("", "Transfer-Encoding: chunked\r\nCoNtEnT-lEnGtH: 5\r\n"),
        ("", "content-length: 5\r\ncontent-length: 6\r\n"),
        ("", "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n"),
        ("", "transfer-encoding: gzip\r\n"),
    ] {
        let mut raw = Raw::open(&frame).await;
        raw.write(format!("{blank}{start}{lines}\r\n{chunk}")).await;
        let answer = raw.rest().await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{lines}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{lines}: {answer}");
    }
    assert!(frame.seen().is_empty());
    frame.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_in_chunks_is_read_and_a_pipelined_one_refused() {
    let frame = Frame::start();
    let body = batch(1, 0, &transfers(20, 1));
    let head = "POST /v1/batches HTTP/1.1\r\nhost: frame\r\ntransfer-encoding: chunked\r\n\
                content-type: application/octet-stream\r\n";
    let mut chunked = Vec::new();
    for chunk in body.chunks(999) {
        chunked.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        chunked.extend_from_slice(chunk);
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    let mut raw = Raw::open(&frame).await;
    raw.write(format!("{head}\r\n")).await;
    raw.write(&chunked).await;
    let mut begin = [0; 15];
    raw.0.read_exact(&mut begin).await.unwrap();
    assert_eq!(&begin, b"HTTP/1.1 200 OK");
    drop(raw);
    let mut raw = Raw::open(&frame).await;
    let first = "GET /nothing HTTP/1.1\r\nhost: frame\r\n\r\n";
    let both = [first.as_bytes(), head.as_bytes(), b"\r\n", &chunked].concat();
    raw.write(both).await;
    let answer = raw.rest().await;
    assert!(answer.contains("HTTP/1.1 404 ") && answer.contains("HTTP/1.1 400 "), "{answer}");
    frame.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_big_is_refused_early() {
    let frame = Frame::start();
    // By its length, before any of it came.
    let mut raw = Raw::open(&frame).await;
    raw.write(format!("{}\r\n", head(2 << 20))).await;
    let answer = raw.rest().await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    // By what came, when no length was told; the answer can be read although all of it was sent.
    let mut raw = Raw::open(&frame).await;
    let head = "POST /v1/batches HTTP/1.1\r\nhost: frame\r\ntransfer-encoding: chunked\r\n\
                content-type: application/octet-stream\r\n\r\n";
    raw.write(head).await;
    for _ in 0..40 {
        let chunk = [b"8000\r\n".as_slice(), &[0; 0x8000], b"\r\n"].concat();
        raw.write(chunk).await;
    }
    assert!(raw.rest().await.starts_with("HTTP/1.1 413 "));
    // Heads.
    let mut raw = Raw::open(&frame).await;
    raw.write(format!("GET / HTTP/1.1\r\nhost: frame\r\nlong: {}\r\n\r\n", "a".repeat(17_000)))
        .await;
    assert!(raw.rest().await.starts_with("HTTP/1.1 431 "));
    let mut raw = Raw::open(&frame).await;
    let many: String = (0..101).map(|at| format!("a{at}: 1\r\n")).collect();
    raw.write(format!("GET / HTTP/1.1\r\nhost: frame\r\n{many}\r\n")).await;
    assert!(raw.rest().await.starts_with("HTTP/1.1 431 "));
    assert_eq!(frame.pool.in_flight(), 0);
    frame.stop().await;
}

/// What follows a body that nobody reads is not executed, and the client is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_to_an_unread_body_says_that_the_connection_ends() {
    let frame = Frame::with(PoolConfig::default(), |config| {
        let few = gateway::Allotment { requests_per_s: 8, ..config.limits.of(Role::Agent) };
        config.limits.set(Role::Agent, few);
    });
    let body = "content-length: 2\r\n\r\n{}";
    let json = "host: frame\r\ncontent-type: application/json\r\n";
    let ask = |line: &str, lines: &str| format!("{line} HTTP/1.1\r\n{lines}{body}");
    for (request, status) in [
        (ask("POST /v1/transfers", "host: frame\r\n"), 415),
        (ask("POST /v1/transfers", &format!("{json}accept: text/html\r\n")), 406),
        (ask("POST /v1/nothing", json), 404),
        (ask("PATCH /v1/transfers", json), 405),
        (ask("GET /docs.css", "host: frame\r\n"), 200),
    ] {
        let mut raw = Raw::open(&frame).await;
        raw.write(format!("{request}GET /v1/nothing HTTP/1.1\r\nhost: frame\r\n\r\n")).await;
        let answer = raw.rest().await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(answer.contains("connection: close\r\n"), "{answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
    }
    // A body that was read costs no connection, whatever the answer is; one too many does.
    let mut raw = Raw::open(&frame).await;
    raw.write(ask("POST /v1/transfers", json).repeat(50)).await;
    let answer = raw.rest().await;
    assert!(answer.matches("HTTP/1.1 400 ").count() >= 3, "{answer}");
    assert_eq!(answer.matches("HTTP/1.1 429 ").count(), 1, "{answer}");
    assert_eq!(answer.matches("connection: close\r\n").count(), 1, "{answer}");
    frame.stop().await;
}
