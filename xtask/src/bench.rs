//! `cargo xtask bench`: every figure of `docs/performance.md`, by one command. Builds the optimised
//! binaries, makes frames in a temporary directory, and lets the load harness drive them over QUIC
//! and HTTPS with mTLS; client and server share the machine.
//!
//! It judges no book: the harness fails by itself when its book and the frame's differ. Invariant:
//! what was measured before something failed is in the report, and the failure is too.

mod curves;
mod feeds;
mod frame;
mod growth;
mod loads;
mod micro;
mod outcome;
#[path = "../../loadgen/src/plot.rs"]
#[expect(unreachable_pub, reason = "the harness draws with it too")]
mod plot;
mod settlement;
mod snapshots;
mod watch;

use std::path::Path;

use self::frame::Frame;
use self::outcome::Outcome;
use crate::metadata;
use crate::steps::{cargo, run};

/// One part of the figures. A new one is a line in [`SECTIONS`].
type Section = fn(&Bench, &mut Outcome);

const SECTIONS: [(&str, Section); 9] = [
    ("micro", micro::criterion),
    ("in_process", micro::in_process),
    ("loads", loads::measure),
    ("open loop", curves::measure),
    ("feeds", feeds::idle),
    ("restart", snapshots::restart),
    ("snapshots", snapshots::under_load),
    ("settlement", settlement::cost),
    ("growth", growth::measure),
];

/// What every section works with.
struct Bench {
    frame: Frame,
    /// Of everything that is built.
    profile: String,
    /// Only rows whose name contains this; a section's name stands for all of its rows.
    only: Option<String>,
}

impl Bench {
    /// Whether a row of a section is to be measured.
    fn wants(&self, section: &str, row: &str) -> bool {
        self.only.as_ref().is_none_or(|only| section.contains(only) || row.contains(only))
    }
}

/// Measures every row, or those whose name contains `only`, and writes the report.
pub(crate) fn run_rows(only: Option<&str>) -> Result<(), String> {
    let profile = std::env::var("XTASK_BENCH_PROFILE").unwrap_or_else(|_| "dist".to_owned());
    run(cargo().args(["build", "--profile", &profile, "-p", "server", "-p", "loadgen"]))?;
    let target = metadata::read(false)?.target;
    let reports = target.join("bench");
    std::fs::create_dir_all(&reports).map_err(|e| format!("{}: {e}", reports.display()))?;
    let place = std::env::temp_dir().join(format!("bezant-bench-{}", std::process::id()));
    let frame = Frame::new(target.join(&profile), place.join("frame"), reports.clone());
    let mut outcome = Outcome::begin(&target, &profile)?;
    let bench = Bench { frame, profile, only: only.map(str::to_owned) };
    for (name, section) in SECTIONS {
        outcome.section = name;
        section(&bench, &mut outcome);
        // As far as it has come: the next section may take minutes, or the machine.
        outcome.write(&reports)?;
    }
    // The figures are written by now; what is left behind only takes space.
    let _ = std::fs::remove_dir_all(&place);
    say(&outcome, &reports)
}

fn say(outcome: &Outcome, reports: &Path) -> Result<(), String> {
    println!("\n{}", outcome.table());
    println!("{0}/report.json, {0}/report.md and plots beside them", reports.display());
    match outcome.failed() {
        [] => Ok(()),
        failed => Err(format!("not measured: {}", failed.join("; "))),
    }
}
