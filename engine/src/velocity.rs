//! The velocity table: how often each ordered pair paid in this window and the one before.
//!
//! Keys are exact: nobody's count is anybody else's. The invariant: an eviction, or a count at its
//! largest value, may lower a price, never raise one.
//!
//! A set is two cache lines: 8 keys and 8 [`Tally`]s.

use alloc::vec::Vec;

use prefetch_index::prefetch_index;
use protocol::parameter::Parameter;
use zerocopy::FromZeros;

use crate::limits::{PAIR_SWEEP_BITS, PAIR_WAYS};

/// Entries of the pairs that compete. Not aligned by its type: an allocator gives large tables
/// whole pages, and zeroed memory of a larger alignment would be touched at once.
#[derive(Clone, Copy, Debug, FromZeros)]
#[repr(C)]
struct Set {
    /// Debtor + 1 and creditor; 0 of a free slot.
    keys: [u64; PAIR_WAYS],
    tallies: [Tally; PAIR_WAYS],
}

impl Set {
    /// The lowest slot with `key`.
    #[inline]
    fn position(&self, key: u64) -> Option<usize> {
        // Without branches: where the key is, if anywhere, cannot be foretold.
        let is_there = |slot: usize| u32::from(self.keys[slot] == key) << slot;
        let found = (0..PAIR_WAYS).fold(0, |found, slot| found | is_there(slot));
        (found != 0).then_some(found.trailing_zeros() as usize % PAIR_WAYS)
    }
}

/// Payments of a pair, from the top: the lowest 20 bits of the window they were counted in, 22
/// bits of payments in that window, 22 bits of those in the window before. Counts stop at their
/// largest value, above any at which a price still rises.
#[derive(Clone, Copy, Debug, Default, FromZeros)]
#[repr(transparent)]
struct Tally(u64);

impl Tally {
    const COUNT_BITS: u32 = 22;
    const COUNT_MAX: u64 = (1 << Self::COUNT_BITS) - 1;
    const WINDOW_SHIFT: u32 = 2 * Self::COUNT_BITS;
    const WINDOW_MASK: u64 = (1 << (u64::BITS - Self::WINDOW_SHIFT)) - 1;
    /// Age of the oldest entry that a state may have.
    const AGE_MAX: u64 = Self::WINDOW_MASK / 2;

    #[inline]
    const fn new(window: u64, (current, previous): (u64, u64)) -> Self {
        Self(window << Self::WINDOW_SHIFT | current << Self::COUNT_BITS | previous)
    }

    /// Windows between that of the counts and `window`.
    #[inline]
    const fn age(self, window: u64) -> u64 {
        window.wrapping_sub(self.0 >> Self::WINDOW_SHIFT) & Self::WINDOW_MASK
    }

    /// Payments in the window that it was counted in and the one before.
    #[inline]
    const fn counts(self) -> (u64, u64) {
        (self.0 >> Self::COUNT_BITS & Self::COUNT_MAX, self.0 & Self::COUNT_MAX)
    }

    /// Payments in `window` and the one before.
    #[inline]
    const fn counts_in(self, window: u64) -> (u64, u64) {
        let (current, previous) = self.counts();
        match self.age(window) {
            0 => (current, previous),
            1 => (0, current),
            _ => (0, 0),
        }
    }
}

// No price rises any more at the highest cap that there can be.
const _: () = assert!(Parameter::VelocityCap.bounds().max <= Tally::COUNT_MAX as u128);
// What is old is met again, and kept old, long before its window could be taken for a recent one.
const _: () = assert!(Tally::AGE_MAX + (4 << PAIR_SWEEP_BITS) < Tally::WINDOW_MASK);

/// One entry, as it is saved for an undo.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    set: usize,
    slot: usize,
    key: u64,
    tally: Tally,
}

/// A pair looked up: its set, its key, its slot if it has one, and its earlier payments in the
/// sliding window.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pair {
    set: usize,
    key: u64,
    slot: Option<usize>,
    /// Payments in the present window and in the one before.
    counts: (u64, u64),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Velocity {
    sets: Vec<Set>,
    window_ms: u64,
    /// Index of the present window.
    window: u64,
    elapsed_ms: u64,
}

/// Sets of a table for `capacity` pairs, as a power of two.
const fn sets_bits(capacity: usize) -> u32 {
    capacity.div_ceil(PAIR_WAYS).next_power_of_two().trailing_zeros()
}

