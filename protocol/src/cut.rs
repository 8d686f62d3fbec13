//! Cuts: the accounts that changed since the last cut, consistent at a record boundary. What
//! settlement writes into SQL and what an audit compares.

use alloc::string::String;
use alloc::vec::Vec;

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
    /// Changed accounts, each once; sorted only after [`Self::sort`].
    pub accounts: Vec<AccountRow>,
    /// Every asset.
    pub supply: Vec<SupplyRow>,
    /// Postings.
    pub effects: Effects,
}

impl Cut {
    /// Sorts the accounts by owner and asset, as databases like them; the engine has no time to.
    pub fn sort(&mut self) {
        // Rows are long: their keys are sorted, and each row is copied once, in its turn.
        let key = |(place, row): (usize, &AccountRow)| (row.owner, row.asset, place);
        let mut order: Vec<_> = self.accounts.iter().enumerate().map(key).collect();
        order.sort_unstable();
        self.accounts = order.into_iter().map(|(_, _, place)| self.accounts[place]).collect();
    }
}
