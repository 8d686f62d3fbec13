//! One HTTP/1.1 connection, kept alive: a request is one buffer, its answer is cut out of what
//! arrives. One request at a time, never pipelined. It opens when it is first needed, and anew
//! when the frame has said that it ends.

use std::sync::Arc;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::answer::{self, Answer, Head};
use super::{ANSWER_MAX, ANSWER_TIMEOUT, HttpsConnector, HttpsError};

/// Room made for each read.
const READ_ROOM: usize = 16 * 1024;

/// A line of requests, one after another.
#[derive(Debug)]
pub struct Http1 {
    connector: Arc<HttpsConnector>,
    open: Option<TlsStream<TcpStream>>,
    unread: BytesMut,
}

/// Appends the head of a request with a body of `length` bytes.
pub fn head(method: &str, path: &str, content_type: &str, length: usize, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    for part in [
        method.as_bytes(),
        b" ",
        path.as_bytes(),
        b" HTTP/1.1\r\nHost: frame\r\nContent-Type: ",
        content_type.as_bytes(),
        b"\r\nContent-Length: ",
        decimal(length, &mut digits),
        b"\r\n\r\n",
    ] {
        out.extend_from_slice(part);
    }
}

fn decimal(mut value: usize, digits: &mut [u8; 20]) -> &[u8] {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            return &digits[at..];
        }
    }
}

impl Http1 {
    /// A line over `connector`, not connected yet.
    #[must_use]
    pub fn new(connector: Arc<HttpsConnector>) -> Self {
        Self { connector, open: None, unread: BytesMut::new() }
    }

    /// Connects, unless it is.
    ///
    /// # Errors
    ///
    /// [`HttpsError::Connect`].
    pub async fn open(&mut self) -> Result<(), HttpsError> {
        if self.open.is_none() {
            self.unread.clear();
            self.open = Some(self.connector.connect().await?);
        }
        Ok(())
    }

    /// Sends a whole request and waits for its answer.
    ///
    /// # Errors
    ///
    /// [`HttpsError::Connect`] when nothing was sent; after any other the outcome is unknown, and
    /// the next exchange connects anew.
    pub async fn exchange(&mut self, request: &[u8]) -> Result<Answer, HttpsError> {
        self.open().await?;
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, self.on_open(request)).await;
        let answer = answer.unwrap_or(Err(HttpsError::TimedOut));
        if !matches!(&answer, Ok(answer) if !answer.ends) {
            self.open = None;
        }
        answer
    }

    async fn on_open(&mut self, request: &[u8]) -> Result<Answer, HttpsError> {
        let Self { open: Some(stream), unread, .. } = self else {
            return Err(HttpsError::Ended);
        };
        stream.write_all(request).await.map_err(HttpsError::Lost)?;
        stream.flush().await.map_err(HttpsError::Lost)?;
        let mut head: Option<Head> = None;
        loop {
            if head.is_none()
                && let Some(end) = answer::end_of_head(unread)
            {
                let bytes = unread.split_to(end);
                head = Some(answer::parse(&bytes).map_err(HttpsError::Unreadable)?);
            }
            if let Some(Head { status, ends, replayed, stamps, length }) = head {
                if length > ANSWER_MAX {
                    return Err(HttpsError::Unreadable("longer than any answer"));
                }
                if unread.len() >= length {
                    let body = unread.split_to(length).freeze();
                    return Ok(Answer { status, ends, replayed, stamps, body });
                }
            } else if unread.len() > ANSWER_MAX {
                return Err(HttpsError::Unreadable("a head without an end"));
            }
            unread.reserve(READ_ROOM);
            if stream.read_buf(unread).await.map_err(HttpsError::Lost)? == 0 {
                return Err(HttpsError::Ended);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_names_its_length() {
        let mut out = Vec::new();
        head("POST", "/v1/batches", "application/octet-stream", 1_048_560, &mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("POST /v1/batches HTTP/1.1\r\nHost: frame\r\n"));
        assert!(text.ends_with("\r\nContent-Length: 1048560\r\n\r\n"));
        assert_eq!(decimal(0, &mut [0; 20]), b"0");
    }
}
