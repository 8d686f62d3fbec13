//! The journal as settlement sees it, over the simulated disk; the same walk as the server's.
//! Invariant: it reads only what is durable.

use std::sync::Arc;

use engine::Options;
use journal::Reader;
use pipeline::Replayer;
use protocol::Sequence;
use protocol::cut::Effects;
use settlement::history::EffectWriter;
use settlement::{Confirmation, History, HistoryError, SinkError, Watermark};

use crate::disk::SimDisk;

pub(crate) struct SimHistory {
    disk: SimDisk,
    watermarks: journal::Watermarks,
}

impl SimHistory {
    pub(crate) const fn new(disk: SimDisk, watermarks: journal::Watermarks) -> Self {
        Self { disk, watermarks }
    }

    fn reader(&self) -> Result<Reader, HistoryError> {
        let storage = Arc::new(self.disk.clone());
        Reader::open_range(storage, 1, self.watermarks.durable()).map_err(read_error)
    }
}

fn read_error(error: impl std::error::Error + Send + Sync + 'static) -> HistoryError {
    HistoryError::Read(Box::new(error))
}

impl History for SimHistory {
    fn confirm(&mut self, watermark: &Watermark) -> Result<Confirmation, HistoryError> {
        let wanted = watermark.next_sequence.0;
        let mut reader = self.reader()?;
        let mut next = 1;
        while let Some((header, _)) = reader.next().map_err(read_error)? {
            next = header.next_sequence();
            if next == wanted && header.hash == watermark.chain_hash {
                return Ok(Confirmation::Same);
            }
            if next > wanted {
                return Ok(Confirmation::Different);
            }
        }
        Ok(if next < wanted { Confirmation::Ahead } else { Confirmation::Different })
    }

    fn effects(
        &mut self,
        after: Sequence,
        through: Sequence,
        write: &mut EffectWriter<'_>,
    ) -> Result<(), SinkError> {
        let mut reader = self.reader()?;
        let mut replayer = Replayer::new(Options { history: true, effects_max: usize::MAX });
        while let Some((header, payload)) = reader.next().map_err(read_error)? {
            replayer.apply(header, payload, |_| ()).map_err(read_error)?;
            let Some(engine) = replayer.engine_mut() else {
                continue;
            };
            if engine.executed() <= after {
                engine.discard_changes();
                continue;
            }
            engine.open_cut(false);
            if let Some(Effects::All(mut effects)) =
                engine.cut_step(usize::MAX).map(|cut| cut.effects)
            {
                effects.retain(|effect| (after.0 + 1..=through.0).contains(&effect.sequence));
                write(&effects)?;
            }
            if engine.executed() >= through {
                break;
            }
        }
        Ok(())
    }
}
