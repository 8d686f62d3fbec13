//! An answer of the door: what its head says that a load must know, and its body. Fields that it
//! does not know are passed over.

use std::ops::Range;

use bytes::Bytes;

/// One answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Whether the connection ends with it.
    pub ends: bool,
    /// Whether it repeats the answer to an earlier request.
    pub replayed: bool,
    /// Sequenced, durable, executed, in total: microseconds since the request was read.
    pub stamps: [u32; 4],
    /// The body.
    pub body: Bytes,
}

/// What the head of an HTTP/1.1 answer says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) ends: bool,
    pub(super) replayed: bool,
    pub(super) stamps: [u32; 4],
    pub(super) length: usize,
}

/// Where the head ends and the body begins; `None` until the head is whole.
pub(super) fn end_of_head(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

/// Reads a whole head; `Err` says what is wrong with it.
pub(super) fn parse(bytes: &[u8]) -> Result<Head, &'static str> {
    let text = std::str::from_utf8(bytes).map_err(|_| "a head that is no text")?;
    let mut lines = text.split("\r\n");
    let first = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 "));
    let status = first.and_then(|rest| rest.get(..3)).and_then(|code| code.parse().ok());
    let mut head = Head { status: status.ok_or("no status")?, ..Head::default() };
    for line in lines {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        head.field(name, value.trim())?;
    }
    Ok(head)
}

impl Head {
    fn field(&mut self, name: &str, value: &str) -> Result<(), &'static str> {
        let is = |wanted: &str| name.eq_ignore_ascii_case(wanted);
        if is("content-length") {
            self.length = value.parse().map_err(|_| "a length that is no number")?;
        } else if is("transfer-encoding") {
            return Err("an answer in chunks");
        } else if is("connection") {
            self.ends |= value.eq_ignore_ascii_case("close");
        } else if is("idempotency-replayed") {
            self.replayed = value == "true";
        } else if is("server-timing") {
            self.stamps = stamps(value);
        }
        Ok(())
    }
}

/// `seq;dur=0.120, durable;dur=0.310, …` in milliseconds; what is missing is zero.
pub(super) fn stamps(value: &str) -> [u32; 4] {
    let mut stamps = [0; 4];
    for entry in value.split(',') {
        let Some((name, dur)) = entry.trim().split_once(";dur=") else {
            continue;
        };
        let Some(place) = ["seq", "durable", "exec", "total"].iter().position(|&n| n == name)
        else {
            continue;
        };
        stamps[place] = dur.parse().map_or(0, |ms: f64| (ms * 1_000.0) as u32);
    }
    stamps
}

/// The number that follows `"name":` in a JSON object of the door; the names it looks for are
/// written nowhere else in the object.
#[must_use]
pub fn number(body: &[u8], name: &str) -> Option<u64> {
    let value = &body[value(body, name)?];
    let digits = value.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&value[..digits]).ok()?.parse().ok()
}

/// Where the value of `"name":` begins, to the end of the body.
fn value(body: &[u8], name: &str) -> Option<Range<usize>> {
    let at = body.windows(name.len() + 3).position(|window| {
        window[0] == b'"' && &window[1..=name.len()] == name.as_bytes() && window.ends_with(b"\":")
    })?;
    let skipped = body[at + name.len() + 3..].iter().take_while(|&&byte| byte == b' ').count();
    Some(at + name.len() + 3 + skipped..body.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_whatever_the_case_of_its_names() {
        let text = b"HTTP/1.1 201 Created\r\nContent-Length: 12\r\nconnection: close\r\n\
            Idempotency-Replayed: true\r\nServer-Timing: seq;dur=0.1, durable;dur=1.25, \
            exec;dur=1.5, total;dur=2\r\nX: y\r\n\r\n";
        assert_eq!(end_of_head(text), Some(text.len()));
        let head = parse(text).unwrap();
        assert_eq!((head.status, head.length, head.ends, head.replayed), (201, 12, true, true));
        assert_eq!(head.stamps, [100, 1_250, 1_500, 2_000]);
        assert!(parse(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
        assert!(parse(b"SSH-2.0\r\n\r\n").is_err());
        assert_eq!(end_of_head(b"HTTP/1.1 200 OK\r\n"), None);
    }

    #[test]
    fn numbers_are_found_in_a_body() {
        let body = br#"{"id":"018f","status":"ok","sequence":42,"rate": 5000}"#;
        assert_eq!(number(body, "sequence"), Some(42));
        assert_eq!(number(body, "rate"), Some(5_000));
        assert_eq!(number(body, "number"), None);
        assert_eq!(number(body, "status"), None, "a text is no number");
    }
}
