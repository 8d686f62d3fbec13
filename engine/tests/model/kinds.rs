//! The kinds of the naive model, each from the capacity class on: every check in the order of the
//! ladder, then the postings. It refuses to post before the last check has passed.

use protocol::command::{Command, flags};
use protocol::data;
use protocol::genesis::Mode;
use protocol::ids::{AssetId, OwnerId};
use protocol::kind::Kind;
use protocol::limits::{AMOUNT_MAX, ASSETS_MAX, HOSTS_MAX, SCALE_MAX, SUPPLY_MAX};
use protocol::parameter::{FEE_NOTICE_MS, Parameter};
use protocol::request::Role;
use protocol::status::Status;
use protocol::system::{self, Class};

use super::{Account, Books, Caller, Change, Hold, Leg, Owner, Ruling};
use super::{fee, is_treasury, refuse_if, signed};

const CROSS_HOST_RATE: u128 = 5_000;
const DAY_MS: u64 = 86_400_000;
const CHANGES_MAX: usize = 16;

impl Books {
    /// From the capacity class on.
    pub(super) fn run(&mut self, caller: Caller, leg: &Leg<'_>, sequence: u64) -> Ruling {
        let command = leg.command;
        let kind = Kind::try_from(command.kind).expect("the shape was checked");
        match kind {
            Kind::Open => self.open(caller, command),
            Kind::Freeze => self.freeze(command, true),
            Kind::Unfreeze => self.freeze(command, false),
            Kind::Close => self.close(caller, command),
            Kind::Limits => self.limits(command),
            Kind::Rehost => self.rehost(caller, command),
            Kind::AgentOnly => self.agent_only(command),
            Kind::Transfer => self.transfer(caller, command),
            Kind::Hold => self.hold(caller, command, sequence),
            Kind::Capture => self.capture(command),
            Kind::Release => self.release(command),
            Kind::SystemTransfer => self.system_transfer(command),
            Kind::Issue => self.issue(command),
            Kind::Burn => self.burn(command),
            Kind::Configure => self.configure(command, sequence),
            Kind::Asset => self.asset(leg),
            Kind::HaltMint => {
                self.mint_halted = true;
                Ok(0)
            }
            Kind::ResumeMint => {
                self.mint_halted = false;
                Ok(0)
            }
            other => panic!("not executed here: {other:?}"),
        }
    }

    pub(super) fn asset_exists(&self, asset: AssetId) -> Result<(), Status> {
        refuse_if(!self.assets.contains_key(&asset), Status::AssetNotFound)
    }

    pub(super) fn debtor_exists(&self, command: &Command) -> Result<(), Status> {
        let account = self.account(command.debit, command.asset);
        refuse_if(account.is_none(), Status::DebtorNotFound)
    }

    /// `creditor_not_found`, then `reserved_owner`, as a transfer judges its creditor.
    fn creditor_may_receive(&self, command: &Command) -> Result<(), Status> {
        let is_there = self.account(command.credit, command.asset).is_some();
        if !system::is_system(command.credit) {
            return refuse_if(!is_there, Status::CreditorNotFound);
        }
        let open_to_all = matches!(
            system::classify(command.credit),
            Some((Class::Treasury | Class::StakingPool | Class::GrantPool, _))
        );
        refuse_if(!(is_there && open_to_all), Status::ReservedOwner)
    }

    fn amount_in_range(amount: u128) -> Result<(), Status> {
        refuse_if(amount == 0, Status::AmountZero)?;
        refuse_if(amount > AMOUNT_MAX, Status::AmountTooLarge)
    }

