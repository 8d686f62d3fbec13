//! Reading back what was settled to SQLite. It only reads, and refuses a value that no settlement
//! writes instead of guessing.

use std::collections::BTreeMap;

use protocol::Sequence;
use protocol::cut::{AccountRow, SupplyRow};
use protocol::wide::Wide;
use rusqlite::{Connection, OptionalExtension, Row};

use super::{column, error};
use crate::sink::SinkError;
use crate::verify::{BatchAudit, PostingSum, ReadBack};
use crate::watermark::Watermark;

/// The watermark and the number of its batch.
pub(super) fn watermark(connection: &Connection) -> Result<Option<(Watermark, i64)>, SinkError> {
    const TABLE: &str = "settlement_watermark";
    type Raw = (String, i64, i64, Vec<u8>, Vec<u8>, i64, i64);
    let raw: Option<Raw> = connection
        .prepare_cached(
            "SELECT frame, epoch, next_sequence, chain_hash, run_digest, timestamp_ns, batch
             FROM settlement_watermark",
        )
        .and_then(|mut select| select.query_row([], |row| row.try_into()).optional())
        .map_err(error)?;
    let Some((frame, epoch, next, hash, digest, timestamp, batch)) = raw else {
        return Ok(None);
    };
    let watermark = Watermark {
        frame: column(TABLE, "frame").uuid(&frame)?,
        epoch: column(TABLE, "epoch").number(epoch)?,
        next_sequence: Sequence(column(TABLE, "next_sequence").number(next)?),
        chain_hash: column(TABLE, "chain_hash").bytes(&hash)?,
        run_digest: column(TABLE, "run_digest").bytes(&digest)?,
        timestamp: column(TABLE, "timestamp_ns").number(timestamp)?,
    };
    Ok(Some((watermark, batch)))
}

/// Everything; the caller has opened a transaction, so it is one snapshot.
pub(super) fn everything(connection: &Connection) -> Result<ReadBack, SinkError> {
    let (effects, postings) = postings(connection)?;
    Ok(ReadBack {
        watermark: watermark(connection)?.map(|(watermark, _)| watermark),
        balances: collect(
            connection,
            "SELECT owner, asset, host, liquid, held, staked, bonded, minimum, credit_limit, flags
             FROM account_balances ORDER BY owner, asset",
            account,
        )?,
        supply: collect(
            connection,
            "SELECT asset, scale, name, issued, destroyed, liquid, held, staked, bonded,
                    credit_granted, credit_used
             FROM asset_supply ORDER BY asset",
            supply,
        )?,
        batches: batches(connection)?,
        effects,
        postings,
    })
}

