//! Hosts: the registries that act for owners, and what each has debited in its window. Host 0 is
//! the frame itself, for which nobody acts.
//!
//! The invariant: a host keeps its number for ever, and there are at most `HOSTS_MAX`.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use protocol::limits::HOSTS_MAX;

/// One host.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Host {
    /// Its principal.
    pub(crate) principal: u128,
    /// What it may debit in a window; 0 = no limit.
    pub(crate) debit_limit: u128,
    /// What it has debited in the window `window`.
    pub(crate) used: u128,
    /// Index of the window.
    pub(crate) window: u64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Hosts {
    rows: Vec<Host>,
    numbers: BTreeMap<u128, u16>,
}

impl Hosts {
    /// With the frame's own host only.
    pub(crate) fn new() -> Self {
        Self { rows: alloc::vec![Host::default()], numbers: BTreeMap::new() }
    }

    /// Hosts, the frame's own included.
    pub(crate) const fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether no other host has room.
    pub(crate) const fn is_full(&self) -> bool {
        self.rows.len() >= HOSTS_MAX
    }

    /// Number of the host with `principal`.
    pub(crate) fn find(&self, principal: u128) -> Option<u16> {
        self.numbers.get(&principal).copied()
    }

    /// One host.
    pub(crate) fn row(&self, number: u16) -> &Host {
        &self.rows[usize::from(number)]
    }

    /// One host, to change it.
    pub(crate) fn row_mut(&mut self, number: u16) -> &mut Host {
        &mut self.rows[usize::from(number)]
    }

    /// Adds a host.
    pub(crate) fn add(&mut self, principal: u128, debit_limit: u128) -> u16 {
        let number = u16::try_from(self.rows.len()).expect("there are at most HOSTS_MAX hosts");
        self.rows.push(Host { principal, debit_limit, ..Host::default() });
        self.numbers.insert(principal, number);
        number
    }

    /// Takes the last host back.
    pub(crate) fn take_back(&mut self) {
        let host = self.rows.pop().expect("a chain takes back what it added");
        self.numbers.remove(&host.principal);
    }

    /// Every host.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Host> {
        self.rows.iter()
    }
}
