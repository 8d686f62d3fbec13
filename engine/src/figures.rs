//! Figures for operators: supply by the running sums, and how full each bounded table is.
//!
//! It walks over no account, so that asking costs the commands nothing they would notice.
//! Invariant: it changes nothing.

use alloc::vec::Vec;

use protocol::cut::SupplyRow;
use protocol::parameter::Parameter;

use crate::engine::Engine;

/// How full a table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    /// What is in it.
    pub name: &'static str,
    /// How many are.
    pub used: u64,
    /// How many may be: a journaled parameter.
    pub capacity: u64,
}

/// The engine at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Last sequence executed.
    pub sequence: u64,
    /// Journal time of the last record.
    pub timestamp_ns: u64,
    /// Run digest there.
    pub run_digest: [u8; 16],
    /// Supply of every asset, in the order of the asset numbers.
    pub supply: Vec<SupplyRow>,
    /// Whether minting is halted.
    pub is_mint_halted: bool,
    /// Every table that can be full.
    pub uses: Vec<Used>,
}

impl Engine {
    /// Figures as of now.
    pub fn figures(&self) -> Figures {
        let used = |name, used: usize, capacity| Used {
            name,
            used: used as u64,
            capacity: self.configuration.number(capacity),
        };
        Figures {
            sequence: self.executed().0,
            timestamp_ns: self.timestamp_ns(),
            run_digest: self.run_digest(),
            supply: self.supply(),
            is_mint_halted: self.mint_halted,
            uses: Vec::from([
                used("accounts", self.accounts.len(), Parameter::AccountsCapacity),
                used("holds", self.holds.len(), Parameter::HoldsCapacity),
                used("ids", self.ids.len(), Parameter::IdsCapacity),
                used("keys", self.keys.len(), Parameter::KeysCapacity),
            ]),
        }
    }
}
