//! An open-addressing index from hashes to row numbers, in entries of 4 bytes.
//!
//! It does not know the rows: whoever asks compares the keys, and tells the hash of a row again
//! when its entry moves. It never stops to rehash: while it grows, each insertion moves a few
//! entries of the old table, and both are searched; a large table is zeroed little by little before
//! it is needed.
//! The invariant: an inserted number is found under its hash until it is removed.
//!
//! An entry of a table of 2^b slots is, from the top: 31 - b bits of the hash, other ones than the
//! b that name the slot where a search begins; 1 bit that says it is taken; b bits of number.
//! Numbers are below the most rows that there have been at once, and so below 2^b.

use alloc::vec;
use alloc::vec::Vec;

use prefetch_index::prefetch_index;

use crate::limits::{MOVED_PER_INSERT, PREPARED_TABLE_BITS, ZEROED_PER_INSERT};

/// Not empty, so that searches go on, and not taken.
const REMOVED: u32 = 1;
const SMALLEST_BITS: u32 = 4;
/// Three quarters of this many are the 2^30 rows that a table may have, and more.
const LARGEST_BITS: u32 = 31;

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Index {
    table: Table,
    old: Option<Table>,
    /// Slots of the old table already moved.
    moved: usize,
    /// Slots of the next larger table as far as they are zeroed.
    next: Vec<u32>,
    len: usize,
    /// Below so many numbers an insertion has nothing else to do; 0 while it grows.
    calm: usize,
}

/// Where a search ended that found nothing: an empty slot, until something is inserted or removed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot(usize);

impl Slot {
    /// One that every table has.
    pub(crate) const FIRST: Self = Self(0);
}

#[derive(Clone, Debug)]
struct Table {
    entries: Vec<u32>,
    bits: u32,
    /// Lower bits of a hash, which name no slot.
    shift: u32,
    /// The bit that says that a slot is taken.
    taken: u32,
}

impl Table {
    fn new(bits: u32) -> Self {
        Self::of(vec![0; 1 << bits], bits)
    }

    fn of(entries: Vec<u32>, bits: u32) -> Self {
        assert!(bits <= LARGEST_BITS, "tables have at most 2^30 rows");
        Self { entries, bits, shift: u64::BITS - bits, taken: 1 << bits }
    }

    /// Numbers for which there is room.
    const fn capacity(&self) -> usize {
        self.entries.len() / 4 * 3
    }

    /// Numbers up to which nothing has to be prepared.
    const fn calm(&self) -> usize {
        if self.bits >= PREPARED_TABLE_BITS { self.entries.len() / 8 * 5 } else { self.capacity() }
    }

    /// Where the search for a hash begins.
    #[inline]
    const fn home(&self, hash: u64) -> usize {
        hash.wrapping_shr(self.shift) as usize
    }

    /// A taken slot, but for its number.
    #[inline]
    const fn mark(&self, hash: u64) -> u32 {
        let upper = (hash >> u32::BITS) as u32;
        upper.wrapping_mul(self.taken.wrapping_mul(2)) | self.taken
    }

    const fn number(&self, entry: u32) -> u32 {
        entry & (self.taken - 1)
    }

    /// The slot and number under `hash` that `is` accepts, or the empty slot that ends the search.
    #[inline(always)]
    fn find(&self, hash: u64, mut is: impl FnMut(u32) -> bool) -> Result<(usize, u32), Slot> {
        let mask = self.entries.len() - 1;
        let mut at = self.home(hash);
        let mark = self.mark(hash);
        loop {
            let slot = at & mask;
            let entry = self.entries[slot];
            if entry == 0 {
                return Err(Slot(slot));
            }
            // What differs, if anything, is the number.
            let number = entry ^ mark;
            if number < self.taken && is(number) {
                return Ok((slot, number));
            }
            at = slot.wrapping_add(1);
        }
    }

    /// A taken slot.
    #[inline]
    fn entry(&self, hash: u64, number: u32) -> u32 {
        assert!(number < self.taken, "numbers are below the rows there have been at once");
        self.mark(hash) | number
    }

    fn put(&mut self, hash: u64, number: u32) {
        let mask = self.entries.len() - 1;
        let mut at = self.home(hash);
        while self.entries[at & mask] != 0 {
            at += 1;
        }
        self.entries[at & mask] = self.entry(hash, number);
    }

    /// Empties a slot and moves back what had to go past it.
    fn remove(&mut self, slot: usize, hash_of: impl Fn(u32) -> u64) {
        let mask = self.entries.len() - 1;
        let mut hole = slot;
        let mut at = slot;
        loop {
            at = (at + 1) & mask;
            let entry = self.entries[at];
            if entry == 0 {
                break;
            }
            let home = self.home(hash_of(self.number(entry)));
            let from_home = at.wrapping_sub(home) & mask;
            let from_hole = at.wrapping_sub(hole) & mask;
            if from_home >= from_hole {
                self.entries[hole] = entry;
                hole = at;
            }
        }
        self.entries[hole] = 0;
    }
}

