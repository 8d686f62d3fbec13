//! Keys in PostgreSQL.
//!
//! A question is one statement for all its keys, hence one round trip and one snapshot.

use tokio::runtime::Runtime;
use tokio_postgres::{Client, Row, Statement};

use super::reader::{REQUEST_TIMEOUT, Reader, watermark};
use super::value::Uuid;
use super::{error, retryable, wait_for};
use crate::keys::{Key, KeySnapshot, KeySource, KeyUse, key_use};
use crate::sink::SinkError;

/// The watermark comes with every row; 80 is `KeyUsed`.
const FIND: &str = "
    SELECT w.frame::text, w.epoch, w.next_sequence, h.batch,
           e.sequence, e.amount::text, e.user_data::text, e.rate
    FROM unnest($1::uuid[], $2::uuid[]) WITH ORDINALITY AS asked (principal, hash, place)
    LEFT JOIN bezant.settlement_watermark w ON w.only_row = 1
    LEFT JOIN (SELECT batch FROM bezant.settlement_batches WHERE effects IS NULL LIMIT 1) h ON true
    LEFT JOIN LATERAL (
        SELECT sequence, amount, user_data, rate FROM bezant.postings
        WHERE event = 80 AND debit = asked.principal AND reference = asked.hash
        ORDER BY sequence, leg LIMIT 1) e ON true
    ORDER BY asked.place";

/// Looks keys up in one PostgreSQL database.
#[derive(Debug)]
pub struct PostgresKeys(Reader<Statement>);

impl PostgresKeys {
    /// Keys at `address`, in the key-value or URL form of libpq.
    ///
    /// # Errors
    ///
    /// Those of [`crate::PostgresSink::new`].
    pub fn new(address: &str) -> Result<Self, SinkError> {
        Reader::new(address, "bezant keys", prepare).map(Self)
    }
}

impl KeySource for PostgresKeys {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn find(&mut self, keys: &[Key]) -> Result<KeySnapshot, SinkError> {
        self.0.ask(|runtime, client, find| ask(runtime, client, find, keys))
    }
}

fn prepare(runtime: &Runtime, client: &Client) -> Result<Statement, SinkError> {
    wait_for(REQUEST_TIMEOUT, runtime, client.prepare(FIND))
}

fn ask(
    runtime: &Runtime,
    client: &Client,
    find: &Statement,
    keys: &[Key],
) -> Result<KeySnapshot, SinkError> {
    let principals: Vec<Uuid> = keys.iter().map(|key| Uuid(key.principal)).collect();
    let hashes: Vec<Uuid> = keys.iter().map(|key| Uuid(key.hash)).collect();
    let asking = async { client.query(find, &[&principals, &hashes]).await };
    let rows = wait_for(REQUEST_TIMEOUT, runtime, asking)?;
    if rows.len() != keys.len() {
        return Err(retryable("the answer has another length than the question"));
    }
    let Some(first) = rows.first() else {
        return Ok(KeySnapshot { watermark: None, hole: None, uses: Vec::new() });
    };
    Ok(KeySnapshot {
        watermark: watermark(first)?,
        hole: first.try_get(3).map_err(error)?,
        uses: rows.iter().map(found).collect::<Result<_, _>>()?,
    })
}

fn found(row: &Row) -> Result<Option<KeyUse>, SinkError> {
    let sequence: Option<i64> = row.try_get(4).map_err(error)?;
    let Some(sequence) = sequence else {
        return Ok(None);
    };
    let [amount, data]: [String; 2] =
        [row.try_get(5).map_err(error)?, row.try_get(6).map_err(error)?];
    key_use(sequence, &amount, &data, row.try_get(7).map_err(error)?).map(Some)
}
