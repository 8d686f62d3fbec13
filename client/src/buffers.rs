//! Send buffers that come back when the transport is done with them.
//!
//! A request is written once into a buffer that the transport then keeps until it is acknowledged;
//! afterwards the next request uses it. Invariant: no more than the named limits is kept.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::limits::{BUFFER_BYTES_KEPT, BUFFERS_KEPT};

/// The kept buffers.
#[derive(Debug, Default)]
pub(crate) struct Buffers(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    buffers: Vec<Vec<u8>>,
    bytes: usize,
}

/// A buffer that goes back when dropped.
#[derive(Debug)]
pub(crate) struct Lent {
    pub(crate) buffer: Vec<u8>,
    home: Arc<Buffers>,
}

impl Buffers {
    /// Bytes written by `fill` into a buffer with room for `len`.
    pub(crate) fn write(self: &Arc<Self>, len: usize, fill: impl FnOnce(&mut Vec<u8>)) -> Bytes {
        let mut lent = self.lend(len);
        fill(&mut lent.buffer);
        Bytes::from_owner(lent)
    }

    /// An empty buffer with room for `len`.
    pub(crate) fn lend(self: &Arc<Self>, len: usize) -> Lent {
        Lent { buffer: self.take(len), home: Arc::clone(self) }
    }

    fn take(&self, len: usize) -> Vec<u8> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = kept.buffers.iter().rposition(|buffer| buffer.capacity() >= len);
        let mut buffer = match fits {
            Some(at) => kept.buffers.swap_remove(at),
            None => return Vec::with_capacity(len),
        };
        kept.bytes -= buffer.capacity();
        buffer.clear();
        buffer
    }

    fn keep(&self, buffer: Vec<u8>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = kept.bytes + buffer.capacity();
        if kept.buffers.len() < BUFFERS_KEPT && bytes <= BUFFER_BYTES_KEPT {
            kept.bytes = bytes;
            kept.buffers.push(buffer);
        }
    }
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.home.keep(std::mem::take(&mut self.buffer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_when_its_last_user_is_gone() {
        let buffers = Arc::new(Buffers::default());
        let bytes = buffers.write(1_000, |buffer| buffer.extend_from_slice(b"abc"));
        let address = bytes.as_ptr();
        let tail = bytes.slice(1..);
        drop(bytes);
        let other = buffers.write(1_000, |buffer| buffer.push(1));
        assert_ne!(other.as_ptr(), address, "still in use");
        drop(tail);
        let again = buffers.write(500, |buffer| buffer.push(2));
        assert_eq!(again.as_ptr(), address);
        assert_eq!(&again[..], &[2]);
    }
}
