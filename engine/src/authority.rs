//! Authority: who may do what, decided from the request's principal and role and from who hosts
//! whom. Whatever is not allowed is refused as if it were not there.
//!
//! The invariant: nobody acts for a system owner.

use protocol::command::reason;
use protocol::system::{self, Class};
use protocol::{Command, Kind, OwnerId, Role};

use crate::accounts::{NONE, bits};
use crate::engine::Engine;
use crate::resolve::Hint;

/// By whose authority a request runs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Caller {
    /// Principal.
    pub(crate) principal: u128,
    /// Number of the role.
    pub(crate) role: u16,
    /// Index of the host that this registry is; `None` of every other role.
    pub(crate) host: Option<u16>,
}

impl Caller {
    /// Whether it has this role.
    pub(crate) const fn is(&self, role: Role) -> bool {
        self.role == role as u16
    }

    fn is_one_of(&self, roles: &[Role]) -> bool {
        roles.iter().any(|&role| self.is(role))
    }

    fn is_agent(&self, owner: OwnerId) -> bool {
        self.is(Role::Agent) && self.principal == owner
    }
}

impl Engine {
    /// Whether the caller may do this.
    pub(crate) fn allows(&self, kind: Kind, command: &Command, hint: &Hint) -> bool {
        let caller = &self.caller;
        let Command { debit, credit, .. } = *command;
        match kind {
            Kind::Transfer | Kind::Hold => self.acts_for(caller, debit, hint.debit),
            Kind::Capture | Kind::Release => self.acts_for(caller, credit, hint.credit),
            Kind::Open if credit == 0 => caller.is_agent(debit) || caller.is(Role::Registry),
            Kind::Open => caller.is(Role::Admin),
            Kind::Freeze | Kind::Unfreeze => {
                caller.is(Role::Admin) || self.is_host_of(caller, debit)
            }
            Kind::Close => caller.is(Role::Admin) || self.acts_for(caller, debit, hint.debit),
            Kind::Limits => {
                let present = self
                    .debtor(command, hint)
                    .map_or(0, |number| self.accounts.cold(number).credit_limit);
                caller.is(Role::Admin)
                    || (self.is_host_of(caller, debit) && command.reference == present)
            }
            Kind::Rehost => {
                caller.is_agent(debit)
                    || (caller.is(Role::Registry) && caller.principal == credit)
                    || caller.is(Role::Admin)
            }
            Kind::AgentOnly => caller.is_agent(debit),
            Kind::SystemTransfer | Kind::Configure | Kind::Asset => caller.is(Role::Admin),
            Kind::Issue | Kind::ResumeMint => caller.is(Role::Mint),
            Kind::Burn => self.may_burn(command, hint),
            Kind::HaltMint => caller.is_one_of(&[Role::Mint, Role::Admin]),
            Kind::Identify => true,
            Kind::Tick => caller.is(Role::Engine),
            _ => false,
        }
    }

    /// Whether `caller` may read this.
    pub(crate) fn allows_read(&self, caller: &Caller, kind: Kind, command: &Command) -> bool {
        let debit = command.debit;
        match kind {
            Kind::ReadAccount => {
                caller.is_one_of(&[Role::Auditor, Role::Admin])
                    || caller.is_agent(debit) && !system::is_system(debit)
                    || self.is_host_of(caller, debit)
                    || is_own_collector(caller, debit)
            }
            Kind::ReadOutcome => {
                caller.is(Role::Auditor)
                    || caller.principal == debit
                    || self.acts_for(caller, debit, NONE)
            }
            Kind::ReadHold => {
                caller.is(Role::Auditor)
                    || self.acts_for(caller, debit, NONE)
                    || self.is_creditor(caller, command)
            }
            Kind::ReadRecount => caller.is_one_of(&[Role::Auditor, Role::Admin, Role::Mint]),
            Kind::ReadAccounts => {
                caller.is_one_of(&[Role::Auditor, Role::Admin])
                    || (caller.is(Role::Registry) && caller.principal == command.credit)
            }
            Kind::Quote => self.acts_for(caller, debit, NONE),
            Kind::ReadSupply | Kind::ReadAsset | Kind::ReadParameter => true,
            _ => false,
        }
    }

    /// Whether the caller acts for `owner`; `account` is one of its accounts if known.
    #[inline]
    fn acts_for(&self, caller: &Caller, owner: OwnerId, account: u32) -> bool {
        if system::is_system(owner) {
            return false;
        }
        if caller.is(Role::Agent) {
            return caller.principal == owner;
        }
        if caller.host.is_none() {
            return false;
        }
        let hosted = if account == NONE {
            self.owners.find(&self.hash, owner).map(|number| {
                let owner = self.owners.row(number);
                (owner.host, owner.agent_only)
            })
        } else {
            let hot = self.accounts.hot(account);
            Some((hot.host, hot.has(bits::AGENT_ONLY)))
        };
        hosted.is_some_and(|(host, agent_only)| caller.host == Some(host) && !agent_only)
    }

    /// Whether the caller is the registry that hosts `owner`.
    fn is_host_of(&self, caller: &Caller, owner: OwnerId) -> bool {
        caller.host.is_some()
            && self
                .owners
                .find(&self.hash, owner)
                .is_some_and(|number| caller.host == Some(self.owners.row(number).host))
    }

    fn may_burn(&self, command: &Command, hint: &Hint) -> bool {
        let ordinary = command.code == reason::ORDINARY;
        let mint = self.caller.is(Role::Mint);
        (mint && command.code == reason::CORRECTION)
            || (mint && ordinary && is_treasury(command.debit))
            || (ordinary && self.acts_for(&self.caller, command.debit, hint.debit))
    }

    /// Whether the caller is the creditor, or its host, of the hold that a read names.
    fn is_creditor(&self, caller: &Caller, command: &Command) -> bool {
        let debtor = self.account_number(command.debit, command.asset);
        let slot = debtor.and_then(|number| self.holds.find(&self.hash, number, command.reference));
        slot.is_some_and(|slot| {
            let creditor = self.accounts.hot(self.holds.row(slot).creditor).owner;
            caller.is_agent(creditor) || self.is_host_of(caller, creditor)
        })
    }

    /// Looks up which host the caller is; hosts come and, with a chain taken back, go.
    pub(crate) fn find_caller_host(&mut self) {
        self.caller.host = if self.caller.is(Role::Registry) {
            self.hosts.find(self.caller.principal)
        } else {
            None
        };
    }
}

/// Whether `owner` is a treasury.
pub(crate) const fn is_treasury(owner: OwnerId) -> bool {
    matches!(system::classify(owner), Some((Class::Treasury, _)))
}

/// Whether `owner` is the fee collector or treasury of the host that the caller is.
fn is_own_collector(caller: &Caller, owner: OwnerId) -> bool {
    match (system::classify(owner), caller.host) {
        (Some((Class::FeeCollector | Class::Treasury, index)), Some(host)) => {
            index == u32::from(host)
        }
        _ => false,
    }
}
