//! Cuts: the accounts that changed since the last cut, consistent at a record boundary. What
//! settlement writes into SQL and what an audit compares.

mod sheets;

use alloc::string::String;
use alloc::vec::Vec;

pub use self::sheets::{Keyed, Sheets};
use crate::effect::Effect;
use crate::ids::{AssetId, OwnerId, Sequence};
use crate::wide::Wide;

/// One account as of a cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountRow {
    /// Owner.
    pub owner: OwnerId,
    /// Asset.
    pub asset: AssetId,
    /// Index of the owner's host; 0 = the frame.
    pub host: u32,
    /// Free to spend.
    pub liquid: i128,
    /// In holds.
    pub held: u128,
    /// In stakes.
    pub staked: u128,
    /// In bonds.
    pub bonded: u128,
    /// Floor for new debits.
    pub minimum: u128,
    /// How far liquid may go below zero.
    pub credit_limit: u128,
    /// Bits of [`crate::answer::account_flags`].
    pub flags: u32,
}

/// An account that has nothing but a liquid balance below 2^63 minor units, as nearly all do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiquidRow {
    /// Owner.
    pub owner: OwnerId,
    /// Free to spend.
    pub liquid: i64,
    /// Asset.
    pub asset: AssetId,
    /// Index of the owner's host; 0 = the frame.
    pub host: u32,
}

const _: () = assert!(size_of::<LiquidRow>() == 32);

impl LiquidRow {
    /// The row, if it has nothing else and fits.
    #[inline]
    const fn of(row: &AccountRow) -> Option<Self> {
        // Every field by name: a new one belongs to one of the two.
        let AccountRow {
            owner,
            asset,
            host,
            liquid,
            held,
            staked,
            bonded,
            minimum,
            credit_limit,
            flags,
        } = *row;
        let rest = held | staked | bonded | minimum | credit_limit;
        let narrow = liquid as i64;
        let is_plain = rest == 0 && flags == 0 && narrow as i128 == liquid;
        if is_plain { Some(Self { owner, liquid: narrow, asset, host }) } else { None }
    }
}

impl From<LiquidRow> for AccountRow {
    fn from(row: LiquidRow) -> Self {
        let LiquidRow { owner, liquid, asset, host } = row;
        Self {
            owner,
            asset,
            host,
            liquid: liquid.into(),
            held: 0,
            staked: 0,
            bonded: 0,
            minimum: 0,
            credit_limit: 0,
            flags: 0,
        }
    }
}

impl Keyed for LiquidRow {
    fn key(&self) -> (OwnerId, AssetId) {
        (self.owner, self.asset)
    }
}

impl Keyed for AccountRow {
    fn key(&self) -> (OwnerId, AssetId) {
        (self.owner, self.asset)
    }
}

/// Rows of accounts; those with a liquid balance alone take 32 bytes instead of 128, for a cut may
/// hold every account of a frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountRows {
    liquid: Sheets<LiquidRow>,
    other: Sheets<AccountRow>,
}

impl AccountRows {
    /// None, with room for the first of so many.
    pub fn with_capacity(rows: usize) -> Self {
        Self { liquid: Sheets::with_capacity(rows), other: Sheets::with_capacity(rows) }
    }

    /// Adds a row.
    #[inline]
    pub fn push(&mut self, row: &AccountRow) {
        match LiquidRow::of(row) {
            Some(row) => self.liquid.push(row),
            None => self.other.push(*row),
        }
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.liquid.len() + self.other.len()
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Those with a liquid balance alone.
    pub const fn liquid(&self) -> &Sheets<LiquidRow> {
        &self.liquid
    }

    /// The others.
    pub const fn other(&self) -> &Sheets<AccountRow> {
        &self.other
    }

    /// All of them: those with a liquid balance alone, then the others.
    pub fn iter(&self) -> impl Iterator<Item = AccountRow> {
        self.liquid.iter().copied().map(AccountRow::from).chain(self.other.iter().copied())
    }

    /// Prepares [`Self::merged`]; the engine has no time to.
    pub fn sort(&mut self) {
        self.liquid.sort();
        self.other.sort();
    }

    /// As [`Self::iter`], once they are sorted: each of the two by owner and asset, as databases
    /// like them.
    pub fn merged(&self) -> impl Iterator<Item = AccountRow> {
        self.liquid.merged().map(AccountRow::from).chain(self.other.merged())
    }
}

impl FromIterator<AccountRow> for AccountRows {
    fn from_iter<I: IntoIterator<Item = AccountRow>>(rows: I) -> Self {
        let mut all = Self::default();
        rows.into_iter().for_each(|row| all.push(&row));
        all
    }
}

/// The supply vector of one asset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SupplyRow {
    /// Asset.
    pub asset: AssetId,
    /// Decimal digits.
    pub scale: u16,
    /// Name.
    pub name: String,
    /// Gross units issued.
    pub issued: Wide,
    /// Gross units destroyed.
    pub destroyed: Wide,
    /// Σ liquid of every account, system accounts included.
    pub liquid: i128,
    /// Σ held.
    pub held: u128,
    /// Σ staked.
    pub staked: u128,
    /// Σ bonded.
    pub bonded: u128,
    /// Σ credit limits.
    pub credit_granted: u128,
    /// Σ max(0, −liquid).
    pub credit_used: u128,
}

