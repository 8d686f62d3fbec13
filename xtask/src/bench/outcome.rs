//! What was measured: rows of figures, each beside its budget if it has one. JSON for programs, a
//! Markdown table for people.
//!
//! Invariant: a figure that misses its budget is never written as met, and a row that could not be
//! measured stays in the report with the reason.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::steps::output;

/// What the budget asks of a figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Must {
    AtLeast(f64),
    AtMost(f64),
}

/// One number.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Figure {
    pub(super) what: &'static str,
    pub(super) unit: &'static str,
    pub(super) measured: f64,
    pub(super) must: Option<Must>,
}

impl Figure {
    pub(super) const fn new(what: &'static str, unit: &'static str, measured: f64) -> Self {
        Self { what, unit, measured, must: None }
    }

    /// With a budget, if there is one.
    pub(super) fn at_least(mut self, least: impl Into<Option<f64>>) -> Self {
        self.must = least.into().map(Must::AtLeast);
        self
    }

    /// With a budget, if there is one.
    pub(super) fn at_most(mut self, most: impl Into<Option<f64>>) -> Self {
        self.must = most.into().map(Must::AtMost);
        self
    }

    /// None without a budget; a number that is none meets nothing.
    fn is_met(&self) -> Option<bool> {
        self.must.map(|must| match must {
            Must::AtLeast(least) => self.measured >= least,
            Must::AtMost(most) => self.measured <= most,
        })
    }

    fn must_text(&self) -> String {
        match self.must {
            None => "–".to_owned(),
            Some(Must::AtLeast(least)) => format!("≥ {}", number(least, self.unit)),
            Some(Must::AtMost(most)) => format!("≤ {}", number(most, self.unit)),
        }
    }

    fn json(&self) -> Value {
        let must = match self.must {
            None => Value::Null,
            Some(Must::AtLeast(least)) => json!({ "at_least": least }),
            Some(Must::AtMost(most)) => json!({ "at_most": most }),
        };
        json!({
            "what": self.what, "unit": self.unit, "measured": self.measured,
            "must": must, "met": self.is_met(),
        })
    }
}

/// A number with three digits that count.
pub(super) fn number(value: f64, unit: &str) -> String {
    let (value, prefix) = match value {
        value if value >= 1e6 && unit == "/s" => (value / 1e6, " M"),
        value if value >= 1e3 && unit == "/s" => (value / 1e3, " k"),
        value => (value, " "),
    };
    let digits = if value >= 100.0 {
        0
    } else if value >= 10.0 {
        1
    } else {
        2
    };
    format!("{value:.digits$}{prefix}{unit}")
}

/// The report under way.
pub(super) struct Outcome {
    pub(super) section: &'static str,
    head: Value,
    rows: Vec<Value>,
    lines: String,
    /// What stands behind the table.
    pages: String,
    failed: Vec<String>,
}

impl Outcome {
    pub(super) fn begin(target: &Path, profile: &str) -> Result<Self, String> {
        let said = |program: &str, args: &[&str]| output(Command::new(program).args(args));
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        // An unpacked archive has no commit.
        let commit = said("git", &["-C", root, "rev-parse", "--short", "HEAD"]);
        let file = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let cpu = file("/proc/cpuinfo");
        let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
        let memory = file("/proc/meminfo").lines().next().unwrap_or_default().to_owned();
        let head = json!({
            "date": said("date", &["-u", "+%Y-%m-%dT%H:%M:%SZ"])?,
            "commit": commit.unwrap_or_else(|_| "unknown".to_owned()),
            "machine": {
                "cpu": model.map_or("unknown", |(_, name)| name),
                "cores": cores,
                "memory": memory,
                "kernel": file("/proc/sys/kernel/osrelease").trim(),
            },
            "settings": {
                "profile": profile,
                "temporary_directory": std::env::temp_dir().display().to_string(),
                "target": target.display().to_string(),
                "rustc": said("rustc", &["--version"]).unwrap_or_default(),
            },
        });
        let lines = "| row | figure | must | measured | met |\n|---|---|---|---|---|\n".to_owned();
        Ok(Self {
            section: "",
            head,
            rows: Vec::new(),
            lines,
            pages: String::new(),
            failed: Vec::new(),
        })
    }

