//! What a journal promises, one module per promise.
//!
//! Refuses real time and, but for `disk`, real files. Invariant: every test names what would be
//! lost if it failed.
#![expect(clippy::unwrap_used, reason = "helpers of tests, outside of #[test] functions")]

mod base;
mod crash;
mod disk;
mod faults;
mod kit;
mod misdirected;
mod reading;
mod retention;
mod rot;
mod scrub;
mod tamper;
