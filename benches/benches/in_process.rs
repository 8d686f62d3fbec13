//! The whole frame without its doors: ring, journal on a real disk with a sync before every answer,
//! engine with ids, fees and velocity; the stages on threads of their own as in the binary.
//! Workload: full batches of transfers between random accounts, a few in flight, made ahead so that
//! only the frame is timed. The journal lies in the system's temporary directory: set TMPDIR to
//! choose the disk. `cargo bench -p benches --bench in_process`; with `--test` one short round.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use benches::{BATCH, Random, owner, transfers};
use engine::Options;
use journal::{Config, Entry, Expect, FileStorage, Journal, Kind};
use pipeline::{Now, Progress, Replayer, Stages, Wiring};
use protocol::genesis::{Genesis, Mode, RULES};
use protocol::parameter::{Parameter, Parameters};
use protocol::{Command, CommandId, Role};
use ring::{Gate, Pool, PoolConfig, ReplyQueue, Ticket};

/// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Requests in flight.
const IN_FLIGHT: usize = 16;
const PATIENCE: Duration = Duration::from_millis(5);
const SEGMENT: Config = Config { segment_size: 256 << 20 };

/// Memory touched before it is needed, as `memory.reserve_mib` of frames that are measured.
const RESERVE_MIB: usize = 2_048;

fn main() {
    benches::keep_freed();
    let is_short = std::env::args().any(|argument| argument == "--test");
    let (accounts, batches) = if is_short { (1_000, 4) } else { (10_000, 2_000) };
    if !is_short {
        let touched: Vec<_> = (0..RESERVE_MIB).map(|_| black_box(vec![1_u8; 1 << 20])).collect();
        drop(touched);
    }
    measure("10 k accounts", accounts, batches);
    if !is_short {
        measure("1 M accounts", 1_000_000, batches);
    }
}

fn measure(name: &str, accounts: u32, batches: usize) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut frame = Frame::start(dir.path());
    frame.fill(accounts);
    let mut random = Random(7);
    let mut next_id = 1 << 40;
    let now_ms = now().journal_ns / 1_000_000;
    let prepared: Vec<Vec<Command>> = (0..batches.min(256))
        .map(|_| transfers(&mut random, &mut next_id, accounts, BATCH, now_ms))
        .collect();
    let at = Instant::now();
    let mut refused = 0;
    for (round, batch) in (0..batches).zip(prepared.iter().cycle()) {
        // Made now, as clients make them: an id names its millisecond.
        let passed_ms = now().journal_ns / 1_000_000 - now_ms;
        let shift = (u128::from(passed_ms) << 80) + (round / prepared.len()) as u128 * (1 << 44);
        refused += frame.send(Role::Registry, REGISTRY, |slot| {
            let mut command = batch[slot];
            command.id += shift;
            command
        });
    }
    refused += frame.drain();
    let seconds = at.elapsed().as_secs_f64();
    let commands = (batches * BATCH) as f64;
    println!(
        "in_process {name}: {:.2} M transfers/s durable, {} batches of {BATCH}, {refused} refused",
        commands / seconds / 1e6,
        batches
    );
    frame.stop();
}

const REGISTRY: u128 = 0x8000_0000_0000_8000_8000_0000_0000_0001;
const MINT: u128 = 0x8000_0000_0000_8000_8000_0000_0000_0002;

fn now() -> Now {
    let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let wall_ns = wall.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX));
    Now { journal_ns: wall_ns, monotonic_ns: wall_ns }
}

