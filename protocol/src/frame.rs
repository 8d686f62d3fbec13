//! Frames of the stream: a 16-byte head that says what follows and how long it is.
//!
//! | at | field | type |
//! |---|---|---|
//! | 0 | length | u32, bytes after the head, at most 1 MiB − 16 |
//! | 4 | kind | u16: [`FrameKind`] |
//! | 6 | version | u16: 1 |
//! | 8 | – | 8 × 0 |
//!
//! The first frame on every stream is a hello in each direction: the client's is empty, the
//! frame's is a [`Hello`]. A close carries a [`CloseCode`] and a text; nothing follows it. Kinds
//! from 5 on are those of a feed: [`crate::follow`].

use alloc::vec::Vec;
use core::fmt;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::feed::Followed;
use crate::follow::{EVENTS_MAX, FOLLOW_SIZE, PROGRESS_SIZE};

/// Size of the head.
pub const HEAD_SIZE: usize = 16;
/// Version of the wire format.
pub const VERSION: u16 = 1;
/// Most bytes after a request's head.
pub const BODY_LEN_MAX: usize = (1 << 20) - HEAD_SIZE;
/// Most bytes after a reply's head: rates and an exception for every command, or the answers.
pub const REPLY_LEN_MAX: usize = 64 + 8_192 * 256;
/// Reads in one request, so that its answers fit a reply.
pub const READS_MAX: u32 = 8_190;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
#[non_exhaustive]
pub enum FrameKind {
    /// Greeting.
    Hello = 1,
    /// A request.
    Request = 2,
    /// A reply.
    Reply = 3,
    /// The stream ends, and why.
    Close = 4,
    /// What a client wants to follow.
    Follow = 5,
    /// Events that are followed.
    Events = 6,
    /// How far a feed has come.
    Progress = 7,
    /// Why a client cannot follow, or no longer.
    Unfollowed = 8,
}

/// Head of a frame.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct Head {
    /// Bytes after the head.
    pub length: u32,
    /// Number of the [`FrameKind`].
    pub kind: u16,
    /// [`VERSION`].
    pub version: u16,
    /// Zero.
    pub reserved: u64,
}

const _: () = assert!(size_of::<Head>() == HEAD_SIZE);

/// Why a frame head is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameError {
    /// Another version.
    Version(u16),
    /// No frame of this kind is expected here.
    Kind(u16),
    /// Longer than allowed, or not a whole number of slots.
    Length(u32),
    /// Unused bytes are not zero.
    Reserved,
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => {
                write!(f, "wire version {version} is not spoken here; use {VERSION}")
            }
            Self::Kind(kind) => write!(f, "a frame of kind {kind} is not expected here"),
            Self::Length(length) => {
                write!(f, "a frame of {length} bytes is too long or not a whole request")
            }
            Self::Reserved => f.write_str("unused bytes of the frame head must be zero"),
        }
    }
}

impl core::error::Error for FrameError {}

impl Head {
    /// Of a frame of `kind` with `length` bytes after the head.
    pub const fn new(kind: FrameKind, length: u32) -> Self {
        Self { length, kind: kind as u16, version: VERSION, reserved: 0 }
    }

    /// Reads a head and checks that the frame is of a kind and length that is `expected`.
    ///
    /// # Errors
    ///
    /// What is wrong with it; the stream cannot go on.
    pub fn parse(bytes: &[u8; HEAD_SIZE]) -> Result<(FrameKind, usize), FrameError> {
        let head = zerocopy::transmute!(*bytes);
        let Self { length, kind, version, reserved } = head;
        if version != VERSION {
            return Err(FrameError::Version(version));
        }
        if reserved != 0 {
            return Err(FrameError::Reserved);
        }
        let (kind, longest) = match kind {
            1 => (FrameKind::Hello, size_of::<Hello>()),
            2 => (FrameKind::Request, BODY_LEN_MAX),
            3 => (FrameKind::Reply, REPLY_LEN_MAX),
            4 => (FrameKind::Close, 1_024),
            5 => (FrameKind::Follow, FOLLOW_SIZE),
            6 => (FrameKind::Events, EVENTS_MAX * size_of::<Followed>()),
            7 => (FrameKind::Progress, PROGRESS_SIZE),
            8 => (FrameKind::Unfollowed, PROGRESS_SIZE),
            other => return Err(FrameError::Kind(other)),
        };
        match usize::try_from(length) {
            Ok(length) if length <= longest => Ok((kind, length)),
            _ => Err(FrameError::Length(length)),
        }
    }
}

