//! Entries in PostgreSQL: the rows of a range of sequences, which the block range indexes bound.

use protocol::Sequence;
use protocol::batch::SettledBatch;
use protocol::entry::{EntryAnswer, EntryBoundary, EntryQuestion};
use protocol::feed::Followed;
use tokio::runtime::Runtime;
use tokio_postgres::{Client, IsolationLevel, Row, Statement, Transaction};

use super::reader::{REQUEST_TIMEOUT, Reader, watermark};
use super::value::Uuid;
use super::{column, error, wait_for};
use crate::entries::{
    EntrySnapshot, EntrySource, Raw, RawBatch, Window, batch, bound, entry, whole_behind,
};
use crate::sink::SinkError;
use crate::watermark::Stored;

/// The watermark, if there is one, with the first batch and the last one without postings.
const STATE: &str = "
    SELECT w.frame::text, w.epoch, w.next_sequence,
           (SELECT from_sequence FROM bezant.settlement_batches ORDER BY batch LIMIT 1),
           (SELECT through_sequence FROM bezant.settlement_batches WHERE effects IS NULL
            ORDER BY batch DESC LIMIT 1)
    FROM (VALUES (1)) AS always (one)
    LEFT JOIN bezant.settlement_watermark w ON w.only_row = always.one";

/// Timers, whose legs are from 32 768 on, come first; 80 is `KeyUsed`.
const ENTRIES: &str = "
    SELECT p.*, (SELECT timestamp_ns FROM bezant.settlement_batches
                 WHERE through_sequence >= p.sequence ORDER BY through_sequence LIMIT 1)
    FROM (SELECT e.sequence, e.leg::bigint, e.event::bigint, e.asset, e.debit::text,
                 e.debit_bucket::bigint, e.credit::text, e.credit_bucket::bigint, e.amount::text,
                 e.debit_after::text, e.credit_after::text, e.rate, e.reference::text,
                 e.user_data::text
          FROM bezant.effects e
          WHERE e.sequence > $1 AND e.sequence <= $2 AND e.event <> 80
                AND (e.sequence <> $3 OR (e.leg + 32768) % 65536 > $4::integer)
                AND ($5::uuid IS NULL OR e.debit = $5 OR e.credit = $5)
                AND ($6::bigint IS NULL OR e.asset = $6)
          ORDER BY e.sequence, (e.leg + 32768) % 65536 LIMIT $7) p
    ORDER BY p.sequence, (p.leg + 32768) % 65536";

const BOUNDARY: &str = "
    SELECT w.frame::text, w.epoch, w.next_sequence,
           (SELECT through_sequence FROM bezant.settlement_batches WHERE timestamp_ns < $1
            ORDER BY timestamp_ns DESC LIMIT 1),
           EXISTS (SELECT FROM bezant.settlement_batches WHERE timestamp_ns >= $1)
    FROM (VALUES (1)) AS always (one)
    LEFT JOIN bezant.settlement_watermark w ON w.only_row = always.one";

/// The watermark comes with every row, and alone when there is none.
const BATCHES: &str = "
    SELECT w.frame::text, w.epoch, w.next_sequence, b.*
    FROM (VALUES (1)) AS always (one)
    LEFT JOIN bezant.settlement_watermark w ON w.only_row = always.one
    LEFT JOIN LATERAL (
        SELECT batch, from_sequence, through_sequence, epoch, complete, accounts, effects,
               chain_hash, run_digest, timestamp_ns
        FROM bezant.settlement_batches
        WHERE through_sequence > $1 ORDER BY through_sequence LIMIT $2) b ON true
    ORDER BY b.through_sequence";

/// Reads entries in one PostgreSQL database.
#[derive(Debug)]
pub struct PostgresEntries(Reader<Statements>);

#[derive(Debug)]
struct Statements {
    state: Statement,
    entries: Statement,
    boundary: Statement,
    batches: Statement,
}

impl PostgresEntries {
    /// Entries at `address`, in the key-value or URL form of libpq.
    ///
    /// # Errors
    ///
    /// Those of [`crate::PostgresSink::new`].
    pub fn new(address: &str) -> Result<Self, SinkError> {
        Reader::new(address, "bezant entries", prepare).map(Self)
    }
}

impl EntrySource for PostgresEntries {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn read(&mut self, question: &EntryQuestion) -> Result<EntrySnapshot, SinkError> {
        self.0.ask(|runtime, client, statements| read(runtime, client, statements, question))
    }

