//! A stream that has become a feed: what the client follows, as records of the wire.
//!
//! Who may follow what, `feeds` says, and asks the engine through this door. Nobody waits for a
//! client that does not read but this task. Invariant: no balance of an account that the client may
//! not read is ever sent.

use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use protocol::feed::{Followed, Place};
use protocol::follow::{EVENTS_MAX, FOLLOW_SIZE, Follow, Progress, UNTOLD, Unfollowed};
use protocol::frame::{CloseCode, FrameKind, HEAD_SIZE, Head};
use protocol::request::{self, flags};
use protocol::{Command, Request, reply};
use quinn::{RecvStream, SendStream};
use ring::{Publisher, Ticket};
use tokio::sync::watch;
use tokio::time::timeout;
use zerocopy::IntoBytes;

use super::connection::Served;
use super::stream::{code, farewell_text, told, write_whole};
use crate::audit::{self, Door};
use crate::feeds::{Asks, Denied, Feed, FeedError, News, Sight, Wish};
use crate::framing::{Framing, Misframed, Step};
use crate::limiter::Pass;
use crate::limits::{
    FAREWELL_TIMEOUT, FEED_BLOCK_MAX, FEED_WRITE_TIMEOUT, READ_CHUNKS, REPLY_TIMEOUT,
};
use crate::metrics::add;

const _: () = assert!(FEED_BLOCK_MAX <= EVENTS_MAX);

/// The stream of a feed, without its outgoing side.
pub(super) struct FeedLine {
    pub(super) served: Arc<Served>,
    pub(super) phase: watch::Receiver<Option<CloseCode>>,
    pub(super) ticket: Ticket,
    pub(super) publisher: Publisher,
    pub(super) recv: RecvStream,
    pub(super) framing: Framing,
}

/// Why a feed ends.
enum End {
    /// The client has ended it, or is gone.
    ByClient,
    Misframed(Misframed),
    Told(CloseCode),
    /// The client takes nothing.
    Stuck,
    Unfollowed(Unfollowed),
}

/// What happens next on a feed.
enum Next {
    News(News),
    Heard(End),
}

/// The client's side of the stream, and what its connection is told.
struct Ear {
    served: Arc<Served>,
    phase: watch::Receiver<Option<CloseCode>>,
    recv: RecvStream,
    framing: Framing,
}

/// What asks the engine.
struct Asker {
    served: Arc<Served>,
    ticket: Ticket,
    publisher: Publisher,
}

impl FeedLine {
    /// Tells what is followed until the feed ends; gives back what to close the stream with.
    pub(super) async fn serve(
        self,
        follow: Follow,
        send: &mut SendStream,
    ) -> Option<(CloseCode, String)> {
        let Self { served, phase, ticket, publisher, recv, framing } = self;
        let mut asker = Asker { served: Arc::clone(&served), ticket, publisher };
        let mut ear = Ear { served: Arc::clone(&served), phase, recv, framing };
        let end = run(&mut ear, &mut asker, &follow, send).await;
        let metrics = &served.desk.metrics;
        let (reason, text) = match end {
            End::ByClient => return None,
            End::Unfollowed(reason) => {
                let frame = frame_of(FrameKind::Unfollowed, reason.frame().as_bytes());
                write_whole(send, frame, FAREWELL_TIMEOUT).await;
                return None;
            }
            End::Misframed(cause) => {
                add(&metrics.quic_protocol_errors, 1);
                (CloseCode::Protocol, cause.to_string())
            }
            End::Told(reason) => (reason, farewell_text(reason).to_owned()),
            End::Stuck => {
                add(&metrics.write_timeouts, 1);
                // A stream that is reset already needs no second reset.
                let _ = send.reset(code(CloseCode::Timeout));
                return None;
            }
        };
        // It may have been reset by the client just now.
        let _ = ear.recv.stop(code(reason));
        Some((reason, text))
    }
}