    fn open(&mut self, caller: Caller, command: &Command) -> Ruling {
        let bound_to = self.owners.get(&command.debit).map(|facts| facts.host);
        // The registry that opens, or the one that an admin names.
        let asked = match caller.role {
            Some(Role::Registry) => Some(caller.principal),
            Some(Role::Admin) => Some(command.credit),
            _ => None,
        };
        let new_host =
            bound_to.is_none() && asked.is_some_and(|asked| self.find_host(asked).is_none());
        let system_accounts = if new_host { 2 * self.assets.len() } else { 0 };
        self.fits(1 + system_accounts)?;
        refuse_if(new_host && self.hosts.len() >= HOSTS_MAX, Status::HostsFull)?;
        self.asset_exists(command.asset)?;
        let reserved = system::is_system(command.debit)
            || (caller.role == Some(Role::Admin) && system::is_system(command.credit));
        refuse_if(reserved, Status::ReservedOwner)?;
        if let (Some(host), Some(asked)) = (bound_to, asked) {
            refuse_if(self.hosts[host].principal != Some(asked), Status::OwnerHostedElsewhere)?;
        }
        let key = (command.debit, command.asset);
        refuse_if(self.accounts.contains_key(&key), Status::AccountExists)?;

        if bound_to.is_none() {
            let host = asked.map_or(0, |asked| self.host_index(asked));
            let facts = Owner { host, agent_only: false, pending_host: None };
            self.owners.insert(command.debit, facts);
        }
        self.accounts.insert(key, Account::default());
        Ok(0)
    }

    fn freeze(&mut self, command: &Command, frozen: bool) -> Ruling {
        self.asset_exists(command.asset)?;
        self.debtor_exists(command)?;
        refuse_if(system::is_system(command.debit), Status::SystemAccount)?;
        refuse_if(self.is_closed(command.debit, command.asset), Status::DebtorClosed)?;
        self.account_mut(command.debit, command.asset).frozen = frozen;
        Ok(0)
    }

    fn close(&mut self, caller: Caller, command: &Command) -> Ruling {
        let (debit, credit, asset) = (command.debit, command.credit, command.asset);
        self.asset_exists(asset)?;
        self.debtor_exists(command)?;
        let liquid = self.liquid(debit, asset);
        let sweeps = liquid > 0;
        if sweeps {
            self.creditor_may_receive(command)?;
        }
        refuse_if(system::is_system(debit), Status::SystemAccount)?;
        refuse_if(sweeps && debit == credit, Status::SameAccount)?;
        refuse_if(self.is_closed(debit, asset), Status::DebtorClosed)?;
        refuse_if(sweeps && self.is_closed(credit, asset), Status::CreditorClosed)?;
        refuse_if(
            caller.role != Some(Role::Admin) && self.is_frozen(debit, asset),
            Status::DebtorFrozen,
        )?;
        refuse_if(self.open_holds_of(debit, asset) > 0, Status::OpenItems)?;
        let held = self.account_mut(debit, asset).held;
        refuse_if(held > 0, Status::BucketNotZero)?;
        refuse_if(liquid < 0, Status::NegativeBalance)?;

        let amount = liquid.unsigned_abs();
        let collector = system::fee_collector(self.host_of(debit) as u32);
        if amount == 1 {
            self.take(debit, asset, 1);
            self.give(collector, asset, 1);
        } else if amount > 1 {
            let part = fee(amount, self.parameter(Parameter::FeeBase));
            self.take(debit, asset, amount);
            self.give(credit, asset, amount - part);
            self.give(collector, asset, part);
        }
        self.account_mut(debit, asset).closed = true;
        Ok(0)
    }

