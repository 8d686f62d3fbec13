//! The command line of the simulator. The only part of it that reads a clock: for `--minutes` and
//! for the figures it prints.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use sim::{Bug, Case, Faults, Report, run};

/// The seed that is running, for a build whose panics end the process.
static SEED: AtomicU64 = AtomicU64::new(0);

/// Runs the frame's own code under every fault, from seeds.
#[derive(Parser)]
struct Arguments {
    /// One seed, or a case as the shrinker prints it, with all that is to be said of it.
    #[arg(long)]
    seed: Option<Case>,
    /// Seeds A..B, B not included.
    #[arg(long, value_parser = range)]
    seeds: Option<(u64, u64)>,
    /// Fresh seeds for so many minutes, from the first of `--seeds` or the time of day on.
    #[arg(long)]
    minutes: Option<u64>,
    /// Runs the first so many seeds twice, all if no number is given; the traces must agree.
    #[arg(long, num_args = 0..=1, default_missing_value = "18446744073709551615")]
    twice: Option<u64>,
    /// Runs every case that once failed before anything else.
    #[arg(long)]
    regressions: bool,
    /// Makes the first case that fails as small as it can be.
    #[arg(long)]
    shrink: bool,
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
    failed: Vec<Case>,
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
        let case = &report.case;
        if let Some(violation) = &report.violation {
            println!("seed {case}: {}: {}", violation.rule, violation.detail);
            self.failed.push(case.clone());
        }
        if let Some(twin) = twin.filter(|twin| twin.trace != report.trace) {
            let (one, other) = (report.trace, twin.trace);
            println!("seed {case}: two runs differ: {one:016x} and {other:016x}");
            self.failed.push(case.clone());
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
                run(&Case::new(first + at, Some(bug)))
                    .violation
                    .map(|violation| (at + 1, violation.rule))
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

/// The cases to run: an endless row if there is a time to end by.
fn cases(arguments: &Arguments) -> Result<Box<dyn Iterator<Item = Case>>, String> {
    let bug = arguments.bug;
    if let Some(case) = &arguments.seed {
        return Ok(Box::new(std::iter::once(Case { bug, ..case.clone() })));
    }
    let (from, to) = arguments.seeds.unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let first = now.map_or(0, |now| now.as_secs() << 20);
        (first, first + 100)
    });
    let to = if arguments.minutes.is_some() { u64::MAX } else { to };
    println!("seeds from {from}");
    let old = if arguments.regressions { sim::regressions()? } else { Vec::new() };
    let old = old.into_iter().map(move |(case, _)| Case { bug, ..case });
    Ok(Box::new(old.chain((from..to).map(move |seed| Case::new(seed, bug)))))
}

fn explain(report: &Report) {
    let Report { case, steps, trace, table, .. } = report;
    println!("seed {case}, {steps} steps, trace {trace:016x}\n{table}");
}

/// Makes a case that failed as small as it can be, and says how it is repeated.
fn tell(case: &Case, shrinks: bool) {
    let repeat = "again: cargo run --profile sim -p sim --";
    println!("{repeat} {}", case.arguments());
    if !shrinks {
        println!("with --shrink it is made as small as it can be");
        return;
    }
    let Some((least, report)) = sim::shrink(case) else {
        println!("it does not fail by itself");
        return;
    };
    let violation = report.violation.as_ref().expect("the shrinker returns what fails");
    println!("\nshrunk: {}: {}", violation.rule, violation.detail);
    explain(&report);
    println!("{repeat} {}", least.arguments());
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    hook_panics(arguments.seed.is_none() || arguments.shrink);
    if arguments.bugs {
        return if find_bugs(arguments.bug) { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let cases = match cases(&arguments) {
        Ok(cases) => cases,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let begun = Instant::now();
    let mut sums = Sums::default();
    for case in cases {
        let is_over = |minutes: u64| begun.elapsed() >= Duration::from_secs(60 * minutes);
        if arguments.minutes.is_some_and(is_over) {
            break;
        }
        SEED.store(case.seed, Ordering::Relaxed);
        let report = run(&case);
        let is_twice = arguments.twice.is_some_and(|first| sums.seeds < first);
        let twin = is_twice.then(|| run(&case));
        sums.take(&report, twin.as_ref());
        if arguments.seed.is_some() {
            explain(&report);
        }
        if arguments.shrink && !sums.failed.is_empty() {
            break;
        }
    }
    sums.print(begun.elapsed());
    if let Some(case) = sums.failed.first() {
        tell(case, arguments.shrink);
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
