//! The reply to a request, as the caller sees it.
//!
//! Invariant: a reply of commands holds either one outcome for each of them, in order, or the
//! refusal of the whole request.

use protocol::answer::Answer;
use protocol::reply::{Decoded, Outcome, Reply as Head};
use protocol::{Sequence, Status};

use crate::receipt::Receipt;

/// What the frame answered.
#[derive(Clone, Debug)]
pub struct Reply(pub(crate) Decoded);

impl Reply {
    /// One outcome for each command, in order; empty when the whole request was refused.
    #[must_use]
    pub fn outcomes(&self) -> &[Outcome] {
        &self.0.outcomes
    }

    /// Why nothing of the request was sequenced, e.g. because the journal is full.
    #[must_use]
    pub const fn refused(&self) -> Option<Status> {
        self.0.refused
    }

    /// Whether every command was executed now; a repeat counts as not.
    #[must_use]
    pub const fn is_all_ok(&self) -> bool {
        self.0.refused.is_none() && self.0.head.exceptions == 0
    }

    /// The first refusal, of the whole request or of a command.
    #[must_use]
    pub fn first_refusal(&self) -> Option<Status> {
        let of_commands = || self.0.outcomes.iter().find(|outcome| !outcome.status.is_ok());
        self.0.refused.or_else(|| of_commands().map(|outcome| outcome.status))
    }

    /// Sequence of the first command; of reads, the executed sequence that they saw.
    #[must_use]
    pub const fn first_sequence(&self) -> Sequence {
        Sequence(self.0.head.first_sequence)
    }

    /// Answers to reads, in order.
    #[must_use]
    pub fn answers(&self) -> &[Answer] {
        &self.0.answers
    }

    /// Where its time went in the frame.
    #[must_use]
    pub const fn receipt(&self) -> Receipt {
        Receipt::new(self.0.head.stamps)
    }

    /// The head, with the journal time and the stamps of the stages.
    #[must_use]
    pub const fn head(&self) -> &Head {
        &self.0.head
    }
}
