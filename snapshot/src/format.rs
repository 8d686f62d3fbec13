//! The bytes of a snapshot: a header of 256 bytes, the body, a table with the hash of each chunk of
//! the body.
//!
//! Refuses to know what a body means. Invariant: the header's hash covers the table's, the table
//! covers every chunk, the lengths cover the file: no byte is outside of it.

use protocol::Sequence;
use zerocopy::little_endian::{U16, U32, U64, U128};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// First eight bytes of every snapshot.
pub(crate) const MAGIC: [u8; 8] = *b"BZNTSNAP";

/// Version of the format that this build writes, and the newest that it reads.
pub const FORMAT: u16 = 1;

/// Bytes of the header.
pub const HEADER_BYTES: u64 = 256;

/// Bytes of the body that one hash covers; the last chunk may be shorter.
pub const CHUNK_BYTES: usize = 1 << 20;

/// Bytes of a hash.
pub(crate) const HASH_BYTES: u64 = 32;

const NAME_HEAD: &str = "snapshot-";
const NAME_TAIL: &str = ".bzs";

/// Of what a snapshot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// The frame.
    pub frame: u128,
    /// Last sequence executed.
    pub sequence: Sequence,
    /// Journal record after which the state stands.
    pub index: u64,
    /// Epoch of that record.
    pub epoch: u64,
    /// Journal time of that record.
    pub timestamp_ns: u64,
    /// Hash of that record.
    pub chain_hash: [u8; 32],
    /// Digest of every outcome so far.
    pub run_digest: [u8; 16],
    /// Digest of every row of the state.
    pub image_digest: [u8; 32],
}

impl Meta {
    /// Whether a journal that begins with record `first` holds all that lies behind it.
    #[must_use]
    pub const fn is_met_by(&self, first: u64) -> bool {
        self.index.saturating_add(1) >= first
    }
}

/// | at | field | | at | field |
/// |---|---|---|---|---|
/// | 0 | magic [8] | | 72 | body_bytes u64 |
/// | 8 | format u16 | | 80 | run_digest [16] |
/// | 10 | 0 [2] | | 96 | chain_hash [32] |
/// | 12 | chunk_bytes u32 | | 128 | image_digest [32] |
/// | 16 | frame u128 | | 160 | table_hash [32], BLAKE3 of the table |
/// | 32 | sequence u64 | | 192 | 0 [32] |
/// | 40 | index u64 | | 224 | hash [32] = BLAKE3 of bytes 0–223 |
/// | 48 | epoch u64 | | | |
/// | 56 | timestamp_ns u64 | | | |
/// | 64 | chunks u64 | | | |
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct Header {
    pub(crate) magic: [u8; 8],
    pub(crate) format: U16,
    pub(crate) zero_a: [u8; 2],
    pub(crate) chunk_bytes: U32,
    pub(crate) frame: U128,
    pub(crate) sequence: U64,
    pub(crate) index: U64,
    pub(crate) epoch: U64,
    pub(crate) timestamp_ns: U64,
    pub(crate) chunks: U64,
    pub(crate) body_bytes: U64,
    pub(crate) run_digest: [u8; 16],
    pub(crate) chain_hash: [u8; 32],
    pub(crate) image_digest: [u8; 32],
    pub(crate) table_hash: [u8; 32],
    pub(crate) zero_b: [u8; 32],
    pub(crate) hash: [u8; 32],
}

const _: () = assert!(size_of::<Header>() as u64 == HEADER_BYTES);

impl Header {
    pub(crate) fn new(meta: &Meta, body_bytes: u64, table: &[[u8; 32]]) -> Self {
        let mut header = Self {
            magic: MAGIC,
            format: FORMAT.into(),
            zero_a: [0; 2],
            chunk_bytes: (CHUNK_BYTES as u32).into(),
            frame: meta.frame.into(),
            sequence: meta.sequence.0.into(),
            index: meta.index.into(),
            epoch: meta.epoch.into(),
            timestamp_ns: meta.timestamp_ns.into(),
            chunks: (table.len() as u64).into(),
            body_bytes: body_bytes.into(),
            run_digest: meta.run_digest,
            chain_hash: meta.chain_hash,
            image_digest: meta.image_digest,
            table_hash: hash_of(table.as_bytes()),
            zero_b: [0; 32],
            hash: [0; 32],
        };
        header.hash = header.computed_hash();
        header
    }

    pub(crate) fn computed_hash(&self) -> [u8; 32] {
        let bytes = self.as_bytes();
        hash_of(&bytes[..bytes.len() - HASH_BYTES as usize])
    }

    pub(crate) const fn meta(&self) -> Meta {
        Meta {
            frame: self.frame.get(),
            sequence: Sequence(self.sequence.get()),
            index: self.index.get(),
            epoch: self.epoch.get(),
            timestamp_ns: self.timestamp_ns.get(),
            chain_hash: self.chain_hash,
            run_digest: self.run_digest,
            image_digest: self.image_digest,
        }
    }

    /// Bytes of the whole file; `None` if its lengths contradict one another.
    pub(crate) fn file_bytes(&self) -> Option<u64> {
        let (body, chunks) = (self.body_bytes.get(), self.chunks.get());
        if u64::from(self.chunk_bytes.get()) != CHUNK_BYTES as u64
            || chunks != body.div_ceil(CHUNK_BYTES as u64)
        {
            return None;
        }
        HEADER_BYTES.checked_add(body)?.checked_add(chunks.checked_mul(HASH_BYTES)?)
    }
}

/// BLAKE3.
pub(crate) fn hash_of(bytes: &[u8]) -> [u8; 32] {
    *blake3::hash(bytes).as_bytes()
}

/// What the snapshot of `meta` is called: names sort as the journal does.
#[must_use]
pub fn name_of(meta: &Meta) -> String {
    format!("{NAME_HEAD}{:020}-{:020}{NAME_TAIL}", meta.sequence.0, meta.index)
}

/// Sequence and record index in a name; `None` of any other file.
pub(crate) fn place_of(name: &str) -> Option<(u64, u64)> {
    let middle = name.strip_prefix(NAME_HEAD)?.strip_suffix(NAME_TAIL)?;
    let (sequence, index) = middle.split_once('-')?;
    let number = |text: &str| (text.len() == 20).then(|| text.parse().ok()).flatten();
    Some((number(sequence)?, number(index)?))
}
