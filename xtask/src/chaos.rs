//! Long rounds of the tests that kill processes and break disks: each in turn, with a table for
//! `docs/testing.md` at the end.
//!
//! Refuses to judge: the tests in `server/tests` do, and run short in `cargo xtask test`.
//! Invariant: a row is printed only for rounds that a test has passed, or says why it was not run.

use std::fs;
use std::path::Path;

use crate::postgres_install;
use crate::steps::{Steps, cargo, run};
use crate::{metadata, tools};

/// A kind of chaos: its name, the tests that know its rounds, and how many are run unasked.
#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    test: &'static str,
    rounds: u64,
}

const KINDS: [Kind; 5] = [
    Kind { name: "kill", test: "kill_loop::kills_under_load", rounds: 500 },
    Kind { name: "sync-error", test: "sync_errors::a_failed_sync", rounds: 50 },
    Kind { name: "postgres", test: "settlement_outage::sql_crashing", rounds: 100 },
    Kind { name: "full-disk", test: "full_disk::a_full_disk", rounds: 20 },
    Kind { name: "power", test: "power::a_power_cut", rounds: 20 },
];

/// Above the rows that the tests leave.
pub(crate) const HEAD: &str = "\
| command | rounds | acknowledged | lost | doubled | seconds | seen |
|---|---|---|---|---|---|---|";
/// In a row, that nothing was shown.
const NOT_RUN: &str = "NOT RUN";

/// Runs the kinds that `what` names, each for `rounds` or as long as it is run unasked.
pub(crate) fn chaos(what: &str, rounds: Option<&str>) -> Result<(), String> {
    let rounds = rounds.map(|text| text.parse::<u64>().map_err(|e| format!("{text}: {e}")));
    let rounds = rounds.transpose()?;
    let chosen = chosen(what)?;
    tools::ensure_some(&["strace"])?;
    postgres_install::ensure()?;
    let report = metadata::read(false)?.target.join("chaos.md");
    remove(&report)?;
    let mut steps = Steps::default();
    for kind in chosen {
        steps.step(kind.name, || test(kind, rounds.unwrap_or(kind.rounds), &report));
    }
    let rows = fs::read_to_string(&report).unwrap_or_default();
    println!("\n{HEAD}\n{rows}");
    steps.finish()
}

fn chosen(what: &str) -> Result<Vec<Kind>, String> {
    let chosen: Vec<Kind> =
        KINDS.into_iter().filter(|kind| what == "all" || kind.name == what).collect();
    if chosen.is_empty() {
        let names: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
        return Err(format!("no chaos is called {what}; there are {} and all", names.join(", ")));
    }
    Ok(chosen)
}

/// In the release profile: figures are of what would be run.
fn test(kind: Kind, rounds: u64, report: &Path) -> Result<(), String> {
    let mut test = cargo();
    test.args(["test", "--release", "-p", "server", "--test", "main", "--"]);
    test.args(["--nocapture", kind.test]);
    test.env(variable(kind), rounds.to_string()).env("BEZANT_TEST_REPORT", report);
    run(&mut test)?;
    is_shown(kind, &fs::read_to_string(report).unwrap_or_default())
}

/// A test that was not run has not failed, but what was asked for has.
fn is_shown(kind: Kind, rows: &str) -> Result<(), String> {
    let head = format!("| `chaos {}` |", kind.name);
    match rows.lines().rfind(|row| row.starts_with(&head)) {
        None => Err(format!("{} has left no row", kind.test)),
        Some(row) if row.contains(NOT_RUN) => Err(row.to_owned()),
        Some(_) => Ok(()),
    }
}

/// What tells the test how often.
fn variable(kind: Kind) -> String {
    format!("BEZANT_TEST_{}_ROUNDS", kind.name.replace('-', "_").to_uppercase())
}

/// Forgets the rows of an earlier run.
pub(crate) fn remove(report: &Path) -> Result<(), String> {
    match fs::remove_file(report) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("{}: {error}", report.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_found_by_its_name_and_all_by_all() {
        assert_eq!(chosen("all").unwrap().len(), KINDS.len());
        assert_eq!(chosen("power").unwrap()[0].test, "power::a_power_cut");
        let Err(error) = chosen("thunder") else { panic!("it is not there") };
        assert!(error.contains("sync-error") && error.contains("thunder"), "{error}");
    }

    #[test]
    fn what_was_not_run_or_left_no_row_has_failed() {
        let [kill, .., power] = KINDS;
        let rows = "| `chaos kill` | 5 | 9 | 0 | 0 | 1 | 0 + 1 unanswered; |\n\
                    | `chaos power` | 0 | | | | | NOT RUN: no loop device |\n";
        assert_eq!(is_shown(kill, rows), Ok(()));
        assert!(is_shown(power, rows).unwrap_err().contains("no loop device"));
        assert!(is_shown(kill, "").unwrap_err().contains("no row"));
    }

    #[test]
    fn every_test_is_there_and_reads_its_variable() {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../server/tests");
        for kind in KINDS {
            let (module, test) = kind.test.split_once("::").unwrap();
            let text = fs::read_to_string(tests.join(module).with_extension("rs")).unwrap();
            assert!(text.contains(&format!("fn {test}")), "{}", kind.test);
            assert!(text.contains(&format!("Rounds::of(\"{}\"", kind.name)), "{}", kind.name);
            assert!(text.contains(&variable(kind)), "{module} does not tell of its variable");
        }
    }
}
