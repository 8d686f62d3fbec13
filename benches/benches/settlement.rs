//! What it costs to settle: account rows and history rows a second, each figure the median of
//! cuts that were committed one after the other through the sinks of production.
//!
//! SQLite's file is made in the system's temporary directory (TMPDIR chooses the disk). PostgreSQL
//! is measured where `BEZANT_TEST_POSTGRES` names a server, into a database of its own that is
//! dropped at the end: `cargo xtask postgres -- cargo bench -p benches --bench settlement` starts
//! one. A word behind `--` chooses the rows whose name contains it.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use benches::{Random, owner};
use protocol::Sequence;
use protocol::cut::{AccountRow, AccountRows, Cut, Effects, LiquidRow, SupplyRow};
use protocol::effect::{Bucket, Effect, Event};
use protocol::wide::Wide;
use settlement::history::EffectWriter;
use settlement::sink::EffectSource;
use settlement::{Batch, PostgresSink, Sink, SinkError, SqliteSink, Watermark};
use tempfile::TempDir;

/// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Accounts of a cut, accounts of the frame, cuts measured.
const NETTED: [(u32, u32, usize); 4] =
    [(10_000, 10_000, 40), (20_000, 200_000, 20), (200_000, 1_000_000, 5), (1_000, 10_000, 40)];
/// Postings of a cut, cuts measured.
const HISTORY: [(u64, usize); 2] = [(20_000, 20), (200_000, 5)];

/// A frame that settles: numbers its cuts and remembers where the database stands.
struct Frame {
    random: Random,
    through: u64,
    settled: Option<Watermark>,
}

impl Frame {
    const fn new() -> Self {
        Self { random: Random(11), through: 0, settled: None }
    }

    fn row(&mut self, place: u32) -> AccountRow {
        let liquid = 1_000_000_000_000 + i64::from(self.random.below(1 << 30));
        LiquidRow { owner: owner(place), asset: 1, host: 0, liquid }.into()
    }

    /// A cut of `rows` out of `accounts`, sorted as the settler sorts them.
    fn cut(&mut self, rows: u32, accounts: u32, effects: Effects) -> Cut {
        let mut places: Vec<u32> = (0..accounts).collect();
        for at in 0..rows.min(accounts.saturating_sub(1)) {
            let other = at + self.random.below(accounts - at);
            places.swap(at as usize, other as usize);
        }
        places.truncate(rows as usize);
        let mut accounts: AccountRows = places.into_iter().map(|place| self.row(place)).collect();
        accounts.sort();
        let after = self.through;
        self.through += 100_000;
        let hash = u8::try_from(self.through / 100_000 % 251).expect("below 251");
        Cut {
            frame: 1,
            epoch: 1,
            after: Sequence(after),
            through: Sequence(self.through),
            complete: self.settled.is_none(),
            timestamp: self.through,
            chain_hash: [hash; 32],
            run_digest: [hash; 16],
            accounts,
            supply: vec![supply()],
            effects,
        }
    }

    /// `postings` of transfers that follow one another, each with a fee.
    fn effects(&mut self, postings: u64) -> Vec<Effect> {
        (0..postings / 2)
            .flat_map(|at| {
                let [debit, credit] = [self.random.below(10_000), self.random.below(10_000)];
                let amount = u128::from(2 + self.random.below(9_998));
                let paid = Effect {
                    sequence: self.through + 1 + at,
                    event: Event::TokensTransferred.number(),
                    asset: 1,
                    debit: owner(debit),
                    credit: owner(credit),
                    amount,
                    debit_after: 1_000_000_000_000 - amount.cast_signed(),
                    credit_after: 1_000_000_000_000 + amount.cast_signed(),
                    rate: 1_000,
                    debit_bucket: Bucket::Liquid as u8,
                    credit_bucket: Bucket::Liquid as u8,
                    ..Effect::default()
                };
                let fee = Effect {
                    leg: 1,
                    event: Event::TransactionFeeCollected.number(),
                    credit: owner(10_000),
                    amount: 1,
                    debit_after: paid.debit_after - 1,
                    credit_after: i128::from(self.through + at),
                    ..paid
                };
                [paid, fee]
            })
            .collect()
    }

    /// Commits `cut`; says how long that took.
    fn settle(&mut self, sink: &mut impl Sink, cut: &Cut) -> Duration {
        let batch = Batch { cut, after: cut.after, history: cut.effects != Effects::Off };
        let begun = Instant::now();
        sink.commit(&batch, self.settled.as_ref(), &mut Postings(&cut.effects)).expect("a commit");
        let taken = begun.elapsed();
        self.settled = Some(batch.target());
        taken
    }
}

