//! Ids that rise, do not repeat, and embed the time.
//!
//! The upper 48 bits are Unix milliseconds that never go back; the lower 80 are a counter from a
//! random start that never restarts. Invariant: each id is greater than the one before; two
//! generators collide only if their random ranges overlap in the same millisecond.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use protocol::CommandId;

const TAIL_BITS: u32 = 80;

/// Makes command ids.
///
/// ```
/// let mut ids = client::IdGenerator::with_start(|| 1_700_000_000_000, 41);
/// let first = ids.next_id();
/// assert_eq!((first.unix_ms(), first.0 as u64), (1_700_000_000_000, 42));
/// assert!(ids.next_id() > first);
/// ```
#[derive(Clone, Debug)]
pub struct IdGenerator<C> {
    clock: C,
    last_ms: u64,
    tail: u128,
}

impl<C: FnMut() -> u64> IdGenerator<C> {
    /// From a clock in Unix milliseconds and a random start.
    ///
    /// # Panics
    ///
    /// When the operating system has no randomness.
    pub fn new(clock: C) -> Self {
        Self::with_start(clock, random_start())
    }

    /// From a clock and a given start (79 bits used), for runs that must repeat.
    pub const fn with_start(clock: C, start: u128) -> Self {
        Self {
            clock,
            last_ms: 0,
            // One bit stays free, so that the counter cannot run into the time.
            tail: start & ((1 << (TAIL_BITS - 1)) - 1),
        }
    }

    /// The next id.
    pub fn next_id(&mut self) -> CommandId {
        self.last_ms = self.last_ms.max((self.clock)());
        self.tail += 1;
        CommandId::new(self.last_ms, self.tail)
    }
}

/// Ids by the clock of this machine.
#[must_use]
pub fn system_ids() -> IdGenerator<fn() -> u64> {
    IdGenerator::new(system_ms)
}

/// Ids by the time that a frame named in its hello, for machines whose clock may be off.
pub(crate) fn anchored_ids(frame_ns: u64, at: Instant) -> IdGenerator<impl FnMut() -> u64> {
    let clock = move || {
        let since_ms = u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX);
        (frame_ns / 1_000_000).saturating_add(since_ms)
    };
    IdGenerator::new(clock)
}

fn system_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn random_start() -> u128 {
    let mut bytes = [0; 16];
    rustls::crypto::ring::default_provider()
        .secure_random
        .fill(&mut bytes)
        .expect("the operating system gives random bytes");
    u128::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_rise_even_when_the_clock_goes_back() {
        let mut times = [5_u64, 7, 6, 6, 8].into_iter();
        let mut ids = IdGenerator::with_start(move || times.next().unwrap(), u128::MAX);
        let made: Vec<_> = (0..5).map(|_| ids.next_id()).collect();
        assert!(made.windows(2).all(|pair| pair[0] < pair[1]));
        let times: Vec<_> = made.iter().map(|id| id.unix_ms()).collect();
        assert_eq!(times, [5, 7, 7, 7, 8]);
    }

    #[test]
    fn two_generators_start_apart() {
        assert_ne!(system_ids().next_id(), system_ids().next_id());
    }
}
