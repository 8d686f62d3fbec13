//! `bezant doctor`: is this machine, and is this configuration, fit for a frame? Each check says
//! what it found and how to mend it.
//!
//! It refuses to change anything: a sample of the disk is written beside the frame's files and
//! removed, SQL is asked in a read-only session. It may run before a start or beside the running
//! frame. Invariant: whatever `serve` would refuse for the same reason fails here.

mod certificates;
mod database;
mod directory;
mod disk;
mod doors;
mod machine;
mod memory;
mod mounts;
mod space;
mod time;

use std::fmt;

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use crate::config::Config;
use crate::exit::{Exit, Failure, OrExit as _};
use crate::{harden, past};

use self::machine::Machine;

/// How a check came out.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    /// As it should be.
    Ok,
    /// It works, and will be missed one day.
    Warn,
    /// The frame does not start, or may lose what it should keep.
    Fail,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        })
    }
}

/// One check.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(crate) struct Finding {
    /// What was looked at.
    pub(crate) check: &'static str,
    /// How it came out.
    pub(crate) verdict: Verdict,
    /// What was found.
    pub(crate) found: String,
    /// What to do about it; empty when it is ok.
    pub(crate) cure: String,
}

impl Finding {
    fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Ok, found: found.into(), cure: String::new() }
    }

    fn warn(check: &'static str, found: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Warn, found: found.into(), cure: cure.into() }
    }

    fn fail(check: &'static str, found: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Fail, found: found.into(), cure: cure.into() }
    }
}

#[derive(Serialize)]
struct Report<'a> {
    verdict: Verdict,
    /// Whether a frame holds the data directory now.
    running: bool,
    findings: &'a [Finding],
}

/// Checks everything and prints it; the exit code says whether something failed.
pub(crate) fn run(config: &Config, json: bool) -> Result<(), Failure> {
    harden::private_files();
    let running = past::is_running(&config.journal_dir()).unwrap_or(false);
    let findings = examine(config, &Machine::this(), running);
    let verdict = findings.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Ok);
    if json {
        let report = Report { verdict, running, findings: &findings };
        let text = serde_json::to_string_pretty(&report).or_exit(Exit::Internal, "the report")?;
        say!("{text}")?;
    } else {
        say!("{}", table(&findings).trim_fmt())?;
    }
    let failed = findings.iter().filter(|finding| finding.verdict == Verdict::Fail);
    match failed.count() {
        0 => Ok(()),
        failed => {
            let all = findings.len();
            Err(Failure::new(Exit::Unfit, format!("{failed} of {all} checks failed: see above")))
        }
    }
}

fn examine(config: &Config, machine: &Machine, running: bool) -> Vec<Finding> {
    let mut findings = directory::examine(config);
    if config.data_dir.is_dir() {
        findings.extend(mounts::examine(config, machine));
        findings.extend(space::examine(config));
        findings.extend(disk::examine(config));
    }
    findings.extend(time::examine(config, running));
    findings.extend(machine::examine(config, machine));
    findings.extend(memory::examine(config, machine));
    findings.extend(doors::examine(config, running));
    findings.extend(certificates::examine(config));
    findings.extend(database::examine(config));
    findings
}

fn table(findings: &[Finding]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    for Finding { check, verdict, found, cure } in findings {
        let told = if cure.is_empty() { found.clone() } else { format!("{found}\n→ {cure}") };
        table.add_row([verdict.to_string(), (*check).to_owned(), told]);
    }
    table
}

/// Bytes as a person reads them.
fn size(bytes: u64) -> String {
    let units = [("GiB", 30_u32), ("MiB", 20), ("KiB", 10)];
    match units.into_iter().find(|&(_, bits)| bytes >> bits > 0) {
        Some((unit, bits)) => {
            let tenths = (bytes >> (bits - 10)).saturating_mul(10) >> 10;
            format!("{}.{} {unit}", tenths / 10, tenths % 10)
        }
        None => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        let shown = [0, 1023, 1024, 1536, 5 << 20, (3 << 30) + (1 << 29)].map(size);
        let expected = ["0 bytes", "1023 bytes", "1.0 KiB", "1.5 KiB", "5.0 MiB", "3.5 GiB"];
        assert_eq!(shown, expected);
    }

    #[test]
    fn the_worst_check_is_the_verdict() {
        assert!(Verdict::Ok < Verdict::Warn && Verdict::Warn < Verdict::Fail);
        let findings = [
            Finding::ok("clock", "synchronised"),
            Finding::fail("fsync", "fsync is off", "turn it on"),
        ];
        let shown = table(&findings).to_string();
        assert!(shown.contains("FAIL") && shown.contains("→ turn it on"), "{shown}");
        assert!(!shown.contains("synchronised\n→"), "{shown}");
        let json = serde_json::to_value(&findings[1]).unwrap();
        assert_eq!(json["verdict"], "fail");
    }
}
