//! The desk: what all connections share, and the one way from a gateway into the ring.
//!
//! It waits for room instead of dropping: a pool or ring that is full stops whoever reads, and
//! with it, by flow control, whoever sends. Invariant: an envelope is in the ring, or held by
//! whoever fills it, or back in the pool, also when its task is dropped half way.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

use protocol::frame::Hello;
use protocol::limits::REQUEST_SLOTS_MAX;
use ring::{Envelope, Pool, Publisher};
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use crate::config::FrameInfo;
use crate::guests::Guests;
use crate::limits::{POOL_PAUSE, RING_PAUSE};
use crate::metrics::{Metrics, add};
use crate::outbox::ReplyInfo;
use crate::routes::Routes;
use crate::shelf::Shelf;

/// What all connections share.
pub(crate) struct Desk {
    pub(crate) pool: Arc<Pool>,
    pub(crate) routes: Arc<Routes>,
    /// Where long requests are put together.
    pub(crate) shelf: Arc<Shelf>,
    /// Who is connected, or was.
    pub(crate) guests: Arc<Guests>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) info: FrameInfo,
    /// Gone after the shutdown, so that the ring can end.
    publisher: Mutex<Option<Publisher>>,
    released: Arc<Notify>,
    is_closing: watch::Sender<bool>,
}

impl Desk {
    pub(crate) fn new(
        pool: Arc<Pool>,
        publisher: Publisher,
        metrics: Arc<Metrics>,
        info: FrameInfo,
    ) -> Arc<Self> {
        let released = Arc::new(Notify::new());
        let waker = Arc::clone(&released);
        pool.on_release(Box::new(move || waker.notify_waiters()));
        Arc::new(Self {
            pool,
            routes: Arc::default(),
            shelf: Arc::default(),
            guests: Arc::default(),
            metrics,
            info,
            publisher: Mutex::new(Some(publisher)),
            released,
            is_closing: watch::Sender::new(false),
        })
    }

    /// A publisher of one's own; `None` after the shutdown.
    pub(crate) fn publisher(&self) -> Option<Publisher> {
        let publisher = self.publisher.lock();
        publisher.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks whoever tells without an end to end.
    pub(crate) fn begin_close(&self) {
        self.is_closing.send_replace(true);
    }

    /// Waits until it does.
    pub(crate) async fn closing(&self) {
        // It is sent from here, and so not gone.
        let _ = self.is_closing.subscribe().wait_for(|is_closing| *is_closing).await;
    }

    /// Lets the ring end once every connection is gone.
    pub(crate) fn close(&self) {
        let publisher = self.publisher.lock();
        *publisher.unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Waits for an envelope with room for `slots`, at most [`REQUEST_SLOTS_MAX`].
    pub(crate) async fn envelope(&self, slots: u32) -> Lease {
        assert!(slots <= REQUEST_SLOTS_MAX, "a longer request is refused by its head");
        // Mostly there is one, and then nothing need be registered.
        if let Some(envelope) = self.pool.try_acquire(slots) {
            return Lease { envelope: Some(envelope), pool: Arc::clone(&self.pool) };
        }
        let mut has_waited = false;
        loop {
            // Registered before the look, so that no release is missed.
            let mut released = std::pin::pin!(self.released.notified());
            released.as_mut().enable();
            if let Some(envelope) = self.pool.try_acquire(slots) {
                return Lease { envelope: Some(envelope), pool: Arc::clone(&self.pool) };
            }
            if !has_waited {
                add(&self.metrics.pool_waits, 1);
                has_waited = true;
            }
            // The pause is belt and braces: the pool announces every release after a refusal.
            let _ = timeout(POOL_PAUSE, released).await;
        }
    }

    /// Publishes, waiting while the ring is full.
    pub(crate) async fn publish(&self, publisher: &mut Publisher, mut lease: Lease) {
        let mut has_waited = false;
        while let Err(refused) = self.try_publish(publisher, lease) {
            lease = refused;
            if !has_waited {
                add(&self.metrics.ring_waits, 1);
                has_waited = true;
            }
            sleep(RING_PAUSE).await;
        }
    }

    /// Publishes, or gives the lease back when the ring is full.
    pub(crate) fn try_publish(
        &self,
        publisher: &mut Publisher,
        mut lease: Lease,
    ) -> Result<(), Lease> {
        let envelope = lease.envelope.take().expect("a lease holds its envelope until published");
        let commands = envelope.commands as usize;
        match publisher.try_publish(envelope) {
            Ok(()) => {
                add(&self.metrics.requests, 1);
                add(&self.metrics.commands, commands);
                Ok(())
            }
            Err(envelope) => {
                lease.envelope = Some(envelope);
                Err(lease)
            }
        }
    }

    /// What the gateway adds to replies now.
    pub(crate) fn reply_info(&self) -> ReplyInfo {
        ReplyInfo {
            now_ns: (self.info.monotonic_ns)(),
            journal_ns: (self.info.journal_ns)(),
            epoch: (self.info.epoch)(),
        }
    }

    /// The greeting for a principal.
    pub(crate) fn hello(&self, principal: identity::Principal, in_flight_max: u32) -> Hello {
        Hello {
            frame: self.info.frame,
            principal: principal.id,
            timestamp: (self.info.journal_ns)(),
            epoch: (self.info.epoch)(),
            slots_max: REQUEST_SLOTS_MAX,
            in_flight_max,
            role: principal.role.number(),
            reserved: [0; 3],
        }
    }
}

/// An envelope that goes back to the pool unless it is published.
pub(crate) struct Lease {
    envelope: Option<Box<Envelope>>,
    pool: Arc<Pool>,
}

impl Deref for Lease {
    type Target = Envelope;

    fn deref(&self) -> &Envelope {
        self.envelope.as_ref().expect("a lease holds its envelope until it is published")
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut Envelope {
        self.envelope.as_mut().expect("a lease holds its envelope until it is published")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(envelope) = self.envelope.take() {
            self.pool.release(envelope);
        }
    }
}
