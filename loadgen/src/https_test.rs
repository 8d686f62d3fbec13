//! The client's side of HTTPS against a server of a few lines.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use identity::{DevCa, FileSource, Role, RolePatterns, TrustDomain, UnixTime};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::https::{Http1, Http2, HttpsConnector, head};

/// Answers what was sent, and ends a connection with every third answer.
async fn echo(
    request: Request<Incoming>,
    answers: Arc<AtomicU32>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let version = request.version();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let mut response = Response::builder()
        .status(201)
        .header("Server-Timing", "seq;dur=0.5")
        .header("Idempotency-Replayed", "true");
    let ends = answers.fetch_add(1, Ordering::Relaxed) % 3 == 2;
    if ends && version == Version::HTTP_11 {
        response = response.header("Connection", "close");
    }
    Ok(response.body(Full::new(body)).unwrap())
}

/// A listener, and an identity for it in `dir` where a client finds one too.
async fn door(dir: &std::path::Path) -> (TcpListener, TlsAcceptor) {
    let (domain, hour) = (TrustDomain::parse("frame.test").unwrap(), Duration::from_secs(3_600));
    let ca = DevCa::in_memory(&domain, UnixTime::now()).unwrap();
    for (role, name) in [(Role::Peer, "engine"), (Role::Registry, "north")] {
        ca.issue(role, name, hour, UnixTime::now()).unwrap().write_to(&dir.join(name)).unwrap();
    }
    let source = Arc::new(FileSource::open(dir.join("engine")).unwrap());
    let patterns = RolePatterns::default();
    let tls = identity::server_config(&source, patterns, &[b"h2", b"http/1.1"]);
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    (TcpListener::bind("127.0.0.1:0").await.unwrap(), acceptor)
}

/// A server for a client of `dir`.
async fn serve(dir: &std::path::Path) -> (SocketAddr, Arc<AtomicU32>) {
    let (listener, acceptor) = door(dir).await;
    let addr = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&connections);
    tokio::spawn(async move {
        loop {
            let stream = acceptor.accept(listener.accept().await.unwrap().0).await.unwrap();
            counted.fetch_add(1, Ordering::Relaxed);
            let answers = Arc::new(AtomicU32::new(0));
            let service = service_fn(move |request| echo(request, Arc::clone(&answers)));
            let serving = async move {
                let builder = auto::Builder::new(TokioExecutor::new());
                builder.serve_connection(TokioIo::new(stream), service).await
            };
            tokio::spawn(serving);
        }
    });
    (addr, connections)
}

#[tokio::test]
async fn answers_of_any_length_come_back_and_ended_connections_are_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let (addr, connections) = serve(dir.path()).await;
    let connector = Arc::new(HttpsConnector::open(addr, &dir.path().join("north")).unwrap());
    let mut line = Http1::new(Arc::clone(&connector));
    for length in [0, 1, 40_000, 1 << 20, 3, 4, 5] {
        let mut request = Vec::new();
        head("POST", "/echo", "application/octet-stream", length, &mut request);
        request.resize(request.len() + length, b'x');
        let answer = line.exchange(&request).await.unwrap();
        assert_eq!((answer.status, answer.body.len()), (201, length));
        assert_eq!((answer.replayed, answer.stamps[0]), (true, 500));
    }
    assert_eq!(connections.load(Ordering::Relaxed), 3, "each took three requests");

    let shared = Arc::new(Http2::new(connector));
    let tasks: Vec<_> = (0..20_usize)
        .map(|at| {
            let (shared, body) = (Arc::clone(&shared), Bytes::from(vec![b'y'; at * 10_000]));
            tokio::spawn(async move { shared.exchange("POST", "/echo", "x/y", body).await })
        })
        .collect();
    for (at, task) in tasks.into_iter().enumerate() {
        let answer = task.await.unwrap().unwrap();
        assert_eq!((answer.status, answer.body.len()), (201, at * 10_000));
    }
    assert_eq!(connections.load(Ordering::Relaxed), 4, "all on one connection");
}

/// A request that was sent, and that the server's goodbye left out, counted as lost: it depended on
/// which of the two threads of the client was faster.
#[tokio::test]
async fn a_request_that_a_goodbye_leaves_out_goes_over_the_next_connection() {
    let dir = tempfile::tempdir().unwrap();
    let (listener, acceptor) = door(dir.path()).await;
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let accept =
            || async { acceptor.accept(listener.accept().await.unwrap().0).await.unwrap() };
        let stream = accept().await;
        // The request is on its way by then, and nobody looks at it.
        tokio::time::sleep(Duration::from_millis(100)).await;
        let mut leaving = h2::server::handshake(stream).await.unwrap();
        leaving.abrupt_shutdown(h2::Reason::NO_ERROR);
        std::future::poll_fn(|context| leaving.poll_closed(context)).await.unwrap();
        let service = service_fn(|request| echo(request, Arc::default()));
        let stream = TokioIo::new(accept().await);
        auto::Builder::new(TokioExecutor::new()).serve_connection(stream, service).await.unwrap();
    });
    let connector = Arc::new(HttpsConnector::open(addr, &dir.path().join("north")).unwrap());
    let shared = Http2::new(connector);
    let answer = shared.exchange("POST", "/echo", "x/y", Bytes::from_static(b"yes")).await.unwrap();
    assert_eq!((answer.status, &answer.body[..]), (201, &b"yes"[..]));
}
