//! One HTTP request's way into the frame and back: who asks, and the ring behind.
//!
//! It waits for room a bounded time and never in a line without an end, because behind it is one
//! task for each request and not, as on a QUIC stream, one reader that flow control stops. It
//! knows no HTTP. Invariant: a call that is dropped half way leaves neither an envelope nor a
//! route behind; what it had published is executed all the same, and its reply is thrown away.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use identity::Peer;
use protocol::limits::REQUEST_SLOTS_MAX;
use protocol::reply::{self, Decoded, Outcome};
use protocol::request::{self, StructureError, flags};
use protocol::{Command, Request, Status};
use ring::{Publisher, Ticket};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio::time::{sleep, timeout};

use super::activity::Activity;
use crate::audit::{self, Auditor, Door};
use crate::desk::{Desk, Lease};
use crate::identify::Identified;
use crate::keys::KeyAnswer;
use crate::limiter::HistoryPlaces;
use crate::limits::{
    CALL_PATIENCE, HISTORY_TIMEOUT, REPLY_TIMEOUT, REPLY_UNIT_SIZE, RING_PAUSE, outgoing,
};
use crate::metrics::add;
use crate::outbox::reply_units;

/// Who asks, and what answers. Handlers get it as an extension of the request.
#[derive(Clone)]
pub(crate) struct Caller {
    inner: Arc<Inner>,
    /// Number of the HTTP request at this gateway.
    number: u64,
}

struct Inner {
    desk: Arc<Desk>,
    identified: Arc<Identified>,
    peer: Peer,
    /// The engine knows the peer.
    is_known: AtomicBool,
    connection: u64,
    worker: u16,
    /// Gone with the connection, so that nothing of it can hold the ring.
    publisher: Mutex<Option<Publisher>>,
    /// What the connection may be owed, in units of reply bytes.
    room: Semaphore,
    activity: Arc<Activity>,
    auditor: Auditor,
    /// What the identity may still ask of the history.
    history: Arc<HistoryPlaces>,
}

/// Why the settled history says nothing of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoHistory {
    /// The frame keeps none.
    NotKept,
    /// It does not answer, or not in time.
    Unavailable,
}

/// The reply to one request of the ring.
#[derive(Clone, Debug)]
pub(crate) struct Answered {
    /// Head with all four stamps, outcomes, answers.
    pub(crate) decoded: Decoded,
}

/// Why there is no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotAnswered {
    /// The slots cannot be read as commands; nothing was sequenced.
    #[error("{0}")]
    Structure(#[from] StructureError),
    /// The whole request was refused and nothing of it was sequenced.
    #[error("the request was refused as a whole: {0:?}")]
    Refused(Status),
    /// There was no room for it in time; nothing was sequenced.
    #[error("the frame has no room for the request now; send it again")]
    Overloaded,
    /// The identity asks too often; nothing was sequenced.
    #[error("too many requests; send it again after {} ms", retry_after.as_millis())]
    RateLimited {
        /// When it may ask again.
        retry_after: Duration,
    },
    /// Too much of the identity, or of the connection, is unanswered; nothing was sequenced.
    #[error("too many unanswered requests; wait for an answer")]
    TooManyInFlight,
    /// The frame ends; nothing was sequenced.
    #[error("the frame shuts down; send it again later")]
    ShuttingDown,
    /// What became of it is unknown; the same id or key tells.
    #[error("no answer came in time; send the same request again to learn what became of it")]
    TimedOut,
}

impl Caller {
    /// For one connection; `None` when the frame is shutting down.
    pub(super) fn new(
        desk: &Arc<Desk>,
        identified: &Arc<Identified>,
        peer: Peer,
        (connection, worker): (u64, u16),
        activity: &Arc<Activity>,
        (auditor, history): (Auditor, Arc<HistoryPlaces>),
    ) -> Option<Self> {
        let publisher = desk.publisher()?;
        let owed_max = outgoing(peer.principal().role).reply_budget_size;
        let inner = Inner {
            desk: Arc::clone(desk),
            identified: Arc::clone(identified),
            peer,
            is_known: AtomicBool::new(false),
            connection,
            worker,
            publisher: Mutex::new(Some(publisher)),
            room: Semaphore::new(owed_max / REPLY_UNIT_SIZE),
            activity: Arc::clone(activity),
            auditor,
            history,
        };
        Some(Self { inner: Arc::new(inner), number: 0 })
    }

    /// For one HTTP request of this connection: what it is owed is room that is taken until
    /// [`Self::settle`].
    pub(super) fn numbered(&self, number: u64) -> Self {
        Self { inner: Arc::clone(&self.inner), number }
    }

