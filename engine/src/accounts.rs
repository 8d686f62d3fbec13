//! Accounts: dense rows behind an index by (owner, asset). A row has a hot cache line with all
//! that a transfer needs; the few that hold units or have limits have a cold one with the rest.
//!
//! It knows no rule. The invariants: a row never moves and its owner and asset never change; the
//! last rows can be taken back only by the chain that added them; a hot line says whether there is
//! a cold one, so that nobody looks in vain.

use alloc::vec::Vec;

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
    /// Somebody follows its owner.
    pub(crate) const FOLLOWED: u8 = 1 << 6;
    /// It has a cold line.
    pub(crate) const COLD: u8 = 1 << 7;
    /// What belongs to tables, cuts and feeds, and is never undone.
    pub(crate) const LOCAL: u8 = DIRTY_EVEN | DIRTY_ODD | COPIED | FOLLOWED | COLD;
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

    /// Under which it is found.
    pub(crate) fn hash(&self, hash: &Hash, asset_of: impl Fn(u8) -> AssetId) -> u64 {
        hash.key(self.owner, asset_of(self.asset))
    }

    /// Changes liquid at a sequence; returns what is there afterwards.
    #[inline(always)]
    pub(crate) fn shift(&mut self, asset: u8, units: i128, sequence: u64) -> i128 {
        assert!(self.asset == asset, "both sides are of one asset");
        let after = self.liquid + units;
        (self.liquid, self.sequence) = (after, sequence);
        after
    }

    /// What can be spent above `floor`.
    pub(crate) fn available(&self, floor: i128) -> u128 {
        u128::try_from(self.liquid - floor).unwrap_or(0)
    }
}

/// The rest of an account: all zero of most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
}

/// Of an account that has none of it.
pub(crate) static PLAIN: Cold =
    Cold { held: 0, minimum: 0, credit_limit: 0, open_items: 0, holds: 0 };

/// Where the rest of an account is.
#[derive(Clone, Copy, Debug)]
struct Links {
    /// Next account of the same owner.
    next_of_owner: u32,
    /// Its cold line, or [`NONE`] while that is plain.
    cold: u32,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    index: Index,
    hot: Chunks<Hot>,
    links: Chunks<Links>,
    cold: Chunks<Cold>,
    /// Cold lines of accounts that were taken back, all plain.
    spare: Vec<u32>,
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

    /// As [`Self::find`], or [`NONE`].
    #[inline(never)]
    pub(crate) fn find_number(&self, hash: u64, owner: OwnerId, place: u8) -> u32 {
        self.find(hash, owner, place).unwrap_or(NONE)
    }

    /// Whether an account, or [`NONE`], is that of `owner` in the asset at `place`.
    #[inline(always)]
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

    /// Calls the hot line of an account into the cache.
    pub(crate) fn prefetch_hot(&self, number: u32) {
        self.hot.prefetch(number);
    }

    /// Calls what leads to the cold line of an account, or of [`NONE`], into the cache.
    pub(crate) fn prefetch_links(&self, number: u32) {
        self.links.prefetch(number);
    }

    /// Calls the cold line of an account, or of [`NONE`], into the cache.
    pub(crate) fn prefetch_cold(&self, number: u32) {
        if let Some(links) = self.links.get(number as usize) {
            self.cold.prefetch(links.cold);
        }
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
        if self.hot(number).has(bits::COLD) {
            self.cold.row(self.links.row(number).cold)
        } else {
            &PLAIN
        }
    }

    /// Cold line, to change it; only after the change has been noted.
    #[inline]
    pub(crate) fn cold_mut(&mut self, number: u32) -> &mut Cold {
        let links = self.links.row_mut(number);
        if links.cold == NONE {
            links.cold = self.spare.pop().unwrap_or_else(|| self.cold.push(PLAIN));
            self.hot.row_mut(number).flags |= bits::COLD;
        }
        self.cold.row_mut(links.cold)
    }

    /// Puts a cold line back.
    pub(crate) fn set_cold(&mut self, number: u32, cold: Cold) {
        if *self.cold(number) != cold {
            *self.cold_mut(number) = cold;
        }
    }

    /// Next account of the same owner, or [`NONE`].
    pub(crate) fn next_of_owner(&self, number: u32) -> u32 {
        self.links.row(number).next_of_owner
    }

    /// Adds an account; `next_of_owner` was the newest of the same owner before it.
    pub(crate) fn add(
        &mut self,
        hash: &Hash,
        asset_of: impl Fn(u8) -> AssetId,
        hot: Hot,
        next_of_owner: u32,
    ) -> u32 {
        let Self { index, hot: rows, .. } = self;
        let number = rows.push(hot);
        let hash_of = |number| rows.row(number).hash(hash, &asset_of);
        index.insert_calling(hash_of(number), number, hash_of, |number| rows.prefetch(number));
        self.links.push(Links { next_of_owner, cold: NONE });
        number
    }

    /// See [`Index::go_on`].
    pub(crate) fn go_on(
        &mut self,
        insertions: usize,
        hash: &Hash,
        asset_of: impl Fn(u8) -> AssetId,
    ) {
        let Self { index, hot: rows, .. } = self;
        let hash_of = |number| rows.row(number).hash(hash, &asset_of);
        index.go_on(insertions, hash_of, |number| rows.prefetch(number));
    }

    /// Takes the last account back.
    pub(crate) fn take_back(&mut self, hash: &Hash, asset_of: impl Fn(u8) -> AssetId) -> Hot {
        let hot = self.hot.pop().expect("a chain takes back what it added");
        let links = self.links.pop().expect("both are added together");
        if links.cold != NONE {
            *self.cold.row_mut(links.cold) = PLAIN;
            self.spare.push(links.cold);
        }
        let Self { index, hot: rows, .. } = self;
        let number = u32::try_from(rows.len()).expect("tables have at most 2^30 rows");
        let hash_of = |number| rows.row(number).hash(hash, &asset_of);
        index.remove(hot.hash(hash, &asset_of), number, hash_of);
        hot
    }

    /// Every account in order of its number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Hot, &Cold)> {
        (0..).zip(self.hot.iter()).map(|(number, hot)| (hot, self.cold(number)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cold_line_is_made_when_it_is_needed_and_used_again() {
        let hash = Hash::new(7);
        let mut accounts = Accounts::default();
        let hot = |owner| Hot {
            liquid: 0,
            floor: 0,
            owner,
            sequence: 0,
            owner_number: 0,
            host: 0,
            asset: 0,
            flags: 0,
        };
        let add = |accounts: &mut Accounts, owner| accounts.add(&hash, |_| 1, hot(owner), 9);
        for owner in [1, 2] {
            add(&mut accounts, owner);
        }
        assert_eq!((*accounts.cold(0), accounts.next_of_owner(1)), (PLAIN, 9));
        accounts.set_cold(0, PLAIN);
        assert_eq!(accounts.cold.len(), 0, "nothing is kept of what is plain");
        for _ in 0..3 {
            accounts.cold_mut(1).held = 5;
            assert_eq!((accounts.cold(0).held, accounts.cold(1).held), (0, 5));
            assert_eq!(accounts.take_back(&hash, |_| 1).owner, 2);
            add(&mut accounts, 2);
            assert_eq!(*accounts.cold(1), PLAIN, "nothing is left of who was there before");
        }
        accounts.set_cold(0, Cold { minimum: 3, ..PLAIN });
        let held: Vec<_> = accounts.iter().map(|(hot, cold)| (hot.owner, cold.minimum)).collect();
        assert_eq!((held, accounts.cold.len()), (alloc::vec![(1, 3), (2, 0)], 1));
    }
}
