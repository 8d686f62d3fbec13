//! One process of the frame: the stages, the background end of the journal and the settler, made
//! from the simulated disk and database as the server makes them from real ones.
//!
//! It starts no thread; each part moves when the world says so. Invariant: a node that is dropped
//! leaves nothing behind but what the disk and the database hold.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_channel::{Receiver, Sender};
use engine::{Engine, Options};
use journal::{
    Config, Entry, FaultKind, Journal, Kind, PrepareError, Preparer, Reader, RecordHeader, Storage,
};
use pipeline::{
    Control, ControlHandle, Marks, Now, Past, Progress, Recovered, Replayer, Settled, Sources,
    Stages, StartError, Wiring, assemble, recover,
};
use protocol::Sequence;
use protocol::cut::Cut;
use protocol::genesis::{Genesis, Mode, RULES};
use protocol::parameter::{Parameter, Parameters};
use ring::{Pool, PoolConfig, ReplyQueue};
use settlement::{Handle, Hooks, Inbox, Pace, Runner, Settings, Status, Stop, Watermark};
use snapshot::Catalogue;

use crate::bug::Bug;
use crate::disk::SimDisk;
use crate::history::SimHistory;
use crate::sql::{Database, SimSql};

pub(crate) const SEGMENT: Config = Config { segment_size: 64 * 1024 };
/// Requests in flight.
pub(crate) const REQUESTS_MAX: usize = 48;
pub(crate) const OPTIONS: Options = Options { history: true, effects_max: 256 };
pub(crate) const FRAME: u128 = 0xf7a3e;
/// As the server sets it by default.
const PACE: Pace = Pace { share_max_percent: 25, ..Pace::STEADY };

/// How a process is made.
#[derive(Clone, Copy)]
pub(crate) struct Making {
    pub(crate) bug: Option<Bug>,
    /// Balances are settled, postings are not.
    pub(crate) is_netted: bool,
    /// The database is asked before.
    pub(crate) asks: bool,
}

impl Making {
    const fn options(self) -> Options {
        Options { history: !self.is_netted, ..OPTIONS }
    }
}

fn genesis() -> Genesis {
    let parameters = [
        (Parameter::PairsCapacity, 2_048),
        (Parameter::VelocityFree, 2),
        (Parameter::VelocityCap, 12),
        (Parameter::VelocityWindowMs, 5_000),
        (Parameter::HoldDefaultMs, 3_000),
        (Parameter::HoldMaxMs, 20_000),
        (Parameter::HoldsCapacity, 24),
        (Parameter::HoldsPerDebtor, 8),
        (Parameter::IdsWindowMs, 20_000),
        (Parameter::IdsMinWindowMs, 2_000),
        (Parameter::IdsCapacity, 256),
        (Parameter::AccountsCapacity, 64),
        (Parameter::KeysWindowMs, 1_000),
        (Parameter::KeysCapacity, 64),
    ];
    let defaults = Parameters::default();
    Genesis {
        frame: FRAME,
        hash_seed: 0x5eed,
        mode: Mode::Frame,
        scale: 6,
        name: "AVT".into(),
        trust_domain: "frame.sim".into(),
        parameters: parameters.into_iter().fold(defaults, |all, (one, value)| all.with(one, value)),
    }
}

/// Makes a frame on an empty disk.
pub(crate) fn create(disk: &SimDisk, now_ns: u64) {
    let genesis = genesis();
    let entry = Entry {
        kind: Kind::Genesis,
        rules: RULES,
        epoch: 1,
        first_sequence: 1,
        timestamp_ns: now_ns,
        ..Entry::default()
    };
    let storage = Arc::new(disk.clone());
    let parts: &[&[u8]] = &[&genesis.encode()];
    Journal::create(storage, SEGMENT, genesis.frame, &entry, parts).expect("the disk is empty");
}

/// What recovery met on its way.
pub(crate) struct Found {
    /// Index of the record with the first hash.
    pub(crate) first: u64,
    /// Of the records that were read behind the snapshot.
    pub(crate) hashes: Vec<[u8; 32]>,
    /// Index of the last record.
    pub(crate) through: u64,
    pub(crate) last_ns: u64,
    pub(crate) image_digest: [u8; 32],
}

