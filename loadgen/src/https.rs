//! HTTPS as the harness speaks it: one connector with an identity, and the two protocols over it.
//!
//! [`Http1`] writes requests by hand and reads answers without a parser of its own for JSON, so
//! that the harness costs little beside the frame that it measures; [`Http2`] carries many
//! requests at once. Neither repeats a request: an exchange that fails leaves its outcome unknown.
//! Invariant: a connection whose answer said that it ends is not used again.

mod answer;
mod http1;
mod http2;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use client::{Expected, FileSource};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub use answer::{Answer, number};
pub use http1::{Http1, head};
pub use http2::Http2;

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest wait for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest answer that is read: a full reply of reads, and its head.
const ANSWER_MAX: usize = 4 << 20;
/// Name given to TLS; it is not sent and judges nothing, the SPIFFE ID does.
const SERVER_NAME: &str = "bezant";

/// Why there is no answer.
#[derive(Debug)]
#[non_exhaustive]
pub enum HttpsError {
    /// The identity directory cannot be used.
    Identity(PathBuf, String),
    /// No connection: nothing was sent.
    Connect(std::io::Error),
    /// The connection failed: whether the request was executed is unknown.
    Lost(std::io::Error),
    /// The frame ended the connection before the whole answer.
    Ended,
    /// No answer in time.
    TimedOut,
    /// HTTP/2 failed.
    Http2(hyper::Error),
    /// The answer is not one that the door gives.
    Unreadable(&'static str),
}

impl std::fmt::Display for HttpsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Identity(dir, cause) => write!(f, "{}: {cause}", dir.display()),
            Self::Connect(cause) => write!(f, "no connection: {cause}"),
            Self::Lost(cause) => write!(f, "the connection was lost: {cause}"),
            Self::Ended => f.write_str("the frame ended the connection before it answered"),
            Self::TimedOut => write!(f, "no answer in {} s", ANSWER_TIMEOUT.as_secs()),
            Self::Http2(cause) => write!(f, "HTTP/2: {cause}"),
            Self::Unreadable(what) => write!(f, "the answer cannot be read: {what}"),
        }
    }
}

impl std::error::Error for HttpsError {}

/// Where and as whom to connect.
pub struct HttpsConnector {
    addr: SocketAddr,
    source: Arc<FileSource>,
    http1: TlsConnector,
    http2: TlsConnector,
}

impl std::fmt::Debug for HttpsConnector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpsConnector").field("addr", &self.addr).finish_non_exhaustive()
    }
}

impl HttpsConnector {
    /// Towards `addr` with the identity in `dir`, which also says whom to expect there.
    ///
    /// # Errors
    ///
    /// When the identity cannot be used.
    pub fn open(addr: SocketAddr, dir: &Path) -> Result<Self, HttpsError> {
        let bad = |cause: String| HttpsError::Identity(dir.to_owned(), cause);
        let source = Arc::new(FileSource::open(dir).map_err(|error| bad(error.to_string()))?);
        let expected = Expected::Frame(source.current().trust_domain().clone());
        let tls = |alpn: &[u8]| {
            let config = identity::client_config(&source, expected.clone(), &[alpn]);
            TlsConnector::from(Arc::new(config))
        };
        let (http1, http2) = (tls(b"http/1.1"), tls(b"h2"));
        Ok(Self { addr, source, http1, http2 })
    }

    /// A TLS connection that speaks HTTP/1.1, with nothing said yet. The identity is read again
    /// if its files have changed.
    ///
    /// # Errors
    ///
    /// [`HttpsError::Connect`].
    pub async fn connect(&self) -> Result<TlsStream<TcpStream>, HttpsError> {
        self.connect_with(&self.http1).await
    }

    /// As [`Self::connect`], for HTTP/2.
    ///
    /// # Errors
    ///
    /// [`HttpsError::Connect`].
    pub async fn connect_http2(&self) -> Result<TlsStream<TcpStream>, HttpsError> {
        self.connect_with(&self.http2).await
    }

    async fn connect_with(&self, tls: &TlsConnector) -> Result<TlsStream<TcpStream>, HttpsError> {
        // A set of files that is being replaced does not fit together; the last good one serves.
        let _ = self.source.reload_if_changed();
        let connecting = async {
            let stream = TcpStream::connect(self.addr).await?;
            stream.set_nodelay(true)?;
            let name = ServerName::try_from(SERVER_NAME).expect("the name is a DNS name");
            tls.connect(name, stream).await
        };
        match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(connected) => connected.map_err(HttpsError::Connect),
            Err(_) => Err(HttpsError::Connect(std::io::ErrorKind::TimedOut.into())),
        }
    }
}
