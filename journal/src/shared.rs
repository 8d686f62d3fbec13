//! What the appender, the syncer and the preparer share: watermarks, un-synced stretches and the
//! next segment.
//!
//! Refuses everything after the first failed sync. Invariant: `durable ≤ appended`, both only
//! rise, and `durable` rises only over a stretch whose sync has returned.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::UNSYNCED_SEGMENTS_MAX;
use crate::storage::{Live, SegmentSync};

/// A stretch of a segment that is appended and not yet durable.
pub(crate) struct Stretch {
    pub(crate) segment: u64,
    pub(crate) sync: Arc<dyn SegmentSync>,
    pub(crate) from: u64,
    pub(crate) to: u64,
}

#[derive(Default)]
pub(crate) struct Unsynced {
    pub(crate) stretches: Vec<Stretch>,
    /// Index of the last record in them.
    pub(crate) index: u64,
}

/// The next segment, and the last one on its way to be unmapped off the journal's thread.
#[derive(Default)]
pub(crate) struct Slot {
    pub(crate) ready: Option<(u64, Live)>,
    pub(crate) retired: Option<Live>,
}

pub(crate) struct Shared {
    appended: AtomicU64,
    durable: AtomicU64,
    poisoned: AtomicBool,
    /// Number of the segment being filled.
    live: AtomicU64,
    /// Bytes that it still has.
    room: AtomicU64,
    has_ready: AtomicBool,
    /// The last attempt to prepare a segment found no room.
    is_full: AtomicBool,
    unsynced: Mutex<Unsynced>,
    slot: Mutex<Slot>,
}

impl Shared {
    pub(crate) fn new(durable: u64, (live, room): (u64, u64), ready: Option<(u64, Live)>) -> Self {
        Self {
            appended: AtomicU64::new(durable),
            durable: AtomicU64::new(durable),
            poisoned: AtomicBool::new(false),
            live: AtomicU64::new(live),
            room: AtomicU64::new(room),
            has_ready: AtomicBool::new(ready.is_some()),
            is_full: AtomicBool::new(false),
            unsynced: Mutex::new(Unsynced {
                stretches: Vec::with_capacity(UNSYNCED_SEGMENTS_MAX * 2),
                index: durable,
            }),
            slot: Mutex::new(Slot { ready, retired: None }),
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.is_full.load(Ordering::Acquire)
    }

    pub(crate) fn set_full(&self, is_full: bool) {
        self.is_full.store(is_full, Ordering::Release);
    }

    pub(crate) fn appended(&self) -> u64 {
        self.appended.load(Ordering::Acquire)
    }

    pub(crate) fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    pub(crate) fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Acquire)
    }

    pub(crate) fn poison(&self) {
        self.poisoned.store(true, Ordering::Release);
    }

    pub(crate) fn live(&self) -> u64 {
        self.live.load(Ordering::Acquire)
    }

    pub(crate) fn room(&self) -> u64 {
        self.room.load(Ordering::Relaxed)
    }

    pub(crate) fn set_room(&self, room: u64) {
        self.room.store(room, Ordering::Relaxed);
    }

    pub(crate) fn unsynced(&self) -> MutexGuard<'_, Unsynced> {
        self.unsynced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes an appended record; a neighbour of the last stretch prolongs it.
    pub(crate) fn note_appended(
        &self,
        segment: u64,
        sync: &Arc<dyn SegmentSync>,
        from: u64,
        to: u64,
        index: u64,
    ) {
        let mut unsynced = self.unsynced();
        unsynced.index = index;
        match unsynced.stretches.last_mut() {
            Some(last) if last.segment == segment && last.to == from => last.to = to,
            _ => unsynced.stretches.push(Stretch { segment, sync: Arc::clone(sync), from, to }),
        }
        // Under the lock: the syncer must not see an index that `appended` has not reached.
        self.appended.store(index, Ordering::Release);
    }

    pub(crate) fn note_durable(&self, index: u64) {
        assert!(index <= self.appended(), "only what is appended can be durable");
        let before = self.durable.swap(index, Ordering::AcqRel);
        assert!(before <= index, "the durable watermark only rises");
    }

    /// Whether the next segment is prepared; only the appender can change a `true`.
    pub(crate) fn has_ready(&self) -> bool {
        self.has_ready.load(Ordering::Acquire)
    }

    /// Takes the prepared segment.
    pub(crate) fn take_ready(&self) -> Option<(u64, Live)> {
        let taken = self.slot().ready.take();
        if let Some((number, live)) = &taken {
            // Before the preparer goes by it.
            self.set_room(live.len);
            // In this order: the preparer must not prepare this number again.
            self.live.store(*number, Ordering::Release);
            self.has_ready.store(false, Ordering::Release);
        }
        taken
    }

    pub(crate) fn retire(&self, full: Live) {
        let before = self.slot().retired.replace(full);
        drop(before);
    }

    pub(crate) fn take_retired(&self) -> Option<Live> {
        self.slot().retired.take()
    }

    pub(crate) fn put_ready(&self, number: u64, live: Live) {
        self.slot().ready = Some((number, live));
        self.has_ready.store(true, Ordering::Release);
    }

    pub(crate) fn needs_segment(&self) -> bool {
        !self.has_ready()
            && !self.is_poisoned()
            && self.unsynced().stretches.len() < UNSYNCED_SEGMENTS_MAX
    }
}

/// The journal's progress, readable from any thread.
#[derive(Clone)]
pub struct Watermarks(pub(crate) Arc<Shared>);

impl Watermarks {
    /// Index of the last record appended, durable or not.
    #[must_use]
    pub fn appended(&self) -> u64 {
        self.0.appended()
    }

    /// Index up to which every record is durable.
    #[must_use]
    pub fn durable(&self) -> u64 {
        self.0.durable()
    }

    /// Whether a sync has failed: nothing more will become durable.
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.0.is_poisoned()
    }
}
