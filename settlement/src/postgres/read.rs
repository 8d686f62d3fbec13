//! Reading back what was settled to PostgreSQL. Numbers come as text, so that nothing is rounded;
//! a value that no settlement writes is refused.

use protocol::Sequence;
use protocol::cut::{AccountRow, SupplyRow};
use protocol::wide::Wide;
use tokio_postgres::{Client, IsolationLevel, Row, Transaction};

use super::{column, error};
use crate::sink::SinkError;
use crate::verify::{BatchAudit, PostingSum, ReadBack};
use crate::watermark::Watermark;

pub(super) const WATERMARK: &str = "
    SELECT frame::text, epoch, next_sequence, chain_hash, run_digest, timestamp_ns, batch
    FROM bezant.settlement_watermark";

pub(super) const LOCK_WATERMARK: &str = "
    SELECT frame::text, epoch, next_sequence, chain_hash, run_digest, timestamp_ns, batch
    FROM bezant.settlement_watermark FOR UPDATE";

const BALANCES: &str = "
    SELECT owner::text, asset, host, liquid::text, held::text, staked::text, bonded::text,
           minimum::text, credit_limit::text, flags
    FROM bezant.account_balances ORDER BY owner, asset";

const SUPPLY: &str = "
    SELECT asset, scale::bigint, name, issued::text, destroyed::text, liquid::text, held::text,
           staked::text, bonded::text, credit_granted::text, credit_used::text
    FROM bezant.asset_supply ORDER BY asset";

const BATCHES: &str = "
    SELECT from_sequence, through_sequence, chain_hash, effects
    FROM bezant.settlement_batches ORDER BY batch";

/// A used key (80) is no posting: its amount is a digest.
const POSTINGS: &str = "
    SELECT owner::text, asset, bucket::bigint, sum(debit)::text, sum(credit)::text
    FROM (SELECT debit AS owner, asset, debit_bucket AS bucket, amount AS debit, 0 AS credit
          FROM bezant.effects WHERE amount <> 0 AND event <> 80
          UNION ALL
          SELECT credit, asset, credit_bucket, 0, amount
          FROM bezant.effects WHERE amount <> 0 AND event <> 80) AS sides
    GROUP BY owner, asset, bucket ORDER BY owner NULLS FIRST, asset, bucket";

/// Whole tables are read, unlike when a batch is written.
const READING: &str = "SET LOCAL statement_timeout = 0; SET LOCAL enable_seqscan = on";

/// Rows fetched at a time.
const FETCH: i32 = 10_000;

/// The watermark and the number of its batch.
pub(super) fn watermark(row: Option<Row>) -> Result<Option<(Watermark, i64)>, SinkError> {
    const TABLE: &str = "settlement_watermark";
    let Some(row) = row else {
        return Ok(None);
    };
    let frame: String = row.try_get(0).map_err(error)?;
    let [hash, digest]: [Vec<u8>; 2] =
        [row.try_get(3).map_err(error)?, row.try_get(4).map_err(error)?];
    let watermark = Watermark {
        frame: column(TABLE, "frame").uuid(&frame)?,
        epoch: integer(&row, 1, TABLE, "epoch")?,
        next_sequence: Sequence(integer(&row, 2, TABLE, "next_sequence")?),
        chain_hash: column(TABLE, "chain_hash").bytes(&hash)?,
        run_digest: column(TABLE, "run_digest").bytes(&digest)?,
        timestamp: integer(&row, 5, TABLE, "timestamp_ns")?,
    };
    Ok(Some((watermark, row.try_get(6).map_err(error)?)))
}

