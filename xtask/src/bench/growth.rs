//! Whether it stays fast as it grows: the last million of 50 M transfers against the first, ten
//! million accounts against ten thousand, and the memory and disk that they take.

use std::fs;

use serde_json::{Value, json};

use super::Bench;
use super::loads::{command, find};
use super::outcome::{Figure, Outcome};
use crate::server::Server;
use crate::steps::output;

const LONG: &str = "--accounts 10000 --commands 50000000 --seed 21";
const WIDE: &str = "--accounts 10000000 --commands 10000000 --seed 22";
/// Commands at the beginning and at the end that are compared.
const ENDS: f64 = 1e6;
const MIB: f64 = 1_048_576.0;

pub(super) fn measure(bench: &Bench, outcome: &mut Outcome) {
    if bench.wants("growth", "growth: 50 M transfers") {
        let (figures, details) = split(long(bench));
        outcome.add("growth: 50 M transfers", &command(LONG), figures, details);
    }
    if bench.wants("growth", "growth: 10 M accounts") {
        let small = outcome.measured(super::curves::PEAK_8190, "rate");
        let (figures, details) = split(wide(bench, small));
        outcome.add("growth: 10 M accounts", &command(WIDE), figures, details);
    }
}

fn split(measured: Result<(Vec<Figure>, Value), String>) -> (Result<Vec<Figure>, String>, Value) {
    match measured {
        Ok((figures, details)) => (Ok(figures), details),
        Err(reason) => (Err(reason), Value::Null),
    }
}

fn long(bench: &Bench) -> Result<(Vec<Figure>, Value), String> {
    bench.frame.init(&[])?;
    let server = bench.frame.serve(&[])?;
    let report = bench.frame.drive(&server, LONG, Some("growth-50-m-transfers"))?;
    let memory = memory_mib(&server);
    drop(server);
    let (first, last) = ends(&report).ok_or("the run has no time series")?;
    let stat = output(bench.frame.bezant().args(["journal", "stat"]))?;
    let bytes = journal_bytes(&stat).ok_or("`bezant journal stat` names no bytes")?;
    let executed = find(&report, "/executed");
    let figures = vec![
        Figure::new("rate", "/s", find(&report, "/commands_per_second")),
        Figure::new("last million to first", "×", last / first).at_least(0.9),
        Figure::new("p99", "ms", find(&report, "/latency_us/p99") / 1e3),
        Figure::new("journal, each transfer", "B", bytes / executed).at_most(150.0),
        Figure::new("memory", "MiB", memory),
    ];
    Ok((figures, json!({ "first": first, "last": last, "intervals": report["intervals"] })))
}

fn wide(bench: &Bench, small: Option<f64>) -> Result<(Vec<Figure>, Value), String> {
    bench.frame.init(&["ids.capacity=33554432"])?;
    let server = bench.frame.serve(&[])?;
    let report = bench.frame.drive(&server, WIDE, Some("growth-10-m-accounts"))?;
    let rate = find(&report, "/commands_per_second");
    let mut figures = vec![
        Figure::new("rate", "/s", rate),
        Figure::new("memory", "MiB", memory_mib(&server)).at_most(4_096.0),
    ];
    if let Some(small) = small {
        figures.push(Figure::new("to 10 k accounts", "×", rate / small).at_least(0.5));
    }
    Ok((figures, super::loads::details(&report)))
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

/// The most that the frame's process has held.
fn memory_mib(server: &Server) -> f64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = peak.and_then(|peak| peak.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    kib.map_or(f64::NAN, |kib| kib * 1_024.0 / MIB)
}

fn journal_bytes(stat: &str) -> Option<f64> {
    let line = stat.lines().find_map(|line| line.trim().strip_prefix("record bytes"))?;
    line.split_whitespace().find_map(|word| word.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