/// Sets that are empty; their memory is touched when they are.
fn allocate(sets_bits: u32) -> Vec<Set> {
    Set::new_vec_zeroed(1 << sets_bits).expect("memory for the pairs, as much as the genesis says")
}

impl Velocity {
    /// A table for `capacity` pairs.
    pub(crate) fn new(capacity: usize, window_ms: u64) -> Self {
        Self { sets: allocate(sets_bits(capacity)), window_ms, window: 0, elapsed_ms: 0 }
    }

    /// Time moves on.
    pub(crate) fn advance(&mut self, now_ms: u64) {
        let before = self.window;
        self.window = now_ms / self.window_ms;
        self.elapsed_ms = now_ms % self.window_ms;
        // A table without a time has just been made, or emptied.
        if before != 0 && before != self.window {
            self.sweep(before);
        }
    }

    /// Keeps what was counted before the last window old, in some of the sets, another part with
    /// each window since `before`: after `2^PAIR_SWEEP_BITS` windows all have had their turn. An
    /// old entry stays in its slot, for which slots are free decides who is evicted.
    fn sweep(&mut self, before: u64) {
        let passed = self.window - before;
        let part = (self.sets.len() >> PAIR_SWEEP_BITS).max(1) as u64;
        let count = usize::try_from(passed.saturating_mul(part)).unwrap_or(usize::MAX);
        let first = (before + 1).wrapping_mul(part) as usize;
        let old = Tally::new(self.window.wrapping_sub(2), (1, 0));
        for place in 0..count.min(self.sets.len()) {
            let place = first.wrapping_add(place) & (self.sets.len() - 1);
            let set = &mut self.sets[place];
            for slot in 0..PAIR_WAYS {
                // After more than one window everything is old, whatever its age seems to be.
                let is_old = passed > 1 || set.tallies[slot].age(self.window) > 1;
                if set.keys[slot] != 0 && is_old {
                    set.tallies[slot] = old;
                }
            }
        }
    }

    /// Another window empties the table.
    pub(crate) fn set_window(&mut self, window_ms: u64, now_ms: u64) {
        if window_ms != self.window_ms {
            self.sets.fill(Set::new_zeroed());
            self.window_ms = window_ms;
            self.window = 0;
            self.advance(now_ms);
        }
    }

    /// More sets: each entry goes to the lowest free slot of its new set, in the order of old sets
    /// and slots. `hash_of` gives the hash of a pair by its accounts.
    pub(crate) fn grow(&mut self, capacity: usize, hash_of: impl Fn(u32, u32) -> u64) {
        let bits = sets_bits(capacity);
        if 1 << bits <= self.sets.len() {
            return;
        }
        let old = core::mem::replace(&mut self.sets, allocate(bits));
        for set in &old {
            for slot in (0..PAIR_WAYS).filter(|&slot| set.keys[slot] != 0) {
                let (debtor, creditor) = accounts_of(set.keys[slot]);
                let place = self.place(hash_of(debtor, creditor));
                let new = &mut self.sets[place];
                let free = new.position(0).expect("a set takes its entries from one old set only");
                new.keys[free] = set.keys[slot];
                new.tallies[free] = set.tallies[slot];
            }
        }
    }

    /// The set is named by the lowest bits, so that growing splits sets and never mixes them.
    const fn place(&self, hash: u64) -> usize {
        hash as usize & (self.sets.len() - 1)
    }

    /// Calls what a search for `hash` would read into the cache.
    #[inline]
    pub(crate) fn prefetch(&self, hash: u64) {
        let set = &self.sets[self.place(hash)];
        prefetch_index(set.keys.as_slice(), 0);
        prefetch_index(set.tallies.as_slice(), 0);
    }

    /// Looks up the pair of two accounts.
    #[inline]
    pub(crate) fn find(&self, hash: u64, debtor: u32, creditor: u32) -> Pair {
        let place = self.place(hash);
        let set = &self.sets[place];
        let key = ((u64::from(debtor) + 1) << 32) | u64::from(creditor);
        let slot = set.position(key);
        let counts = slot.map_or((0, 0), |slot| set.tallies[slot].counts_in(self.window));
        Pair { set: place, key, slot, counts }
    }

    /// Earlier payments of the pair in the sliding window.
    #[inline]
    pub(crate) const fn estimate(&self, pair: &Pair) -> u64 {
        self.estimate_of(pair.counts)
    }

