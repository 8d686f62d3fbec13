//! The threads around the stages: journal, sync, prepare, engine and housekeeping.
//!
//! Each loop steps its stage while there is work and waits at its gate when there is none; what a
//! stage does is decided in `pipeline`. Nothing here touches money. Invariant: a stop loses
//! nothing that was published before it, and a failed sync ends the process through the callback
//! without anything more being answered.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use journal::{AppendError, PrepareError, Preparer};
use pipeline::{
    Cursors, EngineStage, Halt, JournalStage, Marks, Metrics, Progress, StageMetrics, Stages,
    Stall, SyncStage, Tap, Watchdog,
};
use ring::limits::GATE_TIMEOUT;
use ring::{Gate, Positions, Publisher};

use crate::clock::SystemClock;

/// How often the housekeeper looks.
const HOUSEKEEPING: Duration = Duration::from_secs(1);
/// How long after a full disk the next segment is tried again.
const PREPARE_RETRY: Duration = Duration::from_millis(200);
/// Niceness of threads for which no client waits: doors, journal and engine do not make way for
/// them while the cores are full.
const NICE: i32 = 10;

/// Why the process has to end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Fatal {
    /// A stage has stopped for good.
    #[error("{0}")]
    Halt(String),
    /// A sync failed: nothing that was not answered can be relied on.
    #[error("{0}")]
    Sync(String),
    /// The disk refused the next segment, and not for want of room.
    #[error("{0}")]
    Prepare(String),
}

impl Fatal {
    fn of(halt: &Halt) -> Self {
        match halt {
            // The appender may meet what the syncer found before the syncer's thread says so, and
            // writes what waits itself when there is no other room.
            Halt::Sync(_) | Halt::Append(AppendError::Poisoned | AppendError::Storage(_)) => {
                Self::Sync(halt.to_string())
            }
            _ => Self::Halt(halt.to_string()),
        }
    }
}

/// Called once when the process has to end; it is expected to exit, with a code per [`Fatal`].
pub(crate) type OnFatal = Arc<dyn Fn(Fatal) + Send + Sync>;

/// What the threads are made of.
pub(crate) struct Ingredients {
    /// The wired stages.
    pub(crate) stages: Stages,
    /// Background end of the journal.
    pub(crate) preparer: Preparer,
    /// The clocks.
    pub(crate) clock: Arc<SystemClock>,
    /// What to do when the process has to end.
    pub(crate) on_fatal: OnFatal,
}

/// What every thread sees.
struct Shared {
    clock: Arc<SystemClock>,
    on_fatal: OnFatal,
    has_failed: AtomicBool,
    marks: Arc<Marks>,
    metrics: Arc<Metrics>,
    positions: Arc<Positions>,
    journal_gate: Arc<Gate>,
    sync_gate: Arc<Gate>,
    engine_gate: Arc<Gate>,
    idle_gate: Gate,
    /// No more ticks, and the journal stage ends when the ring is empty.
    closing: AtomicBool,
    /// The engine stage ends when it has taken everything.
    draining: AtomicBool,
    /// The sync stage ends when everything is durable, and the background threads end.
    ending: AtomicBool,
    stalled: Mutex<Option<Stall>>,
    prepare_failures: AtomicU64,
    /// The last attempt to prepare a segment found no room.
    is_full: AtomicBool,
}

/// How the threads fare, for whoever reports it.
#[derive(Clone)]
pub(crate) struct Health(Arc<Shared>);

impl Health {
    /// The stage that stands still although it has work, if there is one.
    pub(crate) fn stall(&self) -> Option<Stall> {
        *self.0.stalled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is no room for the next segment.
    pub(crate) fn is_full(&self) -> bool {
        self.0.is_full.load(Ordering::Relaxed)
    }

    /// Attempts to prepare a segment that found no room.
    pub(crate) fn prepare_failures(&self) -> u64 {
        self.0.prepare_failures.load(Ordering::Relaxed)
    }

    /// How far everybody has come.
    pub(crate) fn cursors(&self) -> Cursors {
        Cursors::read(&self.0.positions, &self.0.marks)
    }

    /// Distance between wall and journal time, in milliseconds.
    pub(crate) fn skew_ms(&self) -> u64 {
        self.0.clock.skew_ns().unsigned_abs() / 1_000_000
    }
}

impl Shared {
    fn fail(&self, fatal: Fatal) {
        if !self.has_failed.swap(true, Ordering::AcqRel) {
            tracing::error!(error = %fatal, "stopping");
            (self.on_fatal)(fatal);
        }
        self.wake();
    }

    fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Acquire)
    }

    fn wake(&self) {
        let gates = [&self.journal_gate, &self.sync_gate, &self.engine_gate];
        gates.into_iter().for_each(|gate| gate.notify());
        self.idle_gate.notify();
    }

    fn raise(&self, flag: &AtomicBool) {
        flag.store(true, Ordering::Release);
        self.wake();
    }
}

