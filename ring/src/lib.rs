//! The disruptor ring behind our words: requests, their pool, stages and reply queues.
//!
//! ```text
//!  gateway workers              journal stage            engine stage
//!  Pool::try_acquire ─► Publisher ─► JournalEnd::poll ─► EngineEnd::take ─► ReplyQueue ─► worker
//!        ▲                 (Gate)                  (Gate)                        (waker)     │
//!        └──────────────────────────────── Pool::release ◄──────────────────────────────────┘
//! ```
//!
//! The crate knows neither money nor files, and starts no thread: it hands boxes on and lets
//! threads wait. It never spins on a full ring; full is an answer.
//!
//! # Invariants
//!
//! * A published envelope is seen once by the journal stage, then taken once by the engine stage,
//!   in one order that is the same for both and keeps each publisher's own.
//! * Memory and requests in flight are bounded by the pool; a reply queue that has room for the
//!   pool's requests never fills.
//! * A gate loses no wake-up: whoever publishes before notifying is seen by whoever waits.
#![forbid(unsafe_code)]

mod durations;
mod envelope;
mod gate;
pub mod limits;
mod pool;
mod reply_queue;
#[cfg(not(loom))]
mod stages;
mod sync;
mod watermark;

pub use durations::Durations;
pub use envelope::{Envelope, Place, Stamps, Ticket};
pub use gate::{Gate, Patience};
pub use pool::{Pool, PoolConfig};
pub use reply_queue::ReplyQueue;
#[cfg(not(loom))]
pub use stages::{Config, EngineEnd, JournalEnd, Parts, Polled, Positions, Publisher, build};
pub use watermark::Watermark;
