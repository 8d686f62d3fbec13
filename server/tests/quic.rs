//! Connections below the client library: to say what no client says, as no client may be.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use client::framing::{Frames, encode_hello};
use identity::{Expected, FileSource, Source};
use protocol::frame::{CloseCode, FrameKind, decode_close};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, ConnectionError, Endpoint, RecvStream, SendStream};
use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::sign::CertifiedKey;

/// Longest wait for the frame's next words.
const PATIENCE: Duration = Duration::from_secs(30);

/// TLS of the identity in `dir`, which must trust the frame.
pub(crate) fn tls(dir: &Path) -> rustls::ClientConfig {
    let source = Arc::new(FileSource::open(dir).unwrap());
    let expected = Expected::Frame(source.current().trust_domain().clone());
    identity::client_config(&source, expected, &[client::ALPN])
}

/// TLS of `source` towards the frame of another trust domain.
pub(crate) fn tls_of<S: Source + 'static>(
    source: &Arc<S>,
    frame: &identity::TrustDomain,
) -> rustls::ClientConfig {
    identity::client_config(source, Expected::Frame(frame.clone()), &[client::ALPN])
}

/// Presents no certificate.
#[derive(Debug)]
struct Nobody;

impl ResolvesClientCert for Nobody {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

/// The same TLS without a certificate.
pub(crate) fn anonymous(mut tls: rustls::ClientConfig) -> rustls::ClientConfig {
    tls.client_auth_cert_resolver = Arc::new(Nobody);
    tls
}

/// A connection whose handshake is finished on this side.
pub(crate) async fn connect(
    addr: SocketAddr,
    tls: rustls::ClientConfig,
) -> Result<Raw, ConnectionError> {
    let endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    let config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    let connecting = endpoint.connect_with(config, addr, "bezant").unwrap();
    let connection = tokio::time::timeout(PATIENCE, connecting).await.unwrap()?;
    Ok(Raw { connection, _endpoint: endpoint })
}

/// A connection that says whatever it wants.
pub(crate) struct Raw {
    pub(crate) connection: Connection,
    _endpoint: Endpoint,
}

impl Raw {
    /// A stream that has not greeted.
    pub(crate) async fn stream(&self) -> Talk {
        let (send, recv) = self.connection.open_bi().await.unwrap();
        Talk { send, recv, frames: Frames::default() }
    }

    /// A stream after the greetings of both sides.
    pub(crate) async fn greeted(&self) -> Talk {
        let mut talk = self.stream().await;
        let mut hello = Vec::new();
        encode_hello(&mut hello);
        talk.say(&hello).await;
        assert!(matches!(talk.next().await, Heard::Frame(FrameKind::Hello)));
        talk
    }

    /// Waits for the first application byte, or for the end of the connection without one.
    pub(crate) async fn hears_nothing(&self) -> ConnectionError {
        if let Ok((mut send, mut recv)) = self.connection.open_bi().await {
            let mut hello = Vec::new();
            encode_hello(&mut hello);
            let _ = send.write_all(&hello).await;
            let mut byte = [0];
            let read = tokio::time::timeout(PATIENCE, recv.read(&mut byte)).await;
            assert!(read.unwrap().is_err(), "an application byte came");
        }
        tokio::time::timeout(PATIENCE, self.connection.closed()).await.unwrap()
    }
}

/// One stream.
pub(crate) struct Talk {
    pub(crate) send: SendStream,
    recv: RecvStream,
    frames: Frames,
}

/// What came.
#[derive(Debug)]
pub(crate) enum Heard {
    /// A frame other than a close.
    Frame(FrameKind),
    /// A close frame with its reason.
    Close(CloseCode, String),
    /// The end of the stream.
    End,
    /// The end of the connection, with the frame's reason if it gave one.
    Gone(Option<CloseCode>),
}

impl Talk {
    pub(crate) async fn say(&mut self, bytes: &[u8]) {
        // The frame may have closed already; what it said is read afterwards.
        let _ = self.send.write_all(bytes).await;
    }

    pub(crate) async fn next(&mut self) -> Heard {
        loop {
            if let Some((kind, body)) = self.frames.next_frame().unwrap() {
                if kind != FrameKind::Close {
                    return Heard::Frame(kind);
                }
                let (code, text) = decode_close(&body).unwrap();
                return Heard::Close(code, text.to_owned());
            }
            let chunk = self.recv.read_chunk(1 << 16, true);
            match tokio::time::timeout(PATIENCE, chunk).await.unwrap() {
                Ok(Some(chunk)) => self.frames.push(&chunk.bytes),
                Ok(None) => return Heard::End,
                Err(quinn::ReadError::ConnectionLost(error)) => {
                    return Heard::Gone(client::End::from(error).code());
                }
                Err(_) => return Heard::Gone(None),
            }
        }
    }
}
