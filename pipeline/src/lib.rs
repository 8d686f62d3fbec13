//! The stages in order: sequence, journal, commit, execute; and the Replayer with what uses it.
//!
//! ```text
//!  ring ──► JournalStage ──► SyncStage ──► EngineStage ──► reply queues
//!           stamps, numbers,   makes it      executes what
//!           appends a record   durable       is durable
//!              │ appended         │ durable      │ executed, next deadline
//!              └──────────────── Marks ──────────┘
//! ```
//!
//! Every stage is a state machine: [`JournalStage::step`], [`SyncStage::step`] and
//! [`EngineStage::step`] do what can be done now and return. The crate starts no thread, reads no
//! clock and never waits; whoever drives the stages gives them the time and decides when to wait.
//!
//! The same records give the past back: [`recover`] starts a frame from its newest snapshot,
//! [`Past`] tells anybody else what was, [`plan`] and [`retain`] say what of it may go.
//!
//! # Invariants
//!
//! * Nothing is executed that is not durable, and nothing answered that is not executed.
//! * Sequences have no gaps; journal time rises with every record.
//! * A replay of the journal, from its beginning or from a snapshot, gives the digests that the
//!   records carry, or stops at the first that differs.
#![forbid(unsafe_code)]

mod assemble;
mod control;
mod engine_stage;
mod halt;
mod images;
mod journal_stage;
pub mod limits;
mod marks;
mod metrics;
mod past;
mod payload;
mod recovery;
mod replayer;
mod retell;
mod retention;
mod sync_stage;
mod tap;
mod tick;
mod watchdog;

pub use assemble::{Boundary, Stages, Wiring, assemble};
pub use control::{Busy, Control, ControlHandle, Digests};
pub use engine_stage::EngineStage;
pub use halt::{Halt, Progress};
pub use images::{Choice, Image, Refused, Taken, choose, load, take};
pub use journal_stage::{JournalStage, Now};
pub use marks::{Executed, Marks, WatermarkError, Watermarks};
pub use metrics::{Metrics, StageMetrics};
pub use past::{Met, Past, PastError, Replay};
pub use payload::{PayloadError, Requests};
pub use recovery::{Recovered, Settled, Sources, StartError, recover};
pub use replayer::{ReplayError, Replayer, Step, genesis_of};
pub use retell::Retelling;
pub use retention::{
    Claims, Holder, Kept, RetainError, Retained, plan, prune, retain, retain_known, usable,
};
pub use sync_stage::SyncStage;
pub use tap::Tap;
pub use tick::{tick_command, tick_request};
pub use watchdog::{Cursors, Stage, Stall, Watchdog};
