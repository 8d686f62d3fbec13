//! Reading the entries of an account in the settled history: its postings, page by page, and where
//! a time lies among them.
//!
//! ```text
//!  EntryReader ─ bounded queue ─► EntryDesk (a thread) ─► EntrySource: SqliteEntries | Postgres…
//! ```
//!
//! It only reads, and a question looks at no more than [`WALK_MAX`] sequences, so that one about a
//! quiet account holds up the others only shortly. Invariant: an answer is of one snapshot of this
//! frame's own database, and what lies before a hole of it is named, never left out.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use protocol::Sequence;
use protocol::batch::SettledBatch;
use protocol::effect::Effect;
use protocol::entry::{EntryAnswer, EntryBoundary, EntryQuestion};
use protocol::feed::{Followed, Place};
use tokio::sync::oneshot;

use crate::cast::Column;
use crate::sink::SinkError;
use crate::watermark::{Stored, believe};

/// Questions that may wait; more are refused.
pub const WAITING_MAX: usize = 64;
/// Sequences that one question looks at.
pub const WALK_MAX: u64 = 1 << 18;

/// What a database holds of an account, all of it in one snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntrySnapshot {
    /// Frame, epoch and last settled sequence of its watermark, if it has one.
    pub watermark: Option<Stored>,
    /// What it says.
    pub answer: EntryAnswer,
}

/// A database that can be asked for entries. It connects by itself, and anew after a failure.
pub trait EntrySource: Send {
    /// What it is, for logs: never a password.
    fn name(&self) -> &str;

    /// Reads in one snapshot; answers or fails within seconds.
    ///
    /// # Errors
    ///
    /// Those of [`crate::Sink::connect`] and [`crate::Sink::watermark`].
    fn read(&mut self, question: &EntryQuestion) -> Result<EntrySnapshot, SinkError>;

    /// Where a time lies among the batches, of which frame and epoch they are.
    ///
    /// # Errors
    ///
    /// As [`Self::read`].
    fn boundary(&mut self, time_ns: u64) -> Result<(Option<Stored>, EntryBoundary), SinkError>;

    /// At most `batches_max` batches that end behind the sequence `after`, in order, of which frame
    /// and epoch they are.
    ///
    /// # Errors
    ///
    /// As [`Self::read`].
    fn batches(
        &mut self,
        after: u64,
        batches_max: u32,
    ) -> Result<(Option<Stored>, Vec<SettledBatch>), SinkError>;
}

/// Why there is no answer.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EntryError {
    /// Too many questions wait.
    #[error("{WAITING_MAX} questions are waiting already; ask again")]
    Busy,
    /// The database did not answer, or may not be believed.
    #[error(transparent)]
    Database(Arc<SinkError>),
    /// Nobody answers any more.
    #[error("the frame is stopping; ask again when it is back")]
    Ended,
}

type Answering<T> = oneshot::Sender<Result<T, EntryError>>;

#[derive(Debug)]
enum Question {
    Read(EntryQuestion, Answering<EntryAnswer>),
    Boundary(u64, Answering<EntryBoundary>),
    Batches(u64, u32, Answering<Vec<SettledBatch>>),
}

/// The asking end; clones ask the same desk.
#[derive(Clone, Debug)]
pub struct EntryReader {
    questions: SyncSender<Question>,
}

impl EntryReader {
    /// Reads entries. Dropping the future withdraws the question.
    ///
    /// # Errors
    ///
    /// [`EntryError`]: nothing is known of the account.
    pub async fn read(&self, question: EntryQuestion) -> Result<EntryAnswer, EntryError> {
        self.ask(|answer| Question::Read(question, answer)).await
    }

    /// Where a time lies in what is settled.
    ///
    /// # Errors
    ///
    /// As [`Self::read`].
    pub async fn boundary(&self, time_ns: u64) -> Result<EntryBoundary, EntryError> {
        self.ask(|answer| Question::Boundary(time_ns, answer)).await
    }

    /// Batches that end behind the sequence `after`, at most `batches_max`.
    ///
    /// # Errors
    ///
    /// As [`Self::read`].
    pub async fn batches(
        &self,
        after: u64,
        batches_max: u32,
    ) -> Result<Vec<SettledBatch>, EntryError> {
        self.ask(|answer| Question::Batches(after, batches_max, answer)).await
    }

    async fn ask<T>(
        &self,
        question: impl FnOnce(Answering<T>) -> Question,
    ) -> Result<T, EntryError> {
        let (answer, answered) = oneshot::channel();
        self.questions.try_send(question(answer)).map_err(|refused| match refused {
            TrySendError::Full(_) => EntryError::Busy,
            TrySendError::Disconnected(_) => EntryError::Ended,
        })?;
        answered.await.unwrap_or(Err(EntryError::Ended))
    }
}