    #[inline]
    const fn estimate_of(&self, (current, previous): (u64, u64)) -> u64 {
        if previous == 0 {
            return current;
        }
        current + previous * (self.window_ms - self.elapsed_ms) / self.window_ms
    }

    /// Counts one more payment of the pair, which is as it was looked up; tells `note` what was
    /// there before.
    #[inline]
    pub(crate) fn add(&mut self, pair: &Pair, note: impl FnOnce(Entry)) {
        let slot = pair.slot.unwrap_or_else(|| self.victim(pair.set));
        let set = &mut self.sets[pair.set];
        let before = Entry { set: pair.set, slot, key: set.keys[slot], tally: set.tallies[slot] };
        note(before);
        let (current, previous) = pair.counts;
        set.keys[slot] = pair.key;
        set.tallies[slot] =
            Tally::new(self.window, ((current + 1).min(Tally::COUNT_MAX), previous));
    }

    /// The lowest free slot, or the lowest with the smallest estimate.
    #[inline]
    fn victim(&self, set: usize) -> usize {
        let set = &self.sets[set];
        set.position(0).unwrap_or_else(|| {
            let estimate =
                |&slot: &usize| self.estimate_of(set.tallies[slot].counts_in(self.window));
            (0..PAIR_WAYS).min_by_key(estimate).expect("a set has slots")
        })
    }

    /// Puts back what [`Self::add`] told of.
    pub(crate) fn restore(&mut self, entry: Entry) {
        let set = &mut self.sets[entry.set];
        set.keys[entry.slot] = entry.key;
        set.tallies[entry.slot] = entry.tally;
    }

    /// Puts an entry that is read back where it was, by its set and slot.
    pub(crate) fn put(
        &mut self,
        place: u64,
        hash: u64,
        accounts: [u32; 2],
        window: u64,
        count: u64,
    ) -> Result<(), &'static str> {
        let pair = self.find(hash, accounts[0], accounts[1]);
        if place / PAIR_WAYS as u64 != pair.set as u64 || pair.slot.is_some() {
            return Err("it is not in its set, or there twice");
        }
        let counts @ (current, previous) = (count >> 32, count & u64::from(u32::MAX));
        if window > self.window || current == 0 {
            return Err("its count is of the future, or of nothing");
        }
        if current.max(previous) > Tally::COUNT_MAX || self.window - window > Tally::AGE_MAX {
            return Err("its count is too high or too old");
        }
        let (set, slot) = (&mut self.sets[pair.set], (place % PAIR_WAYS as u64) as usize);
        set.keys[slot] = pair.key;
        set.tallies[slot] = Tally::new(window, counts);
        Ok(())
    }

    /// Every entry as set and slot, debtor, creditor, window, count.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, u32, u32, u64, u64)> {
        self.sets.iter().enumerate().flat_map(move |(place, set)| {
            (0..PAIR_WAYS).filter(|&slot| set.keys[slot] != 0).map(move |slot| {
                let (debtor, creditor) = accounts_of(set.keys[slot]);
                let place = (place * PAIR_WAYS + slot) as u64;
                let tally = set.tallies[slot];
                let (current, previous) = tally.counts();
                let window = self.window - tally.age(self.window);
                (place, debtor, creditor, window, current << 32 | previous)
            })
        })
    }
}

