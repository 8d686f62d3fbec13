//! Accounts: opening, freezing, closing, limits.
//!
//! | kind | debited | credited | events |
//! |---|---|---|---|
//! | open | – | – | `AccountOpened` |
//! | freeze, unfreeze | – | – | `AccountFrozen`, `AccountUnfrozen` |
//! | close with l > 1 | d.liquid l | c.liquid l − f, fc(host d) f | `TokensTransferred`, `TransactionFeeCollected`, `AccountClosed` |
//! | close with l = 1 | d.liquid 1 | fc(host d) 1 | `TransactionFeeCollected`, `AccountClosed` |
//! | limits | – | – | `AccountLimitsSet` |

use protocol::amount::fee;
use protocol::effect::Event;
use protocol::genesis::Mode;
use protocol::ids::NATIVE;
use protocol::limits::SUPPLY_MAX;
use protocol::parameter::Parameter;
use protocol::system;
use protocol::{Command, Role, Status};

use crate::accounts::{Hot, NONE, bits};
use crate::engine::Engine;
use crate::owners::Owner;
use crate::posting::Side;
use crate::resolve::Hint;
use crate::undo::Step;

impl Engine {
    /// Whether `count` more accounts fit.
    pub(super) fn has_room_for(&self, count: usize) -> bool {
        self.accounts.len() + count <= self.configuration.count(Parameter::AccountsCapacity)
    }

    /// Adds an empty account; `owner_number` is [`NONE`] for a system account.
    pub(super) fn add_account(&mut self, owner: u128, owner_number: u32, place: u8) -> u32 {
        let (mut host, mut flags, mut next_of_owner) = (0, 0, NONE);
        if owner_number != NONE {
            let before = *self.owners.row(owner_number);
            self.undo.note(|| Step::Owner(owner_number, before));
            host = before.host;
            next_of_owner = before.first_account;
            flags = if before.agent_only { bits::AGENT_ONLY } else { 0 };
        }
        if self.effects.is_of_followed(owner) {
            flags |= bits::FOLLOWED;
        }
        let hot = Hot {
            liquid: 0,
            floor: 0,
            owner,
            sequence: self.sequence,
            owner_number,
            host,
            asset: place,
            flags,
        };
        let assets = &self.assets;
        let asset_of = |place| assets.row(place).id;
        let number = self.accounts.add(&self.hash, asset_of, hot, next_of_owner);
        if owner_number != NONE {
            self.owners.row_mut(owner_number).first_account = number;
        }
        self.assets.row_mut(place).accounts += 1;
        self.undo.note(|| Step::AccountAdded);
        self.note_change(number);
        number
    }

    /// The registry that an open would bind the owner to; `None` for the frame itself.
    fn opening_host(&self, command: &Command) -> Option<u128> {
        if self.caller.is(Role::Admin) {
            Some(command.credit)
        } else if self.caller.is(Role::Registry) {
            Some(self.caller.principal)
        } else {
            None
        }
    }

    /// Opens an account.
    pub(super) fn open(&mut self, command: &Command, hint: &Hint) -> Result<(), Status> {
        let owner = self.owner_number(command.debit);
        let registry = self.opening_host(command);
        let binds_new_host =
            registry.is_some_and(|registry| owner.is_none() && self.hosts.find(registry).is_none());
        self.judge_room_for_host(1, binds_new_host)?;
        let place = self.assets.place(command.asset).ok_or(Status::AssetNotFound)?;
        let is_reserved = self.caller.is(Role::Admin) && system::is_system(command.credit);
        if system::is_system(command.debit) || is_reserved {
            return Err(Status::ReservedOwner);
        }
        if let (Some(number), Some(registry)) = (owner, registry)
            && self.hosts.find(registry) != Some(self.owners.row(number).host)
        {
            return Err(Status::OwnerHostedElsewhere);
        }
        if self.debtor(command, hint).is_some() {
            return Err(Status::AccountExists);
        }
        // Point of no return.
        let number = owner.unwrap_or_else(|| {
            let host = registry.map_or(0, |registry| self.bind_host(registry));
            self.undo.note(|| Step::OwnerAdded(command.debit));
            self.owners.add(Owner::new(host))
        });
        self.add_account(command.debit, number, place);
        if owner.is_none() {
            self.owners.enter(&self.hash, &self.accounts, number);
        }
        let host = self.owners.row(number).host;
        let principal = self.hosts.row(host).principal;
        self.tell(Event::AccountOpened, command.asset, command.debit, principal);
        Ok(())
    }

    /// The account that a command about one account names, if it is an ordinary one.
    fn judge_ordinary(&self, command: &Command, hint: &Hint) -> Result<u32, Status> {
        if self.assets.place(command.asset).is_none() {
            return Err(Status::AssetNotFound);
        }
        let number = self.debtor(command, hint).ok_or(Status::DebtorNotFound)?;
        if self.accounts.hot(number).is_system() {
            return Err(Status::SystemAccount);
        }
        if self.accounts.hot(number).has(bits::CLOSED) {
            return Err(Status::DebtorClosed);
        }
        Ok(number)
    }

