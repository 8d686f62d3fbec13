//! HTTPS as tests speak it: requests as clients send them, and bytes that no client sends. The
//! connections themselves are the load harness's.

use std::sync::Arc;
use std::time::Duration;

use loadgen::https::{HttpsConnector, head};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::frame::{Frame, PATIENCE};

/// Towards the frame with the identity `name`.
pub(crate) fn connector(frame: &Frame, role: &str, name: &str) -> Arc<HttpsConnector> {
    let dir = frame.identity(role, name);
    Arc::new(HttpsConnector::open(frame.https(), &dir).unwrap())
}

/// A whole HTTP/1.1 request with a JSON body.
pub(crate) fn request(method: &str, path: &str, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    head(method, path, "application/json", body.len(), &mut out);
    out.extend_from_slice(body);
    out
}

/// Says piece after piece, listening all the while, until the frame ends the connection; returns
/// what it said before.
pub(crate) async fn until_cut<S: AsyncRead + AsyncWrite>(
    stream: S,
    mut piece: impl FnMut() -> Vec<u8>,
    pause: Duration,
) -> Vec<u8> {
    let (mut read, mut write) = tokio::io::split(stream);
    let talk = async {
        // The listener learns how it ended.
        while write.write_all(&piece()).await.is_ok() && write.flush().await.is_ok() {
            tokio::time::sleep(pause).await;
        }
        std::future::pending::<()>().await;
    };
    let mut heard = Vec::new();
    let listen = async {
        // A reset is an end like any other here.
        let _ = read.read_to_end(&mut heard).await;
    };
    let both = async {
        tokio::select! {
            () = talk => {}
            () = listen => {}
        }
    };
    let ended = tokio::time::timeout(PATIENCE, both).await;
    assert!(ended.is_ok(), "the frame listened for {PATIENCE:?}");
    heard
}

/// Says piece after piece and never listens; returns when the frame has ended the connection.
pub(crate) async fn until_deaf<S: AsyncWrite + Unpin>(
    mut stream: S,
    mut piece: impl FnMut() -> Vec<u8>,
) {
    let talk =
        async { while stream.write_all(&piece()).await.is_ok() && stream.flush().await.is_ok() {} };
    let ended = tokio::time::timeout(PATIENCE, talk).await;
    assert!(ended.is_ok(), "the frame waited for {PATIENCE:?} on one who does not read");
}

/// The status of the last HTTP/1.1 answer in `heard`, 0 if there is none.
pub(crate) fn status(heard: &[u8]) -> u16 {
    let text = String::from_utf8_lossy(heard);
    let last = text.rsplit("HTTP/1.1 ").next().filter(|_| text.contains("HTTP/1.1 "));
    last.and_then(|rest| rest.get(..3)).and_then(|code| code.parse().ok()).unwrap_or(0)
}
