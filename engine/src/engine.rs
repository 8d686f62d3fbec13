//! The engine's face: one journal record after the other, and what can be asked between them.
//!
//! It never fails and never panics on what a client sent. The invariant: the state is a function
//! of the genesis record and the records executed.

use alloc::boxed::Box;
use alloc::vec::Vec;

use protocol::cut::{AccountRow, SupplyRow};
use protocol::effect::TIMER_LEG;
use protocol::genesis::{Genesis, GenesisError};
use protocol::ids::NATIVE;
use protocol::limits::TIMERS_PER_RECORD;
use protocol::parameter::Parameter;
use protocol::{AssetId, OwnerId, Sequence};

use crate::accounts::Accounts;
use crate::authority::Caller;
use crate::configuration::Configuration;
use crate::cut::Changes;
use crate::digest::Digest;
use crate::effects::Effects;
use crate::hash::Hash;
use crate::holds::Holds;
use crate::hosts::Hosts;
use crate::ids::Ids;
use crate::keys::Keys;
use crate::limits::GROWN_PER_RECORD;
use crate::owners::Owners;
use crate::posting::Note;
use crate::request::Leg;
use crate::resolve::Ahead;
use crate::supply::{Assets, Sums};
use crate::undo::Undo;
use crate::velocity::Velocity;

pub(crate) const NS_PER_MS: u64 = 1_000_000;

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
        Self { history: false, effects_max: 1 << 20 }
    }
}

/// What a record header tells the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordStart {
    /// Sequence of the record's first command.
    pub first_sequence: Sequence,
    /// Journal time of the record, in nanoseconds since the Unix epoch.
    pub timestamp_ns: u64,
    /// Last sequence that is settled: keys through it may be forgotten.
    pub settled: Sequence,
}

/// Journal time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clock {
    pub(crate) timestamp_ns: u64,
    pub(crate) now_ms: u64,
    /// Index of the window in which debits of hosts are counted.
    pub(crate) host_window: u64,
}

/// The money machine.
#[derive(Debug)]
pub struct Engine {
    pub(crate) genesis: Genesis,
    pub(crate) hash: Hash,
    pub(crate) configuration: Configuration,
    pub(crate) accounts: Accounts,
    pub(crate) owners: Owners,
    pub(crate) hosts: Hosts,
    pub(crate) assets: Assets,
    pub(crate) holds: Holds,
    pub(crate) ids: Ids,
    pub(crate) keys: Keys,
    pub(crate) velocity: Velocity,
    pub(crate) mint_halted: bool,
    /// Whether any money command but a baseline was executed.
    pub(crate) money_moved: bool,
    pub(crate) clock: Clock,
    pub(crate) executed: u64,
    pub(crate) digest: Digest,
    pub(crate) in_record: bool,
    /// Last sequence that is settled, as the record says.
    pub(crate) settled: u64,
    /// Settled sequence at which the history was asked for the keys of the request.
    pub(crate) history_checked: u64,
    /// Sequence of the command that runs; of timers the first of their record.
    pub(crate) sequence: u64,
    /// Effects of that command so far.
    pub(crate) leg: u16,
    pub(crate) note: Note,
    pub(crate) caller: Caller,
    /// Liquid of debtor and creditor after the command that ran.
    pub(crate) after: (i128, i128),
    /// Flags of the accounts that the posting at hand changes.
    pub(crate) posted: u8,
    pub(crate) undo: Undo,
    pub(crate) changes: Changes,
    pub(crate) effects: Effects,
    pub(crate) ahead: Option<Box<Ahead>>,
    pub(crate) legs: Vec<Leg>,
}

impl Engine {
    /// A frame at sequence 0 and time 0.
    ///
    /// # Errors
    ///
    /// A genesis that does not validate.
    pub fn new(genesis: &Genesis, options: Options) -> Result<Self, GenesisError> {
        genesis.validate()?;
        let configuration = Configuration::new(genesis.parameters);
        let mut engine = Self::bare(genesis.clone(), configuration, options);
        engine.add_asset(NATIVE, genesis.scale, genesis.name.clone());
        Ok(engine)
    }

