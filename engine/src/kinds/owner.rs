//! Owners: moving to another host, and keeping the host from debiting.
//!
//! | kind | debited | credited | events |
//! |---|---|---|---|
//! | rehost | – | – | `OwnerRehosted` when the host changes |
//! | agent only | – | – | – |

use protocol::effect::Event;
use protocol::parameter::Parameter;
use protocol::system;
use protocol::{Command, Role, Status};

use crate::accounts::{NONE, bits};
use crate::engine::Engine;
use crate::undo::Step;

impl Engine {
    /// Whether `accounts` more fit, and with a new host its system accounts and itself too.
    pub(super) fn judge_room_for_host(
        &self,
        accounts: usize,
        new_host: bool,
    ) -> Result<(), Status> {
        let of_host = if new_host { 2 * self.assets.len() } else { 0 };
        if !self.has_room_for(accounts + of_host) {
            return Err(Status::AccountsFull);
        }
        if new_host && self.hosts.is_full() {
            return Err(Status::HostsFull);
        }
        Ok(())
    }

    /// The host with `principal`, made with its system accounts if it is new.
    pub(super) fn bind_host(&mut self, principal: u128) -> u16 {
        if let Some(number) = self.hosts.find(principal) {
            return number;
        }
        let debit_limit = self.configuration.value(Parameter::HostDebitLimit);
        let number = self.hosts.add(principal, debit_limit);
        self.undo.note(|| Step::HostAdded);
        for place in self.assets.places() {
            self.add_host_accounts(place, number);
        }
        self.find_caller_host();
        number
    }

    /// The fee collector and the treasury of a host in one asset.
    pub(super) fn add_host_accounts(&mut self, place: u8, host: u16) {
        let collector = self.add_account(system::fee_collector(u32::from(host)), NONE, place);
        let treasury = self.add_account(system::treasury(u32::from(host)), NONE, place);
        let asset = self.assets.row_mut(place);
        asset.collectors.push(collector);
        asset.treasuries.push(treasury);
    }

    /// Moves an owner to another host, or says where its agent wants to go.
    pub(super) fn rehost(&mut self, command: &Command) -> Result<(), Status> {
        let is_registry = self.caller.is(Role::Registry);
        let owner = self.owner_number(command.debit);
        let wanted = command.credit;
        let accepts = |number: u32| {
            let pending = self.owners.pending_host(number);
            pending == wanted && pending != 0
        };
        let moves = if self.caller.is(Role::Agent) {
            false
        } else if is_registry {
            owner.is_some_and(accepts)
        } else {
            owner.is_some() && !system::is_system(wanted)
        };
        let binds_new_host = moves && self.hosts.find(wanted).is_none();
        self.judge_room_for_host(0, binds_new_host)?;
        let owner = if is_registry {
            owner.filter(|_| moves).ok_or(Status::HostRefuses)?
        } else {
            let owner = owner.ok_or(Status::DebtorNotFound)?;
            if system::is_system(wanted) {
                return Err(Status::ReservedOwner);
            }
            owner
        };
        // Point of no return.
        if !moves {
            self.owners.set_pending_host(owner, wanted);
            return Ok(());
        }
        let host = self.bind_host(wanted);
        self.owners.row_mut(owner).host = host;
        self.owners.set_pending_host(owner, 0);
        self.copy_facts(owner);
        self.tell(Event::OwnerRehosted, 0, command.debit, wanted);
        Ok(())
    }

    /// Sets or clears what keeps the host from debiting.
    pub(super) fn agent_only(&mut self, command: &Command) -> Result<(), Status> {
        let owner = self.owner_number(command.debit).ok_or(Status::DebtorNotFound)?;
        // Point of no return.
        self.owners.row_mut(owner).agent_only = command.code == 1;
        self.copy_facts(owner);
        Ok(())
    }

    /// Copies the owner's facts into each of its accounts.
    fn copy_facts(&mut self, owner: u32) {
        let facts = *self.owners.row(owner);
        let mut number = facts.first_account;
        while number != NONE {
            let hot = self.change(number);
            hot.host = facts.host;
            hot.flags &= !bits::AGENT_ONLY;
            if facts.agent_only {
                hot.flags |= bits::AGENT_ONLY;
            }
            number = self.accounts.next_of_owner(number);
        }
    }
}
