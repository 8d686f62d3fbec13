//! A connection to a SQLite file that only reads, beside the sink's.
//!
//! What is asked of it is one deferred transaction, hence one snapshot of the WAL, and waits for no
//! writer. Invariant: a file that was replaced is opened anew before it is asked.

use std::path::PathBuf;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Transaction};

use super::{Open, error, identity};
use crate::schema;
use crate::sink::SinkError;

/// How long a lock is waited for; in WAL readers meet one only while a file is recovered.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// Reads one SQLite file, which the sink creates and this never does.
#[derive(Debug)]
pub(super) struct Reader {
    path: PathBuf,
    name: String,
    open: Option<Open>,
}

impl Reader {
    pub(super) fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self { name: format!("sqlite {}", path.display()), path, open: None }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Asks in one snapshot. After a failure the file is opened anew.
    pub(super) fn ask<T>(
        &mut self,
        ask: impl FnOnce(&Transaction<'_>) -> Result<T, SinkError>,
    ) -> Result<T, SinkError> {
        let snapshot = self.connected()?.transaction().map_err(error);
        let answer = snapshot.and_then(|snapshot| ask(&snapshot));
        if answer.is_err() {
            self.open = None;
        }
        answer
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
