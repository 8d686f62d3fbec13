//! The bytes of a record: its 256-byte header, its block, its hashes.
//!
//! Refuses to know what a payload means. Invariant: a header is exactly 256 little-endian bytes
//! without padding, and the same header always has the same bytes in every build.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

#[cfg(not(target_endian = "little"))]
compile_error!("records are little-endian and read in place; port RecordHeader first");

/// First eight bytes of every record.
pub const MAGIC: [u8; 8] = *b"BZNTJRNL";

/// Version of the record format that this build writes, and the newest that it reads.
pub const FORMAT: u16 = 1;

/// Records begin and end on multiples of this, so that no acknowledged byte is ever rewritten.
pub const BLOCK: u64 = 4096;

/// Bytes of a [`RecordHeader`].
pub const HEADER_LEN: u64 = 256;

/// Largest payload of a record.
pub const RECORD_LEN_MAX: u64 = 4 * 1024 * 1024;

/// Every part of a payload, and so the payload, is a multiple of this long.
pub const PART_ALIGN: u64 = 16;

/// Byte offsets of the header's fields, for readers that do not use the struct.
pub mod at {
    /// `magic [u8; 8]`
    pub const MAGIC: usize = 0;
    /// `format u16`
    pub const FORMAT: usize = 8;
    /// `kind u16`
    pub const KIND: usize = 10;
    /// `rules u32`
    pub const RULES: usize = 12;
    /// `frame u128`
    pub const FRAME: usize = 16;
    /// `segment u64`
    pub const SEGMENT: usize = 32;
    /// `offset u64`
    pub const OFFSET: usize = 40;
    /// `epoch u64`
    pub const EPOCH: usize = 48;
    /// `leader u64`
    pub const LEADER: usize = 56;
    /// `index u64`
    pub const INDEX: usize = 64;
    /// `first_sequence u64`
    pub const FIRST_SEQUENCE: usize = 72;
    /// `commands u32`
    pub const COMMANDS: usize = 80;
    /// `payload_len u32`
    pub const PAYLOAD_LEN: usize = 84;
    /// `timestamp_ns u64`
    pub const TIMESTAMP_NS: usize = 88;
    /// `durable_index u64`
    pub const DURABLE_INDEX: usize = 96;
    /// `settled_sequence u64`
    pub const SETTLED_SEQUENCE: usize = 104;
    /// `executed_sequence u64`
    pub const EXECUTED_SEQUENCE: usize = 112;
    /// Eight zero bytes.
    pub const RESERVED_A: usize = 120;
    /// `run_digest [u8; 16]`
    pub const RUN_DIGEST: usize = 128;
    /// Sixteen zero bytes.
    pub const RESERVED_B: usize = 144;
    /// `previous_hash [u8; 32]`
    pub const PREVIOUS_HASH: usize = 160;
    /// `payload_hash [u8; 32]`
    pub const PAYLOAD_HASH: usize = 192;
    /// `hash [u8; 32]`
    pub const HASH: usize = 224;
}

/// What a record is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u16)]
pub enum Kind {
    /// The first record of a journal: whatever the frame was made with.
    Genesis = 1,
    /// A group of requests.
    #[default]
    Commands = 2,
    /// Carries only its header: its `durable_index` fixes the records before it.
    Blank = 3,
    /// A change of the replica set.
    Membership = 4,
    /// Last record of a full segment; written by the journal itself.
    Seal = 5,
}

impl Kind {
    /// The kind with this number.
    #[must_use]
    pub const fn from_number(number: u16) -> Option<Self> {
        Some(match number {
            1 => Self::Genesis,
            2 => Self::Commands,
            3 => Self::Blank,
            4 => Self::Membership,
            5 => Self::Seal,
            _ => return None,
        })
    }
}

/// Why 256 bytes are not a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// Fewer than 256 bytes were given.
    #[error("a record header needs 256 bytes and fewer were given; read the whole block")]
    Short,
    /// The magic is absent.
    #[error("no record starts here (the magic is absent)")]
    Magic,
    /// The header's hash is not that of its bytes.
    #[error("the record header does not match its own hash")]
    Hash,
}