struct Postings<'a>(&'a Effects);

impl EffectSource for Postings<'_> {
    fn deliver(&mut self, write: &mut EffectWriter<'_>) -> Result<(), SinkError> {
        match self.0 {
            Effects::All(effects) => write(effects),
            Effects::Off | Effects::Rebuild => Ok(()),
        }
    }
}

fn supply() -> SupplyRow {
    SupplyRow {
        asset: 1,
        scale: 6,
        name: "AVT".into(),
        issued: Wide::from(1 << 90),
        destroyed: Wide::from(0),
        liquid: 1 << 90,
        held: 0,
        staked: 0,
        bonded: 0,
        credit_granted: 0,
        credit_used: 0,
    }
}

fn median(times: &mut [Duration]) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64()
}

/// Every row of the table for one kind of database; `open` makes an empty one.
fn measure<S: Sink>(kind: &str, only: Option<&str>, open: impl Fn() -> S) {
    let is_wanted = |name: &str| only.is_none_or(|only| name.contains(only));
    for (rows, accounts, cuts) in NETTED {
        let name = format!("{kind}, netted, {rows} of {accounts} accounts");
        if !is_wanted(&name) {
            continue;
        }
        let (mut sink, mut frame) = (open(), Frame::new());
        sink.connect().expect("a connection");
        let first = frame.cut(accounts, accounts, Effects::Off);
        let filled = frame.settle(&mut sink, &first);
        let mut times: Vec<Duration> = (0..cuts)
            .map(|_| {
                let cut = frame.cut(rows, accounts, Effects::Off);
                frame.settle(&mut sink, &cut)
            })
            .collect();
        let seconds = median(&mut times);
        let first = f64::from(accounts) / filled.as_secs_f64();
        report(&name, f64::from(rows), seconds);
        println!("{:<48} {:>8.0} k rows/s", "    the first, complete cut", first / 1e3);
    }
    for (postings, cuts) in HISTORY {
        let name = format!("{kind}, history, {postings} postings");
        if !is_wanted(&name) {
            continue;
        }
        let (mut sink, mut frame) = (open(), Frame::new());
        sink.connect().expect("a connection");
        let mut times: Vec<Duration> = (0..cuts)
            .map(|_| {
                let effects = frame.effects(postings);
                let cut = frame.cut(1_000, 10_000, Effects::All(effects));
                frame.settle(&mut sink, &cut)
            })
            .collect();
        let seconds = median(&mut times);
        report(&name, postings as f64, seconds);
    }
}

fn report(name: &str, rows: f64, seconds: f64) {
    println!("{name:<48} {:>8.0} k rows/s {:>8.1} ms", rows / seconds / 1e3, seconds * 1e3);
}

/// A database on the server that `BEZANT_TEST_POSTGRES` names, dropped at the end.
struct Database {
    server: tokio_postgres::Config,
    name: String,
}

impl Database {
    fn new(server: &tokio_postgres::Config, number: usize) -> Self {
        let name = format!("bezant_bench_{}_{number}", std::process::id());
        let database = Self { server: server.clone(), name };
        database.administer(&format!("CREATE DATABASE {}", database.name));
        database
    }

    fn administer(&self, sql: &str) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime needs only memory");
        runtime.block_on(async {
            let connecting = self.server.connect(tokio_postgres::NoTls).await;
            let (client, connection) = connecting.expect("the server answers");
            let driver = tokio::spawn(connection);
            client.batch_execute(sql).await.expect("the server does as asked");
            drop(client);
            driver.await.expect("no panic").expect("an orderly end");
        });
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.administer(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
    }
}

fn postgres(address: &str, only: Option<&str>) {
    let server: tokio_postgres::Config = address.parse().expect("a libpq address");
    let databases = RefCell::new(Vec::new());
    measure("PostgreSQL", only, || {
        let mut databases = databases.borrow_mut();
        let database = Database::new(&server, databases.len());
        let address = format!("{address} dbname={}", database.name);
        databases.push(database);
        PostgresSink::new(&address).expect("a local address")
    });
}

fn main() {
    // Criterion's own flags come from cargo.
    let only = std::env::args().skip(1).find(|word| !word.starts_with('-'));
    let directory = TempDir::new().expect("a temporary directory");
    let files = Cell::new(0);
    measure("SQLite", only.as_deref(), || {
        files.set(files.get() + 1);
        SqliteSink::new(directory.path().join(files.get().to_string()))
    });
    match std::env::var("BEZANT_TEST_POSTGRES") {
        Ok(address) => postgres(&address, only.as_deref()),
        Err(_) => println!("PostgreSQL is not measured: BEZANT_TEST_POSTGRES is not set"),
    }
}
