//! Keys in PostgreSQL: a connection of its own that only reads, beside the sink's.
//!
//! A question is one statement for all its keys, hence one round trip and one snapshot. The server
//! must be the one that accepts writes: a replica may lag. After any failure the connection is
//! dropped; one that had broken unnoticed is replaced within the same question.

use std::time::Duration;

use protocol::Sequence;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Config, NoTls, Row, Statement};

use super::value::Uuid;
use super::{close, column, configure, error, retryable, said, wait_for};
use crate::keys::{Key, KeySnapshot, KeySource, KeyUse, key_use};
use crate::schema;
use crate::sink::SinkError;

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long one request may take, answer included; the server gives up a little earlier.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);

/// Session settings. Without the indexes a question may only fail, not read whole tables; the one
/// plan is made once and not compiled, which would take longer than to run it.
const SESSION: &str = "SET search_path = pg_catalog; SET statement_timeout = '2s'; \
     SET lock_timeout = '2s'; SET idle_in_transaction_session_timeout = '10s'; \
     SET default_transaction_read_only = on; SET enable_seqscan = off; \
     SET plan_cache_mode = force_generic_plan; SET jit = off; \
     SET client_encoding = 'UTF8'";

const VERSION: &str = "SELECT coalesce(max(version), 0) FROM bezant.schema_version";

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
pub struct PostgresKeys {
    config: Config,
    name: String,
    runtime: Runtime,
    session: Option<Session>,
}

#[derive(Debug)]
struct Session {
    client: Client,
    driver: JoinHandle<()>,
    find: Statement,
}

impl PostgresKeys {
    /// Keys at `address`, in the key-value or URL form of libpq.
    ///
    /// # Errors
    ///
    /// Those of [`crate::PostgresSink::new`].
    pub fn new(address: &str) -> Result<Self, SinkError> {
        let (mut config, name) = configure(address, "bezant keys")?;
        config.connect_timeout(CONNECT_TIMEOUT);
        let runtime = Builder::new_current_thread().enable_all().build().map_err(retryable)?;
        Ok(Self { config, name, runtime, session: None })
    }

    fn connect(&mut self) -> Result<(), SinkError> {
        self.disconnect();
        let runtime = &self.runtime;
        let connecting = self.config.connect(NoTls);
        let (client, connection) = wait_for(REQUEST_TIMEOUT, runtime, connecting)?;
        let driver = runtime.spawn(async move {
            if let Err(cause) = connection.await {
                tracing::debug!(cause = said(&cause), "the connection to postgres ended");
            }
        });
        match prepare(runtime, &client) {
            Ok(find) => {
                self.session = Some(Session { client, driver, find });
                Ok(())
            }
            Err(cause) => {
                drop(client);
                close(runtime, driver);
                Err(cause)
            }
        }
    }

    fn disconnect(&mut self) {
        if let Some(session) = self.session.take() {
            drop(session.client);
            close(&self.runtime, session.driver);
        }
    }

    fn ask(&self, keys: &[Key]) -> Result<KeySnapshot, SinkError> {
        let session = self.session.as_ref().ok_or_else(|| retryable("not connected"))?;
        let principals: Vec<Uuid> = keys.iter().map(|key| Uuid(key.principal)).collect();
        let hashes: Vec<Uuid> = keys.iter().map(|key| Uuid(key.hash)).collect();
        let asking = async { session.client.query(&session.find, &[&principals, &hashes]).await };
        let rows = wait_for(REQUEST_TIMEOUT, &self.runtime, asking)?;
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
}

impl KeySource for PostgresKeys {
    fn name(&self) -> &str {
        &self.name
    }

    fn find(&mut self, keys: &[Key]) -> Result<KeySnapshot, SinkError> {
        let mut answer = self.ask(keys);
        if self.session.as_ref().is_none_or(|session| session.client.is_closed()) {
            answer = self.connect().and_then(|()| self.ask(keys));
        }
        if answer.is_err() {
            self.disconnect();
        }
        answer
    }
}

impl Drop for PostgresKeys {
    fn drop(&mut self) {
        self.disconnect();
    }
}

fn prepare(runtime: &Runtime, client: &Client) -> Result<Statement, SinkError> {
    wait_for(REQUEST_TIMEOUT, runtime, client.batch_execute(SESSION))?;
    let row = wait_for(REQUEST_TIMEOUT, runtime, client.query_one(VERSION, &[]))?;
    schema::check_current(row.try_get(0).map_err(error)?)?;
    wait_for(REQUEST_TIMEOUT, runtime, client.prepare(FIND))
}

fn watermark(row: &Row) -> Result<Option<(u128, u64, Sequence)>, SinkError> {
    const TABLE: &str = "settlement_watermark";
    let frame: Option<String> = row.try_get(0).map_err(error)?;
    let Some(frame) = frame else {
        return Ok(None);
    };
    let [epoch, next]: [i64; 2] = [row.try_get(1).map_err(error)?, row.try_get(2).map_err(error)?];
    let next: u64 = column(TABLE, "next_sequence").number(next)?;
    Ok(Some((
        column(TABLE, "frame").uuid(&frame)?,
        column(TABLE, "epoch").number(epoch)?,
        Sequence(next.saturating_sub(1)),
    )))
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
