//! One request at a time over HTTPS, in the form that the load asks for, or to nobody. Its buffers
//! are used again from request to request.

use std::sync::Arc;

use bytes::Bytes;
use client::Outcome;
use protocol::Status;
use protocol::reply::{self, Outcomes, Reply as Head};

use super::encoder::Encoder;
use crate::https::{Answer, Http1, Http2, HttpsConnector, HttpsError};
use crate::json::{self, Told};
use crate::plan::{Batch, Planner};
use crate::run::Door;

/// An answer to a batch.
pub(crate) struct Answered<'a> {
    /// Microseconds since the frame received the request.
    pub(crate) stamps: [u32; 4],
    pub(crate) outcomes: &'a [Outcome],
    /// Why nothing of the batch was sequenced.
    pub(crate) refused: Option<&'static str>,
}

/// A way in for one request at a time.
pub(crate) struct Line {
    wire: Wire,
    is_json: bool,
    encoder: Encoder,
    outcomes: Vec<Outcome>,
}

enum Wire {
    Http1(Box<Http1>),
    Http2(Arc<Http2>),
    /// To nobody: the answer is made up, and read like one.
    Null(Answer),
}

impl Line {
    pub(crate) fn new(
        door: Door,
        connector: &Arc<HttpsConnector>,
        shared: &Arc<Http2>,
        scale: u16,
    ) -> Self {
        let wire = match door {
            Door::HttpsBinaryH2 => Wire::Http2(Arc::clone(shared)),
            _ => Wire::Http1(Box::new(Http1::new(Arc::clone(connector)))),
        };
        Self::over(wire, door, scale)
    }

    /// To nobody: every request of `batch` commands is answered as executed at `rate` millionths.
    pub(crate) fn null(door: Door, batch: usize, scale: u16, rate: u16) -> Self {
        let mut body = Vec::new();
        if door == Door::HttpsJson {
            let text = format!("{{\"status\":\"ok\",\"sequence\":1,\"rate\":{rate}}}");
            body.extend_from_slice(text.as_bytes());
        } else {
            let mut outcomes = Outcomes::with_capacity(batch);
            outcomes.clear(1);
            for sequence in 1..=batch as u64 {
                outcomes.push(Outcome { sequence, status: Status::Ok, rate, repeat: false });
            }
            outcomes.encode(Head::default(), &mut body);
        }
        let body = Bytes::from(body);
        let answer = Answer { status: 200, ends: false, replayed: false, stamps: [0; 4], body };
        Self::over(Wire::Null(answer), door, scale)
    }

    fn over(wire: Wire, door: Door, scale: u16) -> Self {
        let is_json = door == Door::HttpsJson;
        Self { wire, is_json, encoder: Encoder::new(door, scale), outcomes: Vec::new() }
    }

    pub(crate) async fn open(&mut self) -> Result<(), HttpsError> {
        match &mut self.wire {
            Wire::Http1(line) => line.open().await,
            Wire::Http2(shared) => shared.open().await,
            Wire::Null(_) => Ok(()),
        }
    }

    /// Plans the next batch and writes its request.
    pub(crate) fn plan(
        &mut self,
        planner: &mut Planner,
        count: usize,
        now_ms: u64,
        batch: &mut Batch,
    ) {
        self.encoder.plan(planner, count, now_ms, batch);
    }

    /// Sends the request that was planned and waits for what became of it.
    ///
    /// # Errors
    ///
    /// When the outcome is unknown.
    pub(crate) async fn exchange(&mut self) -> Result<Answered<'_>, HttpsError> {
        self.outcomes.clear();
        let answer = match &mut self.wire {
            Wire::Http1(line) => line.exchange(&self.encoder.buffer).await?,
            Wire::Http2(shared) => {
                let body = std::mem::take(&mut self.encoder.buffer);
                let (path, content_type) = Encoder::http2_head();
                shared.exchange("POST", path, content_type, body.into()).await?
            }
            Wire::Null(answer) => {
                // Others have a turn, as while waiting for a frame.
                tokio::task::yield_now().await;
                answer.clone()
            }
        };
        if self.is_json { self.told(&answer) } else { self.decode(&answer) }
    }

    fn decode(&mut self, answer: &Answer) -> Result<Answered<'_>, HttpsError> {
        if answer.status != 200 {
            let refused = match json::told(answer) {
                Told::Refused(status) => json::door_refusal(status),
                Told::Outcome(outcome) => outcome.status.name(),
                Told::Unknown(_) => return Err(HttpsError::Unreadable("not a reply")),
            };
            return Ok(Answered { stamps: answer.stamps, outcomes: &[], refused: Some(refused) });
        }
        let decoded = reply::decode(&answer.body)
            .map_err(|_| HttpsError::Unreadable("the body is not a reply"))?;
        self.outcomes = decoded.outcomes;
        let refused = decoded.refused.map(Status::name);
        Ok(Answered { stamps: decoded.head.stamps, outcomes: &self.outcomes, refused })
    }

    fn told(&mut self, answer: &Answer) -> Result<Answered<'_>, HttpsError> {
        let refused = match json::told(answer) {
            Told::Outcome(outcome) => {
                self.outcomes.push(outcome);
                None
            }
            Told::Refused(status) => Some(json::door_refusal(status)),
            Told::Unknown(_) => return Err(HttpsError::Unreadable("it says no outcome")),
        };
        Ok(Answered { stamps: answer.stamps, outcomes: &self.outcomes, refused })
    }
}
