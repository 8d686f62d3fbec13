//! Payments: transfer, its dry run, and the transfers of the frame's own units.
//!
//! | kind | debited | credited | events |
//! |---|---|---|---|
//! | transfer, same host | d.liquid x + s | c.liquid x − b, fc(host d) b + s | `TokensTransferred`, `TransactionFeeCollected` |
//! | transfer, other host | d.liquid x + s | c.liquid x − f, tr(host c) f, fc(host d) s | the same, `CrossRegistryTransferCompleted` |
//! | transfer to the frame | d.liquid x | system.liquid x | `TokensTransferred` |
//! | system transfer | system.liquid x | system or o.liquid x | `TokensTransferred` |

use protocol::amount::fee;
use protocol::effect::Event;
use protocol::ids::NATIVE;
use protocol::limits::AMOUNT_MAX;
use protocol::system::{self, Class};
use protocol::{Command, Kind, OwnerId, Status};

use crate::accounts::{Hot, bits};
use crate::authority::Caller;
use crate::engine::Engine;
use crate::limits::CROSS_HOST_RATE;
use crate::posting::Side;
use crate::resolve::Hint;
use crate::undo::Step;
use crate::velocity::Pair;

/// The accounts that a payment is between.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parties<'a> {
    pub(crate) debtor: u32,
    pub(crate) creditor: u32,
    pub(crate) debit: &'a Hot,
    pub(crate) credit: &'a Hot,
}

/// A transfer that is going to be executed. Flat: an option in it would be moved in pieces.
#[derive(Clone, Copy, Debug)]
struct Plan {
    debtor: u32,
    creditor: u32,
    rate: u32,
    /// Place of the asset.
    asset: u8,
    /// Whether it pays fees and counts for its pair; one to the frame itself does not.
    is_charged: bool,
    /// Host of the debtor, which collects.
    host: u16,
    /// Host of the creditor.
    payee_host: u16,
    pair: Pair,
    /// The fee out of the amount.
    base: u128,
    /// The fee on top.
    extra: u128,
    /// Of both accounts.
    flags: u8,
}

/// What a transfer would cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quote {
    /// What the debtor pays.
    pub(crate) pays: u128,
    /// What the creditor gets.
    pub(crate) gets: u128,
    /// The fee out of the amount.
    pub(crate) base: u128,
    /// The fee on top.
    pub(crate) extra: u128,
    /// The rate.
    pub(crate) rate: u32,
}

/// Whether ordinary owners may pay this system owner, if it exists.
const fn receives(owner: OwnerId) -> bool {
    matches!(
        system::classify(owner),
        Some((Class::Treasury | Class::StakingPool | Class::GrantPool, _))
    )
}

/// The amount's own bounds.
#[inline]
pub(crate) const fn judge_amount(amount: u128) -> Result<(), Status> {
    if amount == 0 {
        Err(Status::AmountZero)
    } else if amount > AMOUNT_MAX {
        Err(Status::AmountTooLarge)
    } else {
        Ok(())
    }
}

/// Whether the rate is above what the command accepts.
#[inline]
pub(crate) fn is_above_limit(rate: u32, rate_max: u64) -> bool {
    rate_max != 0 && u64::from(rate) > rate_max
}

impl Engine {
    /// The account credited: one of an ordinary owner, or a system account that may be paid.
    #[inline(always)]
    pub(crate) fn judge_creditor(&self, command: &Command, hint: &Hint) -> Result<u32, Status> {
        let credit = command.credit;
        if !system::is_system(credit) {
            return self.creditor(command, hint).ok_or(Status::CreditorNotFound);
        }
        let creditor = self.creditor(command, hint).filter(|_| receives(credit));
        creditor.ok_or(Status::ReservedOwner)
    }