/// Everything, in one snapshot.
pub(super) async fn everything(client: &mut Client) -> Result<ReadBack, SinkError> {
    let transaction = client
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await
        .map_err(error)?;
    transaction.batch_execute(READING).await.map_err(error)?;
    let stored = transaction.query_opt(WATERMARK, &[]).await.map_err(error)?;
    let counted =
        transaction.query_one("SELECT count(*) FROM bezant.effects", &[]).await.map_err(error)?;
    let mut batches = BatchAudit::default();
    each(&transaction, BATCHES, |row| add_batch(&mut batches, row)).await?;
    Ok(ReadBack {
        watermark: watermark(stored)?.map(|(watermark, _)| watermark),
        balances: collect(&transaction, BALANCES, account).await?,
        supply: collect(&transaction, SUPPLY, supply).await?,
        batches,
        effects: integer(&counted, 0, "effects", "count")?,
        postings: collect(&transaction, POSTINGS, posting).await?,
    })
}

async fn collect<T>(
    transaction: &Transaction<'_>,
    sql: &str,
    read: fn(&Row) -> Result<T, SinkError>,
) -> Result<Vec<T>, SinkError> {
    let mut all = Vec::new();
    each(transaction, sql, |row| {
        all.push(read(row)?);
        Ok(())
    })
    .await?;
    Ok(all)
}

async fn each(
    transaction: &Transaction<'_>,
    sql: &str,
    mut visit: impl FnMut(&Row) -> Result<(), SinkError>,
) -> Result<(), SinkError> {
    let portal = transaction.bind(sql, &[]).await.map_err(error)?;
    loop {
        let rows = transaction.query_portal(&portal, FETCH).await.map_err(error)?;
        if rows.is_empty() {
            return Ok(());
        }
        rows.iter().try_for_each(&mut visit)?;
    }
}

fn integer<T: TryFrom<i64>>(
    row: &Row,
    at: usize,
    table: &'static str,
    name: &'static str,
) -> Result<T, SinkError> {
    let value: i64 = row.try_get(at).map_err(error)?;
    column(table, name).number(value)
}

fn decimal<T: std::str::FromStr>(
    row: &Row,
    at: usize,
    table: &'static str,
    name: &'static str,
) -> Result<T, SinkError> {
    let text: &str = row.try_get(at).map_err(error)?;
    column(table, name).decimal(text)
}

fn wide(row: &Row, at: usize, table: &'static str, name: &'static str) -> Result<Wide, SinkError> {
    let text: &str = row.try_get(at).map_err(error)?;
    column(table, name).wide(text)
}

fn account(row: &Row) -> Result<AccountRow, SinkError> {
    const TABLE: &str = "account_balances";
    let owner: &str = row.try_get(0).map_err(error)?;
    Ok(AccountRow {
        owner: column(TABLE, "owner").uuid(owner)?,
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

fn supply(row: &Row) -> Result<SupplyRow, SinkError> {
    const TABLE: &str = "asset_supply";
    Ok(SupplyRow {
        asset: integer(row, 0, TABLE, "asset")?,
        scale: integer(row, 1, TABLE, "scale")?,
        name: row.try_get(2).map_err(error)?,
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

fn posting(row: &Row) -> Result<PostingSum, SinkError> {
    const TABLE: &str = "effects";
    let owner: Option<&str> = row.try_get(0).map_err(error)?;
    Ok(PostingSum {
        owner: owner.map(|owner| column(TABLE, "debit, credit").uuid(owner)).transpose()?,
        asset: integer(row, 1, TABLE, "asset")?,
        bucket: integer(row, 2, TABLE, "debit_bucket, credit_bucket")?,
        debit: wide(row, 3, TABLE, "amount")?,
        credit: wide(row, 4, TABLE, "amount")?,
    })
}

fn add_batch(audit: &mut BatchAudit, row: &Row) -> Result<(), SinkError> {
    const TABLE: &str = "settlement_batches";
    let hash: &[u8] = row.try_get(2).map_err(error)?;
    let effects: Option<i64> = row.try_get(3).map_err(error)?;
    audit.add(
        Sequence(integer(row, 0, TABLE, "from_sequence")?),
        Sequence(integer(row, 1, TABLE, "through_sequence")?),
        column(TABLE, "chain_hash").bytes(hash)?,
        effects.map(|effects| column(TABLE, "effects").number(effects)).transpose()?,
    );
    Ok(())
}
