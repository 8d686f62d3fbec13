//! The past as settlement sees it while the frame runs: whether it contains a watermark found in a
//! database, and the postings of a range, rebuilt by replay.
//!
//! It refuses to guess about what is no longer kept. Invariant: it reads only what is durable.

use std::ops::ControlFlow;

use pipeline::{Met, Past, PastError};
use protocol::Sequence;
use settlement::history::EffectWriter;
use settlement::{Confirmation, History, HistoryError, SinkError, Watermark};

/// Looks things up in the journal and the snapshots of a running frame.
pub(crate) struct JournalHistory {
    past: Past,
    watermarks: journal::Watermarks,
    /// A watermark that recovery has met already.
    confirmed: Option<Watermark>,
}

impl JournalHistory {
    /// Over the past of a frame whose journal has `watermarks`.
    pub(crate) const fn new(
        past: Past,
        watermarks: journal::Watermarks,
        confirmed: Option<Watermark>,
    ) -> Self {
        Self { past, watermarks, confirmed }
    }
}

/// Whether the records through `until` contain the place at which `watermark` stands.
pub(crate) fn meet(
    past: &Past,
    watermark: &Watermark,
    until: u64,
) -> Result<Confirmation, PastError> {
    Ok(match past.boundary_at(watermark.next_sequence, until)? {
        Met::Record(header) if header.hash == watermark.chain_hash => Confirmation::Same,
        Met::Record(_) | Met::Inside => Confirmation::Different,
        Met::Ahead => Confirmation::Ahead,
        Met::Gone { .. } => Confirmation::TooOld,
    })
}

fn unread(error: PastError, wanted: Sequence) -> HistoryError {
    match error {
        // A snapshot that cannot be read now may be read, or put back, later.
        PastError::Gone { first, refused, .. } if refused.is_empty() => {
            HistoryError::TooShort { first, wanted }
        }
        error => HistoryError::Read(Box::new(error)),
    }
}

impl History for JournalHistory {
    fn confirm(&mut self, watermark: &Watermark) -> Result<Confirmation, HistoryError> {
        if self.confirmed.as_ref().is_some_and(|known| known.same_position(watermark)) {
            return Ok(Confirmation::Same);
        }
        let met = meet(&self.past, watermark, self.watermarks.durable());
        let met = met.map_err(|error| unread(error, watermark.next_sequence))?;
        if met == Confirmation::Same {
            self.confirmed = Some(watermark.clone());
        }
        Ok(met)
    }

    fn effects(
        &mut self,
        after: Sequence,
        through: Sequence,
        write: &mut EffectWriter<'_>,
    ) -> Result<(), SinkError> {
        let until = self.watermarks.durable();
        let told = self.past.effects(after, through, until, &mut |block| match write(block) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        });
        match told.map_err(|error| unread(error, Sequence(after.0 + 1)))? {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(error) => Err(error),
        }
    }
}
