//! Holds: placing, capturing, releasing, and their end by time.
//!
//! | kind | debited | credited | events |
//! |---|---|---|---|
//! | hold | d.liquid x | d.held x | `HoldPlaced` |
//! | capture | d.held y | c.liquid y − f, fees f | `TokensTransferred`, `TransactionFeeCollected`, `HoldCaptured` |
//! | capture, the rest | d.held | d.liquid | `HoldReleased` |
//! | release | d.held | d.liquid | `HoldReleased` |
//! | expiry | d.held | d.liquid | `HoldExpired` |

use protocol::amount::fee;
use protocol::command::flags;
use protocol::effect::Event;
use protocol::parameter::Parameter;
use protocol::system;
use protocol::{Command, Status};

use super::payment::{Parties, is_above_limit, judge_amount};
use crate::accounts::bits;
use crate::engine::{Engine, NS_PER_MS};
use crate::holds::Hold;
use crate::limits::CROSS_HOST_RATE;
use crate::posting::Side;
use crate::resolve::Hint;
use crate::undo::Step;

impl Engine {
    fn judge_hold_room(&self, command: &Command, hint: &Hint) -> Result<(), Status> {
        if self.holds.len() >= self.configuration.count(Parameter::HoldsCapacity) {
            return Err(Status::HoldsFull);
        }
        let held = self.debtor(command, hint).map_or(0, |number| self.accounts.cold(number).holds);
        if u64::from(held) >= self.configuration.number(Parameter::HoldsPerDebtor) {
            return Err(Status::HoldsPerDebtor);
        }
        Ok(())
    }

    /// Places a hold.
    pub(super) fn hold(&mut self, command: &Command, hint: &Hint) -> Result<u32, Status> {
        self.judge_hold_room(command, hint)?;
        self.judge_host_limit(&self.caller, command)?;
        let Parties { debtor, creditor, debit, .. } = self.judge_hold_accounts(command, hint)?;
        let amount = command.amount;
        judge_amount(amount)?;
        let timeout_ms = match command.timeout_ms {
            0 => self.configuration.number(Parameter::HoldDefaultMs),
            timeout_ms => u64::from(timeout_ms),
        };
        if timeout_ms > self.configuration.number(Parameter::HoldMaxMs) {
            return Err(Status::ExpiryBounds);
        }
        let (pair, rate) = self.price(hint, (debtor, creditor));
        if fee(amount, rate) >= amount {
            return Err(Status::AmountBelowFee);
        }
        if is_above_limit(rate, command.value) {
            return Err(Status::FeeAboveLimit);
        }
        if amount > debit.available(debit.floor) {
            return Err(Status::InsufficientFunds);
        }
        // Point of no return.
        self.count_host(command);
        self.money_moved = true;
        self.note.rate = rate;
        self.note.reference = command.id;
        let (from, to) = (Side::liquid(debtor), Side::held(debtor));
        self.post(Event::HoldPlaced, from, to, amount);
        let expiry_ns =
            self.clock.timestamp_ns.saturating_add(timeout_ms.saturating_mul(NS_PER_MS));
        self.open_hold(Hold {
            id: command.id,
            amount,
            left: amount,
            expiry_ns,
            sequence: self.sequence,
            debtor,
            creditor,
            rate,
            keep: command.has(flags::KEEP),
        });
        self.count_pair(&pair);
        self.balances(Some(debtor), Some(creditor));
        Ok(rate)
    }

