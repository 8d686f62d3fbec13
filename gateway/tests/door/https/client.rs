//! An HTTP client over TLS, for the tests of the HTTPS door: hyper's, and one that writes bytes.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use client::HeldSource;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper::header::HeaderMap;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use identity::Expected;
use protocol::Command;
use protocol::frame::HEAD_SIZE;
use protocol::reply::{Decoded, decode};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::{Frame, expected, request_bytes};

pub(crate) const H1: &[u8] = b"http/1.1";
pub(crate) const H2: &[u8] = b"h2";

/// A connection over which requests go one after another, or with HTTP/2 at once.
#[derive(Clone)]
pub(crate) enum Http {
    One(Arc<tokio::sync::Mutex<http1::SendRequest<Full<Bytes>>>>),
    Two(http2::SendRequest<Full<Bytes>>),
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn decoded(&self) -> Decoded {
        assert_eq!(self.status, StatusCode::OK, "{:?}", self.headers);
        decode(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Http {
    pub(crate) async fn open(frame: &Frame, alpn: &[u8]) -> Self {
        Self::with(frame.https, &frame.agent(), alpn).await.unwrap()
    }

    /// Whether a connection of the frame's agent comes to nothing.
    pub(crate) async fn open_is_refused(frame: &Frame) -> bool {
        let Ok(http) = Self::with(frame.https, &frame.agent(), H1).await else {
            return true;
        };
        http.ask(post(Bytes::new())).await.is_err()
    }

    pub(crate) async fn with(
        addr: SocketAddr,
        source: &Arc<HeldSource>,
        alpn: &[u8],
    ) -> io::Result<Self> {
        let io = TokioIo::new(tls(addr, source, &[alpn]).await?);
        if alpn == H1 {
            let (send, connection) = http1::handshake(io).await.map_err(io::Error::other)?;
            tokio::spawn(connection);
            return Ok(Self::One(Arc::new(tokio::sync::Mutex::new(send))));
        }
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.initial_stream_window_size(1 << 20).initial_connection_window_size(4 << 20);
        // Until the server has said how many streams it takes, one must do: it refuses others.
        builder.initial_max_send_streams(1);
        let (send, connection) = builder.handshake(io).await.map_err(io::Error::other)?;
        tokio::spawn(connection);
        Ok(Self::Two(send))
    }

    pub(crate) async fn ask(&self, request: Request<Full<Bytes>>) -> hyper::Result<Answer> {
        let answer = self.begin(request).await?;
        let (head, body) = answer.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Answer { status: head.status, headers: head.headers, body })
    }

    pub(crate) async fn begin(
        &self,
        request: Request<Full<Bytes>>,
    ) -> hyper::Result<Response<hyper::body::Incoming>> {
        match self {
            Self::One(send) => {
                let mut send = send.lock().await;
                send.ready().await?;
                send.send_request(request).await
            }
            Self::Two(send) => {
                let mut send = send.clone();
                send.ready().await?;
                send.send_request(request).await
            }
        }
    }

    pub(crate) async fn batch(&self, slots: &[Command]) -> hyper::Result<Answer> {
        self.ask(post(batch(1, 0, slots))).await
    }

    /// Whether the server has ended the connection.
    pub(crate) fn is_closed(&self) -> bool {
        match self {
            Self::One(send) => send.try_lock().is_ok_and(|send| send.is_closed()),
            Self::Two(send) => send.is_closed(),
        }
    }
}

/// The body of a batch.
pub(crate) fn batch(number: u64, flags: u16, slots: &[Command]) -> Bytes {
    Bytes::from(request_bytes(number, flags, slots)).slice(HEAD_SIZE..)
}

pub(crate) fn post(body: Bytes) -> Request<Full<Bytes>> {
    Request::post("https://frame/v1/batches")
        .header("host", "frame")
        .header("content-type", "application/octet-stream")
        .body(Full::new(body))
        .unwrap()
}

pub(crate) async fn tls(
    addr: SocketAddr,
    source: &Arc<HeldSource>,
    alpn: &[&[u8]],
) -> io::Result<TlsStream<TcpStream>> {
    connect(addr, identity::client_config(source, expected(), alpn)).await
}

pub(crate) async fn connect(
    addr: SocketAddr,
    config: rustls::ClientConfig,
) -> io::Result<TlsStream<TcpStream>> {
    let socket = TcpStream::connect(addr).await?;
    socket.set_nodelay(true)?;
    let name = ServerName::try_from("frame").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, socket).await
}

/// A connection over which bytes are written as they are.
pub(crate) struct Raw(pub(crate) TlsStream<TcpStream>);

impl Raw {
    pub(crate) async fn open(frame: &Frame) -> Self {
        Self(tls(frame.https, &frame.agent(), &[H1]).await.unwrap())
    }

    pub(crate) async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        // The server may have ended it just now.
        let _ = self.0.write_all(bytes.as_ref()).await;
        let _ = self.0.flush().await;
    }

    /// Everything until the server closes, as the client does then.
    pub(crate) async fn rest(mut self) -> String {
        let mut bytes = Vec::new();
        let _ = self.0.read_to_end(&mut bytes).await;
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// The head of a batch of `length` bytes, without the empty line.
pub(crate) fn head(length: usize) -> String {
    format!(
        "POST /v1/batches HTTP/1.1\r\nhost: frame\r\ncontent-type: application/octet-stream\r\n\
         content-length: {length}\r\n"
    )
}

/// Whom to expect, for configurations that are made by hand.
pub(crate) fn whom() -> Expected {
    expected()
}
