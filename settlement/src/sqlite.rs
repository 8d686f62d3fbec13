//! The embedded database: one SQLite file, nothing to install.
//!
//! WAL with `synchronous = FULL`, since the journal's retention trusts what is settled. The write
//! lock is taken before the watermark is read (`BEGIN IMMEDIATE`), so of two writers one waits and
//! then finds a watermark it did not expect. A file that was replaced while open is noticed by its
//! inode before each commit and opened anew.

mod entries;
mod keys;
mod read;
mod reader;
mod write;

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, TransactionBehavior, params};

pub use self::entries::SqliteEntries;
pub use self::keys::SqliteKeys;
use crate::cast::{Column, count};
use crate::schema;
use crate::sink::{Batch, EffectSource, Sink, SinkError};
use crate::verify::ReadBack;
use crate::watermark::{Watermark, compare};

/// How long a lock held by a reader or another writer is waited for.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// `PRAGMA synchronous`: FULL.
const SYNCHRONOUS_FULL: i64 = 2;
/// Pages that a transaction may change before they are written ahead of its end, in KiB: 64 MiB.
const CACHE_KIB: i64 = 64 << 10;
/// Pages in the WAL before they are copied into the file: 32 MiB.
const CHECKPOINT_PAGES: i64 = 8 << 10;
/// Statements kept prepared.
const STATEMENTS_MAX: usize = 32;

/// Settles to one SQLite file.
#[derive(Debug)]
pub struct SqliteSink {
    path: PathBuf,
    name: String,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    connection: Connection,
    /// Device and inode, to notice that the file was replaced.
    file: (u64, u64),
}

impl SqliteSink {
    /// A sink that opens (or creates, readable by its owner only) the file at `path` when it
    /// connects.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self { name: format!("sqlite {}", path.display()), path, open: None }
    }

    fn open(&mut self) -> Result<&mut Connection, SinkError> {
        let open = self.open.as_mut().ok_or_else(|| retryable("not connected"))?;
        if identity(&self.path)? != open.file {
            return Err(retryable("the file was replaced"));
        }
        Ok(&mut open.connection)
    }
}

impl Sink for SqliteSink {
    fn name(&self) -> &str {
        &self.name
    }

    fn connect(&mut self) -> Result<(), SinkError> {
        self.open = None;
        create(&self.path)?;
        let file = identity(&self.path)?;
        let mut connection = Connection::open(&self.path).map_err(error)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(error)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        configure(&connection)?;
        migrate(&mut connection)?;
        self.open = Some(Open { connection, file });
        Ok(())
    }

    fn watermark(&mut self) -> Result<Option<Watermark>, SinkError> {
        let connection = self.open()?;
        Ok(read::watermark(connection)?.map(|(watermark, _)| watermark))
    }

    fn commit(
        &mut self,
        batch: &Batch<'_>,
        expected: Option<&Watermark>,
        effects: &mut dyn EffectSource,
    ) -> Result<(), SinkError> {
        let transaction = self
            .open()?
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(error)?;
        let stored = read::watermark(&transaction)?;
        compare(expected, stored.as_ref().map(|(watermark, _)| watermark), &batch.target())?;
        let number = stored.map_or(0, |(_, number)| number) + 1;
        write::balances(&transaction, &batch.cut.accounts, batch.cut.through)?;
        write::supply(&transaction, &batch.cut.supply, batch.cut.through, number)?;
        let mut written = 0;
        if batch.history {
            effects.deliver(&mut |block| {
                written += count(block.len());
                write::effects(&transaction, block)
            })?;
        }
        write::batch(&transaction, batch, number, batch.history.then_some(written))?;
        transaction.commit().map_err(|cause| SinkError::UnknownCommit(Box::new(cause)))
    }

    fn read_back(&mut self) -> Result<ReadBack, SinkError> {
        let transaction = self.open()?.transaction().map_err(error)?;
        read::everything(&transaction)
    }
}

/// Creates the file before SQLite does, so that it (and the WAL, which takes its mode) is private.
fn create(path: &Path) -> Result<(), SinkError> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match made {
        Ok(file) => {
            file.sync_all().map_err(retryable)?;
            let directory = path
                .parent()
                .filter(|parent| !parent.as_os_str().is_empty())
                .unwrap_or_else(|| Path::new("."));
            File::open(directory).and_then(|directory| directory.sync_all()).map_err(retryable)
        }
        Err(cause) if cause.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(cause) => Err(retryable(cause)),
    }
}

fn identity(path: &Path) -> Result<(u64, u64), SinkError> {
    let metadata = fs::metadata(path).map_err(retryable)?;
    Ok((metadata.dev(), metadata.ino()))
}

fn configure(connection: &Connection) -> Result<(), SinkError> {
    let mode: String =
        connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).map_err(error)?;
    if mode != "wal" {
        return Err(SinkError::Settings {
            setting: "journal_mode",
            value: mode,
            remedy: "put the file on a local disk, where SQLite can keep a WAL",
        });
    }
    connection.execute_batch("PRAGMA synchronous = FULL").map_err(error)?;
    let synchronous: i64 =
        connection.query_row("PRAGMA synchronous", [], |row| row.get(0)).map_err(error)?;
    if synchronous != SYNCHRONOUS_FULL {
        return Err(SinkError::Settings {
            setting: "synchronous",
            value: synchronous.to_string(),
            remedy: "use a build of SQLite that honours synchronous = FULL",
        });
    }
    // Of KiB, as the minus says.
    connection.pragma_update(None, "cache_size", -CACHE_KIB).map_err(error)?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES).map_err(error)
}

fn migrate(connection: &mut Connection) -> Result<(), SinkError> {
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(error)?;
    transaction
        .execute_batch(
            "CREATE TABLE IF NOT EXISTS schema_version (
                 version    INTEGER PRIMARY KEY,
                 applied_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
             ) STRICT",
        )
        .map_err(error)?;
    let mut version: i64 = transaction
        .query_row("SELECT coalesce(max(version), 0) FROM schema_version", [], |row| row.get(0))
        .map_err(error)?;
    for step in schema::steps(&schema::SQLITE, version)? {
        transaction.execute_batch(step).map_err(error)?;
        version += 1;
        transaction
            .execute("INSERT INTO schema_version (version) VALUES (?1)", [version])
            .map_err(error)?;
        for (number, name) in schema::events() {
            transaction
                .execute(
                    "INSERT OR REPLACE INTO effect_events (event, name) VALUES (?1, ?2)",
                    params![number, name],
                )
                .map_err(error)?;
        }
    }
    transaction.commit().map_err(error)
}

fn retryable(cause: impl Into<crate::sink::Cause>) -> SinkError {
    SinkError::Retryable(cause.into())
}

/// Sorts an error of SQLite by what may help.
fn error(cause: rusqlite::Error) -> SinkError {
    match cause.sqlite_error_code() {
        Some(
            ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::DiskFull
            | ErrorCode::SystemIoFailure
            | ErrorCode::CannotOpen
            | ErrorCode::ReadOnly
            | ErrorCode::OutOfMemory
            | ErrorCode::SchemaChanged
            | ErrorCode::OperationInterrupted
            | ErrorCode::OperationAborted
            | ErrorCode::FileLockingProtocolFailed,
        ) => retryable(cause),
        _ => SinkError::Refused(Box::new(cause)),
    }
}

/// Shorthand of the readers.
const fn column(table: &'static str, column: &'static str) -> Column {
    Column { table, column }
}
