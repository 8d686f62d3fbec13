//! What the HTTPS door asks of the settled history: entries of accounts, and its batches.
//!
//! It judges no right. Invariant: an answer that did not come is an error, never "no entries".

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use protocol::batch::SettledBatch;
use protocol::entry::{EntryAnswer, EntryBoundary, EntryQuestion};

/// The settled history did not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the settled history does not answer: {0}")]
pub struct EntryHistoryError(pub Box<str>);

/// An answer to come.
pub type EntryAnswering<'a, T> =
    Pin<Box<dyn Future<Output = Result<T, EntryHistoryError>> + Send + 'a>>;

/// Where entries are read.
pub trait EntryHistory: fmt::Debug + Send + Sync {
    /// Through which sequence everything is settled and known to be this journal's.
    fn settled(&self) -> u64;
    /// Reads entries, of no more than is settled.
    fn read(&self, question: EntryQuestion) -> EntryAnswering<'_, EntryAnswer>;
    /// Where a time lies in what is settled.
    fn boundary(&self, time_ns: u64) -> EntryAnswering<'_, EntryBoundary>;
}

/// Where the batches of settlement are read.
pub trait BatchHistory: fmt::Debug + Send + Sync {
    /// Through which sequence everything is settled and known to be this journal's.
    fn settled(&self) -> u64;
    /// Whether nothing more is settled until the frame starts again.
    fn has_ended(&self) -> bool;
    /// At most `batches_max` batches that end behind the sequence `after`, in order.
    fn batches(&self, after: u64, batches_max: u32) -> EntryAnswering<'_, Vec<SettledBatch>>;
}
