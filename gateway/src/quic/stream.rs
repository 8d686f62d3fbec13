//! One stream of a connection: requests in, replies out, at the same time.
//!
//! The reading side stops whenever there is no permit, no envelope or no room in the ring; the
//! transport's flow control then stops the client. Invariant: every reply to a request that was
//! published is written before the stream says goodbye, unless the client stopped reading.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use protocol::command::COMMAND_SIZE;
use protocol::follow::Follow;
use protocol::frame::{CloseCode, FrameKind, encode_close};
use protocol::request::{self, REQUEST_SIZE, StructureError, flags};
use protocol::{Request, Status};
use quinn::{RecvStream, SendStream, VarInt};
use ring::{Publisher, Ticket};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};
use zerocopy::IntoBytes;

use super::connection::Served;
use super::feed::FeedLine;
use crate::audit::{self, Door};
use crate::framing::{Framing, Misframed, Step};
use crate::limiter::Pass;
use crate::limits::{FAREWELL_TIMEOUT, READ_CHUNKS};
use crate::metrics::add;
use crate::outbox::{Admission, Outbox};

/// Why reading ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("the client ended the stream")]
    ByClient,
    #[error("{0}")]
    Misframed(#[from] Misframed),
    #[error("request {request}: {cause}")]
    Structure { request: u64, cause: StructureError },
    #[error("a frame was begun and not finished in time")]
    FrameTimeout,
    #[error("no request came for a long time")]
    Idle,
    #[error("{text}", text = farewell_text(*.0))]
    Told(CloseCode),
    #[error("the stream becomes a feed")]
    Follows(Follow),
}

/// Text for a close that is not the stream's own fault.
pub(super) const fn farewell_text(code: CloseCode) -> &'static str {
    match code {
        CloseCode::ShuttingDown => "the frame shuts down; connect again later",
        CloseCode::IdentityEnded => "the identity or the connection is too old; connect again",
        CloseCode::Unauthorised => "the identity may not use this door",
        CloseCode::Limit => "too many connections; close some or try later",
        CloseCode::Timeout => "nothing arrived in time",
        _ => "the frame ends this connection",
    }
}

/// Serves one stream until both sides are done.
pub(super) async fn serve(served: Arc<Served>, send: SendStream, recv: RecvStream) {
    let Some(publisher) = served.desk.publisher() else {
        return;
    };
    let outbox = Outbox::new(Arc::clone(&served.allowance));
    let number = served.desk.routes.add_stream(Arc::clone(&outbox));
    let reader = Reader {
        served: Arc::clone(&served),
        outbox: Arc::clone(&outbox),
        phase: served.phase.subscribe(),
        ticket: Ticket { worker: served.worker, connection: served.number, stream: number },
        publisher,
        recv,
        framing: Framing::new(Arc::clone(&served.desk.shelf)),
    };
    // A set, so that the writer ends with this task if it is cut off.
    let mut writing = JoinSet::new();
    writing.spawn(write(Arc::clone(&served), Arc::clone(&outbox), send));
    let over = reader.run().await;
    outbox.end();
    if let Some(Ok(Some(mut send))) = writing.join_next().await {
        let close = match over {
            Over::Goodbye(close) => close,
            Over::Feed(line, follow) => line.serve(follow, &mut send).await,
        };
        say_goodbye(send, close).await;
    }
    served.desk.routes.remove(number);
}

/// Writes what is due; gives the stream back when all was written.
async fn write(served: Arc<Served>, outbox: Arc<Outbox>, send: SendStream) -> Option<SendStream> {
    let mut open = Some(send);
    while let Some(due) = outbox.next_due().await {
        let Some(send) = &mut open else {
            continue;
        };
        let len = due.bytes.len();
        if write_whole(send, due.bytes.clone(), served.write_timeout).await {
            add(&served.desk.metrics.bytes_out, len);
            continue;
        }
        if served.connection.close_reason().is_none() {
            add(&served.desk.metrics.write_timeouts, 1);
        }
        if let Some(mut send) = open.take() {
            // A stream that is reset already needs no second reset.
            let _ = send.reset(code(CloseCode::Timeout));
        }
        outbox.give_up();
    }
    open
}

