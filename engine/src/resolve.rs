//! Resolving: the accounts and the id of commands. Those of transfers and holds are looked up some
//! commands ahead, in steps that call what the next step reads into the cache, so that a large
//! frame does not wait for its memory.
//!
//! It changes nothing and decides nothing. The invariant: a resolved number stays right, for rows
//! never move; what was not found is looked up again when it is needed.

use protocol::{AssetId, Command, Kind, OwnerId};

use crate::accounts::NONE;
use crate::engine::Engine;
use crate::ids::Key;
use crate::limits::{CALLED_AHEAD, FOUND_AHEAD, HASHED_AHEAD};
use crate::owners::Owner;

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

/// What is known of the next transfers and holds of a request.
#[derive(Debug)]
pub(crate) struct Ahead {
    hints: [Hint; HASHED_AHEAD],
    /// The slot after the last one whose hashes are known.
    hashed: usize,
    /// The slot after the last one whose candidates are known.
    found: usize,
    /// The slot after the last one whose hold and cold lines are called.
    called: usize,
    /// The slot after the last one of a hold or its end.
    holds_end: usize,
}

impl Ahead {
    /// Of no request.
    pub(crate) const NONE: Self =
        Self { hints: [Hint::NONE; HASHED_AHEAD], hashed: 0, found: 0, called: 0, holds_end: 0 };

    /// Of a request whose slots were not looked at.
    pub(crate) const fn begin(&mut self) {
        (self.hashed, self.found, self.called, self.holds_end) = (0, 0, 0, 0);
    }
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

    /// Id of an owner.
    pub(crate) fn owner_id(&self, owner: &Owner) -> OwnerId {
        self.accounts.hot(owner.first_account).owner
    }

    /// The owner with `id`.
    pub(crate) fn owner_number(&self, id: OwnerId) -> Option<u32> {
        self.owners.find(&self.hash, &self.accounts, id)
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
        if is_looked_up(kind.number()) {
            scope_of(kind.number(), command)
        } else {
            self.caller.principal
        }
    }

    /// The key of `id` in the scope of `owner`.
    #[inline]
    pub(crate) fn key(&self, owner: OwnerId, id: u128) -> Key {
        Key::new(&self.hash, id, self.hash.scope(owner))
    }

    /// Turns the candidates of a hint, or [`NONE`], into the accounts of the command.
    #[inline(always)]
    fn find_accounts(&self, command: &Command, hint: &mut Hint) {
        let Some(place) = self.assets.place(command.asset) else {
            (hint.debit, hint.credit) = (NONE, NONE);
            return;
        };
        let Self { accounts, .. } = self;
        if !accounts.is(hint.debit, command.debit, place) {
            hint.debit = accounts.find_number(hint.debit_hash, command.debit, place);
        }
        if !accounts.is(hint.credit, command.credit, place) {
            hint.credit = accounts.find_number(hint.credit_hash, command.credit, place);
        }
    }

    /// Resolves one command.
    pub(crate) fn resolve(&self, kind: Kind, command: &Command) -> Hint {
        let mut hint = self.hashes(kind, command);
        self.find_accounts(command, &mut hint);
        hint
    }

    /// Looks at the slots after `at`, as far as it has not yet: the hashes of those furthest away,
    /// whose index entries are called into the cache, then the accounts of nearer ones. A data slot
    /// may be taken for a command: its hint is never asked for.
    #[inline]
    pub(crate) fn look_ahead(&self, ahead: &mut Ahead, slots: &[Command], at: usize) {
        let end = slots.len().min(at + HASHED_AHEAD);
        let first = core::mem::replace(&mut ahead.hashed, end);
        for (place, slot) in (first..).zip(&slots[first..end]) {
            if is_looked_up(slot.kind) {
                self.hash_ahead(slot, &mut ahead.hints[place % HASHED_AHEAD]);
            }
        }
        let end = end.min(at + FOUND_AHEAD);
        let first = core::mem::replace(&mut ahead.found, end);
        for (place, slot) in (first..).zip(&slots[first..end]) {
            if is_looked_up(slot.kind) {
                let hint = &mut ahead.hints[place % HASHED_AHEAD];
                hint.debit = self.accounts.candidate(hint.debit_hash);
                hint.credit = self.accounts.candidate(hint.credit_hash);
                if is_of_hold(slot.kind) {
                    ahead.holds_end = place + 1;
                    self.call_links(slot, hint);
                }
            }
        }
        if ahead.called < ahead.holds_end {
            self.call_holds(ahead, slots, at);
        }
    }

