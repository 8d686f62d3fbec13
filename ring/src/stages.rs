//! The ring itself: many publishers, then the journal stage, then the engine stage.
//!
//! A slot holds one box behind a mutex that is never contended: the disruptor's cursors say whose
//! turn it is, so the lock only buys the absence of `unsafe`. Nothing here blocks. Invariant: the
//! engine stage sees a slot only after the journal stage has put the box back into it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use disruptor::{
    EventPoller, MultiProducer, MultiProducerBarrier, Polling, Producer, SingleConsumerBarrier,
};

use crate::envelope::Envelope;
use crate::gate::{Gate, Patience};
use crate::limits::{RING_SIZE_DEFAULT, RING_SIZE_MAX, RING_SIZE_MIN};
use crate::sync::{AtomicU64, Ordering};

/// How a ring is built.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Slots: a power of two within [`crate::limits`], more than the pool's requests.
    pub size: usize,
    /// How the stages wait.
    pub patience: Patience,
}

impl Default for Config {
    fn default() -> Self {
        Self { size: RING_SIZE_DEFAULT, patience: Patience::default() }
    }
}

/// One place of the ring.
#[derive(Debug, Default)]
struct Slot {
    /// Journal bytes of the envelope, readable without the lock.
    journal_len: usize,
    envelope: Mutex<Option<Box<Envelope>>>,
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, Option<Box<Envelope>>> {
        self.envelope.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How far the ring's users have come, for figures and the watchdog: requests since the start.
#[derive(Debug, Default)]
pub struct Positions {
    published: AtomicU64,
    journaled: AtomicU64,
    taken: AtomicU64,
}

impl Positions {
    /// Requests published.
    pub fn published(&self) -> u64 {
        self.published.load(Ordering::Relaxed)
    }

    /// Requests that the journal stage has passed on.
    pub fn journaled(&self) -> u64 {
        self.journaled.load(Ordering::Relaxed)
    }

    /// Requests that the engine stage has taken.
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }
}

/// Everything that [`build`] makes.
pub struct Parts {
    /// For the gateway workers, one clone each.
    pub publisher: Publisher,
    /// For the journal stage.
    pub journal: JournalEnd,
    /// For the engine stage.
    pub engine: EngineEnd,
    /// Where the journal stage waits; publishers notify it.
    pub journal_gate: Arc<Gate>,
    /// Where the engine stage waits.
    pub engine_gate: Arc<Gate>,
    /// How far everybody has come.
    pub positions: Arc<Positions>,
    /// How the stages wait.
    pub patience: Patience,
}

/// Builds a ring.
///
/// # Panics
///
/// When the size is no power of two or outside its limits.
#[must_use]
pub fn build(config: Config) -> Parts {
    let Config { size, patience } = config;
    assert!(
        size.is_power_of_two() && (RING_SIZE_MIN..=RING_SIZE_MAX).contains(&size),
        "a ring has a power of two of slots, {RING_SIZE_MIN} to {RING_SIZE_MAX}"
    );
    let builder = disruptor::build_multi_producer(size, Slot::default, disruptor::BusySpin);
    let (first, builder) = builder.new_event_poller();
    let (second, builder) = builder.and_then().new_event_poller();
    let positions = Arc::new(Positions::default());
    let journal_gate = Arc::new(Gate::new(patience));
    Parts {
        publisher: Publisher {
            producer: builder.build(),
            gate: Arc::clone(&journal_gate),
            positions: Arc::clone(&positions),
        },
        journal: JournalEnd {
            poller: first,
            group: Vec::with_capacity(size),
            positions: Arc::clone(&positions),
        },
        engine: EngineEnd { poller: second, positions: Arc::clone(&positions) },
        journal_gate,
        engine_gate: Arc::new(Gate::new(patience)),
        positions,
        patience,
    }
}

/// Puts requests into the ring. The ring ends when the last publisher is dropped.
#[derive(Clone)]
pub struct Publisher {
    producer: MultiProducer<Slot, SingleConsumerBarrier>,
    gate: Arc<Gate>,
    positions: Arc<Positions>,
}

impl Publisher {
    /// Publishes a request and wakes the journal stage; never waits.
    ///
    /// # Errors
    ///
    /// The envelope itself when the ring is full.
    pub fn try_publish(&mut self, envelope: Box<Envelope>) -> Result<(), Box<Envelope>> {
        let journal_len = envelope.journal_len();
        let mut held = Some(envelope);
        // Nothing in the closure can panic: a claimed slot that is never published would stop
        // the ring for good.
        let published = self.producer.try_publish(|slot| {
            slot.journal_len = journal_len;
            *slot.envelope.get_mut().unwrap_or_else(PoisonError::into_inner) = held.take();
        });
        if let Some(refused) = held {
            return Err(refused);
        }
        assert!(published.is_ok(), "only a published envelope is gone");
        self.positions.published.fetch_add(1, Ordering::Relaxed);
        self.gate.notify();
        Ok(())
    }
}

/// What a look into the ring found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polled {
    /// So many envelopes, at least one.
    Taken(usize),
    /// Nothing to take now.
    Empty,
    /// Nothing, now or ever: every publisher is gone and everything was taken.
    Shutdown,
}