/// The head of a record. All integers little-endian; reserved bytes zero.
///
/// | at | field | type | meaning |
/// |---|---|---|---|
/// | 0 | magic | `[u8; 8]` | `BZNTJRNL` |
/// | 8 | format | u16 | 1 |
/// | 10 | kind | u16 | [`Kind`] |
/// | 12 | rules | u32 | version of the money rules that judge the payload |
/// | 16 | frame | u128 | the frame whose journal this is |
/// | 32 | segment | u64 | number of the segment, from 1 |
/// | 40 | offset | u64 | place of this header in the segment |
/// | 48 | epoch | u64 | never falls |
/// | 56 | leader | u64 | node that wrote the record |
/// | 64 | index | u64 | number of the record, from 1, without gaps |
/// | 72 | first_sequence | u64 | sequence of the first command, or of the next when there is none |
/// | 80 | commands | u32 | commands in the payload |
/// | 84 | payload_len | u32 | bytes after the header, without padding |
/// | 88 | timestamp_ns | u64 | journal time, never falls |
/// | 96 | durable_index | u64 | highest index known durable when the record was made; 0 = none |
/// | 104 | settled_sequence | u64 | highest sequence known settled |
/// | 112 | executed_sequence | u64 | sequence at which `run_digest` holds |
/// | 120 | – | 8 × 0 | |
/// | 128 | run_digest | `[u8; 16]` | digest of the run at `executed_sequence` |
/// | 144 | – | 16 × 0 | |
/// | 160 | previous_hash | `[u8; 32]` | `hash` of the record before; zero in the genesis |
/// | 192 | payload_hash | `[u8; 32]` | BLAKE3 of the payload, without padding |
/// | 224 | hash | `[u8; 32]` | BLAKE3 of bytes 0–223 |
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct RecordHeader {
    /// [`MAGIC`].
    pub magic: [u8; 8],
    /// [`FORMAT`].
    pub format: u16,
    /// Number of the [`Kind`].
    pub kind: u16,
    /// Version of the money rules that judge the payload.
    pub rules: u32,
    /// The frame whose journal this is.
    pub frame: u128,
    /// Number of the segment, from 1.
    pub segment: u64,
    /// Place of this header in the segment.
    pub offset: u64,
    /// Epoch of the writer; never falls.
    pub epoch: u64,
    /// Node that wrote the record.
    pub leader: u64,
    /// Number of the record, from 1, without gaps.
    pub index: u64,
    /// Sequence of the first command, or of the next one when there is none.
    pub first_sequence: u64,
    /// Commands in the payload.
    pub commands: u32,
    /// Bytes after the header, without padding.
    pub payload_len: u32,
    /// Journal time; never falls.
    pub timestamp_ns: u64,
    /// Highest index known durable when the record was made; 0 = none.
    pub durable_index: u64,
    /// Highest sequence known settled.
    pub settled_sequence: u64,
    /// Sequence at which `run_digest` holds.
    pub executed_sequence: u64,
    /// Zero.
    pub reserved_a: [u8; 8],
    /// Digest of the run at `executed_sequence`.
    pub run_digest: [u8; 16],
    /// Zero.
    pub reserved_b: [u8; 16],
    /// `hash` of the record before; zero in the genesis.
    pub previous_hash: [u8; 32],
    /// BLAKE3 of the payload, without padding.
    pub payload_hash: [u8; 32],
    /// BLAKE3 of bytes 0–223.
    pub hash: [u8; 32],
}

macro_rules! assert_layout {
    ($($field:ident = $offset:ident),* $(,)?) => {
        $(const _: () = assert!(core::mem::offset_of!(RecordHeader, $field) == at::$offset);)*
    };
}
assert_layout!(
    magic = MAGIC,
    format = FORMAT,
    kind = KIND,
    rules = RULES,
    frame = FRAME,
    segment = SEGMENT,
    offset = OFFSET,
    epoch = EPOCH,
    leader = LEADER,
    index = INDEX,
    first_sequence = FIRST_SEQUENCE,
    commands = COMMANDS,
    payload_len = PAYLOAD_LEN,
    timestamp_ns = TIMESTAMP_NS,
    durable_index = DURABLE_INDEX,
    settled_sequence = SETTLED_SEQUENCE,
    executed_sequence = EXECUTED_SEQUENCE,
    reserved_a = RESERVED_A,
    run_digest = RUN_DIGEST,
    reserved_b = RESERVED_B,
    previous_hash = PREVIOUS_HASH,
    payload_hash = PAYLOAD_HASH,
    hash = HASH,
);
const _: () = assert!(size_of::<RecordHeader>() == 256);

impl RecordHeader {
    /// The record's kind, if this build knows it.
    #[must_use]
    pub const fn kind(&self) -> Option<Kind> {
        Kind::from_number(self.kind)
    }

    /// Bytes of the whole record on disk: header, payload and padding.
    #[must_use]
    pub const fn record_len(&self) -> u64 {
        record_len(self.payload_len as u64)
    }

    /// Sequence of the first command after this record.
    #[must_use]
    pub const fn next_sequence(&self) -> u64 {
        self.first_sequence.saturating_add(self.commands as u64)
    }

    /// BLAKE3 of bytes 0–223.
    #[must_use]
    pub fn computed_hash(&self) -> [u8; 32] {
        *blake3::hash(&self.as_bytes()[..at::HASH]).as_bytes()
    }

    /// Reads a header whose magic and own hash are right; nothing else is checked.
    ///
    /// # Errors
    /// When the bytes are too few, no header, or a damaged one.
    pub fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        let head = bytes.get(..HEADER_LEN as usize).ok_or(FormatError::Short)?;
        if head[..8] != MAGIC {
            return Err(FormatError::Magic);
        }
        let header = Self::read_from_bytes(head).map_err(|_| FormatError::Short)?;
        if header.computed_hash() != header.hash {
            return Err(FormatError::Hash);
        }
        Ok(header)
    }
}

/// Bytes on disk of a record with this much payload: header, payload, padding to [`BLOCK`].
#[must_use]
pub const fn record_len(payload_len: u64) -> u64 {
    (HEADER_LEN + payload_len).next_multiple_of(BLOCK)
}

#[cfg(test)]
#[path = "format_test.rs"]
mod tests;
