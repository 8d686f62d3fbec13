//! The framing of one stream without a socket: bytes in, requests out.
//!
//! It holds at most one unfinished frame and what arrived with its end, judges every head before
//! its body is awaited, and copies a request once, from the received pieces into the slots: a short
//! one when it is whole, a long one as it arrives. It never panics on input. Invariant: the first
//! frame is a hello and no later one is.

use std::sync::Arc;

use bytes::Bytes;
use protocol::Command;
use protocol::command::COMMAND_SIZE;
use protocol::follow::{FOLLOW_SIZE, Follow};
use protocol::frame::{FrameError, FrameKind, HEAD_SIZE, Head};
use protocol::limits::REQUEST_SLOTS_MAX;
use protocol::request::{REQUEST_SIZE, Request};
use zerocopy::{FromZeros, IntoBytes};

use crate::limits::{COLLECT_ABOVE, COLLECT_FROM};
use crate::pieces::Pieces;
use crate::shelf::{Lent, Shelf};

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    /// Push more bytes.
    Wait,
    /// The client greeted; answer with a hello.
    Hello,
    /// A request is whole: its head. Take its slots before the next step.
    Request(Request),
    /// The client wants to follow the history on this stream, and sends nothing more.
    Follow(Follow),
    /// The client says goodbye.
    Close,
}

/// Why a stream cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misframed {
    /// The head of a frame is wrong.
    #[error("{0}")]
    Head(#[from] FrameError),
    /// The first frame is no hello.
    #[error("the first frame of a stream must be a hello without a body")]
    NotGreeted,
    /// A follow behind a request, or another frame behind a follow.
    #[error("a follow is the one frame behind the hello of a stream")]
    Following,
    /// A hello with a body, or a second one.
    #[error("a stream has one hello, and a client's has no body")]
    Greeting,
    /// The request's head counts other slots than the frame holds.
    #[error("the request says {said} slots but its frame holds {held} whole ones")]
    Slots {
        /// What the head says.
        said: u32,
        /// What the frame has room for.
        held: u32,
    },
}

/// The state of one stream.
#[derive(Debug, Default)]
pub struct Framing {
    pieces: Pieces,
    /// Head of the frame whose body is awaited.
    awaited: Option<(FrameKind, usize)>,
    is_greeted: bool,
    /// What the stream is used for.
    has_requests: bool,
    is_following: bool,
    /// Slots of the request that was announced and not taken.
    untaken: u32,
    /// Where buffers for long requests come from.
    shelf: Arc<Shelf>,
    /// The long request that is being put together, or was announced and not taken.
    begun: Option<(Request, Lent)>,
}

impl Framing {
    /// With buffers from `shelf` for long requests.
    #[must_use]
    pub fn new(shelf: Arc<Shelf>) -> Self {
        Self { shelf, ..Self::default() }
    }

    /// Adds what has arrived.
    pub fn push(&mut self, piece: Bytes) {
        self.pieces.push(piece);
    }

    /// Whether nothing of a next frame has arrived.
    #[must_use]
    pub const fn is_between_frames(&self) -> bool {
        self.pieces.unread() == 0 && self.awaited.is_none()
    }

    /// Bytes that were pushed and not read; those of a long request are read as they arrive.
    #[must_use]
    pub const fn unread(&self) -> usize {
        self.pieces.unread()
    }

    /// Looks at what has arrived.
    ///
    /// # Errors
    ///
    /// What is wrong with it; the stream cannot go on.
    ///
    /// # Panics
    ///
    /// When the slots of the last request were not taken.
    pub fn step(&mut self) -> Result<Step, Misframed> {
        assert!(self.untaken == 0, "a request's slots are taken before the next step");
        let (kind, length) = match self.awaited {
            Some(awaited) => awaited,
            None => {
                let Some(head) = self.read_array::<HEAD_SIZE>() else {
                    return Ok(Step::Wait);
                };
                let (kind, length) = Head::parse(&head)?;
                self.judge(kind, length)?;
                *self.awaited.insert((kind, length))
            }
        };
        if self.begun.is_some() {
            return Ok(self.go_on());
        }
        if self.pieces.unread() < length {
            return self.begin_long(kind, length);
        }
        self.awaited = None;
        match kind {
            FrameKind::Hello => {
                self.is_greeted = true;
                Ok(Step::Hello)
            }
            FrameKind::Request => self.begin_request(length),
            FrameKind::Follow => {
                let follow = self.read_array::<FOLLOW_SIZE>();
                let follow = follow.expect("a follow is read only when it has arrived");
                Ok(Step::Follow(zerocopy::transmute!(follow)))
            }
            // Its reason is the client's affair; nothing follows it.
            _ => Ok(Step::Close),
        }
    }

