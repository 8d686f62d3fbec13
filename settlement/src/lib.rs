//! Cuts to SQL, exactly once.
//!
//! Settlement copies what the engine holds into a database that others may query: final balances
//! of the accounts that changed, the supply vector, and with history on every posting. It never
//! gates a transfer: the journal is the truth, the database an untrusted, rebuildable copy.
//!
//! It does not open journals, does not know the engine, and does not read clocks: `server` hands it
//! a clock, a way to ask for cuts and a [`History`].
//!
//! ```text
//!  engine ──Cut──► Handle ─► Runner ── Settler (pure state machine)
//!  journal ─History──────────►  │
//!                               ▼
//!                       Sink: SqliteSink | PostgresSink
//!                 balances + supply + effects + watermark, one transaction
//! ```
//!
//! # Invariants
//!
//! * One transaction writes the rows of a batch and moves the watermark, and only over the
//!   watermark that was expected: every sequence is settled exactly once, whatever crashes when.
//! * Nothing is written to a database of another frame, of a newer epoch, ahead of the journal or
//!   with another history.
//! * A string key is answered from one snapshot of this frame's own, whole history, or not at all.
//! * Only `sqlite.rs`, `postgres.rs` and the texts under `sql/` know SQL.
//!
//! # Where to go next
//!
//! [`settler`] for the decisions, [`pace`] for how often, [`runner`] for the thread, [`sink`] for
//! the contract with a database, [`verify`] for the audit, [`keys`] for string keys,
//! [`entries`] for account history; `docs/settlement.md` for the tables.
#![forbid(unsafe_code)]

mod cast;
pub mod entries;
mod finding;
mod fitness;
pub mod history;
pub mod keys;
pub mod pace;
mod postgres;
pub mod runner;
mod schema;
pub mod settler;
pub mod sink;
mod sqlite;
pub mod status;
mod text;
mod verdict;
pub mod verify;
pub mod watermark;

pub use entries::{EntryDesk, EntryReader, EntrySource};
pub use finding::Finding;
pub use fitness::{Fitness, Trait};
pub use history::{Confirmation, History, HistoryError};
pub use keys::{KeyDesk, KeyReader, KeySource};
pub use pace::Pace;
pub use postgres::{PostgresEntries, PostgresKeys, PostgresSink, examine};
pub use runner::{Handle, Hooks, Inbox, Runner, channel};
pub use settler::{Settings, Settler};
pub use sink::{Batch, Sink, SinkError};
pub use sqlite::{SqliteEntries, SqliteKeys, SqliteSink};
pub use status::Status;
pub use verdict::{Alarm, Stop, judge};
pub use verify::ReadBack;
pub use watermark::Watermark;
