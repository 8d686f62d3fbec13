//! Assets and their running sums: what was issued and destroyed, and where the units are.
//!
//! The invariant (INV1): issued − destroyed = Σ of every bucket of every account, per asset.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Bound;

use protocol::AssetId;
use protocol::cut::SupplyRow;
use protocol::limits::{ASSETS_MAX, SUPPLY_MAX};
use protocol::wide::Wide;

use crate::accounts::{Cold, Hot};

/// Running sums of one asset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    /// Gross units issued.
    pub(crate) issued: Wide,
    /// Gross units destroyed.
    pub(crate) destroyed: Wide,
    /// Σ liquid.
    pub(crate) liquid: i128,
    /// Σ held.
    pub(crate) held: u128,
    /// Σ left of open holds.
    pub(crate) open_holds: u128,
    /// Σ credit limits.
    pub(crate) credit_granted: u128,
    /// Σ max(0, −liquid).
    pub(crate) credit_used: u128,
}

impl Sums {
    /// Adds what one account holds.
    pub(crate) fn count(&mut self, hot: &Hot, cold: &Cold) {
        self.liquid += hot.liquid;
        self.held += cold.held;
        self.credit_granted += cold.credit_limit;
        self.credit_used += debt(hot.liquid);
    }

    /// Counts what accounts changed by.
    #[inline]
    pub(crate) fn add(&mut self, shift: Shift) {
        self.liquid += shift.liquid;
        if shift.credit_used == 0 {
            return;
        }
        self.credit_used = self
            .credit_used
            .checked_add_signed(shift.credit_used)
            .expect("the sum is at least each part");
    }

    /// INV1 and INV6c; only what the frame itself must never break.
    pub(crate) fn assert_balanced(&self) {
        let net = self.issued.difference(self.destroyed);
        let held = i128::try_from(self.held).ok();
        let total = held.and_then(|held| self.liquid.checked_add(held));
        assert!(
            net.is_some() && net == total,
            "INV1: issued less destroyed are the units in accounts: {self:?}"
        );
        assert!(self.held == self.open_holds, "INV6: what is held belongs to open holds: {self:?}");
    }

    /// What an asset could still take in: the supply cap less supply and credit.
    pub(crate) fn passes_cap(&self, credit_granted: u128, entering: u128) -> bool {
        let net = self.issued.difference(self.destroyed).unwrap_or(i128::MAX);
        let net = u128::try_from(net).unwrap_or(0);
        net.saturating_add(credit_granted).saturating_add(entering) > SUPPLY_MAX
    }
}

/// What changes of liquid do to the sums.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shift {
    liquid: i128,
    credit_used: i128,
}

impl Shift {
    /// Of one account, from what it had to what it has.
    #[inline]
    pub(crate) fn new(before: i128, after: i128) -> Self {
        let liquid = after - before;
        if (before | after) >= 0 {
            return Self { liquid, credit_used: 0 };
        }
        Self { liquid, credit_used: before.min(0) - after.min(0) }
    }
}

/// What a negative balance owes.
pub(crate) const fn debt(liquid: i128) -> u128 {
    if liquid < 0 { liquid.unsigned_abs() } else { 0 }
}

/// One asset.
#[derive(Clone, Debug)]
pub(crate) struct Asset {
    /// Its number.
    pub(crate) id: AssetId,
    /// Decimal digits.
    pub(crate) scale: u16,
    /// Name.
    pub(crate) name: String,
    /// Running sums.
    pub(crate) sums: Sums,
    /// Accounts in it.
    pub(crate) accounts: u32,
    /// Fee collector of each host.
    pub(crate) collectors: Vec<u32>,
    /// Treasury of each host.
    pub(crate) treasuries: Vec<u32>,
}

impl Asset {
    /// The supply vector with `sums`.
    pub(crate) fn supply(&self, sums: &Sums) -> SupplyRow {
        SupplyRow {
            asset: self.id,
            scale: self.scale,
            name: self.name.clone(),
            issued: sums.issued,
            destroyed: sums.destroyed,
            liquid: sums.liquid,
            held: sums.held,
            staked: 0,
            bonded: 0,
            credit_granted: sums.credit_granted,
            credit_used: sums.credit_used,
        }
    }
}

/// The assets in the order in which they were created.
#[derive(Debug, Default)]
pub(crate) struct Assets {
    rows: Vec<Asset>,
    places: BTreeMap<AssetId, u8>,
    /// Places whose sums changed in this record, a bit each.
    touched: [u64; 4],
}

impl Assets {
    /// Assets.
    pub(crate) const fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether no other asset has room.
    pub(crate) const fn is_full(&self) -> bool {
        self.rows.len() >= ASSETS_MAX
    }

    /// Place of an asset.
    #[inline]
    pub(crate) fn place(&self, id: AssetId) -> Option<u8> {
        if self.rows.first().is_some_and(|native| native.id == id) {
            return Some(0);
        }
        self.places.get(&id).copied()
    }

    /// The asset with the next higher number.
    pub(crate) fn after(&self, id: AssetId) -> Option<AssetId> {
        let above = (Bound::Excluded(id), Bound::Unbounded);
        self.places.range(above).next().map(|(&next, _)| next)
    }

    /// One asset.
    #[inline]
    pub(crate) fn row(&self, place: u8) -> &Asset {
        &self.rows[usize::from(place)]
    }

    /// One asset, to change it; its sums are checked at the record's end.
    #[inline]
    pub(crate) fn row_mut(&mut self, place: u8) -> &mut Asset {
        self.touched[usize::from(place / 64)] |= 1 << (place % 64);
        &mut self.rows[usize::from(place)]
    }

    /// Adds an asset.
    pub(crate) fn add(&mut self, id: AssetId, scale: u16, name: String) -> u8 {
        let place = u8::try_from(self.rows.len()).expect("there are at most ASSETS_MAX assets");
        self.rows.push(Asset {
            id,
            scale,
            name,
            sums: Sums::default(),
            accounts: 0,
            collectors: Vec::new(),
            treasuries: Vec::new(),
        });
        self.places.insert(id, place);
        place
    }

    /// Every asset.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Asset> {
        self.rows.iter()
    }

    /// Every place.
    pub(crate) fn places(&self) -> impl Iterator<Item = u8> + use<> {
        (0..=u8::MAX).take(self.rows.len())
    }

    /// Checks the sums that this record changed.
    pub(crate) fn assert_balanced(&mut self) {
        for (at, word) in self.touched.iter_mut().enumerate() {
            while *word != 0 {
                let place = at * 64 + word.trailing_zeros() as usize;
                self.rows[place].sums.assert_balanced();
                *word &= *word - 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cap_counts_supply_credit_and_what_enters() {
        let mut sums = Sums::default();
        sums.issued.add(SUPPLY_MAX - 10);
        assert!(!sums.passes_cap(4, 6));
        assert!(sums.passes_cap(4, 7));
        assert!(sums.passes_cap(u128::MAX, u128::MAX));
    }

    #[test]
    #[should_panic(expected = "INV1")]
    fn a_lost_unit_aborts() {
        let mut sums = Sums::default();
        sums.issued.add(1);
        sums.assert_balanced();
    }

    #[test]
    #[should_panic(expected = "INV6")]
    fn a_hold_without_units_aborts() {
        let sums = Sums { open_holds: 1, ..Sums::default() };
        sums.assert_balanced();
    }
}
