//! The deterministic simulator: the frame's own code under every fault, from one seed.
//!
//! ```text
//!  clients ─► ring ─► JournalStage ─► SyncStage ─► EngineStage ─► replies ─► judge
//!                          │              │             │ cuts                 ▲
//!                          └── SimDisk ◄──┘        Runner/Settler ─► database ─┘
//! ```
//!
//! The stages, journal, recovery, Replayer and settlement are those of production; only the disk,
//! the database, the clock and the clients are simulated. It opens no file or socket, reads no
//! clock and starts no thread.
//!
//! # Invariants
//!
//! * A run depends on its seed and planted bug alone: the same pair gives the same trace hash.
//! * Acknowledged outcomes are judged by the naive model of the money rules, not by the engine.
#![forbid(unsafe_code)]

mod bug;
mod clients;
mod disk;
mod faults;
mod history;
mod judge;
#[path = "../../engine/tests/model/mod.rs"]
#[allow(dead_code, reason = "the engine's own tests use more of the model than the judge does")]
mod model;
mod node;
mod rng;
mod sql;
mod swarm;
mod world;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

pub use bug::Bug;
pub use faults::Faults;
pub use judge::Violation;

/// What became of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its seed.
    pub seed: u64,
    /// Rolling hash of everything that happened.
    pub trace: u64,
    /// The first rule that did not hold.
    pub violation: Option<Violation>,
    /// Steps and rounds.
    pub steps: u64,
    /// Simulated nanoseconds.
    pub simulated_ns: u64,
    /// Requests answered.
    pub acknowledged: u64,
    /// Commands answered, by what became of them.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// Faults that struck.
    pub faults: Faults,
    /// The seed's switches.
    pub switches: String,
}

/// Runs one seed; a panic of the frame's own assertions is a violation like any other.
#[must_use]
pub fn run(seed: u64, bug: Option<Bug>) -> Report {
    let mut world = world::World::new(seed, bug);
    let switches = world.swarm.to_string();
    let ended = catch_unwind(AssertUnwindSafe(|| world.run()));
    let violation = match ended {
        Ok(checked) => checked.err(),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            let detail = text.unwrap_or_else(|| "a panic without words".to_owned());
            Some(Violation { rule: "assertion", detail })
        }
    };
    Report {
        seed,
        trace: world.trace.0,
        violation,
        steps: world.step,
        simulated_ns: world.simulated_ns,
        acknowledged: world.acknowledged,
        outcomes: world.outcomes,
        faults: world.faults,
        switches,
    }
}