/// Begins, and tells what is followed; says why it ends.
async fn run(ear: &mut Ear, asker: &mut Asker, follow: &Follow, send: &mut SendStream) -> End {
    let served = Arc::clone(&ear.served);
    let mut stopped = pin!(send.stopped());
    // It takes as long as the engine and the journal take; the client need not wait for it.
    let (_pass, mut feed) = tokio::select! {
        begun = begin(asker, follow) => match begun {
            Ok(begun) => begun,
            Err(reason) => {
                add(&served.desk.metrics.feeds_refused, 1);
                return End::Unfollowed(reason);
            }
        },
        end = ear.heard() => return end,
        _ = &mut stopped => return End::ByClient,
    };
    let mut bytes = progress(feed.place());
    loop {
        if let Err(end) = ear.write(send, bytes).await {
            return end;
        }
        let next = tokio::select! {
            news = feed.next() => Next::News(news),
            end = ear.heard() => Next::Heard(end),
            _ = &mut stopped => Next::Heard(End::ByClient),
        };
        bytes = match next {
            Next::Heard(end) => return end,
            Next::News(News::Events(events)) => match feed.told(events, asker).await {
                (events, None) => events_of(events, feed.sight()),
                (events, Some(reason)) => {
                    let last = events_of(events, feed.sight());
                    let written = ear.write(send, last).await;
                    return written.err().unwrap_or_else(|| End::Unfollowed(denial(reason)));
                }
            },
            Next::News(News::Progress(_) | News::Quiet) => progress(feed.place()),
            Next::News(News::Ended(error)) => return End::Unfollowed(refusal(error)),
        };
    }
}

/// Joins those who follow, if the client may; as long as it follows it takes a place in flight of
/// its identity.
async fn begin(asker: &mut Asker, follow: &Follow) -> Result<(Pass, Feed), Unfollowed> {
    let served = Arc::clone(&asker.served);
    let desk = &served.desk;
    let pass = served.seat.request(FOLLOW_SIZE, &desk.info.monotonic_ns).await;
    let feeds = desk.info.feeds.as_ref().ok_or(Unfollowed::Off)?;
    if !follow.is_readable() {
        return Err(Unfollowed::Invalid);
    }
    let wish = Wish {
        account: (follow.account != 0).then_some(follow.account),
        after: follow.after(),
        events: follow.wanted_events(),
        asset: (follow.asset != 0).then_some(follow.asset),
    };
    let principal = served.peer.principal();
    let begun = Feed::begin((feeds, &desk.metrics), principal, wish, asker).await;
    Ok((pass, begun.map_err(denial)?))
}

impl Asks for Asker {
    type Unanswered = ();

    async fn ask(&mut self, read: Command) -> Result<u16, ()> {
        timeout(REPLY_TIMEOUT, self.read(read)).await.ok().flatten().ok_or(())
    }
}

impl Asker {
    /// The status of the answer to one read, if it comes.
    async fn read(&mut self, read: Command) -> Option<u16> {
        let served = Arc::clone(&self.served);
        let desk = &served.desk;
        let principal = served.peer.principal();
        let head = Request { slots: 1, flags: flags::READ, ..Request::default() };
        let mut lease = desk.envelope(request::reply_slots(&head, &[read]).max(1)).await;
        lease.slots.push(read);
        let survey = request::survey(&head, &lease.slots).ok()?;
        lease.commands = survey.commands;
        lease.mark = audit::mark(Door::Quic, survey);
        lease.head = Request { principal: principal.id, role: principal.role.number(), ..head };
        lease.stamps.received = (desk.info.monotonic_ns)();
        let (route, answered) = desk.routes.add_call();
        lease.ticket = Ticket { stream: route.number, ..self.ticket };
        desk.publish(&mut self.publisher, lease).await;
        let bytes = answered.await.ok()?;
        let decoded = reply::decode(&bytes).ok().filter(|decoded| decoded.refused.is_none())?;
        decoded.answers.first().map(|answer| answer.status)
    }
}

