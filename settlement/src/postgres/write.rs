//! Writing a batch to PostgreSQL inside a transaction that the sink opens and commits. The
//! watermark is locked and compared before anything else.

use protocol::Sequence;
use protocol::cut::SupplyRow;
use tokio::runtime::Runtime;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Statement, Transaction};

use super::balances::{self, Balances};
use super::history::History;
use super::value::{Numeric, Uuid};
use super::{read, retryable, wait};
use crate::cast::{count, signed};
use crate::sink::{Batch, EffectSource, SinkError};
use crate::watermark::{Watermark, compare};

const UPSERT_SUPPLY: &str = "
    INSERT INTO bezant.asset_supply (asset, scale, name, issued, destroyed, liquid, held, staked,
        bonded, credit_granted, credit_used, sequence)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
    ON CONFLICT (asset) DO UPDATE SET scale = excluded.scale, name = excluded.name,
        issued = excluded.issued, destroyed = excluded.destroyed, liquid = excluded.liquid,
        held = excluded.held, staked = excluded.staked, bonded = excluded.bonded,
        credit_granted = excluded.credit_granted, credit_used = excluded.credit_used,
        sequence = excluded.sequence";

const APPEND_SUPPLY: &str = "
    INSERT INTO bezant.supply_history (batch, asset, issued, destroyed, liquid, held, staked,
        bonded, credit_granted, credit_used)
    SELECT $1::bigint, asset, issued, destroyed, liquid, held, staked, bonded, credit_granted,
        credit_used
    FROM bezant.asset_supply";

const INSERT_BATCH: &str = "
    INSERT INTO bezant.settlement_batches (batch, from_sequence, through_sequence, epoch, complete,
        accounts, effects, chain_hash, run_digest, timestamp_ns)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";

const SET_WATERMARK: &str = "
    INSERT INTO bezant.settlement_watermark (only_row, frame, epoch, next_sequence, chain_hash,
        run_digest, timestamp_ns, batch)
    VALUES (1, $1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT (only_row) DO UPDATE SET epoch = excluded.epoch,
        next_sequence = excluded.next_sequence, chain_hash = excluded.chain_hash,
        run_digest = excluded.run_digest, timestamp_ns = excluded.timestamp_ns,
        batch = excluded.batch
    WHERE bezant.settlement_watermark.next_sequence = $8
        AND bezant.settlement_watermark.frame = excluded.frame";

const NOTIFY: &str = "
    SELECT pg_notify('bezant_settlement', json_build_object('batch', $1::bigint,
        'from', $2::bigint, 'through', $3::bigint)::text)";

/// Everything a batch runs, prepared once per connection.
#[derive(Debug)]
pub(super) struct Statements {
    lock_watermark: Statement,
    balances: Balances,
    upsert_supply: Statement,
    append_supply: Statement,
    history: History,
    insert_batch: Statement,
    set_watermark: Statement,
    notify: Statement,
}

impl Statements {
    pub(super) fn prepare(runtime: &Runtime, client: &Client) -> Result<Self, SinkError> {
        let statement = |sql: &'static str| wait(runtime, client.prepare(sql));
        Ok(Self {
            lock_watermark: statement(read::LOCK_WATERMARK)?,
            balances: Balances::prepare(runtime, client)?,
            upsert_supply: statement(UPSERT_SUPPLY)?,
            append_supply: statement(APPEND_SUPPLY)?,
            history: History::prepare(runtime, client)?,
            insert_batch: statement(INSERT_BATCH)?,
            set_watermark: statement(SET_WATERMARK)?,
            notify: statement(NOTIFY)?,
        })
    }
}

/// Everything of a batch but COMMIT.
pub(super) fn batch(
    runtime: &Runtime,
    transaction: &Transaction<'_>,
    statements: &Statements,
    batch: &Batch<'_>,
    expected: Option<&Watermark>,
    effects: &mut dyn EffectSource,
) -> Result<(), SinkError> {
    let row = wait(runtime, transaction.query_opt(&statements.lock_watermark, &[]))?;
    let stored = read::watermark(row)?;
    let (before, number) = match &stored {
        Some((watermark, number)) => (watermark.next_sequence, number + 1),
        None => (Sequence(0), 1),
    };
    let target = batch.target();
    let stored = stored.as_ref().map(|(watermark, _)| watermark);
    compare(expected, stored, &target)?;
    let is_empty = stored.is_none();
    let rows = &batch.cut.accounts;
    balances::write(runtime, transaction, &statements.balances, rows, batch.cut.through, is_empty)?;
    for row in &batch.cut.supply {
        let upsert = &statements.upsert_supply;
        write_supply(runtime, transaction, upsert, row, batch.cut.through)?;
    }
    wait(runtime, transaction.execute(&statements.append_supply, &[&number]))?;
    let mut written = 0;
    if batch.history {
        effects.deliver(&mut |block| {
            written += count(block.len());
            statements.history.append(runtime, transaction, block)
        })?;
    }
    let numbers = Numbers {
        batch: number,
        before: signed(before.0),
        effects: batch.history.then_some(written),
    };
    write_watermark(runtime, transaction, statements, batch, &numbers)
}

fn write_supply(
    runtime: &Runtime,
    transaction: &Transaction<'_>,
    upsert: &Statement,
    row: &SupplyRow,
    through: Sequence,
) -> Result<(), SinkError> {
    let [held, staked, bonded, granted, used] =
        [row.held, row.staked, row.bonded, row.credit_granted, row.credit_used].map(Numeric::from);
    let values: [&(dyn ToSql + Sync); 12] = [
        &i64::from(row.asset),
        &i32::from(row.scale),
        &row.name,
        &Numeric::from(row.issued),
        &Numeric::from(row.destroyed),
        &Numeric::from(row.liquid),
        &held,
        &staked,
        &bonded,
        &granted,
        &used,
        &signed(through.0),
    ];
    wait(runtime, transaction.execute(upsert, &values)).map(drop)
}

/// What a batch is called and counts.
struct Numbers {
    batch: i64,
    before: i64,
    effects: Option<i64>,
}

fn write_watermark(
    runtime: &Runtime,
    transaction: &Transaction<'_>,
    statements: &Statements,
    batch: &Batch<'_>,
    numbers: &Numbers,
) -> Result<(), SinkError> {
    let target = batch.target();
    let [hash, digest] = [&target.chain_hash[..], &target.run_digest[..]];
    let epoch = signed(target.epoch);
    let timestamp = signed(target.timestamp);
    let [from, through] = [batch.after.0 + 1, batch.cut.through.0].map(signed);
    let row: [&(dyn ToSql + Sync); 10] = [
        &numbers.batch,
        &from,
        &through,
        &epoch,
        &batch.cut.complete,
        &count(batch.cut.accounts.len()),
        &numbers.effects,
        &hash,
        &digest,
        &timestamp,
    ];
    wait(runtime, transaction.execute(&statements.insert_batch, &row))?;
    let row: [&(dyn ToSql + Sync); 8] = [
        &Uuid(target.frame),
        &epoch,
        &signed(target.next_sequence.0),
        &hash,
        &digest,
        &timestamp,
        &numbers.batch,
        &numbers.before,
    ];
    let moved = wait(runtime, transaction.execute(&statements.set_watermark, &row))?;
    if moved != 1 {
        // Two writers met on an empty database; the other was first.
        return Err(retryable("another writer made the first watermark"));
    }
    let payload: [&(dyn ToSql + Sync); 3] = [&numbers.batch, &from, &through];
    wait(runtime, transaction.execute(&statements.notify, &payload)).map(drop)
}
