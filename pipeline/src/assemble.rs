//! The pipeline, wired in one place.
//!
//! ```text
//!  1 publishers ─► ring ─► journal stage     gate: journal
//!  2                        └─ appended ─► sync stage      gate: sync
//!  3                             └─ durable ─► engine stage     gate: engine
//!  4                                  └─ replies, cuts, marks
//! ```
//!
//! It starts nothing. Invariant: every stage holds the same marks, begun at the same boundary.

use std::sync::Arc;

use engine::Engine;
use journal::{Appender, Preparer, RecordHeader, Syncer};
use ring::{Gate, Parts, Pool, Positions, Publisher, ReplyQueue};

use crate::control::ControlHandle;
use crate::engine_stage::{EngineStage, Replies};
use crate::halt::Progress;
use crate::journal_stage::{JournalStage, Now, Sequencer};
use crate::marks::{Executed, Marks};
use crate::metrics::Metrics;
use crate::sync_stage::SyncStage;
use crate::tap::{Tap, tap};
use crate::watchdog::Cursors;

/// The record at which an engine stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Boundary {
    /// Its epoch.
    pub epoch: u64,
    /// Its hash.
    pub chain_hash: [u8; 32],
}

impl Boundary {
    /// Of a record.
    #[must_use]
    pub const fn of(header: &RecordHeader) -> Self {
        Self { epoch: header.epoch, chain_hash: header.hash }
    }
}

/// What the stages are made of: an engine and a journal at the same boundary.
pub struct Wiring {
    /// The ring.
    pub ring: Parts,
    /// Everything in the journal, executed.
    pub engine: Engine,
    /// Writing end of the journal.
    pub appender: Appender,
    /// Durable end of the journal.
    pub syncer: Syncer,
    /// The last executed record.
    pub boundary: Boundary,
    /// Epoch of the records to come; at least that of the boundary.
    pub epoch: u64,
    /// Reply queues of the gateway workers, by their numbers.
    pub replies: Vec<Arc<ReplyQueue>>,
    /// Where envelopes go that nobody waits for.
    pub pool: Arc<Pool>,
}

/// The stages and what others need to work with them.
pub struct Stages {
    /// For the gateway workers; the ring ends when they and the journal stage let go.
    pub publisher: Publisher,
    /// First stage.
    pub journal: JournalStage,
    /// Second stage.
    pub sync: SyncStage,
    /// Third stage.
    pub engine: EngineStage,
    /// Where the journal stage waits.
    pub journal_gate: Arc<Gate>,
    /// Where the sync stage waits.
    pub sync_gate: Arc<Gate>,
    /// Where the engine stage waits.
    pub engine_gate: Arc<Gate>,
    /// How far each stage has come.
    pub marks: Arc<Marks>,
    /// What each stage has done.
    pub metrics: Arc<Metrics>,
    /// How far the ring's users have come.
    pub positions: Arc<Positions>,
    /// Questions to the engine.
    pub control: ControlHandle,
    /// What is followed.
    pub tap: Tap,
}

/// Wires the stages.
///
/// # Panics
///
/// When engine and journal do not stand at the same sequence.
#[must_use]
pub fn assemble(wiring: Wiring) -> Stages {
    let Wiring { ring, engine, appender, syncer, boundary, epoch, replies, pool } = wiring;
    let last = appender.last();
    assert_eq!(
        engine.executed().0 + 1,
        appender.next_sequence(),
        "the engine has executed the whole journal"
    );
    assert!(epoch >= last.epoch, "an epoch never falls");
    let executed = Executed { sequence: engine.executed().0, run_digest: engine.run_digest() };
    let deadline = engine.next_deadline_ns();
    let marks = Arc::new(Marks::new(executed, last.index, last.timestamp_ns, deadline));
    let metrics = Arc::new(Metrics::default());
    let sync_gate = Arc::new(Gate::new(ring.patience));
    let engine_gate = Arc::clone(&ring.engine_gate);
    let (control, questions) = ControlHandle::new(Arc::clone(&engine_gate));

    // 1 sequence and journal
    let sequencer = Sequencer::new(appender, Arc::clone(&marks), Arc::clone(&metrics), epoch);
    let gates = (Arc::clone(&sync_gate), Arc::clone(&engine_gate));
    let journal = JournalStage::new(ring.journal, ring.publisher.clone(), gates, sequencer);
    // 2 commit
    let sync =
        SyncStage::new(syncer, Arc::clone(&marks), Arc::clone(&metrics), Arc::clone(&engine_gate));
    // 3 execute, 4 answer
    let shared = (Arc::clone(&marks), Arc::clone(&metrics));
    let replies = Replies { queues: replies, pool };
    let (tap_end, tap) = tap();
    let asked = (questions, tap_end);
    let engine = EngineStage::new(engine, ring.engine, replies, shared, asked, boundary);

    Stages {
        publisher: ring.publisher,
        journal,
        sync,
        engine,
        journal_gate: ring.journal_gate,
        sync_gate,
        engine_gate,
        marks,
        metrics,
        positions: ring.positions,
        control,
        tap,
    }
}

impl Stages {
    /// Uses up the epoch: a blank record under it is appended and made durable, so that no two
    /// starts ever share one. Says whether it was; without room for it nothing happens, and the
    /// journal stage makes up for it later. What fails otherwise is told by the stage concerned.
    pub fn open(&mut self, preparer: &mut Preparer, now: Now) -> bool {
        let mut has_appended = self.journal.open(now);
        if !has_appended && self.journal.halt().is_none() {
            // The live segment may be full to its last block. Whatever the disk answers, whoever
            // drives the preparer is answered the same.
            has_appended = matches!(preparer.prepare(), Ok(true)) && self.journal.open(now);
        }
        has_appended && self.sync.step() == Progress::Worked
    }
}

impl Cursors {
    /// As of now.
    #[must_use]
    pub fn read(positions: &Positions, marks: &Marks) -> Self {
        // Downstream first, so that nothing seems done before it was due.
        let taken = positions.taken();
        let durable = marks.durable.value();
        let appended = marks.appended.value();
        let journaled = positions.journaled();
        Self { published: positions.published(), journaled, taken, appended, durable }
    }
}
