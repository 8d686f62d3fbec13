//! Authority: who may do what, decided by the [`TABLE`] from the request's principal and role and
//! from who hosts whom. Whatever is not allowed is refused as if it were not there.
//!
//! The invariant: nobody acts for a system owner.

mod table;

use protocol::command::reason;
use protocol::system::{self, Class};
use protocol::{Command, Kind, OwnerId, Role};

use crate::accounts::{NONE, bits};
use crate::engine::Engine;
use crate::resolve::Hint;

pub use self::table::{Relation, Row, Rule, TABLE, permits, rules};

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
}

// A transfer is decided without a walk, by the one call that its row of the table comes to.
const _: () = assert!(matches!(
    rules(Kind::Transfer),
    [Rule { roles: [Role::Agent, Role::Registry], needs: [Relation::ActsForDebtor] }]
));

impl Engine {
    /// Whether the caller may do this.
    #[inline]
    pub(crate) fn allows(&self, kind: Kind, command: &Command, hint: &Hint) -> bool {
        if kind == Kind::Transfer {
            return self.acts_for(&self.caller, command.debit, hint.debit);
        }
        self.permits(&self.caller, kind, command, hint)
    }

    /// Whether `caller` may read this.
    pub(crate) fn allows_read(&self, caller: &Caller, kind: Kind, command: &Command) -> bool {
        self.permits(caller, kind, command, &Hint::NONE)
    }

    fn permits(&self, caller: &Caller, kind: Kind, command: &Command, hint: &Hint) -> bool {
        Role::from_number(caller.role).is_some_and(|role| {
            permits(kind, role, |relation| self.stands(caller, relation, command, hint))
        })
    }

    /// Whether the caller stands so to what the command names.
    fn stands(&self, caller: &Caller, relation: Relation, command: &Command, hint: &Hint) -> bool {
        let Command { debit, credit, .. } = *command;
        match relation {
            Relation::ActsForDebtor => self.acts_for(caller, debit, hint.debit),
            Relation::ActsForCreditor => self.acts_for(caller, credit, hint.credit),
            Relation::IsDebtor => caller.principal == debit,
            Relation::IsCreditor => caller.principal == credit,
            Relation::HostsDebtor => self.is_host_of(caller, debit),
            Relation::DebtorIsOrdinary => !system::is_system(debit),
            Relation::DebtorIsTreasury => is_treasury(debit),
            Relation::DebtorIsOwnCollector => is_own_collector(caller, debit),
            Relation::IsHoldCreditor => {
                self.creditor_of_hold(command).is_some_and(|owner| caller.principal == owner)
            }
            Relation::HostsHoldCreditor => {
                self.creditor_of_hold(command).is_some_and(|owner| self.is_host_of(caller, owner))
            }
            Relation::NamesNoHost => credit == 0,
            Relation::NamesHost => credit != 0,
            Relation::KeepsCreditLimit => {
                let present = self
                    .debtor(command, hint)
                    .map_or(0, |number| self.accounts.cold(number).credit_limit);
                command.reference == present
            }
            Relation::IsOrdinary => command.code == reason::ORDINARY,
            Relation::IsCorrection => command.code == reason::CORRECTION,
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
            self.owner_number(owner).map(|number| {
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
                .owner_number(owner)
                .is_some_and(|number| caller.host == Some(self.owners.row(number).host))
    }

    /// The creditor of the hold that a read names.
    fn creditor_of_hold(&self, command: &Command) -> Option<OwnerId> {
        let debtor = self.account_number(command.debit, command.asset)?;
        let slot = self.holds.find(&self.hash, debtor, command.reference)?;
        Some(self.accounts.hot(self.holds.row(slot).creditor).owner)
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
