//! The harness's own book: every account as the answers alone say it must be. It knows no rules
//! but the fee formula, and never asks the frame; at the end the two must agree.

use protocol::amount::fee;

/// What one account must hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Balance {
    /// Free to spend.
    pub liquid: i128,
    /// In holds.
    pub held: i128,
}

/// Every account of the load, and what the frame took. Eight bytes a balance, so that booking
/// touches little memory; arithmetic that would wrap stops the harness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    liquid: Vec<i64>,
    held: Vec<i64>,
    /// Base fee rate of the frame in millionths.
    base_rate: u32,
    /// Fees that went to the collector.
    pub fees: i128,
    /// Units issued.
    pub issued: i128,
}

/// A hold that is open as far as the answers say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenHold {
    /// Id of the hold.
    pub id: u128,
    /// Place of the debtor.
    pub debit: u32,
    /// Place of the creditor.
    pub credit: u32,
    /// What is held.
    pub amount: u32,
    /// Rate fixed when it was placed.
    pub rate: u16,
}

/// The fee of `amount` at `rate` millionths.
fn fee_of(amount: u32, rate: u32) -> i64 {
    i64::try_from(fee(u128::from(amount), rate)).expect("a fee is no more than its amount")
}

impl Model {
    /// `accounts` empty accounts of a frame whose base fee is `base_rate` millionths.
    #[must_use]
    pub fn new(accounts: u32, base_rate: u32) -> Self {
        let empty = vec![0; accounts as usize];
        Self { liquid: empty.clone(), held: empty, base_rate, fees: 0, issued: 0 }
    }

    /// The account at `place`.
    #[must_use]
    pub fn balance(&self, place: u32) -> Balance {
        let at = place as usize;
        Balance { liquid: self.liquid[at].into(), held: self.held[at].into() }
    }

    /// Every account, in order of its place.
    pub fn accounts(&self) -> impl Iterator<Item = Balance> {
        let pairs = self.liquid.iter().zip(&self.held);
        pairs.map(|(&liquid, &held)| Balance { liquid: liquid.into(), held: held.into() })
    }

    /// Base fee rate of the frame in millionths.
    #[must_use]
    pub const fn base_rate(&self) -> u32 {
        self.base_rate
    }

    /// Sum of every account and the fees: must equal what was issued.
    #[must_use]
    pub fn total(&self) -> i128 {
        let accounts: i128 = self.accounts().map(|balance| balance.liquid + balance.held).sum();
        accounts + self.fees
    }

    /// `amount` was issued to `place`.
    pub fn issue(&mut self, place: u32, amount: u64) {
        self.liquid[place as usize] += i64::try_from(amount).expect("funds fit a balance");
        self.issued += i128::from(amount);
    }

    /// A payment was executed at `rate`.
    pub fn transfer(&mut self, debit: u32, credit: u32, amount: u32, rate: u16) {
        let base = fee_of(amount, self.base_rate);
        let whole = fee_of(amount, u32::from(rate));
        let amount = i64::from(amount);
        self.liquid[debit as usize] -= amount + whole - base;
        self.liquid[credit as usize] += amount - base;
        self.fees += i128::from(whole);
    }

    /// A hold was placed.
    pub fn hold(&mut self, hold: &OpenHold) {
        self.liquid[hold.debit as usize] -= i64::from(hold.amount);
        self.held[hold.debit as usize] += i64::from(hold.amount);
    }

    /// `amount` of a hold was captured and the rest released.
    pub fn capture(&mut self, hold: &OpenHold, amount: u32) {
        let paid = fee_of(amount, u32::from(hold.rate));
        self.held[hold.debit as usize] -= i64::from(hold.amount);
        self.liquid[hold.debit as usize] += i64::from(hold.amount) - i64::from(amount);
        self.liquid[hold.credit as usize] += i64::from(amount) - paid;
        self.fees += i128::from(paid);
    }

    /// A hold was released or expired.
    pub fn release(&mut self, hold: &OpenHold) {
        self.held[hold.debit as usize] -= i64::from(hold.amount);
        self.liquid[hold.debit as usize] += i64::from(hold.amount);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_or_invented() {
        let mut model = Model::new(3, 5_000);
        model.issue(0, 1_000_000);
        model.transfer(0, 1, 1_001, 5_000);
        model.transfer(0, 2, 1_001, 7_500);
        let hold = OpenHold { id: 1, debit: 0, credit: 1, amount: 10_001, rate: 6_000 };
        model.hold(&hold);
        assert_eq!(model.balance(0).held, 10_001);
        model.capture(&hold, 5_000);
        let other = OpenHold { id: 2, ..hold };
        model.hold(&other);
        model.release(&other);
        assert_eq!(model.balance(0).held, 0);
        assert_eq!(model.total(), 1_000_000);
        assert_eq!(model.issued, 1_000_000);
    }
}
