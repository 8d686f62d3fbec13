//! Supply: units enter and leave, and minting stops and goes on.
//!
//! | kind | debited | credited | events |
//! |---|---|---|---|
//! | issue | `#iss` x | c.liquid x | by reason: `TokensIssued`, `DisputeCompensationMinted`, `BalanceCorrected`, `ProjectionSnapshot` |
//! | burn | d.liquid x | `#dst` x | by reason: `TokensBurned`, `BalanceCorrected` |

use protocol::command::reason;
use protocol::effect::Event;
use protocol::genesis::Mode;
use protocol::{Command, Status};

use super::payment::judge_amount;
use crate::accounts::bits;
use crate::authority::is_treasury;
use crate::engine::Engine;
use crate::posting::Side;
use crate::resolve::Hint;

impl Engine {
    /// Issues units.
    pub(super) fn issue(&mut self, command: &Command, hint: &Hint) -> Result<(), Status> {
        let is_baseline = command.code == reason::BASELINE;
        if self.mint_halted {
            return Err(Status::MintHalted);
        }
        if self.genesis.mode == Mode::Operator {
            return Err(Status::MintDisabled);
        }
        if is_baseline && self.money_moved {
            return Err(Status::TooLate);
        }
        let place = self.assets.place(command.asset).ok_or(Status::AssetNotFound)?;
        let creditor = self.judge_creditor(command, hint)?;
        if self.accounts.hot(creditor).has(bits::CLOSED) {
            return Err(Status::CreditorClosed);
        }
        judge_amount(command.amount)?;
        let sums = &self.assets.row(place).sums;
        if sums.passes_cap(sums.credit_granted, command.amount) {
            return Err(Status::SupplyCap);
        }
        // Point of no return.
        if !is_baseline {
            self.money_moved = true;
        }
        let event = match command.code {
            reason::COMPENSATION => Event::DisputeCompensationMinted,
            reason::CORRECTION => Event::BalanceCorrected,
            reason::BASELINE => Event::ProjectionSnapshot,
            _ => Event::TokensIssued,
        };
        let to = Side::liquid(creditor);
        self.post(event, Side::COUNTER, to, command.amount);
        self.balances(None, Some(creditor));
        Ok(())
    }

    /// Destroys units.
    pub(super) fn burn(&mut self, command: &Command, hint: &Hint) -> Result<(), Status> {
        let is_ordinary = command.code == reason::ORDINARY;
        if self.assets.place(command.asset).is_none() {
            return Err(Status::AssetNotFound);
        }
        let debtor = self.debtor(command, hint).ok_or(Status::DebtorNotFound)?;
        let hot = self.accounts.hot(debtor);
        if hot.is_system() && !is_treasury(command.debit) {
            return Err(Status::SystemAccount);
        }
        if hot.has(bits::CLOSED) {
            return Err(Status::DebtorClosed);
        }
        if is_ordinary && hot.has(bits::FROZEN) {
            return Err(Status::DebtorFrozen);
        }
        judge_amount(command.amount)?;
        let minimum = self.accounts.cold(debtor).minimum;
        let floor = if is_ordinary && !hot.is_system() {
            i128::try_from(minimum).expect("a minimum is at most 2^120")
        } else {
            0
        };
        if command.amount > hot.available(floor) {
            return Err(Status::InsufficientFunds);
        }
        // Point of no return.
        self.money_moved = true;
        let event = if is_ordinary { Event::TokensBurned } else { Event::BalanceCorrected };
        self.post(event, Side::liquid(debtor), Side::COUNTER, command.amount);
        self.balances(Some(debtor), None);
        Ok(())
    }

    /// Stops every mint.
    pub(super) fn halt_mint(&mut self) -> Result<(), Status> {
        self.mint_halted = true;
        self.tell(Event::MintHalted, 0, 0, 0);
        Ok(())
    }

    /// Lets mints go on, if nothing is lost.
    pub(super) fn resume_mint(&mut self) -> Result<(), Status> {
        if !self.is_recount_clean() {
            self.mint_halted = true;
            return Err(Status::DeltaNotZero);
        }
        self.mint_halted = false;
        self.tell(Event::MintResumed, 0, 0, 0);
        Ok(())
    }

    fn is_recount_clean(&self) -> bool {
        self.assets.iter().zip(self.recounted()).all(|(asset, sums)| {
            asset.supply(&sums).delta() == Some(0) && sums.held == sums.open_holds
        })
    }
}