    /// Adds a row, or why there is none.
    pub(super) fn add(
        &mut self,
        name: &str,
        command: &str,
        measured: Result<Vec<Figure>, String>,
        details: Value,
    ) {
        let section = self.section;
        match measured {
            Ok(figures) => {
                for figure in &figures {
                    self.line(name, figure);
                }
                let figures: Vec<Value> = figures.iter().map(Figure::json).collect();
                self.rows.push(json!({
                    "section": section, "row": name, "command": command, "figures": figures,
                    "details": details,
                }));
            }
            Err(reason) => {
                println!("{name}: NOT MEASURED: {reason}");
                let first = reason.lines().next().unwrap_or_default().replace('|', " ");
                let _ = writeln!(self.lines, "| {name} | – | – | NOT MEASURED: {first} | no |");
                self.rows.push(json!({
                    "section": section, "row": name, "command": command, "failed": reason,
                }));
                self.failed.push(name.to_owned());
            }
        }
    }

    fn line(&mut self, name: &str, figure: &Figure) {
        let met = match figure.is_met() {
            None => "",
            Some(true) => "yes",
            Some(false) => "**no**",
        };
        let (measured, must) = (number(figure.measured, figure.unit), figure.must_text());
        println!("{name}: {} {measured} (must {must}) {met}", figure.what);
        let _ = writeln!(self.lines, "| {name} | {} | {must} | {measured} | {met} |", figure.what);
    }

    /// Words about a row, in the table.
    pub(super) fn say(&mut self, name: &str, what: &str, words: &str) {
        println!("{name}: {what}: {words}");
        let _ = writeln!(self.lines, "| {name} | {what} | – | {words} | |");
    }

    /// Markdown behind the table.
    pub(super) fn page(&mut self, title: &str, text: &str) {
        let _ = write!(self.pages, "\n## {title}\n\n{text}");
    }

    /// A figure measured before.
    pub(super) fn measured(&self, row: &str, what: &str) -> Option<f64> {
        let row = self.rows.iter().find(|found| found["row"] == row)?;
        let figures = row["figures"].as_array()?;
        figures.iter().find(|figure| figure["what"] == what)?["measured"].as_f64()
    }

    /// Rows that could not be measured.
    pub(super) fn failed(&self) -> &[String] {
        &self.failed
    }

    pub(super) fn table(&self) -> &str {
        &self.lines
    }

    /// Writes `report.json` and `report.md`.
    pub(super) fn write(&self, folder: &Path) -> Result<(), String> {
        let mut report = self.head.clone();
        report["rows"] = Value::Array(self.rows.clone());
        let text = serde_json::to_string_pretty(&report).map_err(|error| error.to_string())?;
        let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
        std::fs::write(folder.join("report.json"), text).map_err(failed)?;
        let (date, commit) = (&self.head["date"], &self.head["commit"]);
        let machine = &self.head["machine"];
        let page = format!(
            "# Benchmark\n\nAt {date}, commit {commit}, on {} × {}, Linux {}.\n\n{}{}",
            machine["cores"], machine["cpu"], machine["kernel"], self.lines, self.pages
        );
        std::fs::write(folder.join("report.md"), page).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_met_or_missed_and_no_number_meets_none() {
        let rate = |rate| Figure::new("rate", "/s", rate).at_least(2.5e6);
        assert_eq!(rate(2.5e6).is_met(), Some(true));
        assert_eq!(rate(2.4e6).is_met(), Some(false));
        assert_eq!(rate(f64::NAN).is_met(), Some(false));
        assert_eq!(Figure::new("p50", "ms", 0.4).at_most(0.4).is_met(), Some(true));
        assert_eq!(Figure::new("p50", "ms", 0.4).is_met(), None);
        assert_eq!(rate(1.234e6).must_text(), "≥ 2.50 M/s");
    }

    #[test]
    fn a_row_that_failed_stays_in_the_report() {
        let mut outcome = Outcome::begin(Path::new("target"), "dist").unwrap();
        outcome.add("a", "cmd", Ok(vec![Figure::new("rate", "/s", 5.0)]), Value::Null);
        outcome.add("b", "cmd", Err("no frame | at all\nmore".to_owned()), Value::Null);
        assert_eq!(outcome.measured("a", "rate"), Some(5.0));
        assert_eq!(outcome.measured("b", "rate"), None);
        assert_eq!(outcome.failed(), ["b"]);
        assert!(outcome.table().contains("| b | – | – | NOT MEASURED: no frame   at all | no |"));
    }
}
