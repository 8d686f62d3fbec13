//! Accounts: dense rows behind an index by (owner, asset). A row has a hot cache line with all
//! that a transfer needs, and a cold one with the rest.
//!
//! It knows no rule. The invariant: a row never moves and its owner and asset never change; the
//! last rows can be taken back only by the chain that added them.

use protocol::answer::account_flags;
use protocol::{AssetId, OwnerId};

use crate::chunks::Chunks;
use crate::hash::Hash;
use crate::index::Index;

/// No account.
pub(crate) const NONE: u32 = u32::MAX;

/// Bits of [`Hot::flags`]; the lower three are those of the formats.
pub(crate) mod bits {
    use super::account_flags;

    /// No new debits.
    pub(crate) const FROZEN: u8 = account_flags::FROZEN as u8;
    /// Neither debits nor credits.
    pub(crate) const CLOSED: u8 = account_flags::CLOSED as u8;
    /// Copy of the owner's own.
    pub(crate) const AGENT_ONLY: u8 = account_flags::AGENT_ONLY as u8;
    /// What is shown of the flags.
    pub(crate) const SHOWN: u8 = FROZEN | CLOSED | AGENT_ONLY;
    /// Changed since the last even cut.
    pub(crate) const DIRTY_EVEN: u8 = 1 << 3;
    /// Changed since the last odd cut.
    pub(crate) const DIRTY_ODD: u8 = 1 << 4;
    /// Copied into the open complete cut before its turn.
    pub(crate) const COPIED: u8 = 1 << 5;
    /// What belongs to the cuts and is never undone.
    pub(crate) const CUTS: u8 = DIRTY_EVEN | DIRTY_ODD | COPIED;
}

/// What every payment needs of an account.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct Hot {
    /// Free to spend.
    pub(crate) liquid: i128,
    /// Minimum balance − credit limit: transfers and holds leave at least this.
    pub(crate) floor: i128,
    /// Owner.
    pub(crate) owner: OwnerId,
    /// Sequence of the last change.
    pub(crate) sequence: u64,
    /// Number of the owner's row; [`NONE`] of a system account.
    pub(crate) owner_number: u32,
    /// Copy of the owner's host.
    pub(crate) host: u16,
    /// Place of the asset.
    pub(crate) asset: u8,
    /// [`bits`].
    pub(crate) flags: u8,
}

const _: () = assert!(size_of::<Hot>() == 64);

impl Hot {
    /// Whether any of `bits` is set.
    pub(crate) const fn has(&self, bits: u8) -> bool {
        self.flags & bits != 0
    }

    /// Whether it is the frame's own.
    pub(crate) const fn is_system(&self) -> bool {
        self.owner_number == NONE
    }

    /// What can be spent above `floor`.
    pub(crate) fn available(&self, floor: i128) -> u128 {
        u128::try_from(self.liquid - floor).unwrap_or(0)
    }
}

/// The rest of an account.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cold {
    /// In holds.
    pub(crate) held: u128,
    /// Floor for new debits.
    pub(crate) minimum: u128,
    /// How far liquid may go below zero.
    pub(crate) credit_limit: u128,
    /// Open holds as debtor or creditor.
    pub(crate) open_items: u32,
    /// Open holds as debtor.
    pub(crate) holds: u32,
    /// Next account of the same owner.
    pub(crate) next_of_owner: u32,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    index: Index,
    hot: Chunks<Hot>,
    cold: Chunks<Cold>,
}

impl Accounts {
    /// Accounts, the frame's own included.
    pub(crate) const fn len(&self) -> usize {
        self.hot.len()
    }

    /// The account of `owner` in the asset at `place`; `hash` is that of owner and asset id.
    #[inline]
    pub(crate) fn find(&self, hash: u64, owner: OwnerId, place: u8) -> Option<u32> {
        self.index.find(hash, |number| self.is(number, owner, place))
    }

    /// Whether an account, or [`NONE`], is that of `owner` in the asset at `place`.
    #[inline]
    pub(crate) fn is(&self, number: u32, owner: OwnerId, place: u8) -> bool {
        if number == NONE {
            return false;
        }
        let row = self.hot.row(number);
        row.owner == owner && row.asset == place
    }

    /// See [`Index::prefetch`].
    #[inline]
    pub(crate) fn prefetch(&self, hash: u64) {
        self.index.prefetch(hash);
    }

    /// The account that a search would look at first, its hot line called into the cache.
    #[inline]
    pub(crate) fn candidate(&self, hash: u64) -> u32 {
        let Some(number) = self.index.candidate(hash) else {
            return NONE;
        };
        self.hot.prefetch(number);
        number
    }

    /// Hot line of an account.
    #[inline]
    pub(crate) fn hot(&self, number: u32) -> &Hot {
        self.hot.row(number)
    }

    /// Hot line, to change it; only after the change has been noted.
    #[inline]
    pub(crate) fn hot_mut(&mut self, number: u32) -> &mut Hot {
        self.hot.row_mut(number)
    }

    /// Cold line.
    #[inline]
    pub(crate) fn cold(&self, number: u32) -> &Cold {
        self.cold.row(number)
    }

    /// Cold line, to change it; only after the change has been noted.
    #[inline]
    pub(crate) fn cold_mut(&mut self, number: u32) -> &mut Cold {
        self.cold.row_mut(number)
    }

    /// Adds an account.
    pub(crate) fn add(&mut self, hash: u64, hot: Hot, cold: Cold) -> u32 {
        let number = self.hot.push(hot);
        self.cold.push(cold);
        self.index.insert(hash, number);
        number
    }

    /// Takes the last account back.
    pub(crate) fn take_back(
        &mut self,
        hash: &Hash,
        asset_of: impl Fn(u8) -> AssetId,
    ) -> (Hot, Cold) {
        let hot = self.hot.pop().expect("a chain takes back what it added");
        let cold = self.cold.pop().expect("both lines are added together");
        let number = u32::try_from(self.hot.len()).expect("tables have at most 2^30 rows");
        self.index.remove(hash.key(hot.owner, asset_of(hot.asset)), number);
        (hot, cold)
    }

    /// Every account in order of its number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Hot, &Cold)> {
        self.hot.iter().zip(self.cold.iter())
    }
}
