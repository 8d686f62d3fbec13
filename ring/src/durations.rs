//! How long something took, over and over: a count for each class of durations, whose bounds
//! double, and their sum.
//!
//! It forgets which was which, and reads no clock. Invariant: only one thread at a time adds, any
//! may read, and what is read only rises.

use std::sync::atomic::{AtomicU64, Ordering};

/// A histogram of durations.
#[derive(Debug)]
pub struct Durations {
    first_ns: u64,
    counts: [AtomicU64; Self::CLASSES],
    sum_ns: AtomicU64,
}

impl Default for Durations {
    fn default() -> Self {
        Self::with_first(Self::FIRST_NS)
    }
}

impl Durations {
    /// Classes; the last one has no bound.
    pub const CLASSES: usize = 16;
    /// Bound of the first class in nanoseconds: 62.5 µs. That of the last but one is 1.024 s.
    const FIRST_NS: u64 = 62_500;

    /// With another bound of the first class, more than 0; that of the last but one is 2^14 times
    /// as long.
    #[must_use]
    pub fn with_first(first_ns: u64) -> Self {
        assert!(first_ns > 0, "a class has room");
        Self { first_ns, counts: Default::default(), sum_ns: AtomicU64::new(0) }
    }

    /// Counts one that took `took_ns` nanoseconds; only its one writer may.
    pub fn add(&self, took_ns: u64) {
        let doublings = took_ns.div_ceil(self.first_ns).max(1).next_power_of_two().trailing_zeros();
        let class = (doublings as usize).min(Self::CLASSES - 1);
        raise(&self.counts[class], 1);
        raise(&self.sum_ns, took_ns);
    }

    /// Sum of all of them in nanoseconds.
    #[must_use]
    pub fn sum_ns(&self) -> u64 {
        self.sum_ns.load(Ordering::Relaxed)
    }

    /// Bound of each class in nanoseconds, inclusive (`None`: no bound), and its count.
    pub fn classes(&self) -> impl Iterator<Item = (Option<u64>, u64)> {
        self.counts.iter().enumerate().map(|(class, count)| {
            let is_bounded = class < Self::CLASSES - 1;
            (is_bounded.then(|| self.first_ns << class), count.load(Ordering::Relaxed))
        })
    }
}

/// Adds to a counter that has one writer, without the price of several.
fn raise(counter: &AtomicU64, more: u64) {
    let before = counter.load(Ordering::Relaxed);
    counter.store(before.wrapping_add(more), Ordering::Relaxed);
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_counted_where_it_belongs() {
        let times = Durations::default();
        for took_ns in [0, 62_500, 62_501, 125_000, 1_024_000_000, 1_024_000_001, u64::MAX >> 1] {
            times.add(took_ns);
        }
        let classes: Vec<_> = times.classes().filter(|&(_, count)| count > 0).collect();
        let expected = [(Some(62_500), 2), (Some(125_000), 2), (Some(1_024_000_000), 1), (None, 2)];
        assert_eq!(classes, expected);
        assert_eq!(times.sum_ns(), 250_001 + 2_048_000_001 + (u64::MAX >> 1));
        let long = Durations::with_first(4_000_000);
        long.add(60_000_000_000);
        let found = long.classes().find(|&(_, count)| count > 0);
        assert_eq!(found, Some((Some(4_000_000 << 14), 1)));
    }
}
