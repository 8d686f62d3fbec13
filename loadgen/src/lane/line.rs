//! One request at a time over HTTPS, in the form that the load asks for. Its buffers are used
//! again from request to request.

use std::sync::Arc;

use client::Outcome;
use protocol::reply::{self, Reply as Head};
use protocol::{Command, Request, Status};
use zerocopy::IntoBytes as _;

use crate::https::{Answer, Http1, Http2, HttpsConnector, HttpsError, head};
use crate::json::{self, JsonRequest, Told};
use crate::run::Door;

const BATCHES: &str = "/v1/batches";
const BINARY: &str = "application/octet-stream";

/// An answer to a batch.
pub(crate) struct Answered<'a> {
    /// Its stamps count, nothing else.
    pub(crate) head: Head,
    pub(crate) outcomes: &'a [Outcome],
    /// Why nothing of the batch was sequenced.
    pub(crate) refused: Option<&'static str>,
}

/// A way into the HTTPS door for one request at a time.
pub(crate) struct Line {
    wire: Wire,
    buffer: Vec<u8>,
    outcomes: Vec<Outcome>,
}

enum Wire {
    Binary(Http1),
    BinaryHttp2(Arc<Http2>),
    Json { line: Http1, request: JsonRequest, scale: u16 },
}

impl Line {
    pub(crate) fn new(
        door: Door,
        connector: &Arc<HttpsConnector>,
        shared: &Arc<Http2>,
        scale: u16,
    ) -> Self {
        let http1 = || Http1::new(Arc::clone(connector));
        let wire = match door {
            Door::HttpsBinaryH2 => Wire::BinaryHttp2(Arc::clone(shared)),
            Door::HttpsJson => Wire::Json { line: http1(), request: JsonRequest::default(), scale },
            _ => Wire::Binary(http1()),
        };
        Self { wire, buffer: Vec::new(), outcomes: Vec::new() }
    }

    pub(crate) async fn open(&mut self) -> Result<(), HttpsError> {
        match &mut self.wire {
            Wire::Binary(line) | Wire::Json { line, .. } => line.open().await,
            Wire::BinaryHttp2(shared) => shared.open().await,
        }
    }

    /// Sends a batch and waits for what became of it; as JSON, each command by itself.
    ///
    /// # Errors
    ///
    /// When the outcome is unknown.
    pub(crate) async fn exchange(
        &mut self,
        commands: &[Command],
    ) -> Result<Answered<'_>, HttpsError> {
        self.buffer.clear();
        self.outcomes.clear();
        let answer = match &mut self.wire {
            Wire::Binary(line) => {
                let body = batch_len(commands);
                head("POST", BATCHES, BINARY, body, &mut self.buffer);
                write_batch(commands, &mut self.buffer);
                line.exchange(&self.buffer).await?
            }
            Wire::BinaryHttp2(shared) => {
                let mut body = Vec::with_capacity(batch_len(commands));
                write_batch(commands, &mut body);
                shared.exchange("POST", BATCHES, BINARY, body.into()).await?
            }
            Wire::Json { .. } => return self.as_json(commands).await,
        };
        self.decode(&answer)
    }

    fn decode(&mut self, answer: &Answer) -> Result<Answered<'_>, HttpsError> {
        if answer.status != 200 {
            let refused = match json::told(answer) {
                Told::Refused(status) => json::door_refusal(status),
                Told::Outcome(outcome) => outcome.status.name(),
                Told::Unknown(_) => return Err(HttpsError::Unreadable("not a reply")),
            };
            let head = Head { stamps: answer.stamps, ..Head::default() };
            return Ok(Answered { head, outcomes: &[], refused: Some(refused) });
        }
        let decoded = reply::decode(&answer.body)
            .map_err(|_| HttpsError::Unreadable("the body is not a reply"))?;
        self.outcomes = decoded.outcomes;
        let refused = decoded.refused.map(Status::name);
        Ok(Answered { head: decoded.head, outcomes: &self.outcomes, refused })
    }

    async fn as_json(&mut self, commands: &[Command]) -> Result<Answered<'_>, HttpsError> {
        let Wire::Json { line, request, scale } = &mut self.wire else {
            return Err(HttpsError::Unreadable("this line is not for JSON"));
        };
        let [command] = commands else {
            return Err(HttpsError::Unreadable("JSON carries one command a request"));
        };
        assert!(request.write(command, &[], *scale), "JSON has words for every planned command");
        let JsonRequest { method, path, body } = request;
        head(method, path, "application/json", body.len(), &mut self.buffer);
        self.buffer.extend_from_slice(body);
        let answer = line.exchange(&self.buffer).await?;
        let head = Head { stamps: answer.stamps, ..Head::default() };
        let refused = match json::told(&answer) {
            Told::Outcome(outcome) => {
                self.outcomes.push(outcome);
                None
            }
            Told::Refused(status) => Some(json::door_refusal(status)),
            Told::Unknown(_) => return Err(HttpsError::Unreadable("it says no outcome")),
        };
        Ok(Answered { head, outcomes: &self.outcomes, refused })
    }
}

/// Bytes of a batch.
pub(crate) fn batch_len(slots: &[Command]) -> usize {
    size_of::<Request>() + size_of_val(slots)
}

/// Appends the body of a batch: the head of a request and its slots.
pub(crate) fn write_batch(slots: &[Command], out: &mut Vec<u8>) {
    let slots_len = u32::try_from(slots.len()).unwrap_or(u32::MAX);
    let request = Request { request: 1, slots: slots_len, ..Request::default() };
    out.extend_from_slice(request.as_bytes());
    out.extend_from_slice(slots.as_bytes());
}
