//! The velocity table: how often each ordered pair paid in this window and the one before.
//!
//! Keys are exact: nobody's count is anybody else's. The invariant: an eviction may lower a price,
//! never raise one.
//!
//! A set is 24 words: 8 keys, 8 windows, 8 counts (current, previous in 32 bits each, which stop
//! at their largest value).

use alloc::vec;
use alloc::vec::Vec;

use crate::limits::PAIR_WAYS;

const SET_WORDS: usize = 3 * PAIR_WAYS;
const LINE_WORDS: usize = 8;
const WINDOW_AT: usize = PAIR_WAYS;
const COUNT_AT: usize = 2 * PAIR_WAYS;

/// One entry, as it is saved for an undo.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    at: usize,
    key: u64,
    window: u64,
    count: u64,
}

/// A pair looked up: its set, its key, and its slot if it has one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair {
    set: usize,
    key: u64,
    slot: Option<usize>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Velocity {
    words: Vec<u64>,
    /// Where the first set begins, so that each fills whole cache lines.
    start: usize,
    sets_bits: u32,
    window_ms: u64,
    /// Index of the present window.
    window: u64,
    elapsed_ms: u64,
}

/// Sets of a table for `capacity` pairs, as a power of two.
const fn sets_bits(capacity: usize) -> u32 {
    capacity.div_ceil(PAIR_WAYS).next_power_of_two().trailing_zeros()
}

/// Words for the sets and a cache line, and where the first set begins.
fn allocate(sets_bits: u32) -> (Vec<u64>, usize) {
    let words = vec![0; (SET_WORDS << sets_bits) + LINE_WORDS];
    let start = words.as_ptr().align_offset(LINE_WORDS * size_of::<u64>());
    // Where that is unknown, any place will do: it is unobservable.
    (words, start % LINE_WORDS)
}

impl Velocity {
    /// A table for `capacity` pairs.
    pub(crate) fn new(capacity: usize, window_ms: u64) -> Self {
        let sets_bits = sets_bits(capacity);
        let (words, start) = allocate(sets_bits);
        Self { words, start, sets_bits, window_ms, window: 0, elapsed_ms: 0 }
    }

    /// Time moves on.
    pub(crate) const fn advance(&mut self, now_ms: u64) {
        self.window = now_ms / self.window_ms;
        self.elapsed_ms = now_ms % self.window_ms;
    }

    /// Another window empties the table.
    pub(crate) fn set_window(&mut self, window_ms: u64, now_ms: u64) {
        if window_ms != self.window_ms {
            self.words.fill(0);
            self.window_ms = window_ms;
            self.advance(now_ms);
        }
    }

    /// More sets: each entry goes to the lowest free slot of its new set, in the order of old sets
    /// and slots. `hash_of` gives the hash of a pair by its accounts.
    pub(crate) fn grow(&mut self, capacity: usize, hash_of: impl Fn(u32, u32) -> u64) {
        let bits = sets_bits(capacity);
        if bits <= self.sets_bits {
            return;
        }
        let (words, start) = allocate(bits);
        let old = core::mem::replace(&mut self.words, words);
        let old_sets = old.get(self.start..).unwrap_or_default();
        (self.start, self.sets_bits) = (start, bits);
        for set in old_sets.chunks_exact(SET_WORDS) {
            for slot in 0..PAIR_WAYS {
                let key = set[slot];
                if key == 0 {
                    continue;
                }
                let (debtor, creditor) = accounts_of(key);
                let base = self.base(hash_of(debtor, creditor));
                let free = self.words[base..base + PAIR_WAYS]
                    .iter()
                    .position(|&key| key == 0)
                    .expect("a set takes its entries from one old set only");
                self.words[base + free] = key;
                self.words[base + WINDOW_AT + free] = set[WINDOW_AT + slot];
                self.words[base + COUNT_AT + free] = set[COUNT_AT + slot];
            }
        }
    }

    /// The set is named by the lowest bits, so that growing splits sets and never mixes them.
    const fn base(&self, hash: u64) -> usize {
        let set = hash & ((1 << self.sets_bits) - 1);
        (set as usize).wrapping_mul(SET_WORDS).wrapping_add(self.start)
    }

    /// Reads what a search for `hash` would read.
    pub(crate) fn peek(&self, hash: u64) -> u64 {
        let base = self.base(hash);
        match self.words.get(base..base + SET_WORDS) {
            Some(set) => set[0] ^ set[WINDOW_AT] ^ set[COUNT_AT],
            None => 0,
        }
    }

