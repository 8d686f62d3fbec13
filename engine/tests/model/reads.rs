//! Reads of the naive model: who may read what, and what the answer is. It refuses to know when an
//! account last changed: that field it leaves zero. Invariant: a read changes nothing.

use protocol::answer::{Answer, account_flags};
use protocol::command::Command;
use protocol::kind::Kind;
use protocol::parameter::Parameter;
use protocol::request::{Request, Role};
use protocol::shape;
use protocol::status::Status;
use protocol::system::{self, Class};

use super::{Books, Caller, Model, fee, refuse_if};

impl Model {
    pub(crate) fn read(&self, request: &Request, command: &Command) -> Answer {
        let caller = Caller {
            principal: request.principal,
            role: Role::from_number(request.role),
            history_checked: 0,
        };
        let answer = self
            .answer(caller, command, request.slots == 1)
            .unwrap_or_else(|status| Answer { status: status.number(), ..Answer::default() });
        Answer { kind: command.kind, asset: command.asset, ..answer }
    }

    fn answer(&self, caller: Caller, command: &Command, is_alone: bool) -> Result<Answer, Status> {
        let kind = shape::check(command, &[])?;
        refuse_if(kind == Kind::ReadRecount && !is_alone, Status::ListShape)?;
        let books = &self.books;
        refuse_if(!books.may_read(caller, kind, command), Status::NotFound)?;
        match kind {
            Kind::ReadOutcome => return Ok(self.read_outcome(command)),
            Kind::ReadParameter => return books.read_parameter(command),
            Kind::Quote => return books.quote(caller, command),
            _ => books.asset_exists(command.asset)?,
        }
        match kind {
            Kind::ReadAccount => books.read_account(command),
            Kind::ReadHold => books.read_hold(command),
            Kind::ReadAsset => Ok(books.read_asset(command)),
            _ => Ok(self.read_supply(command)),
        }
    }

    fn read_outcome(&self, command: &Command) -> Answer {
        let by_id = self.ids.get(&(command.debit, command.reference)).map(|known| known.outcome);
        let known = by_id.or_else(|| self.key_outcome(command.debit, command.reference));
        known.map_or_else(Answer::default, |known| Answer {
            flags: 1,
            sequence: known.sequence,
            rate: u32::from(known.rate),
            host: u32::from(known.status.number()),
            ..Answer::default()
        })
    }

    fn read_supply(&self, command: &Command) -> Answer {
        let rows = self.supply();
        let row = rows.iter().find(|row| row.asset == command.asset);
        let row = row.expect("the asset was checked");
        let accounts = self.accounts();
        let accounts = accounts.iter().filter(|account| account.asset == row.asset);
        Answer {
            flags: u32::from(self.books.mint_halted),
            sequence: self.sequence,
            value: row.issued.low,
            held: row.held,
            minimum: row.destroyed.low,
            credit: row.credit_granted,
            total: row.total().expect("sums are bounded"),
            delta: row.delta().expect("sums are bounded"),
            credit_used: row.credit_used,
            host: accounts.count() as u32,
            ..Answer::default()
        }
    }
}

impl Books {
    fn may_read(&self, caller: Caller, kind: Kind, command: &Command) -> bool {
        let debit = command.debit;
        let is = |role| caller.role == Some(role);
        let is_self = |owner| is(Role::Agent) && caller.principal == owner;
        if caller.role.is_none() {
            return false;
        }
        match kind {
            Kind::ReadAccount => {
                let own = match system::classify(debit) {
                    Some((Class::FeeCollector | Class::Treasury, host)) => {
                        is(Role::Registry)
                            && self.find_host(caller.principal) == Some(host as usize)
                    }
                    Some(_) => false,
                    None => is_self(debit) && !system::is_system(debit),
                };
                own || self.is_host_of(caller, debit) || is(Role::Auditor) || is(Role::Admin)
            }
            Kind::ReadOutcome => {
                self.acts_for(caller, debit) || caller.principal == debit || is(Role::Auditor)
            }
            Kind::ReadHold => {
                let hold = self.holds.get(&(debit, command.asset, command.reference));
                let by_creditor = hold.is_some_and(|hold| {
                    is_self(hold.creditor) || self.is_host_of(caller, hold.creditor)
                });
                self.acts_for(caller, debit) || by_creditor || is(Role::Auditor)
            }
            Kind::Quote => self.acts_for(caller, debit),
            Kind::ReadRecount => is(Role::Auditor) || is(Role::Admin) || is(Role::Mint),
            _ => true,
        }
    }

