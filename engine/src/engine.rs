//! The engine's face: one journal record after the other, and what can be asked between them.

use alloc::vec::Vec;

use protocol::cut::{AccountRow, Cut, SupplyRow};
use protocol::genesis::{Genesis, GenesisError};
use protocol::reply::{Outcome, Outcomes};
use protocol::request::Commands;
use protocol::{AssetId, Command, OwnerId, Request, Sequence, Status};

/// Local settings; they never change an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Whether effects are kept for cuts.
    pub history: bool,
    /// Effects kept at the most; with more, a cut says that they must be rebuilt.
    pub effects_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            history: false,
            effects_max: 1 << 20,
        }
    }
}

/// What a record header tells the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordStart {
    /// Sequence of the record's first command.
    pub first_sequence: Sequence,
    /// Journal time of the record, in nanoseconds since the Unix epoch.
    pub timestamp_ns: u64,
    /// Last sequence that is settled.
    pub settled: Sequence,
}

/// The money machine.
#[derive(Debug)]
pub struct Engine {
    genesis: Genesis,
    executed: u64,
    timestamp_ns: u64,
}

impl Engine {
    /// A frame at sequence 0 and time 0.
    ///
    /// # Errors
    ///
    /// A genesis that does not validate.
    pub fn new(genesis: &Genesis, _options: Options) -> Result<Self, GenesisError> {
        genesis.validate()?;
        Ok(Self {
            genesis: genesis.clone(),
            executed: 0,
            timestamp_ns: 0,
        })
    }

    /// Begins a record: time moves on, due changes apply, due timers fire.
    pub fn begin_record(&mut self, start: RecordStart) {
        self.timestamp_ns = start.timestamp_ns;
    }

    /// Executes one request of the record.
    pub fn execute(&mut self, _request: &Request, slots: &[Command], outcomes: &mut Outcomes) {
        outcomes.clear(self.executed + 1);
        for _ in Commands::new(slots) {
            self.executed += 1;
            outcomes.push(Outcome {
                sequence: self.executed,
                status: Status::NotFound,
                rate: 0,
                repeat: false,
            });
        }
    }

    /// Ends the record and checks the running sums.
    pub fn end_record(&mut self) {}

    /// Answers a request of reads: 256 bytes for each.
    pub fn read(&self, _request: &Request, slots: &[Command], answers: &mut Vec<u8>) {
        answers.resize(answers.len() + slots.len() * 256, 0);
    }

    /// Last sequence executed.
    pub const fn executed(&self) -> Sequence {
        Sequence(self.executed)
    }

    /// Journal time.
    pub const fn timestamp_ns(&self) -> u64 {
        self.timestamp_ns
    }

    /// Digest of every outcome so far.
    pub const fn run_digest(&self) -> [u8; 16] {
        [0; 16]
    }

    /// Digest of the whole state.
    pub fn image_digest(&self) -> [u8; 32] {
        [0; 32]
    }

    /// The earliest timer or announced change.
    pub const fn next_deadline_ns(&self) -> Option<u64> {
        None
    }

    /// Whether minting is halted.
    pub const fn mint_halted(&self) -> bool {
        false
    }

    /// Supply of every asset by the running sums.
    pub fn supply(&self) -> Vec<SupplyRow> {
        Vec::new()
    }

    /// Supply of every asset recomputed from every account.
    pub fn recount(&self) -> Vec<SupplyRow> {
        Vec::new()
    }

    /// Every account, sorted by owner and asset.
    pub fn accounts(&self) -> Vec<AccountRow> {
        Vec::new()
    }

    /// One account.
    pub const fn account(&self, _owner: OwnerId, _asset: AssetId) -> Option<AccountRow> {
        None
    }

    /// What the frame was born with.
    pub const fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// Opens a cut at this boundary.
    pub fn open_cut(&mut self, _complete: bool) {}

    /// Copies up to `rows_max` rows of the open cut; the cut when it is complete.
    pub fn cut_step(&mut self, _rows_max: usize) -> Option<Cut> {
        None
    }

    /// Forgets what has changed so far.
    pub fn discard_changes(&mut self) {}
}
