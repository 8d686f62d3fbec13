//! One delivery of spans to a collector: OTLP over HTTP, in protobuf, on a connection of its own.
//!
//! It tries once. Invariant: it ends in time, and reads no more of an answer than a collector has
//! to say.

use std::io;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode, header};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Collector;

/// Longest delivery, from connecting to the end of the answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// An answer: a count and a sentence.
const ANSWER_SIZE_MAX: usize = 64 << 10;
/// What is told of a sentence, in characters.
const SENTENCE_LEN_MAX: usize = 200;
const PROTOBUF: &str = "application/x-protobuf";
const AGENT: &str = concat!("bezant/", env!("CARGO_PKG_VERSION"));

/// Why spans did not arrive.
#[derive(Debug, thiserror::Error)]
pub(super) enum Undelivered {
    /// Nobody listens.
    #[error("cannot connect: {0}")]
    Connect(#[from] io::Error),
    /// It speaks no HTTP, or not to the end.
    #[error("the connection broke: {0}")]
    Http(#[from] hyper::Error),
    /// It does not answer.
    #[error("no answer in {} s", PATIENCE.as_secs())]
    Silent,
    /// It does not want them.
    #[error("it answers {0}")]
    Status(StatusCode),
    /// Whatever answers is no collector.
    #[error("it answers what no collector does; does the URL lead to one?")]
    Nonsense,
    /// It took the others.
    #[error("it does not take {count} of the spans: {why:?}")]
    Rejected {
        /// How many not.
        count: u64,
        /// In its own words.
        why: String,
    },
}

impl Undelivered {
    /// Spans that are lost, of so many that were sent: the collector's word counts up to that.
    pub(super) fn lost(&self, sent: u64) -> u64 {
        if let Self::Rejected { count, .. } = self { (*count).min(sent) } else { sent }
    }
}

/// Delivers spans, or says why not.
pub(super) async fn post(
    collector: &Collector,
    spans: &ExportTraceServiceRequest,
) -> Result<(), Undelivered> {
    let body = spans.encode_to_vec();
    timeout(PATIENCE, exchange(collector, body)).await.map_err(|_| Undelivered::Silent)?
}

async fn exchange(collector: &Collector, body: Vec<u8>) -> Result<(), Undelivered> {
    let stream = TcpStream::connect(collector.address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Ends with this delivery, however that ends.
    let mut connections = JoinSet::new();
    connections.spawn(connection);
    let request = Request::builder()
        .method(Method::POST)
        .uri(&collector.path)
        .header(header::HOST, collector.address.to_string())
        .header(header::CONTENT_TYPE, PROTOBUF)
        .header(header::USER_AGENT, AGENT)
        .header(header::CONNECTION, "close")
        .body(Body::from(body))
        .expect("the path was read from a URL");
    let response = sender.send_request(request).await?;
    let status = response.status();
    if status != StatusCode::OK {
        return Err(Undelivered::Status(status));
    }
    let body = to_bytes(Body::new(response.into_body()), ANSWER_SIZE_MAX).await;
    judge(&body.map_err(|_| Undelivered::Nonsense)?)
}

/// What an answer says.
fn judge(answer: &[u8]) -> Result<(), Undelivered> {
    let answer = ExportTraceServiceResponse::decode(answer).map_err(|_| Undelivered::Nonsense)?;
    let partial = answer.partial_success.unwrap_or_default();
    match u64::try_from(partial.rejected_spans) {
        Ok(0) | Err(_) => Ok(()),
        Ok(count) => {
            let why = partial.error_message.chars().take(SENTENCE_LEN_MAX).collect();
            Err(Undelivered::Rejected { count, why })
        }
    }
}

#[cfg(test)]
#[path = "post_test.rs"]
mod tests;
