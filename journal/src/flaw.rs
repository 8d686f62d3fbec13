//! What a record must be to follow the one before it, and the names of what else may be there.
//!
//! Refuses to read files. Invariant: a header that passes [`Due::check`] extends the chain by
//! exactly one record in exactly this place.

use crate::format::{FORMAT, Kind, PART_ALIGN, RECORD_LEN_MAX, RecordHeader};

/// What is there instead of the record that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Flaw {
    /// Zeros: nothing was written.
    #[error("nothing is there")]
    Blank,
    /// The magic is absent.
    #[error("no record begins there")]
    Magic,
    /// The header does not match its own hash.
    #[error("the header does not match its hash")]
    HeaderHash,
    /// The payload does not match its hash.
    #[error("the payload does not match its hash")]
    PayloadHash,
    /// The padding is not zero.
    #[error("the padding is not zero")]
    Padding,
    /// The segment ends without a seal.
    #[error("the segment ends without a seal")]
    NoSeal,
    /// The header's format is newer than this build's.
    #[error("the format {0} is newer than this program's")]
    Format(u16),
    /// The header's rules are newer than the caller knows.
    #[error("the rules {0} are newer than this program's")]
    Rules(u32),
    /// The record is of another frame.
    #[error("the record is of frame {0:032x}")]
    Frame(u128),
    /// The record is of another segment.
    #[error("the record is of segment {0}")]
    Segment(u64),
    /// The record belongs to another offset.
    #[error("the record is of offset {0}")]
    Offset(u64),
    /// The record has another index.
    #[error("the record is number {0}")]
    Index(u64),
    /// The record follows another one.
    #[error("the record does not follow the one before it")]
    Chain,
    /// A field of an otherwise valid header cannot be.
    #[error("the header's {0} is impossible")]
    Field(&'static str),
}

impl Flaw {
    /// Whether a write that was cut short can leave this behind. A valid header in the wrong
    /// place cannot be: tails are wiped before anything is written over them.
    #[must_use]
    pub const fn may_be_torn(self) -> bool {
        matches!(
            self,
            Self::Blank | Self::Magic | Self::HeaderHash | Self::PayloadHash | Self::Padding
        )
    }
}

/// What the next record must follow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Due {
    /// Unknown before the genesis.
    pub(crate) frame: Option<u128>,
    pub(crate) index: u64,
    pub(crate) sequence: u64,
    pub(crate) previous_hash: [u8; 32],
    pub(crate) timestamp_ns: u64,
    pub(crate) epoch: u64,
    pub(crate) durable_index: u64,
}

impl Due {
    pub(crate) const GENESIS: Self = Self {
        frame: None,
        index: 1,
        sequence: 1,
        previous_hash: [0; 32],
        timestamp_ns: 0,
        epoch: 0,
        durable_index: 0,
    };

    /// What `header` itself follows, taken on trust.
    pub(crate) const fn at(header: &RecordHeader) -> Self {
        Self {
            frame: Some(header.frame),
            index: header.index,
            sequence: header.first_sequence,
            previous_hash: header.previous_hash,
            timestamp_ns: 0,
            epoch: 0,
            durable_index: 0,
        }
    }

    pub(crate) const fn after(header: &RecordHeader) -> Self {
        Self {
            frame: Some(header.frame),
            index: header.index.saturating_add(1),
            sequence: header.next_sequence(),
            previous_hash: header.hash,
            timestamp_ns: header.timestamp_ns,
            epoch: header.epoch,
            durable_index: header.durable_index,
        }
    }

    pub(crate) fn check(
        &self,
        h: &RecordHeader,
        place: (u64, u64),
        rules_max: u32,
    ) -> Result<(), Flaw> {
        let (segment, offset) = place;
        let payload_len = u64::from(h.payload_len);
        if h.format > FORMAT {
            return Err(Flaw::Format(h.format));
        }
        if self.frame.is_some_and(|frame| frame != h.frame) {
            return Err(Flaw::Frame(h.frame));
        }
        if h.segment != segment {
            return Err(Flaw::Segment(h.segment));
        }
        if h.offset != offset {
            return Err(Flaw::Offset(h.offset));
        }
        if h.index != self.index {
            return Err(Flaw::Index(h.index));
        }
        if h.previous_hash != self.previous_hash {
            return Err(Flaw::Chain);
        }
        if h.rules > rules_max {
            return Err(Flaw::Rules(h.rules));
        }
        let genesis = h.kind == Kind::Genesis as u16;
        let seal = h.kind == Kind::Seal as u16;
        let fields = [
            ("format", h.format == FORMAT),
            ("kind", h.kind().is_some() && genesis == (self.index == 1)),
            ("first_sequence", h.first_sequence == self.sequence),
            ("payload_len", payload_len <= RECORD_LEN_MAX && payload_len % PART_ALIGN == 0),
            ("content", !seal || (h.commands == 0 && h.payload_len == 0)),
            ("timestamp_ns", h.timestamp_ns >= self.timestamp_ns),
            ("epoch", h.epoch >= self.epoch),
            ("durable_index", h.durable_index < h.index && h.durable_index >= self.durable_index),
            ("reserved bytes", h.reserved_a == [0; 8] && h.reserved_b == [0; 16]),
        ];
        fields.iter().find(|f| !f.1).map_or(Ok(()), |f| Err(Flaw::Field(f.0)))
    }
}
