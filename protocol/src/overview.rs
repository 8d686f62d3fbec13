//! What those who run and audit a frame are shown of its accounts and holds: the largest balances,
//! and the holds that end next.
//!
//! It orders nothing itself. Invariant: all of an answer is of one record boundary, which it names.

use alloc::string::String;
use alloc::vec::Vec;

use crate::cut::AccountRow;
use crate::ids::{AssetId, OwnerId};

/// The largest accounts of every asset, by what is liquid and held.
///
/// They were chosen in a walk over every account from the sequence `since` to `sequence`: one that
/// grew behind the walk may be missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranking {
    /// The last sequence executed when the walk began.
    pub since: u64,
    /// The last sequence executed when the balances were read.
    pub sequence: u64,
    /// Journal time then.
    pub timestamp_ns: u64,
    /// Every asset, in the order of the asset numbers.
    pub assets: Vec<Ranked>,
}

/// Those of one asset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranked {
    /// Asset.
    pub asset: AssetId,
    /// Digits after the point.
    pub scale: u16,
    /// Its name.
    pub name: String,
    /// The largest first.
    pub accounts: Vec<AccountRow>,
}

/// The holds that end next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DueHolds {
    /// Last sequence executed.
    pub sequence: u64,
    /// How many are open in all.
    pub open: u64,
    /// The one that ends first before the others.
    pub holds: Vec<HoldRow>,
}

/// An open hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoldRow {
    /// Its id.
    pub id: u128,
    /// Whose units are held.
    pub debit: OwnerId,
    /// Who may capture them.
    pub credit: OwnerId,
    /// Asset.
    pub asset: AssetId,
    /// Digits after its point.
    pub scale: u16,
    /// As placed.
    pub amount: u128,
    /// Not captured yet.
    pub left: u128,
    /// When it ends, in journal time.
    pub expiry_ns: u64,
    /// Sequence that placed it.
    pub sequence: u64,
    /// Rate of its captures, in millionths.
    pub rate: u32,
    /// Whether a capture may leave the rest held.
    pub keep: bool,
}