/// The running threads.
pub(crate) struct Runtime {
    shared: Arc<Shared>,
    journal: JoinHandle<JournalStage>,
    engine: JoinHandle<EngineStage>,
    sync: JoinHandle<SyncStage>,
    background: Vec<JoinHandle<()>>,
}

impl Runtime {
    /// Starts the threads; returns the publisher for the gateway workers, and what is followed.
    ///
    /// # Errors
    ///
    /// When the system refuses a thread.
    pub(crate) fn start(ingredients: Ingredients) -> io::Result<(Self, Publisher, Tap)> {
        let Ingredients { mut stages, mut preparer, clock, on_fatal } = ingredients;
        // Before anybody is served; what fails here is met again by the threads.
        if !stages.open(&mut preparer, clock.now()) {
            tracing::warn!("the start has no record of its own yet; the first commands make one");
        }
        let shared = Arc::new(Shared {
            clock,
            on_fatal,
            has_failed: AtomicBool::new(false),
            marks: stages.marks,
            metrics: stages.metrics,
            positions: stages.positions,
            journal_gate: stages.journal_gate,
            sync_gate: stages.sync_gate,
            engine_gate: stages.engine_gate,
            idle_gate: Gate::default(),
            closing: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            ending: AtomicBool::new(false),
            stalled: Mutex::new(None),
            prepare_failures: AtomicU64::new(0),
            is_full: AtomicBool::new(false),
        });
        let (journal, sync, engine) = (stages.journal, stages.sync, stages.engine);
        let runtime = Self {
            journal: spawn("journal", &shared, |shared| run_journal(shared, journal))?,
            sync: spawn("sync", &shared, |shared| run_sync(shared, sync))?,
            engine: spawn("engine", &shared, |shared| run_engine(shared, engine))?,
            background: vec![
                spawn("prepare", &shared, |shared| run_prepare(shared, preparer))?,
                spawn("housekeeping", &shared, run_housekeeping)?,
            ],
            shared,
        };
        Ok((runtime, stages.publisher, stages.tap))
    }

    /// How the threads fare.
    pub(crate) fn health(&self) -> Health {
        Health(Arc::clone(&self.shared))
    }

    /// Ends the threads in the order of the stages: everything published is journaled, made
    /// durable, executed and answered, and the journal ends with a blank record, which is durable
    /// too. Stop the gateway before; what is published during the stop may stay unanswered.
    pub(crate) fn stop(self) -> EngineStage {
        const PANICKED: &str = "a panic has ended the process before";
        let Self { shared, journal, engine, sync, background } = self;
        shared.raise(&shared.closing);
        let mut journal = journal.join().expect(PANICKED);
        shared.raise(&shared.draining);
        let engine = engine.join().expect(PANICKED);
        if !shared.has_failed() {
            journal.conclude(shared.clock.now());
        }
        shared.raise(&shared.ending);
        sync.join().expect(PANICKED);
        for thread in background {
            thread.join().expect(PANICKED);
        }
        engine
    }
}

fn spawn<T: Send + 'static>(
    name: &str,
    shared: &Arc<Shared>,
    run: impl FnOnce(&Shared) -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    let shared = Arc::clone(shared);
    Builder::new().name(name.to_owned()).spawn(move || run(&shared))
}

/// Counts how a thread spends its time.
struct Account<'a> {
    shared: &'a Shared,
    metrics: &'a StageMetrics,
    since_ns: u64,
}

impl<'a> Account<'a> {
    fn open(shared: &'a Shared, metrics: &'a StageMetrics) -> Self {
        let since_ns = shared.clock.monotonic_ns();
        Self { shared, metrics, since_ns }
    }

    /// Nanoseconds since the last call.
    fn lap_ns(&mut self) -> u64 {
        let before_ns = std::mem::replace(&mut self.since_ns, self.shared.clock.monotonic_ns());
        self.since_ns - before_ns
    }

    /// A step has ended; returns how long it took.
    fn worked(&mut self) -> u64 {
        let took_ns = self.lap_ns();
        self.metrics.steps.add(took_ns);
        took_ns
    }

    fn waited(&mut self) {
        self.metrics.waiting_ns.fetch_add(self.lap_ns(), Ordering::Relaxed);
    }
}

fn run_journal(shared: &Shared, mut stage: JournalStage) -> JournalStage {
    let mut account = Account::open(shared, &shared.metrics.journal);
    loop {
        let is_closing = shared.closing.load(Ordering::Acquire);
        if is_closing {
            stage.close();
        }
        let progress = stage.step(shared.clock.now());
        account.worked();
        match progress {
            Progress::Worked => {}
            Progress::Finished => return stage,
            Progress::Idle if shared.has_failed() => return stage,
            // Requests may be waiting for a segment: only an empty ring has nothing more to come.
            Progress::Idle if is_closing && is_emptied(&shared.positions) => return stage,
            Progress::Idle => {
                let is_ready = || {
                    stage.is_ready(shared.clock.now().journal_ns)
                        || (!is_closing && shared.closing.load(Ordering::Acquire))
                        || shared.has_failed()
                };
                shared.journal_gate.wait(is_ready, GATE_TIMEOUT);
                account.waited();
            }
            Progress::Halted => {
                if let Some(halt) = stage.halt() {
                    shared.fail(Fatal::of(halt));
                }
                return stage;
            }
        }
    }
}

