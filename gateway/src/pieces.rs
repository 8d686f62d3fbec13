//! Bytes as they arrived, in pieces, and the slots that are read from them.
//!
//! A request is copied once, from the received pieces into the slots of its envelope; only short
//! pieces are copied together before. Invariant: bytes are read in the order in which they were
//! pushed, and a read that finds too few reads nothing.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use protocol::Command;
use protocol::command::COMMAND_SIZE;
use zerocopy::{FromBytes, FromZeros, IntoBytes};

use crate::limits::COPY_BELOW;

/// Bytes that were received and not read.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    pieces: VecDeque<Bytes>,
    /// Short pieces, copied together; they come after all `pieces`.
    tail: BytesMut,
    unread: usize,
}

impl Pieces {
    /// Adds what has arrived.
    pub(crate) fn push(&mut self, piece: Bytes) {
        self.unread += piece.len();
        if piece.len() < COPY_BELOW {
            self.tail.extend_from_slice(&piece);
            return;
        }
        self.close_tail();
        self.pieces.push_back(piece);
    }

    /// Bytes that were pushed and not read.
    pub(crate) const fn unread(&self) -> usize {
        self.unread
    }

    /// Moves `count` slots, which must have arrived, to `slots`, whose old content is dropped.
    pub(crate) fn take_slots(&mut self, count: usize, slots: &mut Vec<Command>) {
        slots.clear();
        slots.reserve(count);
        self.move_slots(count, slots);
    }

    /// Moves the slots that have arrived whole, at most `count`, behind those in `slots`.
    pub(crate) fn move_arrived(&mut self, count: usize, slots: &mut Vec<Command>) {
        self.move_slots(count.min(self.unread / COMMAND_SIZE), slots);
    }

    fn move_slots(&mut self, count: usize, slots: &mut Vec<Command>) {
        let mut left = count;
        while left > 0 {
            let whole = self.front().chunks_exact(COMMAND_SIZE).take(left);
            let count = whole.len();
            slots.extend(whole.map(|bytes| {
                Command::read_from_bytes(bytes).expect("a command is read from its own size")
            }));
            self.advance(count * COMMAND_SIZE);
            left -= count;
            if left > 0 {
                // The next one lies across pieces.
                let mut command = Command::new_zeroed();
                let is_read = self.read_into(command.as_mut_bytes());
                assert!(is_read, "slots are taken only when all of them have arrived");
                slots.push(command);
                left -= 1;
            }
        }
    }

    /// The next slot, if it has arrived; it stays to be taken.
    pub(crate) fn peek_slot(&self) -> Option<Command> {
        let mut command = Command::new_zeroed();
        let mut rest = command.as_mut_bytes();
        for piece in self.pieces.iter().map(Bytes::as_ref).chain([self.tail.as_ref()]) {
            let count = piece.len().min(rest.len());
            let (filled, after) = rest.split_at_mut(count);
            filled.copy_from_slice(&piece[..count]);
            rest = after;
        }
        rest.is_empty().then_some(command)
    }

    /// Fills `bytes` from what has arrived, or reads nothing.
    pub(crate) fn read_into(&mut self, bytes: &mut [u8]) -> bool {
        if self.unread < bytes.len() {
            return false;
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let front = self.front();
            let count = front.len().min(rest.len());
            let (filled, after) = rest.split_at_mut(count);
            filled.copy_from_slice(&front[..count]);
            self.advance(count);
            rest = after;
        }
        true
    }

    /// The first piece with bytes in it; empty only if nothing is unread.
    fn front(&mut self) -> &[u8] {
        if self.pieces.is_empty() {
            self.close_tail();
        }
        self.pieces.front().map_or(&[], |piece| piece)
    }

    fn advance(&mut self, count: usize) {
        self.unread -= count;
        if let Some(piece) = self.pieces.front_mut() {
            let _ = piece.split_to(count);
            if piece.is_empty() {
                self.pieces.pop_front();
            }
        }
    }

    fn close_tail(&mut self) {
        if !self.tail.is_empty() {
            self.pieces.push_back(self.tail.split().freeze());
        }
    }
}