const fn accounts_of(key: u64) -> (u32, u32) {
    ((key >> 32) as u32 - 1, key as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_slide_from_window_to_window() {
        let mut table = Velocity::new(8, 1_000);
        table.advance(10_000);
        for _ in 0..10 {
            let pair = table.find(5, 0, 1);
            table.add(&pair, drop);
        }
        assert_eq!(table.estimate(&table.find(5, 0, 1)), 10);
        assert_eq!(table.estimate(&table.find(5, 1, 0)), 0, "pairs are ordered");
        for (now_ms, estimate) in
            [(10_999, 10), (11_000, 10), (11_250, 7), (11_999, 0), (12_000, 0)]
        {
            table.advance(now_ms);
            assert_eq!(table.estimate(&table.find(5, 0, 1)), estimate, "{now_ms}");
        }
    }

    #[test]
    fn a_full_set_evicts_the_smallest_estimate_and_can_put_it_back() {
        let mut table = Velocity::new(8, 1_000);
        table.advance(10_000);
        for debtor in 0..8 {
            for _ in 0..=(debtor % 4) {
                let pair = table.find(0, debtor, 99);
                table.add(&pair, drop);
            }
        }
        let pair = table.find(0, 50, 99);
        let mut before = None;
        table.add(&pair, |entry| before = Some(entry));
        assert_eq!(table.estimate(&table.find(0, 50, 99)), 1);
        assert_eq!(table.estimate(&table.find(0, 0, 99)), 0, "slot 0 had one, the lowest");
        assert_eq!(table.estimate(&table.find(0, 4, 99)), 1);
        table.restore(before.unwrap());
        assert_eq!(table.estimate(&table.find(0, 0, 99)), 1);
        assert_eq!(table.estimate(&table.find(0, 50, 99)), 0);
    }

    #[test]
    fn growing_keeps_every_count_and_another_window_none() {
        let mut table = Velocity::new(64, 1_000);
        let hash_of = |debtor: u32, _| u64::from(debtor) * 37;
        table.advance(10_000);
        for debtor in 0..40 {
            let pair = table.find(hash_of(debtor, 7), debtor, 7);
            table.add(&pair, drop);
        }
        table.grow(1_000, hash_of);
        for debtor in 0..40 {
            assert_eq!(table.estimate(&table.find(hash_of(debtor, 7), debtor, 7)), 1);
        }
        assert_eq!(table.iter().count(), 40);
        table.set_window(2_000, 10_000);
        assert_eq!(table.iter().count(), 0);
    }

    #[test]
    fn a_full_count_stays_full() {
        let mut table = Velocity::new(8, 1_000);
        table.advance(10_000);
        table.put(0, 0, [0, 1], 10, (Tally::COUNT_MAX - 1) << 32).unwrap();
        for _ in 0..3 {
            let pair = table.find(0, 0, 1);
            table.add(&pair, drop);
        }
        assert_eq!(table.estimate(&table.find(0, 0, 1)), Tally::COUNT_MAX);
        assert!(table.put(1, 0, [1, 2], 10, (Tally::COUNT_MAX + 1) << 32).is_err());
    }

    /// A table in whose window 10 forty pairs paid once.
    fn forty(pairs: usize) -> Velocity {
        let mut table = Velocity::new(pairs, 1_000);
        table.advance(10_000);
        for debtor in 0..40 {
            let pair = table.find(u64::from(debtor) * 7_919, debtor, 7);
            table.add(&pair, drop);
        }
        table
    }

    fn sum(table: &Velocity) -> u64 {
        let estimate = |debtor| table.estimate(&table.find(u64::from(debtor) * 7_919, debtor, 7));
        (0..40).map(estimate).sum()
    }

    #[test]
    fn an_old_count_is_never_taken_for_a_recent_one() {
        const PERIOD: u64 = Tally::WINDOW_MASK + 1;
        for pairs in [64, 1 << (PAIR_SWEEP_BITS + 5)] {
            // Step by step for longer than windows can be told apart, and in leaps.
            for step in [1, 3, PERIOD / 2, PERIOD - 2, PERIOD - 1, PERIOD, PERIOD + 1] {
                let mut table = forty(pairs);
                assert_eq!(sum(&table), 40);
                let mut window = 11;
                table.advance(window * 1_000);
                assert_eq!(sum(&table), 40, "as of the window before");
                while window < PERIOD + 20 {
                    window += step;
                    table.advance(window * 1_000);
                    if window.is_multiple_of(997) || window > PERIOD - 20 {
                        assert_eq!(sum(&table), 0, "{step} {window}");
                    }
                }
                assert_eq!(table.iter().count(), 40, "an old entry keeps its slot");
            }
        }
    }

    #[test]
    fn a_sweep_keeps_what_still_counts() {
        let mut table = Velocity::new(64, 1_000);
        for (debtor, now_ms) in [(0, 10_000), (1, 10_000), (1, 11_000), (2, 11_500)] {
            table.advance(now_ms);
            let pair = table.find(3, debtor, 9);
            table.add(&pair, drop);
        }
        for now_ms in (12_000..21_000).step_by(1_000) {
            table.advance(now_ms);
            let estimates = [0, 1, 2].map(|debtor| table.estimate(&table.find(3, debtor, 9)));
            let expected = if now_ms == 12_000 { [0, 1, 1] } else { [0, 0, 0] };
            assert_eq!(estimates, expected, "{now_ms}");
        }
    }
}