fn is_emptied(positions: &Positions) -> bool {
    positions.journaled() == positions.published()
}

fn run_sync(shared: &Shared, mut stage: SyncStage) -> SyncStage {
    let mut account = Account::open(shared, &shared.metrics.sync);
    loop {
        // Before the step: what was appended before the flag was raised is still synced.
        let is_ending = shared.ending.load(Ordering::Acquire);
        let progress = stage.step();
        let took_ns = account.worked();
        match progress {
            Progress::Worked => shared.metrics.syncs.add(took_ns),
            Progress::Idle | Progress::Finished if is_ending => return stage,
            Progress::Idle | Progress::Finished => {
                let is_ready = || stage.is_needed() || shared.ending.load(Ordering::Acquire);
                shared.sync_gate.wait(is_ready, GATE_TIMEOUT);
                account.waited();
            }
            Progress::Halted => {
                if let Some(halt) = stage.halt() {
                    shared.fail(Fatal::of(halt));
                }
                return stage;
            }
        }
    }
}

fn run_engine(shared: &Shared, mut stage: EngineStage) -> EngineStage {
    let mut account = Account::open(shared, &shared.metrics.engine);
    loop {
        // Once draining, the journal thread has ended: nothing can arrive that is not yet here.
        let is_draining = shared.draining.load(Ordering::Acquire);
        let progress = stage.step(|| shared.clock.monotonic_ns());
        account.worked();
        match progress {
            Progress::Worked => continue,
            Progress::Finished | Progress::Halted => return stage,
            Progress::Idle => {}
        }
        let positions = &shared.positions;
        let is_drained = is_draining && positions.taken() == positions.journaled();
        if is_drained || shared.has_failed() {
            return stage;
        }
        let is_ready = || {
            stage.is_ready()
                || shared.has_failed()
                || (!is_draining && shared.draining.load(Ordering::Acquire))
        };
        shared.engine_gate.wait(is_ready, GATE_TIMEOUT);
        account.waited();
    }
}

fn run_prepare(shared: &Shared, mut preparer: Preparer) {
    let is_ending = || shared.ending.load(Ordering::Acquire) || shared.has_failed();
    while !is_ending() {
        let pause = match preparer.prepare_when_due(&is_ending) {
            Ok(true) => {
                shared.is_full.store(false, Ordering::Relaxed);
                continue;
            }
            Ok(false) => GATE_TIMEOUT,
            Err(error @ PrepareError::Full(_)) => {
                shared.prepare_failures.fetch_add(1, Ordering::Relaxed);
                if !shared.is_full.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%error, "the disk is full: writes will be refused");
                }
                PREPARE_RETRY
            }
            Err(error) => {
                shared.fail(Fatal::Prepare(error.to_string()));
                return;
            }
        };
        let is_ready = || is_ending() || (pause == GATE_TIMEOUT && preparer.needed());
        shared.idle_gate.wait(is_ready, pause);
    }
}

fn run_housekeeping(shared: &Shared) {
    let mut watchdog = Watchdog::default();
    let is_ending = || shared.ending.load(Ordering::Acquire) || shared.has_failed();
    let mut was_skewed = false;
    while !is_ending() {
        if let Err(error) = shared.marks.watermarks().validate() {
            shared.fail(Fatal::Halt(error.to_string()));
            return;
        }
        let cursors = Cursors::read(&shared.positions, &shared.marks);
        let stall = watchdog.observe(shared.clock.monotonic_ns(), cursors);
        let mut known = shared.stalled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(stall) = stall.filter(|_| known.is_none()) {
            let (stage, pending) = (stall.stage.name(), stall.pending);
            tracing::error!(stage, pending, "a stage stands still; not ready");
        }
        *known = stall;
        drop(known);
        shared.clock.now();
        let is_skewed = shared.clock.is_skewed();
        if is_skewed && !was_skewed {
            let skew_ns = shared.clock.skew_ns();
            tracing::warn!(skew_ns, "wall clock and journal time differ by over a second");
        }
        was_skewed = is_skewed;
        shared.idle_gate.wait(is_ending, HOUSEKEEPING);
    }
}

/// Lets the stages go before the calling thread; on Linux, it alone.
pub(crate) fn make_way() {
    if let Err(error) = rustix::process::nice(NICE) {
        tracing::debug!(%error, "a thread is as important as the engine");
    }
}

#[cfg(test)]
#[path = "threads_test.rs"]
mod tests;
