//! The simulated database: one row of watermark, balances, supply and postings behind the contract
//! of a sink, with answers that are lost, transactions that break, older copies and late writers.
//!
//! It speaks no SQL. Invariant: without a planted bug a transaction is applied whole or not at all,
//! and only over the watermark that it expects.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use protocol::cut::{AccountRow, Effects, SupplyRow};
use protocol::effect::{Effect, Event};
use settlement::sink::EffectSource;
use settlement::watermark::compare;
use settlement::{Batch, Pace, ReadBack, Sink, SinkError, Watermark};

use crate::bug::Bug;

/// What the database holds.
#[derive(Clone, Default)]
pub(crate) struct Tables {
    pub(crate) watermark: Option<Watermark>,
    pub(crate) balances: BTreeMap<(u128, u32), AccountRow>,
    pub(crate) supply: Vec<SupplyRow>,
    pub(crate) effects: Vec<Effect>,
    batch: u64,
}

/// A transaction that somebody still holds.
#[derive(Clone)]
struct Late {
    expected: Option<Watermark>,
    target: Watermark,
    balances: Vec<AccountRow>,
    supply: Vec<SupplyRow>,
    effects: Vec<Effect>,
}

/// What happens to the next commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Its answer is lost; it took effect or not.
    Lost(bool),
    /// It breaks before the end.
    Broken,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) tables: Tables,
    pub(crate) is_down: bool,
    pub(crate) fate: Option<Fate>,
    backup: Option<Tables>,
    /// A copy of the newest state, and whether an older one was put back since it was reached.
    newest: Tables,
    is_older: bool,
    last: Option<Late>,
    late: Option<Late>,
    cached: Option<Watermark>,
    /// Highest sequence that was ever committed.
    pub(crate) committed_ever: u64,
    pub(crate) commits: u64,
    /// Highest epoch that settled, and an older one that did after it.
    pub(crate) owner: u64,
    pub(crate) intruder: Option<(u64, u64)>,
    /// Lost answers and broken transactions since they were counted.
    pub(crate) struck: (u64, u64),
    /// How long the next commit takes.
    pub(crate) slow_ns: Option<u64>,
    /// How long slow ones took since they were counted.
    pub(crate) waited_ns: Vec<u64>,
    /// When a commit began that was due only later, and when it was.
    pub(crate) hurried: Option<(u64, u64)>,
    /// Commits whose next one was put off.
    pub(crate) stretched: u64,
}

/// The database itself; clones share it.
#[derive(Clone, Default)]
pub(crate) struct Database {
    state: Arc<Mutex<State>>,
}

/// What the history says of a string key.
pub(crate) struct KeyFound {
    pub(crate) through: u64,
    /// Digest of the body, status, rate, sequence.
    pub(crate) used: Option<(u128, u16, u32, u64)>,
}

impl Database {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn back_up(&self) {
        let mut state = self.state();
        state.backup = Some(state.tables.clone());
    }

    /// Puts the backup in place; `false` if there is none.
    pub(crate) fn restore(&self) -> bool {
        let mut state = self.state();
        let Some(backup) = state.backup.clone() else { return false };
        // With the newer rows it has lost the newer epoch.
        state.owner = backup.watermark.as_ref().map_or(0, |mark| mark.epoch);
        state.is_older = true;
        state.tables = backup;
        true
    }

    /// The process that settles dies; its last transaction may still be under way.
    pub(crate) fn leave_behind(&self) {
        let mut state = self.state();
        state.late = state.last.take();
    }

    /// The operator has a newer copy than the one that was put back; `false` if none was.
    pub(crate) fn put_newest_back(&self) -> bool {
        let mut state = self.state();
        let is_older = std::mem::take(&mut state.is_older);
        if is_older {
            state.tables = state.newest.clone();
            state.owner = state.tables.watermark.as_ref().map_or(0, |mark| mark.epoch);
        }
        is_older
    }

    /// Whoever had a transaction under way is gone with it.
    pub(crate) fn forget(&self) {
        let mut state = self.state();
        (state.last, state.late) = (None, None);
    }

