//! One HTTP/2 connection with many requests under way. A request that the frame has not taken,
//! because it was saying goodbye, goes over the next connection; no other is sent twice.

use std::error::Error as _;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::Mutex;

use super::answer::{self, Answer};
use super::{ANSWER_TIMEOUT, HttpsConnector, HttpsError};

/// Window of a stream and of the connection for answers.
const WINDOW: u32 = 4 << 20;
/// Connections tried for one request that none has taken.
const ATTEMPTS_MAX: usize = 4;

/// A connection shared by whoever has a request.
#[derive(Debug)]
pub struct Http2 {
    connector: Arc<HttpsConnector>,
    open: Mutex<Open>,
}

/// The connection that requests go over, and its number.
#[derive(Debug, Default)]
struct Open {
    number: u64,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Http2 {
    /// Over `connector`, not connected yet.
    #[must_use]
    pub fn new(connector: Arc<HttpsConnector>) -> Self {
        Self { connector, open: Mutex::default() }
    }

    /// Connects, unless it is.
    ///
    /// # Errors
    ///
    /// [`HttpsError::Connect`] or [`HttpsError::Http2`].
    pub async fn open(&self) -> Result<(), HttpsError> {
        self.sender().await.map(drop)
    }

    async fn sender(&self) -> Result<(u64, SendRequest<Full<Bytes>>), HttpsError> {
        let mut open = self.open.lock().await;
        if let Some(sender) = open.sender.as_ref().filter(|sender| !sender.is_closed()) {
            return Ok((open.number, sender.clone()));
        }
        let stream = TokioIo::new(self.connector.connect_http2().await?);
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .handshake(stream)
            .await
            .map_err(HttpsError::Http2)?;
        // How it ends is told to each request that it ends with.
        tokio::spawn(connection);
        *open = Open { number: open.number + 1, sender: Some(sender.clone()) };
        Ok((open.number, sender))
    }

    /// Sends nothing more over a connection that takes nothing more.
    async fn leave(&self, number: u64) {
        let mut open = self.open.lock().await;
        if open.number == number {
            open.sender = None;
        }
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    ///
    /// As [`super::Http1::exchange`].
    pub async fn exchange(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        body: Bytes,
    ) -> Result<Answer, HttpsError> {
        let request = Request::builder()
            .method(method)
            .uri(format!("https://frame{path}"))
            .header("content-type", content_type)
            .body(Full::new(body))
            .map_err(|_| HttpsError::Unreadable("a request that is none"))?;
        for _ in 0..ATTEMPTS_MAX {
            let (number, mut sender) = self.sender().await?;
            let sending = sender.try_send_request(request.clone());
            match tokio::time::timeout(ANSWER_TIMEOUT, sending).await {
                Ok(Ok(response)) => return read(response).await,
                Ok(Err(error)) if error.message().is_some() || is_left_out(error.error()) => {
                    self.leave(number).await;
                }
                Ok(Err(error)) => return Err(HttpsError::Http2(error.into_error())),
                Err(_) => return Err(HttpsError::TimedOut),
            }
        }
        Err(HttpsError::Connect(std::io::ErrorKind::ConnectionRefused.into()))
    }
}

/// Whether the frame has said goodbye without having taken the request (RFC 9113, 6.8): a GOAWAY is
/// the error of those streams alone that lie behind the last one that it names, or were not begun.
fn is_left_out(error: &hyper::Error) -> bool {
    let source = error.source().and_then(|source| source.downcast_ref::<h2::Error>());
    source.is_some_and(|error| {
        error.is_go_away() && error.is_remote() && error.reason() == Some(h2::Reason::NO_ERROR)
    })
}

async fn read(response: Response<Incoming>) -> Result<Answer, HttpsError> {
    let (head, body) = response.into_parts();
    let text = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    let (status, replayed) = (head.status.as_u16(), text("idempotency-replayed") == Some("true"));
    let stamps = text("server-timing").map_or([0; 4], answer::stamps);
    let body = tokio::time::timeout(ANSWER_TIMEOUT, body.collect()).await;
    let body = body.map_err(|_| HttpsError::TimedOut)?.map_err(HttpsError::Http2)?.to_bytes();
    Ok(Answer { status, ends: false, replayed, stamps, body })
}
