//! The replies on their way back to one gateway worker.
//!
//! It never blocks and never fills: it has room for every request that the pool lets out.
//! Invariant: what is pushed before [`ReplyQueue::flush`] is announced to the worker by it.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_queue::ArrayQueue;

use crate::envelope::Envelope;

type Waker = Box<dyn Fn() + Send + Sync>;

/// Replies for one gateway worker.
pub struct ReplyQueue {
    replies: ArrayQueue<Box<Envelope>>,
    unannounced: AtomicBool,
    waker: OnceLock<Waker>,
}

impl fmt::Debug for ReplyQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplyQueue")
            .field("len", &self.replies.len())
            .field("capacity", &self.replies.capacity())
            .finish_non_exhaustive()
    }
}

impl ReplyQueue {
    /// A queue with room for `requests_max` replies: as many as the pool lets out.
    ///
    /// # Panics
    ///
    /// When `requests_max` is 0.
    #[must_use]
    pub fn new(requests_max: usize) -> Self {
        Self {
            replies: ArrayQueue::new(requests_max),
            unannounced: AtomicBool::new(false),
            waker: OnceLock::new(),
        }
    }

    /// Sets how the worker is woken; only the first call counts.
    pub fn set_waker(&self, waker: impl Fn() + Send + Sync + 'static) {
        // A second waker would belong to a worker that shares the queue, which nobody builds.
        let _ = self.waker.set(Box::new(waker));
    }

    /// Adds a reply; the worker hears of it at the next flush.
    ///
    /// # Panics
    ///
    /// When more replies wait than requests can be in flight.
    pub fn push(&self, reply: Box<Envelope>) {
        self.replies.push(reply).expect("a reply queue has room for every request in flight");
        self.unannounced.store(true, Ordering::Release);
    }

    /// Wakes the worker if anything was pushed since the last flush.
    pub fn flush(&self) {
        if self.unannounced.swap(false, Ordering::AcqRel)
            && let Some(waker) = self.waker.get()
        {
            waker();
        }
    }

    /// The next reply.
    pub fn pop(&self) -> Option<Box<Envelope>> {
        self.replies.pop()
    }

    /// Replies that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.replies.len()
    }

    /// Whether no reply waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.replies.is_empty()
    }
}