impl SupplyRow {
    /// Σ of every bucket of every account.
    pub fn total(&self) -> Option<i128> {
        [self.held, self.staked, self.bonded]
            .into_iter()
            .try_fold(self.liquid, |sum, bucket| sum.checked_add(i128::try_from(bucket).ok()?))
    }

    /// INV1: issued − destroyed − total. 0, or units were lost or invented.
    pub fn delta(&self) -> Option<i128> {
        self.issued.difference(self.destroyed)?.checked_sub(self.total()?)
    }
}

/// The postings that belong to a cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effects {
    /// History is off.
    Off,
    /// Every posting after the cut's `after`, in order.
    All(Vec<Effect>),
    /// They did not fit their pool: rebuild them from the journal.
    Rebuild,
}

/// A consistent image of what changed between two record boundaries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Frame.
    pub frame: u128,
    /// Epoch of the leader.
    pub epoch: u64,
    /// Sequence through which earlier cuts reach.
    pub after: Sequence,
    /// Last sequence in this cut.
    pub through: Sequence,
    /// Whether it holds every account, not only those that changed after `after`.
    pub complete: bool,
    /// Journal time of the boundary, in nanoseconds since the Unix epoch.
    pub timestamp: u64,
    /// Hash of the journal record at the boundary.
    pub chain_hash: [u8; 32],
    /// Run digest at `through`.
    pub run_digest: [u8; 16],
    /// Changed accounts, each once; in the order of their keys only when they are merged.
    pub accounts: AccountRows,
    /// Every asset.
    pub supply: Vec<SupplyRow>,
    /// Postings.
    pub effects: Effects,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_with_anything_but_a_liquid_balance_keeps_it() {
        let plain = AccountRow::from(LiquidRow { owner: 1 << 100, asset: 2, host: 3, liquid: -4 });
        let others = [
            AccountRow { liquid: i128::from(i64::MAX) + 1, ..plain },
            AccountRow { liquid: i128::from(i64::MIN) - 1, ..plain },
            AccountRow { held: 1, ..plain },
            AccountRow { staked: 2, ..plain },
            AccountRow { bonded: 3, ..plain },
            AccountRow { minimum: 4, ..plain },
            AccountRow { credit_limit: 5, ..plain },
            AccountRow { flags: 6, ..plain },
        ];
        let rows: AccountRows = others.into_iter().chain([plain]).collect();
        assert_eq!((rows.liquid().len(), rows.other().len(), rows.len()), (1, 8, 9));
        assert!(rows.iter().eq([plain].into_iter().chain(others)));
        assert!(AccountRows::default().is_empty());
    }

    #[test]
    fn rows_of_many_sheets_are_merged_in_the_order_of_their_keys() {
        // Of both kinds more than one sheet, in no order.
        let count = 80_000_u32;
        let row = |place: u32| {
            let mixed = place.wrapping_mul(0x9E37_79B1);
            let row =
                LiquidRow { owner: (mixed >> 3).into(), asset: mixed & 7, host: 0, liquid: 1 };
            AccountRow { held: (place % 2).into(), ..row.into() }
        };
        let mut rows: AccountRows = (0..count).map(row).collect();
        let mut expected: Vec<AccountRow> = (0..count).map(row).collect();
        expected.sort_by_key(|row| row.held);
        assert_eq!(rows.len(), expected.len());
        assert!(rows.iter().eq(expected.iter().copied()));
        rows.sort();
        expected.sort_by_key(|row| (row.held, row.owner, row.asset));
        assert!(rows.merged().eq(expected));
        assert_eq!(AccountRows::default().merged().next(), None);
    }
}