    fn limits(&mut self, command: &Command) -> Ruling {
        let (debit, asset) = (command.debit, command.asset);
        let (minimum, limit) = (command.amount, command.reference);
        let present = self.credit_limit(debit, asset);
        let raises = limit > present;
        refuse_if(raises && self.mint_halted, Status::MintHalted)?;
        refuse_if(raises && self.mode == Mode::Operator, Status::MintDisabled)?;
        self.asset_exists(asset)?;
        self.debtor_exists(command)?;
        refuse_if(system::is_system(debit), Status::SystemAccount)?;
        refuse_if(self.is_closed(debit, asset), Status::DebtorClosed)?;
        refuse_if(limit > 0 && asset != protocol::ids::NATIVE, Status::NativeOnly)?;
        let others = self.credit_granted(asset) - present;
        let granted = others.checked_add(limit);
        let fits = granted
            .and_then(|granted| granted.checked_add(self.outstanding(asset)))
            .is_some_and(|sum| sum <= SUPPLY_MAX);
        refuse_if(!fits, Status::SupplyCap)?;
        refuse_if(minimum > SUPPLY_MAX || limit > SUPPLY_MAX, Status::OutOfBounds)?;
        let total = self.parameter(Parameter::CreditTotal);
        refuse_if(raises && granted.is_none_or(|granted| granted > total), Status::CreditCap)?;

        let account = self.account_mut(debit, asset);
        account.minimum = minimum;
        account.credit_limit = limit;
        Ok(0)
    }

    fn rehost(&mut self, caller: Caller, command: &Command) -> Ruling {
        let to = command.credit;
        let agent = caller.role == Some(Role::Agent);
        let owner = self.owners.get(&command.debit).cloned();
        let pending = owner.as_ref().and_then(|owner| owner.pending_host);
        let moves = match caller.role {
            Some(Role::Agent) => false,
            Some(Role::Registry) => pending == Some(caller.principal),
            _ => owner.is_some() && !system::is_system(to),
        };
        if moves && self.find_host(to).is_none() {
            self.fits(2 * self.assets.len())?;
            refuse_if(self.hosts.len() >= HOSTS_MAX, Status::HostsFull)?;
        }
        if caller.role == Some(Role::Registry) {
            refuse_if(pending != Some(caller.principal), Status::HostRefuses)?;
        } else {
            refuse_if(owner.is_none(), Status::DebtorNotFound)?;
            refuse_if(system::is_system(to), Status::ReservedOwner)?;
        }

        let host = if agent { None } else { Some(self.host_index(to)) };
        let owner = self.owners.get_mut(&command.debit).expect("the owner was checked");
        if let Some(host) = host {
            owner.host = host;
            owner.pending_host = None;
        } else {
            owner.pending_host = Some(to);
        }
        Ok(0)
    }

    fn agent_only(&mut self, command: &Command) -> Ruling {
        let owner = self.owners.get_mut(&command.debit);
        owner.ok_or(Status::DebtorNotFound)?.agent_only = command.code == 1;
        Ok(0)
    }

    pub(super) fn transfer(&mut self, caller: Caller, command: &Command) -> Ruling {
        let (debit, credit, asset) = (command.debit, command.credit, command.asset);
        let amount = command.amount;
        self.host_limit(caller, command)?;
        self.asset_exists(asset)?;
        self.debtor_exists(command)?;
        self.creditor_may_receive(command)?;
        self.pair_may_move(debit, credit, asset)?;
        Self::amount_in_range(amount)?;
        if system::is_system(credit) {
            refuse_if(!self.can_pay(debit, asset, amount), Status::InsufficientFunds)?;
            self.take(debit, asset, amount);
            self.give(credit, asset, amount);
            self.baseline_over = true;
            self.count_host_debit(caller, command);
            return Ok(0);
        }
        let rate = self.rate(debit, credit, asset);
        let base_fee = fee(amount, self.parameter(Parameter::FeeBase));
        let velocity_fee = fee(amount, u128::from(rate)) - base_fee;
        let (debit_host, credit_host) = (self.host_of(debit), self.host_of(credit));
        let same_host = debit_host == credit_host;
        let out_of_amount = if same_host { base_fee } else { fee(amount, CROSS_HOST_RATE) };
        refuse_if(amount <= out_of_amount, Status::AmountBelowFee)?;
        refuse_if(command.value != 0 && u64::from(rate) > command.value, Status::FeeAboveLimit)?;
        refuse_if(!self.can_pay(debit, asset, amount + velocity_fee), Status::InsufficientFunds)?;

        self.take(debit, asset, amount + velocity_fee);
        self.give(credit, asset, amount - out_of_amount);
        let collector = system::fee_collector(debit_host as u32);
        self.give(collector, asset, velocity_fee);
        if same_host {
            self.give(collector, asset, base_fee);
        } else {
            let treasury = system::treasury(credit_host as u32);
            self.give(treasury, asset, out_of_amount);
        }
        self.count_payment(debit, credit, asset);
        self.baseline_over = true;
        self.count_host_debit(caller, command);
        Ok(rate)
    }

