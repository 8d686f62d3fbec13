//! A request that is written where it will be sent from: no slice of commands stands beside it.
//!
//! It knows no data slots and judges no command; what is wrong in structure is refused by the
//! frame. Invariant: the bytes are those of one request with as many slots as were pushed.

use protocol::command::COMMAND_SIZE;
use protocol::frame::{FrameKind, HEAD_SIZE, Head};
use protocol::limits::REQUEST_SLOTS_MAX;
use protocol::request::{REQUEST_SIZE, StructureError};
use protocol::{Command, Request};
use zerocopy::IntoBytes;

use crate::buffers::Lent;

/// Bytes before the first slot.
const BODY_AT: usize = HEAD_SIZE + REQUEST_SIZE;

/// A request under construction, made by [`crate::Client::draft`] and sent by
/// [`crate::Client::submit_draft`]. Its buffer is used again for later requests.
#[derive(Debug)]
pub struct Draft(Lent);

impl Draft {
    pub(crate) fn new(mut lent: Lent) -> Self {
        lent.buffer.clear();
        lent.buffer.resize(BODY_AT, 0);
        Self(lent)
    }

    /// Adds a command that has no data slots.
    pub fn push(&mut self, command: &Command) {
        self.0.buffer.extend_from_slice(command.as_bytes());
    }

    /// Slots so far.
    #[must_use]
    pub const fn slots(&self) -> usize {
        (self.0.buffer.len() - BODY_AT) / COMMAND_SIZE
    }

    /// The bytes to send, as request `number` of the connection.
    pub(crate) fn finish(mut self, number: u64) -> Lent {
        let slots = u32::try_from(self.slots()).unwrap_or(u32::MAX);
        let length = u32::try_from(self.0.buffer.len() - HEAD_SIZE).unwrap_or(u32::MAX);
        let head = Head::new(FrameKind::Request, length);
        let request = Request { request: number, slots, ..Request::default() };
        self.0.buffer[..HEAD_SIZE].copy_from_slice(head.as_bytes());
        self.0.buffer[HEAD_SIZE..BODY_AT].copy_from_slice(request.as_bytes());
        self.0
    }

    pub(crate) fn check(&self) -> Result<(), StructureError> {
        match u32::try_from(self.slots()).unwrap_or(u32::MAX) {
            0 => Err(StructureError::Empty),
            slots if slots > REQUEST_SLOTS_MAX => Err(StructureError::TooManySlots(slots)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use protocol::CommandId;

    use super::*;
    use crate::buffers::Buffers;
    use crate::framing::{encode_request, request_len};

    #[test]
    fn a_draft_is_the_bytes_of_the_same_request() {
        let buffers = Arc::new(Buffers::default());
        let commands = [1, 2, 3].map(|id| Command::transfer(CommandId(id), 10, 20, 1, 5));
        let mut expected = Vec::new();
        let head = Request { request: 9, ..Request::default() };
        encode_request(head, &commands, &mut expected);
        for _ in 0..2 {
            let mut draft = Draft::new(buffers.lend(request_len(3)));
            assert_eq!(draft.check(), Err(StructureError::Empty));
            commands.iter().for_each(|command| draft.push(command));
            assert_eq!((draft.slots(), draft.check()), (3, Ok(())));
            assert_eq!(draft.finish(9).buffer, expected);
        }
    }
}