    /// The accounts of a payment between them.
    #[inline(always)]
    pub(crate) fn judge_accounts(
        &self,
        command: &Command,
        hint: &Hint,
    ) -> Result<Parties<'_>, Status> {
        if self.assets.place(command.asset).is_none() {
            return Err(Status::AssetNotFound);
        }
        let debtor = self.debtor(command, hint).ok_or(Status::DebtorNotFound)?;
        let creditor = self.judge_creditor(command, hint)?;
        if debtor == creditor {
            return Err(Status::SameAccount);
        }
        let (debit, credit) = (self.accounts.hot(debtor), self.accounts.hot(creditor));
        if debit.has(bits::CLOSED) {
            return Err(Status::DebtorClosed);
        }
        if credit.has(bits::CLOSED) {
            return Err(Status::CreditorClosed);
        }
        if debit.has(bits::FROZEN) {
            return Err(Status::DebtorFrozen);
        }
        Ok(Parties { debtor, creditor, debit, credit })
    }

    /// The host's limit on what it debits of its owners' money.
    #[inline]
    pub(crate) fn judge_host_limit(
        &self,
        caller: &Caller,
        command: &Command,
    ) -> Result<(), Status> {
        let Some(number) = caller.host else {
            return Ok(());
        };
        let host = self.hosts.row(number);
        if host.debit_limit == 0 || command.asset != NATIVE {
            return Ok(());
        }
        let used = if host.window == self.clock.host_window { host.used } else { 0 };
        if used.saturating_add(command.amount) > host.debit_limit {
            return Err(Status::HostLimit);
        }
        Ok(())
    }

    /// Counts what a host debited.
    #[inline]
    pub(crate) fn count_host(&mut self, command: &Command) {
        let Some(number) = self.caller.host else {
            return;
        };
        if command.asset != NATIVE {
            return;
        }
        let window = self.clock.host_window;
        let host = self.hosts.row_mut(number);
        self.undo.note(|| Step::Host(number, *host));
        if host.window != window {
            host.window = window;
            host.used = 0;
        }
        // Without a limit nothing bounds the sum, and a limit set later is far below its end.
        host.used = host.used.saturating_add(command.amount);
    }

    /// The pair of a payment and the rate that it pays now.
    #[inline(always)]
    pub(crate) fn price(&self, hint: &Hint, pair: (u32, u32)) -> (Pair, u32) {
        let (debtor, creditor) = pair;
        let pair = self.velocity.find(hint.pair_hash, debtor, creditor);
        let rate = self.configuration.curve.rate(self.velocity.estimate(&pair));
        (pair, rate)
    }

    /// Counts a payment of a pair.
    #[inline]
    pub(crate) fn count_pair(&mut self, pair: &Pair) {
        let Self { velocity, undo, .. } = self;
        velocity.add(pair, |before| undo.note(|| Step::Velocity(before)));
    }

    #[inline(always)]
    fn plan_transfer(
        &self,
        caller: &Caller,
        command: &Command,
        hint: &Hint,
    ) -> Result<Plan, Status> {
        self.judge_host_limit(caller, command)?;
        let Parties { debtor, creditor, debit, credit } = self.judge_accounts(command, hint)?;
        let amount = command.amount;
        judge_amount(amount)?;
        let is_charged = !credit.is_system();
        let mut plan = Plan {
            debtor,
            creditor,
            rate: 0,
            asset: debit.asset,
            is_charged,
            host: debit.host,
            payee_host: credit.host,
            pair: Pair::default(),
            base: 0,
            extra: 0,
            flags: debit.flags | credit.flags,
        };
        if is_charged {
            (plan.pair, plan.rate) = self.price(hint, (debtor, creditor));
            let base_rate = self.configuration.curve.base;
            plan.base = fee(amount, base_rate);
            if plan.rate != base_rate {
                plan.extra = fee(amount, plan.rate) - plan.base;
            }
            if plan.host != plan.payee_host && base_rate != CROSS_HOST_RATE {
                plan.base = fee(amount, CROSS_HOST_RATE);
            }
            if plan.base >= amount {
                return Err(Status::AmountBelowFee);
            }
            if is_above_limit(plan.rate, command.value) {
                return Err(Status::FeeAboveLimit);
            }
        }
        // At most 2^127 and a twentieth of it.
        if amount + plan.extra > debit.available(debit.floor) {
            return Err(Status::InsufficientFunds);
        }
        Ok(plan)
    }

    /// Pays.
    #[inline]
    pub(super) fn transfer(&mut self, command: &Command, hint: &Hint) -> Result<u32, Status> {
        let plan = self.plan_transfer(&self.caller, command, hint)?;
        // Point of no return.
        self.money_moved = true;
        let Plan { debtor, creditor, base, extra, flags, .. } = plan;
        // What the debtor loses, and where.
        let (asset, loss) = (plan.asset, command.amount + extra);
        if !plan.is_charged {
            self.after = self.pay((asset, debtor, loss), (creditor, command.amount), [], flags);
            self.count_host(command);
            return Ok(0);
        }
        self.note.rate = plan.rate;
        let gets = (creditor, command.amount - base);
        let row = self.assets.row(asset);
        let collector = row.collectors[usize::from(plan.host)];
        if plan.host == plan.payee_host {
            self.after = self.pay((asset, debtor, loss), gets, [(collector, base + extra)], flags);
        } else {
            let treasury = row.treasuries[usize::from(plan.payee_host)];
            let fees = [(treasury, base), (collector, extra)];
            self.after = self.pay((asset, debtor, loss), gets, fees, flags);
            self.tell_between(Event::CrossRegistryTransferCompleted, debtor, creditor);
        }
        self.count_pair(&plan.pair);
        // Last: until another line is written, those just judged need not be looked up again.
        self.count_host(command);
        Ok(plan.rate)
    }

    /// What a transfer would do now.
    pub(crate) fn quote(&self, caller: &Caller, command: &Command) -> Result<Quote, Status> {
        let hint = self.resolve(Kind::Transfer, command);
        let Plan { rate, base, extra, .. } = self.plan_transfer(caller, command, &hint)?;
        Ok(Quote { pays: command.amount + extra, gets: command.amount - base, base, extra, rate })
    }

    /// Moves the frame's own units.
    pub(super) fn system_transfer(&mut self, command: &Command, hint: &Hint) -> Result<(), Status> {
        if self.assets.place(command.asset).is_none() {
            return Err(Status::AssetNotFound);
        }
        let debtor = self.debtor(command, hint).ok_or(Status::DebtorNotFound)?;
        let creditor = self.creditor(command, hint);
        if creditor.is_none() && !system::is_system(command.credit) {
            return Err(Status::CreditorNotFound);
        }
        if creditor.is_some_and(|number| self.accounts.hot(number).has(bits::CLOSED)) {
            return Err(Status::CreditorClosed);
        }
        let creditor =
            creditor.filter(|_| is_route(command.debit, command.credit)).ok_or(Status::Route)?;
        judge_amount(command.amount)?;
        if command.amount > self.accounts.hot(debtor).available(0) {
            return Err(Status::InsufficientFunds);
        }
        // Point of no return.
        self.money_moved = true;
        let (from, to) = (Side::liquid(debtor), Side::liquid(creditor));
        self.post(Event::TokensTransferred, from, to, command.amount);
        self.balances(Some(debtor), Some(creditor));
        Ok(())
    }
}

/// Whether the frame's own units may go this way.
fn is_route(debit: OwnerId, credit: OwnerId) -> bool {
    match (system::classify(debit), system::classify(credit)) {
        (Some((Class::FeeCollector, _)), Some((Class::Treasury, _)))
        | (Some((Class::Treasury, _)), Some((Class::StakingPool | Class::GrantPool, _))) => true,
        (Some((Class::Treasury, _)), None) => !system::is_system(credit),
        _ => false,
    }
}