    /// `same_account`, `debtor_closed`, `creditor_closed`, `debtor_frozen`.
    fn pair_may_move(&self, debit: OwnerId, credit: OwnerId, asset: AssetId) -> Result<(), Status> {
        refuse_if(debit == credit, Status::SameAccount)?;
        refuse_if(self.is_closed(debit, asset), Status::DebtorClosed)?;
        refuse_if(self.is_closed(credit, asset), Status::CreditorClosed)?;
        refuse_if(self.is_frozen(debit, asset), Status::DebtorFrozen)
    }

    fn hold(&mut self, caller: Caller, command: &Command, sequence: u64) -> Ruling {
        let (debit, credit, asset) = (command.debit, command.credit, command.asset);
        let amount = command.amount;
        let open = self.holds.len() as u128;
        refuse_if(open >= self.parameter(Parameter::HoldsCapacity), Status::HoldsFull)?;
        let of_debtor =
            self.holds.keys().filter(|(debtor, of, _)| *debtor == debit && *of == asset).count()
                as u128;
        refuse_if(of_debtor >= self.parameter(Parameter::HoldsPerDebtor), Status::HoldsPerDebtor)?;
        self.host_limit(caller, command)?;
        self.asset_exists(asset)?;
        self.debtor_exists(command)?;
        if system::is_system(credit) {
            return Err(Status::ReservedOwner);
        }
        self.creditor_may_receive(command)?;
        self.pair_may_move(debit, credit, asset)?;
        Self::amount_in_range(amount)?;
        let timeout_ms = if command.timeout_ms == 0 {
            self.parameter(Parameter::HoldDefaultMs)
        } else {
            u128::from(command.timeout_ms)
        };
        refuse_if(timeout_ms > self.parameter(Parameter::HoldMaxMs), Status::ExpiryBounds)?;
        let rate = self.rate(debit, credit, asset);
        refuse_if(amount <= fee(amount, u128::from(rate)), Status::AmountBelowFee)?;
        refuse_if(command.value != 0 && u64::from(rate) > command.value, Status::FeeAboveLimit)?;
        refuse_if(!self.can_pay(debit, asset, amount), Status::InsufficientFunds)?;

        let debtor = self.account_mut(debit, asset);
        debtor.liquid -= signed(amount);
        debtor.held += amount;
        let lifetime_ns = u64::try_from(timeout_ms * 1_000_000).expect("at most 30 days");
        let hold = Hold {
            creditor: credit,
            amount,
            left: amount,
            rate,
            keep: command.has(flags::KEEP),
            expiry_ns: self.now_ns + lifetime_ns,
            sequence,
        };
        let replaced = self.holds.insert((debit, asset, command.id), hold);
        assert!(replaced.is_none(), "an id takes effect at most once");
        self.count_payment(debit, credit, asset);
        self.baseline_over = true;
        self.count_host_debit(caller, command);
        Ok(rate)
    }

