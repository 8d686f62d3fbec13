//! Entries in SQLite: a range of the table, which is its own index of sequences.

use std::path::PathBuf;

use protocol::Sequence;
use protocol::batch::SettledBatch;
use protocol::entry::{EntryAnswer, EntryBoundary, EntryQuestion};
use protocol::feed::Followed;
use rusqlite::{OptionalExtension, Transaction, params};

use super::reader::Reader;
use super::{column, error, read};
use crate::cast::uuid_text;
use crate::entries::{
    EntrySnapshot, EntrySource, Raw, RawBatch, Window, batch, bound, entry, whole_behind,
};
use crate::sink::SinkError;
use crate::watermark::{Stored, stored};

/// Timers, whose legs are from 32 768 on, come first; 80 is `KeyUsed`.
const ENTRIES: &str = "
    SELECT sequence, leg, event, asset, debit, debit_bucket, credit, credit_bucket, amount,
           debit_after, credit_after, rate, reference, user_data,
           (SELECT timestamp_ns FROM settlement_batches INDEXED BY batches_by_sequence
            WHERE through_sequence >= e.sequence ORDER BY through_sequence LIMIT 1)
    FROM effects e
    WHERE sequence > ?1 AND sequence <= ?2 AND event <> 80
          AND (sequence <> ?3 OR (leg + 32768) % 65536 > ?4)
          AND (?5 IS NULL OR debit = ?5 OR credit = ?5) AND (?6 IS NULL OR asset = ?6)
    ORDER BY sequence, (leg + 32768) % 65536 LIMIT ?7";

const FIRST: &str = "SELECT from_sequence FROM settlement_batches ORDER BY batch LIMIT 1";

const HOLE: &str = "
    SELECT through_sequence FROM settlement_batches INDEXED BY batches_without_history
    WHERE effects IS NULL ORDER BY batch DESC LIMIT 1";

const BEFORE: &str = "
    SELECT through_sequence FROM settlement_batches INDEXED BY batches_by_time
    WHERE timestamp_ns < ?1 ORDER BY timestamp_ns DESC LIMIT 1";

const IS_PASSED: &str = "
    SELECT 1 FROM settlement_batches INDEXED BY batches_by_time
    WHERE timestamp_ns >= ?1 LIMIT 1";

const BATCHES: &str = "
    SELECT batch, from_sequence, through_sequence, epoch, complete, accounts, effects, chain_hash,
           run_digest, timestamp_ns
    FROM settlement_batches INDEXED BY batches_by_sequence
    WHERE through_sequence > ?1 ORDER BY through_sequence LIMIT ?2";

/// Reads entries in one SQLite file.
#[derive(Debug)]
pub struct SqliteEntries(Reader);

impl SqliteEntries {
    /// Entries in the file at `path`, which the sink creates and this never does.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(Reader::new(path))
    }
}

impl EntrySource for SqliteEntries {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn read(&mut self, question: &EntryQuestion) -> Result<EntrySnapshot, SinkError> {
        self.0.ask(|snapshot| {
            let watermark = watermark(snapshot)?;
            let settled = watermark.map_or(Sequence(0), |(.., through)| through);
            let whole_behind = whole_behind(one(snapshot, FIRST)?, one(snapshot, HOLE)?)?;
            let window = Window::of(question, settled);
            let entries = if question.after.whole() < whole_behind {
                Vec::new()
            } else {
                entries(snapshot, question, &window)?
            };
            let reached = window.reached(question, &entries);
            Ok(EntrySnapshot { watermark, answer: EntryAnswer { whole_behind, reached, entries } })
        })
    }

    fn boundary(&mut self, time_ns: u64) -> Result<(Option<Stored>, EntryBoundary), SinkError> {
        self.0.ask(|snapshot| {
            let at = |sql: &str| -> Result<Option<i64>, SinkError> {
                let found = snapshot.prepare_cached(sql).and_then(|mut select| {
                    select.query_row([bound(time_ns)], |row| row.get(0)).optional()
                });
                found.map_err(error)
            };
            let sequences = column("settlement_batches", "through_sequence");
            let before = at(BEFORE)?.map_or(Ok(0), |before| sequences.number(before))?;
            let is_passed = at(IS_PASSED)?.is_some();
            Ok((watermark(snapshot)?, EntryBoundary { before, is_passed }))
        })
    }

    fn batches(
        &mut self,
        after: u64,
        batches_max: u32,
    ) -> Result<(Option<Stored>, Vec<SettledBatch>), SinkError> {
        self.0.ask(|snapshot| {
            let mut select = snapshot.prepare_cached(BATCHES).map_err(error)?;
            let wanted = (bound(after), batches_max);
            let rows = select.query_map(wanted, |row| RawBatch::try_from(row)).map_err(error)?;
            let batches = rows.map(|row| batch(&row.map_err(error)?)).collect::<Result<_, _>>()?;
            Ok((watermark(snapshot)?, batches))
        })
    }
}

fn watermark(snapshot: &Transaction<'_>) -> Result<Option<Stored>, SinkError> {
    Ok(read::watermark(snapshot)?.map(|(mark, _)| stored(&mark)))
}

fn one(snapshot: &Transaction<'_>, sql: &str) -> Result<Option<i64>, SinkError> {
    snapshot
        .prepare_cached(sql)
        .and_then(|mut select| select.query_row([], |row| row.get(0)).optional())
        .map_err(error)
}

fn entries(
    snapshot: &Transaction<'_>,
    question: &EntryQuestion,
    window: &Window,
) -> Result<Vec<Followed>, SinkError> {
    let mut select = snapshot.prepare_cached(ENTRIES).map_err(error)?;
    let rows = select
        .query_map(
            params![
                bound(window.after),
                bound(window.through),
                bound(window.first),
                window.turn,
                question.owner.map(uuid_text),
                question.asset,
                question.entries_max,
            ],
            |row| Raw::try_from(row),
        )
        .map_err(error)?;
    rows.map(|row| entry(row.map_err(error)?)).collect()
}