    /// The answer to the HTTP request was written or given up, with what its replies took.
    pub(super) fn settle(&self) {
        let owed = self.inner.activity.end(self.number);
        self.inner.room.add_permits(owed);
    }

    /// Who asks.
    pub(crate) fn peer(&self) -> &Peer {
        &self.inner.peer
    }

    /// What all connections share.
    pub(crate) fn desk(&self) -> &Desk {
        &self.inner.desk
    }

    /// What the settled history knows of a key of the caller's.
    pub(crate) async fn history(&self, key: u128) -> Result<KeyAnswer, NoHistory> {
        let Inner { desk, peer, history: places, .. } = &*self.inner;
        let history = desk.info.keys.as_ref().ok_or(NoHistory::NotKept)?;
        let asked = async {
            let place = places.questions.acquire().await;
            let _place = place.expect("the semaphore is never closed");
            history.find(peer.principal().id, key).await
        };
        match timeout(HISTORY_TIMEOUT, asked).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) | Err(_) => Err(NoHistory::Unavailable),
        }
    }

    /// A place to walk through the history, for as long as it is held.
    pub(crate) async fn walk(&self) -> Result<SemaphorePermit<'_>, NotAnswered> {
        let waiting = self.inner.history.walks.acquire();
        let place = timeout(CALL_PATIENCE, waiting).await;
        let place = place.map_err(|_| NotAnswered::TooManyInFlight)?;
        Ok(place.expect("the semaphore is never closed"))
    }

    /// A place to follow settlement, among those of the identity; `None` when it has them all.
    pub(crate) fn follows_batches(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.inner.history.batches).try_acquire_owned().ok()
    }

    /// Tells the audit log of a command that the history has answered.
    pub(crate) fn note_stored(&self, slots: &[Command], outcome: &Outcome) {
        let Inner { auditor, peer, .. } = &*self.inner;
        auditor.look_at_stored(Door::Https, peer, slots, outcome);
    }

    /// Executes one request of the ring: commands, each followed by its data slots.
    /// `history_checked` is the settled sequence at which the history was asked, 0 if it was not.
    pub(crate) async fn execute(
        &self,
        slots: &[Command],
        history_checked: u64,
    ) -> Result<Answered, NotAnswered> {
        let fill = |room: &mut Vec<Command>| room.extend_from_slice(slots);
        let bytes = self.send(head_of(slots, 0), history_checked, slots, fill).await?;
        answered(&bytes)
    }

    /// Reads; one request of the ring.
    pub(crate) async fn read(&self, reads: &[Command]) -> Result<Answered, NotAnswered> {
        let fill = |room: &mut Vec<Command>| room.extend_from_slice(reads);
        let bytes = self.send(head_of(reads, flags::READ), 0, reads, fill).await?;
        answered(&bytes)
    }

    /// The same, for an answer without an end: what is read goes into none that it is owed.
    pub(crate) async fn look(&self, reads: &[Command]) -> Result<Answered, NotAnswered> {
        let (head, received) = (head_of(reads, flags::READ), self.now_ns());
        let _room = self.room(reply_units(request::reply_slots(&head, reads), true)).await?;
        let fill = |room: &mut Vec<Command>| room.extend_from_slice(reads);
        answered(&self.dispatch((head, received), 0, reads, fill).await?)
    }

    /// Number of the HTTP request at this gateway.
    pub(crate) const fn number(&self) -> u64 {
        self.number
    }

    /// The answer has no end.
    pub(crate) fn stays(&self) {
        self.inner.activity.stay(self.number);
    }

    /// Sends a request as a client made it, and gives back the body of a reply frame. `first` are
    /// its first slots, as many as are at hand; `fill` puts all of them into an empty vector.
    pub(crate) async fn send(
        &self,
        head: Request,
        history_checked: u64,
        first: &[Command],
        fill: impl FnOnce(&mut Vec<Command>),
    ) -> Result<Vec<u8>, NotAnswered> {
        if head.slots > REQUEST_SLOTS_MAX {
            return Err(StructureError::TooManySlots(head.slots).into());
        }
        let received = self.now_ns();
        let is_read = head.flags & flags::READ != 0;
        let units = reply_units(request::reply_slots(&head, first), is_read);
        let permit = self.room(units).await?;
        if self.inner.activity.owe(self.number, units) {
            permit.forget();
        }
        self.dispatch((head, received), history_checked, first, fill).await
    }

    fn now_ns(&self) -> u64 {
        (self.inner.desk.info.monotonic_ns)()
    }

    /// Has a request that was received then answered; there is room for its reply.
    async fn dispatch(
        &self,
        (head, received): (Request, u64),
        history_checked: u64,
        first: &[Command],
        fill: impl FnOnce(&mut Vec<Command>),
    ) -> Result<Vec<u8>, NotAnswered> {
        let Inner { desk, peer, .. } = &*self.inner;
        let room = request::reply_slots(&head, first);
        if head.flags & flags::READ == 0 {
            self.identify().await?;
        }
        let lease = timeout(CALL_PATIENCE, desk.envelope(room.max(head.slots)));
        let mut lease = lease.await.map_err(|_| NotAnswered::Overloaded)?;
        fill(&mut lease.slots);
        let survey = request::survey(&head, &lease.slots)?;
        lease.commands = survey.commands;
        lease.mark = audit::mark(Door::Https, survey);
        let principal = peer.principal();
        lease.head = Request {
            principal: principal.id,
            role: principal.role.number(),
            history_checked,
            ..head
        };
        lease.stamps.received = received;
        let (route, reply) = desk.routes.add_call();
        let Inner { connection, worker, .. } = *self.inner;
        lease.ticket = Ticket { worker, connection, stream: route.number };
        self.publish(lease).await?;
        let reply = timeout(REPLY_TIMEOUT, reply).await;
        drop(route);
        match reply {
            Ok(Ok(bytes)) => Ok(bytes),
            // Nobody carries replies any more.
            Ok(Err(_)) | Err(_) => Err(NotAnswered::TimedOut),
        }
    }

    /// What was read of the body is in an envelope: it is kept no longer.
    pub(super) fn consumed(&self) {
        self.inner.activity.free(self.number);
    }

    /// The connection has ended: what still runs for it publishes nothing more.
    pub(super) fn close(&self) {
        *self.publisher() = None;
    }

    /// Waits until the connection may be owed a reply of `units` more.
    async fn room(&self, units: usize) -> Result<SemaphorePermit<'_>, NotAnswered> {
        let wanted = u32::try_from(units).unwrap_or(u32::MAX);
        let permit = timeout(CALL_PATIENCE, self.inner.room.acquire_many(wanted)).await;
        let permit = permit.map_err(|_| NotAnswered::TooManyInFlight)?;
        Ok(permit.expect("the semaphore is never closed"))
    }

    /// Makes sure that the engine knows the peer.
    async fn identify(&self) -> Result<(), NotAnswered> {
        let Inner { desk, identified, peer, is_known, worker, .. } = &*self.inner;
        if is_known.load(Ordering::Relaxed) {
            return Ok(());
        }
        let mut publisher = self.publisher().clone().ok_or(NotAnswered::ShuttingDown)?;
        let ensured = identified.ensure(desk, &mut publisher, peer, *worker);
        match timeout(REPLY_TIMEOUT, ensured).await {
            Ok(Ok(())) => is_known.store(true, Ordering::Relaxed),
            Ok(Err(status)) => return Err(NotAnswered::Refused(status)),
            Err(_) => return Err(NotAnswered::Overloaded),
        }
        Ok(())
    }

    async fn publish(&self, mut lease: Lease) -> Result<(), NotAnswered> {
        let desk = &self.inner.desk;
        let mut patience = CALL_PATIENCE;
        loop {
            // The lock is never held while waiting.
            let publishing = match self.publisher().as_mut() {
                Some(publisher) => desk.try_publish(publisher, lease),
                None => return Err(NotAnswered::ShuttingDown),
            };
            let Err(refused) = publishing else {
                return Ok(());
            };
            lease = refused;
            if patience == CALL_PATIENCE {
                add(&desk.metrics.ring_waits, 1);
            }
            patience = patience.checked_sub(RING_PAUSE).ok_or(NotAnswered::Overloaded)?;
            sleep(RING_PAUSE).await;
        }
    }

    fn publisher(&self) -> MutexGuard<'_, Option<Publisher>> {
        self.inner.publisher.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn head_of(slots: &[Command], flags: u16) -> Request {
    let slots = u32::try_from(slots.len()).unwrap_or(u32::MAX);
    Request { slots, flags, ..Request::default() }
}

fn answered(bytes: &[u8]) -> Result<Answered, NotAnswered> {
    let decoded = reply::decode(bytes).expect("the engine encodes replies that can be read");
    match decoded.refused {
        Some(status) => Err(NotAnswered::Refused(status)),
        None => Ok(Answered { decoded }),
    }
}