/// Writes `bytes`, or returns false when the client does not take them.
pub(super) async fn write_whole(send: &mut SendStream, bytes: Bytes, patience: Duration) -> bool {
    let mut pieces = [bytes];
    while !pieces[0].is_empty() {
        // Each piece that the window lets through counts as progress.
        match timeout(patience, send.write_chunks(&mut pieces)).await {
            Ok(Ok(_)) => {}
            Ok(Err(_)) | Err(_) => return false,
        }
    }
    true
}

async fn say_goodbye(mut send: SendStream, close: Option<(CloseCode, String)>) {
    let farewell = async {
        if let Some((code, text)) = close {
            send.write_chunk(encode_close(code, &text).into()).await.ok()?;
        }
        send.finish().ok()?;
        // Acknowledged, or the connection is gone.
        send.stopped().await.ok()
    };
    let _ = timeout(FAREWELL_TIMEOUT, farewell).await;
}

/// The application error code of a reason.
pub(super) fn code(reason: CloseCode) -> VarInt {
    VarInt::from_u32(reason as u32)
}

/// What comes behind the last request of a stream.
enum Over {
    Goodbye(Option<(CloseCode, String)>),
    Feed(Box<FeedLine>, Follow),
}

struct Reader {
    served: Arc<Served>,
    outbox: Arc<Outbox>,
    phase: watch::Receiver<Option<CloseCode>>,
    ticket: Ticket,
    publisher: Publisher,
    recv: RecvStream,
    framing: Framing,
}

impl Reader {
    /// Reads requests until there are no more, and says what to tell the client.
    async fn run(mut self) -> Over {
        let outbox = Arc::clone(&self.outbox);
        let ended = tokio::select! {
            biased;
            () = outbox.given_up() => Ended::ByClient,
            ended = self.read() => ended,
        };
        let metrics = &self.served.desk.metrics;
        let reason = match &ended {
            Ended::ByClient => None,
            Ended::Misframed(_) | Ended::Structure { .. } => {
                add(&metrics.quic_protocol_errors, 1);
                Some(CloseCode::Protocol)
            }
            Ended::FrameTimeout | Ended::Idle => {
                add(&metrics.read_timeouts, 1);
                Some(CloseCode::Timeout)
            }
            Ended::Told(code) => Some(*code),
            Ended::Follows(follow) => {
                let Self { served, phase, ticket, publisher, recv, framing, .. } = self;
                let line = FeedLine { served, phase, ticket, publisher, recv, framing };
                return Over::Feed(Box::new(line), *follow);
            }
        };
        let Some(reason) = reason else {
            return Over::Goodbye(None);
        };
        // It may have been reset by the client just now.
        let _ = self.recv.stop(code(reason));
        tracing::debug!(peer = %self.served.peer.spiffe_id(), "stream closed: {ended}");
        Over::Goodbye(Some((reason, ended.to_string())))
    }

    async fn read(&mut self) -> Ended {
        let mut begun: Option<Instant> = None;
        loop {
            // What was not published is not executed: the client sends it again elsewhere.
            if let Some(code) = *self.phase.borrow() {
                return Ended::Told(code);
            }
            let result = match self.framing.step() {
                Ok(Step::Wait) => {
                    if self.framing.is_between_frames() {
                        begun = None;
                    }
                    self.receive(&mut begun).await
                }
                Ok(Step::Hello) => {
                    let principal = self.served.peer.principal();
                    let hello = self.served.desk.hello(principal, self.served.in_flight_max);
                    self.outbox.push_frame(FrameKind::Hello, hello.as_bytes());
                    Ok(())
                }
                Ok(Step::Request(head)) => {
                    begun = None;
                    self.take(head).await
                }
                Ok(Step::Follow(follow)) => Err(Ended::Follows(follow)),
                Ok(Step::Close) => Err(Ended::ByClient),
                Err(cause) => Err(cause.into()),
            };
            if let Err(ended) = result {
                return ended;
            }
        }
    }