    /// Calls what leads to a hold, and to the cold lines of both accounts, into the cache.
    #[inline(never)]
    fn call_links(&self, command: &Command, hint: &Hint) {
        self.holds.prefetch(&self.hash, hint.debit, hold_of(command));
        self.accounts.prefetch_links(hint.debit);
        self.accounts.prefetch_links(hint.credit);
    }

    /// Calls the holds and cold lines of nearer commands into the cache.
    #[inline(never)]
    fn call_holds(&self, ahead: &mut Ahead, slots: &[Command], at: usize) {
        let end = slots.len().min(at + CALLED_AHEAD);
        let first = core::mem::replace(&mut ahead.called, end).max(at);
        for (place, slot) in (first..).zip(&slots[first..end]) {
            if is_looked_up(slot.kind) && is_of_hold(slot.kind) {
                let hint = &ahead.hints[place % HASHED_AHEAD];
                self.accounts.prefetch_cold(hint.debit);
                self.accounts.prefetch_cold(hint.credit);
                if is_of_creditor(slot.kind) {
                    self.holds.prefetch_row(&self.hash, hint.debit, slot.reference);
                }
            }
        }
    }

    /// The hashes of a command; calls what they lead to into the cache.
    #[inline(never)]
    fn hash_ahead(&self, command: &Command, hint: &mut Hint) {
        hint.debit_hash = self.hash.key(command.debit, command.asset);
        self.accounts.prefetch(hint.debit_hash);
        hint.credit_hash = self.hash.key(command.credit, command.asset);
        self.accounts.prefetch(hint.credit_hash);
        hint.pair_hash = self.hash.pair(hint.debit_hash, hint.credit_hash);
        self.velocity.prefetch(hint.pair_hash);
        hint.key = self.key(scope_of(command.kind, command), command.id);
        self.ids.prefetch(&hint.key);
    }

    /// The hint of the command at slot `at`, which was looked at.
    #[inline(always)]
    pub(crate) fn hint<'a>(&self, ahead: &'a mut Ahead, command: &Command, at: usize) -> &'a Hint {
        let hint = &mut ahead.hints[at % HASHED_AHEAD];
        self.find_accounts(command, hint);
        hint
    }

    /// The hint of the command at slot `at` if it is of a kind that is looked at ahead.
    #[inline(never)]
    pub(crate) fn hint_if_any<'a>(
        &self,
        ahead: &'a mut Ahead,
        command: &Command,
        at: usize,
    ) -> Option<&'a Hint> {
        is_looked_up(command.kind).then(|| self.hint(ahead, command, at))
    }
}

/// Whether commands of this kind are between two accounts, by the authority of one of them: there
/// are many, and their accounts are looked up ahead.
#[inline]
const fn is_looked_up(kind: u16) -> bool {
    const FIRST: u16 = Kind::Transfer.number();
    const LAST: u16 = Kind::Release.number();
    const _: () = assert!(
        Kind::Hold.number() == FIRST + 1
            && Kind::Capture.number() == FIRST + 2
            && LAST == FIRST + 3
    );
    kind.wrapping_sub(FIRST) <= LAST - FIRST
}

/// Whether such commands place or end a hold.
#[inline]
const fn is_of_hold(kind: u16) -> bool {
    kind != Kind::Transfer.number()
}

/// Id of the hold that such a command places or ends.
const fn hold_of(command: &Command) -> u128 {
    if is_of_creditor(command.kind) { command.reference } else { command.id }
}

/// The owner by whose authority such a command runs.
#[inline]
const fn scope_of(kind: u16, command: &Command) -> OwnerId {
    if is_of_creditor(kind) { command.credit } else { command.debit }
}

/// Whether such commands run by the creditor's authority, and name a hold.
#[inline]
const fn is_of_creditor(kind: u16) -> bool {
    kind >= Kind::Capture.number()
}