fn collect<T>(
    connection: &Connection,
    sql: &str,
    read: fn(&Row<'_>) -> Result<T, SinkError>,
) -> Result<Vec<T>, SinkError> {
    let mut all = Vec::new();
    each(connection, sql, |row| {
        all.push(read(row)?);
        Ok(())
    })?;
    Ok(all)
}

fn each(
    connection: &Connection,
    sql: &str,
    mut visit: impl FnMut(&Row<'_>) -> Result<(), SinkError>,
) -> Result<(), SinkError> {
    let mut select = connection.prepare(sql).map_err(error)?;
    let mut rows = select.query([]).map_err(error)?;
    while let Some(row) = rows.next().map_err(error)? {
        visit(row)?;
    }
    Ok(())
}

fn integer<T: TryFrom<i64>>(
    row: &Row<'_>,
    at: usize,
    table: &'static str,
    name: &'static str,
) -> Result<T, SinkError> {
    let value: i64 = row.get(at).map_err(error)?;
    column(table, name).number(value)
}

fn decimal<T: std::str::FromStr>(
    row: &Row<'_>,
    at: usize,
    table: &'static str,
    name: &'static str,
) -> Result<T, SinkError> {
    let text: String = row.get(at).map_err(error)?;
    column(table, name).decimal(&text)
}

fn wide(
    row: &Row<'_>,
    at: usize,
    table: &'static str,
    name: &'static str,
) -> Result<Wide, SinkError> {
    let text: String = row.get(at).map_err(error)?;
    column(table, name).wide(&text)
}

fn account(row: &Row<'_>) -> Result<AccountRow, SinkError> {
    const TABLE: &str = "account_balances";
    let owner: String = row.get(0).map_err(error)?;
    Ok(AccountRow {
        owner: column(TABLE, "owner").uuid(&owner)?,
        asset: integer(row, 1, TABLE, "asset")?,
        host: integer(row, 2, TABLE, "host")?,
        liquid: decimal(row, 3, TABLE, "liquid")?,
        held: decimal(row, 4, TABLE, "held")?,
        staked: decimal(row, 5, TABLE, "staked")?,
        bonded: decimal(row, 6, TABLE, "bonded")?,
        minimum: decimal(row, 7, TABLE, "minimum")?,
        credit_limit: decimal(row, 8, TABLE, "credit_limit")?,
        flags: integer(row, 9, TABLE, "flags")?,
    })
}

fn supply(row: &Row<'_>) -> Result<SupplyRow, SinkError> {
    const TABLE: &str = "asset_supply";
    Ok(SupplyRow {
        asset: integer(row, 0, TABLE, "asset")?,
        scale: integer(row, 1, TABLE, "scale")?,
        name: row.get(2).map_err(error)?,
        issued: wide(row, 3, TABLE, "issued")?,
        destroyed: wide(row, 4, TABLE, "destroyed")?,
        liquid: decimal(row, 5, TABLE, "liquid")?,
        held: decimal(row, 6, TABLE, "held")?,
        staked: decimal(row, 7, TABLE, "staked")?,
        bonded: decimal(row, 8, TABLE, "bonded")?,
        credit_granted: decimal(row, 9, TABLE, "credit_granted")?,
        credit_used: decimal(row, 10, TABLE, "credit_used")?,
    })
}

fn batches(connection: &Connection) -> Result<BatchAudit, SinkError> {
    const TABLE: &str = "settlement_batches";
    let mut audit = BatchAudit::default();
    each(
        connection,
        "SELECT from_sequence, through_sequence, chain_hash, effects
         FROM settlement_batches ORDER BY batch",
        |row| {
            let hash: Vec<u8> = row.get(2).map_err(error)?;
            let effects: Option<i64> = row.get(3).map_err(error)?;
            audit.add(
                Sequence(integer(row, 0, TABLE, "from_sequence")?),
                Sequence(integer(row, 1, TABLE, "through_sequence")?),
                column(TABLE, "chain_hash").bytes(&hash)?,
                effects.map(|effects| column(TABLE, "effects").number(effects)).transpose()?,
            );
            Ok(())
        },
    )?;
    Ok(audit)
}

/// SQLite cannot add numbers past 2^63, so the postings are added up here. A used key (80) is none:
/// its amount is a digest.
fn postings(connection: &Connection) -> Result<(u64, Vec<PostingSum>), SinkError> {
    const TABLE: &str = "effects";
    type Key = (Option<u128>, u32, u8);
    let rows: i64 = connection
        .query_row("SELECT count(*) FROM effects", [], |row| row.get(0))
        .map_err(error)?;
    let mut sums: BTreeMap<Key, (Wide, Wide)> = BTreeMap::new();
    each(
        connection,
        "SELECT asset, debit, debit_bucket, credit, credit_bucket, amount FROM effects
         WHERE event <> 80",
        |row| {
            let asset: u32 = integer(row, 0, TABLE, "asset")?;
            let amount: u128 = decimal(row, 5, TABLE, "amount")?;
            if amount == 0 {
                return Ok(());
            }
            for (at, is_debit) in [(1, true), (3, false)] {
                let owner: Option<String> = row.get(at).map_err(error)?;
                let owner =
                    owner.map(|owner| column(TABLE, "debit, credit").uuid(&owner)).transpose()?;
                let bucket = integer(row, at + 1, TABLE, "debit_bucket, credit_bucket")?;
                let (debit, credit) = sums.entry((owner, asset, bucket)).or_default();
                let side = if is_debit { debit } else { credit };
                side.add(amount);
            }
            Ok(())
        },
    )?;
    let postings = sums
        .into_iter()
        .map(|((owner, asset, bucket), (debit, credit))| PostingSum {
            owner,
            asset,
            bucket,
            debit,
            credit,
        })
        .collect();
    Ok((column(TABLE, "count(*)").number(rows)?, postings))
}
