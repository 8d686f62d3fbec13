//! The client: one connection to a frame, pipelined.
//!
//! It does not retry; [`crate::Session`] does. Invariant: `connect` returns only after the frame
//! has greeted, for with TLS 1.3 a finished handshake is not yet acceptance.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use bytes::Bytes;
use identity::{Expected, Source};
use protocol::answer::Answer;
use protocol::frame::Hello;
use protocol::request::{self, flags};
use protocol::{Command, Request};
use quinn::{Connection, ConnectionError};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::buffers::Buffers;
use crate::draft::Draft;
use crate::error::{End, Error};
use crate::framing::{encode_request, request_len};
use crate::ids::{IdGenerator, anchored_ids};
use crate::limits::STREAMS_MAX;
use crate::list::{AccountList, AccountPage};
use crate::options::Options;
use crate::pending::{Pending, PendingRequests};
use crate::query::{Query, View};
use crate::quic::Connector;
use crate::reply::Reply;
use crate::stream::{self, WriteQueue};

/// A connection to a frame. Clones share it; it closes when the last one is dropped.
#[derive(Clone, Debug)]
pub struct Client(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    connection: ClosedOnDrop,
    hello: Hello,
    greeted: Instant,
    streams: Vec<WriteQueue>,
    next_stream: AtomicUsize,
    next_request: AtomicU64,
    permits: Arc<Semaphore>,
    pending: Arc<PendingRequests>,
    buffers: Arc<Buffers>,
    options: Options,
}

