//! The velocity table: how often each ordered pair paid in this window and the one before.
//!
//! Keys are exact: nobody's count is anybody else's. The invariant: an eviction may lower a price,
//! never raise one.
//!
//! A set is three cache lines: 8 keys, 8 windows, 8 counts (current, previous in 32 bits each,
//! which stop at their largest value).

use alloc::vec::Vec;

use prefetch_index::prefetch_index;
use zerocopy::FromZeros;

use crate::limits::PAIR_WAYS;

/// Entries of the pairs that compete. Not aligned by its type: an allocator gives large tables
/// whole pages, and zeroed memory of a larger alignment would be touched at once.
#[derive(Clone, Copy, Debug, FromZeros)]
#[repr(C)]
struct Set {
    /// Debtor + 1 and creditor; 0 of a free slot.
    keys: [u64; PAIR_WAYS],
    windows: [u64; PAIR_WAYS],
    counts: [u64; PAIR_WAYS],
}

/// Whole sets in the smallest page of memory.
const SETS_A_PAGE: usize = 4_096 / size_of::<Set>();

impl Set {
    /// The lowest slot with `key`, or [`PAIR_WAYS`].
    #[inline]
    fn position(&self, key: u64) -> usize {
        // Without branches: where the key is, if anywhere, cannot be foretold.
        let is_there = |slot: usize| u32::from(self.keys[slot] == key) << slot;
        let found = (0..PAIR_WAYS).fold(1 << PAIR_WAYS, |found, slot| found | is_there(slot));
        found.trailing_zeros() as usize
    }
}

/// One entry, as it is saved for an undo.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    set: usize,
    slot: usize,
    key: u64,
    window: u64,
    count: u64,
}

/// A pair looked up.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pair {
    set: usize,
    key: u64,
    /// [`PAIR_WAYS`] of a pair that has none.
    slot: usize,
}