    /// Waits for more bytes, no longer than a frame that has begun may take.
    async fn receive(&mut self, begun: &mut Option<Instant>) -> Result<(), Ended> {
        let is_idle = self.framing.is_between_frames();
        if !is_idle {
            begun.get_or_insert_with(Instant::now);
        }
        let until = match *begun {
            Some(begun) => begun + self.served.frame_timeout,
            None => Instant::now() + self.served.stream_idle_timeout,
        };
        let mut pieces = [const { Bytes::new() }; READ_CHUNKS];
        let read = timeout_at(until, self.recv.read_chunks(&mut pieces));
        let count = tokio::select! {
            code = told(&mut self.phase) => return Err(Ended::Told(code)),
            count = read => count,
        };
        match count {
            Err(_) if is_idle => Err(Ended::Idle),
            Err(_) => Err(Ended::FrameTimeout),
            Ok(Err(_) | Ok(None)) => Err(Ended::ByClient),
            Ok(Ok(Some(count))) => {
                for piece in pieces.into_iter().take(count) {
                    add(&self.served.desk.metrics.bytes_in, piece.len());
                    self.framing.push(piece);
                }
                Ok(())
            }
        }
    }

    /// Takes a request that has arrived whole and publishes it.
    async fn take(&mut self, head: Request) -> Result<(), Ended> {
        let Self { served, outbox, .. } = self;
        let desk = &served.desk;
        let received = (desk.info.monotonic_ns)();
        let is_read = head.flags & flags::READ != 0;
        let only = self.framing.only_slot().filter(|_| is_read);
        let room = request::reply_slots(&head, only.as_slice());
        let admission = outbox.admit(room, is_read).await;
        let length = length_of(&head);
        let pass = match served.seat.try_request(length, received) {
            Ok(pass) => pass,
            Err(_) => {
                add(&desk.metrics.quic_limit_waits, 1);
                tokio::select! {
                    biased;
                    pass = served.seat.request(length, &desk.info.monotonic_ns) => pass,
                    code = told(&mut self.phase) => return Err(Ended::Told(code)),
                }
            }
        };
        // Before an envelope is taken: waiting for one while holding another could last for ever.
        let identified = if is_read {
            Ok(())
        } else {
            let worker = self.ticket.worker;
            let Self { publisher, .. } = self;
            served.identified.ensure(desk, publisher, &served.peer, worker).await
        };
        let mut lease = desk.envelope(room.max(head.slots)).await;
        self.framing.take_slots(&mut lease.slots);
        let survey = request::survey(&head, &lease.slots)
            .map_err(|cause| Ended::Structure { request: head.request, cause })?;
        let principal = served.peer.principal();
        lease.head = Request { principal: principal.id, role: principal.role.number(), ..head };
        lease.commands = survey.commands;
        lease.mark = audit::mark(Door::Quic, survey);
        lease.ticket = self.ticket;
        lease.stamps.received = received;
        if let Err(status) = identified {
            self.refuse((head.request, status), (admission, pass));
            return Ok(());
        }
        outbox.begin(admission, pass);
        desk.publish(&mut self.publisher, lease).await;
        Ok(())
    }

    fn refuse(&self, refusal: (u64, Status), held: (Admission, Pass)) {
        let desk = &self.served.desk;
        add(&desk.metrics.requests_refused, 1);
        self.outbox.refuse(refusal, held, desk.reply_info());
    }
}

/// Bytes of a request on the wire, without the head of its frame.
const fn length_of(head: &Request) -> usize {
    REQUEST_SIZE + head.slots as usize * COMMAND_SIZE
}

/// Waits until the connection is told to end.
pub(super) async fn told(phase: &mut watch::Receiver<Option<CloseCode>>) -> CloseCode {
    match phase.wait_for(Option::is_some).await {
        Ok(code) => code.unwrap_or(CloseCode::ShuttingDown),
        // The connection is gone.
        Err(_) => CloseCode::ShuttingDown,
    }
}
