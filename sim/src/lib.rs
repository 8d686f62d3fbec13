//! The deterministic simulator: the frame's own code under every fault, from one seed.
//!
//! ```text
//!  clients ─► ring ─► JournalStage ─► SyncStage ─► EngineStage ─► replies ─► judge
//!                          │              │             │ cuts                 ▲
//!                          └── SimDisk ◄──┘        Runner/Settler ─► database ─┘
//! ```
//!
//! The stages, journal, snapshots, recovery, retention, the past and settlement are those of
//! production; only the disk, the database, the clock and the clients are simulated. It opens no
//! file or socket, reads no clock and starts no thread.
//!
//! # Invariants
//!
//! * A run depends on its case alone: the same case gives the same trace hash.
//! * Acknowledged outcomes are judged by the naive model of the money rules, not by the engine.
#![forbid(unsafe_code)]

mod bug;
mod case;
mod class;
mod clients;
mod disk;
mod faults;
mod files;
mod front;
mod history;
mod judge;
mod misplace;
#[path = "../../engine/tests/model/mod.rs"]
#[allow(dead_code, reason = "the engine's own tests use more of the model than the judge does")]
mod model;
mod node;
mod rights;
mod rival;
mod rng;
mod shrink;
mod snapshots;
mod sql;
mod world;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

pub use bug::Bug;
pub use case::Case;
pub use class::{Class, Faults};
pub use judge::Violation;
pub use shrink::shrink;

/// Cases that once failed, one a line: the case, a colon, and why.
pub const REGRESSIONS: &str = include_str!("../regressions.txt");

/// What became of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// What was run.
    pub case: Case,
    /// Rolling hash of everything that happened.
    pub trace: u64,
    /// The first rule that did not hold.
    pub violation: Option<Violation>,
    /// Steps and rounds.
    pub steps: u64,
    /// Steps of the phase with faults.
    pub faulty_steps: u64,
    /// What clients wanted.
    pub intents: u64,
    /// Simulated nanoseconds.
    pub simulated_ns: u64,
    /// Requests answered.
    pub acknowledged: u64,
    /// Commands answered, by what became of them.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// Faults that struck.
    pub faults: Faults,
    /// The classes that could strike: rate, times, first and last step.
    pub table: String,
}

/// Runs one case; a panic of the frame's own assertions is a violation like any other.
#[must_use]
pub fn run(case: &Case) -> Report {
    let mut world = world::World::new(case);
    let ended = catch_unwind(AssertUnwindSafe(|| world.play()));
    let violation = match ended {
        Ok(checked) => checked.err(),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            let detail = text.unwrap_or_else(|| "a panic without words".to_owned());
            Some(Violation { rule: "assertion", detail })
        }
    };
    let run = world.run;
    Report {
        case: run.case,
        trace: run.trace.0,
        violation,
        steps: run.step,
        faulty_steps: run.faulty_steps,
        intents: world.clients.intents.len() as u64,
        simulated_ns: run.simulated_ns,
        acknowledged: run.acknowledged,
        outcomes: run.outcomes,
        table: run.faults.table(&run.swarm),
        faults: run.faults,
    }
}

/// The cases that once failed, each with why.
///
/// # Errors
///
/// The line that is none.
pub fn regressions() -> Result<Vec<(Case, &'static str)>, String> {
    let lines = REGRESSIONS.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (case, why) = line.split_once(": ").ok_or_else(|| format!("{line}: no reason"))?;
            Ok((case.parse()?, why))
        })
        .collect()
}