impl Default for Index {
    fn default() -> Self {
        Self::with_capacity(0)
    }
}

impl Index {
    /// With room for `rows` numbers before it grows.
    pub(crate) fn with_capacity(rows: usize) -> Self {
        let slots = (rows + rows.div_ceil(3)).next_power_of_two();
        let table = Table::new(slots.trailing_zeros().max(SMALLEST_BITS));
        let calm = table.calm();
        Self { table, old: None, moved: 0, next: Vec::new(), len: 0, calm }
    }

    /// Numbers before it grows.
    pub(crate) const fn capacity(&self) -> usize {
        self.table.capacity()
    }

    /// Empties it and keeps its size.
    pub(crate) fn clear(&mut self) {
        self.table.entries.fill(0);
        self.old = None;
        self.next = Vec::new();
        self.len = 0;
        self.calm = self.table.calm();
    }

    /// Calls the entry where a search would begin into the cache.
    #[inline]
    pub(crate) fn prefetch(&self, hash: u64) {
        prefetch_index(&self.table.entries, self.table.home(hash));
    }

    /// The first number under `hash`, if any, without comparing keys.
    #[inline]
    pub(crate) fn candidate(&self, hash: u64) -> Option<u32> {
        self.table.find(hash, |_| true).ok().map(|(_, number)| number)
    }

    /// The number under `hash` that `is` accepts.
    #[inline]
    pub(crate) fn find(&self, hash: u64, is: impl FnMut(u32) -> bool) -> Option<u32> {
        self.search(hash, is).ok()
    }

    /// As [`Self::find`], or where the number may be put instead.
    #[inline(always)]
    pub(crate) fn search(&self, hash: u64, mut is: impl FnMut(u32) -> bool) -> Result<u32, Slot> {
        match self.table.find(hash, &mut is) {
            Ok((_, number)) => Ok(number),
            Err(slot) if self.old.is_none() => Err(slot),
            Err(slot) => self.search_old(hash, is).ok_or(slot),
        }
    }

    #[inline(never)]
    fn search_old(&self, hash: u64, is: impl FnMut(u32) -> bool) -> Option<u32> {
        let old = self.old.as_ref()?;
        old.find(hash, is).ok().map(|(_, number)| number)
    }

    /// Adds `number` under `hash`; `hash_of` tells under which hash a number was added before.
    pub(crate) fn insert(&mut self, hash: u64, number: u32, hash_of: impl Fn(u32) -> u64) {
        self.insert_calling(hash, number, hash_of, |_| ());
    }

    /// As [`Self::insert`]; `call` calls into the cache what tells the hash of a number that will
    /// be asked for at the next insertion.
    pub(crate) fn insert_calling(
        &mut self,
        hash: u64,
        number: u32,
        hash_of: impl Fn(u32) -> u64,
        call: impl Fn(u32),
    ) {
        if self.len >= self.calm {
            self.grow_some(hash_of, call);
        }
        self.table.put(hash, number);
        self.len += 1;
    }

    /// As [`Self::insert`], at the slot where a search for `hash` has just ended.
    #[inline]
    pub(crate) fn insert_at(
        &mut self,
        slot: Slot,
        hash: u64,
        number: u32,
        hash_of: impl Fn(u32) -> u64,
    ) {
        if self.len >= self.calm {
            return self.insert(hash, number, hash_of);
        }
        let entry = self.table.entry(hash, number);
        let place = &mut self.table.entries[slot.0];
        assert!(*place == 0, "nothing was inserted since the search");
        *place = entry;
        self.len += 1;
    }

    /// What an insertion does for those to come.
    #[inline(never)]
    fn grow_some(&mut self, hash_of: impl Fn(u32) -> u64, call: impl Fn(u32)) {
        if self.old.is_none() {
            self.prepare_to_grow();
        }
        self.move_some(hash_of, call);
    }

    /// In the last eighth before the table is full: zeroes some of the next, and begins with it
    /// when it is time.
    fn prepare_to_grow(&mut self) {
        let slots = self.table.entries.len() * 2;
        if self.table.bits >= PREPARED_TABLE_BITS {
            if self.next.capacity() < slots {
                self.next = Vec::with_capacity(slots);
            }
            self.next.resize(slots.min(self.next.len() + ZEROED_PER_INSERT), 0);
        }
        if self.len >= self.table.capacity() {
            let bits = self.table.bits + 1;
            let larger = if self.next.len() == slots {
                Table::of(core::mem::take(&mut self.next), bits)
            } else {
                Table::new(bits)
            };
            self.old = Some(core::mem::replace(&mut self.table, larger));
            (self.moved, self.calm) = (0, 0);
        }
    }

