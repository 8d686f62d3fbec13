//! The reply: a 64-byte head, then rates if they differ, then one 16-byte exception for every
//! command that is not plainly ok. So a client computes every fee and balance from answers alone.
//!
//! | at | field | type |
//! |---|---|---|
//! | 0 | request | u64 |
//! | 8 | first_sequence | u64 (of a read: the executed sequence it saw) |
//! | 16 | epoch | u64 |
//! | 24 | timestamp | u64, journal time in nanoseconds |
//! | 32 | stamps | 4 × u32: sequenced, durable, executed, replied; µs since received |
//! | 48 | count | u32 |
//! | 52 | exceptions | u32 |
//! | 56 | rate | u16, millionths that every ok command paid |
//! | 58 | flags | u16 |
//! | 60 | – | 4 × 0 |
//!
//! With MIXED, `count` × u16 rates follow, zero-padded to 16 bytes; then the exceptions; of a read
//! instead `count` answers of 256 bytes ([`crate::answer`]).

use alloc::vec::Vec;
use core::fmt;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::limits::REQUEST_SLOTS_MAX;
use crate::status::Status;

/// Size of the head.
pub const REPLY_SIZE: usize = 64;
/// Size of an exception.
pub const EXCEPTION_SIZE: usize = 16;

/// Head of a reply.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct Reply {
    /// The client's number of the request.
    pub request: u64,
    /// Sequence of the first command; the others follow without gaps.
    pub first_sequence: u64,
    /// Epoch of the leader that answered.
    pub epoch: u64,
    /// Journal time of the record, in nanoseconds since the Unix epoch.
    pub timestamp: u64,
    /// Sequenced, durable, executed, replied: microseconds since received.
    pub stamps: [u32; 4],
    /// Commands answered.
    pub count: u32,
    /// Exceptions that follow.
    pub exceptions: u32,
    /// Rate that every ok command paid, in millionths.
    pub rate: u16,
    /// Bits of [`flags`].
    pub flags: u16,
    /// Zero.
    pub reserved: u32,
}

/// A command that is not plainly ok: refused, or a repeat of one executed before.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct Exception {
    /// Sequence of the command whose outcome this is (of a repeat: the first one's).
    pub sequence: u64,
    /// Place of the command among the request's commands.
    pub index: u16,
    /// Number of the [`Status`].
    pub status: u16,
    /// Rate that the command paid.
    pub rate: u16,
    /// Bits of [`exception_flags`].
    pub flags: u16,
}

const _: () = {
    assert!(size_of::<Reply>() == REPLY_SIZE && align_of::<Reply>() == 8);
    assert!(size_of::<Exception>() == EXCEPTION_SIZE);
    assert!(core::mem::offset_of!(Reply, count) == 48);
};

/// Bits of [`Reply::flags`].
pub mod flags {
    /// `count` rates follow the head.
    pub const MIXED: u16 = 1 << 0;
    /// Answers to reads follow instead of exceptions.
    pub const READ: u16 = 1 << 1;
    /// The whole request was refused unsequenced; its one exception has index 65 535.
    pub const REFUSED: u16 = 1 << 2;
    /// Durable on a majority of replicas, not only here.
    pub const QUORUM: u16 = 1 << 3;
}

/// Bits of [`Exception::flags`].
pub mod exception_flags {
    /// The outcome is remembered with the id: the same id gets it again.
    pub const REMEMBERED: u16 = 1 << 0;
    /// A repeat: this is the outcome of an earlier command with this id.
    pub const REPEAT: u16 = 1 << 1;
}

/// What became of one command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Sequence of the command (of a repeat: the first one's).
    pub sequence: u64,
    /// Ok or the refusal.
    pub status: Status,
    /// Fee rate in millionths.
    pub rate: u16,
    /// Whether this repeats the outcome of an earlier command with the same id.
    pub repeat: bool,
}

/// Collects outcomes while a request executes; reused from request to request.
#[derive(Clone, Debug, Default)]
pub struct Outcomes {
    first_sequence: u64,
    count: u32,
    rate: Option<u16>,
    /// Empty until the first rate that differs.
    rates: Vec<u16>,
    exceptions: Vec<Exception>,
}

