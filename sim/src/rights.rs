//! Who may do what, once more and by hand, from who sent each request and what took effect (I12).
//!
//! Invariant: it knows the identities from the doors and never from the journal.

use std::collections::BTreeMap;

use protocol::{Command, Kind, Request, Role};

use crate::judge::{Checked, hold};

#[derive(Default)]
pub(crate) struct Rights {
    /// Who sent each request.
    callers: BTreeMap<u64, (u128, u16)>,
    /// Who is paid by each hold, by its debtor and id.
    holds: BTreeMap<(u128, u128), u128>,
}

impl Rights {
    /// The same senders, before anything took effect.
    pub(crate) fn again(&self) -> Self {
        Self { callers: self.callers.clone(), holds: BTreeMap::new() }
    }

    /// A door has taken a request from whom it knows to be this.
    pub(crate) fn sent(&mut self, request: u64, principal: u128, role: Role) {
        self.callers.insert(request, (principal, role as u16));
    }

    /// The journal says who asked.
    pub(crate) fn is_of_its_sender(&self, request: &Request) -> Checked {
        let known = self.callers.get(&request.request);
        let said = (request.principal, request.role);
        hold(known == Some(&said), "I12", || {
            format!("request {} of {known:x?} is journaled as of {said:x?}", request.request)
        })
    }

    /// What took effect was theirs to ask for.
    pub(crate) fn took_effect(&mut self, request: &Request, command: &Command) -> Checked {
        hold(self.is_allowed(request, command), "I12", || {
            let (principal, role) = (request.principal, request.role);
            format!("{principal:x} in role {role} was let do what is not theirs: {command:?}")
        })?;
        if command.kind == Kind::Hold.number() {
            self.holds.insert((command.debit, command.id), command.credit);
        }
        Ok(())
    }

    /// An agent opens, pays and holds from its own account, who is paid by a hold ends it, and the
    /// mint alone issues. These clients need no more.
    fn is_allowed(&self, request: &Request, command: &Command) -> bool {
        let is = |role: Role| request.role == role as u16;
        let is_debtor = request.principal == command.debit;
        match Kind::try_from(command.kind) {
            Ok(Kind::Open | Kind::Transfer | Kind::Hold) => is(Role::Agent) && is_debtor,
            Ok(Kind::Capture | Kind::Release) => {
                let paid = self.holds.get(&(command.debit, command.reference));
                is(Role::Agent) && paid == Some(&request.principal)
            }
            Ok(Kind::Issue) => is(Role::Mint),
            _ => false,
        }
    }
}
