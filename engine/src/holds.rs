//! Open holds: a slab, an index by (debtor account, id), and a heap in order of (expiry, sequence).
//!
//! It moves no units. The invariant: slab, index and heap name the same holds. What moves entries
//! of index and heap reads no other hold's row for it: those are in no cache.

use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::ops::Range;

use crate::chunks::Chunks;
use crate::hash::Hash;
use crate::index::Index;

/// One open hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hold {
    /// Id of the command that placed it.
    pub(crate) id: u128,
    /// As placed.
    pub(crate) amount: u128,
    /// Not captured yet.
    pub(crate) left: u128,
    /// When it ends, in journal nanoseconds.
    pub(crate) expiry_ns: u64,
    /// Sequence of the command that placed it.
    pub(crate) sequence: u64,
    /// Account held.
    pub(crate) debtor: u32,
    /// Account that may capture.
    pub(crate) creditor: u32,
    /// Rate fixed at placement.
    pub(crate) rate: u32,
    /// Whether a capture may leave the rest held.
    pub(crate) keep: bool,
}

impl Hold {
    const fn hash(&self, hash: &Hash) -> u64 {
        hash.key(self.id, self.debtor)
    }
}

/// Where a hold is found.
#[derive(Clone, Copy, Debug)]
struct Links {
    /// Hash under which the index has it.
    hash: u64,
    /// Place in the heap.
    place: u32,
}

/// An entry of the heap.
#[derive(Clone, Copy, Debug)]
struct Due {
    expiry_ns: u64,
    sequence: u64,
    slot: u32,
}

impl Due {
    /// By expiry, then by sequence; as one number, which is compared without a branch.
    const fn order(&self) -> u128 {
        (self.expiry_ns as u128) << 64 | self.sequence as u128
    }
}

/// Entries of the heap below each: with four, half as many are moved as with two.
const ARITY: u32 = 4;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Holds {
    index: Index,
    slab: Chunks<Hold>,
    /// Of the holds in the slab.
    links: Chunks<Links>,
    free: Vec<u32>,
    /// In chunks, so that none of it is copied as it grows.
    heap: Chunks<Due>,
}

impl Holds {
    /// Open holds.
    pub(crate) const fn len(&self) -> usize {
        self.heap.len()
    }

    /// Slot of the debtor account's hold with `id`.
    pub(crate) fn find(&self, hash: &Hash, debtor: u32, id: u128) -> Option<u32> {
        self.index.find(hash.key(id, debtor), |slot| {
            let hold = self.row(slot);
            hold.id == id && hold.debtor == debtor
        })
    }

    /// Calls the place where a search would begin into the cache.
    #[inline(never)]
    pub(crate) fn prefetch(&self, hash: &Hash, debtor: u32, id: u128) {
        self.index.prefetch(hash.key(id, debtor));
    }

    /// Calls the hold that a search would look at first into the cache.
    pub(crate) fn prefetch_row(&self, hash: &Hash, debtor: u32, id: u128) {
        if let Some(slot) = self.index.candidate(hash.key(id, debtor)) {
            self.slab.prefetch(slot);
            self.links.prefetch(slot);
        }
    }

    /// One hold.
    pub(crate) fn row(&self, slot: u32) -> &Hold {
        self.slab.row(slot)
    }

    /// Changes what is left of a hold.
    pub(crate) fn set_left(&mut self, slot: u32, left: u128) {
        self.slab.row_mut(slot).left = left;
    }

    /// Adds a hold.
    pub(crate) fn insert(&mut self, hash: &Hash, hold: Hold) {
        let Hold { expiry_ns, sequence, .. } = hold;
        let hash = hold.hash(hash);
        // Its place is set when it has risen.
        let linked = Links { hash, place: 0 };
        let slot = match self.free.pop() {
            Some(slot) => {
                *self.slab.row_mut(slot) = hold;
                *self.links.row_mut(slot) = linked;
                slot
            }
            None => {
                self.links.push(linked);
                self.slab.push(hold)
            }
        };
        let Self { index, links, .. } = self;
        index.insert(hash, slot, |slot| links.row(slot).hash);
        let last = self.heap.push(Due { expiry_ns, sequence, slot });
        self.rise(last);
    }