    /// Looks up the pair of two accounts.
    #[inline]
    pub(crate) fn find(&self, hash: u64, debtor: u32, creditor: u32) -> Pair {
        let set = self.base(hash);
        let key = ((u64::from(debtor) + 1) << 32) | u64::from(creditor);
        let slot = self.words[set..set + PAIR_WAYS].iter().position(|&other| other == key);
        Pair { set, key, slot }
    }

    /// Earlier payments of the pair in the sliding window.
    #[inline]
    pub(crate) fn estimate(&self, pair: &Pair) -> u64 {
        pair.slot.map_or(0, |slot| self.estimate_at(pair.set + slot))
    }

    fn estimate_at(&self, at: usize) -> u64 {
        let (current, previous) = self.counts(at);
        if previous == 0 {
            return current;
        }
        current + previous * (self.window_ms - self.elapsed_ms) / self.window_ms
    }

    /// Counts of the present window and the one before; both less than 2^32.
    fn counts(&self, at: usize) -> (u64, u64) {
        let window = self.words[at + WINDOW_AT];
        let count = self.words[at + COUNT_AT];
        let (current, previous) = (count >> 32, count & u64::from(u32::MAX));
        if window == self.window {
            (current, previous)
        } else if window + 1 == self.window {
            (0, current)
        } else {
            (0, 0)
        }
    }

    /// Counts one more payment of the pair; returns what was there before.
    pub(crate) fn add(&mut self, pair: &Pair) -> Entry {
        let slot = pair.slot.unwrap_or_else(|| self.victim(pair.set));
        let at = pair.set + slot;
        let before = Entry {
            at,
            key: self.words[at],
            window: self.words[at + WINDOW_AT],
            count: self.words[at + COUNT_AT],
        };
        let (current, previous) = if pair.slot.is_some() { self.counts(at) } else { (0, 0) };
        let current = (current + 1).min(u64::from(u32::MAX));
        self.words[at] = pair.key;
        self.words[at + WINDOW_AT] = self.window;
        self.words[at + COUNT_AT] = (current << 32) | previous;
        before
    }

    /// The lowest free slot, or the lowest with the smallest estimate.
    fn victim(&self, set: usize) -> usize {
        let mut best = (u64::MAX, 0);
        for slot in 0..PAIR_WAYS {
            let at = set + slot;
            if self.words[at] == 0 {
                return slot;
            }
            let estimate = self.estimate_at(at);
            if estimate < best.0 {
                best = (estimate, slot);
            }
        }
        best.1
    }

    /// Puts back what [`Self::add`] returned.
    pub(crate) fn restore(&mut self, entry: Entry) {
        self.words[entry.at] = entry.key;
        self.words[entry.at + WINDOW_AT] = entry.window;
        self.words[entry.at + COUNT_AT] = entry.count;
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
        let set = hash & ((1 << self.sets_bits) - 1);
        if place / PAIR_WAYS as u64 != set || pair.slot.is_some() {
            return Err("it is not in its set, or there twice");
        }
        if window > self.window || count >> 32 == 0 {
            return Err("its count is of the future, or of nothing");
        }
        let at = pair.set + (place % PAIR_WAYS as u64) as usize;
        self.words[at] = pair.key;
        self.words[at + WINDOW_AT] = window;
        self.words[at + COUNT_AT] = count;
        Ok(())
    }

    /// Every entry as set and slot, debtor, creditor, window, count.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, u32, u32, u64, u64)> {
        let sets = self.words.get(self.start..).unwrap_or_default();
        sets.chunks_exact(SET_WORDS).enumerate().flat_map(|(set, words)| {
            (0..PAIR_WAYS).filter(|&slot| words[slot] != 0).map(move |slot| {
                let (debtor, creditor) = accounts_of(words[slot]);
                let place = (set * PAIR_WAYS + slot) as u64;
                let window = words[WINDOW_AT + slot];
                (place, debtor, creditor, window, words[COUNT_AT + slot])
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
            table.add(&pair);
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
                table.add(&pair);
            }
        }
        let pair = table.find(0, 50, 99);
        let before = table.add(&pair);
        assert_eq!(table.estimate(&table.find(0, 50, 99)), 1);
        assert_eq!(table.estimate(&table.find(0, 0, 99)), 0, "slot 0 had one, the lowest");
        assert_eq!(table.estimate(&table.find(0, 4, 99)), 1);
        table.restore(before);
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
            table.add(&pair);
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
