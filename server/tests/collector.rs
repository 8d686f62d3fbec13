//! Somebody who collects traces: OTLP over HTTP, in protobuf, as far as the frame speaks it.
//! Refuses what is no such request. Gone with its process.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

use crate::frame::until;

/// A span with what its process said of itself.
#[derive(Clone, Debug)]
pub(crate) struct Arrived {
    pub(crate) process: Vec<KeyValue>,
    pub(crate) span: Span,
}

impl Arrived {
    /// An attribute as text.
    pub(crate) fn text(&self, key: &str) -> Option<String> {
        text(&self.span.attributes, key)
    }
}

/// An attribute as text.
pub(crate) fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    match &found.value {
        Some(AnyValue { value: Some(Value::StringValue(text)) }) => Some(text.clone()),
        Some(AnyValue { value: Some(Value::IntValue(number)) }) => Some(number.to_string()),
        other => panic!("{key} is {other:?}"),
    }
}

/// The listener and what it was given.
pub(crate) struct Collector {
    address: SocketAddr,
    taken: Arc<Taken>,
}

/// What was given, while it was open.
#[derive(Default)]
struct Taken {
    spans: Mutex<Vec<Arrived>>,
    is_closed: AtomicBool,
}

impl Collector {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let taken = Arc::<Taken>::default();
        let takes = Arc::clone(&taken);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                take(stream.unwrap(), &takes);
            }
        });
        Self { address, taken }
    }

    /// Whether it takes anything from now on.
    pub(crate) fn open(&self, is_open: bool) {
        self.taken.is_closed.store(!is_open, Ordering::SeqCst);
    }

    /// The setting that leads here.
    pub(crate) fn setting(&self) -> String {
        format!("log.otlp=http://{}", self.address)
    }

    /// Everything that has come.
    pub(crate) fn spans(&self) -> Vec<Arrived> {
        self.taken.spans.lock().unwrap().clone()
    }

    /// The first span of this name that has come, which may take a while.
    pub(crate) fn wait_for(&self, name: &str) -> Arrived {
        let mut found = None;
        until(&format!("a span {name} arrives"), || {
            found = self.spans().into_iter().find(|arrived| arrived.span.name == name);
            found.is_some()
        });
        found.unwrap()
    }
}

/// Takes one delivery.
fn take(mut stream: TcpStream, taken: &Taken) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(reader.read_line(&mut head).unwrap() > 0, "a delivery has a head: {head:?}");
    }
    let head = head.to_lowercase();
    assert!(head.starts_with("post /v1/traces http/1.1\r\n"), "{head}");
    assert!(head.contains("content-type: application/x-protobuf\r\n"), "{head}");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    reader.read_exact(&mut body).unwrap();
    if taken.is_closed.load(Ordering::SeqCst) {
        let refusal = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(refusal).unwrap();
        return;
    }
    let request = ExportTraceServiceRequest::decode(&body[..]).unwrap();
    for of_process in request.resource_spans {
        let process = of_process.resource.unwrap().attributes;
        let scopes = of_process.scope_spans.into_iter();
        let arrived = scopes.flat_map(|scope| scope.spans);
        let arrived = arrived.map(|span| Arrived { process: process.clone(), span });
        taken.spans.lock().unwrap().extend(arrived);
    }
    // The frame may have given up.
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
}
