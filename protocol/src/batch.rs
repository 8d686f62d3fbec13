//! Batches: what settlement has written in one transaction, as its table says.
//!
//! It knows no SQL. Invariant: the batches of a database follow one another without a gap.

/// One transaction of settlement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SettledBatch {
    /// Its number.
    pub batch: u64,
    /// First sequence in it.
    pub from: u64,
    /// Last sequence in it.
    pub through: u64,
    /// Epoch of the engine that settled it.
    pub epoch: u64,
    /// Whether it held every account.
    pub is_complete: bool,
    /// Accounts written.
    pub accounts: u64,
    /// Postings written; nothing: they are not kept.
    pub effects: Option<u64>,
    /// Hash of the journal's record at its end.
    pub chain_hash: [u8; 32],
    /// Run digest there.
    pub run_digest: [u8; 16],
    /// Journal time there.
    pub timestamp_ns: u64,
}
