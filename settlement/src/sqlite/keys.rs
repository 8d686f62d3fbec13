//! Keys in SQLite: a connection of its own that only reads, beside the sink's.
//!
//! A question is one deferred transaction, hence one snapshot of the WAL, and waits for no writer.
//! The indexes are named, so that a database without them fails instead of being searched whole.
//! Invariant: a file that was replaced is opened anew before it is asked.

use std::path::PathBuf;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction};

use super::{Open, error, identity, read};
use crate::cast::uuid_text;
use crate::keys::{Key, KeySnapshot, KeySource, KeyUse, key_use};
use crate::schema;
use crate::sink::SinkError;

/// How long a lock is waited for; in WAL readers meet one only while a file is recovered.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

const FIND: &str = "
    SELECT sequence, amount, user_data, rate FROM effects INDEXED BY effects_by_key
    WHERE event = 80 AND debit = ?1 AND reference = ?2
    ORDER BY sequence, leg LIMIT 1";

const HOLE: &str = "
    SELECT batch FROM settlement_batches INDEXED BY batches_without_history
    WHERE effects IS NULL LIMIT 1";

/// Looks keys up in one SQLite file.
#[derive(Debug)]
pub struct SqliteKeys {
    path: PathBuf,
    name: String,
    open: Option<Open>,
}

impl SqliteKeys {
    /// Keys in the file at `path`, which the sink creates and this never does.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self { name: format!("sqlite {}", path.display()), path, open: None }
    }

    fn connected(&mut self) -> Result<&mut Connection, SinkError> {
        let file = identity(&self.path)?;
        let open = match self.open.take().filter(|open| open.file == file) {
            Some(open) => open,
            None => Open { connection: self.connect()?, file },
        };
        Ok(&mut self.open.insert(open).connection)
    }

    fn connect(&self) -> Result<Connection, SinkError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags).map_err(error)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(error)?;
        let version = connection
            .query_row("SELECT coalesce(max(version), 0) FROM schema_version", [], |row| row.get(0))
            .map_err(error)?;
        schema::check_current(version)?;
        Ok(connection)
    }
}

impl KeySource for SqliteKeys {
    fn name(&self) -> &str {
        &self.name
    }

    fn find(&mut self, keys: &[Key]) -> Result<KeySnapshot, SinkError> {
        let found = self.connected()?.transaction().map_err(error).and_then(|snapshot| {
            let watermark = read::watermark(&snapshot)?;
            Ok(KeySnapshot {
                watermark: watermark.map(|(mark, _)| (mark.frame, mark.epoch, mark.through())),
                hole: hole(&snapshot)?,
                uses: uses(&snapshot, keys)?,
            })
        });
        if found.is_err() {
            self.open = None;
        }
        found
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