    /// With nothing in it, not even the native asset.
    pub(crate) fn bare(genesis: Genesis, configuration: Configuration, options: Options) -> Self {
        let velocity = Velocity::new(
            configuration.count(Parameter::PairsCapacity),
            configuration.number(Parameter::VelocityWindowMs),
        );
        Self {
            hash: Hash::new(genesis.hash_seed),
            genesis,
            configuration,
            accounts: Accounts::default(),
            owners: Owners::default(),
            hosts: Hosts::new(),
            assets: Assets::default(),
            holds: Holds::default(),
            ids: Ids::default(),
            keys: Keys::default(),
            velocity,
            mint_halted: false,
            money_moved: false,
            clock: Clock::default(),
            executed: 0,
            digest: Digest::default(),
            in_record: false,
            settled: 0,
            history_checked: 0,
            sequence: 0,
            leg: 0,
            note: Note::default(),
            caller: Caller::default(),
            after: (0, 0),
            posted: 0,
            undo: Undo::default(),
            changes: Changes::new(),
            effects: Effects::new(options.history, options.effects_max),
            ahead: Some(Box::new(Ahead::NONE)),
            legs: Vec::new(),
        }
    }

    /// Touches the memory of tables that are taken whole before anything is in them, at most so
    /// many bytes: the first payments do not wait until the system has made it.
    pub fn touch(&mut self, bytes_max: usize) {
        self.velocity.touch(bytes_max);
    }

    /// Begins a record: time moves on, due configuration changes apply, the id floor rises, keys
    /// that are old and settled are forgotten, due timers fire.
    ///
    /// # Panics
    ///
    /// If the record does not follow the one before.
    pub fn begin_record(&mut self, start: RecordStart) {
        assert!(!self.in_record, "a record ends before the next begins");
        assert!(
            start.first_sequence.0 == self.executed + 1,
            "records follow one another without gaps: {start:?} after {}",
            self.executed
        );
        assert!(
            start.timestamp_ns > self.clock.timestamp_ns,
            "journal time rises: {start:?} after {}",
            self.clock.timestamp_ns
        );
        self.in_record = true;
        self.settled = start.settled.0;
        let now_ms = self.set_clock(start.timestamp_ns);
        self.digest.record(start.timestamp_ns, start.settled.0);
        self.velocity.advance(now_ms);
        while let Some(change) = self.configuration.take_due(now_ms) {
            let is_free = !self.configuration.is_pinned(change.parameter);
            if is_free && self.configuration.accepts(change.parameter, change.value) {
                self.apply(change.parameter, change.value);
            }
        }
        let window_ms = self.configuration.number(Parameter::IdsWindowMs);
        self.ids.advance(now_ms, window_ms);
        self.advance_keys();
        self.fire_timers();
        self.grow_on();
    }

    /// Goes on with what grows little by little.
    fn grow_on(&mut self) {
        let Self { accounts, owners, assets, hash, .. } = self;
        accounts.go_on(GROWN_PER_RECORD, hash, |place| assets.row(place).id);
        owners.go_on(GROWN_PER_RECORD, hash, accounts);
    }

    /// Sets journal time; returns it in milliseconds.
    pub(crate) fn set_clock(&mut self, timestamp_ns: u64) -> u64 {
        let now_ms = timestamp_ns / NS_PER_MS;
        self.clock = Clock { timestamp_ns, now_ms, host_window: 0 };
        self.find_host_window();
        now_ms
    }

    /// After the time or the length of the window has changed.
    pub(crate) fn find_host_window(&mut self) {
        let window_ms = self.configuration.number(Parameter::HostDebitWindowMs);
        self.clock.host_window = self.clock.now_ms / window_ms;
    }