    /// Freezes an account, or lifts it.
    pub(super) fn freeze(
        &mut self,
        command: &Command,
        hint: &Hint,
        on: bool,
    ) -> Result<(), Status> {
        let number = self.judge_ordinary(command, hint)?;
        // Point of no return.
        let hot = self.change(number);
        let event = if on {
            hot.flags |= bits::FROZEN;
            Event::AccountFrozen
        } else {
            hot.flags &= !bits::FROZEN;
            Event::AccountUnfrozen
        };
        self.note.reference = u128::from(command.code);
        self.tell(event, command.asset, command.debit, 0);
        Ok(())
    }

    /// Debtor, and creditor if anything is left to sweep.
    fn judge_close(&self, command: &Command, hint: &Hint) -> Result<(u32, Option<u32>), Status> {
        if self.assets.place(command.asset).is_none() {
            return Err(Status::AssetNotFound);
        }
        let debtor = self.debtor(command, hint).ok_or(Status::DebtorNotFound)?;
        let hot = self.accounts.hot(debtor);
        let creditor =
            if hot.liquid > 0 { Some(self.judge_creditor(command, hint)?) } else { None };
        if hot.is_system() {
            return Err(Status::SystemAccount);
        }
        if creditor == Some(debtor) {
            return Err(Status::SameAccount);
        }
        if hot.has(bits::CLOSED) {
            return Err(Status::DebtorClosed);
        }
        if creditor.is_some_and(|number| self.accounts.hot(number).has(bits::CLOSED)) {
            return Err(Status::CreditorClosed);
        }
        if hot.has(bits::FROZEN) && !self.caller.is(Role::Admin) {
            return Err(Status::DebtorFrozen);
        }
        let cold = self.accounts.cold(debtor);
        if cold.open_items > 0 {
            return Err(Status::OpenItems);
        }
        if cold.held > 0 {
            return Err(Status::BucketNotZero);
        }
        if hot.liquid < 0 {
            return Err(Status::NegativeBalance);
        }
        Ok((debtor, creditor))
    }

    /// Closes an account and sweeps what is left.
    pub(super) fn close(&mut self, command: &Command, hint: &Hint) -> Result<(), Status> {
        let (debtor, creditor) = self.judge_close(command, hint)?;
        // Point of no return.
        if let Some(creditor) = creditor {
            self.sweep(debtor, creditor);
        }
        self.change(debtor).flags |= bits::CLOSED;
        self.tell(Event::AccountClosed, command.asset, command.debit, command.credit);
        self.balances(Some(debtor), creditor);
        Ok(())
    }

    fn sweep(&mut self, debtor: u32, creditor: u32) {
        let hot = self.accounts.hot(debtor);
        let left = hot.available(0);
        let collector = self.assets.row(hot.asset).collectors[usize::from(hot.host)];
        let base = self.configuration.curve.base;
        let charge = if left > 1 { fee(left, base) } else { left };
        self.note.rate = base;
        let from = Side::liquid(debtor);
        if left > charge {
            let to = Side::liquid(creditor);
            self.post(Event::TokensTransferred, from, to, left - charge);
        }
        let to = Side::liquid(collector);
        self.post(Event::TransactionFeeCollected, from, to, charge);
    }

    /// Sets minimum balance and credit limit.
    pub(super) fn limits(&mut self, command: &Command, hint: &Hint) -> Result<(), Status> {
        let (minimum, credit_limit) = (command.amount, command.reference);
        let number = self.debtor(command, hint);
        let present = number.map_or(0, |number| self.accounts.cold(number).credit_limit);
        let raises = credit_limit > present;
        if raises && self.mint_halted {
            return Err(Status::MintHalted);
        }
        if raises && self.genesis.mode == Mode::Operator {
            return Err(Status::MintDisabled);
        }
        let number = self.judge_ordinary(command, hint)?;
        if credit_limit > 0 && command.asset != NATIVE {
            return Err(Status::NativeOnly);
        }
        let place = self.accounts.hot(number).asset;
        let sums = &self.assets.row(place).sums;
        let granted = (sums.credit_granted - present).saturating_add(credit_limit);
        if raises && sums.passes_cap(granted, 0) {
            return Err(Status::SupplyCap);
        }
        if minimum > SUPPLY_MAX || credit_limit > SUPPLY_MAX {
            return Err(Status::OutOfBounds);
        }
        if raises && granted > self.configuration.value(Parameter::CreditTotal) {
            return Err(Status::CreditCap);
        }
        // Point of no return.
        let signed = |units: u128| i128::try_from(units).expect("both are at most 2^120");
        let floor = signed(minimum) - signed(credit_limit);
        self.change(number).floor = floor;
        let cold = self.accounts.cold_mut(number);
        (cold.minimum, cold.credit_limit) = (minimum, credit_limit);
        self.assets.row_mut(place).sums.credit_granted = granted;
        self.tell(Event::AccountLimitsSet, command.asset, command.debit, 0);
        Ok(())
    }
}
