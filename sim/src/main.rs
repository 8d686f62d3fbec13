//! The command line of the simulator. The only part of it that reads a clock: for `--minutes` and
//! for the figures it prints.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use sim::{Bug, Faults, Report, run};

/// The seed that is running, for a build whose panics end the process.
static SEED: AtomicU64 = AtomicU64::new(0);

/// Runs the frame's own code under every fault, from seeds.
#[derive(Parser)]
struct Arguments {
    /// One seed, with all that is to be said of it.
    #[arg(long)]
    seed: Option<u64>,
    /// Seeds A..B, B not included.
    #[arg(long, value_parser = range)]
    seeds: Option<(u64, u64)>,
    /// Fresh seeds for so many minutes, from the first of `--seeds` or the time of day on.
    #[arg(long)]
    minutes: Option<u64>,
    /// Runs each seed twice; the trace hashes must agree.
    #[arg(long)]
    twice: bool,
    /// Plants a bug.
    #[arg(long, value_parser = bug)]
    bug: Option<Bug>,
    /// Plants every bug in turn and prints how many seeds it takes to find each.
    #[arg(long)]
    bugs: bool,
}

fn range(text: &str) -> Result<(u64, u64), String> {
    let (from, to) = text.split_once("..").ok_or("write A..B")?;
    let number = |text: &str| text.parse::<u64>().map_err(|error| format!("{text}: {error}"));
    Ok((number(from)?, number(to)?))
}

fn bug(name: &str) -> Result<Bug, String> {
    let found = Bug::ALL.iter().copied().find(|bug| bug.name() == name);
    found.ok_or_else(|| {
        let names: Vec<_> = Bug::ALL.iter().map(|bug| bug.name()).collect();
        format!("no such bug; there are {}", names.join(", "))
    })
}

/// Figures of many runs.
#[derive(Default)]
struct Sums {
    seeds: u64,
    simulated_ns: u128,
    acknowledged: u64,
    faults: Faults,
    outcomes: BTreeMap<&'static str, u64>,
    failed: Vec<u64>,
}

impl Sums {
    fn take(&mut self, report: &Report, twin: Option<&Report>) {
        self.seeds += 1;
        self.simulated_ns += u128::from(report.simulated_ns);
        self.acknowledged += report.acknowledged;
        self.faults.add(&report.faults);
        for (&name, count) in &report.outcomes {
            *self.outcomes.entry(name).or_default() += count;
        }
        if let Some(violation) = &report.violation {
            println!("seed {}: {}: {}", report.seed, violation.rule, violation.detail);
            self.failed.push(report.seed);
        }
        if let Some(twin) = twin.filter(|twin| twin.trace != report.trace) {
            let (one, other) = (report.trace, twin.trace);
            println!("seed {}: two runs differ: {one:016x} and {other:016x}", report.seed);
            self.failed.push(report.seed);
        }
    }

    fn print(&self, took: Duration) {
        let hours = self.simulated_ns / 3_600_000_000_000;
        let rate = self.seeds as f64 / took.as_secs_f64().max(0.001);
        let Self { seeds, acknowledged, faults, failed, .. } = self;
        println!(
            "{seeds} seeds in {:.1} s ({rate:.0} a second), {hours} simulated hours, \
             {acknowledged} answers, {} faults, {} failed",
            took.as_secs_f64(),
            faults.total(),
            failed.len()
        );
        print!("{faults}");
        println!("commands answered:");
        for (name, count) in &self.outcomes {
            println!("  {name:<30} {count:>8}");
        }
    }
}

/// Prints in how many seeds each planted bug is found; the median of five beginnings.
fn find_bugs(only: Option<Bug>) -> bool {
    const MOST: u64 = 2_000;
    let mut all_found = true;
    println!("| bug | what is done wrong | found by | median seeds |\n|---|---|---|---|");
    for &bug in Bug::ALL.iter().filter(|&&bug| only.is_none_or(|only| only == bug)) {
        let mut counts = Vec::new();
        let mut rules = BTreeSet::new();
        for begin in 0..5 {
            let first = begin * 1_000_000;
            let found = (0..MOST).find_map(|at| {
                run(first + at, Some(bug)).violation.map(|violation| (at + 1, violation.rule))
            });
            counts.push(found.map_or(u64::MAX, |(count, _)| count));
            rules.extend(found.map(|(_, rule)| rule));
        }
        counts.sort_unstable();
        let rules: Vec<_> = rules.into_iter().collect();
        let median = counts[2];
        all_found &= counts[4] <= MOST;
        let median = if median > MOST { "not found".to_owned() } else { median.to_string() };
        println!("| `{}` | {} | {} | {median} |", bug.name(), bug.mistake(), rules.join(", "));
    }
    all_found
}

/// A panic is a finding, told with its seed. Where it came from is said of single seeds only, and
/// always when the build ends the process with it.
fn hook_panics(is_quiet: bool) {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if cfg!(panic = "abort") {
            eprintln!("seed {}", SEED.load(Ordering::Relaxed));
        } else if is_quiet {
            return;
        }
        usual(panic);
    }));
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    hook_panics(arguments.seed.is_none());
    if arguments.bugs {
        return if find_bugs(arguments.bug) { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let (from, to) = match (arguments.seed, arguments.seeds) {
        (Some(seed), _) => (seed, seed + 1),
        (None, Some(seeds)) => seeds,
        (None, None) => {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            let first = now.map_or(0, |now| now.as_secs() << 20);
            (first, if arguments.minutes.is_some() { u64::MAX } else { first + 100 })
        }
    };
    let to = if arguments.minutes.is_some() { u64::MAX } else { to };
    let begun = Instant::now();
    let mut sums = Sums::default();
    for seed in from..to {
        let is_over = |minutes: u64| begun.elapsed() >= Duration::from_secs(60 * minutes);
        if arguments.minutes.is_some_and(is_over) {
            break;
        }
        SEED.store(seed, Ordering::Relaxed);
        let report = run(seed, arguments.bug);
        let twin = arguments.twice.then(|| run(seed, arguments.bug));
        sums.take(&report, twin.as_ref());
        if arguments.seed.is_some() {
            println!("seed {seed}, {} steps, trace {:016x}", report.steps, report.trace);
            print!("switches:\n{}", report.switches);
        }
    }
    sums.print(begun.elapsed());
    if let Some(seed) = sums.failed.first() {
        println!("again: cargo run --profile sim -p sim -- --seed {seed}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
