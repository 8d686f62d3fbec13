//! What a record of commands holds: heads and slots, one request after the other.
//!
//! It copies each request out, since a record's bytes need not be aligned. It never panics on
//! damaged bytes. Invariant: what it yields has the structure that the engine asserts.

use protocol::request::{Commands, REQUEST_SIZE};
use protocol::{Command, Request};
use zerocopy::{FromBytes, IntoBytes};

/// Why a payload is not a row of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// It ends inside a request.
    #[error("the payload ends inside the request at byte {at}")]
    Short {
        /// Where that request begins.
        at: usize,
    },
    /// A request's slots are not commands with their data.
    #[error("the request at byte {at} has no command structure")]
    Structure {
        /// Where that request begins.
        at: usize,
    },
    /// A request of reads, which is never journaled.
    #[error("the request at byte {at} holds reads, which are never journaled")]
    Read {
        /// Where that request begins.
        at: usize,
    },
}

/// Walks the requests of a payload, reusing one buffer for the slots.
#[derive(Debug, Default)]
pub struct Requests {
    slots: Vec<Command>,
}

impl Requests {
    /// Calls `visit` with each request, its slots and the number of its commands, in order.
    ///
    /// # Errors
    ///
    /// Where the payload is no row of requests; what comes before was visited.
    pub fn walk(
        &mut self,
        payload: &[u8],
        mut visit: impl FnMut(&Request, &[Command], u32),
    ) -> Result<(), PayloadError> {
        let mut at = 0;
        while at < payload.len() {
            let short = PayloadError::Short { at };
            let rest = payload.get(at..).ok_or(short)?;
            let (head, rest) = Request::read_from_prefix(rest).map_err(|_| short)?;
            if head.flags & protocol::request::flags::READ != 0 {
                return Err(PayloadError::Read { at });
            }
            if head.slots == 0 || head.slots > protocol::limits::REQUEST_SLOTS_MAX {
                return Err(PayloadError::Structure { at });
            }
            let len = head.slots as usize * size_of::<Command>();
            let bytes = rest.get(..len).ok_or(short)?;
            self.slots.resize(head.slots as usize, Command::default());
            self.slots.as_mut_slice().as_mut_bytes().copy_from_slice(bytes);
            let commands = count(&self.slots).ok_or(PayloadError::Structure { at })?;
            visit(&head, &self.slots, commands);
            at += REQUEST_SIZE + len;
        }
        Ok(())
    }
}

fn count(slots: &[Command]) -> Option<u32> {
    Commands::new(slots).try_fold(0, |count, entry| entry.ok().map(|_| count + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tick::{tick_command, tick_request};
    use proptest::prelude::*;

    fn payload() -> Vec<u8> {
        let mut bytes = Vec::new();
        for _ in 0..3 {
            bytes.extend_from_slice(tick_request().as_bytes());
            bytes.extend_from_slice(tick_command().as_bytes());
        }
        bytes
    }

    #[test]
    fn requests_read_back_and_a_cut_is_named() {
        let bytes = payload();
        let mut seen = 0;
        let mut requests = Requests::default();
        requests
            .walk(&bytes, |head, slots, commands| {
                assert_eq!((*head, slots, commands), (tick_request(), &[tick_command()][..], 1));
                seen += 1;
            })
            .unwrap();
        assert_eq!(seen, 3);
        let cut = requests.walk(&bytes[..200], |_, _, _| ());
        assert_eq!(cut, Err(PayloadError::Short { at: 192 }));
    }

    proptest! {
        #[test]
        fn hostile_payloads_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = Requests::default().walk(&bytes, |_, _, _| ());
        }

        #[test]
        fn a_flipped_byte_never_panics(at in 0_usize..576, bit in 0_u8..8) {
            let mut bytes = payload();
            bytes[at] ^= 1 << bit;
            let _ = Requests::default().walk(&bytes, |_, _, _| ());
        }
    }
}
