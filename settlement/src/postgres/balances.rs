//! Balances to PostgreSQL: rows that are there are updated, the others inserted, from arrays.
//!
//! An update through the key is cheaper than `ON CONFLICT DO UPDATE`, and nearly every row of a cut
//! is there already. The next arrays are made while the server works on the ones before. Invariant:
//! each row is written once, which the counts that the server returns prove; otherwise nothing is.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use protocol::Sequence;
use protocol::cut::{AccountRow, AccountRows, Keyed, LiquidRow, Sheets};
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

/// A row as cuts have it: of every column, or of those that are not zero.
trait Row: Keyed + std::fmt::Debug + Into<AccountRow> + Sync {}

impl Row for LiquidRow {}
impl Row for AccountRow {}

/// A statement under way.
struct Sent<'a, R> {
    work: Pin<Box<dyn Future<Output = Result<Done<R>, Error>> + 'a>>,
}

/// The rows that a statement was given, and how many it wrote.
struct Done<R> {
    rows: Vec<R>,
    written: u64,
}

impl<R> Done<R> {
    /// Not as many as it was given.
    fn is_partly(&self) -> bool {
        usize::try_from(self.written).ok() != Some(self.rows.len())
    }
}

/// Where rows are written.
#[derive(Clone, Copy)]
struct Table<'a> {
    transaction: &'a Transaction<'a>,
    statements: &'a Balances,
    through: i64,
    /// The table is expected to have none of the rows.
    is_empty: bool,
}

/// Writes `rows`; `is_empty` says that the table is expected to have none of them.
pub(super) fn write(
    runtime: &Runtime,
    transaction: &Transaction<'_>,
    statements: &Balances,
    rows: &AccountRows,
    through: Sequence,
    is_empty: bool,
) -> Result<(), SinkError> {
    let table = Table { transaction, statements, through: signed(through.0), is_empty };
    runtime.block_on(async {
        table.write(rows.liquid(), Table::update_liquid).await?;
        table.write(rows.other(), Table::update).await
    })
}

impl<'a> Table<'a> {
    async fn write<R: Row>(
        self,
        rows: &Sheets<R>,
        update: fn(Self, Vec<R>) -> Sent<'a, R>,
    ) -> Result<(), SinkError> {
        let update = |rows| update(self, rows);
        let insert = |rows| self.insert(rows);
        if self.is_empty {
            // Whoever emptied the watermark may have left rows.
            for partly in each(rows.merged(), insert).await? {
                if !each(partly.rows.into_iter(), update).await?.is_empty() {
                    return Err(disturbed());
                }
            }
            return Ok(());
        }
        for partly in each(rows.merged(), update).await? {
            let mut both = once(insert(partly.rows)).await?;
            both.written += partly.written;
            if both.is_partly() {
                return Err(disturbed());
            }
        }
        Ok(())
    }

    fn update_liquid(self, rows: Vec<LiquidRow>) -> Sent<'a, LiquidRow> {
        let work = Box::pin(async move {
            let [owner, asset, host, liquid] = first_columns(&rows);
            let values: [&(dyn ToSql + Sync); 5] = [&owner, &asset, &host, &liquid, &self.through];
            let statement = &self.statements.update_liquid;
            let written = self.transaction.execute(statement, &values).await?;
            Ok(Done { rows, written })
        });
        Sent { work }
    }

    fn update(self, rows: Vec<AccountRow>) -> Sent<'a, AccountRow> {
        self.all_columns(&self.statements.update, rows)
    }

    fn insert<R: Row + 'a>(self, rows: Vec<R>) -> Sent<'a, R> {
        self.all_columns(&self.statements.insert, rows)
    }

    fn all_columns<R: Row + 'a>(self, statement: &'a Statement, given: Vec<R>) -> Sent<'a, R> {
        let work = Box::pin(async move {
            let rows = given.as_slice();
            let [owner, asset, host, liquid] = first_columns(rows);
            let [held, staked, bonded, minimum, limit, flags]: [Array<'_, R>; 6] = [
                Array { rows, field: |row| Value::amount(full(row).held) },
                Array { rows, field: |row| Value::amount(full(row).staked) },
                Array { rows, field: |row| Value::amount(full(row).bonded) },
                Array { rows, field: |row| Value::amount(full(row).minimum) },
                Array { rows, field: |row| Value::amount(full(row).credit_limit) },
                Array { rows, field: |row| Value::Big(full(row).flags.into()) },
            ];
            let values: [&(dyn ToSql + Sync); 11] = [
                &owner,
                &asset,
                &host,
                &liquid,
                &held,
                &staked,
                &bonded,
                &minimum,
                &limit,
                &flags,
                &self.through,
            ];
            let written = self.transaction.execute(statement, &values).await?;
            Ok(Done { rows: given, written })
        });
        Sent { work }
    }
}

fn full<R: Row>(row: &R) -> AccountRow {
    (*row).into()
}

fn first_columns<R: Row>(rows: &[R]) -> [Array<'_, R>; 4] {
    [
        Array { rows, field: |row| Value::Id(full(row).owner) },
        Array { rows, field: |row| Value::Big(full(row).asset.into()) },
        Array { rows, field: |row| Value::Big(full(row).host.into()) },
        Array { rows, field: |row| Value::amount(full(row).liquid) },
    ]
}

/// A row came or went between two statements of the transaction.
fn disturbed() -> SinkError {
    retryable("somebody else writes to account_balances: revoke what this role alone needs")
}

/// Runs a statement for each few of `rows`, one ahead; gives those that wrote fewer than they were
/// given.
async fn each<'a, R>(
    mut rows: impl Iterator<Item = R>,
    statement: impl Fn(Vec<R>) -> Sent<'a, R>,
) -> Result<Vec<Done<R>>, SinkError> {
    let mut partly = Vec::new();
    let mut before: Option<Sent<'a, R>> = None;
    loop {
        let few: Vec<R> = rows.by_ref().take(ROWS_MAX).collect();
        let next = if few.is_empty() { None } else { Some(sent(statement(few)).await?) };
        let is_last = next.is_none();
        if let Some(before) = std::mem::replace(&mut before, next) {
            let done = once(before).await?;
            if done.is_partly() {
                partly.push(done);
            }
        }
        if is_last {
            return Ok(partly);
        }
    }
}

/// Has the statement on its way to the server.
async fn sent<R>(mut statement: Sent<'_, R>) -> Result<Sent<'_, R>, SinkError> {
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
async fn once<R>(statement: Sent<'_, R>) -> Result<Done<R>, SinkError> {
    match tokio::time::timeout(REQUEST_TIMEOUT, statement.work).await {
        Ok(answer) => answer.map_err(error),
        Err(elapsed) => Err(retryable(elapsed)),
    }
}