impl Outcomes {
    /// With room for a full request, so that pushing never allocates.
    pub fn with_capacity(commands: usize) -> Self {
        Self {
            rates: Vec::with_capacity(commands),
            exceptions: Vec::with_capacity(commands),
            ..Self::default()
        }
    }

    /// Forgets everything; the next outcome is that of `first_sequence`.
    pub fn clear(&mut self, first_sequence: u64) {
        self.first_sequence = first_sequence;
        self.count = 0;
        self.rate = None;
        self.rates.clear();
        self.exceptions.clear();
    }

    /// Outcomes so far.
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// Commands that were refused or repeat earlier ones.
    pub const fn exceptions(&self) -> usize {
        self.exceptions.len()
    }

    /// Whether a command got `status`, which is not ok.
    pub fn has_refusal(&self, status: Status) -> bool {
        let number = status.number();
        self.exceptions.iter().any(|exception| exception.status == number)
    }

    /// Numbers of the statuses of what was refused, and how many commands are repeats.
    pub fn refusals(&self) -> (impl Iterator<Item = u16>, usize) {
        let repeats = |exception: &&Exception| exception.flags & exception_flags::REPEAT != 0;
        let fresh = self.exceptions.iter().filter(move |exception| !repeats(exception));
        (fresh.map(|exception| exception.status), self.exceptions.iter().filter(repeats).count())
    }

    /// Adds the outcome of the next command.
    #[inline]
    pub fn push(&mut self, outcome: Outcome) {
        let Outcome { status, rate, repeat, .. } = outcome;
        if status.is_ok() && !repeat && self.rate == Some(rate) && self.rates.is_empty() {
            self.count += 1;
            return;
        }
        self.push_marked(outcome, outcome.status.is_remembered());
    }

    /// As [`Self::push`], for a leg whose chain failed for a reason that is not remembered.
    pub fn push_forgotten(&mut self, outcome: Outcome) {
        self.push_marked(outcome, false);
    }

    fn push_marked(&mut self, outcome: Outcome, remembered: bool) {
        let Outcome { sequence, status, rate, repeat } = outcome;
        if status.is_ok() && !repeat {
            self.push_rate(rate);
        } else {
            let mut bits = 0;
            if remembered {
                bits |= exception_flags::REMEMBERED;
            }
            if repeat {
                bits |= exception_flags::REPEAT;
            }
            let index = u16::try_from(self.count).unwrap_or(u16::MAX);
            let status = status.number();
            self.exceptions.push(Exception { sequence, index, status, rate, flags: bits });
            if !self.rates.is_empty() {
                self.rates.push(rate);
            }
        }
        self.count += 1;
    }

    fn push_rate(&mut self, rate: u16) {
        if !self.rates.is_empty() {
            self.rates.push(rate);
        } else if self.rate.is_none() {
            self.rate = Some(rate);
        } else if self.rate != Some(rate) {
            let common = self.rate.unwrap_or(0);
            self.rates.resize(self.count as usize, common);
            for exception in &self.exceptions {
                if let Some(place) = self.rates.get_mut(usize::from(exception.index)) {
                    *place = exception.rate;
                }
            }
            self.rates.push(rate);
        }
    }

    /// Takes back the outcomes from the `count`-th on: a chain is pushed anew when it fails.
    pub fn truncate(&mut self, count: u32) {
        self.count = self.count.min(count);
        self.rates.truncate(self.count as usize);
        let kept = self.count;
        self.exceptions.retain(|exception| u32::from(exception.index) < kept);
        if self.count == 0 {
            self.rate = None;
        }
    }

    /// Every outcome in order, as a client would decode them.
    pub fn to_vec(&self) -> Vec<Outcome> {
        let mut outcomes: Vec<Outcome> = (0..self.count)
            .map(|at| Outcome {
                sequence: self.first_sequence + u64::from(at),
                status: Status::Ok,
                rate: self.rates.get(at as usize).copied().or(self.rate).unwrap_or(0),
                repeat: false,
            })
            .collect();
        for exception in &self.exceptions {
            let place = outcomes.get_mut(usize::from(exception.index));
            let status = Status::from_number(exception.status);
            if let (Some(outcome), Some(status)) = (place, status) {
                *outcome = Outcome {
                    sequence: exception.sequence,
                    status,
                    rate: exception.rate,
                    repeat: exception.flags & exception_flags::REPEAT != 0,
                };
            }
        }
        outcomes
    }