    fn fire_timers(&mut self) {
        self.sequence = self.executed + 1;
        self.leg = TIMER_LEG;
        for _ in 0..TIMERS_PER_RECORD {
            let Some((slot, hold)) = self.holds.first() else {
                break;
            };
            if hold.expiry_ns > self.clock.timestamp_ns {
                break;
            }
            self.expire(slot);
        }
    }

    /// Ends the record.
    ///
    /// # Panics
    ///
    /// If units were lost or invented: the entry that did it is a defect of this code.
    pub fn end_record(&mut self) {
        assert!(self.in_record, "a record begins before it ends");
        self.assets.assert_balanced();
        self.in_record = false;
    }

    /// Last sequence executed.
    pub const fn executed(&self) -> Sequence {
        Sequence(self.executed)
    }

    /// Journal time.
    pub const fn timestamp_ns(&self) -> u64 {
        self.clock.timestamp_ns
    }

    /// String keys that are remembered.
    pub fn keys(&self) -> usize {
        self.keys.len()
    }

    /// Highest sequence whose string key was forgotten; never falls.
    pub const fn keys_forgotten_through(&self) -> Sequence {
        Sequence(self.keys.forgotten_through())
    }

    /// Digest of every outcome so far.
    pub const fn run_digest(&self) -> [u8; 16] {
        self.digest.bytes()
    }

    /// When the earliest timer or announced change is due, in journal nanoseconds.
    pub fn next_deadline_ns(&self) -> Option<u64> {
        let timer = self.holds.first().map(|(_, hold)| hold.expiry_ns);
        let change = self.configuration.next_ms();
        let change = change.map(|at_ms| at_ms.saturating_mul(NS_PER_MS));
        timer.into_iter().chain(change).min()
    }

    /// Whether minting is halted.
    pub const fn mint_halted(&self) -> bool {
        self.mint_halted
    }

    /// Supply of every asset by the running sums, in the order of the asset numbers.
    pub fn supply(&self) -> Vec<SupplyRow> {
        let mut rows: Vec<_> = self.assets.iter().map(|asset| asset.supply(&asset.sums)).collect();
        rows.sort_unstable_by_key(|row| row.asset);
        rows
    }

    /// Supply of every asset recomputed from every account.
    pub fn recount(&self) -> Vec<SupplyRow> {
        let mut rows: Vec<_> = self
            .assets
            .iter()
            .zip(self.recounted())
            .map(|(asset, sums)| asset.supply(&sums))
            .collect();
        rows.sort_unstable_by_key(|row| row.asset);
        rows
    }

    /// Sums of every asset, in order of their places, recomputed from accounts and holds; the
    /// gross counters cannot be recomputed and are taken over.
    pub(crate) fn recounted(&self) -> Vec<Sums> {
        let mut sums: Vec<_> = self
            .assets
            .iter()
            .map(|asset| Sums {
                issued: asset.sums.issued,
                destroyed: asset.sums.destroyed,
                ..Sums::default()
            })
            .collect();
        for (hot, cold) in self.accounts.iter() {
            sums[usize::from(hot.asset)].count(hot, cold);
        }
        for hold in self.holds.iter() {
            let place = self.accounts.hot(hold.debtor).asset;
            sums[usize::from(place)].open_holds += hold.left;
        }
        sums
    }

    /// Every account, sorted by owner and asset.
    pub fn accounts(&self) -> Vec<AccountRow> {
        let mut rows: Vec<_> =
            self.accounts.iter().map(|(hot, cold)| self.row(hot, cold)).collect();
        rows.sort_unstable_by_key(|row| (row.owner, row.asset));
        rows
    }

    /// One account.
    pub fn account(&self, owner: OwnerId, asset: AssetId) -> Option<AccountRow> {
        let number = self.account_number(owner, asset)?;
        Some(self.row(self.accounts.hot(number), self.accounts.cold(number)))
    }

    /// What the frame was born with.
    pub const fn genesis(&self) -> &Genesis {
        &self.genesis
    }
}
