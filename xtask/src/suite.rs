//! The commands made of steps: test, check, fix, ci, and running one command beside PostgreSQL.
//!
//! Refuses to skip in silence: what is not there yet or not installed is said. Invariant: `ci` is
//! `check`, `bench-smoke`, `simulate` and `test`, nothing else.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::postgres::Cluster;
use crate::steps::{Steps, cargo, forget_package, has_subcommand, run};
use crate::{chaos, examples, instructions, metadata, policy, promtool, tidy, tools};

/// How long the simulator runs, unless `BEZANT_SIM_MINUTES` says otherwise.
const SIM_MINUTES: u64 = 3;

/// What is off by default and tested all the same. Everywhere or nowhere: with other features of
/// one crate those that it shares with others are built again.
const FEATURES: [&str; 2] = ["--features", "server/otlp"];

/// Everything that can pass or fail.
pub(crate) fn test() -> Result<(), String> {
    let mut steps = Steps::default();
    add_tests(&mut steps);
    steps.finish()
}

/// The gate that changes nothing.
pub(crate) fn check() -> Result<(), String> {
    let mut steps = Steps::default();
    add_checks(&mut steps);
    steps.finish()
}

/// What CI runs. The suites come last, so that their count closes the output.
pub(crate) fn ci() -> Result<(), String> {
    let mut steps = Steps::default();
    add_checks(&mut steps);
    steps.step("bench-smoke", bench_smoke);
    steps.step("simulator", simulate);
    add_tests(&mut steps);
    steps.finish()
}

/// What a machine can mend.
pub(crate) fn fix() -> Result<(), String> {
    run(cargo().args(["fmt", "--all"]))?;
    let clippy = ["clippy", "--fix", "--allow-dirty", "--allow-staged"];
    run(cargo().args(clippy).args(["--workspace", "--all-targets"]).args(FEATURES))?;
    run(cargo().args(["fmt", "--all"]))
}

/// Every benchmark once, optimised as it would be measured, and instructions against their limits.
pub(crate) fn bench_smoke() -> Result<(), String> {
    let root = metadata::read(false)?.root;
    if !holds(&root.join("benches/benches"), &|path, _| {
        path.extension().is_some_and(|e| e == "rs")
    })? {
        println!("bench-smoke: NOTHING RUN: benches/benches has no benchmark");
        return Ok(());
    }
    run(cargo().args(["bench", "-p", "benches", "--benches", "--", "--test"]))?;
    instructions::check()
}

/// The simulator for some minutes of fresh seeds, the first of them twice, and before them every
/// case that once failed. A seed that fails is made as small as it can be and printed.
pub(crate) fn simulate() -> Result<(), String> {
    let minutes = match std::env::var("BEZANT_SIM_MINUTES") {
        Ok(text) => text.parse::<u64>().map_err(|e| format!("BEZANT_SIM_MINUTES={text}: {e}"))?,
        Err(_) => SIM_MINUTES,
    };
    let mut sim = cargo();
    sim.args(["run", "--profile", "sim", "-p", "sim", "--", "--regressions", "--shrink"]);
    run(sim.args(["--twice", "200", "--minutes", &minutes.to_string()]))
}

/// Runs one command with a throw-away PostgreSQL in its environment.
pub(crate) fn with_postgres(words: &[&str]) -> Result<(), String> {
    let cluster = Cluster::start()?;
    let mut command = Command::new(words[0]);
    forget_package(&mut command);
    run(command.args(&words[1..]).envs(cluster.variables()))
}

fn add_checks(steps: &mut Steps) {
    steps.step("fmt", || run(cargo().args(["fmt", "--all", "--", "--check"])));
    steps.step("tidy", tidy::run);
    steps.step("policy", policy::run);
    steps.step("clippy", || {
        let mut clippy = cargo();
        clippy.args(["clippy", "--workspace", "--all-targets"]).args(FEATURES);
        run(clippy.args(["--", "-D", "warnings"]))
    });
    steps.step("doc", || {
        let mut doc = cargo();
        doc.args(["doc", "--no-deps", "--workspace"]).args(FEATURES);
        run(doc.env("RUSTDOCFLAGS", "-Dwarnings"))
    });
    steps.step("default build", || {
        run(cargo().args(["clippy", "--workspace", "--", "-D", "warnings"]))
    });
}

fn add_tests(steps: &mut Steps) {
    steps.step("doc tests", || run(cargo().args(["test", "--doc", "--workspace"]).args(FEATURES)));
    steps.step("loom", loom);
    steps.step("suites", suites);
}

/// The model checks of the ring: every interleaving of its gates.
fn loom() -> Result<(), String> {
    let metadata = metadata::read(false)?;
    let modelled = |path: &Path, text: &str| {
        path.extension().is_some_and(|e| e == "rs") && text.contains("fn loom_")
    };
    if !holds(&metadata.root.join("ring/src"), &modelled)? {
        println!("loom: NOTHING RUN: ring/src has no model");
        return Ok(());
    }
    let mut test = cargo();
    // By manifest: `-p ring` would also mean the cryptographic crate of that name.
    test.args(["test", "--manifest-path", "ring/Cargo.toml", "--release", "--lib"]);
    // Its own folder: other flags would rebuild everything here and back again.
    test.arg("--target-dir").arg(metadata.target.join("loom")).arg("loom");
    run(test.env("RUSTFLAGS", "--cfg loom"))
}

/// Unit and integration tests of every crate, with PostgreSQL beside them.
fn suites() -> Result<(), String> {
    tools::ensure()?;
    let target = metadata::read(false)?.target;
    let python = examples::ensure(&target)?;
    let promtool = promtool::ensure(&target)?;
    let report = target.join("suites.md");
    chaos::remove(&report)?;
    let cluster = Cluster::start()?;
    let mut test = cargo();
    test.env("BEZANT_TEST_PYTHON", python).env("BEZANT_TEST_PROMTOOL", promtool);
    test.env("BEZANT_TEST_REPORT", &report);
    if has_subcommand("nextest") {
        test.args(["nextest", "run", "--workspace", "--no-fail-fast"]).args(FEATURES);
    } else {
        println!(
            "suites: cargo-nextest is not installed; cargo's own runner does the same, slower"
        );
        test.args(["test", "--workspace", "--lib", "--bins", "--tests", "--no-fail-fast"]);
        test.args(FEATURES);
    }
    let done = run(test.envs(cluster.variables()));
    // The runner swallows what a passing test prints: what was not run must be seen all the same.
    println!("\n{}\n{}", chaos::HEAD, fs::read_to_string(&report).unwrap_or_default());
    done
}

/// Whether a file below `folder` satisfies `wanted`; a folder that is not there holds nothing.
fn holds(folder: &Path, wanted: &dyn Fn(&Path, &str) -> bool) -> Result<bool, String> {
    if !folder.is_dir() {
        return Ok(false);
    }
    let say = |e| format!("{}: {e}", folder.display());
    for entry in fs::read_dir(folder).map_err(say)? {
        let path = entry.map_err(say)?.path();
        let found = if path.is_dir() {
            holds(&path, wanted)?
        } else {
            wanted(&path, &String::from_utf8_lossy(&fs::read(&path).map_err(say)?))
        };
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_searched_to_the_bottom() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert!(holds(here, &|path, _| path.ends_with("src/suite.rs")).unwrap());
        assert!(!holds(here, &|path, _| path.ends_with("nowhere.rs")).unwrap());
        assert!(!holds(&here.join("nowhere"), &|_, _| true).unwrap());
    }
}