    /// What capture and release check alike.
    fn find_hold(&self, command: &Command) -> Result<Hold, Status> {
        self.asset_exists(command.asset)?;
        self.debtor_exists(command)?;
        self.creditor_may_receive(command)?;
        refuse_if(self.is_closed(command.credit, command.asset), Status::CreditorClosed)?;
        let key = (command.debit, command.asset, command.reference);
        let hold = self.holds.get(&key).ok_or(Status::HoldNotFound)?;
        refuse_if(hold.creditor != command.credit, Status::HoldNotYours)?;
        refuse_if(hold.expiry_ns <= self.now_ns, Status::HoldExpired)?;
        Ok(hold.clone())
    }

    fn capture(&mut self, command: &Command) -> Ruling {
        let (debit, credit, asset) = (command.debit, command.credit, command.asset);
        let hold = self.find_hold(command)?;
        let keep = command.has(flags::KEEP);
        refuse_if(keep && !hold.keep, Status::KeepNotAllowed)?;
        let amount = if command.has(flags::ALL) { hold.left } else { command.amount };
        Self::amount_in_range(amount)?;
        refuse_if(amount > hold.left, Status::HoldExceeded)?;
        let part = fee(amount, u128::from(hold.rate));
        refuse_if(amount <= part, Status::AmountBelowFee)?;
        refuse_if(
            command.value != 0 && u64::from(hold.rate) > command.value,
            Status::FeeAboveLimit,
        )?;

        let (debit_host, credit_host) = (self.host_of(debit), self.host_of(credit));
        let to_treasury = if debit_host == credit_host { 0 } else { fee(amount, CROSS_HOST_RATE) };
        self.account_mut(debit, asset).held -= amount;
        self.give(credit, asset, amount - part);
        let collector = system::fee_collector(debit_host as u32);
        self.give(collector, asset, part - to_treasury);
        let treasury = system::treasury(credit_host as u32);
        self.give(treasury, asset, to_treasury);
        let key = (debit, asset, command.reference);
        let hold_now = self.holds.get_mut(&key).expect("the hold is there");
        hold_now.left -= amount;
        if !keep || hold_now.left == 0 {
            self.end_hold(key);
        }
        Ok(hold.rate)
    }

    fn release(&mut self, command: &Command) -> Ruling {
        self.find_hold(command)?;
        self.end_hold((command.debit, command.asset, command.reference));
        Ok(0)
    }

    fn system_transfer(&mut self, command: &Command) -> Ruling {
        let (debit, credit, asset) = (command.debit, command.credit, command.asset);
        self.asset_exists(asset)?;
        self.debtor_exists(command)?;
        let ordinary_credit = !system::is_system(credit);
        let credit_there = self.account(credit, asset).is_some();
        refuse_if(ordinary_credit && !credit_there, Status::CreditorNotFound)?;
        refuse_if(self.is_closed(credit, asset), Status::CreditorClosed)?;
        let to = system::classify(credit).map(|(class, _)| class);
        let routed = match system::classify(debit).map(|(class, _)| class) {
            Some(Class::FeeCollector) => to == Some(Class::Treasury),
            Some(Class::Treasury) => {
                ordinary_credit || matches!(to, Some(Class::StakingPool | Class::GrantPool))
            }
            _ => false,
        };
        refuse_if(!routed || !credit_there, Status::Route)?;
        Self::amount_in_range(command.amount)?;
        refuse_if(self.liquid(debit, asset) < signed(command.amount), Status::InsufficientFunds)?;

        self.take(debit, asset, command.amount);
        self.give(credit, asset, command.amount);
        self.baseline_over = true;
        Ok(0)
    }