struct Frame {
    publisher: Option<ring::Publisher>,
    pool: Arc<Pool>,
    queue: Arc<ReplyQueue>,
    ready: Arc<Gate>,
    in_flight: usize,
    ending: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Frame {
    fn start(dir: &std::path::Path) -> Self {
        let storage = Arc::new(FileStorage::new(dir.join("journal")));
        let parameters = Parameters::default()
            .with(Parameter::IdsCapacity, 1 << 27)
            .with(Parameter::IdsMinWindowMs, 1_000);
        let genesis = Genesis {
            frame: 1,
            hash_seed: 2,
            mode: Mode::Frame,
            scale: 6,
            name: "AVT".into(),
            trust_domain: "frame.test".into(),
            parameters,
        };
        let entry = Entry {
            kind: Kind::Genesis,
            rules: RULES,
            epoch: 1,
            first_sequence: 1,
            timestamp_ns: now().journal_ns,
            ..Entry::default()
        };
        let made = Journal::create(storage, SEGMENT, 1, &entry, &[&genesis.encode()]);
        drop(made.expect("an empty directory"));
        let storage = Arc::new(FileStorage::new(dir.join("journal")));
        let mut replayer = Replayer::new(Options::default());
        let recovered =
            Journal::recover_with(storage, SEGMENT, Expect::default(), &mut |header, payload| {
                Ok(replayer.apply(header, payload, |_| ())?)
            });
        let (journal, _) = recovered.expect("a new journal");
        Self::run(journal, replayer)
    }

    fn run(journal: Journal, replayer: Replayer) -> Self {
        let (appender, syncer, mut preparer) = journal.split();
        let pool = Pool::new(PoolConfig { bytes_max: 64 << 20, requests_max: 64 });
        let queue = Arc::new(ReplyQueue::new(64));
        let ready = Arc::new(Gate::default());
        let notify = Arc::clone(&ready);
        queue.set_waker(move || notify.notify());
        let boundary = replayer.boundary();
        let stages = pipeline::assemble(Wiring {
            ring: ring::build(ring::Config { size: 64, ..ring::Config::default() }),
            engine: replayer.into_engine().expect("a genesis record was replayed"),
            appender,
            syncer,
            boundary,
            epoch: 1,
            replies: vec![Arc::clone(&queue)],
            pool: Arc::clone(&pool),
        });
        let ending = Arc::new(AtomicBool::new(false));
        let mut threads = Self::stages(stages, &ending);
        let publisher = threads.1;
        let flag = Arc::clone(&ending);
        threads.0.push(thread::spawn(move || {
            while !flag.load(Ordering::Acquire) {
                if !preparer.prepare().expect("the disk has room") {
                    thread::sleep(PATIENCE);
                }
            }
        }));
        let threads = threads.0;
        Self { publisher: Some(publisher), pool, queue, ready, in_flight: 0, ending, threads }
    }

    fn stages(stages: Stages, ending: &Arc<AtomicBool>) -> (Vec<JoinHandle<()>>, ring::Publisher) {
        let Stages { publisher, mut journal, mut sync, mut engine, .. } = stages;
        let (journal_gate, sync_gate, engine_gate) =
            (stages.journal_gate, stages.sync_gate, stages.engine_gate);
        let flags = [Arc::clone(ending), Arc::clone(ending), Arc::clone(ending)];
        let [first, second, third] = flags;
        let over = |flag: &AtomicBool| flag.load(Ordering::Acquire);
        let threads = vec![
            thread::spawn(move || {
                while !over(&first) {
                    if journal.step(now()) == Progress::Idle {
                        journal_gate.wait(|| journal.is_ready(0) || over(&first), PATIENCE);
                    }
                }
            }),
            thread::spawn(move || {
                while !over(&second) {
                    if sync.step() == Progress::Idle {
                        sync_gate.wait(|| sync.is_needed() || over(&second), PATIENCE);
                    }
                }
            }),
            thread::spawn(move || {
                while !over(&third) {
                    if engine.step(|| now().monotonic_ns) == Progress::Idle {
                        engine_gate.wait(|| engine.is_ready() || over(&third), PATIENCE);
                    }
                }
            }),
        ];
        (threads, publisher)
    }

    /// Opens and funds `accounts` accounts.
    fn fill(&mut self, accounts: u32) {
        let now_ms = now().journal_ns / 1_000_000;
        for first in (0..accounts).step_by(BATCH) {
            let place = |slot: usize| (first + slot as u32).min(accounts - 1);
            let id = |slot: usize, part: u128| {
                CommandId::new(now_ms, u128::from(place(slot)) | (part << 32))
            };
            self.send(Role::Registry, REGISTRY, |slot| {
                Command::open(id(slot, 1), owner(place(slot)), 1)
            });
            self.send(Role::Mint, MINT, |slot| {
                Command::issue(id(slot, 2), owner(place(slot)), 1, 1_000_000_000_000)
            });
        }
        // The last batch repeats the last account; its answers are the same again.
        self.drain();
    }

    /// Sends one full batch; returns what was refused in the replies that came meanwhile.
    fn send(&mut self, role: Role, principal: u128, command: impl Fn(usize) -> Command) -> u64 {
        let mut refused = 0;
        while self.in_flight >= IN_FLIGHT {
            refused += self.receive();
        }
        let mut envelope = self.pool.try_acquire(BATCH as u32).expect("room for the window");
        envelope.slots.clear();
        envelope.slots.extend((0..BATCH).map(command));
        envelope.head.slots = BATCH as u32;
        envelope.head.role = role as u16;
        envelope.head.principal = principal;
        envelope.commands = BATCH as u32;
        envelope.ticket = Ticket { worker: 0, connection: 1, stream: 1 };
        let publisher = self.publisher.as_mut().expect("the frame runs");
        assert!(publisher.try_publish(envelope).is_ok(), "the ring is larger than the window");
        self.in_flight += 1;
        refused
    }

    fn receive(&mut self) -> u64 {
        self.ready.wait(|| !self.queue.is_empty(), PATIENCE);
        let mut refused = 0;
        while let Some(envelope) = self.queue.pop() {
            refused += envelope.outcomes.exceptions() as u64;
            self.pool.release(envelope);
            self.in_flight -= 1;
        }
        refused
    }

    fn drain(&mut self) -> u64 {
        let mut refused = 0;
        while self.in_flight > 0 {
            refused += self.receive();
        }
        refused
    }

    fn stop(mut self) {
        self.publisher = None;
        self.ending.store(true, Ordering::Release);
        for thread in self.threads.drain(..) {
            thread.join().expect("no stage panics");
        }
    }
}
