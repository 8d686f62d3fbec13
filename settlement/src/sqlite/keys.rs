//! Keys in SQLite.
//!
//! The indexes are named, so that a database without them fails instead of being searched whole.

use std::path::PathBuf;

use rusqlite::{OptionalExtension, Transaction};

use super::reader::Reader;
use super::{error, read};
use crate::cast::uuid_text;
use crate::keys::{Key, KeySnapshot, KeySource, KeyUse, key_use};
use crate::sink::SinkError;
use crate::watermark::stored;

const FIND: &str = "
    SELECT sequence, amount, user_data, rate FROM effects INDEXED BY effects_by_key
    WHERE event = 80 AND debit = ?1 AND reference = ?2
    ORDER BY sequence, leg LIMIT 1";

const HOLE: &str = "
    SELECT batch FROM settlement_batches INDEXED BY batches_without_history
    WHERE effects IS NULL LIMIT 1";

/// Looks keys up in one SQLite file.
#[derive(Debug)]
pub struct SqliteKeys(Reader);

impl SqliteKeys {
    /// Keys in the file at `path`, which the sink creates and this never does.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(Reader::new(path))
    }
}

impl KeySource for SqliteKeys {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn find(&mut self, keys: &[Key]) -> Result<KeySnapshot, SinkError> {
        self.0.ask(|snapshot| {
            Ok(KeySnapshot {
                watermark: read::watermark(snapshot)?.map(|(mark, _)| stored(&mark)),
                hole: hole(snapshot)?,
                uses: uses(snapshot, keys)?,
            })
        })
    }
}

fn hole(snapshot: &Transaction<'_>) -> Result<Option<i64>, SinkError> {
    snapshot
        .prepare_cached(HOLE)
        .and_then(|mut select| select.query_row([], |row| row.get(0)).optional())
        .map_err(error)
}

fn uses(snapshot: &Transaction<'_>, keys: &[Key]) -> Result<Vec<Option<KeyUse>>, SinkError> {
    type Raw = (i64, String, String, i64);
    let mut select = snapshot.prepare_cached(FIND).map_err(error)?;
    let mut find = |key: &Key| {
        let names = [uuid_text(key.principal), uuid_text(key.hash)];
        let raw: Option<Raw> =
            select.query_row(names, |row| row.try_into()).optional().map_err(error)?;
        raw.map(|(sequence, amount, data, rate)| key_use(sequence, &amount, &data, rate))
            .transpose()
    };
    keys.iter().map(&mut find).collect()
}