/// The ring as the journal stage sees it.
pub struct JournalEnd {
    poller: EventPoller<Slot, MultiProducerBarrier>,
    #[expect(clippy::vec_box, reason = "envelopes are handed on as boxes, never moved")]
    group: Vec<Box<Envelope>>,
    positions: Arc<Positions>,
}

impl JournalEnd {
    /// Whether anything has arrived.
    #[must_use]
    pub fn has_available(&self) -> bool {
        self.poller.has_available()
    }

    /// Hands what has arrived, in order and up to `bytes_max` of journal bytes (but at least one
    /// request), to `handle`, and then passes it on to the engine stage. Notify the engine stage's
    /// gate only after this has returned.
    pub fn poll(&mut self, bytes_max: usize, handle: impl FnOnce(&mut [Box<Envelope>])) -> Polled {
        let count = match self.poller.poll() {
            Err(Polling::NoEvents) => return Polled::Empty,
            Err(Polling::Shutdown) => return Polled::Shutdown,
            Ok(mut guard) => {
                let mut bytes = 0_usize;
                let count = (&mut guard)
                    .take_while(|slot| {
                        bytes += slot.journal_len;
                        bytes <= bytes_max || bytes == slot.journal_len
                    })
                    .count();
                // A dropped guard commits everything that it could reach; this one only looked.
                std::mem::forget(guard);
                count
            }
        };
        let Ok(mut guard) = self.poller.take(count as u64) else {
            return Polled::Empty;
        };
        let Self { group, .. } = self;
        let mut slots = Vec::with_capacity(count);
        for slot in &mut guard {
            let envelope = slot.lock().take();
            group.push(envelope.expect("a published slot holds its envelope"));
            slots.push(slot);
        }
        handle(group);
        for (slot, envelope) in slots.into_iter().zip(group.drain(..)) {
            *slot.lock() = Some(envelope);
        }
        drop(guard);
        let passed = count as u64;
        self.positions.journaled.fetch_add(passed, Ordering::Relaxed);
        Polled::Taken(count)
    }
}

/// The ring as the engine stage sees it.
pub struct EngineEnd {
    poller: EventPoller<Slot, SingleConsumerBarrier>,
    positions: Arc<Positions>,
}

impl EngineEnd {
    /// Whether the journal stage has passed anything on.
    #[must_use]
    pub fn has_available(&self) -> bool {
        self.poller.has_available()
    }

    /// Takes envelopes in order for as long as `is_wanted`, and appends them to `out`. Their slots
    /// are free for publishers when this returns.
    pub fn take_while(
        &mut self,
        out: &mut Vec<Box<Envelope>>,
        mut is_wanted: impl FnMut(&Envelope) -> bool,
    ) -> Polled {
        let count = match self.poller.poll() {
            Err(Polling::NoEvents) => return Polled::Empty,
            Err(Polling::Shutdown) => return Polled::Shutdown,
            Ok(mut guard) => {
                let count = (&mut guard)
                    .take_while(|slot| {
                        let envelope = slot.lock();
                        let envelope = envelope.as_deref();
                        is_wanted(envelope.expect("a journaled slot holds its envelope"))
                    })
                    .count();
                // As above: only looked.
                std::mem::forget(guard);
                count
            }
        };
        if count == 0 {
            return Polled::Empty;
        }
        let Ok(mut guard) = self.poller.take(count as u64) else {
            return Polled::Empty;
        };
        for slot in &mut guard {
            let envelope = slot.lock().take();
            out.push(envelope.expect("a journaled slot holds its envelope"));
        }
        drop(guard);
        self.positions.taken.fetch_add(count as u64, Ordering::Relaxed);
        Polled::Taken(count)
    }
}
