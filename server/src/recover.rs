//! From files to a running engine: the journal is verified and replayed in one pass, a torn tail is
//! cut off, and what SQL has settled already is told apart on the way.

use std::io::IsTerminal as _;
use std::path::Path;
use std::sync::Arc;

use engine::{Engine, Options};
use indicatif::{ProgressBar, ProgressStyle};
use journal::{
    Expect, FaultKind, Journal, MappedStorage, Reader, RecordHeader, RecoverError, Recovery,
};
use pipeline::{Boundary, Replayer};
use protocol::genesis::RULES;
use settlement::Watermark;

use crate::config::Config;
use crate::exit::{Exit, Failure};

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
    let mut replayer = Replayer::new(options(config));
    let mut confirmed = None;
    let mut visit = |header: &RecordHeader, payload: &[u8]| {
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
        durable_sequence_floor: settled.map_or(0, |watermark| watermark.through().0),
        ..Expect::default()
    };
    let storage = Arc::new(MappedStorage::new(&dir));
    let settings = journal::Config { segment_size: config.segment_bytes };
    let recovered = Journal::recover_with(storage, settings, expect, &mut visit);
    let (journal, report) = recovered.map_err(|error| failure(&error))?;
    bar.finish_and_clear();
    let boundary = replayer.boundary();
    let engine = replayer.into_engine().expect("a recovered journal begins with its genesis");
    Ok(Recovered { journal, report, engine, boundary, confirmed })
}

/// The frame that the journal's first record names.
fn frame_of(dir: &Path) -> Result<u128, Failure> {
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
