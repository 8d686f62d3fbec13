//! `cargo xtask instructions`: how many instructions a command takes in the hot functions, counted
//! by callgrind and compared with `benches/limits.toml`. A gate that noise cannot fool: time drifts
//! with the machine, this does not.
//!
//! Two works may have a limit for what one takes of the other: the same batches with and without
//! something that is to cost little. It says nothing of caches and waiting. Invariant: work without
//! a limit fails, as does a limit without work.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::metadata;
use crate::postgres_install::apt_install;
use crate::steps::{cargo, output};

const LIMITS: &str = "benches/limits.toml";
/// Rounds of the two counts; the difference has no setup in it.
const ROUNDS: [u64; 2] = [2, 6];
/// Commands of a round, as the benchmark has them.
const COMMANDS: f64 = 8_190.0;
/// A count so far below its limit asks for a lower one.
const SLACK: f64 = 0.85;

/// Counts every work that has a limit.
pub(crate) fn check() -> Result<(), String> {
    let metadata = metadata::read(false)?;
    let text = std::fs::read_to_string(metadata.root.join(LIMITS))
        .map_err(|error| format!("{LIMITS}: {error}"))?;
    let Limits { each, ratios } = limits(&text)?;
    if let Err(why) = ensure() {
        println!("instructions: NOT RUN: {why}");
        return Ok(());
    }
    let program = build()?;
    let counts = metadata.target.join("callgrind");
    std::fs::create_dir_all(&counts).map_err(|e| format!("{}: {e}", counts.display()))?;
    let (mut over, mut counted) = (Vec::new(), BTreeMap::new());
    println!("{:22} {:>10} {:>10}", "instructions a command", "counted", "limit");
    for (work, limit) in each {
        let [few, many] = ROUNDS.map(|rounds| count(&program, &counts, &work, rounds));
        let each = (many? - few?) / ((ROUNDS[1] - ROUNDS[0]) as f64 * COMMANDS);
        let verdict = match each {
            each if each > limit => "TOO MANY",
            each if each < limit * SLACK => "lower the limit",
            _ => "",
        };
        println!("{work:22} {each:10.1} {limit:10.1} {verdict}");
        // Work that the program does not know would cost nothing.
        if !(1.0..=limit).contains(&each) {
            over.push(work.clone());
        }
        counted.insert(work, each);
    }
    for (pair, limit) in ratios {
        let ratio = ratio(&pair, &counted)?;
        println!("{pair}: {ratio:.4}, limit {limit}");
        if ratio > limit {
            over.push(pair);
        }
    }
    if over.is_empty() {
        return Ok(());
    }
    let why = "find out why (callgrind_annotate reads target/callgrind), or raise the limit";
    Err(format!("{}: not within {LIMITS}; {why}", over.join(", ")))
}

/// What is in the file of limits, in its order.
#[derive(Debug, Default, PartialEq)]
struct Limits {
    /// Of works, below `[instructions]`.
    each: Vec<(String, f64)>,
    /// Of one work to another, as `one/other`, below `[ratios]`.
    ratios: Vec<(String, f64)>,
}

/// Lines `name = number` below the two heads.
fn limits(text: &str) -> Result<Limits, String> {
    let mut limits = Limits::default();
    let mut is_ratio = false;
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    for line in lines.filter(|line| !line.is_empty()) {
        if line.starts_with('[') {
            is_ratio = line == "[ratios]";
            continue;
        }
        let parsed = line.split_once('=').and_then(|(name, limit)| {
            let name = name.trim().trim_matches('"').to_owned();
            Some((name, limit.trim().parse::<f64>().ok()?))
        });
        let limit =
            parsed.ok_or_else(|| format!("{LIMITS}: `{line}` is not a name and a number"))?;
        if is_ratio { limits.ratios.push(limit) } else { limits.each.push(limit) }
    }
    Ok(limits)
}

/// What one work takes of what another takes.
fn ratio(pair: &str, counted: &BTreeMap<String, f64>) -> Result<f64, String> {
    let ratio = pair.split_once('/').and_then(|(one, other)| {
        let of = |work: &str| counted.get(work.trim());
        Some(of(one)? / of(other)?)
    });
    ratio.ok_or_else(|| format!("{LIMITS}: `{pair}` is not two works that have limits"))
}

fn ensure() -> Result<(), String> {
    let works = || output(Command::new("valgrind").arg("--version")).is_ok();
    if works() {
        return Ok(());
    }
    if output(Command::new("id").arg("-u"))? != "0" {
        return Err("no valgrind: install your distribution's package".to_owned());
    }
    println!("valgrind: not on this machine; installing the distribution's package as root");
    apt_install("valgrind")?;
    if works() { Ok(()) } else { Err("valgrind was installed, but does not run".to_owned()) }
}

/// Builds the program as the benchmark smoke does, and says where it is.
fn build() -> Result<PathBuf, String> {
    let words = ["bench", "-p", "benches", "--bench", "instructions", "--no-run"];
    let messages = output(cargo().args(words).arg("--message-format=json"))?;
    let found = messages.lines().rev().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        let is_it = message["target"]["name"] == "instructions";
        is_it.then(|| message["executable"].as_str().map(PathBuf::from))?
    });
    found.ok_or_else(|| "cargo built no program for benches/instructions".to_owned())
}

fn count(program: &Path, folder: &Path, work: &str, rounds: u64) -> Result<f64, String> {
    let out = folder.join(format!("{work}.{rounds}"));
    let mut valgrind = Command::new("valgrind");
    valgrind.arg("--tool=callgrind").arg(format!("--callgrind-out-file={}", out.display()));
    output(valgrind.arg(program).arg(work).arg(rounds.to_string()))?;
    let text = std::fs::read_to_string(&out).map_err(|e| format!("{}: {e}", out.display()))?;
    total(&text).ok_or_else(|| format!("{}: no total", out.display()))
}

/// The line that ends a file of callgrind's.
fn total(text: &str) -> Option<f64> {
    let line = |name| text.lines().rev().find_map(|line| line.strip_prefix(name));
    line("totals: ").or_else(|| line("summary: "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_names_and_numbers() {
        let text = "# why\n[instructions]\na = 12.5 # and\n\nb=3\n";
        let each = vec![("a".to_owned(), 12.5), ("b".to_owned(), 3.0)];
        assert_eq!(limits(text), Ok(Limits { each: each.clone(), ratios: Vec::new() }));
        let text = format!("{text}[ratios]\n\"a/b\" = 1.02\n");
        let ratios = vec![("a/b".to_owned(), 1.02)];
        assert_eq!(limits(&text), Ok(Limits { each, ratios }));
        assert!(limits("a = many\n").is_err());
    }

    #[test]
    fn a_ratio_is_that_of_two_works_that_were_counted() {
        let counted = [("a", 3.0), ("b", 2.0)].map(|(name, each)| (name.to_owned(), each));
        let counted = counted.into_iter().collect();
        assert_eq!(ratio("a/b", &counted), Ok(1.5));
        assert!(ratio("a/c", &counted).is_err() && ratio("a", &counted).is_err());
    }

    #[test]
    fn the_total_is_found() {
        assert_eq!(total("events: Ir\nsummary: 41\n\ntotals: 42\n"), Some(42.0));
        assert_eq!(total("events: Ir\n"), None);
    }
}
