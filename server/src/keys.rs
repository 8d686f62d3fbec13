//! String keys for the HTTPS door: settlement's reader of the configured database, on a thread of
//! its own.
//!
//! It refuses to vouch for more than settlement has found to be this journal's. Invariant: a key
//! that is reported as not found was not used through the sequence reported with it.

use std::sync::Arc;

use gateway::{KeyAnswer, KeyAnswering, KeyHistory, KeyHistoryError, KeyRow};
use protocol::{Sequence, Status};
use settlement::keys::{self, Key};
use settlement::{KeyReader, KeySource, PostgresKeys, SqliteKeys, Stop};

use crate::config::{Config, SinkConfig};
use crate::exit::{Exit, Failure, OrExit as _};
use crate::settled;

/// The settled keys of one frame.
#[derive(Debug)]
struct SettledKeys {
    reader: KeyReader,
    settlement: Arc<settlement::Status>,
}

/// Keys in the configured database; `None` when it keeps no history. `settlement` is what the
/// settler of the same database reports.
pub(crate) fn open(
    config: &Config,
    (frame, epoch): (u128, u64),
    settlement: Option<&Arc<settlement::Status>>,
) -> Result<Option<Arc<dyn KeyHistory>>, Failure> {
    let Some(settlement) = settlement.filter(|_| config.history) else {
        return Ok(None);
    };
    let reader = match &config.sink {
        SinkConfig::None => return Ok(None),
        SinkConfig::Sqlite(path) => start(SqliteKeys::new(path), frame, epoch)?,
        SinkConfig::Postgres(dsn) => {
            let source = PostgresKeys::new(dsn).or_exit(Exit::Config, "settlement.postgres")?;
            start(source, frame, epoch)?
        }
    };
    Ok(Some(Arc::new(SettledKeys { reader, settlement: Arc::clone(settlement) })))
}

fn start(source: impl KeySource + 'static, frame: u128, epoch: u64) -> Result<KeyReader, Failure> {
    let (reader, desk) = keys::desk(source, frame, epoch);
    settled::start("keys", move || desk.run())?;
    Ok(reader)
}

impl KeyHistory for SettledKeys {
    fn find(&self, principal: u128, key: u128) -> KeyAnswering<'_> {
        Box::pin(async move {
            let asked = self.reader.find(Key { principal, hash: key }).await;
            let answer = asked.map_err(|error| KeyHistoryError(error.to_string().into()))?;
            confirm(answer, self.settlement.settled(), self.settlement.stopped())
        })
    }
}

/// Limits an answer to what settlement has found to be this journal's: the database may have been
/// replaced by one that nobody has compared yet, or not be read by settlement so far. A use beyond
/// that is left to the engine, which has not forgotten it.
fn confirm(
    answer: keys::KeyAnswer,
    confirmed: Sequence,
    stopped: Option<Stop>,
) -> Result<KeyAnswer, KeyHistoryError> {
    settled::unless(stopped).map_err(KeyHistoryError)?;
    let settled_through = answer.settled_through.min(confirmed).0;
    let found = answer.found.filter(|found| found.sequence <= confirmed).map(row).transpose()?;
    Ok(KeyAnswer { settled_through, found })
}

fn row(found: keys::KeyUse) -> Result<KeyRow, KeyHistoryError> {
    let unknown = |what: &str, value: u32| {
        let cause = format!("the key's {what} {value} is of a newer program: upgrade this one");
        KeyHistoryError(cause.into())
    };
    Ok(KeyRow {
        sequence: found.sequence.0,
        status: Status::from_number(found.status)
            .ok_or_else(|| unknown("status", found.status.into()))?,
        rate: u16::try_from(found.rate).map_err(|_| unknown("rate", found.rate))?,
        digest: found.digest,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    fn used(sequence: u64) -> keys::KeyUse {
        keys::KeyUse { sequence: Sequence(sequence), status: 801, rate: 5_000, digest: 9 }
    }

    fn at(through: u64, found: Option<keys::KeyUse>) -> keys::KeyAnswer {
        keys::KeyAnswer { settled_through: Sequence(through), found }
    }

    #[test]
    fn an_answer_reaches_no_further_than_what_is_confirmed() {
        let confirmed = |answer, through| confirm(answer, Sequence(through), None).unwrap();
        let row = KeyRow { sequence: 7, status: Status::InsufficientFunds, rate: 5_000, digest: 9 };
        let whole = KeyAnswer { settled_through: 10, found: Some(row) };
        assert_eq!(confirmed(at(10, Some(used(7))), 12), whole);
        assert_eq!(confirmed(at(10, Some(used(7))), 7).found, Some(row));
        let cut = KeyAnswer { settled_through: 6, found: None };
        assert_eq!(confirmed(at(10, Some(used(7))), 6), cut);
        assert_eq!(confirmed(at(10, None), 6), cut);
        assert_eq!(confirmed(at(6, None), 10), cut, "an older copy was put back");
    }

    #[test]
    fn nothing_is_answered_once_settlement_has_ended_or_from_rows_unknown_here() {
        for stop in [Stop::Diverged, Stop::Foreign, Stop::Ahead, Stop::Drained] {
            assert!(confirm(at(10, None), Sequence(10), Some(stop)).is_err());
        }
        for unknown in
            [keys::KeyUse { status: 65_000, ..used(1) }, keys::KeyUse { rate: 65_536, ..used(1) }]
        {
            assert!(confirm(at(10, Some(unknown)), Sequence(10), None).is_err());
        }
    }

    #[test]
    fn keys_need_a_sink_with_history() {
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
            let keys = open(&config, (1, 1), Some(&status)).unwrap();
            assert_eq!(keys.is_some(), wanted, "{sink} {history}");
        }
    }
}
