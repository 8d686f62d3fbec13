//! The embedded database: one SQLite file, nothing to install.
//!
//! WAL with `synchronous = FULL`, since the journal's retention trusts what is settled. The write
//! lock is taken before the watermark is read (`BEGIN IMMEDIATE`), so of two writers one waits and
//! then finds a watermark it did not expect. A file that was replaced while open is noticed by its
//! inode before each commit and opened anew.

mod keys;
mod read;

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use protocol::Sequence;
use protocol::cut::{AccountRow, SupplyRow};
use protocol::effect::Effect;
use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior, params};

pub use self::keys::SqliteKeys;
use crate::cast::{Column, count, signed, uuid_text};
use crate::schema;
use crate::sink::{Batch, EffectSource, Sink, SinkError};
use crate::verify::ReadBack;
use crate::watermark::{Watermark, compare};

/// How long a lock held by a reader or another writer is waited for.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// `PRAGMA synchronous`: FULL.
const SYNCHRONOUS_FULL: i64 = 2;
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
        write_balances(&transaction, &batch.cut.accounts, batch.cut.through)?;
        write_supply(&transaction, &batch.cut.supply, batch.cut.through, number)?;
        let mut written = 0;
        if batch.history {
            effects.deliver(&mut |block| {
                written += count(block.len());
                write_effects(&transaction, block)
            })?;
        }
        write_batch(&transaction, batch, number, batch.history.then_some(written))?;
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
    Ok(())
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

fn write_balances(
    transaction: &Transaction<'_>,
    rows: &[AccountRow],
    through: Sequence,
) -> Result<(), SinkError> {
    let mut upsert = transaction
        .prepare_cached(
            "INSERT INTO account_balances (owner, asset, host, liquid, held, staked, bonded,
                                           minimum, credit_limit, flags, sequence)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
             ON CONFLICT (owner, asset) DO UPDATE SET
                 host = excluded.host, liquid = excluded.liquid, held = excluded.held,
                 staked = excluded.staked, bonded = excluded.bonded, minimum = excluded.minimum,
                 credit_limit = excluded.credit_limit, flags = excluded.flags,
                 sequence = excluded.sequence",
        )
        .map_err(error)?;
    let through = signed(through.0);
    for row in rows {
        upsert
            .execute(params![
                uuid_text(row.owner),
                row.asset,
                row.host,
                row.liquid.to_string(),
                row.held.to_string(),
                row.staked.to_string(),
                row.bonded.to_string(),
                row.minimum.to_string(),
                row.credit_limit.to_string(),
                row.flags,
                through
            ])
            .map_err(error)?;
    }
    Ok(())
}

fn write_supply(
    transaction: &Transaction<'_>,
    rows: &[SupplyRow],
    through: Sequence,
    number: i64,
) -> Result<(), SinkError> {
    let mut upsert = transaction
        .prepare_cached(
            "INSERT OR REPLACE INTO asset_supply (asset, scale, name, issued, destroyed, liquid,
                 held, staked, bonded, credit_granted, credit_used, sequence)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        )
        .map_err(error)?;
    let mut history = transaction
        .prepare_cached(
            "INSERT INTO supply_history (batch, asset, issued, destroyed, liquid, held, staked,
                 bonded, credit_granted, credit_used)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )
        .map_err(error)?;
    for row in rows {
        let [issued, destroyed] = [row.issued.to_string(), row.destroyed.to_string()];
        let liquid = row.liquid.to_string();
        let [held, staked, bonded, granted, used] =
            [row.held, row.staked, row.bonded, row.credit_granted, row.credit_used]
                .map(|amount| amount.to_string());
        upsert
            .execute(params![
                row.asset,
                row.scale,
                row.name,
                issued,
                destroyed,
                liquid,
                held,
                staked,
                bonded,
                granted,
                used,
                signed(through.0)
            ])
            .map_err(error)?;
        history
            .execute(params![
                number, row.asset, issued, destroyed, liquid, held, staked, bonded, granted, used
            ])
            .map_err(error)?;
    }
    Ok(())
}

fn write_effects(transaction: &Transaction<'_>, block: &[Effect]) -> Result<(), SinkError> {
    let mut insert = transaction
        .prepare_cached(
            "INSERT INTO effects (sequence, leg, event, asset, debit, debit_bucket, credit,
                 credit_bucket, amount, debit_after, credit_after, rate, reference, user_data)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
        )
        .map_err(error)?;
    let named = |id: u128| (id != 0).then(|| uuid_text(id));
    for effect in block {
        insert
            .execute(params![
                signed(effect.sequence),
                effect.leg,
                effect.event,
                effect.asset,
                named(effect.debit),
                effect.debit_bucket,
                named(effect.credit),
                effect.credit_bucket,
                effect.amount.to_string(),
                effect.debit_after.to_string(),
                effect.credit_after.to_string(),
                effect.rate,
                named(effect.reference),
                effect.user_data.to_string()
            ])
            .map_err(error)?;
    }
    Ok(())
}

fn write_batch(
    transaction: &Transaction<'_>,
    batch: &Batch<'_>,
    number: i64,
    effects: Option<i64>,
) -> Result<(), SinkError> {
    let target = batch.target();
    transaction
        .prepare_cached(
            "INSERT INTO settlement_batches (batch, from_sequence, through_sequence, epoch,
                 complete, accounts, effects, chain_hash, run_digest, timestamp_ns)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )
        .and_then(|mut insert| {
            insert.execute(params![
                number,
                signed(batch.after.0 + 1),
                signed(batch.cut.through.0),
                signed(target.epoch),
                batch.cut.complete,
                count(batch.cut.accounts.len()),
                effects,
                target.chain_hash,
                target.run_digest,
                signed(target.timestamp)
            ])
        })
        .map_err(error)?;
    transaction
        .prepare_cached(
            "INSERT OR REPLACE INTO settlement_watermark (only_row, frame, epoch, next_sequence,
                 chain_hash, run_digest, timestamp_ns, batch)
             VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )
        .and_then(|mut update| {
            update.execute(params![
                uuid_text(target.frame),
                signed(target.epoch),
                signed(target.next_sequence.0),
                target.chain_hash,
                target.run_digest,
                signed(target.timestamp),
                number
            ])
        })
        .map_err(error)?;
    Ok(())
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