/// The answering end: the body of a thread that may wait for the database.
#[derive(Debug)]
pub struct EntryDesk<S> {
    source: S,
    /// Frame, and the epoch of its engine.
    ours: (u128, u64),
    questions: Receiver<Question>,
    is_failing: bool,
}

/// Makes both ends for `frame`, whose engine is of `epoch`.
pub fn desk<S: EntrySource>(source: S, frame: u128, epoch: u64) -> (EntryReader, EntryDesk<S>) {
    let (asking, questions) = sync_channel(WAITING_MAX);
    let desk = EntryDesk { source, ours: (frame, epoch), questions, is_failing: false };
    (EntryReader { questions: asking }, desk)
}

impl<S: EntrySource> EntryDesk<S> {
    /// Answers until every reader is gone.
    pub fn run(mut self) {
        while let Ok(question) = self.questions.recv() {
            match question {
                Question::Read(question, answer) if !answer.is_closed() => {
                    let read = self.read(&question);
                    self.tell(read, answer);
                }
                Question::Boundary(time_ns, answer) if !answer.is_closed() => {
                    let found = self.boundary(time_ns);
                    self.tell(found, answer);
                }
                Question::Batches(after, batches_max, answer) if !answer.is_closed() => {
                    let found = self.batches(after, batches_max);
                    self.tell(found, answer);
                }
                // Whoever asked is gone.
                Question::Read(..) | Question::Boundary(..) | Question::Batches(..) => {}
            }
        }
    }

    fn read(&mut self, question: &EntryQuestion) -> Result<EntryAnswer, SinkError> {
        let EntrySnapshot { watermark, answer } = self.source.read(question)?;
        believe(watermark, self.ours)?;
        Ok(answer)
    }

    fn boundary(&mut self, time_ns: u64) -> Result<EntryBoundary, SinkError> {
        let (watermark, boundary) = self.source.boundary(time_ns)?;
        believe(watermark, self.ours)?;
        Ok(boundary)
    }

    fn batches(&mut self, after: u64, batches_max: u32) -> Result<Vec<SettledBatch>, SinkError> {
        let (watermark, batches) = self.source.batches(after, batches_max)?;
        believe(watermark, self.ours)?;
        Ok(batches)
    }

    fn tell<T>(&mut self, told: Result<T, SinkError>, answer: Answering<T>) {
        let source = self.source.name();
        match &told {
            Ok(_) if std::mem::take(&mut self.is_failing) => {
                tracing::info!(source, "entries are answered again");
            }
            Err(error) if !std::mem::replace(&mut self.is_failing, true) => {
                tracing::warn!(source, %error, "entries are not answered");
            }
            _ => {}
        }
        // Whoever asked may be gone.
        let _ = answer.send(told.map_err(|error| EntryError::Database(Arc::new(error))));
    }
}

/// The sequences that a question looks at, and the turn behind which it begins in the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    /// Nothing of this sequence or before it.
    pub(crate) after: u64,
    /// Through this one.
    pub(crate) through: u64,
    /// Of this sequence only what comes behind `turn`.
    pub(crate) first: u64,
    pub(crate) turn: u16,
}

impl Window {
    /// Of `question`, when everything through `settled` is there.
    pub(crate) fn of(question: &EntryQuestion, settled: Sequence) -> Self {
        let after = question.after.whole();
        // Of everybody there is something at nearly every sequence.
        let walk = if question.owner.is_some() { WALK_MAX } else { question.entries_max.into() };
        let end = question.through.min(settled.0).min(after.saturating_add(walk));
        let (first, turn) = (question.after.sequence(), question.after.turn());
        Self { after, through: end.max(after), first, turn }
    }

    /// How far `entries`, the first of those in the window and at most `entries_max`, reach.
    pub(crate) fn reached(&self, question: &EntryQuestion, entries: &[Followed]) -> Place {
        let end = match entries.last() {
            Some(last) if entries.len() >= question.entries_max as usize => last.place(),
            _ => Place::after(self.through),
        };
        end.max(question.after)
    }
}

