//! Whether it stays fast as it grows: the last million of 50 M transfers against the first, ten
//! million accounts against ten thousand, and the memory and disk that they take.

use std::fs;

use serde_json::Value;

use super::Bench;
use super::loads::{command, find, folder};
use super::outcome::{Figure, Outcome};
use super::watch::{self, STAGES};
use crate::server::Server;
use crate::steps::output;

/// A history that grows.
struct Growth {
    name: &'static str,
    accounts: u32,
    /// Parameters of the frame.
    parameters: &'static [&'static str],
    /// Memory taken ahead: with 10 M accounts nearly all that is needed, but for indexes that are
    /// larger than what lies free in one piece, and what SQLite takes.
    reserve: &'static str,
    seed: u32,
    memory_mib: Option<f64>,
}

const GROWTHS: [Growth; 2] = [
    Growth {
        name: "growth: 50 M transfers",
        accounts: 10_000,
        parameters: &[WINDOW],
        reserve: "memory.reserve_mib=3072",
        seed: 21,
        memory_mib: None,
    },
    Growth {
        name: "growth: 50 M transfers over 10 M accounts",
        accounts: 10_000_000,
        parameters: &[WINDOW, "accounts.capacity=16777216", "ids.capacity=33554432"],
        reserve: "memory.reserve_mib=3648",
        seed: 22,
        memory_mib: Some(4_096.0),
    },
];
const COMMANDS: u64 = 50_000_000;
/// With the default of 10 s the default capacity is full at 3.36 M/s, and more is refused.
const WINDOW: &str = "ids.min_window_ms=5000";
/// Commands at the beginning and at the end that are compared.
const ENDS: f64 = 1e6;
const MIB: f64 = 1_048_576.0;
/// Percent of the commands and of millions of accounts, to try the section itself.
const PERCENT: &str = "XTASK_BENCH_GROWTH_PERCENT";

pub(super) fn measure(bench: &Bench, outcome: &mut Outcome) {
    let percent = std::env::var(PERCENT).ok().and_then(|percent| percent.parse().ok());
    for growth in GROWTHS.iter().filter(|growth| bench.wants("growth", growth.name)) {
        // Of the row right before, for a shared machine drifts by half within the hour.
        let small = outcome.measured(GROWTHS[0].name, "rate");
        let load = growth.load(percent.unwrap_or(100));
        let name = percent.map_or_else(
            || growth.name.to_owned(),
            |percent| format!("{} ({percent} % of it)", growth.name),
        );
        println!("\n── {name}");
        match growth.grow(bench, &load, small) {
            Ok((figures, report)) => {
                let frame = &report["frame"];
                let said = watch::sentence(frame).map(|said| ("the frame", said));
                let (steps, _) = watch::steps(frame, "engine");
                outcome.add(&name, &command(&load), Ok(figures), report);
                let said = said.into_iter().chain([("steps of the engine", steps)]);
                said.for_each(|(what, words)| outcome.say(&name, what, &words));
            }
            Err(reason) => outcome.add(&name, &command(&load), Err(reason), Value::Null),
        }
    }
}

impl Growth {
    fn load(&self, percent: u64) -> String {
        let share = if self.accounts >= 1_000_000 { percent } else { 100 };
        let accounts = u64::from(self.accounts) * share / 100;
        let commands = COMMANDS * percent / 100;
        format!("--accounts {accounts} --commands {commands} --seed {}", self.seed)
    }