    /// Removes a hold.
    pub(crate) fn remove(&mut self, slot: u32) -> Hold {
        let Self { index, slab, links, .. } = self;
        let (hold, Links { hash, place }) = (*slab.row(slot), *links.row(slot));
        index.remove(hash, slot, |slot| links.row(slot).hash);
        let last = self.heap.pop().expect("each hold has an entry");
        if last.slot != slot {
            self.put(place, last);
            let place = self.rise(place);
            self.sink(place);
        }
        self.free.push(slot);
        hold
    }

    /// The hold that ends first.
    pub(crate) fn first(&self) -> Option<(u32, &Hold)> {
        let slot = self.heap.get(0)?.slot;
        Some((slot, self.row(slot)))
    }

    /// The `count` holds that end first, in their order: what lies below a place ends later.
    pub(crate) fn soonest(&self, count: usize) -> impl Iterator<Item = &Hold> {
        let mut edge: BinaryHeap<_> =
            self.first().map(|_| Reverse((self.order(0), 0))).into_iter().collect();
        let next = move || {
            let Reverse((_, place)) = edge.pop()?;
            edge.extend(self.below(place).map(|child| Reverse((self.order(child), child))));
            Some(self.row(self.heap.row(place).slot))
        };
        core::iter::from_fn(next).take(count)
    }

    fn order(&self, place: u32) -> u128 {
        self.heap.row(place).order()
    }

    /// The places below one.
    fn below(&self, place: u32) -> Range<u32> {
        // There are at most 2^28 holds.
        let first = ARITY * place + 1;
        first..(first + ARITY).min(self.heap.len() as u32).max(first)
    }

    /// Puts an entry of the heap to its place.
    fn put(&mut self, place: u32, due: Due) {
        *self.heap.row_mut(place) = due;
        self.links.row_mut(due.slot).place = place;
    }

    /// Moves an entry up until none above it ends later; returns where it is then.
    fn rise(&mut self, mut place: u32) -> u32 {
        let due = *self.heap.row(place);
        while place > 0 {
            let parent = (place - 1) / ARITY;
            let above = *self.heap.row(parent);
            if above.order() <= due.order() {
                break;
            }
            self.put(place, above);
            place = parent;
        }
        self.put(place, due);
        place
    }

    /// Moves an entry down until none below it ends earlier.
    fn sink(&mut self, mut place: u32) {
        let due = *self.heap.row(place);
        while let Some(child) = self.below(place).min_by_key(|&child| self.order(child))
            && self.order(child) < due.order()
        {
            self.put(place, *self.heap.row(child));
            place = child;
        }
        self.put(place, due);
    }

    /// Every open hold.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Hold> {
        self.heap.iter().map(|due| self.row(due.slot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold(id: u128, expiry_ns: u64) -> Hold {
        Hold {
            id,
            amount: 5,
            left: 5,
            expiry_ns,
            sequence: u64::try_from(id).unwrap(),
            debtor: 3,
            creditor: 4,
            rate: 5_000,
            keep: false,
        }
    }

    #[test]
    fn holds_end_in_order_and_any_may_leave_early() {
        let hash = Hash::new(1);
        let mut holds = Holds::default();
        for id in 0..500_u64 {
            holds.insert(&hash, hold(u128::from(id), id * 7919 % 101));
        }
        for id in (0..500_u128).step_by(3) {
            let slot = holds.find(&hash, 3, id).unwrap();
            assert_eq!(holds.remove(slot).id, id);
        }
        assert_eq!(holds.find(&hash, 3, 0), None);
        assert_eq!(holds.find(&hash, 4, 1), None);
        let soonest: Vec<_> = holds.soonest(50).map(|hold| (hold.expiry_ns, hold.id)).collect();
        assert_eq!((soonest.len(), holds.soonest(9_999).count()), (50, holds.len()));
        let mut last = (0, 0);
        let mut ended = Vec::new();
        while let Some((slot, first)) = holds.first() {
            let order = (first.expiry_ns, first.sequence);
            assert!(order > last || last == (0, 0));
            last = order;
            ended.push((first.expiry_ns, first.id));
            holds.remove(slot);
        }
        assert_eq!((holds.len(), holds.soonest(1).count()), (0, 0));
        assert_eq!(ended[..50], soonest);
    }
}
