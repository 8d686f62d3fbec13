//! Balances to PostgreSQL: rows that are there are updated, the others inserted, from arrays.
//!
//! An update through the key is cheaper than `ON CONFLICT DO UPDATE`, and nearly every row of a cut
//! is there already. The next arrays are made while the server works on the ones before. Invariant:
//! each row is written once, which the counts that the server returns prove; otherwise nothing is.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use protocol::Sequence;
use protocol::cut::AccountRow;
use tokio::runtime::Runtime;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Statement, Transaction};

use super::value::{Array, Value};
use super::{REQUEST_TIMEOUT, error, retryable, wait};
use crate::cast::signed;
use crate::sink::SinkError;

/// Rows of a statement: enough to forget its own cost, few enough to overlap.
const ROWS_MAX: usize = 4_096;

/// Rows with nothing but a host and a liquid balance.
const UPDATE_LIQUID: &str = "
    UPDATE bezant.account_balances AS old SET host = new.host, liquid = new.liquid, held = 0,
        staked = 0, bonded = 0, minimum = 0, credit_limit = 0, flags = 0, sequence = $5::bigint
    FROM (SELECT unnest($1::uuid[]) AS owner, unnest($2::bigint[]) AS asset,
                 unnest($3::bigint[]) AS host, unnest($4::numeric[]) AS liquid) AS new
    WHERE old.owner = new.owner AND old.asset = new.asset";

const UPDATE: &str = "
    UPDATE bezant.account_balances AS old SET host = new.host, liquid = new.liquid,
        held = new.held, staked = new.staked, bonded = new.bonded, minimum = new.minimum,
        credit_limit = new.credit_limit, flags = new.flags, sequence = $11::bigint
    FROM (SELECT unnest($1::uuid[]) AS owner, unnest($2::bigint[]) AS asset,
                 unnest($3::bigint[]) AS host, unnest($4::numeric[]) AS liquid,
                 unnest($5::numeric[]) AS held, unnest($6::numeric[]) AS staked,
                 unnest($7::numeric[]) AS bonded, unnest($8::numeric[]) AS minimum,
                 unnest($9::numeric[]) AS credit_limit, unnest($10::bigint[]) AS flags) AS new
    WHERE old.owner = new.owner AND old.asset = new.asset";

const INSERT: &str = "
    INSERT INTO bezant.account_balances (owner, asset, host, liquid, held, staked, bonded, minimum,
        credit_limit, flags, sequence)
    SELECT unnest($1::uuid[]), unnest($2::bigint[]), unnest($3::bigint[]), unnest($4::numeric[]),
        unnest($5::numeric[]), unnest($6::numeric[]), unnest($7::numeric[]), unnest($8::numeric[]),
        unnest($9::numeric[]), unnest($10::bigint[]), $11::bigint
    ON CONFLICT (owner, asset) DO NOTHING";

/// What writes balances, prepared once per connection.
#[derive(Debug)]
pub(super) struct Balances {
    update_liquid: Statement,
    update: Statement,
    insert: Statement,
}

impl Balances {
    pub(super) fn prepare(runtime: &Runtime, client: &Client) -> Result<Self, SinkError> {
        let statement = |sql: &'static str| wait(runtime, client.prepare(sql));
        Ok(Self {
            update_liquid: statement(UPDATE_LIQUID)?,
            update: statement(UPDATE)?,
            insert: statement(INSERT)?,
        })
    }
}

type Row<'a> = &'a AccountRow;

/// A statement under way: how many rows it was given and, once it is done, how many it wrote.
struct Sent<'a> {
    rows: &'a [Row<'a>],
    work: Pin<Box<dyn Future<Output = Result<u64, Error>> + 'a>>,
}

/// Writes `rows`; `is_empty` says that the table is expected to have none of them.
pub(super) fn write(
    runtime: &Runtime,
    transaction: &Transaction<'_>,
    statements: &Balances,
    rows: &[AccountRow],
    through: Sequence,
    is_empty: bool,
) -> Result<(), SinkError> {
    let (liquid, other): (Vec<Row<'_>>, Vec<Row<'_>>) = rows.iter().partition(|row| {
        row.held == 0
            && row.staked == 0
            && row.bonded == 0
            && row.minimum == 0
            && row.credit_limit == 0
            && row.flags == 0
    });
    let groups = [(&liquid, true), (&other, false)];
    let through = signed(through.0);
    runtime.block_on(async {
        for (rows, is_liquid) in groups {
            let update = |rows| update(transaction, statements, rows, through, is_liquid);
            let insert = |rows| insert(transaction, statements, rows, through);
            if is_empty {
                // Whoever emptied the watermark may have left rows.
                let partly = each(rows, insert).await?;
                let mut rest = Vec::new();
                for (rows, _) in partly {
                    rest.extend(each(rows, update).await?);
                }
                if !rest.is_empty() {
                    return Err(disturbed());
                }
            } else {
                for (rows, updated) in each(rows, update).await? {
                    let inserted = once(insert(rows)).await?;
                    if usize::try_from(updated + inserted).ok() != Some(rows.len()) {
                        return Err(disturbed());
                    }
                }
            }
        }
        Ok(())
    })
}

