//! The pool: the bound on memory and on requests in flight, and the buffers that are used again.
//!
//! It never waits and never grows past its limits; nothing free is the answer `None`, and whoever
//! asked hears of the next release. Invariant: the cost of every envelope alive, in flight or
//! kept, is at most `bytes_max`.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use crate::envelope::Envelope;
use crate::limits::{
    LARGE_SLOTS, MEDIUM_SLOTS, PAGE_SLOTS, POOL_BYTES_MAX_DEFAULT, REQUESTS_MAX_DEFAULT,
    SMALL_SLOTS,
};

/// Bytes of an envelope besides its slots, rounded up generously.
const FIXED_COST: usize = 1_024;
/// Bytes that a slot can cost: the slot, its outcome, and its share of the largest reply.
const SLOT_COST: usize = 128 + 18 + REPLY_SLOT_LEN;
/// Bytes of a reply per slot: an answer to a read is the longest.
const REPLY_SLOT_LEN: usize = protocol::answer::ANSWER_SIZE;

/// Size classes of envelopes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Small,
    Medium,
    Page,
    Large,
}

impl Class {
    const ALL: [Self; 4] = [Self::Small, Self::Medium, Self::Page, Self::Large];

    fn for_slots(slots: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|class| slots <= class.slots())
    }

    const fn slots(self) -> u32 {
        match self {
            Self::Small => SMALL_SLOTS,
            Self::Medium => MEDIUM_SLOTS,
            Self::Page => PAGE_SLOTS,
            Self::Large => LARGE_SLOTS,
        }
    }

    const fn cost(self) -> usize {
        FIXED_COST + self.slots() as usize * SLOT_COST
    }

    const fn reply_len_max(self) -> usize {
        protocol::reply::REPLY_SIZE + self.slots() as usize * REPLY_SLOT_LEN
    }
}

/// Limits of a pool.
#[derive(Clone, Copy, Debug)]
pub struct PoolConfig {
    /// Bytes of all envelopes, in flight and kept.
    pub bytes_max: usize,
    /// Requests in flight.
    pub requests_max: usize,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self { bytes_max: POOL_BYTES_MAX_DEFAULT, requests_max: REQUESTS_MAX_DEFAULT }
    }
}

#[derive(Debug, Default)]
struct State {
    #[expect(clippy::vec_box, reason = "envelopes are handed on as boxes, never moved")]
    kept: [Vec<Box<Envelope>>; Class::ALL.len()],
    kept_bytes: usize,
    in_flight_bytes: usize,
    in_flight: usize,
    /// Somebody was refused since the last release.
    refused: bool,
}

type Callback = Arc<dyn Fn() + Send + Sync>;

/// The envelopes of one process.
pub struct Pool {
    config: PoolConfig,
    state: Mutex<State>,
    callbacks: RwLock<Vec<Callback>>,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("config", &self.config)
            .field("in_flight", &self.in_flight())
            .field("free_bytes", &self.free_bytes())
            .finish_non_exhaustive()
    }
}

impl Pool {
    /// An empty pool.
    ///
    /// # Panics
    ///
    /// When the limits leave no room for one request of the largest size.
    #[must_use]
    pub fn new(config: PoolConfig) -> Arc<Self> {
        assert!(
            config.requests_max > 0 && config.bytes_max >= Class::Large.cost(),
            "a pool holds at least one request of the largest size"
        );
        Arc::new(Self { config, state: Mutex::default(), callbacks: RwLock::default() })
    }

    /// Smallest `bytes_max` that a pool accepts.
    #[must_use]
    pub const fn bytes_max_floor() -> usize {
        Class::Large.cost()
    }

    /// An empty envelope with room for `slots`; `None` when the pool is exhausted (the callbacks
    /// run at the next release) or no request may be so long.
    #[must_use]
    pub fn try_acquire(&self, slots: u32) -> Option<Box<Envelope>> {
        let class = Class::for_slots(slots)?;
        let cost = class.cost();
        let mut state = self.state();
        let has_room = state.in_flight < self.config.requests_max
            && state.in_flight_bytes + cost <= self.config.bytes_max;
        if !has_room {
            state.refused = true;
            return None;
        }
        state.in_flight += 1;
        state.in_flight_bytes += cost;
        if let Some(kept) = state.kept[class as usize].pop() {
            state.kept_bytes -= cost;
            return Some(kept);
        }
        state.make_room(self.config.bytes_max);
        drop(state);
        let mut envelope = Envelope::with_slots(class.slots());
        envelope.class = Some(class);
        Some(envelope)
    }

    /// Takes an envelope back, whatever it holds.
    pub fn release(&self, mut envelope: Box<Envelope>) {
        let Some(class) = envelope.class else {
            return;
        };
        envelope.clear();
        if envelope.reply.capacity() > class.reply_len_max() {
            envelope.reply = Vec::new();
        }
        let mut state = self.state();
        assert!(state.in_flight > 0, "only what was acquired is released");
        state.in_flight -= 1;
        state.in_flight_bytes -= class.cost();
        state.kept_bytes += class.cost();
        state.kept[class as usize].push(envelope);
        let was_refused = std::mem::take(&mut state.refused);
        drop(state);
        if was_refused {
            self.announce();
        }
    }

    /// Adds a callback that runs at the first release after a refusal. It must be short.
    pub fn on_release(&self, callback: Box<dyn Fn() + Send + Sync>) {
        self.callbacks.write().unwrap_or_else(PoisonError::into_inner).push(Arc::from(callback));
    }

    /// Bytes that requests in flight leave free.
    #[must_use]
    pub fn free_bytes(&self) -> usize {
        self.config.bytes_max - self.state().in_flight_bytes
    }

    /// Requests in flight.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.state().in_flight
    }

    /// The pool's limits.
    #[must_use]
    pub const fn config(&self) -> PoolConfig {
        self.config
    }

    fn announce(&self) {
        let callbacks = self.callbacks.read().unwrap_or_else(PoisonError::into_inner);
        for callback in callbacks.iter() {
            callback();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Drops kept envelopes, the largest first, until everything alive fits again.
    fn make_room(&mut self, bytes_max: usize) {
        for class in Class::ALL.into_iter().rev() {
            while self.in_flight_bytes + self.kept_bytes > bytes_max
                && self.kept[class as usize].pop().is_some()
            {
                self.kept_bytes -= class.cost();
            }
        }
        assert!(
            self.in_flight_bytes + self.kept_bytes <= bytes_max,
            "the pool stays inside its bytes"
        );
    }
}

#[cfg(test)]
#[path = "pool_test.rs"]
mod tests;