    fn read_account(&self, command: &Command) -> Result<Answer, Status> {
        let (owner, asset) = (command.debit, command.asset);
        let account = self.account(owner, asset).ok_or(Status::DebtorNotFound)?;
        let facts = self.owners.get(&owner);
        let mut bits = 0;
        if account.frozen {
            bits |= account_flags::FROZEN;
        }
        if account.closed {
            bits |= account_flags::CLOSED;
        }
        if facts.is_some_and(|facts| facts.agent_only) {
            bits |= account_flags::AGENT_ONLY;
        }
        Ok(Answer {
            flags: bits,
            value: account.liquid.cast_unsigned(),
            held: account.held,
            minimum: account.minimum,
            credit: account.credit_limit,
            host: self.host_of(owner) as u32,
            open_items: self.open_holds_of(owner, asset) as u32,
            ..Answer::default()
        })
    }

    fn read_hold(&self, command: &Command) -> Result<Answer, Status> {
        self.debtor_exists(command)?;
        let key = (command.debit, command.asset, command.reference);
        let hold = self.holds.get(&key).ok_or(Status::HoldNotFound)?;
        Ok(Answer {
            flags: u32::from(hold.keep),
            sequence: hold.sequence,
            value: hold.left,
            held: hold.amount,
            staked: hold.creditor,
            time: hold.expiry_ns / 1_000_000,
            rate: u32::from(hold.rate),
            ..Answer::default()
        })
    }

    fn read_asset(&self, command: &Command) -> Answer {
        let facts = &self.assets[&command.asset];
        let mut answer = Answer {
            rate: u32::from(facts.scale),
            open_items: facts.name.len() as u32,
            host: self.assets.keys().copied().find(|&other| other > command.asset).unwrap_or(0),
            ..Answer::default()
        };
        answer.text[..facts.name.len()].copy_from_slice(facts.name.as_bytes());
        answer
    }

    fn read_parameter(&self, command: &Command) -> Result<Answer, Status> {
        let parameter = Parameter::from_number(command.code).ok_or(Status::CodeUnknown)?;
        let of_host = parameter == Parameter::HostDebitLimit && command.credit != 0;
        let value = if of_host {
            let host = self.find_host(command.credit);
            self.hosts[host.ok_or(Status::CreditorNotFound)?].debit_limit
        } else {
            self.parameter(parameter)
        };
        Ok(Answer { value, ..Answer::default() })
    }

    /// Does it on a copy and looks what happened.
    fn quote(&self, caller: Caller, command: &Command) -> Result<Answer, Status> {
        let mut copy = self.clone();
        let rate = copy.transfer(caller, command)?;
        let moved = |owner| {
            let before = self.liquid(owner, command.asset);
            copy.liquid(owner, command.asset).abs_diff(before)
        };
        let (pays, gets) = (moved(command.debit), moved(command.credit));
        let exempt = system::is_system(command.credit);
        let base = if exempt { 0 } else { command.amount - gets };
        let same_host = self.host_of(command.debit) == self.host_of(command.credit);
        if same_host && !exempt {
            let rate = self.parameter(Parameter::FeeBase);
            assert_eq!(base, fee(command.amount, rate));
        }
        Ok(Answer {
            value: pays,
            held: gets,
            staked: base,
            bonded: pays - command.amount,
            rate: u32::from(rate),
            ..Answer::default()
        })
    }
}
