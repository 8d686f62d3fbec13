//! Answers to reads: 256 bytes each, one layout for every kind of read, told apart by `kind`.
//!
//! A read has one answer. Only a list has several: its accounts, in the order in which they were
//! opened, and last a trailer with bit 0 of `flags` (more may come) and in `time` the cursor of the
//! next page; or, refused, one answer with its status.
//!
//! | at | field | type | account | outcome | supply, recount | quote | hold | asset | parameter |
//! |---|---|---|---|---|---|---|---|---|---|
//! | 0 | kind | u16 | kind of the read |||||||
//! | 2 | status | u16 | ok, or why not |||||||
//! | 4 | flags | u32 | [`account_flags`] | bit 0: known | bit 0: mint halted | | KEEP | | |
//! | 8 | sequence | u64 | last change | of the command | executed | | of the hold | | |
//! | 16 | value | u128 | liquid (i128) | | issued, lower half | debtor pays | left | | value |
//! | 32 | held | u128 | held | | Σ held | creditor gets | amount | | |
//! | 48 | staked | u128 | staked | | Σ staked | base fee | creditor | | |
//! | 64 | bonded | u128 | bonded | | Σ bonded | velocity fee | | | |
//! | 80 | minimum | u128 | minimum balance | | destroyed, lower half | | | | |
//! | 96 | credit | u128 | credit limit | | credit granted | | | | |
//! | 112 | total | i128 | | | native_total | | | | |
//! | 128 | delta | i128 | | | INV1 delta | | | | |
//! | 144 | credit_used | u128 | of a list: owner | | Σ max(0, −liquid) | | | | |
//! | 160 | time | u64 | of a list's trailer: next cursor | | | | expiry, Unix ms | | |
//! | 168 | rate | u32 | | rate | | rate | rate | scale | |
//! | 172 | host | u32 | host index | status | accounts | | | next asset, or 0 | |
//! | 176 | open_items | u32 | open holds and other items | | | | | name length | |
//! | 180 | asset | u32 | asset ||||||
//! | 184 | – | 8 × 0 | |||||||
//! | 192 | text | 64 bytes | | | | | | name | |

use alloc::vec::Vec;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::ids::OwnerId;

/// Size of an answer.
pub const ANSWER_SIZE: usize = 256;

/// The answer to one read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Answer {
    /// Kind of the read.
    pub kind: u16,
    /// Number of the status.
    pub status: u16,
    /// Per kind.
    pub flags: u32,
    /// Per kind.
    pub sequence: u64,
    /// Per kind; of an account the liquid balance as `i128`.
    pub value: u128,
    /// Held.
    pub held: u128,
    /// Staked.
    pub staked: u128,
    /// Bonded.
    pub bonded: u128,
    /// Minimum balance, or destroyed.
    pub minimum: u128,
    /// Credit limit, or the sum of them.
    pub credit: u128,
    /// Sum of every bucket of every account.
    pub total: i128,
    /// issued − destroyed + transit − total: 0, or units were lost or invented.
    pub delta: i128,
    /// Units borrowed on credit limits; of an account in a list its owner.
    pub credit_used: u128,
    /// Per kind.
    pub time: u64,
    /// Rate in millionths, or an asset's scale.
    pub rate: u32,
    /// Host index; of an outcome the status; of a supply the number of accounts; of an asset the
    /// next higher number that an asset has, 0 if none.
    pub host: u32,
    /// Open items, or the length of the name.
    pub open_items: u32,
    /// The asset.
    pub asset: u32,
    /// Zero.
    pub reserved: u64,
    /// Name of an asset.
    pub text: [u8; 64],
}

const _: () = assert!(size_of::<Answer>() == ANSWER_SIZE);
const _: () = assert!(core::mem::offset_of!(Answer, text) == 192);

/// Bits of [`Answer::flags`] of a list's trailer.
pub mod trailer_flags {
    /// More accounts may come.
    pub const MORE: u32 = 1 << 0;
}

/// Bits of [`Answer::flags`] of an account.
pub mod account_flags {
    /// No new debits.
    pub const FROZEN: u32 = 1 << 0;
    /// Neither debits nor credits.
    pub const CLOSED: u32 = 1 << 1;
    /// Its host may not debit it (a fact of the owner).
    pub const AGENT_ONLY: u32 = 1 << 2;
}

impl Default for Answer {
    fn default() -> Self {
        Self::new_zeroed()
    }
}

impl Answer {
    fn new_zeroed() -> Self {
        <Self as zerocopy::FromZeros>::new_zeroed()
    }

    /// Liquid of an account, which a credit limit may take below zero.
    pub const fn liquid(&self) -> i128 {
        self.value.cast_signed()
    }

    /// Owner of an account in a list.
    pub const fn owner(&self) -> OwnerId {
        self.credit_used
    }

    /// Name of an asset.
    pub fn name(&self) -> &str {
        let len = usize::try_from(self.open_items).unwrap_or(0);
        self.text.get(..len).and_then(|bytes| core::str::from_utf8(bytes).ok()).unwrap_or("")
    }
}

/// Reads exactly `count` answers.
pub(crate) fn decode(bytes: &[u8], count: u32) -> Option<Vec<Answer>> {
    if bytes.len() != count as usize * ANSWER_SIZE {
        return None;
    }
    bytes.chunks_exact(ANSWER_SIZE).map(|bytes| Answer::read_from_bytes(bytes).ok()).collect()
}