/// Why a frame does not start.
pub(crate) struct Refusal {
    pub(crate) kind: FaultKind,
    text: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<StartError> for Refusal {
    fn from(error: StartError) -> Self {
        let kind = match &error {
            StartError::Journal(source) | StartError::NoBase { source, .. } => source.kind(),
            _ => FaultKind::Io,
        };
        Self { kind, text: error.to_string() }
    }
}

pub(crate) struct Node {
    pub(crate) stages: Stages,
    preparer: Preparer,
    pub(crate) pool: Arc<Pool>,
    pub(crate) queue: Arc<ReplyQueue>,
    pub(crate) epoch: u64,
    pub(crate) is_halted: bool,
    runner: Runner<SimSql, SimHistory, SimHooks>,
    handle: Handle,
    inbox: Inbox,
    cuts: Receiver<Cut>,
    /// What this process knows of the snapshots.
    pub(crate) catalogue: Arc<Catalogue>,
    /// What settlement shows.
    pub(crate) status: Arc<Status>,
    bug: Option<Bug>,
}

impl Node {
    /// From disk and database to a running process.
    pub(crate) fn recover(
        disk: &SimDisk,
        database: &Database,
        clock: &Arc<AtomicU64>,
        making: Making,
    ) -> Result<(Self, Found), Refusal> {
        let Making { bug, is_netted, asks } = making;
        let catalogue = Arc::new(Catalogue::new(disk.files.clone(), FRAME));
        let settled = settled(database).filter(|_| asks);
        let (recovered, found) = find(disk, &catalogue, settled.as_ref(), clock, making)?;
        let Recovered { journal, report, engine, boundary, .. } = recovered;
        let epoch = report.last.epoch + u64::from(bug != Some(Bug::SameEpoch));
        let past = Past::new(Arc::new(disk.clone()), Arc::clone(&catalogue));
        let history = SimHistory::new(past, journal.watermarks());
        let (appender, syncer, preparer) = journal.split();
        let pool = Pool::new(PoolConfig { bytes_max: 64 << 20, requests_max: REQUESTS_MAX });
        let queue = Arc::new(ReplyQueue::new(REQUESTS_MAX));
        let stages = assemble(Wiring {
            ring: ring::build(ring::Config { size: 64, ..ring::Config::default() }),
            engine,
            appender,
            syncer,
            boundary,
            epoch,
            replies: vec![Arc::clone(&queue)],
            pool: Arc::clone(&pool),
        });
        let (handle, inbox) = settlement::channel();
        let (sender, cuts) = crossbeam_channel::bounded(1);
        let hooks = SimHooks {
            control: stages.control.clone(),
            marks: Arc::clone(&stages.marks),
            cuts: sender,
            clock: Arc::clone(clock),
        };
        let seen = Sequence(report.last.settled_sequence);
        let pace = if bug == Some(Bug::Hurried) { Pace::STEADY } else { PACE };
        let settings = Settings { pace, ..Settings::new(FRAME, epoch, !is_netted, seen) };
        let status = Arc::new(Status::default());
        let paced = is_netted.then_some(PACE);
        let sink = SimSql::new(database.clone(), Arc::clone(clock), paced, bug);
        let runner = Runner::new(settings, sink, history, hooks, Arc::clone(&status));
        let is_halted = false;
        let node = Self {
            stages,
            preparer,
            pool,
            queue,
            epoch,
            is_halted,
            runner,
            handle,
            inbox,
            cuts,
            catalogue,
            status,
            bug,
        };
        Ok((node, found))
    }

    /// Uses up the epoch; says whether that is durable.
    pub(crate) fn open(&mut self, now_ns: u64) -> bool {
        let now = Now { journal_ns: now_ns, monotonic_ns: now_ns };
        let is_open = self.stages.open(&mut self.preparer, now);
        self.is_halted |= self.stages.sync.halt().is_some();
        is_open
    }

    /// Prepares a segment if one is wanted.
    pub(crate) fn prepare(&mut self) {
        if let Err(PrepareError::Failed(_)) = self.preparer.prepare() {
            self.is_halted = true;
        }
    }

