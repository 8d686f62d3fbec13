//! Open holds: a slab, an index by (debtor account, id), and a heap in order of (expiry, sequence).
//!
//! It moves no units. The invariant: slab, index and heap name the same holds.

use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use core::cmp::Reverse;

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

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Holds {
    index: Index,
    /// Holds, each with its place in the heap.
    slab: Chunks<(Hold, usize)>,
    free: Vec<u32>,
    heap: Vec<u32>,
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

    /// One hold.
    pub(crate) fn row(&self, slot: u32) -> &Hold {
        &self.slab.row(slot).0
    }

    /// Changes what is left of a hold.
    pub(crate) fn set_left(&mut self, slot: u32, left: u128) {
        self.slab.row_mut(slot).0.left = left;
    }

    /// Adds a hold.
    pub(crate) fn insert(&mut self, hash: &Hash, hold: Hold) {
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slab.row_mut(slot).0 = hold;
                slot
            }
            None => self.slab.push((hold, 0)),
        };
        let Self { index, slab, .. } = self;
        index.insert(hold.hash(hash), slot, |slot| slab.row(slot).0.hash(hash));
        self.heap.push(slot);
        self.rise(self.heap.len() - 1);
    }

    /// Removes a hold.
    pub(crate) fn remove(&mut self, hash: &Hash, slot: u32) -> Hold {
        let Self { index, slab, .. } = self;
        let (hold, place) = *slab.row(slot);
        index.remove(hold.hash(hash), slot, |slot| slab.row(slot).0.hash(hash));
        self.heap.swap_remove(place);
        if let Some(&moved) = self.heap.get(place) {
            self.slab.row_mut(moved).1 = place;
            self.rise(place);
            self.sink(place);
        }
        self.free.push(slot);
        hold
    }

    /// The hold that ends first.
    pub(crate) fn first(&self) -> Option<(u32, &Hold)> {
        let &slot = self.heap.first()?;
        Some((slot, self.row(slot)))
    }

    /// The `count` holds that end first, in their order: what lies below a place ends later.
    pub(crate) fn soonest(&self, count: usize) -> impl Iterator<Item = &Hold> {
        let mut edge: BinaryHeap<_> =
            self.first().map(|_| Reverse((self.order(0), 0))).into_iter().collect();
        let next = move || {
            let Reverse((_, place)) = edge.pop()?;
            let below = [2 * place + 1, 2 * place + 2].into_iter();
            let below = below.filter(|&child| child < self.heap.len());
            edge.extend(below.map(|child| Reverse((self.order(child), child))));
            Some(self.row(self.heap[place]))
        };
        core::iter::from_fn(next).take(count)
    }

    fn order(&self, place: usize) -> (u64, u64) {
        let hold = self.row(self.heap[place]);
        (hold.expiry_ns, hold.sequence)
    }

    fn swap(&mut self, one: usize, other: usize) {
        self.heap.swap(one, other);
        self.slab.row_mut(self.heap[one]).1 = one;
        self.slab.row_mut(self.heap[other]).1 = other;
    }

    fn rise(&mut self, mut place: usize) {
        self.slab.row_mut(self.heap[place]).1 = place;
        while place > 0 {
            let parent = (place - 1) / 2;
            if self.order(parent) <= self.order(place) {
                break;
            }
            self.swap(parent, place);
            place = parent;
        }
    }

    fn sink(&mut self, mut place: usize) {
        loop {
            let child = 2 * place + 1;
            let least = [child, child + 1]
                .into_iter()
                .filter(|&child| child < self.heap.len())
                .min_by_key(|&child| self.order(child));
            match least {
                Some(child) if self.order(child) < self.order(place) => {
                    self.swap(child, place);
                    place = child;
                }
                _ => break,
            }
        }
    }

    /// Every open hold.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Hold> {
        self.heap.iter().map(|&slot| self.row(slot))
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
            assert_eq!(holds.remove(&hash, slot).id, id);
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
            holds.remove(&hash, slot);
        }
        assert_eq!((holds.len(), holds.soonest(1).count()), (0, 0));
        assert_eq!(ended[..50], soonest);
    }
}
