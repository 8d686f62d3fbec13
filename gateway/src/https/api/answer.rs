//! Answers: JSON bodies, and the headers that say which record and how long.
//!
//! What differs between two answers to the same command (times, epochs) goes into headers here,
//! never into a body.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use protocol::reply::Reply;
use serde::Serialize;

/// Sequence of the command, or of a read the executed sequence.
pub(crate) const SEQUENCE: HeaderName = HeaderName::from_static("bezant-sequence");
/// Epoch of the answering engine.
pub(crate) const EPOCH: HeaderName = HeaderName::from_static("bezant-epoch");
/// Journal time of the record, Unix milliseconds.
pub(crate) const TIME: HeaderName = HeaderName::from_static("bezant-time");
/// Whether the answer is that of an earlier request.
pub(crate) const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const NS_PER_MS: u64 = 1_000_000;

/// What a reply says for the headers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    sequence: u64,
    epoch: u64,
    time_ms: u64,
    stamps: Option<[u32; 4]>,
    replayed: bool,
}

impl Seen {
    /// Of the reply to a request.
    pub(crate) const fn of(head: &Reply) -> Self {
        Self {
            sequence: head.first_sequence,
            epoch: head.epoch,
            time_ms: head.timestamp / NS_PER_MS,
            stamps: Some(head.stamps),
            replayed: false,
        }
    }

    /// Of a command that the history knows; the rest is that of the frame now.
    pub(crate) const fn of_history(sequence: u64, epoch: u64, journal_ns: u64) -> Self {
        let time_ms = journal_ns / NS_PER_MS;
        Self { sequence, epoch, time_ms, stamps: None, replayed: true }
    }

    /// The same for one command of the request.
    #[must_use]
    pub(crate) const fn command(self, sequence: u64, replayed: bool) -> Self {
        Self { sequence, replayed, ..self }
    }

    /// The same, of a request all of whose commands are repeats, or not.
    #[must_use]
    pub(crate) const fn replayed(self, replayed: bool) -> Self {
        Self { replayed, ..self }
    }

    /// Writes the headers.
    pub(crate) fn put(&self, headers: &mut HeaderMap) {
        headers.insert(SEQUENCE, HeaderValue::from(self.sequence));
        headers.insert(EPOCH, HeaderValue::from(self.epoch));
        headers.insert(TIME, HeaderValue::from(self.time_ms));
        if let Some(stamps) = self.stamps {
            headers.insert(SERVER_TIMING, server_timing(stamps));
        }
        if self.replayed {
            headers.insert(REPLAYED, HeaderValue::from_static("true"));
        }
    }
}

fn server_timing(stamps: [u32; 4]) -> HeaderValue {
    let mut text = Vec::with_capacity(80);
    for (name, stamp_us) in ["seq", "durable", "exec", "total"].into_iter().zip(stamps) {
        if !text.is_empty() {
            text.extend_from_slice(b", ");
        }
        text.extend_from_slice(name.as_bytes());
        text.extend_from_slice(b";dur=");
        put_number(&mut text, stamp_us / 1_000);
        text.push(b'.');
        for unit in [100, 10, 1] {
            text.push(b'0' + (stamp_us / unit % 10) as u8);
        }
    }
    HeaderValue::from_maybe_shared(bytes::Bytes::from(text))
        .expect("digits and names are visible ASCII")
}

fn put_number(text: &mut Vec<u8>, number: u32) {
    let mut digits = [0; 10];
    let mut at = digits.len();
    let mut rest = number;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    text.extend_from_slice(&digits[at..]);
}

/// `value` as bytes of JSON.
pub(crate) fn to_bytes(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    serde_json::to_writer(&mut bytes, value).expect("answers are text and numbers only");
    bytes
}

/// An answer with `value` as its body.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Response {
    response(status, Body::from(to_bytes(value)))
}

/// An answer to a read.
pub(crate) fn read(seen: &Seen, value: &impl Serialize) -> Response {
    let mut response = json(StatusCode::OK, value);
    seen.put(response.headers_mut());
    response
}

/// An answer to a read that need not be sent again if `known`, the If-None-Match of the request,
/// names it already.
pub(crate) fn tagged(seen: &Seen, value: &impl Serialize, known: &HeaderMap) -> Response {
    let body = to_bytes(value);
    let tag = etag(&body);
    let mut response = if matches(known, &tag) {
        not_modified()
    } else {
        response(StatusCode::OK, Body::from(body))
    };
    let headers = response.headers_mut();
    headers.insert(header::ETAG, tag);
    seen.put(headers);
    response
}

/// 304.
pub(crate) fn not_modified() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    response
}

/// The strong entity tag of a body.
pub(crate) fn etag(body: &[u8]) -> HeaderValue {
    let hash = blake3::hash(body).to_hex();
    let short = hash.get(..32).unwrap_or("");
    HeaderValue::from_str(&format!("\"{short}\"")).expect("hexadecimal digits are visible ASCII")
}

/// Whether If-None-Match names `tag` (RFC 9110 §13.1.2, by weak comparison).
pub(crate) fn matches(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    let wanted = tag.as_bytes();
    headers.get_all(header::IF_NONE_MATCH).iter().any(|value| {
        value.as_bytes().split(|&byte| byte == b',').any(|part| {
            let part = part.trim_ascii();
            part == b"*" || part.strip_prefix(b"W/").unwrap_or(part) == wanted
        })
    })
}

fn response(status: StatusCode, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_told_in_milliseconds() {
        let timing = server_timing([35, 180, 1_190, 4_000_230]);
        let text = "seq;dur=0.035, durable;dur=0.180, exec;dur=1.190, total;dur=4000.230";
        assert_eq!(timing, text);
    }

    #[test]
    fn a_known_tag_is_found_in_any_of_its_forms() {
        let tag = etag(b"body");
        let known = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_NONE_MATCH, text.parse().unwrap());
            matches(&headers, &tag)
        };
        let text = tag.to_str().unwrap();
        assert!(known(text) && known("*") && known(&format!("\"a\", W/{text}")));
        assert!(!known("\"a\"") && !known("") && !known(&text[1..]));
        assert_ne!(etag(b"other"), tag);
    }
}