    /// Bytes of the encoded reply.
    pub fn encoded_len(&self) -> usize {
        REPLY_SIZE
            + (self.rates.len() * size_of::<u16>()).next_multiple_of(16)
            + self.exceptions.len() * EXCEPTION_SIZE
    }

    /// Appends head, rates and exceptions to `out`; the caller sets request, epoch, timestamp and
    /// stamps in `head`.
    pub fn encode(&self, mut head: Reply, out: &mut Vec<u8>) {
        head.first_sequence = self.first_sequence;
        head.count = self.count;
        head.exceptions = u32::try_from(self.exceptions.len()).unwrap_or(u32::MAX);
        head.rate = self.rate.unwrap_or(0);
        if !self.rates.is_empty() {
            head.flags |= flags::MIXED;
        }
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(self.rates.as_slice().as_bytes());
        let padding = self.rates.len() * size_of::<u16>();
        out.resize(out.len() + padding.next_multiple_of(16) - padding, 0);
        out.extend_from_slice(self.exceptions.as_slice().as_bytes());
    }
}

/// Appends the reply to a request that was refused as a whole.
pub fn encode_refused(mut head: Reply, status: Status, out: &mut Vec<u8>) {
    head.flags |= flags::REFUSED;
    head.exceptions = 1;
    let exception = Exception { index: u16::MAX, status: status.number(), ..Exception::default() };
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(exception.as_bytes());
}

/// Why bytes are not a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReplyError {
    /// Shorter or longer than its head says.
    Length,
    /// A status, index or count outside its range.
    Range,
}

impl fmt::Display for ReplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Length => "the reply is shorter or longer than its head says",
            Self::Range => "the reply has a status, index or count outside its range",
        })
    }
}

impl core::error::Error for ReplyError {}

/// A reply read from bytes.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// The head.
    pub head: Reply,
    /// One outcome for every command, in order; empty for reads and for refused requests.
    pub outcomes: Vec<Outcome>,
    /// The refusal of the whole request.
    pub refused: Option<Status>,
    /// Answers to reads.
    pub answers: Vec<crate::answer::Answer>,
}

/// Reads a reply.
///
/// # Errors
///
/// When the bytes are not one whole reply.
pub fn decode(bytes: &[u8]) -> Result<Decoded, ReplyError> {
    let (head, rest) = Reply::read_from_prefix(bytes).map_err(|_| ReplyError::Length)?;
    if head.count > REQUEST_SLOTS_MAX || head.exceptions > REQUEST_SLOTS_MAX {
        return Err(ReplyError::Range);
    }
    let mut decoded = Decoded { head, outcomes: Vec::new(), refused: None, answers: Vec::new() };
    if head.flags & flags::READ != 0 {
        decoded.answers = crate::answer::decode(rest, head.count).ok_or(ReplyError::Length)?;
        return Ok(decoded);
    }
    let (rates, exceptions) = split_body(&head, rest)?;
    if head.flags & flags::REFUSED != 0 {
        let first = exceptions.first().ok_or(ReplyError::Length)?;
        decoded.refused = Some(Status::from_number(first.status).ok_or(ReplyError::Range)?);
        return Ok(decoded);
    }
    decoded.outcomes.reserve_exact(head.count as usize);
    for at in 0..head.count {
        let rate = match rates.get(at as usize * 2..at as usize * 2 + 2) {
            Some(&[low, high]) => u16::from_le_bytes([low, high]),
            _ => head.rate,
        };
        let sequence = head.first_sequence.wrapping_add(u64::from(at));
        let status = Status::Ok;
        decoded.outcomes.push(Outcome { sequence, status, rate, repeat: false });
    }
    for exception in &exceptions {
        let outcome =
            decoded.outcomes.get_mut(usize::from(exception.index)).ok_or(ReplyError::Range)?;
        *outcome = Outcome {
            sequence: exception.sequence,
            status: Status::from_number(exception.status).ok_or(ReplyError::Range)?,
            rate: exception.rate,
            repeat: exception.flags & exception_flags::REPEAT != 0,
        };
    }
    Ok(decoded)
}

