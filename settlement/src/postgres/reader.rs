//! A connection to PostgreSQL that only reads, beside the sink's.
//!
//! The server must be the one that accepts writes: a replica may lag. After any failure the
//! connection is dropped; one that had broken unnoticed is replaced within the same question.

use std::time::Duration;

use protocol::Sequence;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Config, NoTls, Row};

use super::{close, column, configure, error, retryable, said, wait_for};
use crate::schema;
use crate::sink::SinkError;
use crate::watermark::Stored;

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long one request may take, answer included; the server gives up a little earlier.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);

/// Session settings. Without the indexes a question may only fail, not read whole tables; the one
/// plan is made once and not compiled, which would take longer than to run it.
const SESSION: &str = "SET search_path = pg_catalog; SET statement_timeout = '2s'; \
     SET lock_timeout = '2s'; SET idle_in_transaction_session_timeout = '10s'; \
     SET default_transaction_read_only = on; SET enable_seqscan = off; \
     SET plan_cache_mode = force_generic_plan; SET jit = off; \
     SET client_encoding = 'UTF8'";

const VERSION: &str = "SELECT coalesce(max(version), 0) FROM bezant.schema_version";

/// Prepares the statements `P` of a new connection.
type Prepare<P> = fn(&Runtime, &Client) -> Result<P, SinkError>;

/// Reads one PostgreSQL database with the statements `P`.
#[derive(Debug)]
pub(super) struct Reader<P> {
    config: Config,
    name: String,
    runtime: Runtime,
    prepare: Prepare<P>,
    session: Option<Session<P>>,
}

#[derive(Debug)]
struct Session<P> {
    client: Client,
    driver: JoinHandle<()>,
    statements: P,
}

impl<P> Reader<P> {
    /// Of the database at `address`, in the key-value or URL form of libpq; `application` is the
    /// session's name by default.
    pub(super) fn new(
        address: &str,
        application: &str,
        prepare: Prepare<P>,
    ) -> Result<Self, SinkError> {
        let (mut config, name) = configure(address, application)?;
        config.connect_timeout(CONNECT_TIMEOUT);
        let runtime = Builder::new_current_thread().enable_all().build().map_err(retryable)?;
        Ok(Self { config, name, runtime, prepare, session: None })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Asks, and once more if the connection had broken unnoticed.
    pub(super) fn ask<T>(
        &mut self,
        ask: impl Fn(&Runtime, &mut Client, &P) -> Result<T, SinkError>,
    ) -> Result<T, SinkError> {
        let mut answer = self.attempt(&ask);
        if self.session.as_ref().is_none_or(|session| session.client.is_closed()) {
            answer = self.connect().and_then(|()| self.attempt(&ask));
        }
        if answer.is_err() {
            self.disconnect();
        }
        answer
    }

    fn attempt<T>(
        &mut self,
        ask: impl Fn(&Runtime, &mut Client, &P) -> Result<T, SinkError>,
    ) -> Result<T, SinkError> {
        let session = self.session.as_mut().ok_or_else(|| retryable("not connected"))?;
        ask(&self.runtime, &mut session.client, &session.statements)
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
        match check(runtime, &client).and_then(|()| (self.prepare)(runtime, &client)) {
            Ok(statements) => {
                self.session = Some(Session { client, driver, statements });
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
}

impl<P> Drop for Reader<P> {
    fn drop(&mut self) {
        self.disconnect();
    }
}

fn check(runtime: &Runtime, client: &Client) -> Result<(), SinkError> {
    wait_for(REQUEST_TIMEOUT, runtime, client.batch_execute(SESSION))?;
    let row = wait_for(REQUEST_TIMEOUT, runtime, client.query_one(VERSION, &[]))?;
    schema::check_current(row.try_get(0).map_err(error)?)
}

/// The watermark in the first three columns: frame as text, epoch and next sequence.
pub(super) fn watermark(row: &Row) -> Result<Option<Stored>, SinkError> {
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