    /// Moves the slots of the announced request to `slots`, whose old content is dropped.
    pub fn take_slots(&mut self, slots: &mut Vec<Command>) {
        let count = std::mem::take(&mut self.untaken) as usize;
        match self.begun.take() {
            Some((_, lent)) => lent.hand_over(slots),
            None => self.pieces.take_slots(count, slots),
        }
    }

    /// The slot of the announced request if it has only one; it stays to be taken.
    #[must_use]
    pub fn only_slot(&self) -> Option<Command> {
        if self.untaken == 1 { self.pieces.peek_slot() } else { None }
    }

    fn judge(&mut self, kind: FrameKind, length: usize) -> Result<(), Misframed> {
        if self.is_following && kind != FrameKind::Close {
            return Err(Misframed::Following);
        }
        match (kind, self.is_greeted) {
            (FrameKind::Hello, false) if length == 0 => Ok(()),
            (FrameKind::Hello, _) => Err(Misframed::Greeting),
            (FrameKind::Close, _) => Ok(()),
            (FrameKind::Request, true) => {
                let is_whole =
                    length.checked_sub(REQUEST_SIZE).is_some_and(|slots| slots % COMMAND_SIZE == 0);
                let wrong = u32::try_from(length).unwrap_or(u32::MAX);
                self.has_requests = true;
                if is_whole { Ok(()) } else { Err(FrameError::Length(wrong).into()) }
            }
            (FrameKind::Follow, true) if self.has_requests => Err(Misframed::Following),
            (FrameKind::Follow, true) => {
                self.is_following = true;
                let wrong = u32::try_from(length).unwrap_or(u32::MAX);
                if length == FOLLOW_SIZE { Ok(()) } else { Err(FrameError::Length(wrong).into()) }
            }
            (FrameKind::Request | FrameKind::Follow, false) => Err(Misframed::NotGreeted),
            (other, _) => Err(FrameError::Kind(other as u16).into()),
        }
    }

    fn begin_request(&mut self, length: usize) -> Result<Step, Misframed> {
        let request = self.read_request(length)?;
        self.untaken = request.slots;
        Ok(Step::Request(request))
    }

    /// Gives a long request that has partly arrived a buffer, if there is one.
    fn begin_long(&mut self, kind: FrameKind, length: usize) -> Result<Step, Misframed> {
        let is_long = kind == FrameKind::Request
            && length > REQUEST_SIZE + COLLECT_ABOVE as usize * COMMAND_SIZE;
        if !is_long || self.pieces.unread() < COLLECT_FROM {
            return Ok(Step::Wait);
        }
        let Some(lent) = self.shelf.take() else {
            return Ok(Step::Wait);
        };
        let request = self.read_request(length)?;
        self.begun = Some((request, lent));
        Ok(self.go_on())
    }

    /// Moves what has arrived of the long request into its buffer.
    fn go_on(&mut self) -> Step {
        let Some((request, lent)) = &mut self.begun else {
            return Step::Wait;
        };
        let left = request.slots as usize - lent.slots.len();
        self.pieces.move_arrived(left, &mut lent.slots);
        if lent.slots.len() < request.slots as usize {
            return Step::Wait;
        }
        self.awaited = None;
        self.untaken = request.slots;
        Step::Request(*request)
    }

    /// The head of a request that fills a frame of `length`.
    fn read_request(&mut self, length: usize) -> Result<Request, Misframed> {
        let mut request = Request::new_zeroed();
        let is_read = self.pieces.read_into(request.as_mut_bytes());
        assert!(is_read, "a request is begun only when its head has arrived");
        let held = length.saturating_sub(REQUEST_SIZE) / COMMAND_SIZE;
        let held = u32::try_from(held).unwrap_or(u32::MAX);
        let said = request.slots;
        if said != held || held > REQUEST_SLOTS_MAX {
            return Err(Misframed::Slots { said, held });
        }
        Ok(request)
    }

    fn read_array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        self.pieces.read_into(&mut bytes).then_some(bytes)
    }
}

#[cfg(test)]
#[path = "framing_test.rs"]
mod tests;