    pub(crate) fn journal(&mut self, now_ns: u64) {
        let now = Now { journal_ns: now_ns, monotonic_ns: now_ns };
        self.is_halted |= self.stages.journal.step(now) == Progress::Halted;
    }

    pub(crate) fn sync(&mut self) {
        self.is_halted |= self.stages.sync.step() == Progress::Halted;
    }

    pub(crate) fn execute(&mut self, now_ns: u64) {
        let _: Progress = self.stages.engine.step(|| now_ns);
    }

    /// Everything that settlement can do now.
    pub(crate) fn settle(&mut self) -> Option<Stop> {
        while let Ok(cut) = self.cuts.try_recv() {
            if self.bug == Some(Bug::SettledEarly) {
                self.stages.marks.settle(cut.through.0);
            }
            self.handle.deliver(cut);
        }
        self.runner.turn(&self.inbox)
    }
}

/// What SQL says, if it answers.
fn settled(database: &Database) -> Option<Settled> {
    let state = database.state();
    let mark = state.tables.watermark.as_ref().filter(|_| !state.is_down)?;
    let (chain_hash, run_digest) = (mark.chain_hash, mark.run_digest);
    Some(Settled { frame: mark.frame, through: mark.through(), chain_hash, run_digest })
}

/// Recovers, and notes what was met on the way.
fn find(
    disk: &SimDisk,
    catalogue: &Catalogue,
    settled: Option<&Settled>,
    clock: &AtomicU64,
    making: Making,
) -> Result<(Recovered, Found), Refusal> {
    let storage: Arc<dyn Storage> = Arc::new(disk.clone());
    let mut met = Vec::new();
    let mut watch = |header: &RecordHeader| met.push((header.index, header.hash));
    let sources = Sources {
        storage: Arc::clone(&storage),
        catalogue,
        config: SEGMENT,
        options: making.options(),
    };
    let mut recovered = recover(sources, settled, &mut watch)?;
    let last = recovered.report.last;
    if let Some(Bug::ReplayClock) = making.bug
        && let Some(engine) = replayed_late(&storage, last.index, clock, making.options())?
    {
        recovered.engine = engine;
    }
    let found = Found {
        first: met.first().map_or(last.index + 1, |&(index, _)| index),
        hashes: met.into_iter().map(|(_, hash)| hash).collect(),
        through: last.index,
        last_ns: last.timestamp_ns,
        image_digest: recovered.engine.image_digest(),
    };
    Ok((recovered, found))
}

/// What a replay with a planted bug makes of a whole journal: records are stamped anew.
fn replayed_late(
    storage: &Arc<dyn Storage>,
    through: u64,
    clock: &AtomicU64,
    options: Options,
) -> Result<Option<Engine>, Refusal> {
    let mut replayer = Replayer::new(options);
    let now_ns = clock.load(Ordering::Relaxed);
    let Ok(mut reader) = Reader::open_range(Arc::clone(storage), 1, through) else {
        return Ok(None);
    };
    while let Ok(Some((header, payload))) = reader.next() {
        let mut header = *header;
        if header.kind() == Some(Kind::Commands) {
            header.timestamp_ns = now_ns + header.index;
        }
        let applied = replayer.apply(&header, payload, |_| ());
        let refusal = |text: String| Refusal { kind: FaultKind::Corrupt, text };
        applied.map_err(|error| refusal(error.to_string()))?;
    }
    Ok(replayer.into_engine())
}

struct SimHooks {
    control: ControlHandle,
    marks: Arc<Marks>,
    cuts: Sender<Cut>,
    clock: Arc<AtomicU64>,
}

impl Hooks for SimHooks {
    fn now_ms(&mut self) -> u64 {
        self.now_ns() / 1_000_000
    }

    fn now_ns(&mut self) -> u64 {
        self.clock.load(Ordering::Relaxed)
    }

    fn request_cut(&mut self, complete: bool) {
        let question = Control::OpenCut { complete, reply: self.cuts.clone() };
        self.control.send(question).expect("settlement asks for one cut at a time");
    }

    fn settled(&mut self, watermark: &Watermark) {
        self.marks.settle(watermark.through().0);
    }
}
