//! Owners: to whom an account belongs and who hosts that owner. System owners are not here.
//!
//! It knows no rule, and no id: an owner's is that of its accounts. The invariant: an owner exists
//! exactly from its first account on.

use alloc::collections::BTreeMap;

use protocol::OwnerId;

use crate::accounts::{Accounts, NONE};
use crate::chunks::Chunks;
use crate::hash::Hash;
use crate::index::Index;

/// One owner.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner {
    /// Newest of its accounts, the head of their list.
    pub(crate) first_account: u32,
    /// Index of its host.
    pub(crate) host: u16,
    /// Whether its host may not debit it.
    pub(crate) agent_only: bool,
}

const _: () = assert!(size_of::<Owner>() == 8);

impl Owner {
    /// An owner without accounts.
    pub(crate) const fn new(host: u16) -> Self {
        Self { first_account: NONE, host, agent_only: false }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Owners {
    index: Index,
    rows: Chunks<Owner>,
    /// Registries that agents want as their hosts: of few, and at most one an owner.
    pending_hosts: BTreeMap<u32, OwnerId>,
}

impl Owners {
    /// Owners.
    pub(crate) const fn len(&self) -> usize {
        self.rows.len()
    }

    /// Number of the owner with `id`.
    pub(crate) fn find(&self, hash: &Hash, accounts: &Accounts, id: OwnerId) -> Option<u32> {
        self.index.find(hash.key(id, 0), |number| id_of(&self.rows, accounts, number) == id)
    }

    /// One owner.
    pub(crate) fn row(&self, number: u32) -> &Owner {
        self.rows.row(number)
    }

    /// One owner, to change it.
    pub(crate) fn row_mut(&mut self, number: u32) -> &mut Owner {
        self.rows.row_mut(number)
    }

    /// Registry that the owner's agent wants as its host; 0 = none.
    pub(crate) fn pending_host(&self, number: u32) -> OwnerId {
        self.pending_hosts.get(&number).copied().unwrap_or(0)
    }

    /// Notes which registry the owner's agent wants as its host; 0 = none.
    pub(crate) fn set_pending_host(&mut self, number: u32, registry: OwnerId) {
        if registry == 0 {
            self.pending_hosts.remove(&number);
        } else {
            self.pending_hosts.insert(number, registry);
        }
    }

    /// Adds an owner whose first account comes next, and then [`Self::enter`].
    pub(crate) fn add(&mut self, owner: Owner) -> u32 {
        self.rows.push(owner)
    }

    /// Makes an owner be found: its first account is there, and that of each one found before.
    pub(crate) fn enter(&mut self, hash: &Hash, accounts: &Accounts, number: u32) {
        let Self { index, rows, .. } = self;
        let hash_of = |number| hash.key(id_of(rows, accounts, number), 0);
        let call = |number| accounts.prefetch_hot(rows.row(number).first_account);
        index.insert_calling(hash_of(number), number, hash_of, call);
    }

    /// See [`Index::go_on`].
    pub(crate) fn go_on(&mut self, insertions: usize, hash: &Hash, accounts: &Accounts) {
        let Self { index, rows, .. } = self;
        let hash_of = |number| hash.key(id_of(rows, accounts, number), 0);
        let call = |number| accounts.prefetch_hot(rows.row(number).first_account);
        index.go_on(insertions, hash_of, call);
    }

    /// Takes the last owner, whose id was `id`, back, its account having gone.
    pub(crate) fn take_back(&mut self, hash: &Hash, accounts: &Accounts, id: OwnerId) {
        let Self { index, rows, .. } = self;
        rows.pop().expect("a chain takes back what it added");
        let number = u32::try_from(rows.len()).expect("tables have at most 2^30 rows");
        let hash_of = |number| hash.key(id_of(rows, accounts, number), 0);
        index.remove(hash.key(id, 0), number, hash_of);
    }

    /// Every owner with its number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Owner)> {
        (0..).zip(self.rows.iter())
    }
}

fn id_of(rows: &Chunks<Owner>, accounts: &Accounts, number: u32) -> OwnerId {
    accounts.hot(rows.row(number).first_account).owner
}
