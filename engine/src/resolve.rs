//! Resolving: the accounts and the id of commands, looked up a block ahead in passes whose cache
//! misses overlap, because that is where the time of a large frame goes.
//!
//! It changes nothing and decides nothing. The invariant: a resolved number stays right, for rows
//! never move; what was not found is looked up again when it is needed.

use core::hint::black_box;

use protocol::{AssetId, Command, Kind, OwnerId};

use crate::accounts::NONE;
use crate::engine::Engine;
use crate::ids::Key;
use crate::limits::RESOLVE_BLOCK;

/// What is known of a command before it runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hint {
    /// Account of the debtor, or [`NONE`].
    pub(crate) debit: u32,
    /// Account of the creditor, or [`NONE`].
    pub(crate) credit: u32,
    /// Hash of debtor and asset.
    pub(crate) debit_hash: u64,
    /// Hash of creditor and asset.
    pub(crate) credit_hash: u64,
    /// Hash of the pair of both.
    pub(crate) pair_hash: u64,
    /// Id in its scope.
    pub(crate) key: Key,
}

impl Hint {
    /// Nothing.
    pub(crate) const NONE: Self = Self {
        debit: NONE,
        credit: NONE,
        debit_hash: 0,
        credit_hash: 0,
        pair_hash: 0,
        key: Key { id: 0, scope: 0, hash: 0 },
    };
}

impl Engine {
    /// The account of `owner` in `asset`.
    pub(crate) fn account_number(&self, owner: OwnerId, asset: AssetId) -> Option<u32> {
        let place = self.assets.place(asset)?;
        self.accounts.find(self.hash.key(owner, asset), owner, place)
    }

    /// Account of the debtor.
    #[inline]
    pub(crate) fn debtor(&self, command: &Command, hint: &Hint) -> Option<u32> {
        match hint.debit {
            NONE => self.account_number(command.debit, command.asset),
            number => Some(number),
        }
    }

    /// Account of the creditor.
    #[inline]
    pub(crate) fn creditor(&self, command: &Command, hint: &Hint) -> Option<u32> {
        match hint.credit {
            NONE => self.account_number(command.credit, command.asset),
            number => Some(number),
        }
    }

    #[inline]
    fn hashes(&self, kind: Kind, command: &Command) -> Hint {
        let debit_hash = self.hash.key(command.debit, command.asset);
        let credit_hash = self.hash.key(command.credit, command.asset);
        Hint {
            debit: NONE,
            credit: NONE,
            debit_hash,
            credit_hash,
            pair_hash: self.hash.pair(debit_hash, credit_hash),
            key: self.key(self.scope(kind, command), command.id),
        }
    }

    /// The owner by whose authority a command runs (H9): its id is known in this scope.
    pub(crate) const fn scope(&self, kind: Kind, command: &Command) -> OwnerId {
        match kind {
            Kind::Transfer | Kind::Hold => command.debit,
            Kind::Capture | Kind::Release => command.credit,
            _ => self.caller.principal,
        }
    }

    /// The key of `id` in the scope of `owner`.
    #[inline]
    pub(crate) fn key(&self, owner: OwnerId, id: u128) -> Key {
        let scope = self.hash.scope(owner);
        Key { id, scope, hash: self.hash.id(scope, id) }
    }

    /// Turns the candidates of a hint, or [`NONE`], into the accounts of the command.
    #[inline]
    fn find_accounts(&self, command: &Command, hint: &mut Hint) {
        let Some(place) = self.assets.place(command.asset) else {
            (hint.debit, hint.credit) = (NONE, NONE);
            return;
        };
        let find = |candidate, hash, owner| {
            if self.accounts.is(candidate, owner, place) {
                return candidate;
            }
            self.accounts.find(hash, owner, place).unwrap_or(NONE)
        };
        hint.debit = find(hint.debit, hint.debit_hash, command.debit);
        hint.credit = find(hint.credit, hint.credit_hash, command.credit);
    }

    /// Resolves one command.
    pub(crate) fn resolve(&self, kind: Kind, command: &Command) -> Hint {
        let mut hint = self.hashes(kind, command);
        self.find_accounts(command, &mut hint);
        hint
    }

    /// Resolves the transfers among the next slots; returns how many slots were looked at. A data
    /// slot may be taken for a transfer: its hint is never asked for.
    pub(crate) fn resolve_block(&mut self, slots: &[Command]) -> usize {
        let mut hints = core::mem::take(&mut self.hints);
        hints.clear();
        let slots = slots.get(..RESOLVE_BLOCK).unwrap_or(slots);
        let is_transfer = |slot: &Command| slot.kind == Kind::Transfer.number();
        hints.extend(slots.iter().map(|slot| {
            if is_transfer(slot) { self.hashes(Kind::Transfer, slot) } else { Hint::NONE }
        }));
        // What the index suggests, the rows, then the comparison; ids and pairs: short loops, so
        // that many loads are under way at once.
        let mut touched = 0;
        for hint in &hints {
            touched ^= self.velocity.peek(hint.pair_hash);
        }
        for hint in &hints {
            touched ^= self.accounts.peek(hint.debit_hash) ^ self.accounts.peek(hint.credit_hash);
        }
        for hint in &hints {
            touched ^= self.ids.peek(&hint.key);
        }
        for hint in &mut hints {
            hint.debit = self.accounts.candidate(hint.debit_hash);
            hint.credit = self.accounts.candidate(hint.credit_hash);
        }
        for hint in &hints {
            touched ^= self.accounts.touch(hint.debit) ^ self.accounts.touch(hint.credit);
        }
        for (slot, hint) in slots.iter().zip(&mut hints) {
            if is_transfer(slot) {
                self.find_accounts(slot, hint);
            } else {
                (hint.debit, hint.credit) = (NONE, NONE);
            }
        }
        black_box(touched);
        self.hints = hints;
        slots.len()
    }
}
