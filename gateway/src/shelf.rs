//! Buffers in which long requests are put together while they arrive.
//!
//! Bytes are copied into the slots that the ring will read while they are still in the cache, and
//! what brought them is free at once; a whole request then changes places with the empty slots of
//! an envelope. Half a request so holds a buffer of these and no envelope. There are only a few:
//! who finds none keeps the pieces as they came, which costs time and nobody else's room.
//! Invariant: no more than the named number of buffers is out or kept.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use protocol::Command;
use protocol::limits::REQUEST_SLOTS_MAX;

use crate::limits::SHELF_BUFFERS_MAX;

/// The buffers of one gateway.
#[derive(Debug, Default)]
pub struct Shelf(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    kept: Vec<Vec<Command>>,
    lent: usize,
}

/// A buffer with room for the longest request; dropped, it goes back.
#[derive(Debug)]
pub(crate) struct Lent {
    pub(crate) slots: Vec<Command>,
    shelf: Arc<Shelf>,
}

impl Shelf {
    /// An empty buffer, if there is one.
    pub(crate) fn take(self: &Arc<Self>) -> Option<Lent> {
        let mut state = self.state();
        if state.lent >= SHELF_BUFFERS_MAX {
            return None;
        }
        state.lent += 1;
        let kept = state.kept.pop();
        drop(state);
        let slots = kept.unwrap_or_else(|| Vec::with_capacity(REQUEST_SLOTS_MAX as usize));
        Some(Lent { slots, shelf: Arc::clone(self) })
    }

    /// Buffers that are out, and those that wait.
    #[cfg(test)]
    fn count(&self) -> (usize, usize) {
        let state = self.state();
        (state.lent, state.kept.len())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lent {
    /// Hands the slots over for the empty ones of an envelope, which go back in their place; copies
    /// them if the envelope's are of another size.
    pub(crate) fn hand_over(mut self, slots: &mut Vec<Command>) {
        slots.clear();
        if slots.capacity() == self.slots.capacity() {
            std::mem::swap(slots, &mut self.slots);
        } else {
            slots.extend_from_slice(&self.slots);
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut slots = std::mem::take(&mut self.slots);
        slots.clear();
        let mut state = self.shelf.state();
        state.lent -= 1;
        state.kept.push(slots);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::CommandId;

    fn pay(number: u128) -> Command {
        Command::transfer(CommandId(number), 10, 20, 1, 5)
    }

    #[test]
    fn there_are_only_so_many_and_they_come_back() {
        let shelf = Arc::new(Shelf::default());
        let all: Vec<_> = std::iter::from_fn(|| shelf.take()).collect();
        assert_eq!(all.len(), SHELF_BUFFERS_MAX);
        assert_eq!(shelf.count(), (SHELF_BUFFERS_MAX, 0));
        drop(all);
        assert_eq!(shelf.count(), (0, SHELF_BUFFERS_MAX));
        let mut one = shelf.take().unwrap();
        one.slots.push(pay(1));
        drop(one);
        assert!(shelf.take().unwrap().slots.is_empty());
    }

    #[test]
    fn slots_change_places_with_those_of_a_full_sized_envelope() {
        let shelf = Arc::new(Shelf::default());
        let mut lent = shelf.take().unwrap();
        lent.slots.extend([pay(1), pay(2)]);
        let address = lent.slots.as_ptr();
        let mut slots = Vec::with_capacity(REQUEST_SLOTS_MAX as usize);
        slots.push(pay(3));
        lent.hand_over(&mut slots);
        assert_eq!((slots.as_ptr(), slots.as_slice()), (address, &[pay(1), pay(2)][..]));
        assert_eq!(shelf.count(), (0, 1));
        let mut lent = shelf.take().unwrap();
        assert_ne!(lent.slots.as_ptr(), address);
        lent.slots.push(pay(4));
        let mut short = Vec::new();
        lent.hand_over(&mut short);
        assert_eq!(short, [pay(4)]);
        assert_eq!(shelf.take().unwrap().slots.capacity(), REQUEST_SLOTS_MAX as usize);
    }
}
