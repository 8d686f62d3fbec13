//! The journal as settlement sees it while the frame runs: whether it contains a watermark found
//! in a database, and the postings of a range, rebuilt by replay. Reads only what is durable.

use std::path::PathBuf;
use std::sync::Arc;

use engine::Options;
use journal::{MappedStorage, Reader};
use pipeline::Replayer;
use protocol::Sequence;
use protocol::cut::Effects;
use protocol::effect::Effect;
use settlement::history::EffectWriter;
use settlement::{Confirmation, History, HistoryError, SinkError, Watermark};

/// Effects handed over at once while a range is rebuilt.
const EFFECTS_PER_BLOCK: usize = 65_536;

/// Looks things up in the journal of a running frame.
pub(crate) struct JournalHistory {
    dir: PathBuf,
    watermarks: journal::Watermarks,
    /// A watermark that recovery has met already.
    confirmed: Option<Watermark>,
}

impl JournalHistory {
    /// Over the journal in `dir`.
    pub(crate) const fn new(
        dir: PathBuf,
        watermarks: journal::Watermarks,
        confirmed: Option<Watermark>,
    ) -> Self {
        Self { dir, watermarks, confirmed }
    }

    fn reader(&self) -> Result<Reader, HistoryError> {
        let storage = Arc::new(MappedStorage::new(&self.dir));
        Reader::open_range(storage, 1, self.watermarks.durable()).map_err(read_error)
    }
}

fn read_error(error: impl std::error::Error + Send + Sync + 'static) -> HistoryError {
    HistoryError::Read(Box::new(error))
}

impl History for JournalHistory {
    fn confirm(&mut self, watermark: &Watermark) -> Result<Confirmation, HistoryError> {
        if self.confirmed.as_ref().is_some_and(|known| known.same_position(watermark)) {
            return Ok(Confirmation::Same);
        }
        let wanted = watermark.next_sequence.0;
        let mut reader = self.reader()?;
        let mut next = 1;
        while let Some((header, _)) = reader.next().map_err(read_error)? {
            next = header.next_sequence();
            if next == wanted && header.hash == watermark.chain_hash {
                self.confirmed = Some(watermark.clone());
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
        let options = Options { history: true, effects_max: usize::MAX };
        let mut replayer = Replayer::new(options);
        let mut block: Vec<Effect> = Vec::new();
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
            let cut = engine.cut_step(usize::MAX);
            if let Some(Effects::All(effects)) = cut.map(|cut| cut.effects) {
                let wanted = |effect: &Effect| (after.0 + 1..=through.0).contains(&effect.sequence);
                block.extend(effects.into_iter().filter(wanted));
            }
            let is_over = engine.executed() >= through;
            if is_over || block.len() >= EFFECTS_PER_BLOCK {
                write(&block)?;
                block.clear();
            }
            if is_over {
                break;
            }
        }
        Ok(())
    }
}