    fn issue(&mut self, command: &Command) -> Ruling {
        let asset = command.asset;
        let baseline = command.code == protocol::command::reason::BASELINE;
        refuse_if(self.mint_halted, Status::MintHalted)?;
        refuse_if(self.mode == Mode::Operator, Status::MintDisabled)?;
        refuse_if(baseline && self.baseline_over, Status::TooLate)?;
        self.asset_exists(asset)?;
        self.creditor_may_receive(command)?;
        refuse_if(self.is_closed(command.credit, asset), Status::CreditorClosed)?;
        Self::amount_in_range(command.amount)?;
        let after = self.outstanding(asset) + self.credit_granted(asset) + command.amount;
        refuse_if(after > SUPPLY_MAX, Status::SupplyCap)?;

        let facts = self.assets.get_mut(&asset).expect("the asset was checked");
        facts.issued.add(command.amount);
        self.give(command.credit, asset, command.amount);
        if !baseline {
            self.baseline_over = true;
        }
        Ok(0)
    }

    fn burn(&mut self, command: &Command) -> Ruling {
        let (debit, asset) = (command.debit, command.asset);
        let ordinary = command.code == protocol::command::reason::ORDINARY;
        self.asset_exists(asset)?;
        self.debtor_exists(command)?;
        refuse_if(system::is_system(debit) && !is_treasury(debit), Status::SystemAccount)?;
        refuse_if(self.is_closed(debit, asset), Status::DebtorClosed)?;
        refuse_if(ordinary && self.is_frozen(debit, asset), Status::DebtorFrozen)?;
        Self::amount_in_range(command.amount)?;
        let minimum = self.account_mut(debit, asset).minimum;
        let floor = if ordinary { signed(minimum) } else { 0 };
        refuse_if(
            self.liquid(debit, asset) - floor < signed(command.amount),
            Status::InsufficientFunds,
        )?;

        self.take(debit, asset, command.amount);
        let facts = self.assets.get_mut(&asset).expect("the asset was checked");
        facts.destroyed.add(command.amount);
        self.baseline_over = true;
        Ok(0)
    }

    fn configure(&mut self, command: &Command, sequence: u64) -> Ruling {
        let parameter = Parameter::from_number(command.code).expect("the shape was checked");
        let (value, now_ms) = (command.amount, self.now_ms());
        refuse_if(parameter.is_fee() && self.changes.len() >= CHANGES_MAX, Status::ChangesFull)?;
        // A host may have any principal, 0 too, which no credit of another parameter names.
        let host = (parameter == Parameter::HostDebitLimit)
            .then(|| self.find_host(command.credit))
            .flatten();
        refuse_if(
            parameter == Parameter::HostDebitLimit && host.is_none(),
            Status::CreditorNotFound,
        )?;
        let changed = self.parameters.with(parameter, value);
        let effective_ms = match command.value {
            0 => now_ms + FEE_NOTICE_MS,
            named => named,
        };
        let in_time = if parameter.is_fee() {
            (now_ms + FEE_NOTICE_MS..=now_ms + 366 * DAY_MS).contains(&effective_ms)
        } else {
            command.value == 0
        };
        refuse_if(changed.validate().is_err() || !in_time, Status::OutOfBounds)?;
        refuse_if(
            parameter.is_capacity() && value < self.parameter(parameter),
            Status::CapacityShrinks,
        )?;

        if parameter.is_fee() {
            self.changes.push(Change { parameter, value, effective_ms, sequence });
        } else if let Some(host) = host {
            self.hosts[host].debit_limit = value;
        } else {
            self.parameters = changed;
        }
        Ok(0)
    }

    fn asset(&mut self, leg: &Leg<'_>) -> Ruling {
        let command = leg.command;
        self.fits(2 * self.hosts.len() + 2)?;
        refuse_if(self.assets.len() >= ASSETS_MAX, Status::AssetsFull)?;
        refuse_if(command.asset == 0, Status::AssetNotFound)?;
        refuse_if(self.assets.contains_key(&command.asset), Status::AssetExists)?;
        let scale = u16::try_from(command.value).unwrap_or(u16::MAX);
        refuse_if(scale > SCALE_MAX, Status::OutOfBounds)?;
        let name = data::find_text(leg.data, data::TAG_NAME).expect("the shape was checked");
        self.add_asset(command.asset, scale, name);
        Ok(0)
    }
}
