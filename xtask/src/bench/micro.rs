//! The benchmarks of single parts: Criterion's, read from the files it leaves, and the pipeline
//! without doors, from the lines it prints.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::Bench;
use super::outcome::{Figure, Outcome};
use crate::metadata;
use crate::steps::{cargo, output};

/// Criterion benchmarks that have a budget: the id, and elements a second at least.
const BUDGETED: [(&str, f64); 1] = [("engine/transfers over 1M accounts", 6e6)];
/// Those of this crate that Criterion runs.
const BENCHES: [&str; 4] = ["engine", "codec", "ring", "journal"];
/// Elements a second of the whole frame without doors, at least.
const IN_PROCESS: f64 = 4e6;

pub(super) fn criterion(bench: &Bench, outcome: &mut Outcome) {
    for name in BENCHES.into_iter().filter(|name| bench.wants("micro", name)) {
        let command = format!("cargo bench -p benches --profile {} --bench {name}", bench.profile);
        match run_one(&bench.profile, name) {
            Ok(found) => {
                for (id, figures, details) in found {
                    outcome.add(&id, &command, Ok(figures), details);
                }
            }
            Err(reason) => outcome.add(name, &command, Err(reason), Value::Null),
        }
    }
}

type Found = (String, Vec<Figure>, Value);

fn run_one(profile: &str, name: &str) -> Result<Vec<Found>, String> {
    let folder = metadata::read(false)?.target.join("criterion");
    // What another run left would look like a figure of this one.
    let _ = std::fs::remove_dir_all(&folder);
    let mut bench = cargo();
    bench.args(["bench", "-p", "benches", "--profile", profile, "--bench", name, "--"]);
    println!("\n── {name}");
    output(bench.args(["--noplot"]))?;
    let mut estimates = Vec::new();
    walk(&folder, &mut estimates)?;
    estimates.sort();
    let found: Vec<Found> = estimates.iter().filter_map(|path| read(path)).collect();
    if found.is_empty() { Err("Criterion left no estimates".to_owned()) } else { Ok(found) }
}

/// Finds `new/estimates.json` wherever it is.
fn walk(folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), String> {
    let say = |error| format!("{}: {error}", folder.display());
    for entry in std::fs::read_dir(folder).map_err(say)? {
        let path = entry.map_err(say)?.path();
        if path.is_dir() {
            walk(&path, found)?;
        } else if path.ends_with("new/estimates.json") {
            found.push(path);
        }
    }
    Ok(())
}

fn read(estimates: &Path) -> Option<Found> {
    let json = |path: PathBuf| -> Option<Value> {
        serde_json::from_str(&std::fs::read_to_string(path).ok()?).ok()
    };
    let about = json(estimates.with_file_name("benchmark.json"))?;
    let estimates = json(estimates.to_owned())?;
    let id = about["full_id"].as_str()?.to_owned();
    let of = |kind: &str| estimates[kind]["point_estimate"].as_f64();
    let nanos = of("mean")?;
    let elements = about["throughput"]["Elements"].as_f64();
    let figure = match elements {
        Some(elements) => {
            let budget = BUDGETED.iter().find(|(budgeted, _)| *budgeted == id);
            let rate = Figure::new("rate", "/s", elements / nanos * 1e9);
            rate.at_least(budget.map(|&(_, least)| least))
        }
        None => Figure::new("time", "µs", nanos / 1e3),
    };
    let details = json!({
        "mean_ns": nanos, "median_ns": of("median"), "std_dev_ns": of("std_dev"),
        "elements": elements,
    });
    Some((id, vec![figure], details))
}

/// `in_process NAME: 2.41 M transfers/s durable, …`
fn printed(line: &str) -> Option<(&str, f64)> {
    let (name, rest) = line.split_once(": ")?;
    let millions = rest.split(' ').next()?.parse::<f64>().ok()?;
    name.starts_with("in_process ").then_some((name, millions * 1e6))
}

pub(super) fn in_process(bench: &Bench, outcome: &mut Outcome) {
    if !bench.wants("in_process", "in_process") {
        return;
    }
    let profile = bench.profile.as_str();
    let words = ["bench", "-p", "benches", "--profile", profile, "--bench", "in_process"];
    println!("\n── in_process");
    let command = format!("cargo bench -p benches --profile {profile} --bench in_process");
    match output(cargo().args(words)) {
        Ok(text) => {
            for (at, (name, rate)) in text.lines().filter_map(printed).enumerate() {
                let rate = Figure::new("rate", "/s", rate);
                let rate = rate.at_least((at == 0).then_some(IN_PROCESS));
                outcome.add(name, &command, Ok(vec![rate]), Value::Null);
            }
        }
        Err(reason) => outcome.add("in_process", &command, Err(reason), Value::Null),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_the_pipeline_are_read() {
        let line = "in_process 10 k accounts: 2.41 M transfers/s durable, 1000 batches of 8190";
        assert_eq!(printed(line), Some(("in_process 10 k accounts", 2.41e6)));
        assert_eq!(printed("Finished: 3 things"), None);
    }
}