    /// The transaction of a dead process arrives.
    pub(crate) fn late_arrives(&self, bug: Option<Bug>) -> bool {
        let mut state = self.state();
        let Some(late) = state.late.take() else { return false };
        let stored = state.tables.watermark.clone();
        let is_taken = compare(late.expected.as_ref(), stored.as_ref(), &late.target).is_ok();
        if is_taken || bug == Some(Bug::Unfenced) {
            state.apply(late);
        }
        true
    }

    /// What became of a string key, in one snapshot; `None` if the database does not answer.
    pub(crate) fn find_key(&self, principal: u128, hash: u128) -> Option<KeyFound> {
        let state = self.state();
        if state.is_down {
            return None;
        }
        let through = state.tables.watermark.as_ref().map_or(0, |mark| mark.through().0);
        let is_it = |effect: &&Effect| {
            effect.event == Event::KeyUsed.number()
                && effect.debit == principal
                && effect.reference == hash
        };
        let used = state.tables.effects.iter().find(is_it).map(|effect| {
            let status = u16::try_from(effect.user_data).expect("a status is a u16");
            (effect.amount, status, effect.rate, effect.sequence)
        });
        Some(KeyFound { through, used })
    }
}

impl State {
    fn apply(&mut self, late: Late) {
        let rows = late.balances.into_iter().map(|row| ((row.owner, row.asset), row));
        self.tables.balances.extend(rows);
        self.tables.supply = late.supply;
        self.tables.effects.extend(late.effects);
        self.committed_ever = self.committed_ever.max(late.target.through().0);
        self.cached = Some(late.target.clone());
        let epoch = late.target.epoch;
        if epoch < self.owner && self.intruder.is_none() {
            self.intruder = Some((epoch, self.owner));
        }
        self.owner = self.owner.max(epoch);
        self.tables.watermark = Some(late.target);
        self.commits += 1;
        let through = |tables: &Tables| tables.watermark.as_ref().map(Watermark::through);
        if through(&self.tables) >= through(&self.newest) {
            self.newest = self.tables.clone();
            self.is_older = false;
        }
    }
}

/// A process's connection to the database.
pub(crate) struct SimSql {
    database: Database,
    clock: Arc<AtomicU64>,
    /// What must be between commits; none with history.
    pace: Option<Pace>,
    bug: Option<Bug>,
    /// Number of the next batch of this process.
    batch: u64,
    /// The next commit does not begin before.
    not_before_ms: u64,
}

impl SimSql {
    pub(crate) const fn new(
        database: Database,
        clock: Arc<AtomicU64>,
        pace: Option<Pace>,
        bug: Option<Bug>,
    ) -> Self {
        Self { database, clock, pace, bug, batch: 0, not_before_ms: 0 }
    }

    fn now_ms(&self) -> u64 {
        self.clock.load(Ordering::Relaxed) / 1_000_000
    }

    /// Lets the time of a commit pass; says when it began.
    fn wait(&self, state: &mut State) -> u64 {
        let began_ms = self.now_ms();
        if began_ms < self.not_before_ms {
            state.hurried = state.hurried.or(Some((began_ms, self.not_before_ms)));
        }
        if let Some(slow_ns) = state.slow_ns.take() {
            self.clock.fetch_add(slow_ns, Ordering::Relaxed);
            state.waited_ns.push(slow_ns);
        }
        began_ms
    }

    /// A commit that began at `began_ms` has worked.
    fn paced(&mut self, began_ms: u64, state: &mut State) {
        let Some(pace) = self.pace else { return };
        let after_ms = pace.after_ms(self.now_ms() - began_ms);
        // Else the interval counts from when the cut was asked for, which was before.
        if after_ms > pace.interval_ms {
            self.not_before_ms = began_ms + after_ms;
            state.stretched += 1;
        }
    }

