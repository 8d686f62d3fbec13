//! Every limit of the ring, with its reason.

use std::time::Duration;

/// Fewest slots of a ring: the multi-producer disruptor keeps one bit per slot in whole words.
pub const RING_SIZE_MIN: usize = 64;
/// Most slots of a ring: bounds the records that can be under way, and so what a replay has to
/// remember to check their digests.
pub const RING_SIZE_MAX: usize = 8_192;
/// Slots of a ring unless configured.
pub const RING_SIZE_DEFAULT: usize = 1_024;

/// Requests in flight unless configured: fewer than the default ring has slots, so that the
/// journal stage always finds one for a tick.
pub const REQUESTS_MAX_DEFAULT: usize = 1_000;
/// Bytes of all envelopes unless configured.
pub const POOL_BYTES_MAX_DEFAULT: usize = 256 << 20;

/// Slots of a small envelope: one agent's request.
pub const SMALL_SLOTS: u32 = 16;
/// Slots of a medium envelope.
pub const MEDIUM_SLOTS: u32 = 512;
/// Slots of an envelope for a page of a list, which is promised an answer for each account of the
/// longest page and one more: a large one would be eight times as much.
pub const PAGE_SLOTS: u32 = 1_024;
/// Slots of a large envelope: the most that a request may carry.
pub const LARGE_SLOTS: u32 = protocol::limits::REQUEST_SLOTS_MAX;

/// Longest that a gate sleeps without looking: belt and braces, should a wake-up ever be lost.
pub const GATE_TIMEOUT: Duration = Duration::from_millis(5);
