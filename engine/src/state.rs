//! The whole state as bytes, so that a frame starts without its history: what may be written, and
//! what may be read back.
//!
//! It opens no file and trusts no byte. Only what cannot be derived is written: indexes, balances
//! in holds, floors, copies of an owner's facts and all sums but the gross ones are rebuilt, so
//! that they cannot disagree. The invariant: an engine that was read back has the image digest and
//! the future of the one that was written, and two engines with the same past write the same bytes.
//!
//! The form is little-endian: a head with the count of every section, the genesis record, then the
//! sections in the order of the head, then `END`. A change of any row is another [`VERSION`].

mod check;
mod read;
mod write;

use core::fmt;

use protocol::AssetId;
use protocol::genesis::GenesisError;
use zerocopy::little_endian::{I128, U16, U32, U64, U128};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Version of the form.
pub const VERSION: u32 = 1;

pub(crate) const MAGIC: [u8; 8] = *b"bzstate\n";
/// Follows the last section.
pub(crate) const END: [u8; 8] = *b"bzend\n\0\0";
/// Bytes handed over at a time, about.
pub(crate) const BLOCK_BYTES: usize = 1 << 16;
/// Longest name of an asset that has a place in its row.
pub(crate) const NAME_BYTES: usize = 64;

/// [`Head::flags`]: minting is halted.
pub(crate) const MINT_HALTED: u32 = 1;
/// [`Head::flags`]: a money command other than a baseline was executed.
pub(crate) const MONEY_MOVED: u32 = 2;

/// Why bytes are not a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StateError {
    /// The bytes end, or could not be read, inside this section.
    Ended(&'static str),
    /// It does not begin as a state does.
    Magic,
    /// Written in a form that this version does not know.
    Version(u32),
    /// Written under money rules that this version does not know.
    Rules(u32),
    /// The genesis record inside it.
    Genesis(GenesisError),
    /// A row that cannot be.
    Row {
        /// Its section.
        section: &'static str,
        /// Its place there, from 0.
        row: u64,
        /// What it breaks.
        fault: &'static str,
    },
    /// Rows that can be, but not together.
    Whole {
        /// Where.
        section: &'static str,
        /// What they break.
        fault: &'static str,
    },
    /// The units of an asset are not those that were issued.
    Units(AssetId),
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Ended(section) => write!(f, "the state ends in its {section}; use another one"),
            Self::Magic => f.write_str("this is no state of an engine"),
            Self::Version(version) => write!(
                f,
                "the state has form {version}, this version knows {VERSION}; use a newer version, \
                 or replay the journal"
            ),
            Self::Rules(rules) => {
                write!(f, "the state was made under money rules {rules}; use a newer version")
            }
            Self::Genesis(error) => write!(f, "the genesis record of the state: {error}"),
            Self::Row { section, row, fault } => {
                write!(f, "row {row} of the {section} in the state is impossible: {fault}")
            }
            Self::Whole { section, fault } => {
                write!(f, "the {section} of the state are impossible: {fault}")
            }
            Self::Units(asset) => write!(
                f,
                "asset {asset} of the state has other units than were issued less those destroyed"
            ),
        }
    }
}

impl core::error::Error for StateError {}

/// The head: what there is only one of, and how many of everything else.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct Head {
    pub(crate) magic: [u8; 8],
    pub(crate) version: U32,
    pub(crate) rules: U32,
    pub(crate) flags: U32,
    pub(crate) genesis_bytes: U32,
    pub(crate) parameters: U32,
    pub(crate) changes: U32,
    pub(crate) assets: U32,
    pub(crate) hosts: U32,
    pub(crate) owners: U64,
    pub(crate) accounts: U64,
    pub(crate) holds: U64,
    pub(crate) pairs: U64,
    pub(crate) ids: U64,
    pub(crate) keys: U64,
    pub(crate) executed: U64,
    pub(crate) timestamp_ns: U64,
    pub(crate) settled: U64,
    pub(crate) id_floor_ms: U64,
    pub(crate) keys_forgotten_through: U64,
    pub(crate) run_digest: U128,
}

/// A parameter.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct ParameterRow {
    pub(crate) value: U128,
    pub(crate) number: U16,
    pub(crate) zero: [u8; 6],
}

/// An announced change, in the order in which they take effect.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct ChangeRow {
    pub(crate) value: U128,
    pub(crate) effective_at_ms: U64,
    pub(crate) sequence: U64,
    pub(crate) number: U16,
    pub(crate) zero: [u8; 6],
}

/// An asset, in the order of their places.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct AssetRow {
    pub(crate) issued: [U128; 2],
    pub(crate) destroyed: [U128; 2],
    pub(crate) id: U32,
    pub(crate) scale: U16,
    pub(crate) name_len: U16,
    pub(crate) name: [u8; NAME_BYTES],
}

/// A host, in the order of their numbers.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct HostRow {
    pub(crate) principal: U128,
    pub(crate) debit_limit: U128,
    pub(crate) used: U128,
    pub(crate) window: U64,
}

/// An owner, in the order of their first accounts.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct OwnerRow {
    pub(crate) id: U128,
    pub(crate) pending_host: U128,
    pub(crate) host: U16,
    pub(crate) agent_only: U16,
    pub(crate) zero: [u8; 4],
}

/// An account, in the order of their numbers, which lists show.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct AccountRow {
    pub(crate) owner: U128,
    pub(crate) liquid: I128,
    pub(crate) minimum: U128,
    pub(crate) credit_limit: U128,
    pub(crate) sequence: U64,
    pub(crate) owner_number: U32,
    pub(crate) place: u8,
    pub(crate) flags: u8,
    pub(crate) zero: [u8; 2],
}

/// An open hold, in the order of their sequences.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct HoldRow {
    pub(crate) id: U128,
    pub(crate) amount: U128,
    pub(crate) left: U128,
    pub(crate) expiry_ns: U64,
    pub(crate) sequence: U64,
    pub(crate) debtor: U32,
    pub(crate) creditor: U32,
    pub(crate) rate: U32,
    pub(crate) keep: U32,
}

/// An entry of the velocity table, in the order of their places.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct PairRow {
    pub(crate) place: U64,
    pub(crate) debtor: U32,
    pub(crate) creditor: U32,
    pub(crate) window: U64,
    pub(crate) count: U64,
}

/// A remembered id, in the order of their times (in steps of 20 ms), then of their sequences.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct IdRow {
    pub(crate) id: U128,
    pub(crate) scope: U64,
    pub(crate) sequence: U64,
    pub(crate) check: U32,
    pub(crate) status: U16,
    pub(crate) rate: U16,
}

/// A remembered string key, in the order of their sequences.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct KeyRow {
    pub(crate) principal: U128,
    pub(crate) key: U128,
    pub(crate) body: U128,
    pub(crate) at_ms: U64,
    pub(crate) sequence: U64,
    pub(crate) status: U16,
    pub(crate) rate: U16,
    pub(crate) zero: [u8; 4],
}

// The form itself; another size is another VERSION.
const _: () = {
    assert!(size_of::<Head>() == 144);
    assert!(size_of::<ParameterRow>() == 24 && size_of::<ChangeRow>() == 40);
    assert!(size_of::<AssetRow>() == 136 && size_of::<HostRow>() == 56);
    assert!(size_of::<OwnerRow>() == 40 && size_of::<AccountRow>() == 80);
    assert!(size_of::<HoldRow>() == 80 && size_of::<PairRow>() == 32);
    assert!(size_of::<IdRow>() == 40 && size_of::<KeyRow>() == 72);
};