    fn grow(
        &self,
        bench: &Bench,
        load: &str,
        small: Option<f64>,
    ) -> Result<(Vec<Figure>, Value), String> {
        bench.frame.init(self.parameters)?;
        let server = bench.frame.serve(&[self.reserve])?;
        let mut report = bench.frame.drive(&server, load, Some(&folder(self.name)))?;
        let (end, most) = (memory_mib(&server, "VmRSS:"), memory_mib(&server, "VmHWM:"));
        drop(server);
        let (first, last) = ends(&report).ok_or("the run has no time series")?;
        let stat = output(bench.frame.bezant().args(["journal", "stat"]))?;
        let of = |what| counted(&stat, what).ok_or("`bezant journal stat` names no bytes");
        let bytes = of("record bytes")? / of("commands")?;
        let rate = find(&report, "/commands_per_second");
        let longest = STAGES.map(|stage| watch::steps(&report["frame"], stage).1);
        let mut figures = vec![
            Figure::new("rate", "/s", rate),
            Figure::new("refused", "", refused(&report)).at_most(0.0),
            Figure::new("first million", "/s", first),
            Figure::new("last million", "/s", last),
            Figure::new("last million to first", "×", last / first).at_least(0.9),
            Figure::new("p99", "ms", find(&report, "/latency_us/p99") / 1e3),
            Figure::new("longest step of the journal, at most", "ms", longest[0]),
            Figure::new("longest step of the engine, at most", "ms", longest[2]),
            Figure::new("journal, each command", "B", bytes).at_most(150.0),
            Figure::new("memory at the end", "MiB", end),
            Figure::new("memory at most", "MiB", most).at_most(self.memory_mib),
        ];
        if let Some(small) = small.filter(|_| self.accounts >= 1_000_000) {
            figures.push(Figure::new("to 10 k accounts", "×", rate / small).at_least(0.5));
        }
        if let Value::Object(fields) = &mut report {
            fields.remove("latency_curve");
        }
        Ok((figures, report))
    }
}

/// Commands a second of the first and of the last million, by the rows of the time series.
fn ends(report: &Value) -> Option<(f64, f64)> {
    let rows = report["intervals"].as_array()?;
    let executed: Vec<f64> = rows.iter().map(|row| find(row, "/executed")).collect();
    let rate = |counts: &mut dyn Iterator<Item = f64>| {
        let (mut sum, mut rows) = (0.0, 0.0);
        while sum < ENDS {
            sum += counts.next()?;
            rows += 1.0;
        }
        Some(sum / (rows * 0.1))
    };
    // The last row is a part of a tenth of a second.
    let whole = executed.len().checked_sub(1)?;
    let first = rate(&mut executed.iter().copied())?;
    Some((first, rate(&mut executed[..whole].iter().rev().copied())?))
}

/// Commands that were not executed.
fn refused(report: &Value) -> f64 {
    let reasons = report["refused"].as_object();
    // Not `sum`, which is −0 of none.
    reasons.map_or(f64::NAN, |all| all.values().filter_map(Value::as_f64).fold(0.0, |a, b| a + b))
}

/// What the frame's process holds, or the most that it has held.
fn memory_mib(server: &Server, which: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(which));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    kib.map_or(f64::NAN, |kib| kib * 1_024.0 / MIB)
}

/// A number that `journal stat` prints behind its name.
fn counted(stat: &str, what: &str) -> Option<f64> {
    let line = stat.lines().find_map(|line| line.trim().strip_prefix(what))?;
    line.split_whitespace().find_map(|word| word.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_ends_of_a_run_are_compared_by_whole_rows() {
        let row = |executed: u64| json!({ "executed": executed });
        let mut rows = vec![row(0), row(500_000), row(500_000)];
        rows.extend((0..50).map(|_| row(300_000)));
        rows.extend([row(400_000), row(600_000), row(7)]);
        let (first, last) = ends(&json!({ "intervals": rows })).unwrap();
        assert!((first - 1e6 / 0.3).abs() < 1.0, "{first}");
        assert!((last - 1e6 / 0.2).abs() < 1.0, "{last}");
        assert_eq!(ends(&json!({ "intervals": [row(5)] })), None);
    }

    #[test]
    fn what_was_refused_is_told_or_not_a_number() {
        let told = |report: Value| refused(&report);
        assert_eq!(told(json!({ "refused": { "busy": 5, "id_too_old": 2 } })), 7.0);
        assert_eq!(told(json!({ "refused": {} })), 0.0);
        assert!(told(json!({})).is_nan());
    }

    #[test]
    fn a_try_takes_a_share_of_millions_alone() {
        let loads = GROWTHS.each_ref().map(|growth| growth.load(5));
        assert_eq!(loads[0], "--accounts 10000 --commands 2500000 --seed 21");
        assert_eq!(loads[1], "--accounts 500000 --commands 2500000 --seed 22");
        assert_eq!(counted("segments 3\n  record bytes    640\n", "record bytes"), Some(640.0));
    }
}