fn split_body<'a>(head: &Reply, rest: &'a [u8]) -> Result<(&'a [u8], Vec<Exception>), ReplyError> {
    let mixed = head.flags & flags::MIXED != 0;
    let rates_len = if mixed { head.count as usize * size_of::<u16>() } else { 0 };
    let (rates, rest) =
        rest.split_at_checked(rates_len.next_multiple_of(16)).ok_or(ReplyError::Length)?;
    if rest.len() != head.exceptions as usize * EXCEPTION_SIZE {
        return Err(ReplyError::Length);
    }
    let exceptions = rest
        .chunks_exact(EXCEPTION_SIZE)
        .map(|bytes| Exception::read_from_bytes(bytes).map_err(|_| ReplyError::Length))
        .collect::<Result<Vec<_>, _>>()?;
    Ok((rates, exceptions))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn ok(sequence: u64, rate: u16) -> Outcome {
        Outcome { sequence, status: Status::Ok, rate, repeat: false }
    }

    fn round_trip(outcomes: &[Outcome]) -> Decoded {
        let mut collected = Outcomes::with_capacity(16);
        collected.clear(outcomes[0].sequence);
        for &outcome in outcomes {
            collected.push(outcome);
        }
        let mut bytes = Vec::new();
        collected.encode(Reply { request: 9, epoch: 2, ..Reply::default() }, &mut bytes);
        assert_eq!(bytes.len(), collected.encoded_len());
        assert_eq!(collected.to_vec(), outcomes);
        decode(&bytes).unwrap()
    }

    #[test]
    fn a_uniform_reply_is_the_head_alone() {
        let outcomes = vec![ok(5, 5_000), ok(6, 5_000), ok(7, 5_000)];
        let decoded = round_trip(&outcomes);
        assert_eq!(decoded.outcomes, outcomes);
        assert_eq!(decoded.head.flags & flags::MIXED, 0);
        assert_eq!(decoded.head.exceptions, 0);
    }

    #[test]
    fn differing_rates_refusals_and_repeats_read_back() {
        let refused =
            Outcome { sequence: 11, status: Status::InsufficientFunds, rate: 0, repeat: false };
        let repeat = Outcome { sequence: 3, status: Status::Ok, rate: 7_000, repeat: true };
        let outcomes = vec![ok(10, 5_000), refused, repeat, ok(13, 6_000), refused, ok(15, 5_000)];
        assert_eq!(round_trip(&outcomes).outcomes, outcomes);
        let led_by_refusal = vec![Outcome { sequence: 20, ..refused }, ok(21, 5_000)];
        assert_eq!(round_trip(&led_by_refusal).outcomes, led_by_refusal);
    }

    #[test]
    fn a_chain_can_be_taken_back() {
        let mut collected = Outcomes::with_capacity(4);
        collected.clear(1);
        collected.push(ok(1, 5_000));
        collected.push(ok(2, 6_000));
        collected.truncate(1);
        collected.push(Outcome {
            sequence: 2,
            status: Status::LinkedFailed,
            rate: 0,
            repeat: false,
        });
        let mut bytes = Vec::new();
        collected.encode(Reply::default(), &mut bytes);
        let decoded = decode(&bytes).unwrap();
        assert_eq!(decoded.outcomes[0], ok(1, 5_000));
        assert_eq!(decoded.outcomes[1].status, Status::LinkedFailed);
    }

    #[test]
    fn a_leg_of_a_forgotten_chain_is_not_marked_as_remembered() {
        let failed = Outcome { sequence: 1, status: Status::LinkedFailed, rate: 0, repeat: false };
        let mut collected = Outcomes::with_capacity(2);
        collected.clear(1);
        collected.push(failed);
        collected.push_forgotten(Outcome { sequence: 2, ..failed });
        assert_eq!(collected.exceptions[0].flags, exception_flags::REMEMBERED);
        assert_eq!(collected.exceptions[1].flags, 0);
    }

    #[test]
    fn a_refused_request_and_damage_are_told_apart() {
        let mut bytes = Vec::new();
        encode_refused(Reply { request: 4, ..Reply::default() }, Status::Busy, &mut bytes);
        assert_eq!(decode(&bytes).unwrap().refused, Some(Status::Busy));
        assert_eq!(decode(&bytes[..70]).unwrap_err(), ReplyError::Length);
        assert_eq!(decode(&[]).unwrap_err(), ReplyError::Length);
    }
}
