//! Frames to bytes and back, without a socket.
//!
//! Encodes requests, and cuts what a stream delivers into whole frames. It keeps at most one
//! unfinished frame. Invariant: a head that announces too much is refused before its body is read.

use bytes::{Buf, Bytes, BytesMut};
use protocol::frame::{FrameError, FrameKind, HEAD_SIZE, Head};
use protocol::request::{REQUEST_SIZE, Request};
use protocol::{Command, command::COMMAND_SIZE};
use zerocopy::IntoBytes;

/// Bytes of a request with `slots` in its frame.
pub const fn request_len(slots: usize) -> usize {
    HEAD_SIZE + REQUEST_SIZE + slots * COMMAND_SIZE
}

/// Appends the frame of a request.
///
/// ```
/// use protocol::{Command, CommandId, Request};
/// let pay = Command::transfer(CommandId::new(1_700_000_000_000, 7), 10, 20, 1, 5);
/// let head = Request { request: 1, ..Request::default() };
/// let mut bytes = Vec::new();
/// client::framing::encode_request(head, &[pay], &mut bytes);
/// assert_eq!(bytes.len(), client::framing::request_len(1));
/// ```
pub fn encode_request(mut request: Request, slots: &[Command], out: &mut Vec<u8>) {
    // The callers have checked the structure; a longer request would be refused by its head.
    request.slots = u32::try_from(slots.len()).unwrap_or(u32::MAX);
    let length = request_len(slots.len()) - HEAD_SIZE;
    let head = Head::new(FrameKind::Request, u32::try_from(length).unwrap_or(u32::MAX));
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(request.as_bytes());
    out.extend_from_slice(slots.as_bytes());
}

/// The greeting of a client: a hello without a body.
pub fn encode_hello(out: &mut Vec<u8>) {
    out.extend_from_slice(Head::new(FrameKind::Hello, 0).as_bytes());
}

/// Cuts a stream of bytes into frames.
#[derive(Debug, Default)]
pub struct Frames {
    unread: BytesMut,
}

impl Frames {
    /// Adds what has arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
    }

    /// The body of the next frame; `None` until it is whole.
    ///
    /// # Errors
    ///
    /// When the head is not that of a frame; nothing after it can be read.
    pub fn next_frame(&mut self) -> Result<Option<(FrameKind, Bytes)>, FrameError> {
        let Some(head) = self.unread.first_chunk::<HEAD_SIZE>() else {
            return Ok(None);
        };
        let (kind, length) = Head::parse(head)?;
        if self.unread.len() < HEAD_SIZE + length {
            return Ok(None);
        }
        self.unread.advance(HEAD_SIZE);
        Ok(Some((kind, self.unread.split_to(length).freeze())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::frame::{CloseCode, encode_close};

    #[test]
    fn frames_are_found_wherever_the_bytes_are_cut() {
        let mut bytes = encode_close(CloseCode::Limit, "too many");
        encode_hello(&mut bytes);
        for cut in 0..bytes.len() {
            let mut frames = Frames::default();
            let mut found = Vec::new();
            for part in [&bytes[..cut], &bytes[cut..]] {
                frames.push(part);
                while let Some((kind, body)) = frames.next_frame().unwrap() {
                    found.push((kind, body.len()));
                }
            }
            assert_eq!(found, [(FrameKind::Close, 10), (FrameKind::Hello, 0)]);
        }
    }

    #[test]
    fn a_false_head_is_refused_before_its_body() {
        let mut frames = Frames::default();
        frames.push(Head::new(FrameKind::Reply, u32::MAX).as_bytes());
        assert_eq!(frames.next_frame(), Err(FrameError::Length(u32::MAX)));
    }
}
