//! A stream that has become a feed: what the client follows, as records of the wire.
//!
//! Who may follow what, `feeds` says; for a registry the engine is asked. Nobody waits for a client
//! that does not read but this task. Invariant: no balance of an account that the client may not
//! read is ever sent.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use protocol::feed::{Followed, Place};
use protocol::follow::{EVENTS_MAX, FOLLOW_SIZE, Follow, Progress, UNTOLD, Unfollowed};
use protocol::frame::{CloseCode, FrameKind, HEAD_SIZE, Head};
use protocol::request::{self, flags};
use protocol::{Command, OwnerId, Request, reply};
use quinn::{RecvStream, SendStream};
use ring::{Publisher, Ticket};
use tokio::sync::watch;
use tokio::time::timeout;
use zerocopy::IntoBytes;

use super::connection::Served;
use super::stream::{code, farewell_text, told, write_whole};
use crate::audit::{self, Door};
use crate::feeds::{FeedError, Filter, Follower, News, Right, Sight, Whose};
use crate::feeds::{is_granted, question, right};
use crate::framing::{Framing, Misframed, Step};
use crate::limits::{
    FAREWELL_TIMEOUT, FEED_BLOCK_MAX, FEED_QUIET, FEED_WRITE_TIMEOUT, READ_CHUNKS, REPLY_TIMEOUT,
};
use crate::metrics::{Metrics, add};

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

/// Counts a feed as long as it is open.
struct Open<'a>(&'a Metrics);

impl<'a> Open<'a> {
    fn count(metrics: &'a Metrics) -> Self {
        metrics.feeds_open.fetch_add(1, Ordering::Relaxed);
        Self(metrics)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.feeds_open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl FeedLine {
    /// Tells what is followed until the feed ends; gives back what to close the stream with.
    pub(super) async fn serve(
        mut self,
        follow: Follow,
        send: &mut SendStream,
    ) -> Option<(CloseCode, String)> {
        let served = Arc::clone(&self.served);
        let end = self.run(&follow, send).await;
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
        let _ = self.recv.stop(code(reason));
        Some((reason, text))
    }

    async fn run(&mut self, follow: &Follow, send: &mut SendStream) -> End {
        let served = Arc::clone(&self.served);
        let metrics = &served.desk.metrics;
        // As long as it is open it takes a place in flight of its identity.
        let pass = served.seat.request(FOLLOW_SIZE, &served.desk.info.monotonic_ns);
        let _pass = tokio::select! {
            pass = pass => pass,
            reason = told(&mut self.phase) => return End::Told(reason),
        };
        let (mut follower, sight) = match self.begin(follow).await {
            Ok(begun) => begun,
            Err(reason) => {
                add(&metrics.feeds_refused, 1);
                return End::Unfollowed(reason);
            }
        };
        let _open = Open::count(metrics);
        let mut bytes = progress(follower.place());
        loop {
            if let Err(end) = self.write(send, bytes).await {
                return end;
            }
            let next = tokio::select! {
                news = follower.next() => Next::News(news),
                end = self.heard() => Next::Heard(end),
            };
            bytes = match next {
                Next::Heard(end) => return end,
                Next::News(News::Events(events)) => {
                    match self.shown(events, &follower, sight).await {
                        (shown, None) => events_of(&shown),
                        (shown, Some(reason)) => {
                            if let Err(end) = self.write(send, events_of(&shown)).await {
                                return end;
                            }
                            return End::Unfollowed(reason);
                        }
                    }
                }
                Next::News(News::Progress(_) | News::Quiet) => progress(follower.place()),
                Next::News(News::Ended(error)) => return End::Unfollowed(refusal(error)),
            };
        }
    }

    /// Joins those who follow, if the client may.
    async fn begin(&mut self, follow: &Follow) -> Result<(Follower, Sight), Unfollowed> {
        let feeds = self.served.desk.info.feeds.clone().ok_or(Unfollowed::Off)?;
        if !follow.is_readable() {
            return Err(Unfollowed::Invalid);
        }
        let principal = self.served.peer.principal();
        let account = (follow.account != 0).then_some(follow.account);
        let (whose, sight, moves) = match right(principal, account) {
            Right::Granted(whose, sight) => (whose, sight, false),
            Right::Hosted(owner) => {
                self.may_read(owner).await?;
                (Whose::Owner(owner), Sight::Of(owner), true)
            }
            Right::Unnamed => return Err(Unfollowed::Invalid),
            Right::Nothing => return Err(Unfollowed::NotFound),
        };
        let asset = (follow.asset != 0).then_some(follow.asset);
        let filter = Filter { whose, events: follow.wanted_events(), asset, moves };
        let joined = feeds.join(principal, filter, follow.after(), FEED_QUIET).await;
        let follower = joined.map_err(refusal)?;
        // A move before the feed began is not among what it is told.
        if let (true, Whose::Owner(owner)) = (moves, whose) {
            self.may_read(owner).await?;
        }
        Ok((follower, sight))
    }

    /// What the client gets to see of some effects, and why the feed ends behind them.
    async fn shown(
        &mut self,
        mut events: Vec<Followed>,
        follower: &Follower,
        sight: Sight,
    ) -> (Vec<Followed>, Option<Unfollowed>) {
        let filter = *follower.filter();
        // A registry may follow an owner only as long as it is its host.
        let moves: Vec<(usize, OwnerId)> = events
            .iter()
            .enumerate()
            .filter(|(_, followed)| filter.is_move(followed))
            .map(|(at, followed)| (at, followed.effect.debit))
            .collect();
        let mut end = None;
        for (at, owner) in moves {
            if let Err(reason) = self.may_read(owner).await {
                events.truncate(at + 1);
                end = Some(reason);
                break;
            }
        }
        events.retain(|followed| filter.shows(followed));
        for followed in &mut events {
            let effect = &mut followed.effect;
            for (owner, after) in
                [(effect.debit, &mut effect.debit_after), (effect.credit, &mut effect.credit_after)]
            {
                // Nobody stands for a supply counter.
                if owner != 0 && !sight.covers(owner) {
                    *after = UNTOLD;
                }
            }
        }
        add(&self.served.desk.metrics.feed_events, events.len());
        (events, end)
    }

    /// Asks the engine whether the client, a registry, hosts the owner.
    async fn may_read(&mut self, owner: OwnerId) -> Result<(), Unfollowed> {
        let status = timeout(REPLY_TIMEOUT, self.ask(question(owner))).await;
        match status.ok().flatten() {
            Some(status) if is_granted(status) => Ok(()),
            Some(_) => Err(Unfollowed::NotFound),
            None => Err(Unfollowed::Unavailable),
        }
    }

    /// The status of the answer to one read, if it comes.
    async fn ask(&mut self, read: Command) -> Option<u16> {
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

/// Nothing of no events.
fn events_of(events: &[Followed]) -> Bytes {
    if events.is_empty() {
        return Bytes::new();
    }
    frame_of(FrameKind::Events, events.as_bytes())
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
