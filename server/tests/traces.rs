//! The traces of a frame: what a collector is given of them, and that nobody waits for one.
//! Invariant: what is traced tells nothing that only the audit log and the journal may know.

use std::net::TcpListener;
use std::time::Duration;

use client::Command;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use protocol::ids::NATIVE;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::books;
use crate::collector::{Arrived, Collector, text};
use crate::frame::{Frame, PATIENCE, must, until};
use crate::https_client::{connector, status};
use crate::time_travel::ALICE;

/// A trace of a client, and the span of it that asks.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const ASKING: &str = "b7ad6b7169203331";

/// Asks for a path over HTTPS with more headers; returns the status.
async fn ask(frame: &Frame, path: &str, more: &str) -> u16 {
    let mut stream = connector(frame, "registry", "north").connect().await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: frame\r\nConnection: close\r\n{more}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // An end without a farewell is one.
    let _ = stream.read_to_end(&mut answer).await;
    status(&answer)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn is_child_of(child: &Arrived, parent: &Arrived) -> bool {
    child.span.parent_span_id == parent.span.span_id && child.span.trace_id == parent.span.trace_id
}

#[test]
fn a_collector_is_given_what_a_frame_does() {
    books::run(async {
        let collector = Collector::start();
        let mut frame = Frame::with(&[], &[&collector.setting(), "snapshot.interval_s=1"]);
        frame.start();
        let north = frame.client("registry", "north").await;
        must(&north, Command::open(north.ids().next_id(), ALICE, NATIVE)).await;
        assert_eq!(ask(&frame, "/v1/me", "Cookie: canary\r\n").await, 200);
        assert_eq!(ask(&frame, "/canary", "").await, 404);
        assert!(ask(&frame, "/v1/parameters/canary?canary=1", "").await >= 400);
        collector.wait_for("settle");
        collector.wait_for("snapshot");
        frame.stop();

        let recover = collector.wait_for("recover");
        assert_eq!(text(&recover.process, "service.name").as_deref(), Some("bezant"));
        assert!(recover.span.parent_span_id.is_empty());
        assert!(is_child_of(&collector.wait_for("replay"), &recover));

        let known = collector.wait_for("GET /v1/me");
        assert_eq!(known.span.kind, i32::from(SpanKind::Server));
        for (key, value) in [
            ("http.request.method", "GET"),
            ("http.route", "/v1/me"),
            ("http.response.status_code", "200"),
            ("network.protocol.version", "1.1"),
            ("bezant.role", "registry"),
            ("bezant.request", "1"),
        ] {
            assert_eq!(known.text(key).as_deref(), Some(value), "{key}");
        }
        let unknown = collector.wait_for("GET");
        assert_eq!(unknown.text("http.response.status_code").as_deref(), Some("404"));
        assert_eq!(unknown.text("http.route"), None);
        assert_ne!(unknown.span.trace_id, known.span.trace_id);

        collector.wait_for("GET /v1/parameters/{name}");

        let settle = collector.wait_for("settle");
        assert_eq!(settle.text("bezant.sink").as_deref(), Some("sqlite"));
        assert!(settle.text("bezant.through").is_some(), "{settle:?}");
        // What was on its way at the end has come too.
        let stop = collector.wait_for("stop");
        for part in ["close_doors", "stop_keeper", "drain_settlement", "stop_stages"] {
            assert!(is_child_of(&collector.wait_for(part), &stop), "{part}");
        }

        let all = format!("{:?}", collector.spans());
        assert!(!all.contains("canary") && !all.contains("spiffe"), "{all}");
        // The log has none of it.
        assert!(!frame.log().contains("settle{"), "{}", frame.log());
    });
}

#[test]
fn a_request_takes_its_place_in_its_clients_trace() {
    books::run(async {
        let collector = Collector::start();
        // What the log leaves out is traced all the same.
        let mut frame = Frame::with(&[], &[&collector.setting(), "log.level=off"]);
        frame.start();
        let flawed = [
            format!("traceparent: ff-{TRACE}-{ASKING}-01\r\n"),
            format!("traceparent: 00-{}-{ASKING}-01\r\n", "0".repeat(32)),
            format!("traceparent: 00-+{}-{ASKING}-01\r\n", &TRACE[1..]),
            format!("traceparent: 00-{TRACE}-{ASKING}-01-x\r\n"),
            format!("traceparent: 00-{TRACE}-{ASKING}-01\r\n").repeat(2),
            "traceparent: canary\r\n".to_owned(),
        ];
        for header in &flawed {
            assert_eq!(ask(&frame, "/v1/parameters", header).await, 200, "{header}");
        }
        // Its client does not want it to be traced.
        let unwanted = format!("traceparent: 00-{TRACE}-{ASKING}-00\r\n");
        assert_eq!(ask(&frame, "/v1/assets/1", &unwanted).await, 200);
        let wanted = format!("traceparent: 00-{TRACE}-{ASKING}-01\r\n");
        assert_eq!(ask(&frame, "/v1/me", &wanted).await, 200);
        frame.stop();

        let named = |name: &str| {
            let spans = collector.spans().into_iter();
            spans.filter(|arrived| arrived.span.name == name).collect::<Vec<_>>()
        };
        let placed = named("GET /v1/me");
        assert_eq!(placed.len(), 1);
        assert_eq!(hex(&placed[0].span.trace_id), TRACE);
        assert_eq!(hex(&placed[0].span.parent_span_id), ASKING);
        assert_eq!(named("GET /v1/assets/{asset}").len(), 0);
        let own = named("GET /v1/parameters");
        assert_eq!(own.len(), flawed.len());
        for arrived in own {
            assert!(arrived.span.parent_span_id.is_empty(), "{arrived:?}");
            assert_ne!(hex(&arrived.span.trace_id), TRACE);
        }
    });
}

#[test]
fn a_collector_that_is_away_is_told_of_once_and_again_when_it_is_back() {
    books::run(async {
        let collector = Collector::start();
        collector.open(false);
        let mut frame = Frame::with(&[], &[&collector.setting()]);
        frame.start();
        until("the loss is told", || frame.log().contains("traces are lost"));
        assert!(frame.log().contains("503"), "{}", frame.log());
        collector.open(true);
        let back = async {
            while !frame.log().contains("traces are taken again") {
                assert_eq!(ask(&frame, "/v1/me", "").await, 200);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(PATIENCE, back).await.unwrap();
        frame.stop();
        collector.wait_for("GET /v1/me");
        assert_eq!(frame.log().matches("traces are lost").count(), 1, "{}", frame.log());
    });
}

#[test]
fn a_collector_that_hangs_holds_up_neither_payments_nor_the_end() {
    books::run(async {
        // Connections are accepted by the kernel, and nobody answers.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = silent.local_addr().unwrap();
        let mut frame = Frame::with(&[], &[&format!("log.otlp=http://{address}")]);
        frame.start();
        let north = frame.client("registry", "north").await;
        must(&north, Command::open(north.ids().next_id(), ALICE, NATIVE)).await;
        frame.wait_settled();
        frame.stop();
        frame.is_sound();
    });
}

#[test]
fn a_collector_elsewhere_is_refused() {
    for (url, why) in [
        ("https://127.0.0.1:4318", "in the clear"),
        ("http://collector.example:4318", "on this machine"),
        ("http://user:canary@127.0.0.1:4318", "no user"),
    ] {
        let frame = Frame::unmade(&[&format!("log.otlp={url}")]);
        let said = frame.ends_with(78, &["config", "check"]);
        assert!(said.contains("log.otlp") && said.contains(why), "{said}");
        assert!(!said.contains("canary"), "{said}");
    }
}