    fn check(
        &mut self,
        state: &State,
        expected: Option<&Watermark>,
        target: &Watermark,
    ) -> Result<bool, SinkError> {
        match self.bug {
            Some(Bug::BatchNumber) => {
                self.batch += 1;
                Ok(self.batch > state.tables.batch)
            }
            Some(Bug::CachedWatermark) => {
                compare(expected, state.cached.as_ref(), target).map(|()| true)
            }
            Some(Bug::EpochIgnored | Bug::EpochTaken) => {
                let ageless = state.tables.watermark.clone();
                let ageless = ageless.map(|mark| Watermark { epoch: 0, ..mark });
                compare(expected, ageless.as_ref(), target).map(|()| true)
            }
            _ => compare(expected, state.tables.watermark.as_ref(), target).map(|()| true),
        }
    }
}

fn unavailable(kind: io::ErrorKind) -> SinkError {
    SinkError::Retryable(Box::new(io::Error::from(kind)))
}

impl Sink for SimSql {
    fn name(&self) -> &str {
        "simulated"
    }

    fn connect(&mut self) -> Result<(), SinkError> {
        let state = self.database.state();
        if state.is_down { Err(unavailable(io::ErrorKind::ConnectionRefused)) } else { Ok(()) }
    }

    fn watermark(&mut self) -> Result<Option<Watermark>, SinkError> {
        let state = self.database.state();
        if state.is_down {
            return Err(unavailable(io::ErrorKind::ConnectionReset));
        }
        let is_cached = self.bug == Some(Bug::CachedWatermark) && state.cached.is_some();
        let mark = if is_cached { state.cached.clone() } else { state.tables.watermark.clone() };
        let is_ageless = matches!(self.bug, Some(Bug::EpochIgnored | Bug::EpochTaken));
        Ok(mark.map(|mark| if is_ageless { Watermark { epoch: 0, ..mark } } else { mark }))
    }

    fn commit(
        &mut self,
        batch: &Batch<'_>,
        expected: Option<&Watermark>,
        effects: &mut dyn EffectSource,
    ) -> Result<(), SinkError> {
        let database = self.database.clone();
        let mut state = database.state();
        if state.is_down {
            return Err(unavailable(io::ErrorKind::ConnectionReset));
        }
        let began_ms = self.wait(&mut state);
        let mut target = batch.target();
        if !self.check(&state, expected, &target)? {
            return Ok(());
        }
        if self.bug == Some(Bug::EpochTaken) {
            target.epoch = target.epoch.max(state.owner);
        }
        let mut written = Vec::new();
        effects.deliver(&mut |block| {
            written.extend_from_slice(block);
            Ok(())
        })?;
        if let (Some(Bug::WholeCut), Effects::All(all)) = (self.bug, &batch.cut.effects) {
            written.clone_from(all);
        }
        let mut balances = batch.cut.accounts.iter().collect::<Vec<_>>();
        if self.bug == Some(Bug::LostRow) && balances.len() > 3 {
            balances.pop();
        }
        let supply = batch.cut.supply.clone();
        let late = Late { expected: expected.cloned(), target, balances, supply, effects: written };
        state.last = Some(late.clone());
        match state.fate.take() {
            Some(Fate::Broken) => {
                state.struck.1 += 1;
                if self.bug == Some(Bug::PartialCommit) {
                    state.tables.effects.extend(late.effects);
                }
                Err(unavailable(io::ErrorKind::BrokenPipe))
            }
            Some(Fate::Lost(is_applied)) => {
                state.struck.0 += 1;
                if is_applied {
                    state.apply(late.clone());
                }
                if self.bug == Some(Bug::CommitRetried) {
                    state.apply(late);
                    return Ok(());
                }
                let lost = io::Error::from(io::ErrorKind::UnexpectedEof);
                Err(SinkError::UnknownCommit(Box::new(lost)))
            }
            None => {
                state.tables.batch = self.batch;
                state.apply(late);
                self.paced(began_ms, &mut state);
                Ok(())
            }
        }
    }

    fn read_back(&mut self) -> Result<ReadBack, SinkError> {
        // The judge looks at the tables themselves.
        Err(unavailable(io::ErrorKind::Unsupported))
    }
}