impl Pair {
    const fn is_new(&self) -> bool {
        self.slot >= PAIR_WAYS
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Velocity {
    sets: Vec<Set>,
    window_ms: u64,
    /// Index of the present window.
    window: u64,
    elapsed_ms: u64,
    /// What is left of the present window, in parts of [`WHOLE`], rounded up.
    left: u64,
}

/// A whole window.
const WHOLE: u128 = 1 << 63;

/// What is left of a window, rounded up. A share of less than 2^32 is too large by less than 2^-31
/// with it, while an exact one is whole or at least a `window_ms`th below the next whole number,
/// and no window is longer than a day, 2^27 ms: rounded down, both are the same.
fn left(elapsed_ms: u64, window_ms: u64) -> u64 {
    let left = u128::from(window_ms - elapsed_ms) * WHOLE;
    left.div_ceil(u128::from(window_ms)) as u64
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
        let sets = allocate(sets_bits(capacity));
        Self { sets, window_ms, window: 0, elapsed_ms: 0, left: left(0, window_ms) }
    }

    /// Touches the memory of the sets, at most so many bytes of it, and changes none.
    pub(crate) fn touch(&mut self, bytes_max: usize) {
        let sets = bytes_max / size_of::<Set>();
        for set in self.sets.iter_mut().take(sets).step_by(SETS_A_PAGE) {
            // A store that nobody can leave out.
            set.keys[0] = core::hint::black_box(set.keys[0]);
        }
    }

    /// Time moves on.
    pub(crate) fn advance(&mut self, now_ms: u64) {
        self.window = now_ms / self.window_ms;
        let elapsed_ms = now_ms % self.window_ms;
        if elapsed_ms != self.elapsed_ms {
            self.elapsed_ms = elapsed_ms;
            self.left = left(elapsed_ms, self.window_ms);
        }
    }

    /// Another window empties the table.
    pub(crate) fn set_window(&mut self, window_ms: u64, now_ms: u64) {
        if window_ms != self.window_ms {
            self.sets.fill(Set::new_zeroed());
            self.window_ms = window_ms;
            (self.elapsed_ms, self.left) = (0, left(0, window_ms));
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
                let free = new.position(0);
                assert!(free < PAIR_WAYS, "a set takes its entries from one old set only");
                new.keys[free] = set.keys[slot];
                new.windows[free] = set.windows[slot];
                new.counts[free] = set.counts[slot];
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
        prefetch_index(set.windows.as_slice(), 0);
        prefetch_index(set.counts.as_slice(), 0);
    }

    /// Looks up the pair of two accounts.
    #[inline]
    pub(crate) fn find(&self, hash: u64, debtor: u32, creditor: u32) -> Pair {
        let set = self.place(hash);
        let key = ((u64::from(debtor) + 1) << 32) | u64::from(creditor);
        Pair { set, key, slot: self.sets[set].position(key) }
    }

    /// Earlier payments of the pair in the sliding window.
    #[inline]
    pub(crate) fn estimate(&self, pair: &Pair) -> u64 {
        if pair.is_new() {
            return 0;
        }
        self.estimate_of(self.counts(&self.sets[pair.set], pair.slot % PAIR_WAYS))
    }

    /// Without a division and without branches: eight of them are made for one eviction.
    #[inline]
    const fn estimate_of(&self, (current, previous): (u64, u64)) -> u64 {
        current + (previous as u128 * self.left as u128 / WHOLE) as u64
    }

    /// Counts of the present window and the one before; both less than 2^32.
    #[inline]
    const fn counts(&self, set: &Set, slot: usize) -> (u64, u64) {
        let count = set.counts[slot];
        let (current, previous) = (count >> 32, count & u32::MAX as u64);
        let age = self.window.wrapping_sub(set.windows[slot]);
        let of_now = if age == 0 { current } else { 0 };
        let of_before = if age == 1 { current } else { 0 };
        (of_now, if age == 0 { previous } else { of_before })
    }

    /// Counts one more payment of the pair, which is as it was looked up; tells `note` what was
    /// there before.
    #[inline(always)]
    pub(crate) fn add(&mut self, pair: &Pair, note: impl FnOnce(Entry)) {
        let set = &self.sets[pair.set];
        let (slot, (current, previous)) = if pair.is_new() {
            (self.victim(set), (0, 0))
        } else {
            let slot = pair.slot % PAIR_WAYS;
            (slot, self.counts(set, slot))
        };
        let current = (current + 1).min(u64::from(u32::MAX));
        let set = &mut self.sets[pair.set];
        note(Entry {
            set: pair.set,
            slot,
            key: set.keys[slot],
            window: set.windows[slot],
            count: set.counts[slot],
        });
        set.keys[slot] = pair.key;
        set.windows[slot] = self.window;
        set.counts[slot] = (current << 32) | previous;
    }

    /// The lowest free slot, or the lowest with the smallest estimate.
    #[inline]
    fn victim(&self, set: &Set) -> usize {
        // Free slots come first. Below the rank, less than 2^34, is the slot: the lowest of equals
        // is less.
        let rank = |slot: usize| match set.keys[slot] {
            0 => 0,
            _ => 1 + self.estimate_of(self.counts(set, slot)),
        };
        let ranked = |slot: usize| (rank(slot) * PAIR_WAYS as u64) | slot as u64;
        let least = (0..PAIR_WAYS).fold(u64::MAX, |least, slot| least.min(ranked(slot)));
        least as usize % PAIR_WAYS
    }

    /// Puts back what [`Self::add`] told of.
    pub(crate) fn restore(&mut self, entry: Entry) {
        let set = &mut self.sets[entry.set];
        set.keys[entry.slot] = entry.key;
        set.windows[entry.slot] = entry.window;
        set.counts[entry.slot] = entry.count;
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
        if place / PAIR_WAYS as u64 != pair.set as u64 || !pair.is_new() {
            return Err("it is not in its set, or there twice");
        }
        if window > self.window || count >> 32 == 0 {
            return Err("its count is of the future, or of nothing");
        }
        let (set, slot) = (&mut self.sets[pair.set], (place % PAIR_WAYS as u64) as usize);
        set.keys[slot] = pair.key;
        set.windows[slot] = window;
        set.counts[slot] = count;
        Ok(())
    }

    /// Every entry as set and slot, debtor, creditor, window, count.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, u32, u32, u64, u64)> {
        self.sets.iter().enumerate().flat_map(|(place, set)| {
            (0..PAIR_WAYS).filter(|&slot| set.keys[slot] != 0).map(move |slot| {
                let (debtor, creditor) = accounts_of(set.keys[slot]);
                let place = (place * PAIR_WAYS + slot) as u64;
                (place, debtor, creditor, set.windows[slot], set.counts[slot])
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
        table.touch(usize::MAX);
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
    fn what_gives_way_is_the_same_in_busy_sets_and_in_others() {
        let mut table = Velocity::new(8, 1_000);
        let mut random = 1_u64;
        let mut below = |bound: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) % bound
        };
        for round in 0..20_000_u64 {
            // Window 0, too, in which a free slot looks like an entry of the present.
            let window = round % 2 * 7;
            table.advance(window * 1_000 + 250);
            // One set in two is of a busy frame; one in two of the others has free slots.
            let (is_mixed, has_free) = (round % 4 > 1, round % 8 > 5);
            let mut set = Set::new_zeroed();
            for slot in 0..PAIR_WAYS {
                if has_free && below(4) == 0 {
                    continue;
                }
                set.keys[slot] = slot as u64 + 1;
                set.windows[slot] = if is_mixed { window.saturating_sub(below(3)) } else { window };
                let previous = if is_mixed { below(3) } else { 0 };
                set.counts[slot] = ((1 + below(3)) << 32) | previous;
            }
            let free = (0..PAIR_WAYS).find(|&slot| set.keys[slot] == 0);
            let least = || (0..PAIR_WAYS).min_by_key(|&slot| plainly(&table, &set, slot)).unwrap();
            assert_eq!(table.victim(&set), free.unwrap_or_else(least), "round {round}: {set:?}");
        }
    }

    /// The estimate as it is defined, with a division.
    fn plainly(table: &Velocity, set: &Set, slot: usize) -> u64 {
        let count = set.counts[slot];
        let (current, previous) = match table.window - set.windows[slot] {
            0 => (count >> 32, count & u64::from(u32::MAX)),
            1 => (0, count >> 32),
            _ => (0, 0),
        };
        current + previous * (table.window_ms - table.elapsed_ms) / table.window_ms
    }

    #[test]
    fn a_share_is_that_of_the_division_to_the_unit() {
        let mut random = 7_u64;
        let mut below = |bound: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            ((random >> 32) * bound) >> 32
        };
        let longest = 86_400_000;
        for round in 0..20_000 {
            let window_ms = if round % 4 == 0 { longest } else { 1_000 + below(longest - 1_000) };
            let mut table = Velocity::new(8, window_ms);
            table.advance(5 * window_ms + [0, 1, below(window_ms), window_ms - 1][round % 4]);
            let left = window_ms - table.elapsed_ms;
            let multiple = window_ms * below(1 + (1 << 32) / window_ms);
            for previous in [0, 1, below(1 << 32), multiple, u64::from(u32::MAX)] {
                let share = table.estimate_of((0, previous));
                assert_eq!(share, previous * left / window_ms, "{previous} · {left} / {window_ms}");
            }
        }
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
}
