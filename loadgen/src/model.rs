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

/// Every account of the load, and what the frame took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    accounts: Vec<Balance>,
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
    pub amount: u128,
    /// Rate fixed when it was placed.
    pub rate: u16,
}

fn signed(amount: u128) -> i128 {
    i128::try_from(amount).expect("the harness sends amounts below 2^127")
}

impl Model {
    /// `accounts` empty accounts of a frame whose base fee is `base_rate` millionths.
    #[must_use]
    pub fn new(accounts: u32, base_rate: u32) -> Self {
        let accounts = vec![Balance::default(); accounts as usize];
        Self { accounts, base_rate, fees: 0, issued: 0 }
    }

    /// Every account, in order of its place.
    #[must_use]
    pub fn accounts(&self) -> &[Balance] {
        &self.accounts
    }

    /// Base fee rate of the frame in millionths.
    #[must_use]
    pub const fn base_rate(&self) -> u32 {
        self.base_rate
    }

    /// Sum of every account and the fees: must equal what was issued.
    #[must_use]
    pub fn total(&self) -> i128 {
        let accounts: i128 =
            self.accounts.iter().map(|balance| balance.liquid + balance.held).sum();
        accounts + self.fees
    }

    fn at(&mut self, place: u32) -> &mut Balance {
        &mut self.accounts[place as usize]
    }

    /// `amount` was issued to `place`.
    pub fn issue(&mut self, place: u32, amount: u128) {
        self.at(place).liquid += signed(amount);
        self.issued += signed(amount);
    }

    /// A payment was executed at `rate`.
    pub fn transfer(&mut self, debit: u32, credit: u32, amount: u128, rate: u16) {
        let base = fee(amount, self.base_rate);
        let whole = fee(amount, u32::from(rate));
        let velocity = whole - base;
        self.at(debit).liquid -= signed(amount + velocity);
        self.at(credit).liquid += signed(amount - base);
        self.fees += signed(whole);
    }

    /// A hold was placed.
    pub fn hold(&mut self, hold: &OpenHold) {
        let amount = signed(hold.amount);
        let debtor = self.at(hold.debit);
        debtor.liquid -= amount;
        debtor.held += amount;
    }

    /// `amount` of a hold was captured and the rest released.
    pub fn capture(&mut self, hold: &OpenHold, amount: u128) {
        let paid = fee(amount, u32::from(hold.rate));
        let debtor = self.at(hold.debit);
        debtor.held -= signed(hold.amount);
        debtor.liquid += signed(hold.amount - amount);
        self.at(hold.credit).liquid += signed(amount - paid);
        self.fees += signed(paid);
    }

    /// A hold was released or expired.
    pub fn release(&mut self, hold: &OpenHold) {
        let debtor = self.at(hold.debit);
        debtor.held -= signed(hold.amount);
        debtor.liquid += signed(hold.amount);
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
        assert_eq!(model.accounts()[0].held, 10_001);
        model.capture(&hold, 5_000);
        let other = OpenHold { id: 2, ..hold };
        model.hold(&other);
        model.release(&other);
        assert_eq!(model.accounts()[0].held, 0);
        assert_eq!(model.total(), 1_000_000);
        assert_eq!(model.issued, 1_000_000);
    }
}