/// A sequence or time that somebody asks for, as SQL holds it: none that is stored is larger.
pub(crate) fn bound(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Behind which sequence the rows have no hole: the first batch's, and the last hole.
pub(crate) fn whole_behind(first: Option<i64>, hole: Option<i64>) -> Result<u64, SinkError> {
    let column = |column| Column { table: "settlement_batches", column };
    let first: u64 = column("from_sequence").number(first.unwrap_or(0))?;
    let hole: u64 = column("through_sequence").number(hole.unwrap_or(0))?;
    Ok(first.saturating_sub(1).max(hole))
}

/// A row of `settlement_batches` as both databases give it: batch, both sequences, epoch, whether
/// it is complete, accounts, effects, hash, digest, time.
pub(crate) type RawBatch = (i64, i64, i64, i64, bool, i64, Option<i64>, Vec<u8>, Vec<u8>, i64);

/// Reads such a row.
pub(crate) fn batch(raw: &RawBatch) -> Result<SettledBatch, SinkError> {
    let (batch, from, through, epoch, is_complete, accounts, effects, hash, digest, time) = raw;
    let column = |column| Column { table: "settlement_batches", column };
    Ok(SettledBatch {
        batch: column("batch").number(*batch)?,
        from: column("from_sequence").number(*from)?,
        through: column("through_sequence").number(*through)?,
        epoch: column("epoch").number(*epoch)?,
        is_complete: *is_complete,
        accounts: column("accounts").number(*accounts)?,
        effects: effects.map(|effects| column("effects").number(effects)).transpose()?,
        chain_hash: column("chain_hash").bytes(hash)?,
        run_digest: column("run_digest").bytes(digest)?,
        timestamp_ns: column("timestamp_ns").number(*time)?,
    })
}

/// A row as both databases give it: sequence, leg, event, asset, debit, its bucket, credit, its
/// bucket, amount, both balances, rate, reference, user data, and the time of the batch.
pub(crate) type Raw = (
    i64,
    i64,
    i64,
    i64,
    Option<String>,
    i64,
    Option<String>,
    i64,
    String,
    String,
    String,
    i64,
    Option<String>,
    String,
    Option<i64>,
);

/// Reads a row.
pub(crate) fn entry(raw: Raw) -> Result<Followed, SinkError> {
    let (sequence, leg, event, asset, debit, debit_bucket, credit, credit_bucket, ..) = &raw;
    let (.., amount, debit_after, credit_after, rate, reference, user_data, time) = &raw;
    let column = |column| Column { table: "effects", column };
    let id =
        |name, text: &Option<String>| text.as_deref().map_or(Ok(0), |text| column(name).uuid(text));
    let time = time.ok_or_else(|| column("sequence").unreadable(sequence))?;
    let effect = Effect {
        sequence: column("sequence").number(*sequence)?,
        leg: column("leg").number(*leg)?,
        event: column("event").number(*event)?,
        asset: column("asset").number(*asset)?,
        debit: id("debit", debit)?,
        credit: id("credit", credit)?,
        amount: column("amount").decimal(amount)?,
        debit_after: column("debit_after").decimal(debit_after)?,
        credit_after: column("credit_after").decimal(credit_after)?,
        reference: id("reference", reference)?,
        user_data: column("user_data").decimal(user_data)?,
        rate: column("rate").number(*rate)?,
        debit_bucket: column("debit_bucket").number(*debit_bucket)?,
        credit_bucket: column("credit_bucket").number(*credit_bucket)?,
        reserved: 0,
    };
    let times = Column { table: "settlement_batches", column: "timestamp_ns" };
    Ok(Followed { effect, timestamp_ns: times.number(time)?, ..Followed::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(after: Place, through: u64) -> EntryQuestion {
        EntryQuestion { owner: Some(1), asset: None, after, through, entries_max: 2 }
    }

    #[test]
    fn a_window_ends_where_the_question_the_database_or_patience_ends() {
        let end = |after, through, settled| {
            Window::of(&question(after, through), Sequence(settled)).through
        };
        let after = Place::after(10);
        assert_eq!(end(after, 50, 100), 50);
        assert_eq!(end(after, 150, 100), 100);
        assert_eq!(end(after, u64::MAX, u64::MAX), 10 + WALK_MAX);
        assert_eq!(end(after, 50, 3), 10, "an older copy takes nothing back");
        assert_eq!(Window::of(&question(Place::of(7, 0), 50), Sequence(9)).after, 6);
    }

    #[test]
    fn a_full_answer_reaches_its_last_entry_and_any_other_the_end() {
        let question = question(Place::after(10), 50);
        let window = Window::of(&question, Sequence(40));
        let at = |sequence| Followed {
            effect: Effect { sequence, ..Effect::default() },
            ..Followed::default()
        };
        assert_eq!(window.reached(&question, &[at(12), at(13)]), Place::of(13, 0));
        assert_eq!(window.reached(&question, &[at(12)]), Place::after(40));
        assert_eq!(window.reached(&question, &[]), Place::after(40));
    }

    #[test]
    fn rows_are_whole_behind_the_first_batch_and_the_last_hole() {
        assert_eq!(whole_behind(None, None).unwrap(), 0);
        assert_eq!(whole_behind(Some(1), None).unwrap(), 0);
        assert_eq!(whole_behind(Some(41), None).unwrap(), 40);
        assert_eq!(whole_behind(Some(1), Some(70)).unwrap(), 70);
        assert!(whole_behind(Some(-1), None).is_err());
    }
}
