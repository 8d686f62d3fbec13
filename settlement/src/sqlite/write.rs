//! Writing a batch to SQLite inside a transaction that the sink opens and commits.
//!
//! A parameter keeps its value from one row to the next, so only what changed is bound again. A
//! balance replaces the row of its key in one search of the tree, which holds as long as the table
//! has no other index. Invariant: every column is given, so that nothing of an old row stays.

use protocol::Sequence;
use protocol::cut::{AccountRows, SupplyRow};
use protocol::effect::Effect;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Statement, ToSql, Transaction, params};

use super::error;
use crate::cast::{count, signed, uuid_text};
use crate::sink::{Batch, SinkError};
use crate::text::Text;

/// A value to be bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value {
    Null,
    Integer(i64),
    Signed(i128),
    Unsigned(u128),
    Id(u128),
}

impl Value {
    /// `NULL` for 0: nobody.
    const fn named(id: u128) -> Self {
        if id == 0 { Self::Null } else { Self::Id(id) }
    }
}

impl ToSql for Text {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Text(self.as_bytes())))
    }
}

fn bind(statement: &mut Statement<'_>, place: usize, value: Value) -> rusqlite::Result<()> {
    match value {
        Value::Null => statement.raw_bind_parameter(place, rusqlite::types::Null),
        Value::Integer(value) => statement.raw_bind_parameter(place, value),
        Value::Signed(value) => statement.raw_bind_parameter(place, Text::signed(value)),
        Value::Unsigned(value) => statement.raw_bind_parameter(place, Text::unsigned(value)),
        Value::Id(id) => statement.raw_bind_parameter(place, Text::uuid(id)),
    }
}

/// Rows after which whoever waits for this core has a turn: a tenth of a millisecond. A stage that
/// is woken here would wait for the next tick of the kernel's clock, 4 ms on many, whatever the
/// niceness of this thread.
const ROWS_A_TURN: usize = 64;

/// Runs `statement` once for each row.
fn run<const N: usize>(
    statement: &mut Statement<'_>,
    rows: impl Iterator<Item = [Value; N]>,
) -> rusqlite::Result<()> {
    let mut bound: Option<[Value; N]> = None;
    for (place, row) in rows.enumerate() {
        if place % ROWS_A_TURN == ROWS_A_TURN - 1 {
            std::thread::yield_now();
        }
        for (at, value) in row.iter().enumerate() {
            if bound.as_ref().is_none_or(|bound| bound[at] != *value) {
                bind(statement, at + 1, *value)?;
            }
        }
        statement.raw_execute()?;
        bound = Some(row);
    }
    Ok(())
}

pub(super) fn balances(
    transaction: &Transaction<'_>,
    rows: &AccountRows,
    through: Sequence,
) -> Result<(), SinkError> {
    let through = signed(through.0);
    let values = rows.merged().map(|row| {
        [
            Value::Id(row.owner),
            Value::Integer(row.asset.into()),
            Value::Integer(row.host.into()),
            Value::Signed(row.liquid),
            Value::Unsigned(row.held),
            Value::Unsigned(row.staked),
            Value::Unsigned(row.bonded),
            Value::Unsigned(row.minimum),
            Value::Unsigned(row.credit_limit),
            Value::Integer(row.flags.into()),
            Value::Integer(through),
        ]
    });
    transaction
        .prepare_cached(
            "INSERT OR REPLACE INTO account_balances (owner, asset, host, liquid, held, staked,
                 bonded, minimum, credit_limit, flags, sequence)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )
        .and_then(|mut replace| run(&mut replace, values))
        .map_err(error)
}

pub(super) fn effects(transaction: &Transaction<'_>, block: &[Effect]) -> Result<(), SinkError> {
    let values = block.iter().map(|effect| {
        [
            Value::Integer(signed(effect.sequence)),
            Value::Integer(effect.leg.into()),
            Value::Integer(effect.event.into()),
            Value::Integer(effect.asset.into()),
            Value::named(effect.debit),
            Value::Integer(effect.debit_bucket.into()),
            Value::named(effect.credit),
            Value::Integer(effect.credit_bucket.into()),
            Value::Unsigned(effect.amount),
            Value::Signed(effect.debit_after),
            Value::Signed(effect.credit_after),
            Value::Integer(effect.rate.into()),
            Value::named(effect.reference),
            Value::Unsigned(effect.user_data.into()),
        ]
    });
    transaction
        .prepare_cached(
            "INSERT INTO effects (sequence, leg, event, asset, debit, debit_bucket, credit,
                 credit_bucket, amount, debit_after, credit_after, rate, reference, user_data)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
        )
        .and_then(|mut insert| run(&mut insert, values))
        .map_err(error)
}

pub(super) fn supply(
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

pub(super) fn batch(
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