    fn boundary(&mut self, time_ns: u64) -> Result<(Option<Stored>, EntryBoundary), SinkError> {
        self.0.ask(|runtime, client, statements| {
            let time = bound(time_ns);
            let asking = async { client.query_one(&statements.boundary, &[&time]).await };
            let row = wait_for(REQUEST_TIMEOUT, runtime, asking)?;
            let before: Option<i64> = row.try_get(3).map_err(error)?;
            let sequences = column("settlement_batches", "through_sequence");
            let before = before.map_or(Ok(0), |before| sequences.number(before))?;
            let is_passed = row.try_get(4).map_err(error)?;
            Ok((watermark(&row)?, EntryBoundary { before, is_passed }))
        })
    }

    fn batches(
        &mut self,
        after: u64,
        batches_max: u32,
    ) -> Result<(Option<Stored>, Vec<SettledBatch>), SinkError> {
        self.0.ask(|runtime, client, statements| {
            let (after, batches_max) = (bound(after), i64::from(batches_max));
            let asking = async { client.query(&statements.batches, &[&after, &batches_max]).await };
            let rows = wait_for(REQUEST_TIMEOUT, runtime, asking)?;
            let stored = rows.first().map_or(Ok(None), watermark)?;
            let batches = rows.iter().filter_map(|row| batch_of_row(row).transpose());
            Ok((stored, batches.collect::<Result<_, _>>()?))
        })
    }
}

fn prepare(runtime: &Runtime, client: &Client) -> Result<Statements, SinkError> {
    let prepare = |sql| wait_for(REQUEST_TIMEOUT, runtime, client.prepare(sql));
    Ok(Statements {
        state: prepare(STATE)?,
        entries: prepare(ENTRIES)?,
        boundary: prepare(BOUNDARY)?,
        batches: prepare(BATCHES)?,
    })
}

fn read(
    runtime: &Runtime,
    client: &mut Client,
    statements: &Statements,
    question: &EntryQuestion,
) -> Result<EntrySnapshot, SinkError> {
    let starting = client
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start();
    let snapshot = wait_for(REQUEST_TIMEOUT, runtime, starting)?;
    let asking = snapshot.query_one(&statements.state, &[]);
    let state = wait_for(REQUEST_TIMEOUT, runtime, asking)?;
    let watermark = watermark(&state)?;
    let settled = watermark.map_or(Sequence(0), |(.., through)| through);
    let whole_behind =
        whole_behind(state.try_get(3).map_err(error)?, state.try_get(4).map_err(error)?)?;
    let window = Window::of(question, settled);
    let rows = if question.after.whole() < whole_behind {
        Vec::new()
    } else {
        let asking = rows(&snapshot, &statements.entries, question, &window);
        wait_for(REQUEST_TIMEOUT, runtime, asking)?
    };
    wait_for(REQUEST_TIMEOUT, runtime, snapshot.commit())?;
    let entries = rows.iter().map(of_row).collect::<Result<Vec<_>, _>>()?;
    let reached = window.reached(question, &entries);
    Ok(EntrySnapshot { watermark, answer: EntryAnswer { whole_behind, reached, entries } })
}

async fn rows(
    snapshot: &Transaction<'_>,
    entries: &Statement,
    question: &EntryQuestion,
    window: &Window,
) -> Result<Vec<Row>, tokio_postgres::Error> {
    let [after, through, first] = [window.after, window.through, window.first].map(bound);
    let (turn, owner) = (i32::from(window.turn), question.owner.map(Uuid));
    let asset = question.asset.map(i64::from);
    let entries_max = i64::from(question.entries_max);
    snapshot.query(entries, &[&after, &through, &first, &turn, &owner, &asset, &entries_max]).await
}

/// The batch of a row; nothing: there is only the watermark.
fn batch_of_row(row: &Row) -> Result<Option<SettledBatch>, SinkError> {
    let number: Option<i64> = row.try_get(3).map_err(error)?;
    let Some(number) = number else {
        return Ok(None);
    };
    let raw = || -> Result<RawBatch, tokio_postgres::Error> {
        Ok((
            number,
            row.try_get(4)?,
            row.try_get(5)?,
            row.try_get(6)?,
            row.try_get(7)?,
            row.try_get(8)?,
            row.try_get(9)?,
            row.try_get(10)?,
            row.try_get(11)?,
            row.try_get(12)?,
        ))
    };
    batch(&raw().map_err(error)?).map(Some)
}

fn of_row(row: &Row) -> Result<Followed, SinkError> {
    let raw = || -> Result<Raw, tokio_postgres::Error> {
        Ok((
            row.try_get(0)?,
            row.try_get(1)?,
            row.try_get(2)?,
            row.try_get(3)?,
            row.try_get(4)?,
            row.try_get(5)?,
            row.try_get(6)?,
            row.try_get(7)?,
            row.try_get(8)?,
            row.try_get(9)?,
            row.try_get(10)?,
            row.try_get(11)?,
            row.try_get(12)?,
            row.try_get(13)?,
            row.try_get(14)?,
        ))
    };
    entry(raw().map_err(error)?)
}
