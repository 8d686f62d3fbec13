//! A watermark: one number that only rises, written by one thread and read by any.
//!
//! It wakes nobody; a gate does. Invariant: a reader that sees a value sees everything that was
//! done before it was raised.

use crossbeam_utils::CachePadded;

use crate::sync::{AtomicU64, Ordering};

/// A number that only rises.
#[derive(Debug)]
pub struct Watermark(CachePadded<AtomicU64>);

impl Watermark {
    /// Begins at `value`.
    #[must_use]
    pub fn new(value: u64) -> Self {
        Self(CachePadded::new(AtomicU64::new(value)))
    }

    /// The value now.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// Raises it to `value`; only its one writer may.
    pub fn raise(&self, value: u64) {
        assert!(self.0.load(Ordering::Relaxed) <= value, "a watermark only rises");
        self.0.store(value, Ordering::Release);
    }
}
