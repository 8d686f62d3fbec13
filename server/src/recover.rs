//! From files to a running engine: the journal is verified in one pass and replayed from the newest
//! snapshot that can be used, else from its beginning; a torn tail is cut off, and what SQL has
//! settled already is told apart on the way.

use std::io::IsTerminal as _;
use std::path::Path;
use std::sync::Arc;

use engine::{Engine, Options};
use indicatif::{ProgressBar, ProgressStyle};
use journal::{
    Expect, FaultKind, Journal, MappedStorage, Reader, RecordHeader, RecoverError, Recovery,
};
use pipeline::{Boundary, Image, Replayer, genesis_of};
use protocol::genesis::{Genesis, RULES};
use settlement::Watermark;
use snapshot::{CheckError, Meta};

use crate::config::Config;
use crate::exit::{Exit, Failure, OrExit as _};
use crate::images;

/// Postings that wait for the next cut before they are rebuilt from the journal instead.
pub(crate) const EFFECTS_MAX: usize = 1 << 20;

/// A frame as its journal says.
pub(crate) struct Recovered {
    /// The journal, its torn tail cut off.
    pub(crate) journal: Journal,
    /// What recovery found and did.
    pub(crate) report: Recovery,
    /// The engine after the last record.
    pub(crate) engine: Engine,
    /// The last record of commands.
    pub(crate) boundary: Boundary,
    /// Its index.
    pub(crate) index: u64,
    /// The snapshot from which the replay went on.
    pub(crate) snapshot: Option<String>,
    /// The watermark found in SQL, if the journal contains it.
    pub(crate) confirmed: Option<Watermark>,
}

/// The engine's local settings.
pub(crate) const fn options(config: &Config) -> Options {
    Options { history: config.history, effects_max: EFFECTS_MAX }
}

/// Recovers the journal of `config`; `settled` is what SQL says, if it could be asked.
pub(crate) fn recover(config: &Config, settled: Option<&Watermark>) -> Result<Recovered, Failure> {
    let dir = config.journal_dir();
    let bar = progress_bar(&dir);
    // Another frame's database says nothing about what was durable here.
    let frame = frame_of(&dir)?;
    let settled = settled.filter(|watermark| watermark.frame == frame);
    // What is settled is compared on the way, and a replay does not run backwards.
    let wanted = |meta: &Meta| settled.is_none_or(|mark| meta.sequence <= mark.through());
    let choice = pipeline::choose(&images::catalogue(config, frame), options(config), wanted)
        .or_exit(Exit::Io, "the snapshots")?;
    images::warn(&choice.refused);
    let (mut replayer, base) = begin(config, choice.image);
    let mut confirmed = settled.filter(|watermark| is_at(watermark, &replayer)).cloned();
    let mut visit = |header: &RecordHeader, payload: &[u8]| {
        if let Some(base) = base.as_ref().filter(|base| header.index <= base.meta.index) {
            bar.inc(header.record_len());
            return base.judge(header, payload);
        }
        replayer.apply(header, payload, |_| ())?;
        bar.inc(header.record_len());
        if let Some(watermark) = settled.filter(|watermark| is_at(watermark, &replayer)) {
            confirmed = Some(watermark.clone());
            replayer.engine_mut().expect("a record was applied").discard_changes();
        }
        Ok(())
    };
    let expect = Expect {
        rules_max: RULES,
        durable_index_floor: choice.durable_index,
        durable_sequence_floor: settled.map_or(0, |watermark| watermark.through().0),
        ..Expect::default()
    };
    let storage = Arc::new(MappedStorage::new(&dir));
    let settings = journal::Config { segment_size: config.segment_bytes };
    let recovered = Journal::recover_with(storage, settings, expect, &mut visit);
    let (journal, report) = recovered.map_err(|error| failure(&error))?;
    bar.finish_and_clear();
    let (boundary, index) = (replayer.boundary(), replayer.index());
    let engine = replayer.into_engine().expect("a recovered journal begins with its genesis");
    let snapshot = base.map(|base| base.name);
    Ok(Recovered { journal, report, engine, boundary, index, snapshot, confirmed })
}

/// The snapshot from which a replay goes on.
struct Base {
    meta: Meta,
    genesis: Genesis,
    name: String,
}

impl Base {
    /// Whether a record that is not replayed is the one that the snapshot was taken after.
    fn judge(&self, header: &RecordHeader, payload: &[u8]) -> Result<(), CheckError> {
        let is_ours = match header.index {
            1 => genesis_of(header, payload)? == self.genesis,
            _ => true,
        };
        if is_ours && (header.index < self.meta.index || header.hash == self.meta.chain_hash) {
            return Ok(());
        }
        let name = &self.name;
        Err(format!(
            "{name} was taken of another history; restore the journal that belongs to it, or move \
             it out of the directory"
        )
        .into())
    }
}

/// A replay from the image, or from the beginning.
fn begin(config: &Config, image: Option<Image>) -> (Replayer, Option<Base>) {
    let Some(Image { engine, meta, name }) = image else {
        return (Replayer::new(options(config)), None);
    };
    let base = Base { meta, genesis: engine.genesis().clone(), name };
    let boundary = Boundary { epoch: meta.epoch, chain_hash: meta.chain_hash };
    (Replayer::resume(options(config), engine, boundary, meta.index), Some(base))
}

/// The frame that the journal's first record names.
pub(crate) fn frame_of(dir: &Path) -> Result<u128, Failure> {
    let failed = |error| failure(&error);
    let mut reader = Reader::open_range(Arc::new(MappedStorage::new(dir)), 1, 1).map_err(failed)?;
    let first = reader.next().map_err(failed)?;
    let missing = || Failure::new(Exit::NotFound, "the journal has no genesis record");
    first.map(|(header, _)| header.frame).ok_or_else(missing)
}

/// Whether the replay stands exactly where `watermark` does.
pub(crate) fn is_at(watermark: &Watermark, replayer: &Replayer) -> bool {
    replayer.engine().is_some_and(|engine| {
        watermark.through() == engine.executed()
            && watermark.chain_hash == replayer.boundary().chain_hash
            && watermark.run_digest == engine.run_digest()
    })
}

/// Maps a recovery error to what the process ends with.
pub(crate) fn failure(error: &RecoverError) -> Failure {
    let exit = match error.kind() {
        FaultKind::Locked => Exit::Temporary,
        FaultKind::Missing => Exit::NotFound,
        FaultKind::WrongFrame => Exit::Mismatch,
        FaultKind::Format => Exit::Config,
        FaultKind::Io => Exit::Io,
        // A record that verifies but cannot be replayed is as unusable as one that does not.
        _ => Exit::JournalCorrupt,
    };
    Failure::new(exit, error)
}

fn progress_bar(dir: &Path) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let sizes = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let total = sizes.filter_map(|entry| entry.metadata().ok()).map(|file| file.len()).sum();
    let template = "replaying {bar:30} {bytes}/{total_bytes} {bytes_per_sec}, {eta} left";
    let style = ProgressStyle::with_template(template);
    ProgressBar::new(total).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
