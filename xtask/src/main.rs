//! Chores of the repository: tests, gates and the throw-away PostgreSQL they need.
//!
//! Refuses to be a build system: every command is a short list of ordinary tool calls, printed
//! before they run. Invariant: what a person runs here is exactly what CI runs.

mod bench;
mod book;
mod chaos;
mod code;
mod conformance;
mod edges;
mod examples;
mod instructions;
mod markdown;
mod metadata;
mod policy;
mod postgres;
mod postgres_install;
mod promtool;
mod rules;
mod server;
mod spdx;
mod steps;
mod suite;
mod tidy;
mod tools;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  test               every test: documentation, loom models, all suites with a real PostgreSQL
  check              read-only gate: fmt, clippy, tidy, policy, doc, the default build
  fix                what a machine can mend: fmt, clippy --fix
  ci                 check + bench-smoke + simulate + test, with a table of times at the end
  simulate           the simulator for BEZANT_SIM_MINUTES (3) of fresh seeds
  bench-smoke        every benchmark once, in the bench profile; then instructions
  bench [ROW]        every figure of docs/performance.md, or the rows whose name contains ROW:
                     a report and plots in target/bench; all of them take most of an hour
  instructions       instructions a command under callgrind against benches/limits.toml
  conformance [N]    schemathesis, sslyze and openssl against a running frame's HTTPS door
  chaos KIND [--rounds N]  kill, sync-error, postgres, full-disk, power or all: long rounds of the
                     tests that kill processes and break disks, in the release profile
  tidy               the repository's own rules: crate edges, heads, lengths, words, unsafe, links
  policy             licences, sources, versions and bans of the dependencies
  postgres -- CMD…   run CMD with a throw-away PostgreSQL in its environment
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["test"] => suite::test(),
        ["check"] => suite::check(),
        ["fix"] => suite::fix(),
        ["ci"] => suite::ci(),
        ["bench-smoke"] => suite::bench_smoke(),
        ["simulate"] => suite::simulate(),
        ["bench"] => bench::run_rows(None),
        ["bench", row] => bench::run_rows(Some(row)),
        ["instructions"] => instructions::check(),
        ["conformance"] => conformance::conformance(None),
        ["conformance", examples] => conformance::conformance(Some(examples)),
        ["chaos", what] => chaos::chaos(what, None),
        ["chaos", what, "--rounds", rounds] => chaos::chaos(what, Some(rounds)),
        ["tidy"] => tidy::run(),
        ["policy"] => policy::run(),
        ["postgres", "--", command @ ..] if !command.is_empty() => suite::with_postgres(command),
        _ => Err(USAGE.to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("xtask: {reason}");
            ExitCode::FAILURE
        }
    }
}
