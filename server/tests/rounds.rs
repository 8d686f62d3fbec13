//! Tests that go on for as many rounds as they are told, and the line that they leave for
//! `docs/testing.md`. Invariant: a line is left only when every comparison before it agreed.
//!
//! `BEZANT_TEST_<NAME>_ROUNDS` says how often; `BEZANT_TEST_REPORT` names the file for the line.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::time::Instant;

use loadgen::{Driver, Target};

use crate::frame::number;

/// The rounds of one test.
pub(crate) struct Rounds {
    name: &'static str,
    count: u64,
    started: Instant,
    repeated: u64,
    fresh: u64,
}

impl Rounds {
    /// As many as the environment says, or `default`.
    pub(crate) fn of(name: &'static str, default: u64) -> Self {
        let variable = format!("BEZANT_TEST_{}_ROUNDS", name.replace('-', "_").to_uppercase());
        let count = number(&variable, default);
        Self { name, count, started: Instant::now(), repeated: 0, fresh: 0 }
    }

    pub(crate) const fn count(&self) -> u64 {
        self.count
    }

    /// Commands whose answers were lost, so far.
    pub(crate) const fn unanswered(&self) -> u64 {
        self.repeated + self.fresh
    }

    /// Sends what was not answered again, and says what had become of it.
    pub(crate) async fn resolve(&mut self, target: &Target, driver: &mut Driver) -> String {
        let requests = driver.unknown();
        let (repeated, fresh) = driver.resolve(target).await.unwrap();
        self.repeated += repeated;
        self.fresh += fresh;
        format!(
            "{requests} requests unanswered: {repeated} commands had been executed, {fresh} had \
             not; {} acknowledged so far",
            driver.measured.executed
        )
    }

    /// Leaves the line. The books have agreed: nothing acknowledged was lost or doubled.
    pub(crate) fn passed(self, acknowledged: u64, seen: &str) {
        let Self { name, count, started, repeated, fresh } = self;
        let seconds = started.elapsed().as_secs();
        let seen = format!("{repeated} + {fresh} unanswered; {seen}");
        report(&format!(
            "| `chaos {name}` | {count} | {acknowledged} | 0 | 0 | {seconds} | {seen} |"
        ));
    }

    /// Says that nothing was shown, and why.
    pub(crate) fn not_run(&self, why: &str) {
        let why = why.replace(['\n', '|'], " ");
        report(&format!("| `chaos {}` | 0 | | | | | NOT RUN: {why} |", self.name));
    }
}

fn report(line: &str) {
    println!("{line}");
    let Some(path) = std::env::var_os("BEZANT_TEST_REPORT") else {
        return;
    };
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    writeln!(file, "{line}").unwrap();
}
