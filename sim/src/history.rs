//! The past as settlement sees it, over the simulated disk: what the server does with the same
//! `pipeline::Past`. Invariant: it reads only what is durable.

use std::ops::ControlFlow;

use pipeline::{Met, Past, PastError};
use protocol::Sequence;
use settlement::history::EffectWriter;
use settlement::{Confirmation, History, HistoryError, SinkError, Watermark};

pub(crate) struct SimHistory {
    past: Past,
    watermarks: journal::Watermarks,
}

impl SimHistory {
    pub(crate) const fn new(past: Past, watermarks: journal::Watermarks) -> Self {
        Self { past, watermarks }
    }
}

fn unread(error: PastError, wanted: Sequence) -> HistoryError {
    match error {
        PastError::Gone { first, refused, .. } if refused.is_empty() => {
            HistoryError::TooShort { first, wanted }
        }
        error => HistoryError::Read(Box::new(error)),
    }
}

impl History for SimHistory {
    fn confirm(&mut self, watermark: &Watermark) -> Result<Confirmation, HistoryError> {
        let next = watermark.next_sequence;
        let met = self.past.boundary_at(next, self.watermarks.durable());
        Ok(match met.map_err(|error| unread(error, next))? {
            Met::Record(header) if header.hash == watermark.chain_hash => Confirmation::Same,
            Met::Record(_) | Met::Inside => Confirmation::Different,
            Met::Ahead => Confirmation::Ahead,
            Met::Gone { .. } => Confirmation::TooOld,
        })
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
