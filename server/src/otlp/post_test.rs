//! What collectors answer, and what answers without being one.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::thread::JoinHandle;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTracePartialSuccess;

use super::*;

/// Somebody who reads one request and answers it so.
fn answering(answer: Vec<u8>) -> (Collector, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let collector = collector(listener.local_addr().unwrap());
    let asked = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = [0; 1_024];
        let len = stream.read(&mut head).unwrap();
        stream.write_all(&answer).unwrap();
        String::from_utf8_lossy(&head[..len]).into_owned()
    });
    (collector, asked)
}

fn collector(address: SocketAddr) -> Collector {
    Collector::read(&format!("http://{address}/base"), true).unwrap().unwrap()
}

fn deliver(collector: &Collector) -> Result<(), Undelivered> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(post(collector, &ExportTraceServiceRequest::default()))
}

fn response(body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

#[test]
fn a_collector_takes_them_below_its_path() {
    let (collector, asked) = answering(response(b""));
    deliver(&collector).unwrap();
    let head = asked.join().unwrap().to_lowercase();
    assert!(head.starts_with("post /base/v1/traces http/1.1\r\n"), "{head}");
    assert!(head.contains("content-type: application/x-protobuf\r\n"), "{head}");
}

#[test]
fn what_a_collector_leaves_is_counted() {
    let partial = ExportTracePartialSuccess { rejected_spans: 3, error_message: "x".repeat(999) };
    let answer = ExportTraceServiceResponse { partial_success: Some(partial) };
    let (collector, _) = answering(response(&answer.encode_to_vec()));
    match deliver(&collector) {
        Err(Undelivered::Rejected { count: 3, why }) => assert_eq!(why.len(), SENTENCE_LEN_MAX),
        other => panic!("{other:?}"),
    }
}

#[test]
fn nobody_loses_more_than_was_sent() {
    let rejected = |count| Undelivered::Rejected { count, why: String::new() };
    assert_eq!((rejected(3).lost(7), rejected(i64::MAX as u64).lost(7)), (3, 7));
    assert_eq!(Undelivered::Silent.lost(7), 7);
}

#[test]
fn who_is_no_collector_is_known() {
    let told = |answer: &[u8]| deliver(&answering(answer.to_vec()).0).unwrap_err();
    assert!(matches!(told(&response(b"<html>it works</html>")), Undelivered::Nonsense));
    let long = vec![b'x'; ANSWER_SIZE_MAX + 1];
    assert!(matches!(told(&response(&long)), Undelivered::Nonsense));
    assert!(matches!(told(b"SSH-2.0-OpenSSH_9.2\r\n"), Undelivered::Http(_)));
    assert!(matches!(told(b""), Undelivered::Http(_)));
    let busy = told(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
    assert!(matches!(busy, Undelivered::Status(StatusCode::SERVICE_UNAVAILABLE)), "{busy}");
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = deliver(&collector(free)).unwrap_err();
    assert!(nobody.to_string().contains("cannot connect"), "{nobody}");
}