    /// As those of a transfer, but no system account can be the creditor.
    fn judge_hold_accounts(&self, command: &Command, hint: &Hint) -> Result<Parties<'_>, Status> {
        let is_for_system = system::is_system(command.credit);
        if is_for_system && self.assets.place(command.asset).is_some() {
            return Err(match self.debtor(command, hint) {
                Some(_) => Status::ReservedOwner,
                None => Status::DebtorNotFound,
            });
        }
        self.judge_accounts(command, hint)
    }

    fn open_hold(&mut self, hold: Hold) {
        assert!(
            self.holds.find(&self.hash, hold.debtor, hold.id).is_none(),
            "an id is used once for ever in the debtor's scope"
        );
        self.count_items(&hold, true);
        let place = self.accounts.hot(hold.debtor).asset;
        self.assets.row_mut(place).sums.open_holds += hold.left;
        self.undo.note(|| Step::HoldPlaced(hold));
        self.holds.insert(&self.hash, hold);
    }

    /// Ends a hold whose units have left it.
    fn end_hold(&mut self, slot: u32, as_it_was: Hold) {
        let hold = self.holds.remove(slot);
        self.count_items(&hold, false);
        self.undo.note(|| Step::HoldEnded(as_it_was));
    }

    /// Counts the hold among the open items of both its accounts, or no longer.
    fn count_items(&mut self, hold: &Hold, opens: bool) {
        let count = |items: &mut u32| {
            *items = if opens { *items + 1 } else { *items - 1 };
        };
        self.change(hold.debtor);
        let debtor = self.accounts.cold_mut(hold.debtor);
        count(&mut debtor.open_items);
        count(&mut debtor.holds);
        self.change(hold.creditor);
        count(&mut self.accounts.cold_mut(hold.creditor).open_items);
    }

    /// Takes `amount` out of what is left of a hold; the posting is the caller's.
    fn lower_hold(&mut self, slot: u32, amount: u128) {
        let hold = *self.holds.row(slot);
        self.holds.set_left(slot, hold.left - amount);
        let place = self.accounts.hot(hold.debtor).asset;
        self.assets.row_mut(place).sums.open_holds -= amount;
    }

    /// Slot and row of the hold that a capture or release names.
    fn judge_named_hold(&self, command: &Command, hint: &Hint) -> Result<(u32, Hold), Status> {
        if self.assets.place(command.asset).is_none() {
            return Err(Status::AssetNotFound);
        }
        let debtor = self.debtor(command, hint).ok_or(Status::DebtorNotFound)?;
        let creditor = self.creditor(command, hint).ok_or(Status::CreditorNotFound)?;
        if self.accounts.hot(creditor).has(bits::CLOSED) {
            return Err(Status::CreditorClosed);
        }
        let slot =
            self.holds.find(&self.hash, debtor, command.reference).ok_or(Status::HoldNotFound)?;
        let hold = *self.holds.row(slot);
        if hold.creditor != creditor {
            return Err(Status::HoldNotYours);
        }
        if hold.expiry_ns <= self.clock.timestamp_ns {
            return Err(Status::HoldExpired);
        }
        Ok((slot, hold))
    }

    /// Captures part or all of a hold.
    pub(super) fn capture(&mut self, command: &Command, hint: &Hint) -> Result<u32, Status> {
        let (slot, hold) = self.judge_named_hold(command, hint)?;
        let keep = command.has(flags::KEEP);
        if keep && !hold.keep {
            return Err(Status::KeepNotAllowed);
        }
        let amount = if command.has(flags::ALL) { hold.left } else { command.amount };
        judge_amount(amount)?;
        if amount > hold.left {
            return Err(Status::HoldExceeded);
        }
        let whole = fee(amount, hold.rate);
        if whole >= amount {
            return Err(Status::AmountBelowFee);
        }
        if is_above_limit(hold.rate, command.value) {
            return Err(Status::FeeAboveLimit);
        }
        // Point of no return.
        self.note.rate = hold.rate;
        let (from, to) = (Side::held(hold.debtor), Side::liquid(hold.creditor));
        self.post(Event::TokensTransferred, from, to, amount - whole);
        self.post_capture_fee(&hold, amount, whole);
        self.lower_hold(slot, amount);
        self.tell_between(Event::HoldCaptured, hold.debtor, hold.creditor);
        let rest = hold.left - amount;
        if rest > 0 && keep {
            self.undo.note(|| Step::HoldCaptured(hold));
        } else {
            if rest > 0 {
                self.give_back(slot, Event::HoldReleased);
            }
            self.end_hold(slot, hold);
        }
        self.balances(Some(hold.debtor), Some(hold.creditor));
        Ok(hold.rate)
    }

    fn post_capture_fee(&mut self, hold: &Hold, amount: u128, whole: u128) {
        let debit = self.accounts.hot(hold.debtor);
        let payee_host = self.accounts.hot(hold.creditor).host;
        let asset = self.assets.row(debit.asset);
        let collector = asset.collectors[usize::from(debit.host)];
        let from = Side::held(hold.debtor);
        let mut to_collector = whole;
        if debit.host != payee_host {
            let treasury = asset.treasuries[usize::from(payee_host)];
            let cross = fee(amount, CROSS_HOST_RATE);
            self.post(Event::TransactionFeeCollected, from, Side::liquid(treasury), cross);
            to_collector -= cross;
        }
        if to_collector > 0 {
            let to = Side::liquid(collector);
            self.post(Event::TransactionFeeCollected, from, to, to_collector);
        }
    }

    /// Gives all that is left of a hold back to its debtor.
    fn give_back(&mut self, slot: u32, event: Event) {
        let hold = *self.holds.row(slot);
        let (from, to) = (Side::held(hold.debtor), Side::liquid(hold.debtor));
        self.post(event, from, to, hold.left);
        self.lower_hold(slot, hold.left);
    }

    /// Releases a hold.
    pub(super) fn release(&mut self, command: &Command, hint: &Hint) -> Result<(), Status> {
        let (slot, hold) = self.judge_named_hold(command, hint)?;
        // Point of no return.
        self.note.rate = hold.rate;
        self.give_back(slot, Event::HoldReleased);
        self.end_hold(slot, hold);
        self.balances(Some(hold.debtor), Some(hold.creditor));
        Ok(())
    }

    /// Ends a hold whose time has come.
    pub(crate) fn expire(&mut self, slot: u32) {
        let hold = *self.holds.row(slot);
        self.note.reference = hold.id;
        self.note.rate = hold.rate;
        self.note.user_data = 0;
        self.digest.timer(self.sequence, hold.id, hold.left);
        self.give_back(slot, Event::HoldExpired);
        self.end_hold(slot, hold);
    }
}
