//! A batch under construction: commands, each with its data slots behind it.
//!
//! Invariant: what it holds fits one request, so a full batch is an answer, not a surprise.

use std::ops::Deref;

use protocol::limits::{DATA_SLOTS_MAX, REQUEST_SLOTS_MAX};
use protocol::{Command, data};

/// Commands for one request; use it again after [`Batch::clear`].
///
/// ```
/// use client::{Batch, Command, CommandId};
/// use protocol::data::TAG_MEMO;
/// let mut batch = Batch::new();
/// let pay = Command::transfer(CommandId::new(1_700_000_000_000, 7), 10, 20, 1, 5);
/// batch.push(pay)?;
/// batch.push_with(pay, &[(TAG_MEMO, b"invoice 12")])?;
/// assert_eq!((batch.commands(), batch.len()), (2, 3));
/// # Ok::<(), client::BatchFull>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Batch {
    slots: Vec<Command>,
    commands: usize,
}

/// The batch, or the data of one command, would not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a request holds 8190 slots and a command 64 slots of data; send this batch first")]
pub struct BatchFull;

impl Batch {
    /// An empty batch with room for a full request.
    #[must_use]
    pub fn new() -> Self {
        Self { slots: Vec::with_capacity(REQUEST_SLOTS_MAX as usize), commands: 0 }
    }

    /// Adds a command without data.
    ///
    /// # Errors
    ///
    /// [`BatchFull`]; the batch is as before.
    pub fn push(&mut self, command: Command) -> Result<(), BatchFull> {
        self.push_with(command, &[])
    }

    /// Adds a command with data entries: a tag of [`protocol::data`] and a value each.
    ///
    /// # Errors
    ///
    /// [`BatchFull`]; the batch is as before.
    pub fn push_with(
        &mut self,
        command: Command,
        entries: &[(u16, &[u8])],
    ) -> Result<(), BatchFull> {
        if entries.iter().any(|(_, value)| u16::try_from(value.len()).is_err()) {
            return Err(BatchFull);
        }
        let slots = data::encode(entries);
        let count = u16::try_from(slots.len()).map_err(|_| BatchFull)?;
        let len = self.slots.len() + 1 + slots.len();
        if count > DATA_SLOTS_MAX || len > REQUEST_SLOTS_MAX as usize {
            return Err(BatchFull);
        }
        self.slots.push(Command { data: count, ..command });
        self.slots.extend_from_slice(&slots);
        self.commands += 1;
        Ok(())
    }

    /// Commands in it, and so outcomes in the reply.
    #[must_use]
    pub const fn commands(&self) -> usize {
        self.commands
    }

    /// Empties it and keeps its room.
    pub fn clear(&mut self) {
        self.slots.clear();
        self.commands = 0;
    }
}

impl Deref for Batch {
    type Target = [Command];

    fn deref(&self) -> &[Command] {
        &self.slots
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::CommandId;

    #[test]
    fn a_full_batch_stays_as_it_is() {
        let pay = Command::transfer(CommandId(1), 2, 3, 1, 4);
        let mut batch = Batch::new();
        for _ in 0..8_188 {
            batch.push(pay).unwrap();
        }
        let memo = [7; 200];
        let entries: [(u16, &[u8]); 1] = [(data::TAG_MEMO, &memo)];
        assert_eq!(batch.push_with(pay, &entries), Err(BatchFull));
        assert_eq!((batch.commands(), batch.len()), (8_188, 8_188));
        batch.clear();
        batch.push_with(pay, &entries).unwrap();
        assert_eq!((batch.commands(), batch.len()), (1, 3));
        let head = protocol::Request::default();
        assert_eq!(protocol::request::check(&head, &batch), Ok(1));
    }
}
