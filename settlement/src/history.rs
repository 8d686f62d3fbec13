//! What the journal can say about the past: whether it contains a watermark, and the postings of
//! a range. `server` implements it with the Replayer; this crate never opens a journal.
//!
//! Its invariant: effects are delivered in journal order, each once.

use protocol::Sequence;
use protocol::effect::Effect;

use crate::sink::{Cause, SinkError};
use crate::watermark::Watermark;

/// What the journal says about a watermark found in a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirmation {
    /// It is a record boundary of this journal, with that hash and digest.
    Same,
    /// The sequence is in this journal, but no boundary there has that hash and digest.
    Different,
    /// The journal ends before it.
    Ahead,
    /// The journal no longer reaches back to it.
    TooOld,
}

/// Why the journal could not answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// Retention has dropped what is asked for.
    #[error(
        "the journal begins at sequence {first}, the database needs it from {wanted}: restore a \
         newer database or older journal segments"
    )]
    TooShort {
        /// First sequence the journal still has.
        first: Sequence,
        /// First sequence needed.
        wanted: Sequence,
    },
    /// The journal could not be read.
    #[error("the journal could not be read back: {0}")]
    Read(#[source] Cause),
}

/// Takes blocks of effects in order.
pub type EffectWriter<'a> = dyn FnMut(&[Effect]) -> Result<(), SinkError> + 'a;

/// The journal as settlement sees it.
pub trait History {
    /// Looks `watermark` up in the journal. Several records may end at one sequence (a record may
    /// hold no command): any of them confirms it.
    ///
    /// # Errors
    ///
    /// [`HistoryError`] when the journal cannot be read.
    fn confirm(&mut self, watermark: &Watermark) -> Result<Confirmation, HistoryError>;

    /// Delivers the effects of every sequence in `after < sequence ≤ through`, in journal order, in
    /// blocks of bounded size.
    ///
    /// # Errors
    ///
    /// What `write` refuses, passed on as it is, or [`SinkError::History`].
    fn effects(
        &mut self,
        after: Sequence,
        through: Sequence,
        write: &mut EffectWriter<'_>,
    ) -> Result<(), SinkError>;
}
