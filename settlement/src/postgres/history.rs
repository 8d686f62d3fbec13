//! Appending postings by COPY: a transfer between liquid balances and its fee in one row of
//! `transfers`, whatever else there is in `postings`.
//!
//! Invariant: the view `effects` shows each posting once, with every field as it was delivered,
//! wherever it lies and however the blocks were cut.

use std::future::poll_fn;
use std::pin::Pin;

use bytes::Bytes;
use futures_sink::Sink as _;
use protocol::effect::{Bucket, Effect, Event};
use tokio::runtime::Runtime;
use tokio_postgres::{Client, CopyInSink, Error, Statement, Transaction};

use super::value::{CopyRows, Value};
use super::wait;
use crate::cast::signed;
use crate::sink::SinkError;

/// Postings of a COPY, so that one statement stays far below its timeout.
const ROWS_MAX: usize = 65_536;

const COPY_TRANSFERS: &str = "
    COPY bezant.transfers (sequence, amount, debit_after, credit_after, asset, rate, debit, credit,
        fee, fee_account_after, user_data, fee_account, reference)
    FROM STDIN (FORMAT binary)";

const COPY_POSTINGS: &str = "
    COPY bezant.postings (sequence, leg, event, asset, debit, debit_bucket, credit, credit_bucket,
        amount, debit_after, credit_after, rate, reference, user_data)
    FROM STDIN (FORMAT binary)";

/// The two statements, prepared once per connection.
#[derive(Debug)]
pub(super) struct History {
    transfers: Statement,
    postings: Statement,
}

impl History {
    pub(super) fn prepare(runtime: &Runtime, client: &Client) -> Result<Self, SinkError> {
        Ok(Self {
            transfers: wait(runtime, client.prepare(COPY_TRANSFERS))?,
            postings: wait(runtime, client.prepare(COPY_POSTINGS))?,
        })
    }

    /// Appends `block`.
    pub(super) fn append(
        &self,
        runtime: &Runtime,
        transaction: &Transaction<'_>,
        block: &[Effect],
    ) -> Result<(), SinkError> {
        block.chunks(ROWS_MAX).try_for_each(|rows| wait(runtime, self.copy(transaction, rows)))
    }

    async fn copy(&self, transaction: &Transaction<'_>, rows: &[Effect]) -> Result<(), Error> {
        let mut transfers = Copy::new(transaction, &self.transfers);
        let mut others = Vec::new();
        let mut rest = rows;
        while let Some(first) = rest.first() {
            let taken = match transfer(first, rest.get(1)) {
                Some((values, taken)) => {
                    if let Some(piece) = transfers.row(&values) {
                        transfers.send(piece).await?;
                    }
                    taken
                }
                None => {
                    others.push(first);
                    1
                }
            };
            rest = &rest[taken..];
        }
        transfers.finish().await?;
        let mut postings = Copy::new(transaction, &self.postings);
        for row in others {
            if let Some(piece) = postings.row(&posting(row)) {
                postings.send(piece).await?;
            }
        }
        postings.finish().await
    }
}

/// One COPY, begun with its first row.
struct Copy<'a> {
    transaction: &'a Transaction<'a>,
    statement: &'a Statement,
    rows: CopyRows,
    is_empty: bool,
    sink: Option<Pin<Box<CopyInSink<Bytes>>>>,
}

impl<'a> Copy<'a> {
    fn new(transaction: &'a Transaction<'a>, statement: &'a Statement) -> Self {
        Self { transaction, statement, rows: CopyRows::new(), is_empty: true, sink: None }
    }

    /// Adds a row; gives what is worth sending.
    fn row(&mut self, values: &[Value]) -> Option<Bytes> {
        self.is_empty = false;
        self.rows.row(values);
        self.rows.piece()
    }

    async fn send(&mut self, piece: Bytes) -> Result<(), Error> {
        let sink = match &mut self.sink {
            Some(sink) => sink,
            none => none.insert(Box::pin(self.transaction.copy_in(self.statement).await?)),
        };
        poll_fn(|context| sink.as_mut().poll_ready(context)).await?;
        sink.as_mut().start_send(piece)
    }

    async fn finish(mut self) -> Result<(), Error> {
        if self.is_empty {
            return Ok(());
        }
        let last = std::mem::replace(&mut self.rows, CopyRows::new()).finish();
        self.send(last).await?;
        let mut sink = self.sink.expect("a sent piece opened it");
        sink.as_mut().finish().await.map(drop)
    }
}

/// A row of `postings`.
fn posting(row: &Effect) -> [Value; 14] {
    [
        Value::Big(signed(row.sequence)),
        Value::Integer(row.leg.into()),
        Value::Integer(row.event.into()),
        Value::Big(row.asset.into()),
        Value::named(row.debit),
        Value::Small(row.debit_bucket.into()),
        Value::named(row.credit),
        Value::Small(row.credit_bucket.into()),
        Value::amount(row.amount),
        Value::amount(row.debit_after),
        Value::amount(row.credit_after),
        Value::Big(row.rate.into()),
        Value::named(row.reference),
        Value::amount(u128::from(row.user_data)),
    ]
}

/// A row of `transfers`, if `first` is one that fits, and how many postings it holds: two if
/// `second` is its fee.
fn transfer(first: &Effect, second: Option<&Effect>) -> Option<([Value; 13], usize)> {
    if !is_liquid(first, 0, Event::TokensTransferred) {
        return None;
    }
    let small = |number: u32| i32::try_from(number).ok().map(Value::Integer);
    let data = i64::try_from(first.user_data).ok()?;
    let fee = second.and_then(|second| fee(first, second));
    let values = [
        Value::Big(signed(first.sequence)),
        Value::Big(i64::try_from(first.amount).ok()?),
        Value::Big(i64::try_from(first.debit_after).ok()?),
        Value::Big(i64::try_from(first.credit_after).ok()?),
        small(first.asset)?,
        small(first.rate)?,
        Value::Id(first.debit),
        Value::Id(first.credit),
        fee.map_or(Value::Null, |fee| Value::Big(fee.amount)),
        fee.map_or(Value::Null, |fee| Value::Big(fee.after)),
        if data == 0 { Value::Null } else { Value::Big(data) },
        fee.map_or(Value::Null, |fee| Value::Id(fee.account)),
        Value::named(first.reference),
    ];
    Some((values, if fee.is_some() { 2 } else { 1 }))
}

/// What a fee adds to the row of its transfer.
#[derive(Clone, Copy)]
struct Fee {
    amount: i64,
    after: i64,
    account: u128,
}

/// `second`, if it is the fee of `first` and everything else of it follows from that.
fn fee(first: &Effect, second: &Effect) -> Option<Fee> {
    let same =
        |row: &Effect| (row.sequence, row.asset, row.rate, row.debit, row.reference, row.user_data);
    let is_fee =
        is_liquid(second, 1, Event::TransactionFeeCollected) && same(first) == same(second);
    let amount = i64::try_from(second.amount).ok()?;
    let follows = first.debit_after.checked_sub(amount.into()) == Some(second.debit_after);
    let after = i64::try_from(second.credit_after).ok()?;
    (is_fee && follows).then_some(Fee { amount, after, account: second.credit })
}

/// Whether `row` is this leg of a payment between liquid balances.
fn is_liquid(row: &Effect, leg: u16, event: Event) -> bool {
    let liquid = [Bucket::Liquid as u8; 2];
    row.leg == leg
        && row.event == event.number()
        && [row.debit_bucket, row.credit_bucket] == liquid
        && row.debit != 0
        && row.credit != 0
}
