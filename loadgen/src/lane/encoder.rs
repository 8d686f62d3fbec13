//! Requests as the bytes that a door takes, planned straight into one buffer that is used again.
//!
//! It sends nothing. Invariant: the buffer holds exactly one request, that of the batch planned
//! last.

use client::Command;
use protocol::Request;
use protocol::frame::{FrameKind, Head};
use zerocopy::IntoBytes as _;

use crate::https::head;
use crate::json::JsonRequest;
use crate::plan::{Batch, Planner};
use crate::run::Door;

const BATCHES: &str = "/v1/batches";
const BINARY: &str = "application/octet-stream";
const JSON: &str = "application/json";

/// Writes the requests of one lane.
#[derive(Debug)]
pub(crate) struct Encoder {
    door: Door,
    /// Digits after the point of the native asset, for JSON.
    scale: u16,
    json: JsonRequest,
    pub(crate) buffer: Vec<u8>,
}

impl Encoder {
    pub(crate) fn new(door: Door, scale: u16) -> Self {
        Self { door, scale, json: JsonRequest::default(), buffer: Vec::new() }
    }

    /// Plans `count` commands made at `now_ms` and writes their request over the last one.
    pub(crate) fn plan(
        &mut self,
        planner: &mut Planner,
        count: usize,
        now_ms: u64,
        batch: &mut Batch,
    ) {
        let Self { door, scale, json, buffer } = self;
        buffer.clear();
        if *door == Door::HttpsJson {
            assert_eq!(count, 1, "JSON carries one command a request");
            planner.plan(count, now_ms, batch, |command| {
                let written = json.write(command, &[], *scale);
                assert!(written, "JSON has words for every planned command");
            });
            head(json.method, &json.path, JSON, json.body.len(), buffer);
            buffer.extend_from_slice(&json.body);
            return;
        }
        let body = size_of::<Request>() + count * size_of::<Command>();
        match door {
            Door::HttpsBinary => head("POST", BATCHES, BINARY, body, buffer),
            Door::Quic => {
                let length = u32::try_from(body).unwrap_or(u32::MAX);
                buffer.extend_from_slice(Head::new(FrameKind::Request, length).as_bytes());
            }
            // The head of an HTTP/2 request is not bytes yet.
            _ => {}
        }
        let slots = u32::try_from(count).unwrap_or(u32::MAX);
        let request = Request { request: 1, slots, ..Request::default() };
        buffer.reserve(body);
        buffer.extend_from_slice(request.as_bytes());
        planner.plan(count, now_ms, batch, |command| buffer.extend_from_slice(command.as_bytes()));
    }

    /// Path and content type of a request over HTTP/2.
    pub(crate) const fn http2_head() -> (&'static str, &'static str) {
        (BATCHES, BINARY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Mix;
    use crate::skew::Skew;
    use zerocopy::FromBytes as _;

    fn planned(door: Door, count: usize) -> (Vec<u8>, Vec<Command>) {
        let mut planner = Planner::new(7, 0, 100, Skew::Uniform, Mix { holds: 30, reads: 0 });
        let (mut encoder, mut batch) = (Encoder::new(door, 6), Batch::default());
        // What was there before is gone.
        encoder.plan(&mut planner, 1, 1_000, &mut batch);
        encoder.plan(&mut planner, count, 1_000, &mut batch);
        (encoder.buffer, batch.commands())
    }

    #[test]
    fn a_frame_holds_the_planned_commands() {
        let (bytes, commands) = planned(Door::Quic, 50);
        let mut expected = Vec::new();
        let request = Request { request: 1, ..Request::default() };
        client::framing::encode_request(request, &commands, &mut expected);
        assert_eq!(bytes, expected);
    }

    #[test]
    fn a_body_holds_the_planned_commands_behind_its_head() {
        let (body, commands) = planned(Door::HttpsBinaryH2, 50);
        let (request, slots) = Request::read_from_prefix(&body).unwrap();
        assert_eq!((request.slots, slots), (50, commands.as_bytes()));
        let (bytes, _) = planned(Door::HttpsBinary, 50);
        let head = bytes.strip_suffix(&body[..]).unwrap();
        assert!(head.ends_with(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes()));
        let (bytes, _) = planned(Door::HttpsJson, 1);
        assert!(bytes.starts_with(b"POST /v1/") && bytes.ends_with(b"}"));
    }
}