    /// Goes on growing, if it does, as so many insertions would: it is not left half way when no
    /// more come, with what was not moved found by a second search.
    pub(crate) fn go_on(
        &mut self,
        insertions: usize,
        hash_of: impl Fn(u32) -> u64,
        call: impl Fn(u32),
    ) {
        for _ in 0..insertions {
            if self.old.is_none() {
                return;
            }
            self.move_some(&hash_of, &call);
        }
    }

    fn move_some(&mut self, hash_of: impl Fn(u32) -> u64, call: impl Fn(u32)) {
        let Some(old) = &self.old else { return };
        let end = (self.moved + MOVED_PER_INSERT).min(old.entries.len());
        let mut movers = [None; MOVED_PER_INSERT];
        // First all hashes, so that what tells them is waited for at the same time.
        for (mover, &entry) in movers.iter_mut().zip(&old.entries[self.moved..end]) {
            if entry & old.taken != 0 {
                let number = old.number(entry);
                *mover = Some((hash_of(number), number));
            }
        }
        for (hash, number) in movers.into_iter().flatten() {
            self.table.put(hash, number);
        }
        for &entry in old.entries[end..].iter().take(MOVED_PER_INSERT) {
            if entry & old.taken != 0 {
                call(old.number(entry));
            }
        }
        self.moved = end;
        if end == old.entries.len() {
            self.old = None;
            self.calm = self.table.calm();
        }
    }

    /// Removes `number` from under `hash`; `hash_of` as in [`Self::insert`].
    pub(crate) fn remove(&mut self, hash: u64, number: u32, hash_of: impl Fn(u32) -> u64) {
        let mut found = false;
        if let Ok((slot, _)) = self.table.find(hash, |other| other == number) {
            self.table.remove(slot, hash_of);
            found = true;
        }
        // What has been moved is still in the old table, where a search would find it.
        if let Some(old) = &mut self.old
            && let Ok((slot, _)) = old.find(hash, |other| other == number)
        {
            old.entries[slot] = REMOVED;
            found = true;
        }
        assert!(found, "only what is in the index is removed from it");
        self.len -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;

    const fn spread(number: u32) -> u64 {
        (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    #[test]
    fn a_large_table_is_zeroed_before_it_is_needed() {
        let mut index = Index::with_capacity(1 << PREPARED_TABLE_BITS);
        let mut growths = 0;
        for number in 0..20_000_u32 {
            let slots = index.table.entries.len();
            let was_ready = index.next.len() >= slots * 2 - ZEROED_PER_INSERT;
            index.insert(spread(number), number, spread);
            if index.table.entries.len() > slots {
                assert!(was_ready, "{slots} slots");
                growths += 1;
            }
        }
        assert!(growths >= 5, "{growths}");
    }

    #[test]
    fn growth_ends_without_further_insertions() {
        let mut index = Index::with_capacity(1_000);
        let mut count = 0;
        while index.old.is_none() {
            index.insert(spread(count), count, spread);
            count += 1;
        }
        let slots = index.table.entries.len();
        index.go_on(slots / 2 / MOVED_PER_INSERT, spread, |_| ());
        assert!(index.old.is_none() && index.calm == index.table.calm());
        index.go_on(1, spread, |_| ());
        for number in 0..count {
            assert_eq!(index.find(spread(number), |other| other == number), Some(number));
        }
    }

    #[test]
    fn it_agrees_with_a_map_while_it_grows_and_shrinks() {
        let mut index = Index::default();
        let mut map = BTreeMap::new();
        let mut free = Vec::new();
        let mut random = 1_u64;
        for step in 0..20_000_u32 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            // Few hashes, so that many share one home and one tag.
            let hash = ((random >> 33) % 997).wrapping_mul(0x0123_4567_89ab_cdef);
            if random.is_multiple_of(3) {
                if let Some((&number, &hash)) = map.iter().nth((random >> 40) as usize % 50) {
                    index.remove(hash, number, |number| map[&number]);
                    map.remove(&number);
                    free.push(number);
                }
            } else {
                let number = free.pop().unwrap_or_else(|| u32::try_from(map.len()).unwrap());
                if random.is_multiple_of(2) {
                    index.insert(hash, number, |number| map[&number]);
                } else {
                    let slot = index.search(hash, |other| other == number).unwrap_err();
                    index.insert_at(slot, hash, number, |number| map[&number]);
                }
                map.insert(number, hash);
            }
            let probe = step / 4;
            let hash = map.get(&probe).copied().unwrap_or(hash);
            let found = index.find(hash, |number| number == probe);
            assert_eq!(found, map.get(&probe).map(|_| probe), "step {step}");
        }
        assert!(map.len() > 5_000);
        for (&number, &hash) in &map {
            assert_eq!(index.find(hash, |other| other == number), Some(number));
        }
    }
}
