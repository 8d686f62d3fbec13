//! Entries of accounts and batches for the HTTPS door: settlement's reader of the configured
//! database, on a thread of its own.
//!
//! It tells nothing beyond what settlement has found to be this journal's.

use std::sync::Arc;

use gateway::{BatchHistory, EntryAnswering, EntryHistory, EntryHistoryError};
use protocol::batch::SettledBatch;
use protocol::entry::{EntryAnswer, EntryBoundary, EntryQuestion};
use settlement::entries;
use settlement::{EntryReader, EntrySource, PostgresEntries, SqliteEntries};

use crate::config::{Config, SinkConfig};
use crate::exit::{Exit, Failure, OrExit as _};
use crate::settled;

/// The settled entries of one frame.
#[derive(Debug)]
struct SettledEntries {
    reader: EntryReader,
    settlement: Arc<settlement::Status>,
}

/// What of the settled history there is.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    /// `None` when no postings are kept.
    pub(crate) entries: Option<Arc<dyn EntryHistory>>,
    /// `None` without SQL.
    pub(crate) batches: Option<Arc<dyn BatchHistory>>,
}

/// The configured database. `settlement` is what its settler reports.
pub(crate) fn open(
    config: &Config,
    (frame, epoch): (u128, u64),
    settlement: Option<&Arc<settlement::Status>>,
) -> Result<Settled, Failure> {
    let Some(settlement) = settlement else {
        return Ok(Settled::default());
    };
    let reader = match &config.sink {
        SinkConfig::None => return Ok(Settled::default()),
        SinkConfig::Sqlite(path) => start(SqliteEntries::new(path), frame, epoch)?,
        SinkConfig::Postgres(dsn) => {
            let source = PostgresEntries::new(dsn).or_exit(Exit::Config, "settlement.postgres")?;
            start(source, frame, epoch)?
        }
    };
    let settled = Arc::new(SettledEntries { reader, settlement: Arc::clone(settlement) });
    let entries = config.history.then(|| Arc::clone(&settled) as Arc<_>);
    Ok(Settled { entries, batches: Some(settled) })
}

fn start(
    source: impl EntrySource + 'static,
    frame: u128,
    epoch: u64,
) -> Result<EntryReader, Failure> {
    let (reader, desk) = entries::desk(source, frame, epoch);
    settled::start("entries", move || desk.run())?;
    Ok(reader)
}

impl SettledEntries {
    /// Through which sequence the database may be believed.
    fn confirmed(&self) -> Result<u64, EntryHistoryError> {
        settled::unless(self.settlement.stopped()).map_err(EntryHistoryError)?;
        Ok(self.settlement.settled().0)
    }
}

fn unanswered(error: &entries::EntryError) -> EntryHistoryError {
    EntryHistoryError(error.to_string().into())
}

impl EntryHistory for SettledEntries {
    fn settled(&self) -> u64 {
        self.settlement.settled().0
    }

    fn read(&self, question: EntryQuestion) -> EntryAnswering<'_, EntryAnswer> {
        Box::pin(async move {
            let through = question.through.min(self.confirmed()?);
            let question = EntryQuestion { through, ..question };
            self.reader.read(question).await.map_err(|error| unanswered(&error))
        })
    }

    fn boundary(&self, time_ns: u64) -> EntryAnswering<'_, EntryBoundary> {
        Box::pin(async move {
            let confirmed = self.confirmed()?;
            let asked = self.reader.boundary(time_ns).await;
            let found = asked.map_err(|error| unanswered(&error))?;
            // Whatever lies beyond was not compared with the journal yet.
            let is_passed = found.is_passed && found.before <= confirmed;
            Ok(EntryBoundary { before: found.before.min(confirmed), is_passed })
        })
    }
}

impl BatchHistory for SettledEntries {
    fn settled(&self) -> u64 {
        self.settlement.settled().0
    }

    fn has_ended(&self) -> bool {
        self.settlement.stopped().is_some()
    }

    fn batches(&self, after: u64, batches_max: u32) -> EntryAnswering<'_, Vec<SettledBatch>> {
        Box::pin(async move {
            let confirmed = self.confirmed()?;
            let asked = self.reader.batches(after, batches_max).await;
            let mut batches = asked.map_err(|error| unanswered(&error))?;
            batches.retain(|batch| batch.through <= confirmed);
            Ok(batches)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    #[test]
    fn entries_are_read_where_a_sink_keeps_history() {
        let status = Arc::new(settlement::Status::default());
        let directory = tempfile::tempdir().unwrap();
        let data = format!("data.dir={}", directory.path().display());
        for (sink, history, wanted) in
            [("sqlite", "none", false), ("none", "full", false), ("sqlite", "full", true)]
        {
            let mut settings = Settings::defaults();
            let assignments = [
                data.clone(),
                format!("settlement.sink={sink}"),
                format!("settlement.history={history}"),
            ];
            settings.flags(&assignments).unwrap();
            let config = Config::from_settings(&settings).unwrap();
            let settled = open(&config, (1, 1), Some(&status)).unwrap();
            assert_eq!(settled.entries.is_some(), wanted, "{sink} {history}");
            assert_eq!(settled.batches.is_some(), sink != "none", "{sink} {history}");
        }
    }
}