impl Ear {
    /// Writes `bytes`, as long as the client takes them; when the connection is told to end it has
    /// little time left for it.
    async fn write(&mut self, send: &mut SendStream, bytes: Bytes) -> Result<(), End> {
        let length = bytes.len();
        let told_to_end = async {
            let reason = told(&mut self.phase).await;
            tokio::time::sleep(FAREWELL_TIMEOUT).await;
            reason
        };
        let is_written = tokio::select! {
            is_written = write_whole(send, bytes, FEED_WRITE_TIMEOUT) => is_written,
            _ = told_to_end => false,
        };
        if is_written {
            add(&self.served.desk.metrics.bytes_out, length);
            return Ok(());
        }
        let is_gone = self.served.connection.close_reason().is_some();
        Err(if is_gone { End::ByClient } else { End::Stuck })
    }

    /// Waits until the client says something, which can only be the end, or the connection is told
    /// to end. It may be dropped half way and asked again.
    async fn heard(&mut self) -> End {
        loop {
            match self.framing.step() {
                Ok(Step::Close) => return End::ByClient,
                Ok(Step::Wait) => {}
                Ok(Step::Hello | Step::Request(_) | Step::Follow(_)) => {
                    return End::Misframed(Misframed::Following);
                }
                Err(cause) => return End::Misframed(cause),
            }
            let mut pieces = [const { Bytes::new() }; READ_CHUNKS];
            let read = tokio::select! {
                reason = told(&mut self.phase) => return End::Told(reason),
                read = self.recv.read_chunks(&mut pieces) => read,
            };
            let Ok(Some(count)) = read else {
                return End::ByClient;
            };
            for piece in pieces.into_iter().take(count) {
                add(&self.served.desk.metrics.bytes_in, piece.len());
                self.framing.push(piece);
            }
        }
    }
}

fn frame_of(kind: FrameKind, body: &[u8]) -> Bytes {
    let length = u32::try_from(body.len()).expect("frames of a feed are short");
    let mut bytes = Vec::with_capacity(HEAD_SIZE + body.len());
    bytes.extend_from_slice(Head::new(kind, length).as_bytes());
    bytes.extend_from_slice(body);
    bytes.into()
}

fn progress(place: Place) -> Bytes {
    frame_of(FrameKind::Progress, Progress::at(place).as_bytes())
}

/// Effects without the balances that the client may not see; nothing of no effects.
fn events_of(mut events: Vec<Followed>, sight: Sight) -> Bytes {
    if events.is_empty() {
        return Bytes::new();
    }
    for Followed { effect, .. } in &mut events {
        for (owner, after) in
            [(effect.debit, &mut effect.debit_after), (effect.credit, &mut effect.credit_after)]
        {
            // Nobody stands for a supply counter.
            if owner != 0 && !sight.covers(owner) {
                *after = UNTOLD;
            }
        }
    }
    frame_of(FrameKind::Events, events.as_bytes())
}

const fn denial(reason: Denied<()>) -> Unfollowed {
    match reason {
        Denied::Unnamed => Unfollowed::Invalid,
        Denied::NotFound => Unfollowed::NotFound,
        Denied::Feed(error) => refusal(error),
        Denied::Unanswered(()) => Unfollowed::Unavailable,
    }
}

const fn refusal(error: FeedError) -> Unfollowed {
    match error {
        FeedError::Full => Unfollowed::Full,
        FeedError::TooMany { .. } => Unfollowed::TooMany,
        FeedError::Gone { first } => Unfollowed::Gone { first },
        FeedError::Ahead { last } => Unfollowed::Ahead { last },
        FeedError::Unreadable => Unfollowed::Unreadable,
        FeedError::Closed | FeedError::Unavailable => Unfollowed::Unavailable,
    }
}