/// A row came or went between two statements of the transaction.
fn disturbed() -> SinkError {
    retryable("somebody else writes to account_balances: revoke what this role alone needs")
}

/// Runs a statement for each few of `rows`, one ahead; gives those that wrote fewer than they were
/// given.
async fn each<'a>(
    rows: &'a [Row<'a>],
    statement: impl Fn(&'a [Row<'a>]) -> Sent<'a>,
) -> Result<Vec<(&'a [Row<'a>], u64)>, SinkError> {
    let mut partly = Vec::new();
    let mut before: Option<Sent<'a>> = None;
    for few in rows.chunks(ROWS_MAX).map(Some).chain([None]) {
        let next = match few {
            Some(few) => Some(sent(statement(few)).await?),
            None => None,
        };
        if let Some(done) = before {
            let given = done.rows;
            let written = once(done).await?;
            if usize::try_from(written).ok() != Some(given.len()) {
                partly.push((given, written));
            }
        }
        before = next;
    }
    Ok(partly)
}

/// Has the statement on its way to the server.
async fn sent(mut statement: Sent<'_>) -> Result<Sent<'_>, SinkError> {
    let begun = poll_fn(|context| Poll::Ready(statement.work.as_mut().poll(context))).await;
    if let Poll::Ready(Err(cause)) = begun {
        return Err(error(cause));
    }
    assert!(begun.is_pending(), "an answer comes through the connection, which has not run");
    // The connection sends what it was given.
    tokio::task::yield_now().await;
    Ok(statement)
}

/// Waits for the statement's answer.
async fn once(statement: Sent<'_>) -> Result<u64, SinkError> {
    match tokio::time::timeout(REQUEST_TIMEOUT, statement.work).await {
        Ok(answer) => answer.map_err(error),
        Err(elapsed) => Err(retryable(elapsed)),
    }
}

fn update<'a>(
    transaction: &'a Transaction<'_>,
    statements: &'a Balances,
    rows: &'a [Row<'a>],
    through: i64,
    is_liquid: bool,
) -> Sent<'a> {
    if !is_liquid {
        return all_columns(transaction, &statements.update, rows, through);
    }
    let work = Box::pin(async move {
        let [owner, asset, host, liquid] = first_columns(rows);
        let values: [&(dyn ToSql + Sync); 5] = [&owner, &asset, &host, &liquid, &through];
        transaction.execute(&statements.update_liquid, &values).await
    });
    Sent { rows, work }
}

fn insert<'a>(
    transaction: &'a Transaction<'_>,
    statements: &'a Balances,
    rows: &'a [Row<'a>],
    through: i64,
) -> Sent<'a> {
    all_columns(transaction, &statements.insert, rows, through)
}

fn first_columns<'a>(rows: &'a [Row<'a>]) -> [Array<'a, Row<'a>>; 4] {
    [
        Array { rows, field: |row| Value::Id(row.owner) },
        Array { rows, field: |row| Value::Big(row.asset.into()) },
        Array { rows, field: |row| Value::Big(row.host.into()) },
        Array { rows, field: |row| Value::amount(row.liquid) },
    ]
}

fn all_columns<'a>(
    transaction: &'a Transaction<'_>,
    statement: &'a Statement,
    rows: &'a [Row<'a>],
    through: i64,
) -> Sent<'a> {
    let work = Box::pin(async move {
        let [owner, asset, host, liquid] = first_columns(rows);
        let [held, staked, bonded, minimum, limit, flags]: [Array<'_, Row<'_>>; 6] = [
            Array { rows, field: |row| Value::amount(row.held) },
            Array { rows, field: |row| Value::amount(row.staked) },
            Array { rows, field: |row| Value::amount(row.bonded) },
            Array { rows, field: |row| Value::amount(row.minimum) },
            Array { rows, field: |row| Value::amount(row.credit_limit) },
            Array { rows, field: |row| Value::Big(row.flags.into()) },
        ];
        let values: [&(dyn ToSql + Sync); 11] = [
            &owner, &asset, &host, &liquid, &held, &staked, &bonded, &minimum, &limit, &flags,
            &through,
        ];
        transaction.execute(statement, &values).await
    });
    Sent { rows, work }
}