/// What the frame tells a client first.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct Hello {
    /// Id of the frame.
    pub frame: u128,
    /// Who the client is here.
    pub principal: u128,
    /// Journal time, nanoseconds since the Unix epoch: make ids from it if the clock is off.
    pub timestamp: u64,
    /// Epoch of the leader.
    pub epoch: u64,
    /// Slots a request may carry.
    pub slots_max: u32,
    /// Requests that may be unanswered on this connection.
    pub in_flight_max: u32,
    /// Number of the client's role.
    pub role: u16,
    /// Zero.
    pub reserved: [u16; 3],
}

const _: () = assert!(size_of::<Hello>() == 64);

/// Why a stream or connection ends; also the QUIC application error code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
#[non_exhaustive]
pub enum CloseCode {
    /// The frame shuts down; connect again later.
    ShuttingDown = 1,
    /// The peer broke the framing or sent an unreadable request.
    Protocol = 2,
    /// The identity may not use this door.
    Unauthorised = 3,
    /// Too many connections, streams or requests.
    Limit = 4,
    /// The identity expired or was revoked.
    IdentityEnded = 5,
    /// The frame stopped on an internal error.
    Internal = 6,
    /// Nothing arrived in time.
    Timeout = 7,
}

impl CloseCode {
    /// The code with `number`.
    pub const fn from_number(number: u16) -> Option<Self> {
        Some(match number {
            1 => Self::ShuttingDown,
            2 => Self::Protocol,
            3 => Self::Unauthorised,
            4 => Self::Limit,
            5 => Self::IdentityEnded,
            6 => Self::Internal,
            7 => Self::Timeout,
            _ => return None,
        })
    }
}

/// Encodes a close frame: head, code u16, then the text.
pub fn encode_close(code: CloseCode, text: &str) -> Vec<u8> {
    let text = text.get(..text.len().min(1_000)).unwrap_or("");
    let length = u32::try_from(text.len() + 2).unwrap_or(2);
    let mut bytes = Vec::from(Head::new(FrameKind::Close, length).as_bytes());
    bytes.extend_from_slice(&(code as u16).to_le_bytes());
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

/// Reads the body of a close frame.
pub fn decode_close(body: &[u8]) -> Option<(CloseCode, &str)> {
    let (code, text) = body.split_first_chunk()?;
    Some((CloseCode::from_number(u16::from_le_bytes(*code))?, core::str::from_utf8(text).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_judged_before_their_body_is_read() {
        let parse = |head: Head| Head::parse(&zerocopy::transmute!(head));
        assert_eq!(parse(Head::new(FrameKind::Request, 192)), Ok((FrameKind::Request, 192)));
        let long = Head::new(FrameKind::Request, 1 << 20);
        assert_eq!(parse(long), Err(FrameError::Length(1 << 20)));
        assert_eq!(parse(Head { version: 2, ..long }), Err(FrameError::Version(2)));
        assert_eq!(parse(Head { reserved: 1, ..long }), Err(FrameError::Reserved));
        assert_eq!(parse(Head { kind: 9, ..long }), Err(FrameError::Kind(9)));
    }

    #[test]
    fn a_close_reads_back() {
        let bytes = encode_close(CloseCode::Limit, "too many streams");
        assert_eq!(decode_close(&bytes[HEAD_SIZE..]), Some((CloseCode::Limit, "too many streams")));
    }
}