impl Client {
    /// Connects to the frame at `addr` with the SVID of `source`, and waits for its hello.
    ///
    /// # Errors
    ///
    /// Why there is no connection; [`Error::is_transient`] tells whether to try again.
    pub async fn connect<S: Source + 'static>(
        addr: SocketAddr,
        source: &Arc<S>,
        expected: Expected,
        options: Options,
    ) -> Result<Self, Error> {
        Self::open(&Connector::new(addr, source, expected, options)?).await
    }

    /// Connects over the socket of `connector`.
    ///
    /// # Errors
    ///
    /// As [`Self::connect`].
    pub async fn open(connector: &Connector) -> Result<Self, Error> {
        let after = connector.options().connect_timeout;
        timeout(after, Self::greet(connector)).await.unwrap_or(Err(Error::ConnectTimeout { after }))
    }

    async fn greet(connector: &Connector) -> Result<Self, Error> {
        let options = connector.options().clone();
        let connection = ClosedOnDrop(connector.start()?.await.map_err(not_let_in)?);
        let pending = Arc::new(PendingRequests::default());
        let refused = |end| match end {
            End::Transport(cause) => not_let_in(cause),
            end => Error::Refused { end },
        };
        let mut streams = Vec::new();
        let mut hello = Hello::default();
        for _ in 0..options.streams.clamp(1, STREAMS_MAX) {
            let (queue, greeting) = stream::open(&connection.0, &pending).await.map_err(refused)?;
            streams.push(queue);
            hello = greeting;
        }
        let found = hello.frame;
        if let Some(expected) = options.frame.filter(|&expected| expected != found) {
            return Err(Error::Frame { expected, found });
        }
        let in_flight = options.in_flight_max.min(hello.in_flight_max).max(1);
        Ok(Self(Arc::new(Inner {
            connection,
            hello,
            greeted: Instant::now(),
            streams,
            next_stream: AtomicUsize::new(0),
            next_request: AtomicU64::new(1),
            permits: Arc::new(Semaphore::new(in_flight as usize)),
            pending,
            buffers: Arc::new(Buffers::default()),
            options,
        })))
    }

    /// What the frame said first: its id, who this client is there, and its limits.
    #[must_use]
    pub fn hello(&self) -> &Hello {
        &self.0.hello
    }

    /// Ids for commands, by the frame's clock.
    #[must_use]
    pub fn ids(&self) -> IdGenerator<impl FnMut() -> u64 + use<>> {
        anchored_ids(self.0.hello.timestamp, self.0.greeted)
    }

    /// Sends a request, waiting only while too many are unanswered. The reply is awaited
    /// separately, so many requests can be under way.
    ///
    /// `commands` are the slots: each command followed by its data slots.
    ///
    /// # Errors
    ///
    /// [`Error::Structure`] or [`Error::Closed`]: nothing was sent.
    pub async fn submit(&self, commands: &[Command]) -> Result<Pending, Error> {
        self.send(Request::default(), commands).await
    }

    /// As [`Self::submit`], with a head whose `trace` and `flags` are used; the rest must be 0.
    ///
    /// # Errors
    ///
    /// As [`Self::submit`].
    pub async fn send(&self, mut head: Request, slots: &[Command]) -> Result<Pending, Error> {
        request::check(&head, slots)?;
        self.enqueue(|number| {
            head.request = number;
            self.0.buffers.write(request_len(slots.len()), |buffer| {
                encode_request(head, slots, buffer);
            })
        })
        .await
    }

    /// A request to be written where it will be sent from, with room for `slots`.
    #[must_use]
    pub fn draft(&self, slots: usize) -> Draft {
        Draft::new(self.0.buffers.lend(request_len(slots)))
    }

    /// As [`Self::submit`], without the check of its structure, which is left to the frame.
    ///
    /// # Errors
    ///
    /// As [`Self::submit`].
    pub async fn submit_draft(&self, draft: Draft) -> Result<Pending, Error> {
        draft.check()?;
        self.enqueue(|number| Bytes::from_owner(draft.finish(number))).await
    }

    /// Queues the bytes of the next request when fewer than the limit are unanswered.
    async fn enqueue(&self, write: impl FnOnce(u64) -> Bytes) -> Result<Pending, Error> {
        let inner = &*self.0;
        let permit = Arc::clone(&inner.permits).acquire_owned().await;
        let permit = permit.expect("the semaphore is never closed");
        let number = inner.next_request.fetch_add(1, Ordering::Relaxed);
        let pending = inner.pending.add(number, permit)?;
        let bytes = write(number);
        let turn = inner.next_stream.fetch_add(1, Ordering::Relaxed);
        let queue = &inner.streams[turn % inner.streams.len()];
        if queue.send(bytes).await.is_err() {
            inner.pending.remove(number);
            let end = inner.pending.ended().unwrap_or(End::Here);
            return Err(Error::Closed { end });
        }
        Ok(pending)
    }

    /// Sends a request and waits for its reply.
    ///
    /// # Errors
    ///
    /// Why there is no reply; ask [`Error::is_unknown`]. Refusals are outcomes in the reply.
    pub async fn request(&self, commands: &[Command]) -> Result<Reply, Error> {
        self.await_reply(self.submit(commands).await?).await
    }

    /// Sends reads and returns their answers, in order.
    ///
    /// # Errors
    ///
    /// Why there are none.
    pub async fn read(&self, reads: &[Command]) -> Result<Vec<Answer>, Error> {
        let head = Request { flags: flags::READ, ..Request::default() };
        let reply = self.await_reply(self.send(head, reads).await?).await?;
        if let Some(status) = reply.refused() {
            return Err(Error::Read(status));
        }
        Ok(reply.0.answers)
    }

    /// Asks one query.
    ///
    /// # Errors
    ///
    /// Why there is no answer, or the frame's refusal ([`Error::Read`]).
    pub async fn ask<V: View>(&self, query: Query<V>) -> Result<V, Error> {
        let answers = self.read(&[query.command]).await?;
        let answer = answers
            .first()
            .ok_or(Error::Lost { end: End::Unexpected("a reply without its answer") })?;
        query.view(answer)
    }

    /// One page of the accounts of a host; its `next` is the page after it.
    ///
    /// # Errors
    ///
    /// Why there is none, or the frame's refusal ([`Error::Read`]).
    pub async fn accounts(&self, list: AccountList) -> Result<AccountPage, Error> {
        list.page(&self.read(&[*list.command()]).await?)
    }

    /// Why the connection takes no more requests, if so.
    #[must_use]
    pub fn ended(&self) -> Option<End> {
        self.0.pending.ended()
    }

    /// Closes the connection now; what is unanswered becomes unknown.
    pub fn close(&self) {
        self.0.pending.end(End::Here);
        self.0.connection.0.close(0_u32.into(), b"");
    }

    pub(crate) fn options(&self) -> &Options {
        &self.0.options
    }

    pub(crate) fn transport(&self) -> &Connection {
        &self.0.connection.0
    }

    /// The transport's own figures.
    #[must_use]
    pub fn transport_stats(&self) -> quinn::ConnectionStats {
        self.0.connection.0.stats()
    }

    async fn await_reply(&self, pending: Pending) -> Result<Reply, Error> {
        let after = self.0.options.request_timeout;
        timeout(after, pending).await.unwrap_or(Err(Error::Unanswered { after }))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.pending.end(End::Here);
    }
}

/// The tasks of the streams would keep a connection up that nobody uses.
#[derive(Debug)]
struct ClosedOnDrop(Connection);

impl Drop for ClosedOnDrop {
    fn drop(&mut self) {
        self.0.close(0_u32.into(), b"");
    }
}

/// Tells a server that this side did not trust from one that did not trust this side.
fn not_let_in(cause: ConnectionError) -> Error {
    match cause {
        ConnectionError::TransportError(error) => {
            Error::Server { reason: error.to_string().into() }
        }
        other => Error::Refused { end: other.into() },
    }
}
