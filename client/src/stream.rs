//! One long-lived stream: a writer that sends queued requests in large pieces, and a reader that
//! hands replies to those who wait.
//!
//! Neither retries anything. Invariant: when either ends, the whole connection is declared over,
//! so that no request waits for a reply that cannot come.

use std::sync::Arc;

use bytes::Bytes;
use protocol::frame::{FrameKind, Hello, decode_close};
use protocol::reply;
use quinn::{Connection, ReadError, RecvStream, SendStream, WriteError};
use tokio::sync::mpsc;
use zerocopy::FromBytes;

use crate::error::End;
use crate::framing::{Frames, encode_hello};
use crate::limits::{READ_CHUNKS, WRITE_BATCH, WRITE_QUEUE_LEN};
use crate::pending::PendingRequests;
use crate::reply::Reply;

/// Where requests for one stream are queued.
pub(crate) type WriteQueue = mpsc::Sender<Bytes>;

/// Opens a stream for requests.
pub(crate) async fn open(
    connection: &Connection,
    pending: &Arc<PendingRequests>,
) -> Result<(WriteQueue, Hello), End> {
    let (send, reader, hello) = begin(connection).await?;
    let (queue, requests) = mpsc::channel(WRITE_QUEUE_LEN);
    tokio::spawn(write(connection.clone(), send, requests, Arc::clone(pending)));
    tokio::spawn(reader.run(Arc::clone(pending)));
    Ok((queue, hello))
}

/// Opens a stream, greets, and waits for the frame's hello.
pub(crate) async fn begin(connection: &Connection) -> Result<(SendStream, Reader, Hello), End> {
    let (mut send, recv) = connection.open_bi().await.map_err(End::from)?;
    let mut greeting = Vec::new();
    encode_hello(&mut greeting);
    send.write_chunk(greeting.into()).await.map_err(|cause| write_end(connection, cause))?;
    let mut reader = Reader { connection: connection.clone(), recv, frames: Frames::default() };
    let hello = match reader.next_frame().await? {
        (FrameKind::Hello, body) => Hello::read_from_bytes(&body)
            .map_err(|_| End::Unexpected("a hello of a wrong length"))?,
        (FrameKind::Close, body) => return Err(told(&body)),
        _ => return Err(End::Unexpected("the first frame was no hello")),
    };
    Ok((send, reader, hello))
}

async fn write(
    connection: Connection,
    mut send: SendStream,
    mut requests: mpsc::Receiver<Bytes>,
    pending: Arc<PendingRequests>,
) {
    let mut batch = Vec::with_capacity(WRITE_BATCH);
    while requests.recv_many(&mut batch, WRITE_BATCH).await > 0 {
        match send.write_all_chunks(&mut batch).await {
            Ok(()) => {}
            // The frame takes no more; what it has taken is still answered, so the reader says
            // when all is over.
            Err(WriteError::Stopped(_)) => {
                pending.refuse_more(over(&connection, "the frame takes no more requests"));
                return;
            }
            Err(cause) => {
                pending.end(write_end(&connection, cause));
                return;
            }
        }
        batch.clear();
    }
    // The client is gone; the frame may answer what it has, nobody waits for it.
    let _ = send.finish();
}

/// The incoming side of a stream, frame by frame.
pub(crate) struct Reader {
    connection: Connection,
    recv: RecvStream,
    frames: Frames,
}

impl Reader {
    async fn run(mut self, pending: Arc<PendingRequests>) {
        let end = loop {
            match self.next_frame().await {
                Ok((FrameKind::Reply, body)) => match reply::decode(&body) {
                    Ok(decoded) => {
                        if !pending.answer(Reply(decoded)) {
                            break End::Unexpected("a reply to a request that is not open");
                        }
                    }
                    Err(cause) => break End::Misread(cause),
                },
                Ok((FrameKind::Close, body)) => break told(&body),
                Ok(_) => break End::Unexpected("a frame that only clients send"),
                Err(end) => break end,
            }
        };
        pending.end(end);
    }

    /// The next frame, or why there is none. It may be dropped half way and asked again.
    pub(crate) async fn next_frame(&mut self) -> Result<(FrameKind, Bytes), End> {
        loop {
            if let Some(frame) = self.frames.next_frame().map_err(End::Misframed)? {
                return Ok(frame);
            }
            let mut chunks = [const { Bytes::new() }; READ_CHUNKS];
            match self.recv.read_chunks(&mut chunks).await {
                Ok(Some(count)) => {
                    for chunk in chunks.iter().take(count) {
                        self.frames.push(chunk);
                    }
                }
                Ok(None) => {
                    return Err(over(&self.connection, "the frame ended the stream"));
                }
                Err(ReadError::ConnectionLost(cause)) => return Err(cause.into()),
                Err(_) => return Err(over(&self.connection, "the frame reset the stream")),
            }
        }
    }
}

/// What a close says.
pub(crate) fn told(body: &[u8]) -> End {
    match decode_close(body) {
        Some((code, text)) => End::Told { code, text: text.into() },
        None => End::Unexpected("a close without a known reason"),
    }
}

/// The connection's own reason says more than that of a stream.
fn over(connection: &Connection, otherwise: &'static str) -> End {
    connection.close_reason().map_or(End::Unexpected(otherwise), End::from)
}

fn write_end(connection: &Connection, cause: WriteError) -> End {
    match cause {
        WriteError::ConnectionLost(cause) => cause.into(),
        _ => over(connection, "the frame stopped reading the stream"),
    }
}
