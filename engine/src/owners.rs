//! Owners: to whom an account belongs and who hosts that owner. System owners are not here.
//!
//! It knows no rule. The invariant: an owner exists exactly from its first account on.

use protocol::OwnerId;

use crate::accounts::NONE;
use crate::chunks::Chunks;
use crate::hash::Hash;
use crate::index::Index;

/// One owner.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner {
    /// Its id.
    pub(crate) id: OwnerId,
    /// Registry that the agent wants as its host; 0 = none.
    pub(crate) pending_host: u128,
    /// Newest of its accounts, the head of their list.
    pub(crate) first_account: u32,
    /// Index of its host.
    pub(crate) host: u16,
    /// Whether its host may not debit it.
    pub(crate) agent_only: bool,
}

impl Owner {
    /// An owner without accounts.
    pub(crate) const fn new(id: OwnerId, host: u16) -> Self {
        Self { id, pending_host: 0, first_account: NONE, host, agent_only: false }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Owners {
    index: Index,
    rows: Chunks<Owner>,
}

impl Owners {
    /// Owners.
    pub(crate) const fn len(&self) -> usize {
        self.rows.len()
    }

    /// Number of the owner with `id`.
    pub(crate) fn find(&self, hash: &Hash, id: OwnerId) -> Option<u32> {
        self.index.find(hash.key(id, 0), |number| self.rows.row(number).id == id)
    }

    /// One owner.
    pub(crate) fn row(&self, number: u32) -> &Owner {
        self.rows.row(number)
    }

    /// One owner, to change it.
    pub(crate) fn row_mut(&mut self, number: u32) -> &mut Owner {
        self.rows.row_mut(number)
    }

    /// Adds an owner.
    pub(crate) fn add(&mut self, hash: &Hash, owner: Owner) -> u32 {
        let number = self.rows.push(owner);
        self.index.insert(hash.key(owner.id, 0), number);
        number
    }

    /// Takes the last owner back.
    pub(crate) fn take_back(&mut self, hash: &Hash) {
        let owner = self.rows.pop().expect("a chain takes back what it added");
        let number = u32::try_from(self.rows.len()).expect("tables have at most 2^30 rows");
        self.index.remove(hash.key(owner.id, 0), number);
    }

    /// Every owner.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Owner> {
        self.rows.iter()
    }
}
