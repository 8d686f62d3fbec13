//! What a snapshot costs: memory of an engine, bytes of its state, and the time of each step from
//! replay to restored engine; beside it, what a complete cut would keep an engine thread busy.
//!
//! `BEZANT_BENCH_ACCOUNTS` (1 000 000) and `BEZANT_BENCH_IDS` (3 000 000 transfers whose ids are
//! remembered) choose the state. Each step runs once: the figures are seconds, not microseconds.

use std::time::Instant;

use benches::{BATCH, Random, owner, transfers};
use engine::{Engine, Options, RecordStart};
use pipeline::Boundary;
use protocol::genesis::{Genesis, Mode};
use protocol::parameter::{Parameter, Parameters};
use protocol::reply::Outcomes;
use protocol::{Command, CommandId, Request, Role, Sequence};
use snapshot::{Catalogue, DirFiles};

/// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const FRAME: u128 = 1;
const REGISTRY: u128 = 0xbeef << 64;
const MINT: u128 = 0xfeed << 64;
/// 8 190 transfers at a million a second.
const RECORD_NS: u64 = 8_190_000;
const MB: f64 = 1e6;

struct Bench {
    engine: Engine,
    outcomes: Outcomes,
    now_ns: u64,
    ids: u128,
    executing: f64,
}

impl Bench {
    fn new() -> Self {
        let genesis = Genesis {
            frame: FRAME,
            hash_seed: 0x0123_4567_89ab_cdef_0011_2233_4455_6677,
            mode: Mode::Frame,
            scale: 6,
            name: "AVT".into(),
            trust_domain: "frame.test".into(),
            parameters: Parameters::default()
                .with(Parameter::AccountsCapacity, 1 << 25)
                .with(Parameter::IdsCapacity, 1 << 28),
        };
        Self {
            engine: Engine::new(&genesis, Options::default()).expect("the genesis is valid"),
            outcomes: Outcomes::with_capacity(BATCH),
            now_ns: 1_700_000_000_000_000_000,
            ids: 0,
            executing: 0.0,
        }
    }

    fn now_ms(&self) -> u64 {
        self.now_ns / 1_000_000
    }

    fn id(&mut self) -> CommandId {
        self.ids += 1;
        CommandId::new(self.now_ms(), self.ids)
    }

    fn record(&mut self, role: Role, principal: u128, slots: &[Command]) {
        self.now_ns += RECORD_NS;
        let request = Request {
            principal,
            role: role as u16,
            slots: u32::try_from(slots.len()).expect("a request has few slots"),
            ..Request::default()
        };
        let begun = Instant::now();
        self.engine.begin_record(RecordStart {
            first_sequence: Sequence(self.engine.executed().0 + 1),
            timestamp_ns: self.now_ns,
            settled: Sequence(0),
        });
        self.engine.execute(&request, slots, &mut self.outcomes);
        self.engine.end_record();
        self.executing += begun.elapsed().as_secs_f64();
        assert!(
            self.outcomes.encoded_len() < 64 + 4 * slots.len(),
            "the bench measures executed commands, not refusals"
        );
    }

    /// Opens and funds accounts; their ids are forgotten afterwards.
    fn open(&mut self, accounts: u32) {
        let step = u32::try_from(BATCH).expect("a small number");
        for first in (0..accounts).step_by(BATCH) {
            let owners = first..accounts.min(first + step);
            let opens: Vec<_> =
                owners.clone().map(|place| Command::open(self.id(), owner(place), 1)).collect();
            self.record(Role::Registry, REGISTRY, &opens);
            let issues: Vec<_> =
                owners.map(|place| Command::issue(self.id(), owner(place), 1, 1 << 60)).collect();
            self.record(Role::Mint, MINT, &issues);
        }
        self.now_ns += 3_600_000_000_000;
    }

    fn pay(&mut self, accounts: u32, count: usize) {
        let mut random = Random(7);
        for first in (0..count).step_by(BATCH) {
            let (now_ms, wanted) = (self.now_ms(), BATCH.min(count - first));
            let slots = transfers(&mut random, &mut self.ids, accounts, wanted, now_ms);
            self.record(Role::Registry, REGISTRY, &slots);
        }
    }
}

fn number(name: &str, default: u32) -> u32 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Resident memory of this process in bytes.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kib.unwrap_or(0.0) * 1_024.0
}

fn timed<T>(what: &str, run: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let done = run();
    println!("{what:44} {:8.2} s", begun.elapsed().as_secs_f64());
    done
}

fn main() {
    // As criterion's: `--test` only shows that it runs.
    let share = if std::env::args().any(|word| word == "--test") { 100 } else { 1 };
    let accounts = number("BEZANT_BENCH_ACCOUNTS", 1_000_000 / share);
    let ids = number("BEZANT_BENCH_IDS", 3_000_000 / share);
    println!("{accounts} accounts, {ids} transfers whose ids are remembered");
    let before = resident();
    let mut bench = Bench::new();
    bench.open(accounts);
    let executing = bench.executing;
    bench.pay(accounts, ids as usize);
    println!("{:44} {:8.0} MB", "memory of the engine", (resident() - before) / MB);
    println!("{:44} {:8.2} s", "execution of the transfers", bench.executing - executing);

    // A cut holds accounts only; ids, holds and pairs would have to be copied likewise.
    let engine = &mut bench.engine;
    let before_cut = resident();
    let cut = timed("a complete cut: accounts copied and sorted", || {
        engine.open_cut(true);
        engine.cut_step(usize::MAX)
    });
    println!("{:44} {:8.0} MB", "memory of that cut", (resident() - before_cut) / MB);
    drop(cut);

    timed("image digest", || engine.image_digest());
    let dir = tempfile::tempdir().expect("a directory for the snapshot");
    let catalogue = Catalogue::new(DirFiles::new(dir.path()), FRAME);
    let boundary = Boundary { epoch: 1, chain_hash: [7; 32] };
    let Bench { engine, .. } = bench;
    let taken = timed("taken: digest, written, synced, read back", || {
        pipeline::take(&catalogue, engine, boundary, 9, Options::default())
    })
    .expect("the disk takes it");
    let verified = timed("every hash of the file", || catalogue.verify(&taken.name));
    let bytes = verified.expect("it was verified before").file_bytes;
    println!("{:44} {:8.0} MB", "the file", bytes as f64 / MB);
    let restored = timed("restored: read, rebuilt, digest compared", || {
        let mut reader = catalogue.open(&taken.name).expect("it was opened before");
        pipeline::load(&mut reader, Options::default()).expect("it was loaded before")
    });
    println!("{:44} {:8}", "restored at sequence", restored.executed().0);
}
