//! Looking string keys up in the settled history (H17): what became of the command that used a
//! key, or through which sequence nobody did.
//!
//! ```text
//!  KeyReader::find ─┐
//!  KeyReader::find ─┼─ bounded queue ─► KeyDesk (a thread) ─► KeySource: SqliteKeys | PostgresKeys
//!  KeyReader::find ─┘                   asks for all that has gathered, in one snapshot
//! ```
//!
//! It only reads, and decides nothing: whether a key may be executed is the engine's to say. Its
//! invariant: an answer and its sequence are of one snapshot of this frame's own database, whose
//! history has no hole; anything else is an error, never "not found".

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use protocol::Sequence;
use tokio::sync::oneshot;

use crate::cast::Column;
use crate::sink::SinkError;
use crate::watermark::{Stored, believe};

/// Questions that may wait; more are refused.
pub const WAITING_MAX: usize = 4_096;
/// Questions asked in one snapshot.
pub const GROUP_MAX: usize = 256;

/// A string key, as its hash, in the scope of its principal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Whose it is.
    pub principal: u128,
    /// [`protocol::key::id`] of it.
    pub hash: u128,
}

/// The command that used a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyUse {
    /// Its sequence.
    pub sequence: Sequence,
    /// Number of its status: ok or a refusal.
    pub status: u16,
    /// Fee rate that it paid, in millionths.
    pub rate: u32,
    /// Digest of its body.
    pub digest: u128,
}

/// What the settled history says of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyAnswer {
    /// Last sequence that was settled when it was asked.
    pub settled_through: Sequence,
    /// The command that used it first, if one did.
    pub found: Option<KeyUse>,
}

/// What a database holds of some keys, all of it in one snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySnapshot {
    /// Frame, epoch and last settled sequence of its watermark, if it has one.
    pub watermark: Option<Stored>,
    /// A batch that was settled without its postings, if there is one.
    pub hole: Option<i64>,
    /// For each key asked, the command that used it first.
    pub uses: Vec<Option<KeyUse>>,
}

/// A database that can be asked for keys. It connects by itself, and anew after a failure.
pub trait KeySource: Send {
    /// What it is, for logs: never a password.
    fn name(&self) -> &str;

    /// Looks `keys` up in one snapshot; answers or fails within seconds.
    ///
    /// # Errors
    ///
    /// Those of [`crate::Sink::connect`] and [`crate::Sink::watermark`].
    fn find(&mut self, keys: &[Key]) -> Result<KeySnapshot, SinkError>;
}

/// Why there is no answer.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
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

#[derive(Debug)]
struct Question {
    key: Key,
    answer: oneshot::Sender<Result<KeyAnswer, KeyError>>,
}

/// The asking end; clones ask the same desk.
#[derive(Clone, Debug)]
pub struct KeyReader {
    questions: SyncSender<Question>,
}

impl KeyReader {
    /// Asks what became of `key`. Dropping the future withdraws the question.
    ///
    /// # Errors
    ///
    /// [`KeyError`]: nothing is known of the key.
    pub async fn find(&self, key: Key) -> Result<KeyAnswer, KeyError> {
        let (answer, answered) = oneshot::channel();
        self.questions.try_send(Question { key, answer }).map_err(|refused| match refused {
            TrySendError::Full(_) => KeyError::Busy,
            TrySendError::Disconnected(_) => KeyError::Ended,
        })?;
        answered.await.unwrap_or(Err(KeyError::Ended))
    }
}

/// The answering end: the body of a thread that may wait for the database.
#[derive(Debug)]
pub struct KeyDesk<S> {
    source: S,
    frame: u128,
    epoch: u64,
    questions: Receiver<Question>,
    is_failing: bool,
}

/// Makes both ends for `frame`, whose engine is of `epoch`.
pub fn desk<S: KeySource>(source: S, frame: u128, epoch: u64) -> (KeyReader, KeyDesk<S>) {
    let (asking, questions) = sync_channel(WAITING_MAX);
    let desk = KeyDesk { source, frame, epoch, questions, is_failing: false };
    (KeyReader { questions: asking }, desk)
}

impl<S: KeySource> KeyDesk<S> {
    /// Answers until every reader is gone.
    pub fn run(mut self) {
        let mut group = Vec::with_capacity(GROUP_MAX);
        while let Ok(first) = self.questions.recv() {
            group.push(first);
            group.extend(self.questions.try_iter().take(GROUP_MAX - 1));
            group.retain(|question| !question.answer.is_closed());
            self.answer(&mut group);
        }
    }

    fn answer(&mut self, group: &mut Vec<Question>) {
        if group.is_empty() {
            return;
        }
        let keys: Vec<Key> = group.iter().map(|question| question.key).collect();
        match self.ask(&keys) {
            Ok(answers) => {
                if std::mem::take(&mut self.is_failing) {
                    tracing::info!(source = self.source.name(), "keys are answered again");
                }
                for (question, answer) in group.drain(..).zip(answers) {
                    // Whoever asked may be gone.
                    let _ = question.answer.send(Ok(answer));
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut self.is_failing, true) {
                    tracing::warn!(source = self.source.name(), %error, "keys are not answered");
                }
                // Those that came meanwhile have waited for the same database.
                group.extend(self.questions.try_iter().take(WAITING_MAX));
                let error = KeyError::Database(Arc::new(error));
                for question in group.drain(..) {
                    let _ = question.answer.send(Err(error.clone()));
                }
            }
        }
    }

    fn ask(&mut self, keys: &[Key]) -> Result<Vec<KeyAnswer>, SinkError> {
        let snapshot = self.source.find(keys)?;
        assert_eq!(snapshot.uses.len(), keys.len(), "a source answers each key");
        let settled_through = self.believe(&snapshot)?;
        Ok(snapshot.uses.into_iter().map(|found| KeyAnswer { settled_through, found }).collect())
    }

    /// Through which sequence the snapshot speaks, if it is this frame's and whole.
    fn believe(&self, snapshot: &KeySnapshot) -> Result<Sequence, SinkError> {
        let through = believe(snapshot.watermark, (self.frame, self.epoch))?;
        if let Some(batch) = snapshot.hole {
            return Err(SinkError::Hole { batch });
        }
        let late = snapshot.uses.iter().flatten().find(|found| found.sequence > through);
        late.map_or(Ok(through), |late| Err(SEQUENCE.unreadable(late.sequence)))
    }
}

const TABLE: &str = "effects";
const SEQUENCE: Column = Column { table: TABLE, column: "sequence" };

/// Reads the row of a use, whose amounts come as text.
pub(crate) fn key_use(
    sequence: i64,
    amount: &str,
    user_data: &str,
    rate: i64,
) -> Result<KeyUse, SinkError> {
    let column = |column| Column { table: TABLE, column };
    Ok(KeyUse {
        sequence: Sequence(SEQUENCE.number(sequence)?),
        status: column("user_data").decimal(user_data)?,
        rate: column("rate").number(rate)?,
        digest: column("amount").decimal(amount)?,
    })
}

#[cfg(test)]
#[path = "keys_test.rs"]
mod tests;
